"""The routes of the API that the page needs besides: explanations, and the map of a catalogue."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.raw import rules
from ssl_recsys.serving import messages
from ssl_recsys.serving.api_routes import ERRORS, Live, TheServer
from ssl_recsys.serving.explain import Encoded
from ssl_recsys.serving.live_model import LiveModel
from ssl_recsys.serving.map import MOST_POINTS, Layout, groups_of, region_names
from ssl_recsys.serving.raw_items import item_columns

router = APIRouter(prefix="/v1", responses=ERRORS)
_MOST_ADDED = 200  # items that a build lacks, on a map: the latest


@router.post("/explain", response_model=messages.Explanation)
def explain(server: TheServer, request: messages.ExplainRequest) -> Any:
    """What the score of an item for a query rests on: shared values, each feature left out."""
    live = server.models[request.model].live
    if live.trained.exported.info.queries:
        raise InputError(
            f"model {live.name!r} has users for queries; scores are explained where both are items"
        )
    row = live.row(request.item)
    item = _of_row(live, row)
    if isinstance(request.query, str):
        query = _of_row(live, live.row(request.query))
    else:
        embedders = live.embedders()
        columns = item_columns(embedders.raw, request.query, embedders.sizes_of(schema.ITEM))
        query = live.trained.explainer.of_columns(columns)
    (scale,) = live.trained.exported.scales([live.index.keys[row]])
    texts = live.trained.features.texts
    found = live.trained.explainer.explain(query, item, texts, float(scale[0]))
    return JSONResponse({"model": live.name, **dataclasses.asdict(found)})


def _of_row(live: LiveModel, row: int) -> Encoded:
    columns = live.index.columns(row)
    if columns is None:
        return live.trained.explainer.of_catalog(int(live.index.rows[row]))
    return live.trained.explainer.of_columns(columns)


@router.get("/map", response_model=messages.CatalogMap)
async def catalog_map(
    request: Request,
    live: Live,
    limit: Annotated[int, Query(ge=0, le=MOST_POINTS, description="Size of the sample.")] = (
        MOST_POINTS
    ),
    key: Annotated[
        list[messages.Key],
        Query(max_length=messages.MAX_QUERY_KEYS, description="Items that are there in any case."),
    ] = [],  # noqa: B006 (FastAPI copies it)
) -> Any:
    """A sample of the catalogue on a plane, where items with similar embeddings are neighbours."""
    build = live.index.build
    layout = await request.app.state.layouts.get(build, lambda: build.embeddings)
    return JSONResponse(await run_in_threadpool(_drawn, live, layout, key, limit))


def _drawn(live: LiveModel, layout: Layout, keys: list[str], limit: int) -> dict[str, Any]:
    index, size = live.index, len(live.index.build.keys)
    shown = np.flatnonzero(np.isin(layout.rows, index.live))[:limit]
    added = np.arange(size, len(index.keys))[-_MOST_ADDED:] if limit else np.arange(0)
    asked = [row for row in map(index.row, keys) if row is not None]
    there = {*layout.rows[shown].tolist()}
    beside = np.array(
        [row for row in dict.fromkeys([*added.tolist(), *asked]) if row not in there], int
    )
    rows = [*layout.rows[shown].tolist(), *beside.tolist()]
    places = [*layout.places[shown].tolist(), *layout.place(index.embeddings(beside)).tolist()]
    feature = group_feature(live.trained.exported.info)
    values = [live.features_of(row).get(feature, []) for row in rows]
    groups = groups_of(values)
    points = [
        {**live.described(row), "x": round(x, 4), "y": round(y, 4), "group": group}
        for row, (x, y), group in zip(rows, places, groups, strict=True)
    ]
    labels = _labels(layout.regions[shown], layout.places[shown], values[: len(shown)])
    return {"points": points, "labels": labels, "groups": feature or None}


def _labels(
    regions: np.ndarray, places: np.ndarray, values: list[list[str]]
) -> list[dict[str, Any]]:
    """Names of regions, each in the middle of the items that have it."""
    labels = []
    for text, points in region_names(regions, values).values():
        x, y = np.median(places[points], axis=0).tolist()
        labels.append({"text": text, "x": round(x, 4), "y": round(y, 4)})
    return labels


def group_feature(info: schema.DatasetInfo) -> str:
    """The feature whose values group items best: a bag, else another with values that items share.

    Words of a text are not, nor is what names an item; empty where there is no such feature.
    """
    made = {one.name: one for one in info.raw.features} if info.raw else {}
    found = [
        spec
        for spec in info.features_of(schema.ITEM)
        if spec.is_embedded and not _names_items(info, spec, made.get(spec.name))
    ]
    first, *_ = [*sorted(found, key=lambda spec: not spec.is_pooled), None]
    return first.name if first else ""


def _names_items(
    info: schema.DatasetInfo, spec: FeatureSpec, rule: rules.RawFeature | None
) -> bool:
    """Whether values of a feature are words, or names of single items."""
    if rule is None or info.raw is None:
        return spec.num_tokens > info.num_items / 2
    return rule.rule == rules.WORDS or rule.column == info.raw.key
