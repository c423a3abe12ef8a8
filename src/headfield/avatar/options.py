"""How an avatar is trained, as one dataclass; it imports no torch, so that the command line shows its help at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class AvatarTrainConfig:
    """How to train an avatar on a video."""

    video: Path
    """Folder with flame_params.json, image/ and mask/, in IMAvatar's published layout."""
    out: Path
    """Folder of the run: checkpoint, metrics.jsonl, previews. An existing run is resumed."""
    preset: Literal["small", "published", "tiny"] = "small"
    """Sizes of the networks."""
    steps: int = 40_000
    """Length of the whole run; a larger number given later extends it."""
    frames: int = 4
    """Frames of a step."""
    rays: int = 512
    """Rays of a step, over all its frames: half of them anywhere in the picture, half in the face's box."""
    geometry_rate: float = 3e-4
    """Learning rate of geometry (Adam; published: 1e-4 for all)."""
    deformation_rate: float = 1e-4
    """Learning rate of blendshapes and skinning."""
    texture_rate: float = 1e-3
    """Learning rate of texture."""
    warm_up: int = 1000
    """First steps, in which only texture learns, at the template's hits: no shape is bent to explain colours that are
    not there yet."""
    decay_from: float = 0.5
    """Share of the run after which all rates fall along a half cosine to 2 percent."""
    supervised: bool = True
    """Hold blendshapes and skinning to the template's (Eq. 13); without, they are learned from the pictures alone."""
    mask_weight: float = 2.0
    """lambda_M of Eq. 14."""
    eikonal: float = 0.1
    """Weight of |dg/dx| = 1."""
    smooth: float = 0.05
    """Weight with which normals 5 mm apart are alike."""
    anchor: float = 0.1
    """Weight with which g, blendshapes and skinning are held to the template in mouth and lids, of which a mild video
    shows little; 0 for not."""
    searched: float = 0.05
    """Share of the foreground's rays that are searched in full whatever the template says; twice the share of the
    background's."""
    pretrain_steps: int = 2000
    """Steps in which the fields become the template, before the first of the run."""
    seed: int = 0
    """Of everything random."""
    save_minutes: float = 4.0
    """Minutes between checkpoints."""
    preview_minutes: float = 5.0
    """Minutes between previews."""
    threads: int = 0
    """CPU threads; 0 keeps torch's choice. Exact resume needs the same number."""
