"""Prints the items that a trained model recommends for a query item.

python -m ssl_recsys.recommend --model_dir=runs/wiki_fd --query="Alan Turing" --k=10
"""

from __future__ import annotations

import difflib

import numpy as np
from absl import flags

from ssl_recsys import cli
from ssl_recsys.errors import InputError

_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Directory that ssl_recsys.train wrote.")
_QUERY = flags.DEFINE_multi_string("query", [], "Key of the query item; may be repeated.")
_RANDOM_QUERIES = flags.DEFINE_integer(
    "random_queries", 0, "Besides --query, take this many queries of the test pairs at random."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of --random_queries.")
_K = flags.DEFINE_integer("k", 10, "Number of recommendations.")
_RETRIEVAL = flags.DEFINE_enum(
    "retrieval", "exact", ["exact", "scann"], "How the corpus is searched."
)


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


def main(argv: list[str]) -> None:
    """Prints a ranking for each query."""
    del argv
    if not _MODEL_DIR.value or not (_QUERY.value or _RANDOM_QUERIES.value > 0):
        raise InputError("--model_dir and --query (or --random_queries) are needed")
    if _K.value < 1:
        raise InputError(f"--k must be at least 1 (got {_K.value})")
    from ssl_recsys.model.embedding import embed_rows
    from ssl_recsys.search import interface as retrieval
    from ssl_recsys.training.export import load_export

    exported = load_export(_MODEL_DIR.value)
    catalog = exported.catalog
    rows = np.array([find_row(catalog.keys, query) for query in _QUERY.value], np.int64)
    if _RANDOM_QUERIES.value > 0:
        held_out = np.unique(exported.pairs("test")[0])
        drawn = np.random.default_rng(_SEED.value).permutation(held_out)
        rows = np.concatenate([rows, drawn[: _RANDOM_QUERIES.value]])
    embeddings = embed_rows(exported.query_tower, catalog, rows)
    search = retrieval.make_search(exported.item_embeddings, _RETRIEVAL.value)
    # The query itself is an item of the corpus: search one more and leave it out.
    scores, found = search.search(embeddings, _K.value + 1)
    for query_row, query_scores, query_found in zip(rows, scores, found, strict=True):
        print(f"\n{catalog.titles[query_row] or catalog.keys[query_row]}")
        ranked = [
            (score, row)
            for score, row in zip(query_scores, query_found, strict=True)
            if row not in (query_row, -1)  # ScaNN fills up with -1
        ]
        for rank, (score, row) in enumerate(ranked[: _K.value], start=1):
            pairs = catalog.train_count[row]
            print(
                f"{rank:4d}  {score:6.3f}  {catalog.titles[row] or catalog.keys[row]}"
                f"  ({pairs} training pairs)"
            )


if __name__ == "__main__":
    cli.run(main)
