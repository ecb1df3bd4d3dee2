"""What a wiki's titles mean: namespaces, prefixes of other wikis, the first letter's case."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import NamedTuple

from data_prep.wiki import languages
from data_prep.wiki.titles import clean_title, is_legal, target_text, title_text, unescape_xml

ARTICLE, FILE, CATEGORY, MEDIA, PROJECT = 0, 6, 14, -2, 4
_FILE_NAMESPACES = (FILE, MEDIA)

# English names that every wiki takes, beside its own.
CANONICAL_NAMESPACES = {
    "media": -2, "special": -1, "talk": 1, "user": 2, "user talk": 3, "project": 4,
    "project talk": 5, "file": 6, "file talk": 7, "image": 6, "image talk": 7, "mediawiki": 8,
    "mediawiki talk": 9, "template": 10, "template talk": 11, "help": 12, "help talk": 13,
    "category": 14, "category talk": 15,
}  # fmt: skip
_WIKIPEDIA = {"wikipedia": 4, "wikipedia talk": 5}
_PORTAL = {"portal": 100, "portal talk": 101}

_ROOT_LANGUAGE = re.compile(rb"<mediawiki\b[^<>]*?\sxml:lang\s*=\s*[\"']([A-Za-z0-9-]{1,40})[\"']")
# Contents end at the next tag, so that every search takes linear time.
_NAMESPACE = re.compile(rb"<namespace\b([^<>]*)>([^<]*)")
_KEY = re.compile(rb"""\bkey\s*=\s*["'](-?[0-9]{1,9})["']""")
_SITE_CASE = re.compile(rb"<case>\s*([^<]*?)\s*</case>")
_DB_NAME = re.compile(rb"<dbname>([^<]*)</dbname>")
_SITE_NAME = re.compile(rb"<sitename>([^<]*)</sitename>")
# A Wikipedia's database: its language and "wiki", trwiki.
_WIKIPEDIA_DB = re.compile(r"([a-z_]+)wiki")


def _default_namespaces(language: str = "") -> dict[str, int]:
    """Names for a wiki that does not say which it has."""
    return CANONICAL_NAMESPACES | _WIKIPEDIA | _PORTAL | languages.aliases_of(language)


@dataclasses.dataclass(frozen=True)
class Site:
    """One wiki's title rules.

    Attributes:
      name: database name or site name, empty if the dump does not say.
      namespaces: casefolded namespace name to number, canonical English names included.
      case_sensitive: numbers of the namespaces whose titles may start in lower case.
      language: code of the wiki's language, empty if the dump does not say.
    """

    name: str = ""
    namespaces: Mapping[str, int] = dataclasses.field(default_factory=_default_namespaces)
    case_sensitive: frozenset[int] = frozenset()
    language: str = ""

    @property
    def has_dotless_i(self) -> bool:
        """Whether i and I are different letters in the wiki's language, as in Turkish."""
        return self.language in languages.DOTTED_I_LANGUAGES

    def split_namespace(self, title: str) -> tuple[int, str]:
        """Splits a cleaned title into namespace number and the rest; 0 without a known prefix."""
        prefix, colon, rest = title.partition(":")
        if colon:
            number = self.namespaces.get(prefix.strip().casefold())
            if number is not None:
                return number, rest.strip()
        return ARTICLE, title

    def fix_case(self, title: str, namespace: int = ARTICLE) -> str:
        """Upper-cases the first letter, except on wikis where case counts."""
        if not title or namespace in self.case_sensitive or title[0].isupper():
            return title
        if title[0] == "i" and self.has_dotless_i:
            return "İ" + title[1:]
        upper = title[0].upper()
        # As MediaWiki: no letter becomes two (ß), and Georgian has no title case.
        if len(upper) != 1 or "\u10d0" <= title[0] <= "\u10ff":
            return title
        return upper + title[1:]


class Target(NamedTuple):
    """What a link's target names.

    Attributes:
      kind: one of the constants below.
      title: the normalised title; the name without its prefix for a category; for an interwiki
        link the page of this wiki that it names if the prefix is none here, else empty.
    """

    kind: str
    title: str = ""


TO_ARTICLE = "article"
TO_CATEGORY = "category"  # a membership
TO_FILE = "file"
TO_NAMESPACE = "other_namespace"
TO_INTERWIKI = "interwiki"
TO_SECTION = "section"  # of the same page
INVALID = "invalid"


def parse_site(head: bytes) -> Site | None:
    """Reads the language and `<siteinfo>` from the head of a dump; None if it has neither."""
    start, end = head.find(b"<siteinfo"), head.find(b"</siteinfo>")
    if start < 0 or end < start:
        language = _language(head, "")
        return (
            Site(namespaces=_default_namespaces(language), language=language) if language else None
        )
    info = head[start:end]
    named = _DB_NAME.search(info) or _SITE_NAME.search(info)
    name = _text(named[1]).strip() if named else ""
    language = _language(head[:start], name)
    case = _SITE_CASE.search(info)
    default_sensitive = case is not None and case[1] == b"case-sensitive"
    own_names, case_sensitive = _namespaces(info, default_sensitive)
    if not own_names:
        names = _default_namespaces(language)
    else:
        names = CANONICAL_NAMESPACES | languages.aliases_of(language)
        # Wikipedias take "Wikipedia:" whatever their own word is.
        names |= _WIKIPEDIA if _WIKIPEDIA_DB.fullmatch(name) else {}
    return Site(
        name=name,
        namespaces=names | own_names,
        case_sensitive=case_sensitive,
        language=language,
    )


def _language(root: bytes, name: str) -> str:
    """The wiki's language: from the root's xml:lang, else from a database name as trwiki."""
    stated = _ROOT_LANGUAGE.search(root)
    if stated:
        return stated[1].decode("ascii").lower()
    return language_of(name)


def language_of(database: str) -> str:
    """The language of a Wikipedia by its database, as trwiki; empty if the name does not tell."""
    named = _WIKIPEDIA_DB.fullmatch(database)
    language = named[1].replace("_", "-") if named else ""
    return language if language in languages.LANGUAGE_PREFIXES else ""


def _namespaces(info: bytes, default_sensitive: bool) -> tuple[dict[str, int], frozenset[int]]:
    """The wiki's own names, casefolded, to numbers; and the numbers whose titles keep case."""
    names: dict[str, int] = {}
    case_sensitive = {ARTICLE} if default_sensitive else set()
    for attributes, name in _NAMESPACE.findall(info):
        key = _KEY.search(attributes)
        if key is None:
            continue
        number = int(key[1])
        if b"case-sensitive" in attributes:
            case_sensitive.add(number)
        elif b"case=" not in attributes:
            case_sensitive |= {number} if default_sensitive else set()
        elif number == ARTICLE:
            case_sensitive.discard(ARTICLE)
        title = clean_title(_text(name).strip())
        if title and not attributes.endswith(b"/"):
            names[title.casefold()] = number
    return names, frozenset(case_sensitive)


def _text(raw: bytes) -> str:
    return unescape_xml(raw.decode("utf-8", "replace"))


def parse_title(raw: bytes, site: Site, namespace: int | None) -> tuple[int, str]:
    """Namespace number and normalised full title of a page.

    Args:
      raw: contents of `<title>`.
      site: the wiki's rules.
      namespace: contents of `<ns>`, None where the dump has none (export-0.3, 0.4).

    Raises:
      ValueError: if an article could not have the title, or it is not UTF-8 or empty.
    """
    title = title_text(raw)
    if not title:
        raise ValueError("empty title")
    if namespace is None:
        namespace, _ = site.split_namespace(title)
    if namespace != ARTICLE:
        return namespace, title
    if not is_legal(title):
        raise ValueError(f"{title[:80]!r} cannot be a title")
    return ARTICLE, site.fix_case(title)


def parse_target(raw: bytes, site: Site) -> Target:
    """What the target of `[[raw|...]]` names; `raw` as it stands in the XML."""
    try:
        text = target_text(raw)
    except UnicodeDecodeError:
        return Target(INVALID)
    text, hash_mark, _ = text.partition("#")
    title = clean_title(text)
    is_plain_link = title.startswith(":")
    if is_plain_link:
        title = title[1:].lstrip(" ")
    if not title:
        return Target(TO_SECTION if hash_mark else INVALID)
    prefix, colon, rest = title.partition(":")
    if colon:
        namespace, name = site.split_namespace(title)
        if namespace != ARTICLE:
            return _in_namespace(namespace, name, is_plain_link, site)
        if prefix.strip().lower() in languages.INTERWIKI_PREFIXES:
            return _to_interwiki(prefix, rest, title, site)
    title = site.fix_case(title)
    return Target(TO_ARTICLE, title) if is_legal(title) else Target(INVALID)


def _to_interwiki(prefix: str, rest: str, title: str, site: Site) -> Target:
    """A link to another wiki; with a title if it may be to a page of this one all the same.

    Which prefixes a wiki has is not in its dump: "V: The Final Battle" is a page where v is none.
    A language in lower case and no space, [[de:Rom]], is taken for an interlanguage link.
    """
    if prefix in languages.LANGUAGE_PREFIXES and not rest.startswith(" "):
        return Target(TO_INTERWIKI)
    title = site.fix_case(title)
    return Target(TO_INTERWIKI, title if is_legal(title) else "")


def _in_namespace(namespace: int, rest: str, is_plain_link: bool, site: Site) -> Target:
    if namespace in _FILE_NAMESPACES:
        return Target(TO_FILE)
    if namespace != CATEGORY or is_plain_link:
        return Target(TO_NAMESPACE)
    name = site.fix_case(rest, CATEGORY)
    return Target(TO_CATEGORY, name) if is_legal(name) else Target(INVALID)
