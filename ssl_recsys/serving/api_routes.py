"""The routes of the API, `/v1/…`."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.serving import messages, raw_queries, recommending
from ssl_recsys.serving.index import Columns
from ssl_recsys.serving.live_model import LiveModel
from ssl_recsys.serving.raw_items import item_columns
from ssl_recsys.serving.server import Server, live_of, server_of

# What every route may answer; FastAPI documents its own 422.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": messages.Error, "description": description}
    for status, description in (
        (400, "The request is malformed."),
        (404, "There is no such model or item."),
        (413, "The body is too long."),
        (422, "A value cannot be used; `detail` says which."),
        (503, "The server is busy: try again after the seconds of Retry-After."),
    )
}
router = APIRouter(prefix="/v1", responses=ERRORS)
TheServer = Annotated[Server, Depends(server_of)]
Live = Annotated[LiveModel, Depends(live_of)]


@router.get("/models", response_model=messages.ModelList)
async def models(server: TheServer) -> Any:
    """The models, the default one first."""
    return JSONResponse({"models": [served.live.summary() for served in server.models]})


@router.post("/recommend", response_model=messages.Recommendations)
async def recommend(server: TheServer, request: messages.RecommendRequest) -> Any:
    """The items that a model recommends for an item, several, raw features, words, a history."""
    live = server.models[request.model].live
    if request.k > server.limits.max_k:
        raise InputError(f"k is at most {server.limits.max_k:,} (got {request.k:,})")
    if request.only is None:
        query = to_query(live, request)
    else:  # looks through the catalog
        query = await run_in_threadpool(to_query, live, request)
    items = await server.recommend(query)
    named = live.described(query.rows[0]) if request.key is not None else None
    return JSONResponse(
        {
            "model": live.name,
            "index_version": live.index.version,
            "query": named and {"key": named["key"], "title": named["title"]},
            "items": items,
        }
    )


def to_query(live: LiveModel, request: messages.RecommendRequest) -> recommending.Query:
    """What a request asks of a model.

    Raises:
      InputError: for a key, column, feature or value that there is not.
    """
    keys = request.keys or ([request.key] if request.key is not None else [])
    if keys and live.trained.exported.info.queries:
        raise InputError(
            f"an item is no query of model {live.name!r}, whose queries are users: give a history, "
            "or an item with a user's raw features"
        )
    raw, own = _raw_query(live, request)
    own += keys
    left_out = [*request.exclude, *(own if request.exclude_self else [])]
    rows = (live.index.row(key) for key in left_out)  # what is not there needs no leaving out
    return recommending.Query(
        live,
        tuple(live.row(key) for key in keys),
        raw,
        request.k,
        frozenset(row for row in rows if row is not None),
        None if request.only is None else _only(live, request.only),
    )


def _raw_query(
    live: LiveModel, request: messages.RecommendRequest
) -> tuple[Columns | None, list[str]]:
    """A query's raw features, if it has any, and the keys of the items that it is or has."""
    if request.item is request.text is request.history is None:
        return None, []
    info, embedders = live.trained.exported.info, live.embedders()
    rules = embedders.raw_of(schema.QUERY)
    if request.item is not None:
        raw = item_columns(rules, request.item, embedders.sizes_of(schema.QUERY))
        key = raw[rules.key]
        return raw, [key] if isinstance(key, str) and not info.queries else []
    if request.text is not None:
        columns, own = raw_queries.of_texts(rules, [request.text]), []
    else:
        own = list(request.history or ())
        columns = raw_queries.of_histories(info, rules, [own])
    return {name: values[0] for name, values in columns.items()}, own


def _only(live: LiveModel, only: messages.Only) -> np.ndarray:
    if only.keys is not None:
        return np.array(sorted({live.row(key) for key in only.keys}), np.int64)
    assert only.feature is not None
    assert only.value is not None
    return live.trained.features.rows_with(live.index, only.feature, only.value)


@router.get("/suggest", response_model=messages.Suggested)
def suggest(
    live: Live,
    q: Annotated[messages.Text, Query(description="What was typed.")],
    limit: Annotated[int, Query(ge=1, le=messages.MAX_SUGGESTIONS)] = 10,
) -> Any:
    """Items whose title begins with what was typed, then those with a word that does."""
    return JSONResponse({"items": [live.described(row) for row in live.suggested(q, limit)]})


@router.get("/items/{key:path}", response_model=messages.FullItem)
async def get_item(live: Live, key: messages.Key) -> Any:
    """What an item is."""
    row = live.row(key)
    described = live.described(row)
    return JSONResponse({"model": live.name, **described, "features": live.features_of(row)})


@router.put(
    "/items/{key:path}",
    response_model=messages.Changed,
    responses={
        201: {"model": messages.Changed, "description": "There was no such item."},
        412: {"model": messages.Error, "description": "There is one, against If-None-Match: *."},
    },
)
async def put_item(
    server: TheServer,
    key: messages.Key,
    item: messages.ItemRequest,
    model: str | None = None,
    if_none_match: Annotated[str | None, Header(description="`*`: add, but change none.")] = None,
) -> Any:
    """Adds an item, or changes the one with the key; it is found at once, and after a restart."""
    served = server.models[model]
    only_new = if_none_match == "*"
    change = functools.partial(served.put, key, item.columns, only_new=only_new)
    was_new = await server.change(change)
    return _changed(served.live, key, 201 if was_new else 200)


@router.delete("/items/{key:path}", response_model=messages.Changed)
async def delete_item(server: TheServer, key: messages.Key, model: str | None = None) -> Any:
    """Removes an item: it is not found any more, nor after a restart."""
    served = server.models[model]
    await server.change(functools.partial(served.remove, key))
    return _changed(served.live, key, 200)


@router.post("/reload", response_model=messages.Reloaded)
async def reload(server: TheServer, request: messages.ReloadRequest | None = None) -> Any:
    """Switches to the newest model and index, of one model or of all."""
    name = request.model if request else None
    chosen = [*server.models] if name is None else [server.models[name]]
    changed = [await server.reload(served) for served in chosen]
    return JSONResponse(
        {
            "models": [
                {
                    "name": served.name,
                    "changed": has_changed,
                    "index_version": served.live.index.version,
                }
                for served, has_changed in zip(chosen, changed, strict=True)
            ]
        }
    )


def _changed(live: LiveModel, key: str, status: int) -> JSONResponse:
    content = {"model": live.name, "key": key, "index_version": live.index.version}
    return JSONResponse(content, status)
