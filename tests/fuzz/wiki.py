"""Reads mutated pages and dump files for a while, and reports what fails or is slow.

    python -m tests.fuzz.wiki --seconds=600 --seed=0

A failure is any exception but InputError, or over 1 s of CPU time for each MB of text. Exit status
1 if there was any; each is printed with the seed of its case.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import pathlib
import random
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from data_prep.wiki import dump_files, hidden_text, sites
from data_prep.wiki.wikitext import MalformedPageError, PageParser
from ssl_recsys.errors import InputError

EXECUTOR = ThreadPoolExecutor(2)
SECONDS_PER_MB = 1.0
# Small inputs have no rate: this much time is for whatever else the machine does.
SPARE_SECONDS = 0.5
COMPRESS = (bytes, bz2.compress, gzip.compress, lzma.compress)

_TAGS = [name.decode() for name in hidden_text._CLOSING] + ["noinclude", "onlyinclude", "ref"]
TOKENS = [
    *(f"&lt;{slash}{tag}{end}".encode() for tag in _TAGS for slash in ("", "/")
      for end in ("&gt;", " ", " /&gt;", "")),
    *b"[[ ]] [ ] | {{ }} # : :: % %5B %E2%82 & &amp; &lt; &gt; < > &lt;!-- --&gt; <!-- -->".split(),
    b"]]>", b"]]&gt;",
    b"<![CDATA[", b"&#91;", b"&#xD800;", b"&#" + b"9" * 5000 + b";", b"&#x" + b"f" * 5000 + b";",
    b"&amp;#xD800;", b"&amp;#" + b"1" * 5000 + b";", b"&amp;copy;", b"&amp;copy", b"\0", b"\xff",
    b"\xed\xa0\x80", "\u0301\u0327".encode(), "İıß\u200e\u00a0".encode(), b"\n", b"\r", b" ", b"_",
    b"[[A|b]]", b"[[Category:", b"[[File:x|", b"[[en:", b"[[w:", b"#REDIRECT [[", b"~~~", b"./",
    b"<page>", b"</page>", b"<title>", b"</title>", b"<ns>", b"</ns>", b"<ns>0</ns>",
    b"<ns>" + b"9" * 5000 + b"</ns>", b"<revision>", b"</revision>", b"<id>", b"</id>",
    b"<timestamp>2020-01-01T00:00:00Z</timestamp>", b"<text>", b"<text xml:space=\"preserve\">",
    b"<text/>", b"</text>", b"<content>", b"</content>", b"<role>main</role>", b"<redirect />",
    b'<redirect title="', b'" />', b"</mediawiki>", b"<siteinfo>", b"</siteinfo>", b"<mediawiki ",
    b'xml:lang="tr"', b'<namespace key="0"', b'<namespace key="' + b"9" * 5000 + b'">x</namespace>',
    b"<case>case-sensitive</case>", b"<dbname>", b"BZh9", b"\x31\x41\x59\x26\x53\x59", b"1AY&SY",
    b"\x17\x72\x45\x38\x50\x90",
]  # fmt: skip
PAGE = (
    b"<page><title>Title</title><ns>0</ns><id>1</id><revision><id>2</id><timestamp>"
    b"2020-01-01T00:00:00Z</timestamp><text>'''A''' [[Link|b]] &lt;!-- c --&gt; [[Category:D]] "
    b"&lt;math&gt;x&lt;/math&gt; {{e}}</text></revision>"
)
HEAD = (
    b'<mediawiki xml:lang="tr"><siteinfo><dbname>trwiki</dbname><case>first-letter</case>'
    b'<namespaces><namespace key="14">Kategori</namespace></namespaces></siteinfo>'
)


def mutate(rng: random.Random, data: bytes, most: int = 8) -> bytes:
    """`data` with tokens put in, repeated, cut out, moved, and bits flipped."""
    for _ in range(rng.randint(1, most)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + int(rng.expovariate(1 / 40)))
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:start] + rng.choice(TOKENS) + data[start:]
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2:
            data = data[:start] + data[start:end] * rng.randint(2, 5) + data[end:]
        elif kind == 3 and data:
            changed = bytearray(data)
            changed[min(start, len(data) - 1)] ^= 1 << rng.randrange(8)
            data = bytes(changed)
        elif kind == 4:
            other = rng.randrange(len(data) + 1)
            data = data[:other] + data[start:end] + data[other:]
        else:
            unit = b"".join(rng.choices(TOKENS, k=rng.randint(1, 3)))
            copies = min(int(10 ** rng.uniform(0, 5)), 400_000 // len(unit) + 1)
            data = data[:start] + unit * copies + data[start:]
    return data


def dump(rng: random.Random) -> bytes:
    """A mutated dump file in one of the formats, mutated once more or cut."""
    pages = [mutate(rng, PAGE) if rng.random() < 0.5 else PAGE for _ in range(rng.randint(0, 8))]
    head = mutate(rng, HEAD) if rng.random() < 0.2 else HEAD
    text = head + b"".join(page + b"</page>\n" for page in pages)
    text += b"</mediawiki>" if rng.random() < 0.8 else b""
    compress = rng.choice(COMPRESS)
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    streams = zip([0, *cuts], [*cuts, len(text)], strict=True)
    data = b"".join(compress(text[start:end]) for start, end in streams)
    if rng.random() < 0.5:
        data = mutate(rng, data, 3)
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data


def read_page(page: bytes, site: sites.Site) -> int:
    """Parses a page; returns the size of its text."""
    try:
        PageParser(site).parse(page)
    except MalformedPageError as error:
        str(error).encode("utf-8")
    return len(page)


def read_dump(path: pathlib.Path, data: bytes, range_bytes: int) -> int:
    """Reads a dump file; returns the size of its bytes and its pages."""
    path.write_bytes(data)
    size = len(data)
    try:
        [(source, head)] = dump_files.find_sources(str(path))
    except InputError:
        return size
    site = sites.parse_site(head) or sites.Site()
    reader = dump_files.PageReader(EXECUTOR, 2)
    for part in dump_files.plan_ranges([source], range_bytes):
        for page in reader.pages(part):
            size += read_page(page, site)
    return size


def one_case(seed: int, path: pathlib.Path) -> tuple[int, float]:
    """Reads one page or dump file; returns the bytes and the CPU seconds that it took."""
    rng = random.Random(seed)
    if rng.random() < 0.6:
        page = mutate(rng, PAGE, 12)
        started = time.process_time()
        return read_page(page, sites.Site()), time.process_time() - started
    data = dump(rng)
    range_bytes = max(rng.choice((50, 1000, 1 << 30)), len(data) // 20)
    started = time.process_time()
    return read_dump(path, data, range_bytes), time.process_time() - started


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failures: list[str] = []
    count, num_bytes, slowest = 0, 0, 0.0
    stop = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as directory:
        while time.monotonic() < stop:
            seed = options.seed * 10**9 + count
            count += 1
            try:
                size, seconds = one_case(seed, pathlib.Path(directory) / "dump")
            except Exception:
                failures.append(f"seed {seed}:\n{traceback.format_exc()}")
                print(failures[-1], flush=True)
                continue
            num_bytes += size
            rate = max(0.0, seconds - SPARE_SECONDS) / (max(size, 1) / 1e6)
            slowest = max(slowest, rate)
            if rate > SECONDS_PER_MB:
                failures.append(f"seed {seed}: {seconds:.2f} s for {size:,} bytes")
                print(failures[-1], flush=True)
    print(f"{count:,} cases, {num_bytes / 1e6:,.0f} MB, {len(failures)} failures")
    print(f"slowest: {slowest:.2f} s for each MB, less {SPARE_SECONDS} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
