"""Damaged spec files and dataset.json: read with the right types, or an InputError of one line."""

import hypothesis
import hypothesis.strategies as st

from tests.fuzz import spec as fuzz


def test_damaged_json(tmp_path):
    @hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
    @hypothesis.given(st.integers(0, 2**30))
    def check(case):
        fuzz.one_case(case, tmp_path)

    check()
