"""What differs between languages and wiki families: prefixes, aliases, case, redirect words."""

from __future__ import annotations

# Prefixes of other wikis: Wikimedia's languages, then its projects and MediaWiki's defaults.
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
w wikipedia wikt wiktionary q wikiquote b wikibooks n wikinews s wikisource v wikiversity voy
wikivoyage species wikispecies d wikidata c commons m meta metawikipedia mw mediawikiwiki wmf
foundation wikimedia incubator phabricator bugzilla mail toollabs toolforge sep11 nost testwiki
wikitech outreach strategy otrs otrswiki wikia wikicities meatball usemod c2 doi rfc imdbname
imdbtitle google wikitravel memoryalpha jargonfile foldoc uncyclopedia rev svn gerrit quality
oldwikisource wikipediawikipedia iso639-3 dictionary citizendium scholarpedia unihan
"""
LANGUAGE_PREFIXES = frozenset(_LANGUAGES.split())
INTERWIKI_PREFIXES = LANGUAGE_PREFIXES | frozenset(_PROJECTS.split())

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

# Former and variant names of namespaces that are not in `<siteinfo>`: name to number, by language.
NAMESPACE_ALIASES: dict[str, dict[str, int]] = {
    "de": {"bild": 6},
    "es": {"imagen": 6},
    "fr": {"fichier": 6},
    "it": {"immagine": 6},
    "ja": {"カテゴリ": 14, "ファイル": 6, "画像": 6},
    "nl": {"afbeelding": 6},
    "pl": {"grafika": 6},
    "pt": {"imagem": 6},
    "ru": {"изображение": 6},
    "uk": {"зображення": 6},
    "zh": {"分类": 14, "分類": 14, "文件": 6, "檔案": 6, "档案": 6, "图像": 6, "圖像": 6},
}

# Wikis where the capital of i is İ: MediaWiki's LanguageTr, LanguageAz and LanguageKaa, and the
# languages that have no class of their own and fall back on these.
DOTTED_I_LANGUAGES = frozenset(("az", "gag", "kaa", "kiu", "lez", "lzz", "tr"))


def aliases_of(language: str) -> dict[str, int]:
    """Aliases of namespaces on a wiki of `language`, all languages' if it is not known ("")."""
    if language:
        return NAMESPACE_ALIASES.get(language.partition("-")[0], {})
    return {name: number for names in NAMESPACE_ALIASES.values() for name, number in names.items()}
