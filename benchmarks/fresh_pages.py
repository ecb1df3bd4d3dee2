"""Pages that a model has never seen, added to its server by title and categories alone.

    python -m benchmarks.fresh_pages --dump=DUMP.xml.bz2 --data_dir=data/wikipedia --work=runs/fresh

Takes held-out pages of a dataset out of its dump, makes a dataset and trains a model without them,
starts a server, and adds the pages through its API. Beside the recommendations for them stands the
ordinary evaluation: the same model's towers over the whole dataset's catalog, where the pages are
items without an id.
"""

from __future__ import annotations

import bz2
import dataclasses
import html
import json
import pathlib
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Mapping, Sequence

import httpx
import numpy as np

from benchmarks import harness
from benchmarks.server_process import post, serving
from data_prep.wiki.sites import parse_site
from data_prep.wiki.wikitext import PageParser
from ssl_recsys import files, schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import recall_at
from ssl_recsys.evaluation.pairs import rank_pairs
from ssl_recsys.model.embedding import Embedder, embed_rows
from ssl_recsys.options import option
from ssl_recsys.serving import index_files
from ssl_recsys.serving.raw_items import Embedders
from ssl_recsys.serving.versions import Store
from ssl_recsys.training.export import EMBEDDING, Signature, load_export, load_tower

_PAGE = re.compile(rb"[ \t]*<page>.*?</page>\n?", re.DOTALL)
_TITLE = re.compile(rb"<title>(.*?)</title>")
_KS = (10, 50)
_ID = "id"
# With --mixed_precision activations are rounded to 8 bits: what other rows in a batch do to the
# last digit of a sum can make a value the next one of these.
_TOLERANCE = 2**-8


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    dump: str = option("", "Dump (.xml.bz2).", required="the dump that --data_dir is made of")
    data_dir: str = option("", "Dataset of the dump.", required="what pipelines.wikipedia wrote")
    work: str = option("", "Directory for what is made; kept.", required="name a directory")
    flagfile_of_run: str = option("configs/wiki_best.flags", "Flags that the model is trained by.")
    pages: int = option(200, "Number of pages.", at_least=1)
    seed: int = option(0, "Of the choice of pages.", at_least=0)


def measure(options: Options) -> harness.Report:
    """Runs all of it, but for what --work holds already."""
    work = pathlib.Path(options.work)
    dataset = Dataset(options.data_dir)
    chosen = held_out_pages(dataset, options.pages, options.seed)
    keys = dataset.catalog(schema.ITEM).keys[chosen].tolist()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "pages.json").is_file():
        files.write_json(work / "pages.json", take_out(options.dump, {*keys}, work / "rest.xml"))
    pages = files.read_json(work / "pages.json")
    if missing := [*{*keys} - pages.keys()]:
        raise InputError(f"{options.dump} has no page {missing[0]!r}; is it that of --data_dir?")
    if not (work / "run" / "export").is_dir():
        _run("pipelines.wikipedia", f"--dump={work / 'rest.xml'}", f"--output_dir={work / 'data'}")
        _run("ssl_recsys.train", f"--flagfile={options.flagfile_of_run}",
             f"--data_dir={work / 'data'}", f"--model_dir={work / 'run'}")  # fmt: skip
    pairs = _pairs_of(dataset, chosen)
    embeddings = of_whole_catalog(dataset, work / "run" / "export")
    expected = rank_pairs(
        lambda side, rows: embeddings[side] if rows is None else embeddings[side][rows],
        pairs,
        max(_KS),
        own_item_rows=dataset.info.own_item_rows,
    )
    found = through_the_api(work, dataset, pages, pairs)
    apart, other_values = differences(work / "run", dataset, chosen, embeddings)
    unexplained = int((~explained(embeddings, pairs, found, apart)).sum())
    rows = [harness.Row("pairs", len(found))]
    for k in _KS:
        rows.append(harness.Row(f"Recall@{k}, ordinary evaluation", recall_at(expected, k)))
        rows.append(harness.Row(f"Recall@{k}, added through the API", recall_at(found, k)))
    rows += [
        harness.Row("encoded values that differ", other_values, target=0, at_most=True),
        harness.Row("largest distance of an embedding", apart, target=_TOLERANCE, at_most=True),
        harness.Row("pairs with another rank", int((expected != found).sum())),
        harness.Row("of these, not by that distance", unexplained, target=0, at_most=True),
    ]
    return harness.Report("fresh_pages", rows)


def held_out_pages(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """Rows of pages with test pairs as queries, no training pair on either side, and no id."""
    catalog, train = dataset.catalog(schema.ITEM), dataset.pairs(schema.TRAIN)
    rows = np.unique(dataset.pairs(schema.TEST).query_row)
    rows = rows[catalog.features[_ID][rows, 0] == 0]
    rows = np.setdiff1d(rows, np.union1d(train.query_row, train.item_row))
    if len(rows) < count:
        raise InputError(f"there are {len(rows)} such pages; give --pages={len(rows)}")
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def take_out(dump: str, titles: set[str], rest: pathlib.Path) -> dict[str, list[str]]:
    """Writes a dump without some pages; the categories of those by title."""
    with bz2.open(dump) as stream:
        text = stream.read()
    site = parse_site(text[: 1 << 16])
    if site is None:
        raise InputError(f"{dump} is no dump of pages")
    parser, found, kept, end = PageParser(site), {}, [], 0
    for match in _PAGE.finditer(text):
        title = _TITLE.search(match[0])
        if title is None or html.unescape(title[1].decode("utf-8", "replace")) not in titles:
            continue
        page = parser.parse(match[0].strip())
        found[page.title] = page.categories
        kept.append(text[end : match.start()])
        end = match.end()
    with files.write_atomically(rest) as output:
        output.writelines([*kept, text[end:]])
    return found


def _pairs_of(dataset: Dataset, chosen: np.ndarray) -> Pairs:
    pairs = dataset.pairs(schema.TEST)
    return pairs.take(np.flatnonzero(np.isin(pairs.query_row, chosen)))


def of_whole_catalog(dataset: Dataset, export: pathlib.Path) -> dict[str, np.ndarray]:
    """For each side `[num_items, dim]`, the embeddings of the dataset's encoded features."""
    catalog = in_vocabularies_of(dataset, export)
    found = {}
    for side in schema.SIDES:
        found[side] = embed_rows(_embedder(load_tower(export, side)["encoded"]), catalog)
    return found


def _embedder(tower: Signature) -> Embedder:
    return lambda features: tower(features)[EMBEDDING]


def explained(
    embeddings: Mapping[str, np.ndarray], pairs: Pairs, found: np.ndarray, apart: float
) -> np.ndarray:
    """`[pairs]` bool, whether a rank is right but for scores that are nearly equal.

    Where embeddings are up to `apart` from the catalog's, a score can be twice that from what it
    is there, and so can the one that it is compared with.
    """
    queries, query_of_pair = pairs.distinct_queries()
    scores = embeddings[schema.QUERY][queries] @ embeddings[schema.ITEM].T
    scores[np.arange(len(queries)), queries] = -np.inf  # the query's own item
    scores = scores[query_of_pair]  # [pairs, num_items]
    own = scores[np.arange(len(scores)), pairs.item_row, np.newaxis]
    least = (scores > own + 4 * apart).sum(axis=1) + 1
    most = (scores >= own - 4 * apart).sum(axis=1)
    last = max(_KS) + 1
    return (np.minimum(least, last) <= found) & (found <= np.minimum(most, last))


def differences(
    model_dir: pathlib.Path,
    dataset: Dataset,
    chosen: np.ndarray,
    embeddings: Mapping[str, np.ndarray],
) -> tuple[float, int]:
    """How far what the server has of the pages is from the dataset's catalog.

    Returns:
      The largest distance of an embedding, of the pages or of the other items, and how many of
      the pages' encoded values differ.
    """
    exported = load_export(model_dir)
    index = index_files.load(Store(model_dir), exported)
    assert index is not None, "the server has made it"
    rows = [index.row(key) for key in dataset.catalog(schema.ITEM).keys[chosen]]
    of_index = np.array(rows, np.int64)
    found = {
        schema.ITEM: index.embeddings(of_index),
        schema.QUERY: index.query_embeddings(of_index, exported),
    }
    apart = max(
        float(np.linalg.norm(found[side] - embeddings[side][chosen], axis=1).max())
        for side in found
    )
    row_of = {key: row for row, key in enumerate(dataset.catalog(schema.ITEM).keys)}
    others = embeddings[schema.ITEM][[row_of[key] for key in exported.catalog(schema.ITEM).keys]]
    apart = max(apart, float(np.linalg.norm(exported.item_embeddings - others, axis=1).max()))
    columns = [index.columns(row) or {} for row in of_index.tolist()]
    encoded = Embedders(exported).encode(
        {name: [one[name] for one in columns] for name in columns[0]}
    )
    catalog = in_vocabularies_of(dataset, exported.path)
    return apart, sum(
        int((encoded[name][:, : values.shape[1]] != values[chosen]).sum())
        for name, values in catalog.features.items()
    )


def through_the_api(
    work: pathlib.Path, dataset: Dataset, pages: Mapping[str, Sequence[str]], pairs: Pairs
) -> np.ndarray:
    """`[pairs]` ranks among a server's recommendations, once the pages were added to it."""
    keys = dataset.catalog(schema.ITEM).keys
    ranks: dict[str, dict[str, int]] = {}
    server_of = serving([work / "run"], work / "serve.log")
    with server_of as server, httpx.Client(base_url=server.url, timeout=120) as client:
        for title, categories in pages.items():
            body = {"columns": {"title": title, "categories": categories}}
            client.put(f"/v1/items/{urllib.parse.quote(title)}", json=body).raise_for_status()
        for key in dict.fromkeys(keys[pairs.query_row].tolist()):
            answer = post(client, "/v1/recommend", {"key": key, "k": max(_KS)})
            ranks[key] = {item["key"]: item["rank"] for item in answer["items"]}
    named = zip(keys[pairs.query_row], keys[pairs.item_row], strict=True)
    return np.array([ranks[query].get(item, max(_KS) + 1) for query, item in named])


def in_vocabularies_of(dataset: Dataset, export: pathlib.Path) -> Catalog:
    """The dataset's catalog by the ids of a model.

    Words and categories that only the pages had often enough have no id in the model's
    vocabularies, and others have another one.
    """
    catalog, found = dataset.catalog(schema.ITEM), {}
    for name, ids in catalog.features.items():
        old, new = (_tokens(directory, name) for directory in (dataset.data_dir, export))
        id_of = {token: place for place, token in enumerate(new, start=1)}
        renumbered = np.array([0, *(id_of.get(token, 0) for token in old)], np.int32)[ids]
        order = np.argsort(renumbered == 0, axis=1, kind="stable")  # no id in between is 0
        found[name] = np.take_along_axis(renumbered, order, 1)
    return dataclasses.replace(catalog, features=found)


def _tokens(directory: pathlib.Path, feature: str) -> list[str]:
    return schema.vocab_path(directory, feature).read_text(encoding="utf-8").split("\n")[:-1]


def _run(module: str, *flags: str) -> None:
    command = [sys.executable, "-m", module, *flags]
    print(json.dumps(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    harness.main(Options, measure)
