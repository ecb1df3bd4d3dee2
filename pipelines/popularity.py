"""How much the most frequent items account for: the paper's Figure 5, for any dataset.

    python -m pipelines.popularity --data_dir=data/app_install --output=cdf.png

draws, against K, the share of the training pairs whose item is one of the K most frequent ones
(the CDF of item frequency), and the share of the evaluation pairs, which is the Recall@K of
TopPopular. The numbers go to a JSON file beside the plot.
"""

from __future__ import annotations

import json
from pathlib import Path

from absl import flags, logging

from data_prep.compressed import write_aside
from pipelines.experiments.item_frequency import draw, measure
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError

_PLOT_ENDINGS = (".png", ".svg", ".pdf")

_DATA_DIR = flags.DEFINE_list(
    "data_dir", [], "Dataset directory, or several with commas between them for one plot."
)
_OUTPUT = flags.DEFINE_string(
    "output", "cdf.png", f"Plot to write ({', '.join(_PLOT_ENDINGS)}); the numbers go beside it."
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", list(schema.PAIR_SPLITS), "Evaluation pairs that TopPopular is scored on."
)


def main(argv: list[str]) -> None:
    """The command."""
    del argv  # cli.run has refused what is left over.
    output = Path(_OUTPUT.value)
    if not _DATA_DIR.value:
        raise InputError("--data_dir is missing: name a dataset directory")
    if output.suffix not in _PLOT_ENDINGS:
        raise InputError(
            f"--output must end in one of {', '.join(_PLOT_ENDINGS)} (got {str(output)!r})"
        )
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every folder that it opens.
    measured = [measure(data_dir, _SPLIT.value) for data_dir in _DATA_DIR.value]
    draw(measured, output)
    numbers = output.with_suffix(".json")
    with write_aside(numbers) as stream:
        stream.write((json.dumps(measured, indent=2) + "\n").encode())
    for one in measured:
        print(
            f"{one['name']}: {one['num_items']:,} items, {one['num_items_in_training']:,} of them "
            f"in {one['num_train_pairs']:,} training pairs"
        )
        for name, value in one["top_popular"].items():
            print(
                f"  TopPopular {name:<12} {value:.4f}  ({one['num_pairs']:,} {one['split']} pairs)"
            )
    print(f"wrote {output} and {numbers}")


if __name__ == "__main__":
    cli.run(main)
