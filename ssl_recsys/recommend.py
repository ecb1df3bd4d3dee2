"""Ranks the items that a trained model recommends for query items.

    python -m ssl_recsys.recommend --model_dir=runs/wiki_fd --query="Alan Turing" --k=10
    python -m ssl_recsys.recommend --model_dir=runs/wiki_fd --queries=keys.txt --format=json \
        --exclude_known --output=recommended.jsonl

A query is the key of an item, or its title where only one item has that title. Where queries are
users and their histories (pipelines.interactions), it is the key of one of those.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssl_recsys import cli, files, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluate import A_MODEL_DIR, MODEL_DIR, VERIFY
from ssl_recsys.options import Options, option
from ssl_recsys.search import EXACT, RETRIEVALS
from ssl_recsys.search.queries import Names, read_queries
from ssl_recsys.training import run_dir

if TYPE_CHECKING:
    from ssl_recsys.data.pairs import Pairs
    from ssl_recsys.serving.index import Index
    from ssl_recsys.training.export import Exported

TEXT, JSON = FORMATS = ("text", "json")
_QUERIES_AT_ONCE = 1024
_SCORE_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class RecommendOptions(Options):
    """The command's flags."""

    model_dir: str = option("", MODEL_DIR, required=A_MODEL_DIR)
    query: tuple[str, ...] = option(
        (), "Key of the query item, or its title; may be repeated.", repeated=True
    )
    queries: str = option(
        "",
        "File of queries: one a line, or the field `key` of a .jsonl or .csv file.",
    )
    random_queries: int = option(
        0,
        "Besides the others, take this many queries of the test pairs at random.",
        at_least=0,
    )
    text: tuple[str, ...] = option(
        (),
        "Free text as a query, by the words that the model knows; may be repeated.",
        repeated=True,
    )
    history: tuple[str, ...] = option(
        (),
        "Key of an item that a user had, the latest first; all that are given are one query. For "
        "models whose queries are histories.",
        repeated=True,
    )
    query_feature: tuple[str, ...] = option(
        (),
        "What else is known of the query of --history, COLUMN=VALUE: kind=purchase; may be "
        "repeated.",
        repeated=True,
    )
    seed: int = option(0, "Seed of --random_queries.", at_least=0)
    k: int = option(10, "Number of recommendations.", at_least=1)
    exclude_known: bool = option(
        False, "Leave out items that training pairs of --data_dir join with the query."
    )
    data_dir: str = option(
        "", "Dataset directory, for --exclude_known; by default that of the training run."
    )
    score_items: tuple[str, ...] = option(
        (), "Item whose score is given for every query as well; may be repeated.", repeated=True
    )
    format: str = option(TEXT, "Lines for a reader, or a JSON object a query.", choices=FORMATS)
    output: str = option("", "File to write; by default the terminal.")
    retrieval: str = option(EXACT, "How the corpus is searched.", choices=RETRIEVALS)
    use_index: bool = option(
        True,
        "Search the model's index, where it has one: with the items that were added, and without "
        "those that were removed.",
    )
    verify: bool = option(True, VERIFY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any((self.query, self.queries, self.random_queries, self.text, self.history)):
            raise InputError(
                "--query is missing: the key of an item (or give --queries, --random_queries, "
                "--text or --history)"
            )
        if self.query_feature and not self.history:
            raise InputError("--query_feature says more of the query of --history (got none)")


def main(options: RecommendOptions) -> None:
    """Writes a ranking for each query."""
    run_dir.finished_run(options.model_dir)  # before TensorFlow is loaded
    named = [*(("", name) for name in options.query)]
    named += read_queries(options.queries) if options.queries else ()
    from ssl_recsys.training.export import load_export

    exported = load_export(options.model_dir, verify=options.verify)
    index = _index(options, exported)
    items = Names(index.keys[index.live], index.titles[index.live])
    found = [items.row(name) for name in options.score_items]
    scored = index.live[np.array(found, np.int64)]
    asked = (
        _queries_of_catalog(options, exported, named)
        if exported.info.queries
        else _queries_of_index(options, exported, index, items, named)
    )
    groups = [asked, *_raw_queries(options, exported, index, items)]
    left_out = _left_out(options, exported, index, groups)
    show = _json_line if options.format == JSON else _text
    with _opened(options.output) as write:
        for queries, without in zip(groups, left_out, strict=True):
            for ranking in _rankings(options, exported, index, queries, without, scored):
                write(show(ranking))


def _index(options: RecommendOptions, exported: Exported) -> Index:
    """The model's index, or one over its catalog."""
    from ssl_recsys.serving import index, index_files
    from ssl_recsys.serving.versions import Store

    store = Store(options.model_dir)
    found = index_files.load(store, exported, verify=options.verify) if options.use_index else None
    return found or index.of_catalog(exported)


class _Queries(NamedTuple):
    """The queries that are asked.

    Attributes:
      keys: `[queries]` their keys.
      titles: `[queries]` their titles.
      catalog_row: `[queries]` rows of the query side's catalog; -1 for items that were added.
      own_row: `[queries, n]` rows of the index of the items that they are or have.
      embed: a slice of them to `[n, dim]` embeddings.
    """

    keys: np.ndarray
    titles: np.ndarray
    catalog_row: np.ndarray
    own_row: np.ndarray
    embed: Callable[[slice], np.ndarray]


def _queries_of_index(
    options: RecommendOptions,
    exported: Exported,
    index: Index,
    items: Names,
    named: Iterable[tuple[str, str]],
) -> _Queries:
    """Queries that are items, those that were added among them."""
    found = index.live[items.rows(named)]
    drawn = _drawn(options, exported, index.rows_of)
    rows = np.concatenate([found, drawn])
    return _Queries(
        index.keys[rows],
        index.titles[rows],
        index.rows[rows],
        rows[:, np.newaxis],
        lambda part: index.query_embeddings(rows[part], exported),
    )


def _queries_of_catalog(
    options: RecommendOptions, exported: Exported, named: Iterable[tuple[str, str]]
) -> _Queries:
    """Queries with a catalog of their own."""
    catalog = exported.catalog(schema.QUERY)
    found = Names(catalog.keys, catalog.titles).rows(named)
    rows = np.concatenate([found, _drawn(options, exported, lambda held_out: held_out)])
    return _Queries(
        catalog.keys[rows],
        catalog.titles[rows],
        rows,
        np.zeros((len(rows), 0), np.int64),
        lambda part: exported.query_embeddings(rows[part]),
    )


def _raw_queries(
    options: RecommendOptions, exported: Exported, index: Index, items: Names
) -> Iterator[_Queries]:
    """Queries of texts, and of a history; the items of a history are left out."""
    if not (options.text or options.history):
        return
    from ssl_recsys.serving import raw_queries
    from ssl_recsys.serving.raw_items import Embedders

    embedders = Embedders(exported)
    raw = embedders.raw_of(schema.QUERY)
    if options.text:
        columns = raw_queries.of_texts(raw, options.text)
        yield _of_raw(options.text, embedders.embed(schema.QUERY, columns), ())
    if options.history:
        rows = index.live[items.rows(("--history", name) for name in options.history)]
        keys = index.keys[rows].tolist()
        columns = raw_queries.of_histories(exported.info, raw, [keys], options.query_feature)
        yield _of_raw([", ".join(keys)], embedders.embed(schema.QUERY, columns), rows)


def _of_raw(names: Sequence[str], embeddings: np.ndarray, had: Sequence[int]) -> _Queries:
    """Queries that no catalog has, without the items that were had."""
    nowhere = np.full(len(names), -1)
    return _Queries(
        np.array(names, object),
        np.array([""] * len(names), object),
        nowhere,
        np.array([had] * len(names), np.int64).reshape(len(names), -1),
        lambda part: embeddings[part],
    )


def _drawn(
    options: RecommendOptions, exported: Exported, find: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Rows of queries drawn from those of the test pairs, which `find` looks for."""
    if not options.random_queries:
        return np.zeros(0, np.int64)
    held_out = find(np.unique(exported.pairs(schema.TEST).query_row))
    drawn = np.random.default_rng(options.seed).permutation(held_out)
    return drawn[: options.random_queries].astype(np.int64)


def _left_out(
    options: RecommendOptions, exported: Exported, index: Index, groups: Sequence[_Queries]
) -> list[list[np.ndarray]]:
    """For each group's queries the rows of the index that are not recommended: own and known."""
    if not options.exclude_known:
        return [list(queries.own_row) for queries in groups]
    from ssl_recsys.training import known_items

    pairs = known_items.training_pairs(options.model_dir, exported, options.data_dir)
    return [_own_and_known(exported, index, queries, pairs) for queries in groups]


def _own_and_known(
    exported: Exported, index: Index, queries: _Queries, pairs: Pairs
) -> list[np.ndarray]:
    from ssl_recsys.training import known_items

    known = known_items.left_out(exported, queries.catalog_row, pairs)
    bounds = np.searchsorted(known.query, np.arange(len(queries.keys) + 1))
    items = np.split(known.item_row, bounds[1:-1])
    own = queries.own_row
    return [np.union1d(row, index.rows_of(known)) for row, known in zip(own, items, strict=True)]


def _rankings(
    options: RecommendOptions,
    exported: Exported,
    index: Index,
    queries: _Queries,
    left_out: Sequence[np.ndarray],
    scored: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """For each query what a line of JSON holds."""
    from ssl_recsys.evaluation.metrics import head_items

    train_count = exported.catalog(schema.ITEM).train_count
    # Row -1, an item that was added, is the last one.
    is_head = np.append(head_items(exported.info.head, train_count), False)
    train_count = np.append(train_count, 0)

    def described(row: int, score: float) -> dict[str, Any]:
        return {
            "key": index.keys[row],
            "title": index.titles[row],
            "score": round(float(score), _SCORE_DIGITS),
            "slice": "head" if is_head[index.rows[row]] else "tail",
            "train_count": int(train_count[index.rows[row]]),
        }

    for begin in range(0, len(queries.keys), _QUERIES_AT_ONCE):
        block = slice(begin, begin + _QUERIES_AT_ONCE)
        embeddings = queries.embed(block)
        most = options.k + max(map(len, left_out[block]), default=0)
        given = embeddings @ index.embeddings(scored).T
        found_rows = index.search(embeddings, most, options.retrieval)
        for number, found in enumerate(zip(*found_rows, strict=True)):
            place = begin + number
            # ScaNN fills up with -1.
            hidden = {-1, *left_out[place].tolist()}
            kept = [one for one in zip(*found, strict=True) if int(one[1]) not in hidden]
            ranking = {
                "query": queries.keys[place],
                "title": queries.titles[place],
                "items": [
                    {"rank": rank, **described(item, score)}
                    for rank, (score, item) in enumerate(kept[: options.k], start=1)
                ],
            }
            if len(scored):
                ranking["scored"] = [
                    described(*one) for one in zip(scored, given[number], strict=True)
                ]
            yield ranking


def _json_line(ranking: dict[str, Any]) -> str:
    return json.dumps(ranking) + "\n"


def _text(ranking: dict[str, Any]) -> str:
    """Keys first: what is shown can be the next query."""
    lines = ["", _named(ranking["query"], ranking["title"])]
    for item in [*ranking["items"], *ranking.get("scored", ())]:
        count = f"{item['train_count']} training pairs, {item['slice']}"
        named = _named(item["key"], item["title"])
        lines.append(f"{item.get('rank', '-'):>4}  {item['score']:6.3f}  {named}  ({count})")
    return "\n".join(lines) + "\n"


def _named(key: str, title: str) -> str:
    return cli.printable(key if title in ("", key) else f"{key}  {title}")


@contextlib.contextmanager
def _opened(output: str) -> Iterator[Callable[[str], object]]:
    """A function that writes to a file, which is there once it is whole, or to the terminal."""
    if not output:
        yield sys.stdout.write
        return
    with files.write_atomically(output) as stream:
        yield lambda text: stream.write(text.encode("utf-8"))


if __name__ == "__main__":
    cli.run(main, RecommendOptions)
