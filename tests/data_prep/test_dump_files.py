import bz2
import gzip
import lzma
import random
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.wiki import bzip2_blocks, dump_files
from ssl_recsys.errors import InputError

EXECUTOR = ThreadPoolExecutor(2)
HEAD = b"<mediawiki><siteinfo></siteinfo>"


def make_pages(count, seed=0, size=3000):
    rng = random.Random(seed)
    return [
        b"<page><title>%d</title>" % index + rng.randbytes(rng.randrange(size)).hex().encode()
        for index in range(count)
    ]


def dump_of(pages):
    return HEAD + b"".join(page + b"</page>\n" for page in pages) + b"</mediawiki>"


def read(path, range_bytes):
    """The pages of a file in the order of its ranges, and the counters."""
    [(source, _)] = dump_files.find_sources(str(path))
    reader = dump_files.PageReader(EXECUTOR, 2)
    pages = [
        page
        for part in dump_files.plan_ranges([source], range_bytes)
        for page in reader.pages(part)
    ]
    return pages, {name: count for name, count in reader.counters.items() if count}


def blocks_of(data, start=0):
    return list(
        bzip2_blocks.read_blocks(
            lambda offset, size: data[offset : offset + size],
            start,
            len(data),
            EXECUTOR,
            depth=2,
            ahead_until=len(data) // 2,
        )
    )


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 400_000), st.integers(100, 200_000)
)
def test_blocks_are_the_whole_file(seed, num_streams, size, range_bytes):
    """Whatever the streams and the ranges, the owned blocks are bz2.decompress's text."""
    text = random.Random(seed).randbytes(size // 2).hex().encode()
    step = len(text) // num_streams + 1
    data = b"".join(
        bz2.compress(text[begin : begin + step], 1 + begin % 2)
        for begin in range(0, max(1, len(text)), step)
    )
    found = b""
    for start in range(0, len(data), range_bytes):
        owned = [b for b in blocks_of(data, start) if b.bit < 8 * (start + range_bytes)]
        found += b"".join(block.text for block in owned)
    assert found == bz2.decompress(data) == text


def test_a_magic_number_inside_a_block_is_passed_over(monkeypatch):
    text = random.Random(1).randbytes(150_000).hex().encode()
    data = bz2.compress(text, 1)
    find_marks = bzip2_blocks.find_marks
    marks = find_marks(data)
    false_mark = bzip2_blocks.Mark(marks[1].bit + 5001, True)
    monkeypatch.setattr(
        bzip2_blocks,
        "find_marks",
        lambda part, first_bit=0: sorted([*find_marks(part, first_bit), false_mark]),
    )
    assert b"".join(block.text for block in blocks_of(data)) == text


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(st.integers(0, 2**32), st.integers(60, 5000), st.sampled_from([".xml", ".bz2"]))
def test_ranges_of_any_size_give_each_page_once(tmp_path_factory, seed, range_bytes, ending):
    pages = make_pages(30, seed, size=400)
    text = dump_of(pages)
    path = tmp_path_factory.mktemp("dump") / f"dump{ending}"
    streams = [text[:4000], text[4000:4003], text[4003:]]
    path.write_bytes(b"".join(map(bz2.compress, streams)) if ending == ".bz2" else text)
    assert read(path, range_bytes) == (pages, {})


def test_every_cut_of_a_small_file(tmp_path):
    pages = make_pages(4, size=10)
    path = tmp_path / "dump.xml"
    path.write_bytes(dump_of(pages))
    for range_bytes in range(1, 120):
        assert read(path, range_bytes) == (pages, {})


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_streams_that_are_read_in_one_piece(tmp_path, compress):
    pages = make_pages(50)
    text = dump_of(pages)
    path = tmp_path / "dump"  # the content tells the format, not the name
    path.write_bytes(compress(text[:50_000]) + compress(text[50_000:]))
    assert read(path, 1000) == (pages, {})


def test_a_dump_cut_in_a_page(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_bytes(HEAD + b"<page>a</page><page>b")
    for range_bytes in (7, 1000):
        counters = {"page_cut_off": 1, "dump_unfinished": 1}
        assert read(path, range_bytes) == ([b"<page>a"], counters)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_a_compressed_file_that_ends_too_early(tmp_path, compress):
    pages = make_pages(700)
    data = compress(dump_of(pages))
    path = tmp_path / "dump"
    path.write_bytes(data[:-1000])
    found, counters = read(path, 1 << 19)
    assert found == pages[: len(found)]
    assert len(found) < len(pages)
    assert counters == {"input_truncated": 1, "page_cut_off": 1, "dump_unfinished": 1}


def test_a_damaged_bzip2_block_costs_its_own_pages_only(tmp_path):
    pages = make_pages(400)
    data = bytearray(bz2.compress(dump_of(pages), 1))
    marks = [mark.bit // 8 for mark in bzip2_blocks.find_marks(bytes(data))]
    assert len(marks) > 5
    data[(marks[2] + marks[3]) // 2] ^= 0xFF
    path = tmp_path / "dump.bz2"
    path.write_bytes(data)
    found, counters = read(path, 1 << 30)
    assert counters == {"blocks_damaged": 1, "pages_damaged": 1}
    assert 0 < len(pages) - len(found) < 100
    assert found[-1] == pages[-1]
    assert set(found) <= set(pages)
    for range_bytes in (10_000, 50_000):
        assert read(path, range_bytes) == (found, counters)


def test_a_page_that_is_never_closed(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_bytes(HEAD + b"<page>a</page><page>b<page>c</page></mediawiki>")
    for range_bytes in (3, 7, 1000):
        assert read(path, range_bytes) == ([b"<page>a", b"<page>c"], {"pages_malformed": 1})


def test_files_by_list_and_glob(tmp_path):
    for name in ("b.xml", "a.xml", "c.xml"):
        (tmp_path / name).write_bytes(dump_of([]))
    found = dump_files.find_sources(f"{tmp_path}/c.xml,{tmp_path}/*.xml")
    assert [source.path.rsplit("/", 1)[1] for source, _ in found] == ["c.xml", "a.xml", "b.xml"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"CREATE TABLE page", "not a MediaWiki XML dump"),
        (b"7z\xbc\xaf\x27\x1c", "7z file"),
        (b"BZh9 damaged", "cannot be decompressed"),
        (b"\x1f\x8b\xff\xff", "cannot be decompressed"),
        (bz2.compress(b"INSERT INTO"), "not a MediaWiki XML dump"),
        (bz2.compress(b""), "not a MediaWiki XML dump"),
    ],
)
def test_files_that_are_no_dumps(tmp_path, content, message):
    path = tmp_path / "dump"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        dump_files.find_sources(str(path))


@pytest.mark.parametrize("dump", ["", ",", "/nonexistent/dump.xml", "/nonexistent/*.bz2"])
def test_missing_files(dump):
    with pytest.raises(InputError, match="no file"):
        dump_files.find_sources(dump)
