"""Files are compressed by their ending and take their name only when they are whole."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from data_prep.compressed import write_compressed
from ssl_recsys.errors import InputError

_OPENERS = {".txt": open, ".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}


@pytest.mark.parametrize("ending", list(_OPENERS))
def test_content_reads_back(tmp_path, ending):
    path = tmp_path / "new" / f"file{ending}"
    with write_compressed(path) as stream:
        stream.write(b"one\n")
        stream.write(b"two\n")
        assert not path.exists()
    with _OPENERS[ending](path, "rb") as stream:
        assert stream.read() == b"one\ntwo\n"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_same_content_gives_same_bytes(tmp_path):
    for name in ("a.gz", "b.gz"):
        with write_compressed(tmp_path / name) as stream:
            stream.write(b"same" * 100)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def _fail_half_way(path: Path) -> None:
    with write_compressed(path) as stream:
        stream.write(b"new")
        raise RuntimeError("stopped")


def test_a_failure_leaves_nothing_new(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        _fail_half_way(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a directory"), write_compressed(tmp_path):
        pass
