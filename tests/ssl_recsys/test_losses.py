import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_recsys.model import losses

# Unit vectors of 2 dimensions: [3, 4] / 5 and the axes.
LEFT = tf.constant([[1.0, 0.0], [0.6, 0.8]])
RIGHT = tf.constant([[1.0, 0.0], [0.0, 1.0]])
DIAGONAL = tf.range(2)


def log_sum_exp(*values: float) -> float:
    return math.log(sum(math.exp(value) for value in values))


def test_contrastive_loss_by_hand() -> None:
    # similarities [[1, 0], [0.6, 0.8]], logits at tau 0.5 [[2, 0], [1.2, 1.6]]
    expected = (log_sum_exp(2, 0) - 2 + log_sum_exp(1.2, 1.6) - 1.6) / 2
    loss = losses.contrastive_loss(LEFT, RIGHT, positives=DIAGONAL, temperature=0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_contrastive_loss_with_logq_by_hand() -> None:
    # logits [[2, 0], [1.2, 1.6]] minus log q = [log 0.5, log 0.1]
    q = [math.log(0.5), math.log(0.1)]
    expected = (
        log_sum_exp(2 - q[0], 0 - q[1])
        - (2 - q[0])
        + log_sum_exp(1.2 - q[0], 1.6 - q[1])
        - (1.6 - q[1])
    ) / 2
    loss = losses.contrastive_loss(
        LEFT,
        RIGHT,
        positives=DIAGONAL,
        temperature=0.5,
        log_sampling_probability=tf.constant(q, tf.float32),
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_equal_sampling_probabilities_change_nothing() -> None:
    plain = losses.contrastive_loss(LEFT, RIGHT, positives=DIAGONAL, temperature=0.07)
    corrected = losses.contrastive_loss(
        LEFT,
        RIGHT,
        positives=DIAGONAL,
        temperature=0.07,
        log_sampling_probability=tf.constant([-3.0, -3.0]),
    )
    assert float(corrected) == pytest.approx(float(plain), rel=1e-5)


def test_accidental_hits_leave_only_other_items() -> None:
    # The item of candidates 0 and 2 is the same: example 0 competes with candidate 1 alone.
    right = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    left = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    loss = losses.contrastive_loss(
        left,
        right,
        positives=tf.range(3),
        temperature=1.0,
        item_row=tf.constant([7, 8, 7]),
    )
    # examples 0, 2: logits [1, 0] with the positive first; example 1: [0, 1, 0]
    expected = (2 * (log_sum_exp(1, 0) - 1) + log_sum_exp(0, 1, 0) - 1) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_weighted_loss_by_hand() -> None:
    # logits [[2, 0], [1.2, 1.6]]: the losses of the two examples, weighed 0.5 and 3, over 2
    first, second = log_sum_exp(2, 0) - 2, log_sum_exp(1.2, 1.6) - 1.6
    loss = losses.contrastive_loss(
        LEFT, RIGHT, positives=DIAGONAL, temperature=0.5, weights=tf.constant([0.5, 3.0])
    )
    assert float(loss) == pytest.approx((0.5 * first + 3 * second) / 2, rel=1e-6)


# Of the first example [0, 1] and padding, of the second both axes.
OWN = losses.HardNegatives(
    tf.constant([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    tf.constant([[True, False], [True, True]]),
)


def test_hard_negatives_by_hand() -> None:
    # logits [[2, 0], [1.2, 1.6]] of the batch; the first example's own 0, the second's 1.6 and 1.2
    expected = (log_sum_exp(2, 0, 0) - 2 + log_sum_exp(1.2, 1.6, 1.6, 1.2) - 1.6) / 2
    loss = losses.contrastive_loss(
        LEFT, RIGHT, positives=DIAGONAL, temperature=0.5, hard_negatives=OWN
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    # Each counts as three: log 3 more.
    more = math.log(3)
    expected = log_sum_exp(2, 0, more) - 2
    expected += log_sum_exp(1.2, 1.6, 1.6 + more, 1.2 + more) - 1.6
    loss = losses.contrastive_loss(
        LEFT,
        RIGHT,
        positives=DIAGONAL,
        temperature=0.5,
        hard_negatives=OWN._replace(weight=3.0),
    )
    assert float(loss) == pytest.approx(expected / 2, rel=1e-6)


def test_hard_negatives_beside_sampled_candidates_by_hand() -> None:
    # Each of the batch's n = 2 candidates is expected n q times and weighs 1 / (n q), an own one
    # is there for certain and weighs 1; so does the positive of the corrected form.
    q = np.array([0.5, 0.1])
    exp_first, exp_second = np.exp([2.0, 0.0]) / (2 * q), np.exp([1.2, 1.6]) / (2 * q)
    own_first, own_second = math.exp(0), math.exp(1.6) + math.exp(1.2)
    standard = (
        math.log(exp_first.sum() + own_first)
        - math.log(exp_first[0])
        + math.log(exp_second.sum() + own_second)
        - math.log(exp_second[1])
    ) / 2
    # One other candidate: n = 1.
    corrected = (
        math.log(math.exp(2) + 2 * exp_first[1] + own_first)
        - 2
        + math.log(math.exp(1.6) + 2 * exp_second[0] + own_second)
        - 1.6
    ) / 2
    common = {
        "positives": DIAGONAL,
        "temperature": 0.5,
        "log_sampling_probability": tf.constant(np.log(q), tf.float32),
        "hard_negatives": OWN,
    }
    found = losses.contrastive_loss(LEFT, RIGHT, **common)
    assert float(found) == pytest.approx(standard, rel=1e-6)
    found = losses.corrected_softmax_loss(LEFT, RIGHT, item_row=DIAGONAL, **common)
    assert float(found) == pytest.approx(corrected, rel=1e-6)


def numpy_loss_with_own(
    left: np.ndarray,
    right: np.ndarray,
    positives: np.ndarray,
    own: np.ndarray,
    is_there: np.ndarray,
    *,
    temperature: float,
    log_q: np.ndarray | None,
    item_row: np.ndarray,
    is_corrected: bool,
    weights: np.ndarray,
    own_weight: float,
) -> float:
    """Example by example in float64, each candidate with the weight that it has."""
    num, total = len(right), 0.0
    for i, positive in enumerate(positives):
        logits = right.astype(float) @ left[i] / temperature
        share = np.ones(num) if log_q is None else np.exp(log_q)
        if is_corrected:
            others = item_row != item_row[positive]
            scores = [logits[positive], *(logits - np.log((num - 1) * share))[others]]
        else:
            scores = [*(logits - (0 if log_q is None else np.log(num * share)))]
        mine = scores[0] if is_corrected else scores[positive]
        of_own = own[i].astype(float) @ left[i] / temperature + np.log(own_weight)
        scores += [*of_own[is_there[i]]]
        total += weights[i] * (np.logaddexp.reduce(scores) - mine)
    return total / num


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    temperature=st.sampled_from([0.005, 0.03, 0.034, 0.07, 1.0]),
    form=st.sampled_from(["plain", "standard", "corrected"]),
    count=st.integers(1, 3),
    own_weight=st.sampled_from([0.5, 1.0, 100.0]),
)
def test_hard_negatives_equal_the_numpy_form(
    seed: int, temperature: float, form: str, count: int, own_weight: float
) -> None:
    rng = np.random.default_rng(seed)
    left, right, own = (
        (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
        for values in (rng.normal(size=(n, 4)) for n in (5, 9, 5 * count))
    )
    positives, is_there = rng.permutation(9)[:5], rng.random((5, count)) < 0.7
    log_q = None if form == "plain" else np.log(rng.uniform(1e-6, 1, 9)).astype(np.float32)
    item_row, weights = rng.integers(0, 20, 9), rng.uniform(0, 3, 5).astype(np.float32)
    expected = numpy_loss_with_own(
        left,
        right,
        positives,
        own.reshape(5, count, 4),
        is_there,
        temperature=temperature,
        log_q=log_q,
        item_row=item_row,
        is_corrected=form == "corrected",
        weights=weights,
        own_weight=own_weight,
    )
    arguments = {
        "positives": tf.constant(positives, tf.int32),
        "temperature": temperature,
        "hard_negatives": losses.HardNegatives(tf.constant(own), tf.constant(is_there), own_weight),
        "weights": tf.constant(weights),
    }
    if log_q is not None:
        arguments["log_sampling_probability"] = tf.constant(log_q)
    if form == "corrected":
        arguments["item_row"] = tf.constant(item_row, tf.int32)
    loss = losses.corrected_softmax_loss if form == "corrected" else losses.contrastive_loss
    found = loss(tf.constant(left), tf.constant(right), **arguments)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.005, 0.5])
def test_padding_of_hard_negatives_is_nothing(temperature: float) -> None:
    none = OWN._replace(is_there=tf.zeros([2, 2], bool))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([LEFT, RIGHT, OWN.embeddings])
        plain, padded, some = (
            losses.contrastive_loss(
                LEFT, RIGHT, positives=DIAGONAL, temperature=temperature, hard_negatives=own
            )
            for own in (None, none, OWN)
        )
        # Candidates of one item: but for padding there is no negative at all.
        alone = losses.corrected_softmax_loss(
            LEFT,
            RIGHT,
            positives=DIAGONAL,
            item_row=tf.constant([3, 3]),
            log_sampling_probability=tf.zeros([2]),
            temperature=temperature,
            hard_negatives=none,
        )
    assert float(padded) == pytest.approx(float(plain), rel=1e-6)
    np.testing.assert_allclose(tape.gradient(padded, LEFT), tape.gradient(plain, LEFT), atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(padded, OWN.embeddings), np.zeros([4, 2]))
    gradient = tape.gradient(some, OWN.embeddings).numpy()
    assert not gradient[1].any()
    if temperature == 0.5:
        assert gradient[[0, 2, 3]].any(axis=1).all()
    assert float(alone) == 0.0
    np.testing.assert_array_equal(tape.gradient(alone, LEFT), np.zeros([2, 2]))


def plain_loss(
    left: tf.Tensor,
    right: tf.Tensor,
    positives: tf.Tensor,
    temperature: float,
    log_q: tf.Tensor | None,
    ids: tf.Tensor | None,
    batch_size: int,
    weights: tf.Tensor | None,
) -> tf.Tensor:
    """The same by TensorFlow's own cross entropy and its gradient."""
    logits = tf.matmul(left, right, transpose_b=True) / temperature
    if log_q is not None:
        logits -= log_q
    if ids is not None:
        same = tf.equal(tf.gather(ids, positives)[:, tf.newaxis], ids)
        hits = same & tf.equal(tf.one_hot(positives, right.shape[0]), 0.0)
        logits = tf.where(hits, -1e9, logits)
    losses_ = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positives, logits=logits)
    if weights is not None:
        losses_ *= weights
    return tf.reduce_sum(losses_) / batch_size


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    temperature=st.sampled_from([0.005, 0.03, 0.034, 0.07, 1.0]),
    with_log_q=st.booleans(),
    with_ids=st.booleans(),
    batch_size=st.sampled_from([None, 6]),
    with_weights=st.booleans(),
)
def test_loss_and_gradient_equal_the_plain_form(
    seed: int,
    temperature: float,
    with_log_q: bool,
    with_ids: bool,
    batch_size: int | None,
    with_weights: bool,
) -> None:
    rng = np.random.default_rng(seed)
    left, right = (
        tf.math.l2_normalize(tf.constant(rng.normal(size=(n, 4)), tf.float32), axis=1)
        for n in (5, 9)
    )
    positives = tf.constant(rng.permutation(9)[:5], tf.int32)
    log_q = tf.constant(np.log(rng.uniform(1e-6, 1, 9)), tf.float32) if with_log_q else None
    ids = tf.constant(rng.integers(0, 4, 9), tf.int32) if with_ids else None
    weights = tf.constant([0.0, *rng.uniform(0, 3, 4)], tf.float32) if with_weights else None
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([left, right])
        fast = 3.0 * losses.contrastive_loss(
            left,
            right,
            positives=positives,
            temperature=temperature,
            batch_size=batch_size,
            log_sampling_probability=log_q,
            item_row=ids,
            weights=weights,
        )
        plain = 3.0 * plain_loss(
            left, right, positives, temperature, log_q, ids, batch_size or right.shape[0], weights
        )
    assert float(fast) == pytest.approx(float(plain), rel=1e-4, abs=1e-4)
    for variable in (left, right):
        np.testing.assert_allclose(
            tape.gradient(fast, variable), tape.gradient(plain, variable), rtol=1e-3, atol=2e-4
        )


def test_corrected_softmax_by_hand() -> None:
    # Logits at tau 1: [[1, 0, 1], [0, 1, 0], [1, 0, 1]]. Candidates 0 and 2 are one item, so
    # examples 0 and 2 have one negative and example 1 has two; each weighs 1 / (2 q).
    left = right = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    loss = losses.corrected_softmax_loss(
        left,
        right,
        positives=tf.range(3),
        item_row=tf.constant([7, 8, 7]),
        log_sampling_probability=tf.math.log([0.25, 0.1, 0.25]),
        temperature=1.0,
    )
    p_0 = math.e / (math.e + 1 / (2 * 0.1))
    p_1 = math.e / (math.e + 2 / (2 * 0.25))
    assert float(loss) == pytest.approx(-(2 * math.log(p_0) + math.log(p_1)) / 3, rel=1e-6)


def published_corrected_loss(
    left: tf.Tensor,
    right: tf.Tensor,
    positives: tf.Tensor,
    temperature: float,
    log_q: tf.Tensor,
    item_row: tf.Tensor,
    weights: tf.Tensor,
) -> tf.Tensor:
    """As Khrylchenko et al. write it: (1 - p) without gradient, no positive in the denominator."""
    logits = tf.matmul(left, right, transpose_b=True) / temperature
    positive = tf.gather(logits, positives, batch_dims=1)
    is_negative = tf.not_equal(tf.gather(item_row, positives)[:, tf.newaxis], item_row)
    sampled = tf.where(is_negative, logits - log_q - math.log(right.shape[0] - 1), -1e9)
    log_sum = tf.reduce_logsumexp(sampled, axis=1)
    p = tf.exp(positive - tf.reduce_logsumexp(tf.stack([positive, log_sum]), axis=0))
    weighted = weights * tf.stop_gradient(1.0 - p) * (log_sum - positive)
    return tf.reduce_sum(weighted) / right.shape[0]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    temperature=st.sampled_from([0.005, 0.03, 0.034, 0.07, 1.0]),
    num_items=st.sampled_from([2, 4, 40]),
)
def test_corrected_gradient_is_the_published_one(
    seed: int, temperature: float, num_items: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = (
        tf.math.l2_normalize(tf.constant(rng.normal(size=(n, 4)), tf.float32), axis=1)
        for n in (5, 9)
    )
    positives = tf.constant(rng.permutation(9)[:5], tf.int32)
    log_q = tf.constant(np.log(rng.uniform(1e-6, 1, 9)), tf.float32)
    item_row = tf.constant([0, 1, *rng.integers(0, num_items, 7)], tf.int32)
    weights = tf.constant(rng.uniform(0, 3, 5), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([left, right])
        fast = losses.corrected_softmax_loss(
            left,
            right,
            positives=positives,
            item_row=item_row,
            log_sampling_probability=log_q,
            temperature=temperature,
            weights=weights,
        )
        # In double precision: in single, 1 - p has few digits where p is near 1.
        doubles = [tf.cast(one, tf.float64) for one in (left, right, log_q, weights)]
        plain = published_corrected_loss(
            *doubles[:2], positives, temperature, doubles[2], item_row, doubles[3]
        )
    assert float(fast) >= 0.0
    for variable in (left, right):
        np.testing.assert_allclose(
            tape.gradient(fast, variable), tape.gradient(plain, variable), rtol=1e-3, atol=2e-4
        )


@pytest.mark.parametrize("temperature", [0.005, 0.1])
def test_corrected_softmax_without_negatives_is_zero(temperature: float) -> None:
    with tf.GradientTape() as tape:
        tape.watch(LEFT)
        loss = losses.corrected_softmax_loss(
            LEFT,
            RIGHT,
            positives=DIAGONAL,
            item_row=tf.constant([3, 3]),
            log_sampling_probability=tf.constant([0.0, 0.0]),
            temperature=temperature,
        )
    assert float(loss) == 0.0
    assert np.array_equal(tape.gradient(loss, LEFT), np.zeros([2, 2]))


def test_bfloat16_changes_the_gradient_alone_and_little() -> None:
    rng = np.random.default_rng(0)
    left, right = (
        tf.math.l2_normalize(tf.constant(rng.normal(size=(32, 8)), tf.float32), axis=1)
        for _ in range(2)
    )
    found = {}
    for dtype in (tf.float32, tf.bfloat16):
        with tf.GradientTape() as tape:
            tape.watch(right)
            loss = losses.contrastive_loss(
                left, right, positives=tf.range(32), temperature=0.1, gradient_dtype=dtype
            )
        found[dtype] = float(loss), tape.gradient(loss, right)
    assert found[tf.bfloat16][0] == found[tf.float32][0]
    gradients = found[tf.bfloat16][1], found[tf.float32][1]
    assert gradients[0].dtype == tf.float32
    error = tf.norm(gradients[0] - gradients[1]) / tf.norm(gradients[1])
    assert 0 < float(error) < 0.01


def test_collapsed_model_has_the_loss_of_a_guess() -> None:
    same = tf.ones([8, 4]) / 2.0
    loss = losses.contrastive_loss(same, same, positives=tf.range(8), temperature=0.07)
    assert float(loss) == pytest.approx(math.log(8), rel=1e-6)


def test_orthogonal_identical_views_approach_zero() -> None:
    views = tf.eye(6)
    loss = losses.contrastive_loss(views, views, positives=tf.range(6), temperature=0.05)
    assert 0.0 <= float(loss) < 1e-7


def test_spread_out_by_hand() -> None:
    # <z0, z1> = 0.6: each of the two examples adds 0.36; the mean is 0.36
    loss = losses.squared_spread_out_loss(LEFT, LEFT, positives=DIAGONAL)
    assert float(loss) == pytest.approx(0.36, rel=1e-5)


def test_spread_out_of_a_collapsed_model_is_n_minus_1() -> None:
    same = tf.ones([5, 4]) / 2.0
    loss = losses.squared_spread_out_loss(same, same, positives=tf.range(5))
    assert float(loss) == pytest.approx(4.0, rel=1e-6)


def test_single_example_has_nothing_to_contrast() -> None:
    one = tf.constant([[1.0, 0.0]])
    assert float(losses.contrastive_loss(one, one, positives=[0], temperature=0.1)) == 0.0
    assert float(losses.squared_spread_out_loss(one, one, positives=[0])) == 0.0


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 6),
    shares=st.integers(1, 3),
    temperature=st.floats(0.05, 2.0),
    seed=st.integers(0, 1000),
)
def test_shares_of_replicas_add_up(batch: int, shares: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = batch * shares
    left, right = (
        tf.math.l2_normalize(tf.constant(rng.normal(size=(size, 3)), tf.float32), axis=1)
        for _ in range(2)
    )
    whole = losses.contrastive_loss(left, right, positives=tf.range(size), temperature=temperature)
    parts = [
        losses.contrastive_loss(
            left[begin : begin + batch],
            right,
            positives=begin + tf.range(batch),
            temperature=temperature,
        )
        for begin in range(0, size, batch)
    ]
    assert float(whole) >= -1e-6  # 0 but for rounding
    assert float(tf.add_n(parts)) == pytest.approx(float(whole), rel=1e-4, abs=1e-6)
