"""Rankings without some items, against rankings over a corpus that lacks them."""

import numpy as np
import pytest

from ssl_recsys.evaluation.left_out import LeftOut
from ssl_recsys.evaluation.ranking import ranks_and_lists
from ssl_recsys.search.exact import ExactSearch

NUM_QUERIES, NUM_ITEMS, MAX_RANK = 7, 40, 12


def plain(queries, items, query, item, hidden):
    """Rank and list of one pair: items at least as good, those that are hidden not counted."""
    scores = queries[query] @ items.T
    shown = [row for row in range(NUM_ITEMS) if row not in hidden or row == item]
    rank = sum(scores[row] >= scores[item] for row in shown)
    best = sorted((row for row in shown if row not in hidden), key=lambda row: -scores[row])
    return min(rank, MAX_RANK + 1), best


@pytest.mark.parametrize("most", [0, 1, 9, NUM_ITEMS - 1])
def test_ranks_and_lists_are_those_of_the_rest(most: int) -> None:
    rng = np.random.default_rng(most)
    # Small integers: scores are exact, and many are equal.
    queries = rng.integers(-2, 3, (NUM_QUERIES, 4)).astype(np.float32)
    items = rng.integers(-2, 3, (NUM_ITEMS, 4)).astype(np.float32)
    items[:, 0] += np.arange(NUM_ITEMS) % 3
    hidden = [
        set(rng.choice(NUM_ITEMS, rng.integers(0, most + 1), replace=False).tolist())
        for _ in range(NUM_QUERIES)
    ]
    pairs = [(rng.integers(NUM_QUERIES), rng.integers(NUM_ITEMS)) for _ in range(60)]
    query, item = np.array(pairs).T
    columns = [(number, row) for number, rows in enumerate(hidden) for row in sorted(rows)]
    left_out = LeftOut(*np.array(columns, np.int64).reshape(-1, 2).T)
    ranks, lists = ranks_and_lists(
        ExactSearch(items), queries, query, item, MAX_RANK, left_out=left_out
    )
    for number, pair in enumerate(pairs):
        rank, best = plain(queries, items, *pair, hidden[pair[0]])
        assert ranks[number] == rank
        listed = [row for row in lists[pair[0]].tolist() if row >= 0]
        assert len(listed) == min(10, len(best))
        # Equal scores may come in any order.
        scores = queries[pair[0]] @ items.T
        assert scores[listed].tolist() == scores[best[: len(listed)]].tolist()
        assert not set(listed) & hidden[pair[0]]


def test_parts_are_joined_without_repetition() -> None:
    own = LeftOut.own(np.array([4, 2]))
    known = LeftOut(np.array([1, 0, 1]), np.array([2, 3, 5]))
    joined = LeftOut.joined([own, known], num_items=6)
    assert joined.query.tolist() == [0, 0, 1, 1]
    assert joined.item_row.tolist() == [3, 4, 2, 5]
    assert joined.most == 2
