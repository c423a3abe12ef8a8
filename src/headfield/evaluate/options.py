"""How a protocol is run, as dataclasses; imports nothing heavy, for the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from headfield.models import DEFAULT


@dataclass(frozen=True)
class Settings:
    """How cases are run: what their numbers depend on."""

    model: str = DEFAULT
    """Model: a released name, a folder, or a hub id."""
    split: str = "dev"
    """dev to tune on; test is public and runs last."""
    resolution: int = 192
    """Of the meshes that are measured, samples along the longest side of the box."""
    samples: int = 50_000
    """Surface samples per side and head."""
    pca_heads: int | None = None
    """Training heads of each family that the PCA baseline is made of and that specificity looks for the nearest in; as
    many as the released model has when not given."""
    baselines: bool = True
    """Fit the mean head and the PCAs to the same points as well; --no-baselines leaves them out."""
    truth: Literal["v1", "v2"] = "v1"
    """Which people the frozen identities are: as the first weights' training data have them, or as the second's
    (`headfield synth --help` says how they differ). Captures are of v1 always."""
    training_store: str = ""
    """Folder of the store that the model was trained on: specificity looks for the nearest head in it, not among those
    of the known families."""


@dataclass(frozen=True)
class Options(Settings):
    """How a protocol is run."""

    limit: int | None = None
    """Only the first so many heads, families in turn."""
    workers: int = 0
    """Worker processes; 0 = in this process."""


SMALL = {"limit": 8, "resolution": 96, "samples": 10_000, "pca_heads": 60}
"""What a first look takes in place of the defaults."""


def small_budget(options: Options) -> Options:
    """Options for a first look: few heads, coarse meshes, few training heads; what is no longer at its default stays.

    Its numbers are rough and its intervals wide: two models that it cannot tell apart may well differ.
    """
    untouched = {name: value for name, value in SMALL.items() if getattr(options, name) == getattr(Options, name)}
    return replace(options, **untouched)
