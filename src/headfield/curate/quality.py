"""What the quality record of a scan says, and the reasons it may give against one; `measures` makes it."""

from __future__ import annotations

from dataclasses import dataclass

from headfield.curate.options import QualityLimits


@dataclass(frozen=True)
class Number:
    """One number of the quality record.

    Attributes:
        title: What it is.
        unit: ``mm``, or ``%`` of a share.
        limit: Field of :class:`QualityLimits` that judges it, or empty.
        least: Whether the limit is the least that will do, not the most.
        complaint: What is wrong beyond the limit; ``{}`` stands for the number.
    """

    title: str
    unit: str
    limit: str = ""
    least: bool = False
    complaint: str = ""

    def text(self, value: float, digits: int = 2) -> str:
        """The value with its unit."""
        return f"{100 * value:.{digits}g} %" if self.unit == "%" else f"{value:.{digits}f} mm"


NUMBERS = {
    "error_mm": Number(
        "scan to registered template, median", "mm", "max_error", complaint="the template is {} from the scan"
    ),
    "error_p90_mm": Number("scan to registered template, 90th percentile", "mm"),
    "complete_mm": Number("scan to completed mesh, median", "mm"),
    "landmark_residual_mm": Number(
        "landmarks, views against each other", "mm", "max_landmark_residual",
        complaint="the views disagree about the landmarks by {}",
    ),
    "coverage": Number(
        "share of the face that was seen", "%", "min_coverage", least=True, complaint="only {} of the face was seen"
    ),
    "coverage_head": Number("share of the whole head that was seen", "%"),
    "self_intersections": Number(
        "triangles that pierce each other", "%", "max_self_intersections",
        complaint="{} of the template's triangles pierce each other",
    ),
    "inverted": Number(
        "inverted triangles", "%", "max_inverted", complaint="{} of the template's triangles are turned over"
    ),
}  # fmt: skip
"""The quality record of a scan by name, in the report's order."""


def reasons_against(facts: dict, limits: QualityLimits) -> list[str]:
    """Why a scan is not good enough, one clause each; empty when it is.

    Args:
        facts: Numbers by the names of `NUMBERS`; a missing one is not judged.
        limits: The limits.
    """
    found = []
    for name, number in NUMBERS.items():
        if not number.limit or facts.get(name) is None:
            continue
        limit, value = getattr(limits, number.limit), facts[name]
        if not (value >= limit if number.least else value <= limit):
            found.append(f"{number.complaint.format(number.text(value))} (limit {number.text(limit)})")
    return found
