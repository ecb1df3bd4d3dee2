"""Prints docs/flags.md, the page of all flags: `python -m tests.flags_page > docs/flags.md`."""

from __future__ import annotations

from pipelines.app_install import AppInstallOptions
from pipelines.interactions import InteractionsOptions
from pipelines.popularity import PopularityOptions
from pipelines.study import StudyOptions
from pipelines.synthetic import SyntheticOptions
from pipelines.tune import TuneOptions
from pipelines.wikipedia import WikipediaOptions
from ssl_recsys import options
from ssl_recsys.advise import AdviseOptions
from ssl_recsys.baselines import BaselinesOptions
from ssl_recsys.calibrate import CalibrateOptions
from ssl_recsys.embed import EmbedOptions
from ssl_recsys.evaluate import EvaluateOptions
from ssl_recsys.index import IndexOptions
from ssl_recsys.recommend import RecommendOptions
from ssl_recsys.serve import ServeOptions
from ssl_recsys.training.train_options import TrainOptions

COMMANDS: dict[str, type[options.Options]] = {
    "ssl_recsys.train": TrainOptions,
    "ssl_recsys.evaluate": EvaluateOptions,
    "ssl_recsys.baselines": BaselinesOptions,
    "ssl_recsys.recommend": RecommendOptions,
    "ssl_recsys.embed": EmbedOptions,
    "ssl_recsys.index": IndexOptions,
    "ssl_recsys.serve": ServeOptions,
    "ssl_recsys.advise": AdviseOptions,
    "ssl_recsys.calibrate": CalibrateOptions,
    "pipelines.wikipedia": WikipediaOptions,
    "pipelines.app_install": AppInstallOptions,
    "pipelines.interactions": InteractionsOptions,
    "pipelines.synthetic": SyntheticOptions,
    "pipelines.popularity": PopularityOptions,
    "pipelines.tune": TuneOptions,
    "pipelines.study": StudyOptions,
}
_HEAD = """# Flags

All flags of all commands, made from the code (`python -m tests.flags_page`). Every command also
takes `--flagfile=FILE` and `--help`; data jobs take the options of Apache Beam as well. Where a
flag is given twice, the last one wins. Lists are written with commas.
"""


def text() -> str:
    """The page."""
    parts = [f"## {name}\n{options.table(kind)}\n" for name, kind in COMMANDS.items()]
    return "\n".join([_HEAD, *parts])


if __name__ == "__main__":
    print(text(), end="")
