"""Who is in which split: identities from frozen seeds and streams, one independent generator per purpose.

Splits are by identity, never by expression. Identity `i` of a split is the same person whatever else is generated
beside it, with any number of workers: every random decision draws from ``default_rng([seed, stream, i, ...])``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from headfield.errors import ConfigError

SPLITS = ("train", "dev", "test")
FAMILIES = ("ict", "anny")
_PURPOSES = {"hair": 1, "expressions": 2, "samples": 3, "scan": 4, "variation": 5, "crossing": 6, "combing": 7}


@cache
def frozen() -> dict:
    """The frozen generator settings: seeds, streams, hair and expression shares (``frozen.json``)."""
    return json.loads((files("headfield.synth") / "frozen.json").read_text())


@dataclass(frozen=True)
class IdentityKey:
    """Names one identity of the synthetic population.

    Attributes:
        family: ``ict`` or ``anny``.
        split: ``train``, ``dev`` or ``test``.
        index: Number within family and split, from 0.
        seed: The population's seed.
    """

    family: str
    split: str
    index: int
    seed: int

    @property
    def id(self) -> str:
        """Name such as ``ict-train-00012``."""
        return f"{self.family}-{self.split}-{self.index:05d}"

    @property
    def stream(self) -> int:
        """The frozen random stream of family and split.

        Raises:
            ConfigError: There is none.
        """
        try:
            return frozen()["streams"][self.family][self.split]
        except KeyError:
            raise ConfigError(
                f"No identity stream for family {self.family!r}, split {self.split!r}: families are "
                f"{', '.join(frozen()['streams'])}, splits are {', '.join(SPLITS)}."
            ) from None

    def rng(self, purpose: str | None = None) -> np.random.Generator:
        """A generator of this identity: for the identity vector itself (None) or a purpose of its own."""
        words = [self.seed, self.stream, self.index]
        return np.random.default_rng(words if purpose is None else [*words, _PURPOSES[purpose]])

    def draw(self, head) -> np.ndarray:
        """The identity vector from the family: ICT's is ``standard_normal(100)`` clamped to 3."""
        return head.draw_identity(self.rng())


def identity_keys(family: str, split: str, count: int, seed: int | None = None) -> list[IdentityKey]:
    """The first `count` identities of a family (``ict``, ``anny`` or ``mix``: half of each) and split.

    Args:
        family: ``ict``, ``anny`` or ``mix``.
        split: ``train``, ``dev``, ``test``, or ``all`` for 80, 10 and 10 % (at least one each).
        count: How many in all.
        seed: Of the population; None = the frozen one.
    Raises:
        ConfigError: Unknown family or split, or no identities.
    """
    if family not in (*FAMILIES, "mix"):
        raise ConfigError(f"Unknown family {family!r}: choose ict, anny or mix.")
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"Unknown split {split!r}: choose {', '.join(SPLITS)} or all.")
    if count < 1:
        raise ConfigError(f"{count} identities asked for, at least 1 needed.")
    seed = frozen()["seed"] if seed is None else seed
    if split == "all":
        held_out = max(1, round(0.1 * count))
        if count < 3:
            raise ConfigError("split all needs at least 3 identities, one for each of train, dev and test.")
        counts = {"train": count - 2 * held_out, "dev": held_out, "test": held_out}
    else:
        counts = {split: count}
    keys = []
    for name, number in counts.items():
        shares = {"ict": (number + 1) // 2, "anny": number // 2} if family == "mix" else {family: number}
        keys += [IdentityKey(of, name, index, seed) for of, share in shares.items() for index in range(share)]
    # families in turn: a run that is stopped early is as mixed as a whole one
    return sorted(keys, key=lambda key: (SPLITS.index(key.split), key.index, FAMILIES.index(key.family)))
