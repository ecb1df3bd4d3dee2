"""How much the most frequent items account for: the paper's Figure 5, for any dataset.

    python -m pipelines.popularity --data_dir=data/app_install

draws, against K, the share of the training pairs whose item is one of the K most frequent ones
(the CDF of item frequency), and the share of the evaluation pairs, which is the Recall@K of
TopPopular. The numbers are written to a JSON file beside the plot.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipelines.experiments import item_frequency
from ssl_recsys import cli, files, schema
from ssl_recsys.errors import InputError, printable
from ssl_recsys.manifest import VERIFY_DATASET
from ssl_recsys.options import Options, option

_PLOT_ENDINGS = (".png", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class PopularityOptions(Options):
    """The command's flags."""

    data_dir: tuple[str, ...] = option(
        (),
        "Dataset directory, or several with commas between them for one plot.",
        required="name a dataset directory",
    )
    output: str = option(
        "runs/popularity/cdf.png",
        f"Plot to write ({', '.join(_PLOT_ENDINGS)}); the numbers are written beside it.",
    )
    split: str = option(
        schema.TEST, "Evaluation pairs that TopPopular is scored on.", choices=schema.PAIR_SPLITS
    )
    verify: bool = option(True, VERIFY_DATASET)

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.output).suffix not in _PLOT_ENDINGS:
            raise InputError(
                f"--output must end in one of {', '.join(_PLOT_ENDINGS)} (got {self.output!r})"
            )


def main(options: PopularityOptions) -> None:
    """Writes plot and numbers, and prints the numbers."""
    for data_dir in options.data_dir:
        # Refuses other directories before TensorFlow is loaded.
        schema.read_dataset_info(data_dir, verify=options.verify)
    output = Path(options.output)
    measured = [
        item_frequency.measure(data_dir, options.split, verify=options.verify)
        for data_dir in options.data_dir
    ]
    figure = item_frequency.draw(measured, size=(6.4, 4.0))
    with files.write_atomically(output) as stream:
        figure.savefig(stream, format=output.suffix.removeprefix("."), dpi=160)
    numbers = output.with_suffix(".json")
    files.write_json(numbers, measured)
    for one in measured:
        print(
            f"{printable(one['name'])}: {one['num_items']:,} items, "
            f"{one['num_items_in_training']:,} of them in {one['num_train_pairs']:,} training pairs"
        )
        for name, value in one["top_popular"].items():
            print(
                f"  TopPopular {name:<12} {value:.4f}  ({one['num_pairs']:,} {one['split']} pairs)"
            )
    print(f"wrote {output} and {numbers}")


if __name__ == "__main__":
    cli.run(main, PopularityOptions)
