"""``headfield train``: a model from a training store."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class TrainCommand:
    """Train imHead on a store. Run the same command again to resume exactly where it stopped.

    On several processes: torchrun --nproc-per-node 2 -m headfield.cli train ...
    """

    # The fields and defaults of headfield.train.loop.TrainConfig, which cannot be imported here: it brings torch,
    # and help must not. tests/cli/test_help.py holds the two together.
    store: Path
    """Training store that `headfield synth` wrote."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Run folder: checkpoints, metrics.jsonl, previews. An existing run is resumed."""
    preset: Literal["small", "paper", "tiny"] = "small"
    """Model sizes: small trains on a laptop, paper has the paper's, tiny is for tests."""
    steps: int = 40_000
    """Length of the whole run; a larger number given later extends it."""
    heads: int = 12
    """Heads per step, over all processes."""
    points: int = 384
    """Surface points per head."""
    samples: int = 160
    """Signed off-surface points per head."""
    micro: int = 2
    """Heads per micro-batch: small ones stay in the CPU's cache; on a GPU use all heads at once."""
    rate: float = 1e-3
    """Learning rate of the networks (AdamW)."""
    code_rate: float = 2e-3
    """Learning rate of the codes (Adam on the rows that a step touches)."""
    warm_up: int = 300
    """Steps of linear warm-up."""
    decay_from: float = 0.6
    """Share of the run after which both rates fall along a half cosine to 2 percent."""
    expressions_from: float = 0.33
    """Share of the run after which posed heads join."""
    posed_share: float = 0.5
    """Share of posed heads from then on."""
    weight_decay: float = 1e-4
    """Of the networks."""
    clip: float = 1.0
    """Gradient norm at most."""
    mirror: bool = True
    """Also train mirrored copies of every head."""
    losses: Literal["default", "paper"] = "default"
    """default is the stabilised recipe; paper is Eqs. 9-12 as printed."""
    seed: int = 0
    """Of everything random."""
    save_minutes: float = 4.0
    """Minutes between checkpoints."""
    preview_every: int = 2_000
    """Steps between previews."""
    tensorboard: bool = False
    """Also write TensorBoard events (extra `train`)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    threads: int = 0
    """CPU threads; 0 keeps torch's choice. Exact resume needs the same number."""

    def run(self) -> int:
        """Train, showing progress; returns 130 when stopped before the end."""
        from headfield.cli.output import resumable_folder
        from headfield.io.store import Store

        Store(self.store)  # a missing store is found out before torch is loaded
        with resumable_folder(self.out, began="*"):
            from headfield.cli import train_run
            from headfield.train.loop import TrainConfig

            return train_run.run(TrainConfig(**{each.name: getattr(self, each.name) for each in fields(self)}))
