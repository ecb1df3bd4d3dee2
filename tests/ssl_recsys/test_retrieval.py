import dataclasses
import pathlib
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_recsys.errors import InputError
from ssl_recsys.search import exact as exact_search
from ssl_recsys.search import interface as retrieval
from ssl_recsys.search.exact import ExactSearch
from ssl_recsys.search.scann import ScannSearch
from ssl_recsys.search.scann_params import ScannParams, calibrate, choose_scann_params

needs_scann = pytest.mark.skipif(sys.platform != "linux", reason="ScaNN is made for Linux")


def normalized(array):
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def lattice(rng, rows, dim):
    """Small integers: their products are exact in float32, and ties are many."""
    return rng.integers(-2, 3, (rows, dim)).astype(np.float32)


def clustered(num_items, num_queries, dim=64, seed=0):
    """Items around centres of power-law sizes, and queries near items, as trained towers give."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dim + 1) ** -0.5
    centres = rng.standard_normal((max(20, num_items // 100), dim)) * scale
    share = np.arange(1, len(centres) + 1) ** -0.7
    centre = rng.choice(len(centres), num_items, p=share / share.sum())
    items = normalized(centres[centre] + 0.5 * rng.standard_normal((num_items, dim)) * scale)
    noise = 0.5 * normalized(rng.standard_normal((num_queries, dim)))
    return items, normalized(items[rng.integers(0, num_items, num_queries)] + noise)


def plain_search(items, queries, k):
    scores = queries @ items.T
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def plain_ranks(items, queries, query_of_pair, item_row, max_rank):
    ranks = []
    for query, row in zip(query_of_pair, item_row, strict=True):
        scores = items @ queries[query]
        others = np.delete(scores, row)
        ranks.append(min(1 + int(np.sum(others >= scores[row])), max_rank + 1))
    return ranks


def shrink(monkeypatch):
    monkeypatch.setattr(exact_search, "_ITEM_BLOCK", 256)
    monkeypatch.setattr(exact_search, "_QUERY_CHUNK", 3)
    monkeypatch.setattr(exact_search, "_GROUP_CHUNK", 5)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that a few hundred items fill several, and reservoirs overflow."""
    shrink(monkeypatch)


def test_a_mapped_corpus_is_shared_and_others_are_copied(tmp_path: pathlib.Path) -> None:
    items, _ = clustered(768, 1, dim=24)
    np.save(tmp_path / "items.npy", items)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="c")
    (block,) = ExactSearch(mapped)._blocks
    assert np.shares_memory(np.asarray(memoryview(block)), mapped)
    # Padded rows, an odd beginning and read-only memory: copies.
    odd = np.empty(items.size + 1, np.float32)[1:].reshape(items.shape)
    odd[:] = items
    read_only = np.load(tmp_path / "items.npy", mmap_mode="r")
    for array in (mapped, mapped[:700], odd, read_only):
        _, rows = ExactSearch(array).search(items[:40], 9)
        np.testing.assert_array_equal(rows, plain_search(items[: len(array)], items[:40], 9)[1])


def test_search_by_hand():
    items = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    scores, rows = ExactSearch(items).search(np.array([[1, 0], [0, 1]], np.float32), 3)
    # Products with [1, 0]: 1, 0, -1, .6; with [0, 1]: 0, 1, 0, .8, where row 0 precedes row 2.
    np.testing.assert_allclose(scores, [[1, 0.6, 0], [1, 0.8, 0]])
    np.testing.assert_array_equal(rows, [[0, 3, 1], [1, 3, 0]])
    assert scores.dtype == np.float32
    assert rows.dtype == np.int32


def test_ranks_by_hand():
    items = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    # For [0, 1] rows 0 and 2 tie at 0 behind rows 1 and 3: both have rank 4.
    ranks = ExactSearch(items).ranks(queries, [0, 0, 1, 1, 1], [0, 2, 1, 0, 2], max_rank=10)
    np.testing.assert_array_equal(ranks, [1, 4, 1, 4, 4])
    assert ranks.dtype == np.int32
    ranks = ExactSearch(items).ranks(queries, [0, 0, 1, 1, 1], [0, 2, 1, 0, 2], max_rank=2)
    np.testing.assert_array_equal(ranks, [1, 3, 1, 3, 3])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("num_items", "num_queries", "k"), [(1, 1, 1), (700, 8, 10), (900, 5, 60)])
def test_blocks_agree_with_the_plain_form(num_items, num_queries, k):
    rng = np.random.default_rng(num_items)
    items, queries = lattice(rng, num_items, 5), lattice(rng, num_queries, 5)
    index = ExactSearch(items)
    scores, rows = index.search(queries, k)
    plain_scores, plain_rows = plain_search(items, queries, k)
    np.testing.assert_array_equal(rows, plain_rows)
    np.testing.assert_array_equal(scores, plain_scores)
    query_of_pair, item_row = rng.integers(0, num_queries, 50), rng.integers(0, num_items, 50)
    np.testing.assert_array_equal(
        index.ranks(queries, query_of_pair, item_row, k),
        plain_ranks(items, queries, query_of_pair, item_row, k),
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ranks_have_the_plain_form(data):
    num_items = data.draw(st.integers(1, 600))
    num_queries = data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    items, queries = lattice(rng, num_items, 3), lattice(rng, num_queries, 3)
    query_of_pair = data.draw(st.lists(st.integers(0, num_queries - 1), max_size=20))
    item_row = rng.integers(0, num_items, len(query_of_pair))
    max_rank = data.draw(st.integers(1, 700))
    pairs = (np.array(query_of_pair, int), item_row)
    expected = plain_ranks(items, queries, query_of_pair, item_row, max_rank)
    np.testing.assert_array_equal(ExactSearch(items).ranks(queries, *pairs, max_rank), expected)
    k = data.draw(st.integers(1, 700))
    ranks, rows = ExactSearch(items).ranks_and_top(queries, *pairs, max_rank, k)
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(rows, plain_search(items, queries, k)[1])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_items=st.integers(1, 1000),
    k=st.integers(1, 60),
    dim=st.integers(1, 4),
)
def test_search_has_the_plain_form_ties_by_row(seed, num_items, k, dim):
    rng = np.random.default_rng(seed)
    items, queries = lattice(rng, num_items, dim), lattice(rng, 4, dim)
    plain_scores, plain_rows = plain_search(items, queries, k)
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        scores, rows = ExactSearch(items).search(queries, k)
    np.testing.assert_array_equal(rows, plain_rows)
    np.testing.assert_array_equal(scores, plain_scores)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 40))
def test_a_rank_is_a_place_in_the_search_result(seed, k):
    rng = np.random.default_rng(seed)
    items = normalized(rng.standard_normal((300, 16)))
    queries = normalized(rng.standard_normal((4, 16)))
    index = ExactSearch(items)
    _, rows = index.search(queries, k)
    ranks = index.ranks(queries, np.repeat(np.arange(4), k), rows.ravel(), max_rank=300)
    np.testing.assert_array_equal(ranks.reshape(4, k), np.tile(np.arange(1, k + 1), (4, 1)))


@pytest.mark.usefixtures("small_blocks")
def test_ascending_scores_overflow_the_reservoir():
    # Every item beats all before it, so that no threshold rules anything out.
    angles = np.linspace(np.pi, 0, 1000)
    items = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([[1, 0]], np.float32)
    _, rows = ExactSearch(items).search(query, 7)
    np.testing.assert_array_equal(rows, [[999, 998, 997, 996, 995, 994, 993]])


@pytest.mark.parametrize(("num_items", "dim"), [(1, 120), (257, 50), (3001, 7), (20011, 128)])
def test_collapsed_model_ranks_every_item_last(num_items, dim):
    rng = np.random.default_rng(0)
    items = np.repeat(normalized(rng.standard_normal((1, dim))), num_items, axis=0)
    queries = normalized(rng.standard_normal((37, dim)))
    index = ExactSearch(items)
    pairs = np.arange(37), rng.integers(0, num_items, 37)
    assert set(index.ranks(queries, *pairs, max_rank=num_items)) == {num_items}
    assert set(index.ranks(queries, *pairs, max_rank=50)) == {min(51, num_items)}
    _, rows = index.search(queries, 10)
    np.testing.assert_array_equal(rows, np.tile(np.arange(min(10, num_items)), (37, 1)))


def test_identical_items_share_the_worse_rank():
    items = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    ranks = ExactSearch(items).ranks(np.array([[1, 0]], np.float32), [0] * 4, [0, 1, 2, 3], 50)
    np.testing.assert_array_equal(ranks, [3, 4, 3, 3])


def test_zero_and_minus_zero_tie():
    items = np.array([[0.0, 1.0], [-0.0, 1.0], [-1.0, 0.0]], np.float32)
    index = ExactSearch(items)
    query = np.array([[1.0, 0.0]], np.float32)
    np.testing.assert_array_equal(index.ranks(query, [0, 0], [0, 1], 5), [2, 2])
    np.testing.assert_array_equal(index.search(query, 3)[1], [[0, 1, 2]])


def test_duplicate_pairs_and_any_order_of_pairs():
    rng = np.random.default_rng(3)
    items, queries = lattice(rng, 40, 4), lattice(rng, 6, 4)
    query_of_pair, item_row = np.array([5, 0, 5, 2, 0]), np.array([7, 1, 7, 3, 1])
    ranks = ExactSearch(items).ranks(queries, query_of_pair, item_row, 40)
    np.testing.assert_array_equal(ranks, plain_ranks(items, queries, query_of_pair, item_row, 40))
    assert ranks[0] == ranks[2]
    assert ranks[1] == ranks[4]


def test_k_beyond_the_corpus_returns_the_corpus():
    items = np.eye(3, dtype=np.float32)
    scores, rows = ExactSearch(items).search(items, 10)
    assert scores.shape == rows.shape == (3, 3)
    np.testing.assert_array_equal(rows[:, 0], [0, 1, 2])


def test_no_queries_and_no_pairs():
    items, nothing = np.eye(3, dtype=np.float32), np.empty((0, 3), np.float32)
    index, no_rows = ExactSearch(items), np.empty(0, int)
    assert index.search(nothing, 2)[1].shape == (0, 2)
    assert index.ranks(nothing, no_rows, no_rows, 5).shape == (0,)
    assert index.ranks(items, no_rows, no_rows, 5).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_an_error_that_names_side_and_row(bad):
    items, queries = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    queries[2, 1] = bad
    with pytest.raises(InputError, match=r"query embeddings.*row 2"):
        ExactSearch(items).search(queries, 1)
    with pytest.raises(InputError, match=r"item embeddings.*row 2"):
        ExactSearch(queries)


def test_unusable_input():
    items = np.eye(3, dtype=np.float32)
    index = ExactSearch(items)
    with pytest.raises(InputError, match="empty catalog"):
        ExactSearch(np.empty((0, 3), np.float32))
    with pytest.raises(InputError, match="k must be at least 1"):
        index.search(items, 0)
    with pytest.raises(InputError, match="max_rank must be at least 1"):
        index.ranks(items, [0], [0], 0)
    with pytest.raises(ValueError, match="3 dimensions"):
        index.search(np.eye(2, dtype=np.float32), 1)
    with pytest.raises(ValueError, match=r"item_row must be in \[0, 3\)"):
        index.ranks(items, [0], [3], 1)
    with pytest.raises(ValueError, match=r"query_of_pair must be in \[0, 3\)"):
        index.ranks(items, [-1], [0], 1)
    with pytest.raises(ValueError, match="num_pairs"):
        index.ranks(items, [0, 1], [0], 1)
    with pytest.raises(ValueError, match="rows, dim"):
        ExactSearch(np.ones(3, np.float32))
    with pytest.raises(InputError, match="exact, scann"):
        retrieval.make_search(items, "fast")


def test_params_follow_the_corpus_size():
    assert choose_scann_params(20_000, 128) == ScannParams(num_leaves=0)
    params = choose_scann_params(40_000, 128)
    assert params.num_leaves == 160  # of 250 items
    assert 1 <= params.leaves_to_search <= params.num_leaves
    assert choose_scann_params(1_000_000, 128).num_leaves == 8000  # of 125 items
    assert choose_scann_params(4_000_000, 128).num_leaves == 16_000  # 8 sqrt(4,000,000)
    assert choose_scann_params(5_300_000, 1).dimensions_per_block == 1
    with pytest.raises(InputError, match="num_items must be at least 1"):
        choose_scann_params(0, 128)
    with pytest.raises(InputError, match="leaves_to_search"):
        ScannParams(num_leaves=10, leaves_to_search=11)


@pytest.mark.parametrize(
    ("leaves_needed", "factor_needed", "chosen"),
    [
        # The counts tried go 1, 2, .. 7, 9, 11, 13, 15, 18, 21, 25, .. 100.
        (1, 3, (1, 3)),
        (20, 5, (21, 5)),
        (100, 40, (100, 40)),
        (101, 3, (100, 40)),  # nothing reaches the recall: everything there is
    ],
)
def test_calibration_takes_the_cheapest_search_that_is_good_enough(
    leaves_needed, factor_needed, chosen
):
    items, _ = clustered(2_000, 1)

    def search(params, queries, k):
        scores, _ = ExactSearch(items).search(queries, k)
        good = params.leaves_to_search >= leaves_needed and params.reorder_factor >= factor_needed
        return scores if good else np.full_like(scores, -np.inf)

    found = calibrate(ScannParams(num_leaves=100, leaves_to_search=1), items, search)
    assert (found.leaves_to_search, found.reorder_factor) == chosen


def test_calibration_samples_the_queries_given():
    items, queries = clustered(2_000, 1500)
    seen = []

    def search(params, sample, k):
        seen.append(sample)
        return ExactSearch(items).search(sample, k)[0]

    params = ScannParams(num_leaves=100, leaves_to_search=1)
    calibrate(params, items, search, queries)
    calibrate(params, items, search, queries[:10])
    assert {len(sample) for sample in seen} == {1000, 10}
    known = set(map(tuple, queries.tolist()))
    assert all(tuple(row) in known for row in seen[0].tolist())
    assert all(np.array_equal(sample, seen[0]) for sample in seen if len(sample) == 1000)


def test_calibration_weighs_leaves_against_candidates():
    items, _ = clustered(2_000, 1)

    def search(params, queries, k):
        # 40 leaves of 20 items, or 10 leaves and 20 candidates an item: 800 items against 200, but
        # candidates cost 40 items each, 3 x 10 x 40 = 1,200 against 20 x 10 x 40 = 8,000.
        scores, _ = ExactSearch(items).search(queries, k)
        needed = 40 if params.reorder_factor < 20 else 10
        return scores if params.leaves_to_search >= needed else np.full_like(scores, -np.inf)

    found = calibrate(ScannParams(num_leaves=100, leaves_to_search=1), items, search)
    assert found.reorder_factor == 3
    assert 40 <= found.leaves_to_search < 50


TREE = ScannParams(num_leaves=120, leaves_to_search=48, training_sample=4000)


@needs_scann
@pytest.mark.parametrize("params", [None, TREE], ids=["brute force", "tree"])
def test_scann_finds_what_exact_search_finds(params):
    items, queries = clustered(4_000, 200)
    scores, rows = ScannSearch.build(items, params).search(queries, 10)
    _, exact_rows = ExactSearch(items).search(queries, 10)
    found = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), exact_rows.tolist(), strict=True)]
    assert np.mean(found) / 10 >= 0.97
    assert np.all(np.diff(scores, axis=1) <= 0)
    true_scores = np.einsum("qd,qkd->qk", queries, items[rows])
    np.testing.assert_allclose(scores, true_scores, atol=1e-5)
    assert rows.dtype == np.int32


@needs_scann
@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 2**-8), ("int8", 2**-6)])
def test_scann_keeps_less_of_an_item_and_finds_as_much(dtype, error, tmp_path):
    items, queries = clustered(4_000, 200)
    index = ScannSearch.build(items, dataclasses.replace(TREE, reorder_dtype=dtype))
    scores, rows = index.search(queries, 10)
    _, exact_rows = ExactSearch(items).search(queries, 10)
    found = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), exact_rows.tolist(), strict=True)]
    assert np.mean(found) / 10 >= 0.95
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, items[rows]), atol=error)
    index.save(tmp_path)
    np.testing.assert_array_equal(ScannSearch.load(tmp_path).search(queries, 10)[1], rows)
    sizes = {path.suffix: path.stat().st_size for path in tmp_path.iterdir()}
    assert max(sizes.values()) <= items.nbytes // (2 if dtype == "bfloat16" else 4) + 1000, sizes


@needs_scann
def test_chosen_params_reach_the_recall_beyond_brute_force():
    items, queries = clustered(24_000, 300, dim=32)
    index = ScannSearch.build(items)
    assert 0 < index.params.leaves_to_search < index.params.num_leaves
    _, rows = index.search(queries, 10)
    _, exact_rows = ExactSearch(items).search(queries, 10)
    found = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), exact_rows.tolist(), strict=True)]
    assert np.mean(found) / 10 >= 0.97


@needs_scann
def test_the_same_index_is_searched_less():
    items, queries = clustered(4_000, 50)
    index = ScannSearch.build(items, TREE)
    less = index.with_params(dataclasses.replace(TREE, leaves_to_search=1, reorder_factor=1))
    assert less.params.leaves_to_search == 1
    assert index.params == TREE
    found = [searched.search(queries, 10)[0].sum() for searched in (less, index)]
    assert found[0] < found[1]


@needs_scann
def test_scann_ranks_are_places_in_its_list():
    items, queries = clustered(4_000, 20)
    index = ScannSearch.build(items, TREE)
    _, rows = index.search(queries, 11)
    query_of_pair = np.repeat(np.arange(20), 11)
    ranks = index.ranks(queries, query_of_pair, rows.ravel(), max_rank=10)
    np.testing.assert_array_equal(ranks.reshape(20, 11), np.tile(np.arange(1, 12), (20, 1)))
    for k in (3, 30):
        ranks, top = index.ranks_and_top(queries, query_of_pair, rows.ravel(), 10, k)
        np.testing.assert_array_equal(ranks.reshape(20, 11), np.tile(np.arange(1, 12), (20, 1)))
        np.testing.assert_array_equal(top[:, :3], rows[:, :3])
        assert top.shape == (20, k)
    farthest = np.argmin(queries @ items.T, axis=1)
    assert set(index.ranks(queries, np.arange(20), farthest, max_rank=10)) == {11}


@needs_scann
def test_scann_counts_ties_against_the_model():
    items = np.repeat(normalized(np.ones((1, 8))), 100, axis=0)
    index = ScannSearch.build(items)
    ranks = index.ranks(items[:1], np.zeros(100, int), np.arange(100), max_rank=50)
    assert set(ranks) == {51}


@needs_scann
def test_scann_marks_what_the_leaves_do_not_hold():
    items, queries = clustered(4_000, 30)
    params = ScannParams(num_leaves=120, leaves_to_search=1, training_sample=4000)
    index = ScannSearch.build(items, params)
    scores, rows = index.search(queries, 2_000)
    assert np.array_equal(rows == -1, scores == -np.inf)
    assert (rows[:, -1] == -1).all()
    filled = [row[row >= 0] for row in rows]
    assert all(len(np.unique(row)) == len(row) for row in filled)
    # Row 0, which ScaNN writes into empty places, is not found by a query that did not reach it.
    missed = np.array([i for i, row in enumerate(filled) if 0 not in row])
    assert len(missed)
    assert set(index.ranks(queries, missed, np.zeros(len(missed), int), 1999)) == {2000}


@needs_scann
@pytest.mark.parametrize("num_items", [1, 3, 60])
def test_scann_on_tiny_corpora_and_no_queries(num_items):
    items, _ = clustered(num_items, 1)
    index = ScannSearch.build(items)
    scores, rows = index.search(items, 5)
    assert scores.shape == (num_items, min(5, num_items))
    np.testing.assert_array_equal(rows[:, 0], np.arange(num_items))
    nothing, no_rows = items[:0], np.empty(0, int)
    assert index.search(nothing, 2)[0].shape[0] == 0
    assert index.ranks(nothing, no_rows, no_rows, 5).shape == (0,)


@needs_scann
@pytest.mark.parametrize("params", [None, TREE], ids=["brute force", "tree"])
def test_scann_survives_saving_and_moving(tmp_path: pathlib.Path, params):
    items, queries = clustered(4_000, 20)
    index = ScannSearch.build(items, params)
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")  # over itself
    (tmp_path / "index").rename(tmp_path / "moved")
    loaded = ScannSearch.load(tmp_path / "moved")
    assert loaded.params == index.params
    assert (loaded.num_items, loaded.dim) == (4_000, 64)
    assert loaded.build_seconds == index.build_seconds
    for before, after in zip(index.search(queries, 10), loaded.search(queries, 10), strict=True):
        np.testing.assert_array_equal(before, after)


@needs_scann
def test_scann_says_what_is_wrong_with_a_directory(tmp_path: pathlib.Path):
    with pytest.raises(FileNotFoundError, match="no ScaNN index"):
        ScannSearch.load(tmp_path)
    ScannSearch.build(np.eye(4, dtype=np.float32)).save(tmp_path)
    (tmp_path / "scann_assets.pbtxt").unlink()
    with pytest.raises(InputError, match="damaged"):
        ScannSearch.load(tmp_path)
    (tmp_path / "scann.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        ScannSearch.load(tmp_path)


@needs_scann
def test_scann_refuses_nan():
    items = np.eye(4, dtype=np.float32)
    index = ScannSearch.build(items)
    items[1, 1] = np.nan
    with pytest.raises(InputError, match="query embeddings"):
        index.search(items, 1)
    with pytest.raises(InputError, match="item embeddings"):
        ScannSearch.build(items)


def test_missing_scann_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "scann", None)
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(InputError, match="--retrieval=exact"):
        ScannSearch.build(np.eye(4, dtype=np.float32))
