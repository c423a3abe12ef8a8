"""What `headfield synth` makes, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SynthConfig:
    """A population of synthetic heads for the training store."""

    family: Literal["ict", "anny", "mix"] = "mix"
    """Head family; mix is half of each."""
    identities: int = 500
    """How many people, in all."""
    expressions: int = 20
    """Random expressions of each, beside the neutral face."""
    drawing: Literal["sums", "faces", "mixed"] = "sums"
    """How expressions are drawn: sums of up to five channels, as the first weights were trained on; whole faces whose
    eyes turn (`synth/whole_faces.py`); or both in turn, since in whole faces left and right go together so often that a
    model hardly learns to tell them apart."""
    truth: Literal["v1", "v2"] = "v1"
    """Which people: v1 are the families' heads as they come, which the first weights were trained on; v2 have faces of
    their own beside them and the folds of their age (`synth/variation.py`), nostrils and necks that end
    (`synth/openings.py`), eyeballs with corneas that turn, lids joined to them (`synth/seal.py`), lips that are one
    seam where they are closed and have round corners where not (`synth/lips.py`), combed hair
    (`synth/hair_combed.py`), and no whole face in which lips or lids pass through each other (`synth/contact.py`)."""
    split: Literal["train", "dev", "test", "all"] = "train"
    """Which frozen stream of identities; all is 80, 10 and 10 %. Dev and test keep their truth meshes."""
    hair: float | None = None
    """Share of people with hair or a beard, 0 to 1; None = the frozen share (0.4)."""
    points: int = 12288
    """Surface points per head and expression."""
    samples: int = 3072
    """Signed samples off the surface per head and expression."""
    seed: int | None = None
    """Seed of the population; None = the frozen one, whose test split is the public test."""
    workers: int = 0
    """Worker processes; 0 = in this process."""
