"""The model against its plain form, on one replica and two, eagerly and under XLA."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.batch import Batch, DrawnItems, ShownItems
from ssl_recsys.data.statistics import CatalogStatistics
from ssl_recsys.errors import InputError
from ssl_recsys.methods import METHODS
from ssl_recsys.model import augment, losses
from ssl_recsys.model.replicas import ReplicaBatch, fold_in
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, QUERY, SIDES, WEIGHT
from ssl_recsys.training import steps
from tests.small_dataset import SPECS

BATCH = 16
WEIGHTS = tf.constant(np.arange(BATCH) % 5 / 2, tf.float32)
TOWER = TowerConfig(embedding_dim=5, hidden_layers=(12, 6))
VARIANTS = {
    **{method: SSLConfig(method=method) for method in METHODS},
    "do_value": SSLConfig(method="do", dropout_granularity="value"),
    "fd_value": SSLConfig(method="fd", dropout_granularity="value"),
    "fd_both_sides": SSLConfig(method="fd_fm_so", ssl_side="both"),
    "fd_query_catalog": SSLConfig(method="fd", ssl_side="query", ssl_items="catalog"),
    "fm_three_groups": SSLConfig(method="fm", fm_groups=(("id",), ("words",), ("*",))),
    "so_squared": SSLConfig(method="so", spread_out="squared"),
    "fd_random_masks": SSLConfig(method="fd", view_masking="random"),
    "fd_correlated_masks": SSLConfig(
        method="fd", view_masking="correlated", dropout_granularity="value"
    ),
    "main_dropout": SSLConfig(main_dropout_rate=0.4),
    "do_and_main_dropout": SSLConfig(method="do", main_dropout_rate=0.5),
}
# Options beside the tasks: sections of the configuration that differ from `make_config`'s.
OPTIONS: dict[str, dict[str, dict[str, object]]] = {
    "shared_projection": {"tower": {"shared_projection": 3.0}},
    "sub_towers": {"tower": {"sub_towers": 2, "shared_projection": 3.0}},
    "corrected_logq": {"loss": {"logq_correction": True, "logq_form": "corrected"}},
    "mixed_negatives": {
        "ssl": {"method": "baseline", "main_dropout_rate": 0.4},
        "loss": {"mixed_negatives": 4, "logq_correction": True, "logq_form": "corrected"},
    },
    "hard_negatives": {
        "tower": {"sub_towers": 2},
        "ssl": {"method": "fd", "main_dropout_rate": 0.4},
        "loss": {
            "hard_negatives": 2,
            "mixed_negatives": 4,
            "logq_correction": True,
            "logq_form": "corrected",
        },
    },
    "hard_negatives_standard": {
        "loss": {"hard_negatives": 3, "symmetric_loss": True, "logq_correction": True},
    },
    "every_option": {
        "tower": {
            "shared_projection": 3.0,
            "value_weights": "idf",
            "pooling": "sqrtn",
            "id_min_count": 2,
        },
        "loss": {"symmetric_loss": True, "logq_correction": True},
    },
}
# Every piece of a step at least once: FD, FM and SO on both sides are in `every_option`, whose
# losses are compared one by one, as are those of the methods with fewer tasks.
EVERY_PIECE = (
    "do_value",
    "fd_value",
    "fd_query_catalog",
    "so_squared",
    "fd_random_masks",
    "fd_correlated_masks",
    "main_dropout",
    "hard_negatives",  # and mixed ones, and the corrected logQ
    "hard_negatives_standard",
    "sub_towers",
    "every_option",
)
LOGQ_FORMS: list[dict[str, object]] = [
    {},
    {"logq_correction": True},
    {"logq_correction": True, "logq_form": "corrected"},
]
NUM_ITEMS = 9
MASKS = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]], dtype=bool)
STATISTICS = CatalogStatistics(
    idf={
        spec.name: np.linspace(0.5, 2.0, spec.vocab_size, dtype=np.float32)
        for spec in SPECS
        if spec.is_pooled
    },
    correlated_masks=dict.fromkeys(SIDES, MASKS),
    missing_shares={"quality": 0.25},  # so that the model reads the mark
    id_counts={SPECS[0].name: np.arange(SPECS[0].vocab_size) % 4},
)
# As steps are compiled in training.
compiled = functools.partial(tf.function, autograph=False)


def make_config(ssl: SSLConfig, **loss: object) -> RunConfig:
    return RunConfig(
        tower=TOWER,
        loss=LossConfig(temperature=0.2, **loss),  # type: ignore[arg-type]
        ssl=ssl,
        training=TrainingConfig(seed=3, batch_size=BATCH, learning_rate=0.1),
    )


def make_option(name: str) -> RunConfig:
    run = make_config(VARIANTS["fd_both_sides"])
    changed = {
        section: dataclasses.replace(getattr(run, section), **fields)  # type: ignore[arg-type]
        for section, fields in OPTIONS[name].items()
    }
    return dataclasses.replace(run, **changed)  # type: ignore[arg-type]


def make_model(run: RunConfig) -> TwoTowerModel:
    tf.keras.utils.set_random_seed(5)
    model = TwoTowerModel(dict.fromkeys(SIDES, SPECS), run, STATISTICS)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(run.training.learning_rate))
    return model


def make_features(rng: np.random.Generator, size: int = BATCH) -> dict[str, tf.Tensor]:
    features = {}
    for spec in SPECS:
        if not spec.is_embedded:
            features[spec.name] = tf.constant(rng.normal(size=(size, spec.max_values)), tf.float32)
            continue
        ids = rng.integers(1, spec.vocab_size, (size, spec.max_values))
        lengths = rng.integers(0, spec.max_values + 1, (size, 1))  # some bags are empty
        ids[np.arange(spec.max_values) >= lengths] = 0
        features[spec.name] = tf.constant(ids, tf.int32)
    return features


def make_batch(
    seed: int = 0,
    size: int = BATCH,
    ssl_sides: tuple[str, ...] = (),
    drawn: int = 0,
    shown: int = 0,
) -> Batch:
    rng = np.random.default_rng(seed)
    batch = Batch(
        query=make_features(rng, size),
        item=make_features(rng, size),
        ssl={side: make_features(rng, size) for side in ssl_sides},
        item_row=tf.constant(rng.integers(0, NUM_ITEMS, size), tf.int32),
        item_log_q=tf.constant(np.log(rng.random(size)), tf.float32),
    )
    if shown:
        is_there = tf.constant(rng.random((size, shown)) < 0.7)
        batch = batch._replace(shown=(ShownItems(make_features(rng, size * shown), is_there),))
    return batch._replace(drawn=(make_drawn(rng, drawn),)) if drawn else batch


def make_drawn(rng: np.random.Generator, size: int) -> DrawnItems:
    return DrawnItems(
        make_features(rng, size),
        tf.constant(rng.integers(0, NUM_ITEMS, size), tf.int32),
        tf.constant(np.log(rng.random(size)), tf.float32),
    )


def look_up(model: TwoTowerModel, batch: Batch):
    (looked_up,) = model.feature_embeddings([(ITEM, batch.item)])
    return looked_up


def plain_activation(model: TwoTowerModel, spec, values, kept) -> tf.Tensor:
    """One example's feature, value by value; `kept` says which values a view keeps."""
    if not spec.is_embedded:
        return values if kept[0] else tf.constant([0.0, 1.0])
    table = model.feature_embeddings.tables[spec.name]
    rows = [table[value] for value, keep in zip(values, kept, strict=True) if keep and value]
    return tf.reduce_mean(tf.stack(rows), axis=0) if rows else table[0]


def plain_tower(model: TwoTowerModel, side: str, features, kept=None) -> tf.Tensor:
    """A tower as usually written: concatenate everything, then dense layers."""
    tower = model.towers[side]
    outputs = []
    for row in range(features["id"].shape[0]):
        parts = []
        for spec in SPECS:
            values = features[spec.name][row]
            keep = np.ones(spec.max_values, bool) if kept is None else kept[spec.name][row]
            parts.append(plain_activation(model, spec, values, keep))
        hidden = tf.concat(parts, axis=0)[tf.newaxis]
        for layer in tower._layers:
            hidden = layer(hidden)
        outputs.append(hidden / tf.norm(hidden))
    return tf.concat(outputs, axis=0)


def masks(run: RunConfig, seed: tf.Tensor) -> dict[str, np.ndarray]:
    """The view that a seed gives, as feature name -> kept values."""
    batch = ReplicaBatch(BATCH, 1, 0)
    by_value = run.ssl.dropout_granularity == "value"
    widths = [spec.max_values if by_value and spec.is_embedded else 1 for spec in SPECS]
    drawn = batch.random_keep(seed, sum(widths), run.ssl.dropout_rate).numpy()
    kept = {spec.name: np.ones((BATCH, spec.max_values), bool) for spec in SPECS}
    for spec, part in zip(SPECS, np.split(drawn, np.cumsum(widths)[:-1], axis=1), strict=True):
        kept[spec.name] = np.broadcast_to(part, (BATCH, spec.max_values))
    return kept


def contrast(run: RunConfig, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    return losses.contrastive_loss(
        left, right, positives=tf.range(BATCH), temperature=run.loss.temperature
    )


@pytest.mark.parametrize("side", [QUERY, ITEM])
def test_tower_equals_its_plain_form(side: str) -> None:
    model = make_model(make_config(SSLConfig()))
    features = make_batch().item
    np.testing.assert_allclose(
        model.embed(side, features), plain_tower(model, side, features), atol=1e-6
    )


@pytest.mark.parametrize("granularity", ["feature", "value"])
def test_fd_equals_its_plain_form(granularity: str) -> None:
    run = make_config(SSLConfig(method="fd", dropout_granularity=granularity))
    model, batch = make_model(run), make_batch()
    seed = fold_in(fold_in(tf.constant([run.training.seed, 0]), 7), 1)
    with tf.GradientTape() as tape:
        shared = model.compute_losses(batch, step=7)["fd_item"]
    with tf.GradientTape() as plain_tape:
        views = [
            plain_tower(model, ITEM, batch.item, masks(run, fold_in(seed, index)))
            for index in (0, 1)
        ]
        plain = contrast(run, *views)
    assert float(shared) == pytest.approx(float(plain), rel=1e-5)
    variables = model.trainable_variables
    for got, expected in zip(
        tape.gradient(shared, variables), plain_tape.gradient(plain, variables), strict=True
    ):
        if expected is None:
            assert got is None or not np.any(tf.convert_to_tensor(got))
        else:
            np.testing.assert_allclose(
                tf.convert_to_tensor(got), tf.convert_to_tensor(expected), atol=1e-5
            )


def test_do_drops_features_in_the_main_task_only_while_training() -> None:
    run = make_config(SSLConfig(method="do"))
    model, batch = make_model(run), make_batch()
    queries = plain_tower(model, QUERY, batch.query)
    seed = fold_in(fold_in(tf.constant([run.training.seed, 0]), 2), 0)
    dropped = plain_tower(model, ITEM, batch.item, masks(run, seed))
    whole = plain_tower(model, ITEM, batch.item)
    training = model.compute_losses(batch, step=2)["main"]
    serving = model.compute_losses(batch, step=2, training=False)["main"]
    assert float(training) == pytest.approx(float(contrast(run, queries, dropped)), rel=1e-5)
    assert float(serving) == pytest.approx(float(contrast(run, queries, whole)), rel=1e-5)


def test_fm_contrasts_every_two_groups() -> None:
    run = make_config(VARIANTS["fm_three_groups"])
    model, batch = make_model(run), make_batch()
    looked_up = look_up(model, batch).activations
    views = [encoder(looked_up) for encoder in model.ssl_tasks[ITEM].fm_encoders]
    assert [set(encoder.feature_names) for encoder in model.ssl_tasks[ITEM].fm_encoders] == [
        {"id"},
        {"words"},
        {"tags", "quality"},
    ]
    expected = sum(float(contrast(run, views[a], views[b])) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert float(model.compute_losses(batch, 0)["fm_item"]) == pytest.approx(expected, rel=1e-5)


def test_masked_views_see_complementary_halves() -> None:
    run = make_config(SSLConfig(method="fd", view_masking="correlated", dropout_rate=0.0))
    model, batch = make_model(run), make_batch()
    allowed = {tuple(mask) for mask in MASKS.tolist()}
    looked_up = look_up(model, batch)
    seen = set()
    for step in range(12):
        views = model.ssl_tasks[ITEM].views(
            looked_up, ReplicaBatch(BATCH, 1, 0), tf.constant([1, step])
        )
        masks_of_views = []
        for view in views:
            missing = {
                name: np.allclose(view[name], np.broadcast_to(nothing, view[name].shape))
                for name, nothing in looked_up.missing.items()
            }
            whole = {name: np.allclose(view[name], looked_up.activations[name]) for name in missing}
            assert all(missing[name] != whole[name] for name in missing)
            masks_of_views.append(tuple(missing.values()))
        first, second = masks_of_views
        assert second == tuple(not masked for masked in first)
        assert first in allowed
        seen.add(first)
    assert len(seen) > 1


@pytest.mark.parametrize("num_features", [2, 3, 6])
def test_random_halves_are_halves(num_features: int) -> None:
    halves = [
        augment.RandomMask(None)(num_features, tf.constant([3, seed])).numpy() for seed in range(40)
    ]
    assert {int(half.sum()) for half in halves} == {num_features // 2}
    assert len({tuple(half) for half in halves}) > 1


def test_main_dropout_drops_both_sides_only_while_training() -> None:
    run = make_config(VARIANTS["main_dropout"])
    model, batch = make_model(run), make_batch()
    rated = dataclasses.replace(run, ssl=dataclasses.replace(run.ssl, dropout_rate=0.4))
    seed = fold_in(tf.constant([run.training.seed, 0]), 2)
    queries = plain_tower(model, QUERY, batch.query, masks(rated, fold_in(seed, 3)))
    items = plain_tower(model, ITEM, batch.item, masks(rated, fold_in(seed, 0)))
    training = model.compute_losses(batch, step=2)["main"]
    serving = model.compute_losses(batch, step=2, training=False)["main"]
    whole = [plain_tower(model, side, getattr(batch, side)) for side in (QUERY, ITEM)]
    assert float(training) == pytest.approx(float(contrast(run, queries, items)), rel=1e-5)
    assert float(serving) == pytest.approx(float(contrast(run, *whole)), rel=1e-5)


@pytest.mark.parametrize("side", [QUERY, ITEM])
def test_main_dropout_of_one_side(side: str) -> None:
    run = make_config(SSLConfig(main_dropout_rate=0.4, main_dropout_side=side))
    model, batch = make_model(run), make_batch()
    rated = dataclasses.replace(run, ssl=dataclasses.replace(run.ssl, dropout_rate=0.4))
    seed = fold_in(tf.constant([run.training.seed, 0]), 2)
    kept = {side: masks(rated, fold_in(seed, {QUERY: 3, ITEM: 0}[side]))}
    embeddings = [plain_tower(model, s, getattr(batch, s), kept.get(s)) for s in (QUERY, ITEM)]
    loss = model.compute_losses(batch, step=2)["main"]
    assert float(loss) == pytest.approx(float(contrast(run, *embeddings)), rel=1e-5)


def test_shared_projection_is_added_to_both_towers() -> None:
    model, batch = make_model(make_option("shared_projection")), make_batch()
    features = look_up(model, batch).activations
    joined = tf.concat([features[spec.name] for spec in SPECS], axis=1)
    for side in (QUERY, ITEM):
        hidden = joined
        for layer in model.towers[side]._layers:
            hidden = layer(hidden)
        expected = tf.math.l2_normalize(
            hidden + 3.0 * joined @ model.shared_projections[0].kernel, axis=1
        )
        np.testing.assert_allclose(model.embed(side, batch.item), expected, atol=1e-6)
    kernel = model.shared_projections[0].kernel
    assert sum(variable is kernel for variable in model.dense_variables) == 1


def test_sub_towers_are_towers_side_by_side() -> None:
    run = make_option("sub_towers")
    fused, batch = make_model(run), make_batch()
    parts = fused.compute_losses(batch, step=1)
    total = dict.fromkeys(parts, 0.0)
    embeddings: dict[str, list[tf.Tensor]] = {QUERY: [], ITEM: []}
    for number in range(2):
        one = make_model(
            dataclasses.replace(run, tower=dataclasses.replace(run.tower, sub_towers=1))
        )
        for side in SIDES:
            for mine, theirs in zip(
                one.towers[side].weights, fused.towers[side].sub_towers[number].weights, strict=True
            ):
                mine.assign(theirs)
            for mine, theirs in zip(
                one.ssl_tasks[side].weights, fused.ssl_tasks[side].weights, strict=True
            ):
                mine.assign(theirs)
            embeddings[side].append(one.embed(side, getattr(batch, side)))
        for mine, theirs in zip(one.table_variables, fused.table_variables, strict=True):
            mine.assign(theirs)
        for side in SIDES:
            embeddings[side][-1] = one.embed(side, getattr(batch, side))
        for name, loss in one.compute_losses(batch, step=1).items():
            total[name] += float(loss)
    for side in SIDES:
        whole = fused.embed(side, getattr(batch, side))
        np.testing.assert_allclose(tf.norm(whole, axis=1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(
            whole, tf.concat(embeddings[side], axis=1) / np.sqrt(2), atol=1e-6
        )
    for name, loss in parts.items():
        # FM's encoders are no towers: there is one set of them.
        shares = 2 if name.startswith("fm") else 1
        if name != "loss":
            assert float(loss) == pytest.approx(total[name] / shares, rel=1e-4)


def test_symmetric_loss_adds_items_over_queries() -> None:
    run = make_config(SSLConfig(), symmetric_loss=True)
    model, batch = make_model(run), make_batch()
    queries, items = (plain_tower(model, side, getattr(batch, side)) for side in (QUERY, ITEM))
    expected = contrast(run, queries, items) + contrast(run, items, queries)
    got = model.compute_losses(batch, 0)["main"]
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def test_corrected_logq_is_the_main_loss() -> None:
    run = make_config(SSLConfig(), logq_correction=True, logq_form="corrected")
    model, batch = make_model(run), make_batch()
    queries, items = (plain_tower(model, side, getattr(batch, side)) for side in (QUERY, ITEM))
    expected = losses.corrected_softmax_loss(
        queries,
        items,
        positives=tf.range(BATCH),
        item_row=batch.item_row,
        log_sampling_probability=batch.item_log_q,
        temperature=run.loss.temperature,
    )
    got = model.compute_losses(batch, 0)["main"]
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def plain_mixed_loss(
    run: RunConfig, queries: tf.Tensor, items: tf.Tensor, drawn: tf.Tensor, batch: Batch
) -> tf.Tensor:
    """As written: a softmax over the batch's items and the drawn ones, query by query."""
    row, log_q = (
        tf.concat(parts, axis=0).numpy()
        for parts in (
            [batch.item_row, batch.drawn[0].item_row],
            [batch.item_log_q, batch.drawn[0].log_q],
        )
    )
    logits = tf.concat([items, drawn], axis=0) @ tf.transpose(queries) / run.loss.temperature
    negatives = BATCH + drawn.shape[0] - 1
    total = tf.constant(0.0)
    for i in range(BATCH):
        own = logits[i, i]
        others = [j for j in range(len(row)) if row[j] != row[i]]
        scores = [logits[j, i] for j in others]
        if run.loss.logq_correction:
            scores = [score - log_q[j] for score, j in zip(scores, others, strict=True)]
        if run.loss.logq_form == "corrected":
            scores = [score - np.log(negatives) for score in scores]
        elif run.loss.logq_correction:
            own -= log_q[i]
        total += tf.reduce_logsumexp(tf.stack([own, *scores])) - own
    return total / BATCH


def assert_gradients_equal(found: list[tf.Tensor], expected: list[tf.Tensor], atol: float) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(mine), tf.convert_to_tensor(theirs), atol=atol
        )


@pytest.mark.parametrize("logq", LOGQ_FORMS, ids=str)
def test_mixed_negatives_equal_their_plain_form(logq: dict[str, object]) -> None:
    run = make_config(SSLConfig(), mixed_negatives=5, **logq)
    model, batch = make_model(run), make_batch(drawn=5)
    drawn_row, item_row = batch.drawn[0].item_row.numpy(), batch.item_row.numpy()
    assert set(drawn_row) & set(item_row)  # a drawn item that is a positive is among them
    with tf.GradientTape() as tape:
        got = model.compute_losses(batch, 0)["main"]
    with tf.GradientTape() as plain_tape:
        queries, items, drawn = (
            plain_tower(model, side, features)
            for side, features in (
                (QUERY, batch.query),
                (ITEM, batch.item),
                (ITEM, batch.drawn[0].features),
            )
        )
        expected = plain_mixed_loss(run, queries, items, drawn, batch)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    variables = model.trainable_variables
    assert_gradients_equal(
        tape.gradient(got, variables), plain_tape.gradient(expected, variables), atol=1e-5
    )


@pytest.mark.parametrize("logq", LOGQ_FORMS, ids=str)
def test_hard_negatives_are_candidates_of_their_query_alone(logq: dict[str, object]) -> None:
    run = make_config(SSLConfig(), hard_negatives=2, hard_negative_weight=4.0, **logq)
    model, batch = make_model(run), make_batch(shown=2)
    (shown,) = batch.shown
    with tf.GradientTape() as tape:
        got = model.compute_losses(batch, 0)["main"]
    with tf.GradientTape() as plain_tape:
        queries, items, own = (
            plain_tower(model, side, features)
            for side, features in (
                (QUERY, batch.query),
                (ITEM, batch.item),
                (ITEM, shown.features),
            )
        )
        logits = queries @ tf.transpose(items) / run.loss.temperature
        total = tf.constant(0.0)
        for i, row in enumerate(batch.item_row.numpy()):
            positive = logits[i, i]
            is_same = tf.equal(batch.item_row, row)
            scores = logits[i]
            if logq:
                scores -= batch.item_log_q
            if "logq_form" in logq:
                # Each of n others is expected n q times; positive and own ones are certain.
                scores = tf.where(is_same, -1e9, scores - np.log(BATCH - 1))
                scores = tf.concat([scores, [positive]], axis=0)
            elif logq:
                scores -= np.log(BATCH)
                positive = scores[i]
            mine = [
                tf.tensordot(queries[i], own[2 * i + k], 1) / run.loss.temperature + np.log(4.0)
                for k in range(2)
                if shown.is_there[i, k]
            ]
            total += tf.reduce_logsumexp(tf.stack([*tf.unstack(scores), *mine])) - positive
        expected = total / BATCH
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    variables = model.trainable_variables
    assert_gradients_equal(
        tape.gradient(got, variables), plain_tape.gradient(expected, variables), atol=2e-5
    )


def test_hard_negatives_lose_features_as_items_and_no_pretraining_reads_them() -> None:
    run = make_option("hard_negatives")
    model, batch = make_model(run), batch_for(run)
    (shown,) = batch.shown
    present = {name: values for name, values in shown.features.items() if name != "quality"}
    without = {name: tf.zeros_like(values) for name, values in present.items()}
    missing = without | {"quality": tf.tile([[0.0, 1.0]], [2 * BATCH, 1])}
    # With every feature dropped what is shown is as an item without any.
    keep_none = dataclasses.replace(run, ssl=dataclasses.replace(run.ssl, main_dropout_rate=0.0))
    whole = make_model(keep_none)
    nothing = batch._replace(shown=(shown._replace(features=missing),))
    found = [float(model.compute_losses(one, 0)["main"]) for one in (batch, nothing)]
    exact = [float(whole.compute_losses(one, 0)["main"]) for one in (batch, nothing)]
    assert len({*found, *exact}) == 4
    of_steps = [float(model.compute_losses(batch, step)["main"]) for step in (0, 0, 1)]
    assert of_steps[0] == of_steps[1] != of_steps[2]
    parts = model.compute_losses(batch, step=0, self_supervised_only=True)
    bare = model.compute_losses(batch._replace(shown=()), step=0, self_supervised_only=True)
    assert {name: float(loss) for name, loss in parts.items()} == {
        name: float(loss) for name, loss in bare.items()
    }


def test_drawn_items_lose_features_as_those_of_the_batch() -> None:
    run = make_option("mixed_negatives")
    model, batch = make_model(run), make_batch(drawn=4)
    seed = fold_in(tf.constant([run.training.seed, 0]), 2)
    rated = dataclasses.replace(run, ssl=dataclasses.replace(run.ssl, dropout_rate=0.4))
    keep = ReplicaBatch(4, 1, 0).random_keep(fold_in(seed, 4), len(SPECS), 0.4).numpy()
    kept = {
        spec.name: np.broadcast_to(keep[:, i : i + 1], (4, spec.max_values))
        for i, spec in enumerate(SPECS)
    }
    expected = plain_mixed_loss(
        run,
        plain_tower(model, QUERY, batch.query, masks(rated, fold_in(seed, 3))),
        plain_tower(model, ITEM, batch.item, masks(rated, fold_in(seed, 0))),
        plain_tower(model, ITEM, batch.drawn[0].features, kept),
        batch,
    )
    got = model.compute_losses(batch, step=2)["main"]
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def test_pretraining_leaves_the_main_task_out() -> None:
    model, batch = make_model(make_config(VARIANTS["fd_both_sides"], alpha=0.3)), make_batch()
    parts = model.compute_losses(batch, step=0, self_supervised_only=True)
    tasks = sum(float(loss) for name, loss in parts.items() if name != "loss")
    assert "main" not in parts
    assert list(parts) == model.loss_names(self_supervised_only=True)
    assert float(parts["loss"]) == pytest.approx(tasks, rel=1e-6)


def test_joint_loss_is_main_plus_alpha_times_tasks() -> None:
    run = make_config(VARIANTS["fd_both_sides"], alpha=0.3)
    model = make_model(run)
    parts = model.compute_losses(make_batch(), step=0)
    assert list(parts) == model.loss_names()
    assert set(parts) == {"loss", "main"} | {
        f"{task}_{side}" for task in ("fd", "fm", "so") for side in ("query", "item")
    }
    tasks = sum(float(loss) for name, loss in parts.items() if name not in ("loss", "main"))
    assert float(parts["loss"]) == pytest.approx(float(parts["main"]) + 0.3 * tasks, rel=1e-5)


def test_catalog_items_feed_the_tasks_and_not_the_main_loss() -> None:
    run = make_config(VARIANTS["fd_query_catalog"])
    model, batch = make_model(run), make_batch(ssl_sides=(QUERY,))
    before = model.compute_losses(batch, step=0)
    after = model.compute_losses(batch._replace(ssl=make_batch(1, ssl_sides=(QUERY,)).ssl), step=0)
    assert float(before["main"]) == float(after["main"])
    assert float(before["fd_query"]) != float(after["fd_query"])


def test_views_change_with_the_step_and_repeat_with_the_seed() -> None:
    model, batch = make_model(make_config(VARIANTS["fd"])), make_batch()
    first, again, second = (float(model.compute_losses(batch, s)["fd_item"]) for s in (0, 0, 1))
    assert first == again
    assert first != second


@pytest.mark.parametrize("name", ["fd", "do", "fm", "fd_value"])
def test_matrix_factorization_trains(name: str) -> None:
    run = dataclasses.replace(
        make_config(VARIANTS[name]), tower=TowerConfig(embedding_dim=5, hidden_layers=())
    )
    model, batch = make_model(run), make_batch()
    embeddings = model.embed(ITEM, batch.item)
    assert embeddings.shape == (BATCH, 3 * 5 + 2)
    np.testing.assert_allclose(tf.norm(embeddings, axis=1), 1.0, rtol=1e-5)
    first = float(model.train_step(batch)["loss"])
    for _ in range(20):
        last = float(model.train_step(batch)["loss"])
    assert last < first


def test_unknown_feature_in_fm_group() -> None:
    with pytest.raises(InputError, match=r"'colour'.*features: id, words, tags, quality"):
        make_model(make_config(SSLConfig(method="fm", fm_groups=(("colour",), ("*",)))))


def batch_for(run: RunConfig) -> Batch:
    return make_batch(
        ssl_sides=run.ssl.sides if run.ssl.draws_from_catalog else (),
        drawn=run.loss.mixed_negatives,
        shown=run.loss.hard_negatives,
    )


def named_config(name: str, **loss: object) -> RunConfig:
    return make_option(name) if name in OPTIONS else make_config(VARIANTS[name], **loss)


@pytest.mark.parametrize(
    "name", ["fd", "corrected_logq", "sub_towers", "every_option", "hard_negatives"]
)
def test_weights_scale_what_pairs_add_to_the_main_loss(name: str) -> None:
    run = named_config(name)
    model, batch = make_model(run), batch_for(run)

    def losses_with(weights: tf.Tensor) -> dict[str, float]:
        parts = model.compute_losses(batch._replace(columns={WEIGHT: weights}), 0)
        return {name: float(part) for name, part in parts.items() if name != "loss"}

    plain = {name: float(part) for name, part in model.compute_losses(batch, 0).items()}
    del plain["loss"]
    assert losses_with(tf.ones(BATCH)) == plain
    of_pairs = [losses_with(one_hot) for one_hot in tf.eye(BATCH)]
    weighted = losses_with(WEIGHTS)
    by_hand = sum(w * of_pair["main"] for w, of_pair in zip(WEIGHTS, of_pairs, strict=True))
    assert weighted.pop("main") == pytest.approx(float(by_hand), rel=1e-5)
    del plain["main"]
    assert weighted == plain


@pytest.mark.parametrize("name", [*EVERY_PIECE, "fm_three_groups"])
def test_training_step_compiles_under_xla(name: str) -> None:
    results = {}
    for jit_compile in (False, True):
        run = named_config(name, logq_correction=True)
        batch = batch_for(run)
        training = dataclasses.replace(run.training, jit_compile=jit_compile)
        model = make_model(dataclasses.replace(run, training=training))
        step = compiled(model.train_step, jit_compile=True) if jit_compile else model.train_step
        results[jit_compile] = [
            {part: float(loss) for part, loss in step(batch).items()} for _ in range(3)
        ]
    for plain, by_xla in zip(results[False], results[True], strict=True):
        assert by_xla == pytest.approx(plain, rel=1e-4)


def losses_and_weights(name: str, strategy: tf.distribute.Strategy) -> tuple[list, list]:
    """Three steps on the same global batch."""
    run = named_config(name, logq_correction=True, remove_accidental_hits=True)
    with strategy.scope():
        model = make_model(run)
    batch = batch_for(run)._replace(columns={WEIGHT: WEIGHTS})
    return take_three_steps(model, batch, strategy)


def take_three_steps(
    model: TwoTowerModel, batch: Batch, strategy: tf.distribute.Strategy
) -> tuple[list, list]:
    """The losses, and the weights after the steps."""
    replicas = strategy.num_replicas_in_sync

    def local_batch(context: tf.distribute.experimental.ValueContext) -> Batch:
        replica = context.replica_id_in_sync_group
        return tf.nest.map_structure(lambda tensor: tf.split(tensor, replicas)[replica], batch)

    per_replica = strategy.experimental_distribute_values_from_function(local_batch)

    def step():
        parts = strategy.run(model.train_step, args=(per_replica,))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)
            for name, part in parts.items()
        }

    # Replicas meet in compiled functions only; one replica is as quick without.
    take_step = compiled(step) if replicas > 1 else step
    history = [{name: float(part) for name, part in take_step().items()} for _ in range(3)]
    return history, [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize("name", EVERY_PIECE)
def test_two_replicas_equal_one(name: str, two_replicas: tf.distribute.Strategy) -> None:
    one_losses, one_weights = losses_and_weights(name, tf.distribute.OneDeviceStrategy("CPU:0"))
    two_losses, two_weights = losses_and_weights(name, two_replicas)
    for one, two in zip(one_losses, two_losses, strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    # Adagrad's first update is the sign of the gradient times the rate: weights show gradients.
    for one_weight, two_weight in zip(one_weights, two_weights, strict=True):
        np.testing.assert_allclose(two_weight, one_weight, atol=2e-4)


def test_two_replicas_round_bfloat16_tables_as_one(two_replicas: tf.distribute.Strategy) -> None:
    run = make_config(VARIANTS["fd"])
    run = dataclasses.replace(
        run,
        tower=dataclasses.replace(run.tower, table_dtype="bfloat16"),
        training=dataclasses.replace(run.training, row_wise_adagrad=True),
    )
    found = []
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), two_replicas):
        model = steps.make_model(dict.fromkeys(SIDES, SPECS), run, strategy, STATISTICS)
        losses, weights = take_three_steps(model, make_batch(), strategy)
        tables = [part for part in weights if part.dtype == tf.bfloat16.as_numpy_dtype]
        assert len(tables) == len(model.table_variables)
        found.append(([part["loss"] for part in losses], np.concatenate(tables, axis=None)))
    (one_losses, one), (two_losses, two) = found
    assert two_losses == pytest.approx(one_losses, rel=1e-3)
    # Sums in another order may fall on the other side of a random threshold.
    assert (one == two).mean() > 0.98


@pytest.mark.parametrize("name", ["fd_fm_so", "hard_negatives"])
def test_mixed_precision_keeps_weights_and_losses_in_float32(name: str) -> None:
    run = named_config(name)
    mixed = dataclasses.replace(
        run, training=dataclasses.replace(run.training, mixed_precision=True)
    )
    batch = batch_for(run)
    plain_loss = make_model(run).compute_losses(batch, 0)["loss"]
    model = make_model(mixed)
    loss = model.compute_losses(batch, 0)["loss"]
    assert loss.dtype == tf.float32
    assert {variable.dtype for variable in model.trainable_variables} == {tf.float32}
    assert float(loss) == pytest.approx(float(plain_loss), rel=0.02)
    assert float(loss) != float(plain_loss)
