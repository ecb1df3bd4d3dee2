"""Items in groups of unequal size, computed and not stored."""

from __future__ import annotations

import numpy as np

from data_prep.synthetic.draws import Draws, zipf_ranks


class Groups:
    """Divides items 0 .. num_items - 1, the most popular first, into groups.

    Groups repeat in a cycle in which large ones stand more often, so that an item's group and
    the nth item of a group are both a look-up in a small table.

    Attributes:
      size: `[num_groups]` number of items of each group; may be 0 where items are few.

    Args:
      num_items: number of items.
      num_groups: number of groups; group g has a share that falls as `(g + 1) ** -0.5`.
      draws: give the order of the cycle.
    """

    def __init__(self, num_items: int, num_groups: int, draws: Draws):
        weights = (np.arange(num_groups) + 1.0) ** -0.5
        per_cycle = np.maximum(1, np.rint(8 * num_groups * weights / weights.sum()))
        self._per_cycle = per_cycle.astype(np.int64)
        slots = np.repeat(np.arange(num_groups), self._per_cycle)
        self._cycle = len(slots)
        shuffled = np.argsort(draws.uniform("slots", np.arange(self._cycle)), kind="stable")
        self._slot_group = slots[shuffled]
        self._slots = np.argsort(self._slot_group, kind="stable")
        self._first_slot = np.cumsum(self._per_cycle) - self._per_cycle
        self._slot_rank = np.empty(self._cycle, np.int64)
        self._slot_rank[self._slots] = np.arange(self._cycle) - np.repeat(
            self._first_slot, self._per_cycle
        )
        whole, rest = divmod(num_items, self._cycle)
        self.size = whole * self._per_cycle + np.bincount(
            self._slot_group[:rest], minlength=num_groups
        )

    def group(self, item: np.ndarray) -> np.ndarray:
        """The group of each item, `[...]`."""
        return self._slot_group[item % self._cycle]

    def rank(self, item: np.ndarray) -> np.ndarray:
        """How many items of its group are more popular, `[...]`: `member` undone."""
        turn, slot = np.divmod(item, self._cycle)
        return turn * self._per_cycle[self._slot_group[slot]] + self._slot_rank[slot]

    def member(self, group: np.ndarray, nth: np.ndarray) -> np.ndarray:
        """The nth most popular item of a group, `[...]`; nth is below the group's size."""
        turn, slot = np.divmod(nth, self._per_cycle[group])
        return turn * self._cycle + self._slots[self._first_slot[group] + slot]

    def draw(
        self, group: np.ndarray, uniform: np.ndarray, otherwise: np.ndarray, exponent: float
    ) -> np.ndarray:
        """An item of each group by popularity, or `otherwise` where it has none, `[...]`."""
        size = self.size[group]
        chosen = zipf_ranks(uniform, np.maximum(size, 1), exponent)
        return np.where(size > 0, self.member(group, chosen), otherwise)
