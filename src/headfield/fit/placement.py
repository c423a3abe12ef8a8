"""Where the head is in a scan, from nothing: unit, rotation, translation and size.

Unit hypotheses weighted by the prior on head sizes x a grid of rotations x three starts each are scored and refined
together on the mean head's distance grid, coarse to fine, and pruned; see :mod:`headfield.fit.pose`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.spatial import cKDTree

from headfield.errors import ConfigError, ScanError
from headfield.fit.clean import clean
from headfield.fit.mean_field import MeanField
from headfield.fit.pose import Poses, distinct, join, refine, starts, super_fibonacci, two_way_cost
from headfield.fit.scan_field import build_scan_field
from headfield.frames import METRES_PER_UNIT, MM_PER_UNIT, UNITS_IN_METRES
from headfield.types import Scan, Similarity

SIZE_MEAN, SIZE_SD = -0.03, 0.10
"""Log-size of heads relative to the reference adult, children to adults, when a model's prior does not say."""

_COARSE = [0.16, 0.14, 0.12]
_MIDDLE = [0.10, 0.09, 0.08, 0.08]
_FINE = [0.07, 0.06, 0.05, 0.045, 0.04, 0.04]
_FINAL = [0.035, 0.03, 0.025, 0.025, 0.02, 0.02]
"""Geman-McClure scales of the four stages, model units (0.02 is 5 mm)."""


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
    """

    similarity: Similarity
    units: str
    size_log: float
    score: float
    evidence: dict[str, float] = field(default_factory=dict)


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


def units_for_extent(extent: float) -> list[str]:
    """Units in which a body of this extent (scan units, robust diagonal) may hold a head: 0.13 to 3.5 m."""
    return [name for name, metres in UNITS_IN_METRES.items() if 0.13 <= extent * metres <= 3.5]


def place(scan: Scan, field_: MeanField, options: PlacementOptions = PlacementOptions()) -> list[Placement]:
    """Find the head in a scan.

    Args:
        scan: Points in any frame and unit; the head may be partial, with shoulders and strays.
        field_: The mean head.
        options: What is known, and how hard to look.
    Returns:
        Distinct placements, best first; at least one.
    Raises:
        ScanError: Fewer than 30 distinct points.
        ConfigError: Unknown unit or axis.
    """
    _check(options)
    known = options.units or scan.units
    cleaned = clean(scan.points, options.points, options.seed)
    chosen = np.asarray(scan.points, dtype=float)[cleaned.index]
    distinct_points = len(np.unique(chosen, axis=0))
    if distinct_points < 30:
        raise ScanError(
            f"{scan.name}: {distinct_points} distinct points after clean-up; a head needs at least a few hundred."
        )
    centre = np.median(chosen, axis=0)
    low, high = np.percentile(chosen, [2, 98], axis=0)
    extent = max(float(np.linalg.norm(high - low)), 1e-12)
    unit_points = torch.from_numpy(((chosen - centre) / extent).astype(np.float32))
    rotations = _rotations(options)

    names = [known] if known else units_for_extent(extent)
    hypotheses = [(name, similarity_of_size(name, options.size_mean)) for name in names]
    found: list[Placement] = []
    bodies = [torch.from_numpy(np.flatnonzero(cleaned.body == k)) for k in range(min(cleaned.bodies, 3))]
    if cleaned.bodies > 1:
        bodies.append(torch.arange(len(chosen)))
    context = (unit_points, bodies, centre, extent, rotations, field_, options)
    if hypotheses:
        found = _search(hypotheses, options.size_sd, *context)
    if not known and (not found or not _explains(found[0], options)):
        free = [("free", scale / extent) for scale in (0.8, 1.15, 1.6, 2.3, 3.3)]
        found = sorted(found + _search(free, 0.35, *context), key=lambda placement: placement.score)
    return found[: options.candidates]


def _explains(placement: Placement, options: PlacementOptions) -> bool:
    """Whether a unit's best placement leaves no reason to free the size."""
    away = abs(placement.size_log - options.size_mean) / options.size_sd
    return away < 3.0 and placement.evidence["cost"] < -0.15


def _check(options: PlacementOptions) -> None:
    if options.units is not None and options.units not in UNITS_IN_METRES:
        raise ConfigError(f"unknown unit {options.units!r}: expected one of {', '.join(UNITS_IN_METRES)}.")
    if options.up is not None and options.up.lower() not in ("x", "y", "z", "-x", "-y", "-z"):
        raise ConfigError(f"unknown up axis {options.up!r}: expected x, y, z, -x, -y or -z.")


def _rotations(options: PlacementOptions) -> torch.Tensor:
    """The rotation grid; with a known up axis, turns about it with small tilts."""
    if options.up is None:
        return super_fibonacci(options.rotations)
    sign = -1.0 if options.up.startswith("-") else 1.0
    up = np.zeros(3)
    up["xyz".index(options.up[-1].lower())] = sign
    other = np.roll(up, 1)
    base = np.stack([other, up, np.cross(other, up)])  # scan -> a frame whose y is up
    turns = []
    for azimuth in np.arange(24) * (2 * np.pi / 24):
        for tilt, roll in ((0, 0), (0.35, 0), (-0.35, 0), (0, 0.3), (0, -0.3)):
            c, s = np.cos(azimuth), np.sin(azimuth)
            about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
            c, s = np.cos(tilt), np.sin(tilt)
            about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
            c, s = np.cos(roll), np.sin(roll)
            about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            turns.append(about_z @ about_x @ about_y @ base)
    return torch.from_numpy(np.stack(turns)).float()


def _search(
    hypotheses: list[tuple[str, float]],
    size_sd: float,
    points: torch.Tensor,
    bodies: list[torch.Tensor],
    centre: np.ndarray,
    extent: float,
    rotations: torch.Tensor,
    field_: MeanField,
    options: PlacementOptions,
) -> list[Placement]:
    """Coarse-to-fine search over rotations x sizes x starts."""
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(points), generator=generator)
    log_scales = torch.tensor([np.log(scale * extent) for _, scale in hypotheses], dtype=torch.float32)
    scan_field = build_scan_field(points.numpy())
    surface = torch.from_numpy(field_.surface.astype(np.float32))

    def cost_of(poses: Poses, count: int, width: float) -> torch.Tensor:
        return two_way_cost(poses, points[order[:count]], surface[:count], field_, scan_field, width)

    with torch.inference_mode():
        poses = join([starts(_some(points[body], 300), rotations, log_scales, field_, size_sd) for body in bodies])
        poses = poses.take(_share(cost_of(poses, 160, 0.12), poses.unit, 0.1))
        poses = refine(poses, points[order[:160]], field_, _COARSE, size_sd, free_size=False)
        poses = poses.take(_share(cost_of(poses, 160, 0.08), poses.unit, 0.3))
        poses = refine(poses, points[order[:300]], field_, _MIDDLE, size_sd)
        poses = poses.take(distinct(poses, cost_of(poses, 300, 0.05), 24 * len(hypotheses)))
        poses = refine(poses, points[order[:800]], field_, _FINE, size_sd)
        poses = poses.take(distinct(poses, cost_of(poses, 800, 0.04), 3 * options.candidates))
        poses = refine(poses, points, field_, _FINAL, size_sd)
        cost = cost_of(poses, len(points), 0.04)
        keep = distinct(poses, cost, 2 * options.candidates)
        poses, cost = poses.take(keep), cost[keep]
    answers = []
    for index in range(len(keep)):
        name = hypotheses[int(poses.unit[index])][0]
        inner = poses.similarity(index)
        outer = Similarity(np.eye(3), -centre / extent, 1.0 / extent)
        similarity = inner.after(outer)
        evidence = look_back(inner, points.double().numpy(), field_)
        evidence["cost"] = float(cost[index])
        size_log = size_log_of(similarity.scale, name)
        expected = float(poses.log_scale_prior[index])
        away = (float(poses.log_scale[index]) - expected) / size_sd
        answers.append(Placement(similarity, name, size_log, score(evidence, away), evidence))
    return sorted(answers, key=lambda placement: placement.score)


def _some(points: torch.Tensor, count: int) -> torch.Tensor:
    """About `count` of the points, evenly through their order."""
    return points[:: max(1, len(points) // count)]


def _share(cost: torch.Tensor, unit: torch.Tensor, share: float) -> torch.Tensor:
    """Indices of the cheapest share of the poses of every size hypothesis: sizes compete only when refined."""
    kept = []
    for hypothesis in unit.unique():
        members = torch.nonzero(unit == hypothesis)[:, 0]
        count = max(8, int(share * len(members)))
        kept.append(members[torch.argsort(cost[members], stable=True)[:count]])
    return torch.cat(kept)


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
    gap = cKDTree(placed).query(field_.surface)[0]
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
        tree = cKDTree(placed @ basis.T)
        beside, at = tree.query(field_.surface[facing] @ basis.T, k=4)
        behind = (field_.surface[facing] @ view)[:, None] - (placed @ view)[at]
        seen_through = (beside < 0.06).all(1) & (np.median(behind, axis=1) > 0.08)
        evidence["contradiction"] = float(seen_through.sum() / max(1, (field_.normals @ view > 0.3).sum()))
    return evidence
