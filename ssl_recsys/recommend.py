"""Prints the items that a trained model recommends for a query item.

python -m ssl_recsys.recommend --model_dir=runs/wiki_fd --query="Alan Turing" --k=10
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING

import numpy as np

from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluate import VERIFY
from ssl_recsys.options import Options, option
from ssl_recsys.search import EXACT, RETRIEVALS
from ssl_recsys.training import run_dir

if TYPE_CHECKING:
    from ssl_recsys.training.export import Exported


@dataclasses.dataclass(frozen=True)
class RecommendOptions(Options):
    """The command's flags."""

    model_dir: str = option(
        "",
        "Directory that ssl_recsys.train wrote.",
        required="a directory that ssl_recsys.train wrote",
    )
    query: tuple[str, ...] = option((), "Key of the query item; may be repeated.", repeated=True)
    random_queries: int = option(
        0,
        "Besides --query, take this many queries of the test pairs at random.",
        at_least=0,
    )
    seed: int = option(0, "Seed of --random_queries.", at_least=0)
    k: int = option(10, "Number of recommendations.", at_least=1)
    retrieval: str = option(EXACT, "How the corpus is searched.", choices=RETRIEVALS)
    verify: bool = option(True, VERIFY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.query or self.random_queries):
            raise InputError("--query is missing: the key of an item (or give --random_queries)")


def find_row(keys: np.ndarray, query: str) -> int:
    """Row of the item with key `query`, letter case being ignored if need be.

    Raises:
      InputError: if there is none; the message suggests similar keys.
    """
    matches = np.flatnonzero(keys == query)
    if len(matches):
        return int(matches[0])
    folded = {key.casefold(): row for row, key in enumerate(keys)}
    if query.casefold() in folded:
        return folded[query.casefold()]
    similar = difflib.get_close_matches(query.casefold(), folded, n=5, cutoff=0.6)
    hint = f"; similar: {', '.join(keys[folded[key]] for key in similar)}" if similar else ""
    raise InputError(f"no item {query!r} in the catalog{hint}")


def main(options: RecommendOptions) -> None:
    """Prints a ranking for each query."""
    run_dir.finished_run(options.model_dir)  # before TensorFlow is loaded
    from ssl_recsys.model.embedding import embed_rows
    from ssl_recsys.search.interface import make_search
    from ssl_recsys.training.export import load_export

    exported = load_export(options.model_dir, verify=options.verify)
    queries = exported.catalog(schema.QUERY)
    query_row = _query_rows(options, exported)
    embeddings = embed_rows(exported.query_tower, queries, query_row)
    search = make_search(exported.item_embeddings, options.retrieval)
    own_item_row = exported.info.own_item_rows(query_row)
    # A query that is itself an item of the corpus is left out: search one more.
    scores, found = search.search(embeddings, options.k + 1)
    for number, row in enumerate(query_row):
        print(f"\n{cli.printable(queries.titles[row] or queries.keys[row])}")
        # ScaNN fills up with -1.
        skipped = {-1} if own_item_row is None else {-1, int(own_item_row[number])}
        ranked = [
            (float(score), int(item))
            for score, item in zip(scores[number], found[number], strict=True)
            if int(item) not in skipped
        ]
        _print_ranking(exported, ranked[: options.k])


def _query_rows(options: RecommendOptions, exported: Exported) -> np.ndarray:
    """Rows of the queries that the flags name, then of those drawn."""
    keys = exported.catalog(schema.QUERY).keys
    rows = np.array([find_row(keys, query) for query in options.query], np.int64)
    if not options.random_queries:
        return rows
    held_out = np.unique(exported.pairs(schema.TEST).query_row)
    drawn = np.random.default_rng(options.seed).permutation(held_out)
    return np.concatenate([rows, drawn[: options.random_queries]])


def _print_ranking(exported: Exported, ranked: list[tuple[float, int]]) -> None:
    items = exported.catalog(schema.ITEM)
    for rank, (score, row) in enumerate(ranked, start=1):
        title = cli.printable(items.titles[row] or items.keys[row])
        print(f"{rank:4d}  {score:6.3f}  {title}  ({items.train_count[row]} training pairs)")


if __name__ == "__main__":
    cli.run(main, RecommendOptions)
