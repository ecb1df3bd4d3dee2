"""The scale of trained items: what it does to ranks, how it is chosen, what an export keeps."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from ssl_recsys import calibrate, embed, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import calibration
from ssl_recsys.evaluation.pairs import EvaluationData
from ssl_recsys.serving import index_files
from ssl_recsys.serving.raw_items import Embedders, read_items
from ssl_recsys.serving.versions import Store
from ssl_recsys.training.export import load_export
from tests import command_line
from tests.ssl_recsys import commands

NUM_ITEMS, DIM, NEW_NORM = 600, 16, 0.5


def random_data(*, new_norm: float = NEW_NORM, seed: int = 0) -> EvaluationData:
    """Every second item is new and shorter than it should be; a query is near its item."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((NUM_ITEMS, DIM))
    queries = items + 2.5 * rng.standard_normal(items.shape)
    items, queries = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (items, queries))
    counts = np.arange(NUM_ITEMS) % 2
    items[counts == 0] *= new_norm
    return EvaluationData(
        query_embeddings=queries.astype(np.float32),
        query_of_pair=np.arange(NUM_ITEMS),
        item_row=np.arange(NUM_ITEMS),
        item_embeddings=items.astype(np.float32),
        train_count=counts,
        item_counts=counts,
        head=schema.HeadRule(),
        split=schema.VALIDATION,
    )


def plain_recall(data: EvaluationData, scale: float) -> tuple[float, float, float]:
    """Recall@50 overall, of trained items and of others, by sorting."""
    scores = data.query_embeddings @ data.item_embeddings.T
    scores[:, data.item_counts > 0] *= np.float32(scale)
    found = np.array([row in np.argsort(-scores[row])[:50] for row in range(NUM_ITEMS)])
    return found.mean(), found[1::2].mean(), found[::2].mean()


def test_rows_of_trained_items_are_multiplied() -> None:
    items = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    found = calibration.scaled(items, np.array([0, 1, 7]), 0.5)
    np.testing.assert_array_equal(found, [[1, 2], [1.5, 2], [2.5, 3]])
    assert found.dtype == np.float32


def test_new_items_that_stand_too_low_are_raised() -> None:
    data = random_data()
    chosen, tried = calibration.choose(data, "recall@50")
    assert [one.scale for one in tried] == [round(1 - 0.02 * n, 6) for n in range(len(tried))]
    for one in tried:
        expected = plain_recall(data, one.scale)
        assert (one.value, one.trained, one.others) == pytest.approx(expected, abs=0.004)
    before, *_, last, beyond = tried
    assert last == chosen
    assert chosen.scale < 1
    assert chosen.value > before.value
    assert chosen.trained >= 0.97 * before.trained
    # One step more would have cost too much, or gained nothing.
    assert beyond.trained < 0.97 * before.trained or beyond.value <= chosen.value


def test_new_items_that_stand_high_are_left_there() -> None:
    chosen, tried = calibration.choose(random_data(new_norm=2), "recall@50")
    assert (chosen.scale, [one.scale for one in tried]) == (1, [1, 0.98])
    assert "stay as they are: times 0.98" in calibration.describe(chosen, tried, "recall@50")


def test_the_metric_and_its_k_choose() -> None:
    # The head is trained items here, which nothing is gained for.
    chosen, tried = calibration.choose(random_data(), "head_recall@50")
    assert (chosen.scale, len(tried)) == (1, 2)
    assert chosen.value == chosen.trained
    ten, _ = calibration.choose(random_data(), "head_recall@10")
    assert ten.value == ten.trained < chosen.trained


def test_a_gain_within_the_noise_chooses_nothing() -> None:
    data = random_data()
    for queries in (1, 4, 40):
        few = dataclasses.replace(
            data,
            query_embeddings=data.query_embeddings[:queries],
            query_of_pair=data.query_of_pair[:queries],
            item_row=data.item_row[:queries],
        )
        chosen, _ = calibration.choose(few, "recall@50")
        assert chosen.scale == 1


@pytest.mark.parametrize("count", [0, 1])
def test_without_pairs_of_both_nothing_is_weighed(count: int) -> None:
    data = random_data()
    counts = np.full(NUM_ITEMS, count)
    one_kind = EvaluationData(**{**vars(data), "item_counts": counts})
    chosen, tried = calibration.choose(one_kind, "recall@50")
    assert (chosen.scale, len(tried)) == (1, 1)
    assert "stay as they are" in calibration.describe(chosen, tried, "recall@50")


def run(*arguments: str) -> None:
    calibrate.main(command_line.parse(calibrate.CalibrateOptions, *arguments))


@pytest.fixture
def model_dir(trained: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_a_scale_is_kept_and_replaced(
    model_dir: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_export(model_dir)
    is_trained = before.item_counts > 0
    assert is_trained.any()
    assert not is_trained.all()
    plain, names = np.array(before.item_embeddings), files_of(model_dir)
    for scale in (0.5, 0.8, 1.0):
        run(f"--model_dir={model_dir}", f"--scale={scale}")
        after = load_export(model_dir)  # compares all files with the manifest
        assert after.trained_item_scale == scale
        factors = np.where(is_trained, scale, 1)[:, np.newaxis]
        np.testing.assert_allclose(after.item_embeddings, factors * plain, rtol=1e-6)
        assert files_of(model_dir) == names
    assert "--from_catalog" in capsys.readouterr().out


def files_of(model_dir: pathlib.Path) -> list[str]:
    found = (model_dir / "export").rglob("*")
    return sorted(path.relative_to(model_dir).as_posix() for path in found)


def test_known_items_are_embedded_with_their_scale(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run(f"--model_dir={model_dir}", "--scale=0.5")
    exported = load_export(model_dir)
    keys = exported.catalog(schema.ITEM).keys.tolist()
    embedders = Embedders(exported)
    table = model_dir.parent / "items.jsonl"
    rows = [{embedders.raw.key: key} for key in [*keys, "new"]]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (f"--model_dir={model_dir}", f"--items={table}", f"--output={tmp_path / 'o.npy'}")
    embed.main(command_line.parse(embed.EmbedOptions, *arguments))
    lengths = np.linalg.norm(np.load(tmp_path / "o.npy"), axis=1)
    expected = [*np.where(exported.item_counts > 0, 0.5, 1), 1]
    np.testing.assert_allclose(lengths, expected, rtol=1e-5)
    items = read_items((str(table),), embedders.raw, embedders.sizes_of(schema.ITEM))
    added = embedders.added(items)
    np.testing.assert_allclose(np.linalg.norm(added.item, axis=1), expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(added.query, axis=1), 1, rtol=1e-5)


def test_an_index_of_another_scale_is_refused(model_dir: pathlib.Path) -> None:
    store = Store(model_dir)
    with store.locked():
        index_files.build(store, load_export(model_dir), None, "exact")
    run(f"--model_dir={model_dir}", "--scale=0.5")
    with pytest.raises(InputError, match="--from_catalog"):
        index_files.load(store, load_export(model_dir))


def test_scales_are_shown_and_nothing_is_written(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir = tmp_path / "run"
    commands.train(*commands.small_run(data_dir, model_dir, "--max_epochs=1"))
    manifest = (model_dir / "export" / "manifest.json").read_bytes()
    capsys.readouterr()
    run(f"--model_dir={model_dir}", "--scales=0.5,1", "--show=recall")
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[4:7]] == ["TopPopular", "0.5", "1"]
    assert "kept: 1\nrecommended: " in shown
    assert (model_dir / "export" / "manifest.json").read_bytes() == manifest


def test_training_ends_with_the_scale(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    found = {}
    for name, scale in (("as_is", "1"), ("given", "0.5"), ("chosen", "0")):
        model_dir = tmp_path / name
        arguments = ("--max_epochs=1", f"--trained_item_scale={scale}")
        commands.train(*commands.small_run(data_dir, model_dir, *arguments))
        found[name] = load_export(model_dir)
    run(f"--model_dir={tmp_path / 'as_is'}", "--scale=0.5")
    np.testing.assert_array_equal(
        found["given"].item_embeddings, load_export(tmp_path / "as_is").item_embeddings
    )
    assert (found["given"].trained_item_scale, found["as_is"].trained_item_scale) == (0.5, 1)
    data = commands_data(tmp_path / "chosen", found["chosen"].trained_item_scale)
    chosen, _ = calibration.choose(data, "recall@50")
    assert found["chosen"].trained_item_scale == chosen.scale


def commands_data(model_dir: pathlib.Path, scale: float) -> EvaluationData:
    """The validation pairs with embeddings as the towers give them."""
    from ssl_recsys.training.run import evaluation_data

    data = evaluation_data(load_export(model_dir), schema.VALIDATION)
    return calibration.at_scale(data, 1 / scale)
