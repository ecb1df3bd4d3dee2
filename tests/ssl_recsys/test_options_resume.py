"""A run with every option resumes from a checkpoint as if there had been no stop."""

import dataclasses
import json
import pathlib

import numpy as np

from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.training import run, train_options

EVERYTHING = RunConfig(
    tower=TowerConfig(
        embedding_dim=8,
        table_column_multiple=16,
        table_dtype="bfloat16",
        hidden_layers=(16, 8),
        pooling="sqrtn",
        value_weights="idf",
        shared_projection=2.0,
        sub_towers=2,
    ),
    loss=LossConfig(
        temperature=0.1,
        alpha=0.5,
        logq_correction=True,
        logq_form="corrected",
        remove_accidental_hits=True,
        mixed_negatives=16,
        hard_negatives=2,
        symmetric_loss=True,
    ),
    ssl=SSLConfig(
        method="fd",
        ssl_side="both",
        dropout_granularity="value",
        view_masking="correlated",
        main_dropout_rate=0.2,
        main_dropout_side="query",
    ),
    training=TrainingConfig(
        batch_size=64,
        learning_rate=0.1,
        row_wise_adagrad=True,
        max_epochs=3,
        weight_averaging=0.5,
        pretrain_epochs=1,
        strategy="one_device",
        exclude_query=True,
    ),
)


def trained(data_dir: pathlib.Path, model_dir: pathlib.Path, *epochs: int) -> pathlib.Path:
    for max_epochs in epochs:
        training = dataclasses.replace(EVERYTHING.training, max_epochs=max_epochs)
        settings = dataclasses.replace(EVERYTHING, training=training)
        options = train_options.TrainOptions(
            str(data_dir), str(model_dir), keep_checkpoints=True, run=settings
        )
        run.train_and_evaluate(options)
    return model_dir


def test_a_run_with_every_option_resumes_exactly(
    shown_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    straight = trained(shown_dir, tmp_path / "straight", 3)
    stopped = trained(shown_dir, tmp_path / "stopped", 2, 3)
    np.testing.assert_allclose(
        *(np.load(path / "export" / "item_embeddings.npy") for path in (straight, stopped)),
        atol=2e-3,
    )
    histories = [json.loads((path / "history.json").read_text()) for path in (straight, stopped)]
    for one, other in zip(*histories, strict=True):
        assert set(one) == set(other)
        np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-3)
    # The first epoch pre-trains: it has no main loss.
    assert ["main" in epoch for epoch in histories[0]] == [False, True, True]
    metrics = json.loads((straight / "metrics.json").read_text())
    assert metrics["query_excluded"]
    # Topics are easy to tell: chance is 50 / 120.
    assert metrics["overall"]["recall@50"] > 0.5
