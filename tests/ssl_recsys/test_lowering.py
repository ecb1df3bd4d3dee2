"""Training steps lowered to XLA's HLO, as a TPU's compiler takes them."""

import re

import pytest
import tensorflow as tf

from ssl_recsys import config
from ssl_recsys.data.input_pipeline import Batch
from ssl_recsys.schema import SIDES
from ssl_recsys.training.steps import make_model
from ssl_recsys.training.strategies import make_strategy
from tests.small_dataset import SPECS

BATCH = 16
# Every task, and what the main task drops; `make tpu-check` compiles all nine.
METHODS = ("do", "fd_fm_so")
# Bounded dynamic shapes are written s32[<=16].
DYNAMIC = re.compile(r"\[[^\]]*<=")
HOST = re.compile(r" (infeed|outfeed|send|recv|custom-call)\(")


def lowered(method: str) -> str:
    run = config.RunConfig(
        tower=config.TowerConfig(embedding_dim=5, hidden_layers=(12, 6), table_column_multiple=8),
        ssl=config.SSLConfig(method=method),
        training=config.TrainingConfig(batch_size=BATCH, jit_compile=True),
    )
    model = make_model(dict.fromkeys(SIDES, SPECS), run, make_strategy("one_device"))
    features = {
        spec.name: tf.zeros([BATCH, spec.max_values], tf.int32 if spec.is_embedded else tf.float32)
        for spec in SPECS
    }
    batch = Batch(features, features, tf.zeros([BATCH], tf.int32), tf.zeros([BATCH]), {})
    step = tf.function(lambda batch: model.train_step(batch), jit_compile=True)
    return step.experimental_get_compiler_ir(batch)(stage="hlo")


@pytest.mark.parametrize("method", METHODS)
def test_steps_have_static_shapes_and_no_host_callback(method: str) -> None:
    hlo = lowered(method)
    assert " scatter(" in hlo
    assert not DYNAMIC.search(hlo)
    assert not HOST.search(hlo)
    assert " while(" not in hlo  # it would go through the batch's look-ups one by one
