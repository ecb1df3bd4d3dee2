import pytest

from data_prep import output_dir
from ssl_recsys import schema
from ssl_recsys.errors import InputError


def write(target, text="x", *, overwrite=False, fail=False):
    with output_dir.staged(str(target), overwrite=overwrite) as staging:
        for name in ("part", schema.DATASET_FILE):
            with open(f"{staging}/{name}", "w") as file:
                file.write(text)
        if fail:
            raise RuntimeError("on purpose")


def test_the_directory_appears_when_it_is_whole(tmp_path):
    write(tmp_path / "deep" / "data")
    assert (tmp_path / "deep" / "data" / "part").read_text() == "x"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["data"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"):
        write(tmp_path / "data", fail=True)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_use_is_kept(tmp_path):
    write(tmp_path / "data", "old")
    with pytest.raises(InputError, match="in use"):
        write(tmp_path / "data", "new")
    with pytest.raises(RuntimeError):
        write(tmp_path / "data", "new", overwrite=True, fail=True)
    assert (tmp_path / "data" / "part").read_text() == "old"
    write(tmp_path / "data", "new", overwrite=True)
    assert (tmp_path / "data" / "part").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_overwrite_replaces_datasets_only(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="datasets only"):
        write(tmp_path, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        write(tmp_path / "thesis.tex", overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_an_empty_directory_is_free(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data")
    assert (tmp_path / "data" / "part").exists()
