"""The training flags that all runs of a study or a search share, and where the runs write."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection

from pipelines.experiments.runner import read_flags
from ssl_recsys.errors import InputError
from ssl_recsys.manifest import VERIFY_DATASET
from ssl_recsys.options import Options, option
from ssl_recsys.paths import is_remote


@dataclasses.dataclass(frozen=True)
class RunsOptions(Options):
    """The flags that studies and searches have in common."""

    base_flagfile: str = option("", "Flag file of ssl_recsys.train with what all runs share.")
    base_flag: tuple[str, ...] = option(
        (), "One more training flag that all runs share, as name=value; repeatable.", repeated=True
    )
    data_dir: str = option("", "Dataset directory; by default the base's.")
    output_dir: str = option("", "Where runs and results are written.")
    verify: bool = option(True, VERIFY_DATASET + " It is done once, not by each run.")
    parallel: int = option(0, "Runs at a time; 0: one for each core.", at_least=0)

    @property
    def directory(self) -> pathlib.Path:
        """The output directory.

        Raises:
          InputError: if none is given, or one that is not on this machine.
        """
        if not self.output_dir:
            raise InputError("--output_dir is missing (the configs name one)")
        if is_remote(self.output_dir):
            raise InputError(
                f"--output_dir={self.output_dir}: studies and searches lock their directory, which "
                "must be on this machine"
            )
        return pathlib.Path(self.output_dir)

    def base_names(self) -> list[str]:
        """The names of the flags that are given by --base_flag."""
        return list(read_flags("", self.base_flag))

    def shared(self, own: Collection[str]) -> dict[str, str]:
        """The training flags that all runs share, by name.

        Args:
          own: flags that are left out: a config names one run's seed and directory, a study or
            a search has many.

        Raises:
          InputError: for a missing file, something that is no flag, or no dataset.
        """
        found = read_flags(self.base_flagfile, self.base_flag)
        if self.data_dir:
            found["data_dir"] = self.data_dir
        if not found.get("data_dir"):
            raise InputError("no dataset: give --data_dir, or a --base_flagfile that names one")
        return {name: value for name, value in found.items() if name not in own}
