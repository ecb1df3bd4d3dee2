"""Damage of a dataset is named before any of it is used."""

import pathlib
import shutil

import numpy as np
import pytest

from ssl_recsys import files, manifest, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from tests import small_dataset
from tests.ssl_recsys import commands

MUTATIONS = 200


@pytest.fixture
def dataset(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    (copy / schema.VOCAB_DIR).mkdir(exist_ok=True)
    schema.vocab_path(copy, "id").write_text("a\nb\n")
    manifest.write(copy)
    return copy


def mutate(path: pathlib.Path, rng: np.random.Generator) -> bytes | None:
    """Other contents of a file, or None for a deletion."""
    whole = bytearray(path.read_bytes())
    kind = rng.choice(["byte", "cut", "delete"], p=[0.7, 0.2, 0.1])
    if kind == "delete":
        return None
    place = int(rng.integers(len(whole)))
    if kind == "cut":
        return bytes(whole[:place])
    whole[place] ^= int(rng.integers(1, 256))
    return bytes(whole)


def says_the_same(changed: bytes, path: pathlib.Path) -> bool:
    """Whether a mutated manifest differs in white space alone."""
    before = files.read_json(path)
    (path.parent.parent / "mutated.json").write_bytes(changed)
    try:
        return files.read_json(path.parent.parent / "mutated.json") == before
    except InputError:
        return False


def test_any_mutation_of_any_file_is_an_error_that_names_it(dataset: pathlib.Path) -> None:
    rng = np.random.default_rng(7)
    paths = sorted(path for path in dataset.rglob("*") if path.is_file())
    assert len(paths) == 11  # 2 x 2 of TFDS, catalog, 3 splits, vocabulary, dataset.json, manifest
    tried = 0
    while tried < MUTATIONS:
        path = paths[int(rng.integers(len(paths)))]
        changed, whole = mutate(path, rng), path.read_bytes()
        if path.name == files.MANIFEST_FILE and (changed is None or says_the_same(changed, path)):
            continue  # without a manifest, a dataset is one of an earlier version
        tried += 1
        if changed is None:
            path.unlink()
        else:
            path.write_bytes(changed)
        with pytest.raises(InputError, match=str(path)):
            Dataset(dataset)
        path.write_bytes(whole)
    Dataset(dataset)


def test_damage_stops_train_before_it_writes(dataset: pathlib.Path, tmp_path: pathlib.Path) -> None:
    schema.vocab_path(dataset, "id").write_text("a\nB\n")
    arguments = commands.small_run(dataset, tmp_path / "run")
    with pytest.raises(InputError, match=r"vocab/id\.txt is damaged"):
        commands.train(*arguments)
    assert not (tmp_path / "run").exists()
    assert Dataset(dataset, verify=False).info.num_items == 120


def test_a_process_reads_unchanged_files_once(
    dataset: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = manifest._sha256

    def counted(path: pathlib.Path) -> str:
        read.append(path.name)
        return plain(path)

    monkeypatch.setattr(manifest, "_sha256", counted)
    Dataset(dataset)
    Dataset(dataset)
    assert len(read) == 10
    assert len(set(read)) == 8  # features.json and dataset_info.json are there twice
    schema.vocab_path(dataset, "id").write_text("a\nc\n")
    with pytest.raises(InputError, match="damaged"):
        Dataset(dataset)


def test_a_dataset_of_an_earlier_version_gives_one_warning(
    dataset: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (dataset / files.MANIFEST_FILE).unlink()
    for _ in range(2):
        Dataset(dataset)
    assert [record.getMessage() for record in caplog.records] == [
        f"{dataset} has no manifest.json, since an earlier version made it: its files are read "
        "without a check of their digests"
    ]


def test_a_file_of_no_use_is_named(dataset: pathlib.Path) -> None:
    (dataset / "pairs" / "more").write_text("")
    with pytest.raises(InputError, match=r"pairs/more is unknown"):
        Dataset(dataset)


@pytest.mark.parametrize("entry", ["7", '{"bytes": 2}', '{"bytes": "2", "sha256": "x"}'])
def test_a_manifest_of_another_form_is_an_error(entry: str, tmp_path: pathlib.Path) -> None:
    small_dataset.write(tmp_path, num_pairs=300)
    names = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    entries = ", ".join(f'"{name}": {entry}' for name in names if name.name != files.MANIFEST_FILE)
    (tmp_path / files.MANIFEST_FILE).write_text(f'{{"files": {{{entries}}}}}')
    with pytest.raises(InputError, match=r"manifest\.json"):
        Dataset(tmp_path)
