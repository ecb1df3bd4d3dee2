"""A runner that writes what training runs would, from a formula, and a dataset's description."""

import json
import pathlib
import zlib

import numpy as np

from pipelines.experiments.runner import Finished, Run
from pipelines.experiments.studies.settings import Study
from ssl_recsys import features, schema
from ssl_recsys.methods import METHODS

_GAIN = {"so": 0.02, "fd": 0.12, "fm": 0.05}
INFO = schema.DatasetInfo(
    name="wikipedia",
    features=(
        features.Categorical("id", vocab_size=101),
        features.Bag("title_ngrams", vocab_size=41, max_values=6),
    ),
    num_items=120,
    num_pairs={"train": 2000, "validation": 400, "test": 400},
    split={"by": "page", "seed": 7},
    sources=({"path": "somewhere/dump.xml.bz2", "bytes": 1, "sha256": "ab" * 32},),
)
FREQUENCY = {
    "name": "wikipedia",
    "split": "test",
    "num_items": 8000,
    "top_popular": {"recall@50": 0.075},
    "curve": {
        "k": [1, 10, 50, 1000, 8000],
        "train": [0.01, 0.05, 0.1, 0.6, 1.0],
        "recall": [0.005, 0.035, 0.075, 0.35, 1.0],
    },
}


def study(**fields: object) -> Study:
    """A small study of three methods with every stage."""
    chosen: dict = {
        "base": {"data_dir": "data/none", "max_epochs": "3"},
        "methods": ("baseline", "do", "fd"),
        "learning_rates": (0.05, 0.1),
        "alphas": (0.1, 1.0),
        "dropout_rates": (0.1, 0.3, 0.9),
        "fractions": (1.0, 0.1),
        "choosing_seeds": 1,
        "final_seeds": 3,
        "max_epochs_at": ((0.1, 6),),
        "paper": "wikipedia",
    }
    return Study(**(chosen | fields))


class FormulaRunner:
    """Finishes runs at once.

    Args:
      directory: as a `LocalRunner`'s.
      fails_at: the number of the run that fails, counted from 0.
      test_bonus: added to every metric on test pairs.
    """

    def __init__(self, directory: pathlib.Path, fails_at: int = -1, test_bonus: float = 0.0):
        self.directory = directory
        self.fails_at = fails_at
        self.test_bonus = test_bonus
        self.ran: list[str] = []

    def run_all(self, runs):
        for run in runs:
            model_dir = self.directory / run.name
            if len(self.ran) == self.fails_at:
                yield Finished(run, model_dir, 1.0, "no room left")
                return
            self.ran.append(run.name)
            write_run(run, model_dir, self.test_bonus)
            yield Finished(run, model_dir, 1.0, None)


def write_run(run: Run, model_dir: pathlib.Path, test_bonus: float = 0.0) -> None:
    """Writes a model directory whose metrics are `expected_recall` and multiples of it."""
    flags = run.flags
    recall = expected_recall(flags)
    rng = np.random.default_rng(zlib.crc32(run.name.encode()))
    recall += rng.normal(0, 0.001) + (test_bonus if flags["eval_split"] == "test" else 0)
    for name in ("checkpoints", "best", "export", "logs"):
        (model_dir / name).mkdir(parents=True)
    (model_dir / "checkpoints" / "ckpt-1").write_text("weights")
    points = rng.normal(0, 1, (200, 16)) * np.linspace(1, 0.2 + recall, 16)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    np.save(model_dir / "export" / "item_embeddings.npy", points.astype(np.float32))
    history = [
        {
            "epoch": epoch,
            "step": 70 * epoch,
            "seconds": 5.0 + 70 * epoch * 0.05 * (1 + len(METHODS[flags["method"]].tasks)),
            "validation_recall@50": recall * (1 - 0.6**epoch),
        }
        for epoch in range(1, 21)
    ]
    (model_dir / "history.json").write_text(json.dumps(history))
    popular = {
        part: _metrics(value) for part, value in (("overall", 0.07), ("head", 0.17), ("tail", 0.0))
    }
    metrics = {
        "split": flags["eval_split"],
        "overall": _metrics(recall),
        "head": _metrics(1.2 * recall),
        "tail": _metrics(0.8 * recall + 0.4 * (recall - 0.12)),
        "baselines": {"top_popular": popular},
    }
    (model_dir / "metrics.json").write_text(json.dumps(metrics))


def expected_recall(flags) -> float:
    """Recall@50 without noise: best at learning rate 0.1, alpha 1 and dropout rate 0.3."""
    fraction = float(flags["train_fraction"])
    recall = 0.12 * fraction**0.2
    recall -= 0.01 * (float(flags["learning_rate"]) != 0.1)
    method = METHODS[flags["method"]]
    gain = sum(_GAIN[task] for task in method.tasks) * (1 - np.log10(fraction))
    if method.tasks:
        gain *= 1 - 0.4 * abs(np.log10(float(flags["alpha"])))
    if method.uses_dropout:
        gain -= 0.6 * abs(float(flags.get("dropout_rate", 0.3)) - 0.3)
    return recall * (1 + gain)


def _metrics(recall: float) -> dict:
    return {
        "num_pairs": 400,
        "recall@10": recall / 2,
        "recall@50": recall,
        "map@10": recall / 5,
        "map@50": recall / 4,
    }
