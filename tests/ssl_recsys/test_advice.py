"""The figures of a dataset by hand, what they suggest, and the command."""

import json
import pathlib

import numpy as np
import pytest

from ssl_recsys import advise as command
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import advice
from ssl_recsys.evaluation.advice import MAY_PAY, PAYS, UNLIKELY, FeatureFacts, feature_facts
from ssl_recsys.features import Bag, Categorical
from tests import command_line, small_dataset


def catalog(train_count, **features):
    arrays = {name: np.array(values) for name, values in features.items()}
    names = np.array([str(row) for row in range(len(train_count))], object)
    return Catalog(names, names, np.array(train_count), arrays)


def pairs(*of):
    return Pairs(*np.array(of).T)


def test_figures_of_pairs_by_hand():
    train = pairs((0, 1), (0, 1), (2, 1), (2, 3), (0, 1))
    validation = pairs((0, 1), (0, 3), (1, 2), (3, 0))
    found = advice.pair_facts(catalog([0, 4, 0, 1]), train, validation)
    assert found == {
        "items": 4,
        "training_pairs": 5,
        "validation_pairs": 4,
        "pairs_per_item": 1.25,
        "unseen": 0.5,  # items 2 and 0
        "few": 0.25,  # item 3; item 1 has four
        "unseen_query": 0.5,  # queries 1 and 3
        "known": 0.25,  # (0, 1)
        "repeated": pytest.approx(2 / 5),
    }


def test_figures_of_features_by_hand():
    items = catalog([2, 1, 0, 0], kind=[[1], [2], [1], [0]], tags=[[1, 2], [3, 0], [3, 4], [4, 0]])
    # Value 1 stands on two items, value 2 on one: 2/3 and 1/3.
    kind = feature_facts(Categorical("kind", 3), items)
    assert kind.bits == pytest.approx(-(2 * np.log2(2 / 3) + np.log2(1 / 3)) / 3)
    assert (kind.filled, kind.shared, kind.unseen_reached) == (0.75, 0.5, 0.5)
    # Of the unseen items 2 has tag 3 of item 1, and tag 4 of item 3 is no seen item's.
    tags = feature_facts(Bag("tags", 5, 2), items)
    assert (tags.filled, tags.shared, tags.unseen_reached) == (1.0, 0.75, 0.5)
    assert feature_facts(Categorical("kind", 3), catalog([1, 1], kind=[[1], [2]])) == FeatureFacts(
        "kind", filled=1.0, shared=0.0, bits=1.0, unseen_reached=None
    )


SHARED = [FeatureFacts("tags", 1.0, 1.0, 3.0, 1.0)]


@pytest.mark.parametrize(
    ("unseen", "found", "features", "verdict"),
    [
        (0.5, 0.3, SHARED, PAYS),
        (0.5, 0.01, SHARED, MAY_PAY),  # content leads nowhere
        (0.1, 0.3, SHARED, MAY_PAY),
        (0.03, 0.3, SHARED, UNLIKELY),
        (0.5, 0.3, [FeatureFacts("id", 1.0, 0.0, 9.0, 0.0)], UNLIKELY),
    ],
)
def test_verdicts(unseen, found, features, verdict):
    figures = {"unseen": unseen, "few": 0.1, "known": 0.0, "validation_pairs": 5000}
    simple = {"tfidf": {"overall": 0.2, "unseen": found}}
    assert advice.judge(figures, features, simple, num_items=10_000)[0] == verdict


def test_reasons_name_what_was_seen():
    figures = {"unseen": 0.0, "few": 0.1, "known": 0.16, "validation_pairs": 49}
    _, reasons = advice.judge(figures, SHARED, {"tfidf": {"overall": 0.2, "unseen": None}}, 100)
    assert "16% of the validation pairs are training pairs as well" in reasons[1]
    assert "49 validation pairs are few: a difference in recall below 0.20" in reasons[2]


def test_the_command_shows_and_writes_the_advice(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"--data_dir={data_dir}", f"--output={tmp_path / 'advice.json'}")
    command.main(command_line.parse(command.AdviseOptions, *arguments))
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "advice.json").read_text())
    # Every pair that is held out has an item without a training pair on one of its sides.
    assert 0 < found["pairs"]["unseen"] < 1
    # Words and tags follow the topics, as the pairs do.
    assert found["simple"]["tfidf"]["unseen"] > 50 / 120
    assert f"validation Recall@50 {found['simple']['tfidf']['overall']:.4f}" in shown
    assert "feature words: " in shown
    assert "Self-supervision" in shown
    assert "Wikipedia, 100 MB of 2006: 53% of validation pairs" in shown


def test_a_dataset_without_validation_pairs_is_refused(tmp_path: pathlib.Path) -> None:
    small_dataset.write(tmp_path / "data", num_pairs=3)
    with pytest.raises(InputError, match="no validation pairs"):
        command.main(command_line.parse(command.AdviseOptions, f"--data_dir={tmp_path / 'data'}"))
