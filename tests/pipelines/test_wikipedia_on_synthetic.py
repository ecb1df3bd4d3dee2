"""The Wikipedia job finds in a made-up wiki exactly the links that were put there."""

from data_prep.synthetic.wiki_pages import ARTICLE, pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import write_dump
from pipelines import wikipedia
from ssl_recsys import schema


def test_links_redirects_and_categories(tmp_path):
    wiki = list(pages(WikiWorld(400, seed=5)))
    write_dump(tmp_path / "wiki.xml.bz2", wiki)
    options = wikipedia.WikipediaOptions(
        dump=str(tmp_path / "wiki.xml.bz2"), output_dir=str(tmp_path / "data")
    )
    info = wikipedia.make_dataset(options)
    articles = {
        page.title: page for page in wiki if page.namespace == ARTICLE and not page.redirect
    }
    assert info.counters["articles"] == len(articles) == 400
    assert info.counters["redirects"] == sum(page.redirect is not None for page in wiki)
    assert info.counters["pages_read"] == len(wiki)
    assert info.counters["categories_assigned"] == sum(
        len(page.categories) for page in articles.values()
    )

    import tensorflow_datasets as tfds

    def load(folder, split):
        builder = tfds.builder_from_directory(tmp_path / "data" / folder)
        return list(tfds.as_numpy(builder.as_dataset(split=split)))

    keys = [item["key"].decode() for item in load(schema.CATALOG_DIR, schema.CATALOG_SPLIT)]
    assert set(keys) == set(articles)
    found = [
        (keys[query], keys[item])
        for split in schema.PAIR_SPLITS
        for record in load(schema.PAIRS_DIR, split)
        for query, item in zip(record["query_row"], record["item_row"], strict=True)
    ]
    expected = {(page.title, target) for page in articles.values() for target in page.links}
    assert len(found) == len(expected)
    assert set(found) == expected
