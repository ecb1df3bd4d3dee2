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


def test_what_appears_while_a_job_runs_is_kept(tmp_path):
    target = tmp_path / "data"

    def run() -> None:
        with output_dir.staged(str(target), overwrite=False) as staging:
            (tmp_path / staging / "part").write_text("mine")
            target.mkdir()
            (target / "thesis.tex").write_text("precious")

    with pytest.raises(InputError, match=r"while the job ran.*data is in use.*rename it"):
        run()
    assert (target / "thesis.tex").read_text() == "precious"
    (finished,) = tmp_path.glob("data.incomplete-*")
    assert (finished / "part").read_text() == "mine"


def test_the_second_of_two_jobs_of_one_name_is_refused(tmp_path):
    target = tmp_path / "data"
    with (
        pytest.raises(InputError, match="while the job ran"),
        output_dir.staged(str(target), overwrite=False),
    ):
        write(target, "first")
    assert (target / "part").read_text() == "first"


def test_left_overs_of_killed_jobs_are_removed(tmp_path):
    left = tmp_path / "data.incomplete-0123abcd"
    left.mkdir()
    with output_dir.staged(str(tmp_path / "data"), overwrite=False) as running:
        assert not left.exists()
        write(tmp_path / "data2")  # another job leaves a running one's directory alone
        output_dir._recover(str(tmp_path / "data"))
        assert (tmp_path / running).is_dir()


def test_a_dataset_that_a_killed_job_had_moved_comes_back(tmp_path):
    write(tmp_path / "data", "old")
    (tmp_path / "data").rename(tmp_path / "data.incomplete-0123abcd.replaced")
    with pytest.raises(InputError, match="in use"):
        write(tmp_path / "data", "new")
    assert (tmp_path / "data" / "part").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
