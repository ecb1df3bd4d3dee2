import hashlib

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from data_prep import dataset_files
from ssl_recsys import manifest
from ssl_recsys.errors import InputError


def names(directory):
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_a_file_is_whole_or_not_there_and_a_late_attempt_harms_nothing(tmp_path):
    directory = str(tmp_path)

    def pieces():  # another attempt begins and ends while this one writes
        yield b"first "
        assert not (tmp_path / "a" / "file").exists()
        dataset_files.write_file(directory, "a/file", [b"first second"])
        yield b"second"
        assert (tmp_path / "a" / "file").read_bytes() == b"first second"

    written = dataset_files.write_file(directory, "a/file", pieces())
    assert written == ("a/file", 12, hashlib.sha256(b"first second").hexdigest())

    def dies():
        yield b"fi"
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        dataset_files.write_file(directory, "a/file", dies())
    assert (tmp_path / "a" / "file").read_bytes() == b"first second"
    assert names(tmp_path) == ["file"]


def test_where_renaming_does_not_replace_the_first_attempt_stays(tmp_path, monkeypatch):
    dataset_files.write_file(str(tmp_path), "file", [b"same"])

    def rename(sources, targets):
        raise BeamIOError("it exists")

    monkeypatch.setattr(FileSystems, "rename", rename)
    dataset_files.write_file(str(tmp_path), "file", [b"same"])
    assert names(tmp_path) == ["file"]
    with pytest.raises(dataset_files.WriteError, match="it exists"):
        dataset_files.write_file(str(tmp_path), "other", [b"new"])
    assert names(tmp_path) == ["file"]


def test_lost_and_cut_files_are_noticed(tmp_path):
    directory = tmp_path / "with [brackets]"
    written = [dataset_files.write_text(str(directory), name, "text") for name in ("a/1", "a/2")]
    dataset_files.check_written(str(directory), written)
    (directory / "a" / "2").write_text("tex")
    with pytest.raises(InputError, match="has 3 bytes, not the 4"):
        dataset_files.check_written(str(directory), written)
    (directory / "a" / "2").unlink()
    with pytest.raises(InputError, match=r"1 of the 2 files .* .the first: a/2\).* share a disk"):
        dataset_files.check_written(str(directory), written)


def test_the_manifest_needs_no_reading_of_the_files(tmp_path):
    written = [dataset_files.write_text(str(tmp_path), f"a/{name}", name) for name in "xyé"]
    (tmp_path / "a" / "x.0123.attempt").write_text("half")  # of a worker that was killed
    dataset_files.remove_attempts(str(tmp_path))
    dataset_files.write_manifest(str(tmp_path), written)
    manifest.check(tmp_path)
    assert names(tmp_path) == ["manifest.json", "x", "y", "é"]
    by_reading = tmp_path / "manifest.json"
    found = by_reading.read_bytes()
    manifest.write(tmp_path)
    assert by_reading.read_bytes() == found
