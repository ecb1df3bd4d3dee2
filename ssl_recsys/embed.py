"""Embeds items of a table by a trained model, items that it has never seen among them.

    python -m ssl_recsys.embed --model_dir=runs/wiki_best --items=new.jsonl --output=new.npy
    python -m ssl_recsys.embed --model_dir=runs/wiki_best --items=new.csv --index

Tables (.csv, .tsv, .jsonl, .parquet) have the columns of the item table that the dataset was made
of; of a wiki `title` and `categories`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from ssl_recsys import cli, files, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluate import A_MODEL_DIR, MODEL_DIR, VERIFY
from ssl_recsys.options import Options, option
from ssl_recsys.training import run_dir

if TYPE_CHECKING:
    from ssl_recsys.serving.index import Added
    from ssl_recsys.training.export import Exported

_NPY, _PARQUET = ENDINGS = (".npy", ".parquet")


@dataclasses.dataclass(frozen=True)
class EmbedOptions(Options):
    """The command's flags."""

    model_dir: str = option("", MODEL_DIR, required=A_MODEL_DIR)
    items: tuple[str, ...] = option(
        (), "Tables of items, with commas between them.", required="name a table of items"
    )
    output: str = option(
        "",
        "File to write: .npy, with the keys beside it in .keys.txt, or .parquet with the columns "
        "key and embedding.",
    )
    side: str = option(
        schema.ITEM,
        "Embed as items, or as queries.",
        choices=schema.SIDES,
    )
    index: bool = option(
        False, "Add the items to the model's index; those with the key of an item replace it."
    )
    verify: bool = option(True, VERIFY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.output and not self.index:
            raise InputError("--output is missing: name a .npy or .parquet file (or add --index)")
        if self.output and pathlib.Path(self.output).suffix not in ENDINGS:
            raise InputError(f"--output must end in {' or '.join(ENDINGS)} (got {self.output!r})")


def main(options: EmbedOptions) -> None:
    """Writes the embeddings, or adds the items to the index, or both."""
    run_dir.finished_run(options.model_dir)  # before TensorFlow is loaded
    from ssl_recsys.serving.raw_items import Embedders, read_items
    from ssl_recsys.training.export import load_export

    exported = load_export(options.model_dir, verify=options.verify)
    embedders = Embedders(exported)
    if options.index and options.side != schema.ITEM and exported.info.queries:
        raise InputError("--index takes items, not users: leave --side at item, or --index out")
    side = options.side
    items = read_items(options.items, embedders.raw_of(side), embedders.sizes_of(side))
    added = embedders.added(items) if options.index else None
    if options.output:
        if added is None:
            embeddings = (
                embedders.embed_items(items)
                if side == schema.ITEM
                else embedders.embed(side, items.columns)
            )
        else:
            embeddings = added.item if side == schema.ITEM else added.query
        _write(pathlib.Path(options.output), items.keys, embeddings)
        print(f"wrote {len(items.keys):,} embeddings to {options.output}")
    if added is not None:
        _add(options, exported, added)


def _add(options: EmbedOptions, exported: Exported, added: Added) -> None:
    from ssl_recsys.serving import index_files
    from ssl_recsys.serving.versions import Store

    store = Store(options.model_dir)
    with store.locked():
        now = index_files.load(store, exported)
        if now is None:
            raise InputError(
                f"{options.model_dir} has no index to add items to; build it first: python -m "
                f"ssl_recsys.index --model_dir={options.model_dir}"
            )
        version = index_files.change(store, now, added, ())
    print(f"added {len(added.keys):,} items to {store.path}, version {version}")


def _write(path: pathlib.Path, keys: list[str], embeddings: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    if path.suffix == _NPY:
        files.write_text(path.with_suffix(".keys.txt"), "".join(f"{key}\n" for key in keys))
        with files.write_atomically(path) as stream:
            np.save(stream, embeddings)
        return
    rows = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    table = pa.table({"key": pa.array(keys), "embedding": rows})
    with files.write_atomically(path) as stream:
        pa.parquet.write_table(table, stream)


if __name__ == "__main__":
    cli.run(main, EmbedOptions)
