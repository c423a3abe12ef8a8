"""Where a head is in a scan: the answer, its unit and size, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from headfield.fit.mean_field import MeanField
from headfield.frames import METRES_PER_UNIT, MM_PER_UNIT, UNITS_IN_METRES
from headfield.neighbours import PointTree
from headfield.types import Similarity

SIZE_MEAN, SIZE_SD = -0.03, 0.10
"""Log-size of heads relative to the reference adult, children to adults, when a model's prior does not say."""


@dataclass(frozen=True)
class Placement:
    """One answer to where the head is.

    Attributes:
        similarity: Scan frame and unit -> model frame.
        units: ``mm``, ``cm``, ``m``, ``inch``, or ``free`` when no unit explains the size.
        size_log: Log of head size relative to the reference adult; 0 when free.
        score: Lower is better; comparable among the placements of one scan.
        evidence: Numbers behind the score: ``inliers`` (share of points within 5 mm of the mean head),
            ``coverage`` (share of the mean head that the scan covers), ``contradiction`` (share of the mean head
            that the scan should have seen but did not), ``cost``.
        component: Which mean head of the prior (hair class) it was found with; 0 is that of all heads.
    """

    similarity: Similarity
    units: str
    size_log: float
    score: float
    evidence: dict[str, float] = field(default_factory=dict)
    component: int = 0


@dataclass(frozen=True)
class PlacementOptions:
    """How the search is done."""

    units: str | None = None
    """Unit of the scan when known: mm, cm, m or inch."""
    up: str | None = None
    """Scan axis that points to the crown when known: x, y, z, -x, -y or -z."""
    rotations: int = 576
    """Size of the rotation grid; 576 is about 30 degrees."""
    candidates: int = 5
    """How many distinct answers to return."""
    points: int = 3000
    """Points kept for the search."""
    size_mean: float = SIZE_MEAN
    """Mean log-size of heads."""
    size_sd: float = SIZE_SD
    """Standard deviation of log-size."""
    seed: int = 0
    """Seed of the thinning."""


def similarity_of_size(units: str, size_log: float) -> float:
    """Scale (model units per scan unit) of a head of a log-size in a file of a unit."""
    metres = UNITS_IN_METRES[units]
    return metres / METRES_PER_UNIT * float(np.exp(-size_log))


def size_log_of(scale: float, units: str) -> float:
    """Log-size of a head (0 is the reference adult) from the scale of its similarity; 0 for free units."""
    if units not in UNITS_IN_METRES:
        return 0.0
    return float(-np.log(scale * METRES_PER_UNIT / UNITS_IN_METRES[units]))


def millimetres_per_unit(scale: float, units: str) -> float:
    """True millimetres of one model unit on this head; an average adult's when the unit is free."""
    if units not in UNITS_IN_METRES:
        return MM_PER_UNIT
    return UNITS_IN_METRES[units] * 1000.0 / scale


def unit_of(scale: float, size_mean: float, size_sd: float) -> str:
    """The unit in which a similarity's scale makes the likeliest head, ``free`` when none makes any (4 deviations)."""
    away = {name: abs(size_log_of(scale, name) - size_mean) / size_sd for name in UNITS_IN_METRES}
    best = min(away, key=away.__getitem__)
    return best if away[best] < 4.0 else "free"


def score(evidence: dict[str, float], size_away: float) -> float:
    """Cost of a placement from its evidence and how far its size is from what heads have (in standard deviations).

    Everything is counted on the head's surface, not as a share of the scan: a scan shrunk to nothing fits anywhere.
    """
    return evidence["cost"] + 0.5 * evidence["contradiction"] + 0.01 * float(size_away) ** 2


def look_back(similarity: Similarity, points: np.ndarray, field_: MeanField) -> dict[str, float]:
    """What the mean head says about the scan: is its surface covered, and where it is not, could it have been seen?

    A surface point contradicts the scan when it would stand in front of what was seen: looking along the scan's
    mean outward direction, points lie behind it, none on it.

    Args:
        similarity: Points -> model frame.
        points: (P, 3) scan points.
        field_: The mean head.
    Returns:
        ``inliers``, ``coverage``, ``contradiction``, shares in [0, 1].
    """
    placed = similarity.apply(points)
    distance, gradient = (part.double().numpy() for part in field_.lookup(torch.from_numpy(placed.astype(np.float32))))
    near = np.abs(distance) < 0.02
    above = placed @ field_.cut[:3] + field_.cut[3] > 0
    around = (np.abs(distance) < 0.12) & above
    gap = PointTree(placed).query(field_.surface)[0]
    covered = gap < 0.06
    square = distance[around] ** 2
    evidence = {
        "inliers": float(near.sum() / max(1, around.sum())),
        "coverage": float(covered.mean()),
        "support": float((0.04**2 / (gap**2 + 0.04**2)).mean()),
        "misfit": float((square / (square + 0.03**2)).mean()) if around.any() else 1.0,
        "inside": float((distance < -0.04).mean()),
        "contradiction": 0.0,
    }
    if near.sum() < 10:
        return evidence
    view = gradient[near].mean(0)
    one_sided = float(np.linalg.norm(view))
    if one_sided < 0.25:
        return evidence
    view = view / one_sided
    facing = (field_.normals @ view > 0.3) & ~covered
    if facing.any():
        # orthographic along the mean outward direction: neighbours in the image plane, depth along it
        basis = np.linalg.svd(view[None])[2][1:]
        tree = PointTree(placed @ basis.T)
        beside, at = tree.query(field_.surface[facing] @ basis.T, k=4)
        behind = (field_.surface[facing] @ view)[:, None] - (placed @ view)[at]
        seen_through = (beside < 0.06).all(1) & (np.median(behind, axis=1) > 0.08)
        evidence["contradiction"] = float(seen_through.sum() / max(1, (field_.normals @ view > 0.3).sum()))
    return evidence
