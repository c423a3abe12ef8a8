"""What a test is: which heads, how scanned, what is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headfield.errors import ConfigError
from headfield.evaluate.observe import FULL, ScanKind
from headfield.synth.captures import people
from headfield.synth.identities import frozen

METHODS = {
    "ours": "fit",
    "mean": "mean head (z = 0)",
    "pca": "PCA, same training heads",
    "local_pca": "local PCA, same training heads",
}
"""Everything is measured beside the fit with trivial answers to the same points; tests of one scan have them all."""


Kind = Literal[
    "scan", "several", "disentangled", "outsiders", "placement", "capture", "real", "drawn", "specificity",
    "compactness", "carried", "timed",
]  # fmt: skip

UNPICTURED = ("drawn", "specificity", "compactness", "carried", "timed")
"""Kinds whose cases leave nothing to picture: no scan, no fit of one, or scans of their own making."""


@dataclass(frozen=True)
class Column:
    """One number of a protocol.

    Attributes:
        name: Key in results.
        title: What the table says.
        reach: The goal: an upper limit on the mean, or, for shares, a limit on the share of heads.
        share: The number is 0 or 1 per head and the table gives its mean as a share.
        at_least: More is better.
        statistic: What of it is to reach the goal: ``mean``, ``median`` or ``p90``.
    """

    name: str
    title: str
    reach: float | None = None
    share: bool = False
    at_least: bool = False
    statistic: Literal["mean", "median", "p90"] = "mean"


@dataclass(frozen=True)
class Protocol:
    """One test.

    Attributes:
        name: For the command line.
        title: One line.
        people: (family, how many in the test split).
        columns: What is measured; the first one orders the heads from best to worst.
        kind: How a case is run: ``scan``, ``several``, ``disentangled``, ``outsiders``, ``placement``, ``capture``,
            ``real``, or without any scan ``drawn`` (heads of the model's own, edited) and ``specificity`` (the same,
            compared with those that it was trained on); of ``compactness`` the code has few directions, of
            ``carried`` points are carried from fit to fit, of ``timed`` the seconds count.
        hair: ``bald``, ``drawn`` or ``all``, see `truth.frozen_person`.
        scan: How heads are scanned; placement alternates the first with the second.
        pose: ``neutral``, ``drawn`` (the person's own random expressions; of captures, the table's poses), ``smile``,
            or of captures ``acted`` (emotions and visemes only).
        expression: What the fit is told: ``neutral`` (known to be), ``auto`` or ``fit``.
        capture: Kind of the captures, see `headfield.synth.captures`.
        rest: A second capture of the person, with a still face, is given as well and said to be neutral.
        scans: How many scans of one person a case of kind ``several`` has, each with an expression of its own.
        level: Where the test stands on its sweep's axis, NaN of a test that stands alone.
    """

    name: str
    title: str
    people: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    kind: Kind = "scan"
    hair: str = "bald"
    scan: tuple[ScanKind, ...] = (FULL,)
    pose: str = "neutral"
    expression: str = "neutral"
    capture: str = ""
    rest: bool = False
    scans: int = 1
    level: float = float("nan")

    @property
    def pictured(self) -> bool:
        """Whether a case leaves a scan and a fit that can be shown."""
        return self.kind not in UNPICTURED

    def cases(self, split: str, limit: int | None = None) -> list[tuple[str, int]]:
        """(family, index) of the split's heads, families in turn.

        Raises:
            ConfigError: Unknown split.
        """
        if split not in ("dev", "test"):
            raise ConfigError(f"--split {split!r}: choose dev (to tune on) or test (public, run last).")
        counts = {}
        for name, count in self.people:
            held = frozen()["released_counts"].get(name, {}).get(split, count)
            if self.kind == "capture" or name == "rocketbox":
                held = people(self.capture, split)[name]
            counts[name] = min(count, held)
        rows = max(counts.values())
        listed = [(name, index) for index in range(rows) for name, count in counts.items() if index < count]
        return listed[:limit]
