"""Which texts can be the name of a user or an item."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Keys are held in arrays with room for the longest of them in each place, so that a single one of
# a million characters would take gigabytes. No path or address is longer than this in practice.
MAX_KEY_BYTES = 4096


def unusable(keys: pa.Array, column: str) -> dict[int, str]:
    """The keys that are none.

    Args:
      keys: `[rows]` text, without surrounding blanks, as a dictionary array.
      column: the name of their column.

    Returns:
      Reasons by row: empty, too long, or with a NUL, which such arrays lose at the end of a text.
    """
    names = keys.dictionary
    lengths = np.asarray(pc.binary_length(names))
    has_nul = np.asarray(pc.match_substring(names, "\0"))
    is_bad = (lengths == 0) | (lengths > MAX_KEY_BYTES) | has_nul
    if not is_bad.any():
        return {}
    reason_of = {
        index: _reason(int(lengths[index]), bool(has_nul[index]), column)
        for index in np.flatnonzero(is_bad).tolist()
    }
    indices = np.asarray(keys.indices)
    rows = np.flatnonzero(is_bad[indices])
    return {row: reason_of[index] for row, index in zip(rows.tolist(), indices[rows], strict=True)}


def _reason(length: int, has_nul: bool, column: str) -> str:
    if not length:
        return f"{column} is empty"
    if has_nul:
        return f"{column} has a NUL character"
    return f"{column} must have at most {MAX_KEY_BYTES:,} bytes in UTF-8 (got {length:,})"
