"""Runs the project's commands as users do, in processes of their own or, quicker, in this one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from ssl_recsys import train as train_command
from ssl_recsys.training.train_options import TrainOptions
from tests import command_line

ROOT = pathlib.Path(__file__).parents[2]


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(module, *arguments),
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def train(*arguments: object) -> None:
    """`ssl_recsys.train` in this process, for what it writes rather than how it ends."""
    train_command.main(command_line.parse(TrainOptions, *arguments))


def small_run(data_dir: str | pathlib.Path, model_dir: str | pathlib.Path, *more: str) -> list[str]:
    return [
        f"--data_dir={data_dir}",
        f"--model_dir={model_dir}",
        "--embedding_dim=8",
        "--hidden_layers=16,8",
        "--fm_hidden_layers=8",
        "--batch_size=64",
        "--learning_rate=0.1",
        "--max_epochs=3",
        *more,
    ]
