"""What a wiki's titles mean: namespaces, prefixes of other wikis, redirect words."""

from __future__ import annotations

import dataclasses
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

ARTICLE, FILE, CATEGORY, MEDIA = 0, 6, 14, -2
_FILE_NAMESPACES = (FILE, MEDIA)

# Names that MediaWiki takes in every language, beside the localised ones.
CANONICAL_NAMESPACES = {
    "media": -2, "special": -1, "talk": 1, "user": 2, "user talk": 3, "project": 4,
    "project talk": 5, "wikipedia": 4, "wikipedia talk": 5, "file": 6, "file talk": 7, "image": 6,
    "image talk": 7, "mediawiki": 8, "mediawiki talk": 9, "template": 10, "template talk": 11,
    "help": 12, "help talk": 13, "category": 14, "category talk": 15, "portal": 100,
    "portal talk": 101,
}  # fmt: skip
# Former and variant names that stay valid on large wikis and are not in `<siteinfo>`.
_ALIASES = {
    "分类": 14, "分類": 14, "カテゴリ": 14, "文件": 6, "檔案": 6, "档案": 6, "图像": 6, "圖像": 6,
    "ファイル": 6, "画像": 6, "bild": 6, "imagen": 6, "imagem": 6, "immagine": 6, "afbeelding": 6,
    "изображение": 6, "зображення": 6, "fichier": 6, "grafika": 6,
}  # fmt: skip
CANONICAL_NAMESPACES |= _ALIASES

_LANGUAGES = """
aa ab ace ady af ak als alt am ami an ang ann anp ar arc arz ary as ast atj av avk awa ay az azb
ba ban bar bat-smg bcl bdr be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs bug bxr
ca cbk-zam cdo ce ceb ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de dga din diq dsb dtp
dty dv dz ee el eml en eo es et eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan
gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw
hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam jbo jv ka kaa kab kbd kbp kcg kg kge ki kj
kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe lez lfn lg li lij lld lmo ln lo
lrc lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw mo mos mr mrj ms mt mus mwl
my myv mzn na nah nan nap nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nup nv ny oc olo om
or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup
roa-tara rsk ru rue rup rw sa sah sat sc scn sco sd se sg sgs sh shi shn si simple sk skr sl sm smn
sn so sq sr srn ss st stq su sv sw syl szl szy ta tay tcy tdd te tet tg th ti tig tk tl tlh tly tn
to tok tokipona tpi tr trv ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo
wuu xal xh xmf yi yo yue za zea zgh zh zh-cfr zh-classical zh-cn zh-min-nan zh-tw zh-yue zu
"""
_PROJECTS = """
w wikt wiktionary q wikiquote b wikibooks n wikinews s wikisource v wikiversity voy wikivoyage
species wikispecies d wikidata c commons m meta metawikipedia mw mediawikiwiki wmf foundation
wikimedia incubator phabricator bugzilla mail toollabs toolforge sep11 nost testwiki wikitech
outreach strategy otrs otrswiki wikia wikicities meatball usemod c2 doi rfc imdbname imdbtitle
google wikitravel memoryalpha jargonfile foldoc uncyclopedia rev svn gerrit quality oldwikisource
wikipediawikipedia iso639-3 dictionary citizendium scholarpedia unihan
"""
INTERWIKI_PREFIXES = frozenset((_LANGUAGES + _PROJECTS).split())

# MediaWiki's #REDIRECT in the languages of the larger Wikipedias, casefolded.
_REDIRECT_WORDS = """
redirect تحويل перанакіраваньне перанакіраванне пренасочване виж পুনর্নির্দেশ পুনঃনির্দেশ adkas
preusmjeri přesměruj ail-cyfeirio omdirigering viderestilling weiterleitung ανακατευθυνση
alidirektu redirección redireccion suuna birzuzendu تغییر_مسیر تغییرمسیر ohjaus uudelleenohjaus
redirection athsheoladh redireccionar הפניה अनुप्रेषित पुनर्प्रेषित átirányítás վերահղում alih
lencong tilvísun rinvia rimando 転送 リダイレクト გადამისამართება айдау 넘겨주기 peradresavimas
pāradresācija пренасочување пренасочи doorverwijzing omdiriger patrz przekieruj tam
redirecionamento redirect redirecteaza перенаправление перенапр presmeruj preusmeritev ridrejto
преусмери preusmeri வழிமாற்று เปลี่ยนทาง yönlendi̇rme yönlendirme yönlendir юнәлтү
перенаправлення переспрямування перенаправленя đổi ווייטערפירן 重定向 重新導向 पुनर्निर्देशन
ප්‍රතිමාර්ගනය దారిమార్పు തിരിച്ചുവിടുക ದಾರಿಮಾರ್ಪು
"""
REDIRECT_WORDS = frozenset(_REDIRECT_WORDS.casefold().split())

_NAMESPACE = re.compile(rb'<namespace key="(-?\d+)"([^>]*?)(?:/>|>([^<]*)</namespace>)')
_SITE_CASE = re.compile(rb"<case>([^<]*)</case>")
_DB_NAME = re.compile(rb"<dbname>([^<]*)</dbname>")
_SITE_NAME = re.compile(rb"<sitename>([^<]*)</sitename>")
# What MediaWiki takes for a space in a title, and the marks that it removes.
_SPACES = re.compile("[ _\t\u00a0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e]")
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f<>\[\]{}|\ufffd]")
_MAX_TITLE_BYTES = 255
_NUMERIC = re.compile("&#(?:[0-9]+|x[0-9a-fA-F]+);")


@dataclasses.dataclass(frozen=True)
class Site:
    """One wiki's title rules.

    Attributes:
      name: database name or site name, empty if the dump does not say.
      namespaces: casefolded namespace name to number, canonical English names included.
      case_sensitive: numbers of the namespaces whose titles may start in lower case.
    """

    name: str = ""
    namespaces: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: dict(CANONICAL_NAMESPACES)
    )
    case_sensitive: frozenset[int] = frozenset()

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
        upper = title[0].upper()
        # As MediaWiki: no letter becomes two (ß), and Georgian has no title case.
        if len(upper) != 1 or "\u10d0" <= title[0] <= "\u10ff":
            return title
        return upper + title[1:]


class Target(NamedTuple):
    """What a link's target names.

    Attributes:
      kind: one of the constants below.
      title: the normalised title; the name without its prefix for a category.
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
    """Reads `<siteinfo>` from the head of a dump; None if there is none."""
    start, end = head.find(b"<siteinfo"), head.find(b"</siteinfo>")
    if start < 0 or end < start:
        return None
    info = head[start:end]
    case = _SITE_CASE.search(info)
    default_sensitive = case is not None and case[1] == b"case-sensitive"
    namespaces = dict(CANONICAL_NAMESPACES)
    case_sensitive = set()
    for number_text, attributes, name in _NAMESPACE.findall(info):
        number = int(number_text)
        if b"case-sensitive" in attributes or (default_sensitive and b"case=" not in attributes):
            case_sensitive.add(number)
        if name:
            namespaces[clean_title(_unescape(name.decode("utf-8", "replace"))).casefold()] = number
    if default_sensitive:
        case_sensitive.add(ARTICLE)
    named = _DB_NAME.search(info) or _SITE_NAME.search(info)
    return Site(
        name=_unescape(named[1].decode("utf-8", "replace")) if named else "",
        namespaces=namespaces,
        case_sensitive=frozenset(case_sensitive),
    )


def clean_title(text: str) -> str:
    """Spaces for underscores, none doubled or at the ends; NFC; no direction marks."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _DIRECTION_MARKS.sub("", text))
    return _SPACES.sub(" ", text).strip(" ")


def parse_title(raw: bytes, site: Site, namespace: int | None) -> tuple[int, str]:
    """Namespace number and normalised full title of a page.

    Args:
      raw: contents of `<title>`.
      site: the wiki's rules.
      namespace: contents of `<ns>`, None where the dump has none (export-0.3, 0.4).

    Raises:
      ValueError: if the title is empty or not UTF-8.
    """
    title = clean_title(_unescape(raw.decode("utf-8")))
    if not title:
        raise ValueError("empty title")
    if namespace is None:
        namespace, _ = site.split_namespace(title)
    return namespace, site.fix_case(title, namespace) if namespace == ARTICLE else title


def parse_target(raw: bytes, site: Site) -> Target:
    """What the target of `[[raw|...]]` names; `raw` as it stands in the XML."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Target(INVALID)
    if "&" in text:
        text = html.unescape(_unescape(text))  # first the XML's level, then the wikitext's
    if "%" in text:
        text = urllib.parse.unquote(text)
    text, hash_mark, _ = text.partition("#")
    title = clean_title(text)
    is_plain_link = title.startswith(":")
    if is_plain_link:
        title = title[1:].lstrip(" ")
    if not title:
        return Target(TO_SECTION if hash_mark else INVALID)
    prefix, colon, _ = title.partition(":")
    if colon:
        namespace, rest = site.split_namespace(title)
        if namespace != ARTICLE:
            return _in_namespace(namespace, rest, is_plain_link, site)
        if prefix.strip().lower() in INTERWIKI_PREFIXES:
            return Target(TO_INTERWIKI)
    title = site.fix_case(title)
    return Target(TO_ARTICLE, title) if is_legal(title) else Target(INVALID)


def _in_namespace(namespace: int, rest: str, is_plain_link: bool, site: Site) -> Target:
    if namespace in _FILE_NAMESPACES:
        return Target(TO_FILE)
    if namespace != CATEGORY or is_plain_link:
        return Target(TO_NAMESPACE)
    name = site.fix_case(rest, CATEGORY)
    return Target(TO_CATEGORY, name) if is_legal(name) else Target(INVALID)


def is_legal(title: str) -> bool:
    """Whether MediaWiki could have a page of this name."""
    if not title or title in (".", "..") or title.startswith((":", "./", "../")):
        return False
    if _ILLEGAL.search(title):
        return False
    return len(title) <= 63 or len(title.encode("utf-8")) <= _MAX_TITLE_BYTES


def _unescape(text: str) -> str:
    """Undoes XML's escapes, once."""
    if "&" not in text:
        return text
    text = _NUMERIC.sub(lambda found: html.unescape(found[0]), text)
    for escaped, plain in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'")):
        text = text.replace(escaped, plain)
    return text.replace("&amp;", "&")
