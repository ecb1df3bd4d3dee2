"""Cuts the text of a dump into pages, in one pass and with bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from data_prep.wiki.page_xml import keep_newest

_PAGE, _PAGE_END = b"<page>", b"</page>"
# Of a page that grows beyond this only the newest of the revisions so far is kept.
_HISTORY_BYTES = 1 << 22
# Without histories no page is as long: MediaWiki's default limit is 2 MiB.
_MAX_PAGE_BYTES = 1 << 25


class PageSplitter:
    """Finds the pages that begin in one range of a dump.

    Each piece of text is searched once, so the time is linear in the text.

    Attributes:
      counters: pages that are lost, by reason.
      is_done: whether a page that begins behind the range was seen; no more text is needed then.
    """

    def __init__(self, counters: Counter[str]):
        self.counters = counters
        self.is_done = False
        self._buffer = bytearray()
        self._start = -1  # of the open page in the buffer, -1 if none is open
        self._searched = 0  # where tags that were not found yet may begin
        self._limit: int | None = None  # pages that begin here or behind are another range's
        self._next_history = _HISTORY_BYTES

    def feed(self, text: bytes, *, is_owned: bool) -> Iterator[bytes]:
        """Takes a piece of text and yields pages, each from `<page>` up to `</page>`.

        Args:
          text: the piece.
          is_owned: whether pages that begin in it belong to the range.
        """
        if self._limit is None and not is_owned:
            self._limit = len(self._buffer)
        self._buffer += text
        while not self.is_done:
            if self._start < 0 and not self._open():
                break
            page = self._close()
            if page is None:
                break
            if page:
                yield page
        self._forget()

    def lose(self, *, is_owned: bool) -> None:
        """Counts the open page as damaged and starts anew behind a piece that is lost."""
        self.counters["pages_damaged"] += self._start >= 0
        self._buffer.clear()
        self._start, self._searched = -1, 0
        self.is_done = self._limit is not None or not is_owned

    def finish(self) -> None:
        """Counts a page that the end of the text cuts off."""
        self.counters["page_cut_off"] += self._start >= 0 and not self.is_done

    def _open(self) -> bool:
        """Finds the next page of this range."""
        start = self._buffer.find(_PAGE, self._searched)
        if start >= 0 and self._is_ours(start):
            self._start, self._searched = start, start + len(_PAGE)
            self._next_history = _HISTORY_BYTES
            return True
        self._searched = max(self._searched, len(self._buffer) - len(_PAGE) + 1)
        self.is_done = not self._is_ours(start if start >= 0 else self._searched)
        return False

    def _is_ours(self, start: int) -> bool:
        return self._limit is None or start < self._limit

    def _close(self) -> bytes | None:
        """The open page; empty if it has no end of its own, None if more text is needed."""
        buffer = self._buffer
        end = buffer.find(_PAGE_END, self._searched)
        inner = buffer.rfind(_PAGE, self._searched, end if end >= 0 else len(buffer))
        if inner >= 0:
            self._skip_to(inner)
            return b""
        if end >= 0:
            page = bytes(memoryview(buffer)[self._start : end])
            self._start, self._searched = -1, end + len(_PAGE_END)
            return page
        self._searched = max(self._searched, len(buffer) - len(_PAGE_END) + 1)
        if len(buffer) - self._start > self._next_history:
            self._shorten()
        return None

    def _skip_to(self, inner: int) -> None:
        """Counts the pages up to `inner` that have no end, and opens the page there."""
        last = inner if self._limit is None else min(inner, self._limit)
        # Pages that begin before `last`.
        unclosed = self._buffer.count(_PAGE, self._searched, last + len(_PAGE) - 1)
        self.counters["pages_malformed"] += 1 + unclosed
        self._start, self._searched = inner, inner + len(_PAGE)
        if not self._is_ours(inner):
            self._start, self.is_done = -1, True

    def _shorten(self) -> None:
        """Drops old revisions of a long page, or the page if that does not help."""
        page = keep_newest(bytes(memoryview(self._buffer)[self._start :]))
        if len(page) > _MAX_PAGE_BYTES:
            self.counters["pages_malformed"] += 1
            self._start = -1
            return
        self._buffer[self._start :] = page
        self._searched = max(self._start + len(_PAGE), len(self._buffer) - len(_PAGE_END) + 1)
        self._next_history = min(max(_HISTORY_BYTES, 2 * len(page)), _MAX_PAGE_BYTES)

    def _forget(self) -> None:
        """Drops text that is not needed any more."""
        unneeded = self._searched if self._start < 0 else self._start
        unneeded = min(unneeded, len(self._buffer))
        del self._buffer[:unneeded]
        self._searched -= unneeded
        self._start = 0 if self._start >= 0 else -1
        if self._limit is not None:
            self._limit = max(0, self._limit - unneeded)
