"""The counters of the Wikipedia job and their meanings."""

from data_prep.wiki.link_graph import MAX_REDIRECT_HOPS

# In the order of the table at the end.
COUNTERS = {
    "pages_read": "complete pages in the dump",
    "pages_other_namespace": "dropped: no articles",
    "pages_malformed": "dropped: no readable or legal title, or no text",
    "pages_damaged": "dropped: in a damaged part of the file",
    "page_cut_off": "dropped: the file ends inside the page",
    "pages_duplicate": "dropped: an earlier page has the title",
    "pages_digest_collision": "of these, only the digests are equal",
    "blocks_damaged": "bzip2 blocks that cannot be decompressed",
    "input_damaged": "gzip or xz files, read up to the damage",
    "input_truncated": "compressed files that end too early",
    "dump_unfinished": "files without </mediawiki> at the end",
    "redirects": "redirect pages",
    "articles": "article pages",
    "items_without_page": "link targets made items (--link_targets=all)",
    "items": "records of the catalog",
    "links_found": "[[...]] in articles",
    "category_links": "of these, categories",
    "links_file": "dropped: to files",
    "links_interwiki": "dropped: to other languages and wikis",
    "links_other_namespace": "dropped: to other namespaces",
    "links_section": "dropped: to a section of the same page",
    "links_invalid": "dropped: the target cannot be a title",
    "links_unclosed": "dropped: no ]], or a link in the label",
    "links_self": "dropped: to the article itself",
    "links_duplicate": "dropped: the article links there already",
    "links_of_duplicate_page": "dropped: in a page dropped as a duplicate",
    "links_to_missing_page": "dropped: the target is no item, or on another wiki",
    "links_redirect_loop": f"dropped: a loop, or over {MAX_REDIRECT_HOPS} redirects",
    "links_redirect_no_article": "dropped: the redirect leads to no article",
    "links_through_redirect": "links that went through redirects",
    "links": "links between items, the pairs",
    "categories_assigned": "categories of articles",
    "categories_out_of_vocabulary": "dropped: rare, or not in the vocabulary's pages",
    "categories_over_limit": "dropped: over --max_categories",
    "title_ngrams_out_of_vocabulary": "dropped: rare, or not in the vocabulary's pages",
    "title_ngrams_over_limit": "dropped: over --max_title_ngrams",
    "items_without_id": "items with id 0: held out, or rare in training",
}
# With --title_vectors, besides those of either source.
VECTOR_COUNTERS = {
    "title_vectors_read": "rows of --title_vectors",
    "title_vectors_missing": "dropped: null, an empty list or zeros",
    "title_vectors_invalid_title": "dropped: no legal title",
    "title_vectors_of_no_item": "dropped: no item has the title; redirects are not followed",
    "items_without_title_vector": "items whose title_vector is zeros",
}
# Counters that the user is warned of.
WARNINGS = {
    "page_cut_off": "the dump ends in the middle of a page: is it complete?",
    "dump_unfinished": "a file does not end with </mediawiki>, pages may be missing: is it whole?",
    "input_truncated": "a compressed file ends too early: fetch it again",
    "input_damaged": "a compressed file is damaged, the rest of it was not read: fetch it again",
    "blocks_damaged": "a bzip2 file is damaged, pages are missing: fetch it again",
    "pages_malformed": "some pages could not be parsed",
}

_OF_TABLES = {
    "pages_read": "rows of the page table",
    "pages_malformed": "dropped: no legal title",
    "pages_duplicate": "dropped: an earlier page has the number or title",
    "row_cut_off": "dropped: the file ends inside the row",
    "input_damaged": "compressed files, read up to the damage",
    "dump_unfinished": "files without '-- Dump completed' at the end",
    "link_rows": "rows of the pagelinks and categorylinks tables",
    "links_of_no_article": "dropped: of redirects, other namespaces, or pages without a row",
    "links_found": "links and categories of articles",
    "category_links_hidden": "of these, hidden (--hidden_categories)",
    "links_invalid": "dropped: no legal title",
    "links_unknown_target": "dropped: the target's number is not in the linktarget table",
    "links_to_missing_page": "dropped: the target is no item",
}
_ORDER_OF_TABLES = (
    "pages_read", "pages_other_namespace", "pages_malformed", "pages_duplicate",
    "pages_digest_collision", "row_cut_off", "input_damaged", "input_truncated", "dump_unfinished",
    "redirects", "articles", "items_without_page", "items", "link_rows", "links_of_no_article",
    "links_found", "category_links", "category_links_hidden", "links_file",
    "links_other_namespace", "links_invalid", "links_unknown_target", "links_self",
    "links_duplicate", "links_of_duplicate_page", "links_to_missing_page", "links_redirect_loop",
    "links_redirect_no_article", "links_through_redirect", "links", "categories_assigned",
    "categories_out_of_vocabulary", "categories_over_limit", "title_ngrams_out_of_vocabulary",
    "title_ngrams_over_limit", "items_without_id",
)  # fmt: skip
# Of a job over SQL tables.
TABLE_COUNTERS = {name: (COUNTERS | _OF_TABLES)[name] for name in _ORDER_OF_TABLES}
TABLE_WARNINGS = {
    "row_cut_off": "a file ends in the middle of a row: is it complete?",
    "dump_unfinished": "a file does not end with '-- Dump completed', rows may be missing: is it "
    "whole?",
    "input_truncated": WARNINGS["input_truncated"],
    "input_damaged": WARNINGS["input_damaged"],
    "pages_malformed": "some pages have no legal title",
    "links_unknown_target": "some targets are not in the linktarget table: are all tables of one "
    "day?",
}
