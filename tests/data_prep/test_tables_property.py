"""Damaged files in each format: an InputError or rows, the same however a file is cut."""

import hypothesis
import hypothesis.strategies as st
import pytest

from tests.fuzz import table_files
from tests.fuzz import tables as fuzz


@pytest.mark.parametrize("format_index", range(len(table_files.ENDINGS)), ids=table_files.ENDINGS)
def test_random_files(tmp_path_factory, monkeypatch, format_index):
    monkeypatch.setattr(fuzz.tables, "_PIECE_BYTES", fuzz.tables._PIECE_BYTES)  # restored after
    directory = tmp_path_factory.mktemp("random")

    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
    @hypothesis.given(st.integers(0, 2**30))
    def check(number):
        fuzz.run_case(number * len(table_files.ENDINGS) + format_index, directory)

    check()


def test_any_bytes(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(fuzz.tables, "_PIECE_BYTES", fuzz.tables._PIECE_BYTES)
    directory = tmp_path_factory.mktemp("bytes")
    alphabet = st.sampled_from(
        [b"a", b",", b'"', b"\n", b"\r", b"\t", b"\xef\xbb\xbf", b"\xff", b"{"]
    )

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
    @hypothesis.given(st.sampled_from(table_files.ENDINGS[:3]), st.lists(alphabet, max_size=40))
    def check(ending, tokens):
        data = b"a,b\n" + b"".join(tokens)
        fuzz.check_file(data, directory / f"t{ending}", fuzz.tables.DEFAULT_TEXT, 7)

    check()
