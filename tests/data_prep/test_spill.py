"""What passes between steps, on disk: the same values come back, and nothing is left."""

import io
import os
import pickle
from typing import NamedTuple

import numpy as np
import pytest

from data_prep import spill
from data_prep.dataset_files import WriteError
from ssl_recsys.errors import InputError


class Named(NamedTuple):
    digests: np.ndarray
    names: list[str]


LARGE = Named(np.arange(5000, dtype=np.uint64), [f"Straße {n}" for n in range(5000)])


def test_large_values_are_stored_and_come_back(tmp_path):
    staging = tmp_path / "data"
    staging.mkdir()
    with spill.opened("", str(staging)) as own:
        # A worker gets the object pickled, once for each step that it works on.
        copies = [pickle.loads(pickle.dumps(own)) for _ in range(2)]
        stored = [copy.put(LARGE) for copy in (*copies, *copies)]
        # The references pass through the runner, which pickles them as well.
        assert len(pickle.dumps(stored[0])) < 500
        assert len({reference.path for reference in stored}) == 2
        assert [reference.start for reference in stored] == [0, 0, *(s.size for s in stored[:2])]
        for reference in stored:
            found = spill.get(pickle.loads(pickle.dumps(reference)))
            np.testing.assert_array_equal(found.digests, LARGE.digests)
            assert found.names == LARGE.names
            found.digests[0] = 7  # as writable as the ones that a runner hands on
        small = Named(np.zeros(1), ["a"])
        assert copies[0].put(small) is small
        assert list(copies[0].put_all([(3, small)])) == [(3, small)]
        assert spill.first({"a": [stored[0]]}, "a").names == LARGE.names
        assert spill.first({"a": []}, "a", small) is small
    assert list(staging.iterdir()) == []


def test_without_a_directory_all_is_handed_on():
    assert spill.NO_SPILL.put(LARGE) is LARGE
    assert spill.get(LARGE) is LARGE


def test_a_directory_of_the_users(tmp_path):
    with spill.opened(str(tmp_path), "s3://bucket/data") as own:
        assert os.path.dirname(os.path.dirname(own.put(LARGE).path)) == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(InputError, match=r"--spill_dir=.*missing: No such .*; name a directory on"),
        spill.opened(str(tmp_path / "missing"), "s3://bucket/data"),
    ):
        pass


def test_a_full_disk_ends_the_job_with_the_reason(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill, "_create", lambda directory: Full())
    with pytest.raises(WriteError, match=r"No space left on device; .* by --spill_dir"):
        spill.Spill(str(tmp_path)).put(LARGE)
