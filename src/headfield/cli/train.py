"""``headfield train``: a model from a training store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headfield.errors import ConfigError, OutputError
from headfield.train.config import TrainConfig


@dataclass(frozen=True)
class TrainCommand(TrainConfig):
    """Train imHead on a store. Run the same command again to resume exactly where it stopped.

    On several processes: torchrun --nproc-per-node 2 -m headfield.cli train ...
    """

    release: Path | None = None
    """When the run is complete, also write a release folder here: whitened, without the training codes."""

    def run(self) -> int:
        """Train, showing progress; returns 130 or 143 when stopped before the end."""
        from headfield.cli.output import resumable_folder
        from headfield.io.store import Store

        if self.release is not None and self.only == "deformer":
            raise ConfigError(
                "--release writes a whole model; a deformer that was trained alone goes on top of released weights: "
                "headfield.train.release.release_deformer(run, store, base, out)."
            )
        if self.release is not None and self.release.exists():
            raise OutputError(f"{self.release} exists: choose another --release folder or delete it.")
        Store(self.store)  # a missing store is found out before torch is loaded
        with resumable_folder(self.out, began="*", alone=int(os.environ.get("RANK", 0)) == 0):
            from headfield.cli import train_run

            status = train_run.run(self)
        if status == 0 and self.release is not None:
            train_run.release(self)
        return status
