"""Says from a dataset whether self-supervision is likely to pay on it.

    python -m ssl_recsys.advise --data_dir=data/your_own

Reads training and validation pairs, never test pairs. docs/training.md explains the figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ssl_recsys import cli, files, schema
from ssl_recsys.errors import printable
from ssl_recsys.options import Options, option


@dataclasses.dataclass(frozen=True)
class AdviseOptions(Options):
    """The command's flags."""

    data_dir: str = option("", "Dataset directory.", required="a directory that a data job wrote")
    max_queries: int = option(
        2000,
        "Try simple recommenders on a seeded sample of this many validation queries; 0: on all.",
        at_least=0,
    )
    output: str = option("", "JSON file for the figures and the advice; empty: shown only.")
    verify: bool = option(True, "Compare the dataset's files with their manifest.")


def main(options: AdviseOptions) -> None:
    """Prints the figures and the advice."""
    schema.read_dataset_info(options.data_dir, verify=options.verify)  # before TensorFlow is loaded
    from ssl_recsys.data.dataset import Dataset
    from ssl_recsys.evaluation.advice import advise

    dataset = Dataset(options.data_dir, verify=options.verify)
    found = advise(dataset, options.max_queries, lambda line: print(line, flush=True))
    print("\n" + "\n".join(_lines(printable(dataset.info.name), found)))
    if options.output:
        files.write_json(options.output, found)


def _lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    from ssl_recsys.evaluation.advice import EVIDENCE, FEW_PAIRS

    pairs = found["pairs"]
    yield (
        f"{name}: {pairs['items']:,} items, {pairs['training_pairs']:,} training pairs "
        f"({pairs['pairs_per_item']:.1f} an item), {pairs['validation_pairs']:,} validation pairs"
    )
    yield (
        f"validation pairs on items without a training pair {pairs['unseen']:.1%}, with 1 to "
        f"{FEW_PAIRS} {pairs['few']:.1%}; of queries without one {pairs['unseen_query']:.1%}; "
        f"that are training pairs {pairs['known']:.1%}"
    )
    yield f"training pairs that repeat another {pairs['repeated']:.1%}"
    for facts in found["features"]:
        reached = facts["unseen_reached"]
        yield (
            f"feature {facts['name']}: {facts['filled']:.0%} of the items have a value, "
            f"{facts['shared']:.0%} one of another item; {facts['bits']:.1f} bits"
            + ("" if reached is None else f"; {reached:.0%} of unseen items share one with a seen")
        )
    for model, values in found["simple"].items():
        unseen = "-" if values["unseen"] is None else f"{values['unseen']:.4f}"
        yield f"{model}: validation Recall@50 {values['overall']:.4f}, of unseen items {unseen}"
    yield ""
    yield from found["reasons"]
    yield _ADVICE[found["verdict"]]
    yield "Measured, FD against a tuned baseline, Recall@10 (docs/results.md):"
    for seen in EVIDENCE:
        yield (
            f"  {seen.name}: {seen.unseen:.0%} of validation pairs on unseen items; {seen.setting}:"
            f" {seen.overall:+.0%} overall, {seen.tail:+.0%} on the tail"
        )


_ADVICE = {
    "pays": (
        "Self-supervision is likely to pay, most on the tail: train with configs/auto.flags, which "
        "tries alpha 0.1 and 0.3 against none."
    ),
    "may_pay": (
        "Self-supervision may pay on the tail; compare a low alpha (--alpha=0.1) with "
        "--method=baseline on validation pairs, as configs/auto.flags does."
    ),
    "unlikely": (
        "Self-supervision is unlikely to pay overall by itself: begin with --method=baseline. A "
        "low alpha (--alpha=0.1) can still help the tail; configs/auto.flags compares the two."
    ),
}


if __name__ == "__main__":
    cli.run(main, AdviseOptions)
