"""The search for a head, from nothing: unit, rotation, translation and size.

Unit hypotheses weighted by the prior on head sizes x a grid of rotations x three starts each are scored and refined
together on the mean head's distance grid, coarse to fine, and pruned; see :mod:`headfield.fit.pose`. What is left is
refined on the mean heads of the prior's hair classes too: a head under long hair looks little like the mean of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from headfield.errors import ConfigError, ScanError
from headfield.fit.clean import clean
from headfield.fit.mean_field import MeanField
from headfield.fit.placement import Placement, PlacementOptions, look_back, score, similarity_of_size, size_log_of
from headfield.fit.pose import Poses, distinct, join, refine, starts, super_fibonacci, two_way_cost
from headfield.fit.scan_field import ScanField, build_scan_field
from headfield.frames import UNITS_IN_METRES
from headfield.types import Scan, Similarity

_COARSE = [0.16, 0.14, 0.12]
_MIDDLE = [0.10, 0.09, 0.08, 0.08]
_FINE = [0.07, 0.06, 0.05, 0.045, 0.04, 0.04]
_FINAL = [0.035, 0.03, 0.025, 0.025, 0.02, 0.02]
_CLASS = [0.06, 0.05, 0.04, 0.035, 0.03, 0.03]
"""Geman-McClure scales of the stages, model units (0.02 is 5 mm)."""

_LIKE_THE_MEAN = 0.12
"""A misfit below this needs no other mean head than that of all."""

_WIDTH = 0.04
"""Width of the final two-way cost, model units."""


@dataclass(frozen=True)
class _Problem:
    """What the stages of one search share.

    Attributes:
        points: (P, 3) float32, centred on the scan and divided by its extent.
        order: (P,) random order of the points; a prefix is a fair sample.
        bodies: Index tensors: the separate bodies, and all of them.
        outer: Scan frame -> the points' frame.
        scan: Distance grid of the points.
        rotations: (R, 3, 3) grid.
    """

    points: torch.Tensor
    order: torch.Tensor
    bodies: list[torch.Tensor]
    outer: Similarity
    scan: ScanField
    rotations: torch.Tensor

    def cost(self, poses: Poses, field: MeanField, count: int, width: float) -> torch.Tensor:
        """Two-way cost (H,) on `count` points either way."""
        surface = torch.from_numpy(field.surface[:count].astype(np.float32))
        return two_way_cost(poses, self.points[self.order[:count]], surface, field, self.scan, width)


def place(
    scan: Scan,
    field: MeanField,
    options: PlacementOptions | None = None,
    classes: Sequence[Callable[[], MeanField]] = (),
) -> list[Placement]:
    """Find the head in a scan.

    Args:
        scan: Points in any frame and unit; the head may be partial, with shoulders and strays.
        field: The mean head.
        options: What is known, and how hard to look.
        classes: Makers of the mean heads of the prior's other components, called when the mean of all fits badly.
    Returns:
        Distinct placements, best first; at least one.
    Raises:
        ScanError: Fewer than 30 distinct points.
        ConfigError: Unknown unit or axis.
    """
    options = options or PlacementOptions()
    _check(options)
    known = options.units or scan.units
    problem, extent = _problem(scan, options)
    names = [known] if known else units_for_extent(extent)
    hypotheses = [(name, similarity_of_size(name, options.size_mean)) for name in names]
    found: list[Placement] = []
    if hypotheses:
        found = _search(hypotheses, options.size_sd, problem, field, options, classes)
    if not known and (not found or not _explains(found[0], options)):
        free = [("free", scale / extent) for scale in (0.8, 1.15, 1.6, 2.3, 3.3)]
        found += _search(free, 0.35, problem, field, options, classes)
    return sorted(found, key=lambda placement: placement.score)[: options.candidates]


def units_for_extent(extent: float) -> list[str]:
    """Units in which a body of this extent (scan units, robust diagonal) may hold a head: 0.13 to 3.5 m."""
    return [name for name, metres in UNITS_IN_METRES.items() if 0.13 <= extent * metres <= 3.5]


def _explains(placement: Placement, options: PlacementOptions) -> bool:
    """Whether a unit's best placement leaves no reason to free the size."""
    away = abs(placement.size_log - options.size_mean) / options.size_sd
    return away < 3.0 and placement.evidence["cost"] < -0.15


def _problem(scan: Scan, options: PlacementOptions) -> tuple[_Problem, float]:
    """The search's view of a scan, and the scan's extent in its own unit."""
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
    points = ((chosen - centre) / extent).astype(np.float32)
    bodies = [torch.from_numpy(np.flatnonzero(cleaned.body == k)) for k in range(min(cleaned.bodies, 3))]
    if cleaned.bodies > 1:
        bodies.append(torch.arange(len(chosen)))
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(options.seed))
    outer = Similarity(np.eye(3), -centre / extent, 1.0 / extent)
    rotations = _rotations(options)
    return _Problem(torch.from_numpy(points), order, bodies, outer, build_scan_field(points), rotations), extent


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
    problem: _Problem,
    field: MeanField,
    options: PlacementOptions,
    classes: Sequence[Callable[[], MeanField]],
) -> list[Placement]:
    """Coarse-to-fine search over rotations x sizes x starts."""
    points, order = problem.points, problem.order
    extent = 1.0 / problem.outer.scale
    log_scales = torch.tensor([np.log(scale * extent) for _, scale in hypotheses], dtype=torch.float32)
    with torch.inference_mode():
        rotations = problem.rotations
        poses = join(
            [starts(_some(points[body], 300), rotations, log_scales, field, size_sd) for body in problem.bodies]
        )
        poses = poses.take(_share(problem.cost(poses, field, 160, 0.12), poses.unit, 0.1))
        poses = refine(poses, points[order[:160]], field, _COARSE, size_sd, free_size=False)
        poses = poses.take(_share(problem.cost(poses, field, 160, 0.08), poses.unit, 0.3))
        poses = refine(poses, points[order[:300]], field, _MIDDLE, size_sd)
        poses = poses.take(distinct(poses, problem.cost(poses, field, 300, 0.05), 24 * len(hypotheses)))
        poses = refine(poses, points[order[:800]], field, _FINE, size_sd)
        poses = poses.take(distinct(poses, problem.cost(poses, field, 800, _WIDTH), 20))
        best = refine(poses, points, field, _FINAL, size_sd)
        cost = problem.cost(best, field, len(points), _WIDTH)
        answers = _answers(best, cost, 0, hypotheses, size_sd, problem, field, options)
    if answers[0].evidence["misfit"] < _LIKE_THE_MEAN:
        return answers
    for component, make in enumerate(classes, 1):
        other = make()
        with torch.inference_mode():
            refined = refine(poses, points[order[:1200]], other, _CLASS, size_sd)
            cost = problem.cost(refined, other, 1200, _WIDTH)
            answers += _answers(refined, cost, component, hypotheses, size_sd, problem, other, options)
    return _best_of_classes(sorted(answers, key=lambda placement: placement.score))


def _answers(
    poses: Poses,
    cost: torch.Tensor,
    component: int,
    hypotheses: list[tuple[str, float]],
    size_sd: float,
    problem: _Problem,
    field: MeanField,
    options: PlacementOptions,
) -> list[Placement]:
    """Distinct placements with their evidence, best first."""
    answers = []
    for index in distinct(poses, cost, options.candidates + 1).tolist():
        name = hypotheses[int(poses.unit[index])][0]
        inner = poses.similarity(index)
        similarity = inner.after(problem.outer)
        evidence = look_back(inner, problem.points.double().numpy(), field)
        evidence["cost"] = float(cost[index])
        away = (float(poses.log_scale[index]) - float(poses.log_scale_prior[index])) / size_sd
        size_log = size_log_of(similarity.scale, name)
        answers.append(Placement(similarity, name, size_log, score(evidence, away), evidence, component))
    return sorted(answers, key=lambda placement: placement.score)


def _best_of_classes(answers: list[Placement]) -> list[Placement]:
    """Of answers that agree (10 degrees, 20 mm) the best one, whatever its class; sorted input, sorted output."""
    kept: list[Placement] = []
    for answer in answers:
        back = answer.similarity.inverse()
        probe = back.apply(np.array([0.0, 0.02, -0.12]))
        for other in kept:
            cosine = (np.trace(other.similarity.rotation @ back.rotation) - 1) / 2
            near = np.linalg.norm(other.similarity.apply(probe) - [0.0, 0.02, -0.12]) < 0.08
            if other.units == answer.units and cosine > np.cos(np.radians(10)) and near:
                break
        else:
            kept.append(answer)
    return kept


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
