"""How far a fit can be believed, in one word, with the reasons and what to try.

Every kind of doubt is one measure of the evidence with two limits: beyond the first the fit is ``fair``, beyond the
second ``poor``. The worst of them is the verdict, so a measure that gets worse never makes it better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headfield.errors import present
from headfield.fit.evidence import NO_FACE
from headfield.fit.placement import size_log_of
from headfield.frames import UNITS_IN_METRES
from headfield.models.prior import Prior
from headfield.types import Similarity

LEVELS = ("good", "fair", "poor")
"""From the best to the worst."""


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of a fit.

    Attributes:
        level: ``good``, ``fair`` or ``poor``; ``unknown`` of a fit that an older version wrote.
        reasons: What speaks against it, worst first, in words; empty when it is good.
        advice: What to try, one sentence each.
    """

    level: str
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.level + (f": {'; '.join(self.reasons)}" if self.reasons else "")

    @property
    def headline(self) -> str:
        """The level and the first reason, for a picture's title."""
        return f"verdict: {self.level}" + (f" ({self.reasons[0]})" if self.reasons else "")

    @property
    def in_full(self) -> str:
        """Level, reasons and advice, for a table."""
        return " ".join([f"{self}." if self.reasons else self.level, *self.advice])

    def to_dict(self) -> dict[str, Any]:
        """Plain strings and lists, as in ``fit.json``."""
        return {"level": self.level, "reasons": list(self.reasons), "advice": list(self.advice)}

    @staticmethod
    def of(content: Mapping[str, Any] | None) -> Verdict:
        """The verdict from what :meth:`to_dict` made; None gives ``unknown``."""
        if content is None:
            return Verdict("unknown")
        return Verdict(str(content["level"]), tuple(content["reasons"]), tuple(content["advice"]))


@dataclass(frozen=True)
class _Doubt:
    """One measure, its limits, and the words for it.

    Attributes:
        key: Of the evidence; a fit without it (an older one) is not doubted for it.
        fair, poor: Limits; None where this alone is never so bad.
        words: The reason, with ``{value}`` and ``{usual}``.
        advice: What to try.
        above: Whether large values are the bad ones.
        scale: Of the value in the words (100 for percent).
        face: Whether it asks about the face's surface and so needs a face that is seen.
    """

    key: str
    fair: float | None
    poor: float | None
    words: str
    advice: str
    above: bool = True
    scale: float = 1.0
    face: bool = False

    def grade(self, evidence: Mapping[str, float]) -> int:
        """0 good, 1 fair, 2 poor."""
        value = evidence.get(self.key)
        if value is None or (self.face and evidence.get("covered_face", 1.0) < NO_FACE):
            return 0
        if self.key == "face_explained" and evidence["face_detail_mm"] < SMOOTH_MM:
            return 0  # there is none: said already
        beyond = [limit is not None and (value > limit if self.above else value < limit) for limit in self.limits]
        return 2 if beyond[1] else int(beyond[0])

    @property
    def limits(self) -> tuple[float | None, float | None]:
        return self.fair, self.poor

    def reason(self, evidence: Mapping[str, float]) -> str:
        usual = present(self.fair if self.fair is not None else self.poor, "a limit")
        return self.words.format(value=self.scale * max(0.0, evidence[self.key]), usual=self.scale * usual)


SMOOTH_MM = 0.4
"""Below this detail (root mean square) there is no face where it should be."""

_PLACE = "Say where the head is: --landmarks file.json, --up or --units; or crop the scan to the head."
_SCAN = "Scan again with the whole face in view, or give a second scan of the same person."

DOUBTS = (
    _Doubt(
        "covered_face", 0.75, NO_FACE, "{value:.0f} % of the face is in the scan (usually above {usual:.0f} %)",
        _SCAN, above=False, scale=100.0,
    ),
    _Doubt(
        "face_detail_mm", None, SMOOTH_MM,
        "no face: where it should be the scan is smooth, detail {value:.2f} mm (faces: above {usual:.1f} mm)",
        "Check that the scan shows a face and that it was not smoothed away.", above=False, face=True,
    ),
    _Doubt(
        "face_explained", 0.8, 0.6, "{value:.0f} % of the face's detail is explained (usually above {usual:.0f} %)",
        _PLACE, above=False, scale=100.0, face=True,
    ),
    _Doubt(
        "face_mm", 0.7, 1.4, "the face lies {value:.1f} mm from the scan (usually below {usual:.1f} mm)", _PLACE,
        face=True,
    ),
    _Doubt(
        "face_rejected", 0.2, 0.4, "{value:.0f} % of the face is not explained at all (usually below {usual:.0f} %)",
        "Crop what is in front of the face: hands, glasses, a microphone.", scale=100.0, face=True,
    ),
    _Doubt(
        "median_mm", 1.2, 2.5, "the head lies {value:.1f} mm from the scan (usually below {usual:.1f} mm)", _PLACE,
    ),
    _Doubt(
        "inliers", 0.75, 0.6, "{value:.0f} % of the points around the head are explained (usually above {usual:.0f} %)",
        _PLACE, above=False, scale=100.0,
    ),
    _Doubt(
        "deviation", 1.5, 2.0, "its shape is {value:.1f} standard deviations off (usually below {usual:.1f})",
        "Look at the preview: an unusual head, or none.",
    ),
    _Doubt(
        "size_away", 3.0, 4.0, "its size is {value:.1f} standard deviations from what heads have",
        "Check the unit: --units mm, cm, m or inch.",
    ),
    _Doubt(
        "expression_nats", 45.0, None, "its expression is one that faces hardly make ({value:.0f} nats, usually below "
        "{usual:.0f})", "Say which scan is neutral (--neutral-scan), or give a neutral one as well.",
    ),
    _Doubt(
        "free_size", 0.5, None, "no unit explains its size, which was left free",
        "Say the unit (--units) or scale the scan; distances in millimetres assume an adult.",
    ),
    _Doubt(
        "search_landmark_residual_units", 0.06, 0.12, "the landmarks do not fit a head: {value:.0f} mm off on average",
        "Check the landmarks' names (left is the subject's left) and places.", scale=250.0,
    ),
    _Doubt(
        "search_rivalry", 0.8, None, "another placement explains nearly as much ({value:.0f} % of this one's)", _PLACE,
        scale=100.0,
    ),
)  # fmt: skip
"""All doubts; limits set on dev heads and on forced failures (benchmarks/verdict.py)."""


def verdict_of(evidence: Mapping[str, float]) -> Verdict:
    """The verdict on a fit from its evidence.

    Args:
        evidence: As :func:`headfield.fit.evidence.evidence_of` and the search leave it in ``Fit.evidence``.
    """
    graded = sorted(((doubt.grade(evidence), doubt) for doubt in DOUBTS), key=lambda pair: -pair[0])
    found = [(grade, doubt) for grade, doubt in graded if grade]
    if not found:
        return Verdict("good")
    return Verdict(
        LEVELS[found[0][0]],
        tuple(_without_face(doubt, evidence) for _, doubt in found),
        tuple(dict.fromkeys(doubt.advice for _, doubt in found)),
    )


def _without_face(doubt: _Doubt, evidence: Mapping[str, float]) -> str:
    reason = doubt.reason(evidence)
    if doubt.key == "covered_face" and evidence["covered_face"] < NO_FACE:
        return f"no face is seen: {reason}; the face of this head is invented"
    return reason


def facts_of_size(similarity: Similarity, units: str, prior: Prior) -> dict[str, float]:
    """What a placement says of the head's size: ``size_away`` (standard deviations from what heads have), ``free_size``
    (1 when no unit explains it)."""
    if units not in UNITS_IN_METRES:
        return {"size_away": 0.0, "free_size": 1.0}
    away = abs(size_log_of(similarity.scale, units) - float(prior.size_mean)) / float(prior.size_sd)
    return {"size_away": float(away), "free_size": 0.0}


def worst(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a fit of several scans: the worst level, all reasons and advice."""
    if len(verdicts) == 1:
        return verdicts[0]
    level = max((one.level for one in verdicts), key=LEVELS.index)
    reasons = [f"scan {number}: {reason}" for number, one in enumerate(verdicts, 1) for reason in one.reasons]
    return Verdict(level, tuple(reasons), tuple(dict.fromkeys(text for one in verdicts for text in one.advice)))
