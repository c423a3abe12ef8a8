"""How to train: the one dataclass behind `headfield train` and :func:`headfield.train.trainer.start`.

It imports no torch, so that the command line can show its help at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the model's sizes come from the preset."""

    store: Path
    """Folder of the training store (made by `headfield synth`)."""
    out: Path
    """Folder of the run: checkpoints, metrics.jsonl, previews. An existing run is resumed."""
    model: Literal["imhead", "nphm", "npm", "imface", "mononphm"] = "imhead"
    """Which model; what it is trained for stands in its recipe."""
    preset: Literal[
        "small", "paper", "tiny", "literal", "literal-small",
        "open", "open-small", "12-anchors", "26-anchors", "no-symmetry",
        "12-anchors-small", "26-anchors-small", "no-symmetry-small",
    ] = "small"  # fmt: skip
    """Model sizes: small trains on a laptop, paper has the paper's, tiny is for tests; literal is what the paper
    prints, with its losses and random codes at the start; open is NPHM whose canonical mouth is open (stores of truth
    v2), and the others are the rows of its Table 4."""
    learned_expression: int = 0
    """Numbers of an expression code that is learned, one for every scan (NPHM: 200), in the place of the 52 ARKit
    weights, which the store knows; 0 for these."""
    steps: int = 40_000
    """Length of the whole run; a larger number given later extends it."""
    heads: int = 16
    """Heads per step, over all processes."""
    points: int = 320
    """Surface points per head."""
    samples: int = 128
    """Signed off-surface points per head."""
    warp_points: int = 1024
    """Surface points per posed head whose places on the neutral head teach the warp, beside the field's own points."""
    micro: int = 4
    """Heads per micro-batch: small ones stay in the CPU's cache; on a GPU use all heads at once."""
    rate: float = 1.5e-3
    """Learning rate of the networks (AdamW)."""
    code_rate: float = 1e-3
    """Learning rate of the codes (Adam on the rows that a step touches)."""
    warm_up: int = 300
    """Steps of linear warm-up."""
    decay_from: float = 0.45
    """Share of the run after which both rates fall along a half cosine to 2 percent."""
    expressions_from: float = 0.33
    """Share of the run after which posed heads join."""
    posed_share: float = 0.6
    """Share of posed heads from then on; of the deformer alone all heads are posed, always."""
    weight_decay: float = 1e-4
    """Of the networks."""
    whitened: bool = True
    """Weights that an expression meets take their steps where the store's expressions are uncorrelated and equally
    strong, so that a single brow is learned as well as two (`train/whitening.py`)."""
    clip: float = 1.0
    """Gradient norm at most."""
    mirror: bool = True
    """Also train mirrored copies of every head."""
    only: Literal["all", "deformer"] = "all"
    """all, or the expression deformer alone with the weights of its ambient coordinates, from `start`: heads at rest
    and codes stay what they are."""
    start: Path | None = None
    """Checkpoint of a complete run whose weights and codes this run begins with; `only` needs one that knows every
    identity of the store, a whole run lets people that it does not know start at the code of who is most like them."""
    warp_share: float = 0.0
    """Share of a run of the deformer alone, at its beginning, that asks for correspondences only, which is three times
    as fast."""
    held_rows: int = 0
    """Last expressions of every identity that are not trained on, but measured whenever a checkpoint is written."""
    losses: Literal["default", "paper"] = "default"
    """default is the stabilised recipe; paper is what the model's paper prints."""
    code_start: Literal["shape", "random"] = "shape"
    """Where identity codes start: at principal components of what heads look like, or at random as in NPHM's code."""
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
