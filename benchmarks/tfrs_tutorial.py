"""The same two-tower model, written as TensorFlow Recommenders' tutorials write theirs.

Strings come in: each pair is a tf.train.Example with the features of both sides as tokens,
`StringLookup` turns them into ids inside the towers, `Embedding` masks what is padded and
`GlobalAveragePooling1D` averages; `tfrs.tasks.Retrieval` computes the loss, without metrics while
training. So that both systems learn the same, the towers share their tables, embeddings are
normalised, and the loss is the mean over the batch.

Examples are parsed one by one, as TensorFlow Datasets does for the tutorials, or whole batches at
once, which is faster; several at a time either way. Steps are taken by Keras's own compiled
function, without `fit`'s callbacks.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from ssl_recsys import schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec

_SHUFFLED_EXAMPLES = 100_000
_MISSING = "[missing]"  # not in any vocabulary: an item without a value has the unknown one
_EMBED_BATCH = 4096


class FeatureModel(tf.keras.Model):
    """Features as tokens to one concatenated vector.

    Args:
      vocabularies: feature name -> its tokens.
      specs: the features.
      embedding_dim: width of each table.
    """

    def __init__(
        self,
        vocabularies: Mapping[str, Sequence[str]],
        specs: Sequence[FeatureSpec],
        embedding_dim: int,
    ) -> None:
        super().__init__()
        self._encoders = {}
        for spec in specs:
            is_bag = spec.is_pooled
            lookup = tf.keras.layers.StringLookup(
                vocabulary=list(vocabularies[spec.name]), mask_token="" if is_bag else None
            )
            layers = [
                lookup,
                tf.keras.layers.Embedding(
                    lookup.vocabulary_size(), embedding_dim, mask_zero=is_bag
                ),
            ]
            if is_bag:
                layers.append(tf.keras.layers.GlobalAveragePooling1D())
            self._encoders[spec.name] = tf.keras.Sequential(layers)

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Name -> `[batch]` or, of a bag, `[batch, values]` strings to `[batch, width]`."""
        return tf.concat(
            [encoder(features[name]) for name, encoder in self._encoders.items()], axis=1
        )


class TutorialModel(tfrs.Model):
    """Two towers of dense layers over one feature model.

    Args:
      feature_model: what both towers begin with.
      config: sizes and temperature.
    """

    def __init__(self, feature_model: FeatureModel, config: RunConfig) -> None:
        super().__init__()
        self.towers = {side: _tower(feature_model, config) for side in schema.SIDES}
        self.task = tfrs.tasks.Retrieval(
            loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
            temperature=config.loss.temperature,
        )

    def compute_loss(
        self, inputs: Mapping[str, Mapping[str, tf.Tensor]], training: bool = False
    ) -> tf.Tensor:
        """The batch softmax."""
        query, item = (self.towers[side](inputs[side]) for side in schema.SIDES)
        return self.task(query, item, compute_metrics=not training)


def _tower(feature_model: FeatureModel, config: RunConfig) -> tf.keras.Model:
    *hidden, last = config.tower.hidden_layers
    return tf.keras.Sequential(
        [
            feature_model,
            *(tf.keras.layers.Dense(units, activation="relu") for units in hidden),
            tf.keras.layers.Dense(last),
            tf.keras.layers.Lambda(lambda outputs: tf.math.l2_normalize(outputs, axis=1)),
        ]
    )


class Training:
    """The tutorial's model in training.

    Args:
      files: what `write_examples` wrote.
      tokens: the catalog's features as `tokens_of` gives them.
      vocabularies: feature name -> its tokens.
      specs: the features.
      config: the run's configuration; `baseline` is the only method there is.
      parse_batches: parse whole batches at once instead of examples.
    """

    def __init__(
        self,
        files: Sequence[str],
        tokens: Mapping[str, Sequence[Sequence[bytes]]],
        vocabularies: Mapping[str, Sequence[str]],
        specs: Sequence[FeatureSpec],
        config: RunConfig,
        *,
        parse_batches: bool,
    ) -> None:
        self._tokens, self._specs = tokens, specs
        tf.keras.utils.set_random_seed(config.training.seed)
        self.model = TutorialModel(
            FeatureModel(vocabularies, specs, config.tower.embedding_dim), config
        )
        self.model.compile(optimizer=tf.keras.optimizers.Adagrad(config.training.learning_rate))
        self._batches = iter(
            read_examples(files, specs, config.training.batch_size, parse_batches=parse_batches)
        )
        self._train_function = self.model.make_train_function()

    def train(self, steps: int) -> float:
        """Takes steps; returns the last one's loss."""
        for _ in range(steps):
            logs = self._train_function(self._batches)
        return float(logs["loss"])

    def embed(self, side: str, rows: np.ndarray | None = None) -> np.ndarray:
        """`[rows, dim]` float32 embeddings of catalog rows, all of them by default."""
        tower = self.model.towers[side]
        num_items = len(next(iter(self._tokens.values())))
        chosen = np.arange(num_items) if rows is None else rows
        parts = []
        for start in range(0, len(chosen), _EMBED_BATCH):
            part = chosen[start : start + _EMBED_BATCH].tolist()
            features = {}
            for spec in self._specs:
                values = tf.ragged.constant([self._tokens[spec.name][row] for row in part])
                features[spec.name] = _as_inputs(values, spec)
            parts.append(tower(features).numpy())
        return np.concatenate(parts)


def tokens_of(
    catalog: Catalog,
    vocabularies: Mapping[str, Sequence[str]],
    specs: Sequence[FeatureSpec],
) -> dict[str, list[list[bytes]]]:
    """Feature name -> each item's tokens, one or more.

    Raises:
      InputError: if there is a dense feature, which the tutorial's model has none of.
    """
    found = {}
    for spec in specs:
        if not spec.is_embedded:
            raise InputError(f"the tutorial's model has no dense features ({spec.name} is one)")
        words = [_MISSING.encode(), *(token.encode() for token in vocabularies[spec.name])]
        found[spec.name] = [
            [words[value] for value in row if value] or [words[0]]
            for row in catalog.features[spec.name].tolist()
        ]
    return found


def read_vocabularies(data_dir: pathlib.Path, specs: Sequence[FeatureSpec]) -> dict[str, list[str]]:
    """Feature name -> the tokens of its ids, from 1."""
    return {
        spec.name: schema.vocab_path(data_dir, spec.name)
        .read_text(encoding="utf-8")
        .split("\n")[:-1]
        for spec in specs
    }


def write_examples(
    path: pathlib.Path,
    tokens: Mapping[str, Sequence[Sequence[bytes]]],
    query_rows: np.ndarray,
    item_rows: np.ndarray,
) -> None:
    """Writes a tf.train.Example for each pair: `query_<feature>` and `item_<feature>` tokens."""
    sides = {side: _serialized(tokens, side) for side in schema.SIDES}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for query, item in zip(query_rows.tolist(), item_rows.tolist(), strict=True):
            # Serialised messages that stand one behind the other are their union.
            writer.write(sides["query"][query] + sides["item"][item])


def _serialized(tokens: Mapping[str, Sequence[Sequence[bytes]]], side: str) -> list[bytes]:
    """One side's part of the Example, by row."""
    records = []
    for values in zip(*tokens.values(), strict=True):
        feature = {
            f"{side}_{name}": tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
            for name, value in zip(tokens, values, strict=True)
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        records.append(example.SerializeToString())
    return records


def read_examples(
    files: Sequence[str],
    specs: Sequence[FeatureSpec],
    batch_size: int,
    *,
    parse_batches: bool,
) -> tf.data.Dataset:
    """Batches of `{"query": {name: tokens}, "item": …}`, shuffled, without end."""
    description = {
        f"{side}_{spec.name}": tf.io.RaggedFeature(tf.string)
        for side in schema.SIDES
        for spec in specs
    }

    def to_inputs(parsed: Mapping[str, tf.Tensor]) -> dict[str, dict[str, tf.Tensor]]:
        return {
            side: {spec.name: _as_inputs(parsed[f"{side}_{spec.name}"], spec) for spec in specs}
            for side in schema.SIDES
        }

    records = tf.data.TFRecordDataset(files).shuffle(_SHUFFLED_EXAMPLES).repeat()
    if parse_batches:
        batches = records.batch(batch_size, drop_remainder=True).map(
            lambda batch: to_inputs(tf.io.parse_example(batch, description)), tf.data.AUTOTUNE
        )
    else:
        examples = records.map(
            lambda record: tf.io.parse_single_example(record, description), tf.data.AUTOTUNE
        )
        batches = examples.padded_batch(batch_size, drop_remainder=True).map(to_inputs)
    return batches.prefetch(tf.data.AUTOTUNE)


def _as_inputs(values: tf.Tensor | tf.RaggedTensor, spec: FeatureSpec) -> tf.Tensor:
    """`[batch]` of a categorical feature, `[batch, values]` padded with "" of a bag."""
    padded = values.to_tensor("") if isinstance(values, tf.RaggedTensor) else values
    return padded if spec.is_pooled else padded[:, 0]
