"""When a run is finished: what it was asked for is recorded, and its checkpoints are dropped.

`finished.json` is written last. Typed again, the same command finds it and has nothing to do; one
that asks for more trains on from the checkpoints, if they were kept.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from ssl_recsys import files, paths, schema
from ssl_recsys.errors import InputError
from ssl_recsys.training import run_dir
from ssl_recsys.training.train_options import NO_EVALUATION, TrainOptions

_KEPT, _DROPPED = "kept", "dropped"
_TYPES = {"step": int, "asked": dict, "checkpoints": str}


def finish(options: TrainOptions, step: int) -> None:
    """Records that a run is finished and drops its checkpoints, unless they are to be kept.

    Args:
      options: what the run was asked for.
      step: steps that it took.
    """
    model_dir = paths.as_path(options.model_dir)
    _write(model_dir, step, _asked(options), _KEPT if options.keep_checkpoints else _DROPPED)


def begin(model_dir: pathlib.Path) -> None:
    """Takes back that a run is finished, before it is trained on."""
    (model_dir / run_dir.FINISHED_FILE).unlink(missing_ok=True)


def steps_if_done(options: TrainOptions, info: schema.DatasetInfo) -> int | None:
    """The steps of a run that is finished and was asked for the same before; else None.

    Checkpoints that are not to be kept any more are dropped.

    Raises:
      InputError: if the directory holds another run, or a finished one whose checkpoints were
        dropped and that is asked for more.
    """
    model_dir = paths.as_path(options.model_dir)
    path = model_dir / run_dir.FINISHED_FILE
    if not path.is_file() or not options.resume:
        return None
    with files.locked(model_dir):
        run_dir.check_same_run(model_dir, options.run, options.data_dir, info)
        there = files.read_json(path)
        files.check_types(str(path), there, _TYPES)
        missing = _what_is_missing(model_dir, options, there["asked"])
        if not missing:
            checkpoints = there["checkpoints"] if options.keep_checkpoints else _DROPPED
            _write(model_dir, there["step"], there["asked"], checkpoints)
            return there["step"]
    if there["checkpoints"] == _DROPPED:
        raise InputError(
            f"--model_dir={model_dir} is finished, and the checkpoints that more ({missing}) would "
            "need were dropped. `python -m ssl_recsys.evaluate` evaluates it; to train longer, "
            "choose another directory, with --keep_checkpoints if that is to be trained on later"
        )
    return None


def _asked(options: TrainOptions) -> dict[str, Any]:
    """The settings that decide when a run is finished, and what it is evaluated on."""
    training = options.run.training
    asked = {name: getattr(training, name) for name in run_dir.LENGTH_SETTINGS}
    return asked | {"eval_split": options.eval_split, "eval_max_queries": options.eval_max_queries}


def _what_is_missing(
    model_dir: pathlib.Path, options: TrainOptions, before: Mapping[str, Any]
) -> str:
    """What a finished run has not done of what it is asked for; empty for nothing."""
    export = model_dir / run_dir.EXPORT_DIR
    if not files.recover_directory(export):
        return f"{export} is gone"
    now = _asked(options)
    if options.eval_split == NO_EVALUATION:
        del now["eval_split"], now["eval_max_queries"]
    return "; ".join(
        f"{name}: {before.get(name)!r} there, {value!r} now"
        for name, value in now.items()
        if before.get(name) != value
    )


def _write(model_dir: pathlib.Path, step: int, asked: Mapping[str, Any], checkpoints: str) -> None:
    """Writes the record, and then deletes: what a stop leaves of the checkpoints is not used."""
    record = {"step": step, "asked": dict(asked), "checkpoints": checkpoints}
    files.write_json(model_dir / run_dir.FINISHED_FILE, record)
    if checkpoints == _DROPPED:
        for name in (run_dir.CHECKPOINT_DIR, run_dir.BEST_DIR):
            paths.remove_tree(model_dir / name)
