"""Builds a model's index, switches between its versions, or removes items from it.

    python -m ssl_recsys.index --model_dir=runs/wiki_best
    python -m ssl_recsys.index --model_dir=runs/wiki_best --use_version=2

`ssl_recsys.embed --index` adds items. A new build takes in what was added, and leaves out what was
removed.
"""

from __future__ import annotations

import dataclasses
import importlib.util

from ssl_recsys import cli
from ssl_recsys.errors import InputError
from ssl_recsys.evaluate import A_MODEL_DIR, MODEL_DIR, SCANN_REORDER, VERIFY
from ssl_recsys.options import Options, option
from ssl_recsys.search import EXACT, FLOAT32, REORDER_DTYPES, RETRIEVALS, SCANN
from ssl_recsys.training import run_dir

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class IndexOptions(Options):
    """The command's flags."""

    model_dir: str = option("", MODEL_DIR, required=A_MODEL_DIR)
    retrieval: str = option(
        AUTO,
        "How it is searched; auto: by ScaNN where there are over 20,000 items and it is installed.",
        choices=(AUTO, *RETRIEVALS),
    )
    scann_reorder: str = option(FLOAT32, SCANN_REORDER, choices=REORDER_DTYPES)
    use_version: int = option(0, "Build nothing: make this version the current one.", at_least=0)
    remove: tuple[str, ...] = option(
        (), "Build nothing: remove the item with this key; may be repeated.", repeated=True
    )
    from_catalog: bool = option(
        False, "Build over the model's catalog alone: forget added and removed items."
    )
    verify: bool = option(True, VERIFY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.use_version and self.remove:
            raise InputError("--use_version and --remove are two commands; give one of them")


def main(options: IndexOptions) -> None:
    """Makes a version the current one, and prints what it is."""
    run_dir.finished_run(options.model_dir)  # before TensorFlow is loaded
    from ssl_recsys.serving import index, index_files
    from ssl_recsys.serving.versions import Store
    from ssl_recsys.training.export import load_export

    exported = load_export(options.model_dir, verify=options.verify)
    store = Store(options.model_dir)
    with store.locked():
        if options.use_version:
            index_files.load(store, exported, version=options.use_version)  # it must be whole
            store.use(options.use_version)
        elif options.remove:
            now = index_files.load(store, exported)
            if now is None:
                raise InputError(f"{options.model_dir} has no index to remove items from; build it")
            index_files.change(
                store, now, index.no_items(now.build.embeddings.shape[1]), options.remove
            )
        else:
            old = None if options.from_catalog else index_files.load(store, exported)
            items = old.num_items if old else exported.info.num_items
            index_files.build(
                store,
                exported,
                old,
                _retrieval(options.retrieval, items),
                reorder_dtype=options.scann_reorder,
            )
        made = index_files.load(store, exported)
    assert made is not None, "a version was made the current one"
    described = ", ".join(f"{name} {value}" for name, value in index.described(made).items())
    print(f"{store.path}: {described}; versions {', '.join(map(str, store.versions()))}")


def _retrieval(wanted: str, num_items: int) -> str:
    if wanted != AUTO:
        return wanted
    from ssl_recsys.search.scann_params import MAX_BRUTE_FORCE_ITEMS

    is_large = num_items > MAX_BRUTE_FORCE_ITEMS  # up to it ScaNN itself searches everything
    return SCANN if is_large and importlib.util.find_spec("scann") else EXACT


if __name__ == "__main__":
    cli.run(main, IndexOptions)
