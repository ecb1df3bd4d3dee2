"""Where a dump ends, how long its pages are, and what it unpacks to."""

import bz2
import gzip
import lzma
import random
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.wiki import bzip2_blocks, dump_files, page_splitter, sites
from data_prep.wiki.counters import COUNTERS, WARNINGS
from data_prep.wiki.wikitext import PageParser
from ssl_recsys.errors import InputError

EXECUTOR = ThreadPoolExecutor(2)
MIB = 1 << 20
HEAD = b"<mediawiki><siteinfo></siteinfo>\n"
PAGE = b"<page><title>T</title><revision><text>x</text></revision></page>\n"
END = b"</mediawiki>\n"


def read(path, range_bytes=1 << 40):
    [(source, _)] = dump_files.find_sources(str(path))
    reader = dump_files.PageReader(EXECUTOR, 2)
    parts = dump_files.plan_ranges([source], range_bytes)
    pages = [page for part in parts for page in reader.pages(part)]
    return pages, {name: count for name, count in reader.counters.items() if count}


@pytest.mark.parametrize("compress", [bytes, bz2.compress, gzip.compress, lzma.compress])
@pytest.mark.parametrize(
    ("streams", "is_whole"),
    [
        ([HEAD + PAGE + END], True),
        ([HEAD + PAGE, END], True),
        ([HEAD + PAGE + END, b"\n"], True),
        ([HEAD + PAGE + END[:5], END[5:]], True),
        ([HEAD + PAGE], False),  # behind a page
        ([HEAD + PAGE, PAGE * 3], False),  # behind a stream
        ([HEAD + PAGE, PAGE + PAGE[:-4]], False),  # in a page
        ([HEAD + PAGE + END[:-3]], False),
    ],
)
def test_a_dump_without_its_end_is_counted_once(tmp_path, compress, streams, is_whole):
    path = tmp_path / "dump"
    path.write_bytes(b"".join(map(compress, streams)))
    for range_bytes in (1, 10, 64, 100, 1 << 20):
        _, counters = read(path, range_bytes)
        assert counters.get("dump_unfinished", 0) == (not is_whole)
    assert "dump_unfinished" in COUNTERS.keys() & WARNINGS.keys()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_every_cut_of_a_compressed_file(tmp_path, compress):
    """Nothing is raised but InputError, and whatever is missing at the end is counted."""
    data = compress(HEAD + PAGE) + compress(PAGE * 5) + compress(PAGE + END)
    path = tmp_path / "dump"
    for size in range(1, len(data) - 8):
        path.write_bytes(data[:size])
        try:
            pages, counters = read(path, 50)
        except InputError:
            continue
        assert len(pages) <= 7
        assert counters.get("dump_unfinished") or counters["input_truncated"], size


def revision(number, size, text):
    return (
        b"<revision><id>%d</id><timestamp>2020-01-01T%02d:%02d:00Z</timestamp><text>%s</text>"
        b"</revision>" % (number, number // 60, number % 60, text + b" " * size)
    )


@pytest.mark.parametrize("newest", [0, 17, 69])
def test_a_long_history_keeps_its_newest_revision_only(tmp_path, newest):
    path = tmp_path / "dump.xml"
    with path.open("wb") as file:
        file.write(HEAD + b"<page><title>T</title><ns>0</ns>")
        for index in range(70):
            number = 100 if index == newest else index
            file.write(revision(number, MIB, b"[[A%d]]" % index))
        file.write(b"</page>" + PAGE + END)
    tracemalloc.start()
    pages, counters = read(path, 1 << 23)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counters == {}
    assert [PageParser(sites.Site()).parse(page).link_titles for page in pages] == [
        [f"A{newest}"],
        [],
    ]
    assert peak < 40 * MIB


@pytest.mark.parametrize("compress", [bytes, bz2.compress, gzip.compress, lzma.compress])
@pytest.mark.parametrize("start", [b"", b"<page><title>T</title><revision><text>"])
def test_text_without_end_takes_bounded_memory(tmp_path, compress, start):
    path = tmp_path / "dump"
    data = bytes(20 * MIB)
    path.write_bytes(compress(HEAD + PAGE + start) + compress(data) * 12 + compress(END))
    del data
    tracemalloc.start()
    pages, counters = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pages) == 1
    assert counters == ({"pages_malformed": 1} if start else {})
    assert peak < 200 * MIB


def test_one_block_of_a_repeated_letter(tmp_path):
    """46 MB of text are one block, the most that there can be."""
    text = b"a" * 45_000_000
    data = bz2.compress(text)
    blocks = bzip2_blocks.read_blocks(
        lambda offset, size: data[offset : offset + size], 0, len(data), EXECUTOR, depth=2,
        ahead_until=0,
    )  # fmt: skip
    found = list(blocks)
    assert len({block.bit for block in found}) == 1
    assert max(len(block.text) for block in found) < 5 * MIB
    assert b"".join(block.text for block in found) == text


def test_bytes_without_a_block_are_not_kept(tmp_path):
    path = tmp_path / "dump.bz2"
    noise = random.Random(0).randbytes(MIB)
    path.write_bytes(bz2.compress(HEAD + PAGE) + noise * 50 + bz2.compress(PAGE + END))
    tracemalloc.start()
    pages, _ = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pages) == 2
    assert peak < 20 * MIB


def test_an_xz_file_that_wants_a_large_dictionary(tmp_path):
    path = tmp_path / "dump.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28, "preset": 0}]
    path.write_bytes(lzma.compress(HEAD + PAGE + END, filters=filters))
    with pytest.raises(InputError, match="usage limit"):
        read(path)


def split(text, sizes=(1 << 20,), owned=1 << 40):
    """The pages of a text that comes in pieces, and what the splitter counted."""
    counters = Counter()
    splitter = page_splitter.PageSplitter(counters)
    pages, position, index = [], 0, 0
    while position < len(text) and not splitter.is_done:
        end = position + sizes[index % len(sizes)]
        if position < owned < end:
            end = owned
        pages += splitter.feed(text[position:end], is_owned=position < owned)
        position, index = end, index + 1
    splitter.finish()
    return pages, +counters


TAGS = st.lists(
    st.sampled_from([b"<page>", b"</page>", b"<pag", b"e>", b"</", b"x", b"<page", b"</page"]),
    max_size=30,
)


@hypothesis.given(TAGS, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_pieces_of_any_size_give_the_same_pages(tags, sizes):
    text = b"".join(tags)
    assert split(text, sizes) == split(text)


# Borders at a page's tag are left out, which may be many of the first ones that are drawn.
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.filter_too_much])
@hypothesis.given(TAGS, st.integers(0, 10_000))
def test_two_ranges_share_the_pages(tags, place):
    text = b"".join(tags)
    hypothesis.assume(len(text) > 1)
    border = 1 + place % (len(text) - 1)
    pages, counters = split(text)
    first, second = split(text, owned=border), split(text[border:])
    cut = border - 5  # a tag that the border cuts begins in the first range
    hypothesis.assume(b"<page>" not in text[max(0, cut) : border + 5])
    assert first[0] + second[0] == pages
    assert first[1] + second[1] == counters
