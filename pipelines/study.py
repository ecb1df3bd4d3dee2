"""Carries out a study and writes its report: the paper's tables and figures with one command.

    python -m pipelines.study --flagfile=configs/study_wiki.flags

Run again, it goes on where it was stopped. docs/study.md describes the protocol.
"""

from __future__ import annotations

import pathlib
import sys

from absl import flags, logging

from pipelines.experiments.runner import LocalRunner
from pipelines.experiments.studies import paper, plan, process, provenance
from pipelines.experiments.studies.settings import Study, read_base_flags
from pipelines.experiments.studies.store import Store
from ssl_recsys import cli, schema
from ssl_recsys.config import METHODS
from ssl_recsys.errors import InputError

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Dataset directory; by default the base's.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where runs and report are written.")
_BASE_FLAGFILE = flags.DEFINE_string(
    "base_flagfile", "", "Flag file of ssl_recsys.train with what all runs share."
)
_BASE_FLAG = flags.DEFINE_multi_string(
    "base_flag", [], "One more training flag that all runs share, as name=value; repeatable."
)
_METHODS = flags.DEFINE_list("methods", list(METHODS), "Methods, the baseline first.")
_LEARNING_RATES = flags.DEFINE_list(
    "learning_rates", ["0.01"], "Learning rates that the baseline is tuned over."
)
_ALPHAS = flags.DEFINE_list("alphas", ["0.1", "0.3", "1", "3"], "Values alpha is chosen from.")
_DROPOUT_RATES = flags.DEFINE_list(
    "dropout_rates", [], "Dropout rates of the curves of FD and DO; empty for no curves."
)
_FRACTIONS = flags.DEFINE_list(
    "fractions", ["1"], "Shares of the training pairs that the final runs have."
)
_MAX_EPOCHS_AT = flags.DEFINE_list(
    "max_epochs_at", [], "fraction:epochs where a fraction has another --max_epochs."
)
_CHOOSING_SEEDS = flags.DEFINE_integer("choosing_seeds", 1, "Seeds that choices are made with.")
_FINAL_SEEDS = flags.DEFINE_integer("final_seeds", 5, "Seeds of the tables.")
_PAPER = flags.DEFINE_enum(
    "paper", "", ["", *paper.RESULTS], "Dataset of the paper whose figures stand beside ours."
)
_PARALLEL = flags.DEFINE_integer("parallel", 0, "Runs at a time; 0: one for each core.")
_KEEP_MODELS = flags.DEFINE_bool(
    "keep_models", False, "Keep the finished runs' checkpoints and exported models."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the number of runs of each stage and stop.")
_REPORT_ONLY = flags.DEFINE_bool("report_only", False, "Write the report on what is finished.")


def study_from_flags() -> Study:
    """The study that the flags describe.

    Raises:
      InputError: for a value out of range.
    """
    base = read_base_flags(_BASE_FLAGFILE.value, _BASE_FLAG.value)
    if _DATA_DIR.value:
        base["data_dir"] = _DATA_DIR.value
    return Study(
        base=base,
        methods=tuple(_METHODS.value),
        learning_rates=_numbers("learning_rates", _LEARNING_RATES.value),
        alphas=_numbers("alphas", _ALPHAS.value),
        dropout_rates=_numbers("dropout_rates", _DROPOUT_RATES.value),
        fractions=_numbers("fractions", _FRACTIONS.value),
        choosing_seeds=_CHOOSING_SEEDS.value,
        final_seeds=_FINAL_SEEDS.value,
        epochs_at=_epochs_at(_MAX_EPOCHS_AT.value),
        paper=_PAPER.value,
    )


def main(argv: list[str]) -> None:
    """The command."""
    del argv  # cli.run has refused what is left over.
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every folder that it opens.
    study = study_from_flags()
    if _DRY_RUN.value:
        print(_plan_text(study))
        return
    if not _OUTPUT_DIR.value:
        raise InputError("--output_dir is missing (the configs name one)")
    directory = pathlib.Path(_OUTPUT_DIR.value)
    info = schema.read_dataset_info(study.data_dir)
    store = Store(directory, keep_models=_KEEP_MODELS.value)
    if not _REPORT_ONLY.value:
        provenance.note_start(directory, sys.argv[1:])
        print(_plan_text(study), flush=True)
        process.carry_out(study, store, LocalRunner(store.runs_dir, parallel=_PARALLEL.value))
    process.write_report(study, store, directory, info)
    print(f"wrote {directory / 'report.html'}, report.md and results.json")


def _plan_text(study: Study) -> str:
    sizes = plan.stage_sizes(study)
    lines = [f"{stage:<8} {sizes[stage]:>4} runs  {plan.MEANINGS[stage]}" for stage in plan.STAGES]
    return "\n".join([*lines, f"{'in all':<8} {sum(sizes.values()):>4} runs"])


def _numbers(name: str, values: list[str]) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values if value.strip())
    except ValueError as error:
        raise InputError(f"--{name} must be numbers (got {','.join(values)!r})") from error


def _epochs_at(values: list[str]) -> dict[float, int]:
    try:
        pairs = [value.split(":") for value in values if value.strip()]
        return {float(fraction): int(epochs) for fraction, epochs in pairs}
    except ValueError as error:
        raise InputError(
            f"--max_epochs_at must be fraction:epochs, such as 0.1:60 (got {','.join(values)!r})"
        ) from error


if __name__ == "__main__":
    cli.run(main)
