"""Takes repeated work out of Beam's construction of a pipeline.

For every step Beam inspects the signatures of all methods of its DoFn several times, most of them
inherited, and parses the options anew for each look at one. Together that was half of what a job
takes before it reads. Results are the same. A version of Beam without such a function is left as it
is.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core

_SIGNATURES = "get_function_args_defaults"
_Signature = tuple[list[str], list[Any]]


class Options(PipelineOptions):
    """Options that make each of their views once; views share their values as they are."""

    def view_as(self, cls: Any) -> Any:
        """The view as `cls`."""
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_views", None)
        return state


@contextlib.contextmanager
def signatures_once() -> Iterator[None]:
    """Within the block, Beam inspects the signature of each function once."""
    inspect = getattr(core, _SIGNATURES, None)
    if inspect is None:
        yield
        return
    setattr(core, _SIGNATURES, _once(inspect))
    try:
        yield
    finally:
        setattr(core, _SIGNATURES, inspect)


def _once(inspect: Callable[[Any], _Signature]) -> Callable[[Any], _Signature]:
    found: dict[Any, _Signature] = {}

    def get(function: Any) -> _Signature:
        # The methods of all objects of a class have one signature.
        is_method = isinstance(function, types.MethodType)
        plain = function.__func__ if is_method else function
        if not isinstance(plain, types.FunctionType):
            return inspect(function)
        key = (is_method, plain)
        if key not in found:
            found[key] = inspect(function)
        names, defaults = found[key]
        return list(names), list(defaults)

    return get
