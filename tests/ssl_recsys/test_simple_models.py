import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from ssl_recsys import baselines, features, schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import (
    SIMPLE_MODELS,
    USER_MODELS,
    comparison,
    simple_models,
    simple_settings,
)
from ssl_recsys.evaluation.comparison import Comparison, ranks_by_score
from ssl_recsys.evaluation.simple_models import (
    AlternatingLeastSquares,
    ContentCosine,
    ContentNeighbours,
    CoOccurrence,
    Evidence,
    check_memory,
    nearest_neighbours,
    pair_counts,
    similarities,
    tfidf,
)
from ssl_recsys.evaluation.table import format_table
from tests import command_line
from tests.ssl_recsys import commands

FEATURES = (
    features.Categorical("id", vocab_size=61),
    features.Bag("words", vocab_size=5, max_values=2),
    features.Dense("quality", max_values=1),
)
ALL = np.arange(4)


def catalog(words: list[list[int]], train_count: list[int] | None = None) -> Catalog:
    size = len(words)
    names = np.array([f"item {row}" for row in range(size)], object)
    return Catalog(
        keys=names,
        titles=names,
        train_count=np.array(train_count or [0] * size),
        features={
            "id": np.arange(1, size + 1)[:, np.newaxis],
            "words": np.array(words),
            "quality": np.ones((size, 1), np.float32),
        },
    )


def evidence(pairs: list[tuple[int, int]], cosines: np.ndarray | None = None) -> Evidence:
    content = scipy.sparse.csr_matrix((4, 1), dtype=np.float32)
    if cosines is not None:
        content = scipy.sparse.csr_matrix(np.linalg.cholesky(cosines), dtype=np.float32)
    columns = np.array(pairs).T.reshape(2, -1)
    return Evidence(pair_counts(Pairs(*columns), 4), content)


def test_pairs_are_counted_as_often_as_they_are_there() -> None:
    scores = CoOccurrence(both_directions=False).fit(evidence([(0, 1), (0, 1), (2, 0)]))(ALL)
    assert scores.tolist() == [[0, 2, 0, 0], [0] * 4, [1, 0, 0, 0], [0] * 4]


def test_both_directions_add_the_pairs_turned_round() -> None:
    scores = CoOccurrence(both_directions=True).fit(evidence([(0, 1), (0, 1), (1, 0)]))(ALL[:2])
    assert scores.tolist() == [[0, 3, 0, 0], [3, 0, 0, 0]]


def test_tfidf_weighs_rare_values_more_and_knows_no_ids() -> None:
    # Word 1 is in three of four items, word 2 in two, word 3 in one: left out, as are all ids.
    vectors = tfidf(catalog([[1, 2], [1, 0], [1, 2], [3, 0]]), FEATURES).toarray()
    common, rare = np.log(5 / 4) + 1, np.log(5 / 3) + 1  # scikit-learn's smoothed idf
    expected = np.array([common, rare]) / np.hypot(common, rare)
    assert vectors.shape == (4, 2)
    np.testing.assert_allclose(vectors[0], expected, rtol=1e-6)
    np.testing.assert_allclose(vectors[1], [1, 0])
    np.testing.assert_allclose(vectors[3], [0, 0])


def test_items_that_share_nothing_have_no_vector() -> None:
    assert tfidf(catalog([[1, 0], [2, 0], [3, 0], [4, 0]]), FEATURES).shape == (4, 0)


def test_content_cosine_ranks_by_shared_values() -> None:
    found = Evidence.of(
        catalog([[1, 2], [1, 0], [1, 3], [2, 0]]),
        FEATURES,
        Pairs(np.zeros(0, int), np.zeros(0, int)),
    )
    scores = ContentCosine().fit(found)(ALL)
    assert scores[1, 2] == pytest.approx(1.0)
    assert scores[0, 1] < scores[0, 3] < 1.0  # word 2 is the rarer one
    assert scores[1, 3] == 0.0


COSINES = np.array([[1, 0.8, 0.1, 0], [0.8, 1, 0, 0], [0.1, 0, 1, 0.5], [0, 0, 0.5, 1]])


def test_neighbours_are_the_nearest_and_the_item_itself() -> None:
    content = evidence([(0, 0)], COSINES).content
    expected = [[1, 0.64, 0, 0], [0.64, 1, 0, 0], [0, 0, 1, 0.25], [0, 0, 0.25, 1]]
    rows, cosines = nearest_neighbours(content, num_neighbours=3)
    np.testing.assert_array_equal(rows[:, 0], [1, 0, 3, 2])
    assert (np.diff(cosines, axis=1) <= 0).all()
    found = similarities(rows, cosines, num_neighbours=1, power=2.0).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_more_neighbours_than_items_are_all_items() -> None:
    content = evidence([(0, 0)], COSINES).content
    found = similarities(*nearest_neighbours(content, 9), 9, 1.0).toarray()
    np.testing.assert_allclose(found, COSINES, atol=1e-6)


def test_a_single_item_has_no_neighbours() -> None:
    content = evidence([(0, 0)], COSINES).content[:1]
    found = similarities(*nearest_neighbours(content, 5), 5, 1.0).toarray()
    np.testing.assert_array_equal(found, [[1.0]])


def test_neighbours_equal_those_of_all_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simple_models, "_NEIGHBOUR_ROWS", 7)
    rng = np.random.default_rng(0)
    vectors = rng.random((40, 12)) * (rng.random((40, 12)) < 0.2)
    vectors[5:12] = vectors[4]  # more equal items than neighbours are kept
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.float32(np.divide(vectors, lengths, where=lengths > 0, out=vectors * 0))
    expected = vectors @ vectors.T
    np.fill_diagonal(expected, -1)
    rows, cosines = nearest_neighbours(scipy.sparse.csr_matrix(vectors), num_neighbours=5)
    np.testing.assert_allclose(cosines, -np.sort(-expected, axis=1)[:, :5], atol=1e-6)
    found = cosines > 0
    np.testing.assert_allclose(
        np.take_along_axis(expected, rows, axis=1)[found], cosines[found], atol=1e-6
    )
    assert (rows != np.arange(40)[:, None])[found].all()
    assert all(len({*row[mask]}) == mask.sum() for row, mask in zip(rows, found, strict=True))


def test_pairs_spread_to_like_queries_and_like_items() -> None:
    # Only 0 -> 2 is known. 1 is like 0 (0.8), and 3 like 2: 3's weights are 0.5 / 1.5 and 1 / 1.5.
    known = evidence([(0, 2)], COSINES)
    scores = ContentNeighbours(1, 1.0, item_side=True, content_weight=0.0).fit(known)(ALL)
    np.testing.assert_allclose(scores[1], [0, 0, 0.8 / 1.5, 0.4 / 1.5], rtol=1e-5, atol=1e-7)
    one_side = ContentNeighbours(1, 1.0, item_side=False, content_weight=0.0).fit(known)(ALL)
    np.testing.assert_allclose(one_side[1], [0, 0, 0.8, 0], rtol=1e-5, atol=1e-7)
    mixed = ContentNeighbours(1, 1.0, item_side=False, content_weight=0.5).fit(known)(ALL)
    np.testing.assert_allclose(mixed[1], one_side[1] + 0.5 * COSINES[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("item_side", [False, True])
def test_little_memory_changes_no_score(monkeypatch: pytest.MonkeyPatch, item_side: bool) -> None:
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.normal(size=(9, 3))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    train = [tuple(pair) for pair in rng.integers(0, 9, (30, 2)).tolist()]
    model = ContentNeighbours(num_neighbours=3, item_side=item_side)
    pairs = Pairs(*(np.repeat(np.arange(9), 9), np.tile(np.arange(9), 9)))
    found = []
    for limit in (1 << 30, 0):  # bytes of a product, then of a block: one row at a time
        monkeypatch.setattr(simple_models, "_PRODUCT_BYTES", limit)
        monkeypatch.setattr(simple_models, "_BLOCK_BYTES", limit)
        some = Evidence(pair_counts(Pairs(*np.array(train).T), 9), scipy.sparse.csr_matrix(vectors))
        scores = model.fit(some)(np.arange(9))
        ranks, _ = ranks_by_score(lambda rows, s=scores: s[rows], pairs, np.ones(9))
        found.append((scores, ranks))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found[1][1], found[0][1])


def test_models_of_too_many_items_are_refused() -> None:
    check_memory("tfidf", [ContentCosine()], 10**9)
    check_memory("als", [AlternatingLeastSquares(factors=64)], 5_300_000)
    # 100 neighbours of 8 bytes and two sparse matrices with 101 entries of 12 bytes an item.
    assert ContentNeighbours(num_neighbours=100).memory(1000) == 1000 * (800 + 2424)
    with pytest.raises(InputError, match=r"content_knn would hold 17.1 GB for 5,300,000 items"):
        check_memory("content_knn", [ContentNeighbours(n) for n in (30, 100)], 5_300_000)


def test_als_finds_the_block_that_a_missing_pair_belongs_to() -> None:
    pairs = [(0, 2), (0, 3), (1, 2)]
    scores = AlternatingLeastSquares(factors=2, regularization=0.01).fit(evidence(pairs))(ALL)
    assert scores[1, 3] > max(scores[1, 0], scores[1, 1])
    assert not scores[:, :2].any()


def test_ties_go_by_popularity_and_the_query_itself_is_left_out() -> None:
    scores = np.array([[9.0, 1.0, 1.0, 2.0]])
    pairs = Pairs(np.array([0, 0, 0]), np.array([1, 2, 3]))
    ranks, lists = ranks_by_score(lambda queries: scores.copy(), pairs, np.array([5, 1, 3, 0]))
    assert ranks.tolist() == [3, 2, 1]
    assert sorted(lists[0]) == [1, 2, 3]


def test_best_items_by_hand() -> None:
    scores = np.array([0.5, 2.0, 0.5, 0.5, -np.inf])
    by_popularity = np.array([4, 3, 0, 1, 2])
    found = {
        k: sorted(comparison.best_items(scores, np.sort(scores), by_popularity, k))
        for k in (0, 1, 2, 3)
    }
    # Of three items with 0.5, row 3 is the most popular and row 0 the next.
    assert found == {0: [], 1: [1], 2: [1, 3], 3: [0, 1, 3]}


def test_ranks_do_not_depend_on_the_order_of_pairs() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (300, 300)).astype(np.float32)
    queries, items = rng.integers(0, 300, (2, 1000))
    items = np.where(items == queries, (items + 1) % 300, items)
    count = rng.integers(0, 4, 300)
    ranks, lists = ranks_by_score(lambda rows: scores[rows], Pairs(queries, items), count)
    distinct = np.unique(queries).tolist()
    for number in range(0, 1000, 97):
        keys = [
            (-scores[queries[number], item], -count[item], item)
            for item in range(300)
            if item != queries[number]
        ]
        own = (-scores[queries[number], items[number]], -count[items[number]], items[number])
        keys.sort()
        assert ranks[number] == 1 + keys.index(own)
        listed = lists[distinct.index(queries[number])]
        assert sorted(listed) == sorted(item for _, _, item in keys[:10])


NOTED: list[str] = []


def chosen_by(validation: tuple[int, int]) -> dict[str, Any]:
    # Item 3 is the only unpopular one: without a count it is far down every list.
    items = catalog([[1, 0]] * 60, [0 if row == 3 else 1 for row in range(60)])
    data = Comparison(
        schema.DatasetInfo(name="small", features=FEATURES, num_items=60, num_pairs={}),
        items,
        Evidence.of(items, FEATURES, Pairs(np.array([3]), np.array([4]))),
        validation=Pairs(*np.array([validation]).T),
        evaluated=Pairs(np.array([2, 2]), np.array([0, 3])),
        split="test",
        note=NOTED.append,
    )
    ((name, result),) = data.results(simple_settings.chosen(["co_occurrence"], ["all"]))
    assert name == "co_occurrence"
    return result


def test_validation_pairs_choose_the_settings() -> None:
    NOTED.clear()
    result = chosen_by((4, 3))
    assert result["settings"] == {"both_directions": True}
    # Of 58 other items with a count, all come before item 3 unless a pair is known.
    assert result["tried"] == [
        {"settings": {"both_directions": False}, "validation_recall@50": 0.0},
        {"settings": {"both_directions": True}, "validation_recall@50": 1.0},
    ]
    assert [re.sub(r"[\d.]+ s$", "T", line) for line in NOTED] == [
        "co_occurrence:both_directions=false  Recall@50 0.0000 on validation pairs  T",
        "co_occurrence:both_directions=true  Recall@50 1.0000 on validation pairs  T",
        "co_occurrence:both_directions=true  Recall@50 0.5000 on test pairs  T",
    ]
    assert chosen_by((3, 4))["settings"] == {"both_directions": False}


def test_results_have_the_form_of_a_models_metrics() -> None:
    result = chosen_by((3, 4))
    assert result["overall"] == {
        "num_pairs": 2,
        "recall@10": 0.5,
        "recall@50": 0.5,
        "map@10": 0.5,
        "map@50": 0.5,
        "ndcg@10": 0.5,
        "ndcg@50": 0.5,
        "num_queries": 1,
        "hit_rate@10": 1.0,
        "hit_rate@50": 1.0,
    }
    assert result["recommended"]["num_queries"] == 1
    assert result["recommended"]["coverage@10"] == 10 / result["num_items"]
    assert result["overall"] == result["baselines"]["top_popular"]["overall"]
    assert format_table({"co_occurrence": result}).count("0.5000") > 4


@pytest.mark.parametrize(
    ("names", "grid", "total"),
    [
        (SIMPLE_MODELS, "all", 33),
        (SIMPLE_MODELS, "few", 8),
        (USER_MODELS, "all", 23),
        (USER_MODELS, "few", 8),
    ],
)
def test_settings_are_distinct_and_can_be_given(
    names: tuple[str, ...], grid: str, total: int
) -> None:
    settings = simple_settings.chosen(names, [grid])
    assert tuple(settings) == names
    assert (*SIMPLE_MODELS, *USER_MODELS) == tuple(simple_settings.KINDS)
    assert all(len(set(models)) == len(models) for models in settings.values())
    assert sum(map(len, settings.values())) == total
    for name, models in settings.items():
        for model in models:
            text = simple_settings.describe(name, model)
            own = f"{text}:" if ":" not in text else text
            assert simple_settings.chosen([name], [own])[name] == (model,)


def test_own_settings_take_the_place_of_a_methods() -> None:
    own = ["few", "content_knn:num_neighbours=5|20,item_side=false", "content_knn:power=2"]
    found = simple_settings.chosen(["als", "content_knn"], own)
    assert found["content_knn"] == (
        ContentNeighbours(5, 1.0, False, 0.5),
        ContentNeighbours(20, 1.0, False, 0.5),
        ContentNeighbours(30, 2.0, True, 0.5),
    )
    assert len(found["als"]) == 2


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["some"], "--settings=some: expected all, few or METHOD:name=value, METHOD being one of"),
        (["all", "few"], "--settings can be one of all, few"),
        (["tfidf:"], "METHOD being one of content_knn, als"),
        (["als:factor=3"], r"expected each of factors, regularization once \(got 'factor=3'\)"),
        (["als:factors=3,factors=4"], "once"),
        (["als:factors=0"], "factors cannot be '0'"),
        (["als:factors=1.5"], "factors cannot be '1.5'"),
        (["als:regularization=nan"], "regularization cannot be 'nan'"),
        (["content_knn:num_neighbours=10|101"], "num_neighbours cannot be '10|101'"),
        (["content_knn:item_side=yes"], "item_side cannot be 'yes'"),
    ],
)
def test_bad_settings(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message) if "|" in message else message):
        simple_settings.chosen(["content_knn", "als"], texts)


def test_results_are_kept_as_they_come(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(Exception):
        pass

    def stop(model: object, found: Evidence) -> None:
        raise StoppedError

    monkeypatch.setattr(AlternatingLeastSquares, "fit", stop)
    arguments = (f"--data_dir={data_dir}", "--settings=few", f"--output={tmp_path / 'all.json'}")
    with pytest.raises(StoppedError):
        baselines.main(command_line.parse(baselines.BaselinesOptions, *arguments))
    assert list(json.loads((tmp_path / "all.json").read_text())) == list(SIMPLE_MODELS[:3])


def test_command_shows_baselines_and_models_in_one_table(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.train(*commands.small_run(data_dir, tmp_path / "fd", "--method=fd"))
    arguments = (
        f"--data_dir={data_dir}",
        f"--model_dir={tmp_path / 'fd'}",
        f"--output={tmp_path / 'all.json'}",
        "--settings=few",
    )
    capsys.readouterr()
    baselines.main(command_line.parse(baselines.BaselinesOptions, *arguments))
    first_words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    assert {"TopPopular", "co_occurrence", "tfidf", "content_knn", "als", "fd"} <= set(first_words)
    results = json.loads((tmp_path / "all.json").read_text())
    # Topics show in the content alone, and the pairs follow the topics.
    popular = results["tfidf"]["baselines"]["top_popular"]["overall"]["recall@10"]
    assert results["tfidf"]["overall"]["recall@10"] > popular
    assert results["content_knn"]["tail"]["recall@50"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data_dir is missing: a directory that a data job wrote"),
        (["--data_dir=nowhere"], "nowhere is not a dataset directory"),
        (
            ["--data_dir=x", "--methods=magic"],
            "--methods must be one of co_occurrence, tfidf",
        ),
    ],
)
def test_bad_commands_are_refused(arguments: list[str], message: str) -> None:
    done = commands.run("ssl_recsys.baselines", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
