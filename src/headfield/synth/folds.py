"""Folds that come with age: nasolabial and marionette folds, lines of forehead, eyes and neck.

A fold is a curve on the reference head, laid on the person's skin by rays from outside, with a smooth groove along it;
beside a nasolabial fold the cheek stands over the lip. Folds are 6 mm wide at least: finer lines than that are texture,
which neither these meshes nor a field of this resolution can hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, RBFInterpolator

from headfield import frames
from headfield.frames import MM_PER_UNIT
from headfield.neighbours import PointTree
from headfield.synth.hair_sphere import mesh_averaging
from headfield.synth.noise import smoothstep
from headfield.synth.occlusion import Occluder
from headfield.synth.sheet import Sheet

DEEPEST = 1.0 / MM_PER_UNIT
"""No fold is deeper, model units (1 mm)."""

NARROWEST = 6.0
"""Width of the narrowest fold, mm."""

_AXIS_Z = -0.2
"""Azimuths are about the skull's axis, at this z of the reference head."""


@dataclass(frozen=True)
class Fold:
    """One kind of fold.

    Attributes:
        course: (n, 2) azimuth in degrees (positive to the subject's left) and height y on the reference head.
        depth: At old age, mm.
        width: Mean width, mm.
        begins: Age in years at which it shows first.
        bulge: Height of the skin on its outer side, in parts of its depth.
        paired: Whether the other side has one too.
    """

    course: tuple[tuple[float, float], ...]
    depth: float
    width: float
    begins: float
    bulge: float = 0.0
    paired: bool = True


FOLDS = (
    Fold(((9.5, -0.055), (14.0, -0.095), (17.5, -0.140), (20.5, -0.190), (21.5, -0.225)), 1.0, 9.5, 28, 0.6),
    Fold(((19.0, -0.225), (19.8, -0.262), (20.0, -0.300)), 0.9, 10.0, 42, 0.3),
    Fold(((-24.0, 0.245), (-12.0, 0.258), (0.0, 0.252), (12.0, 0.258), (24.0, 0.245)), 0.55, 9.0, 34, 0.0, False),
    Fold(((-27.0, 0.292), (-13.0, 0.307), (0.0, 0.300), (13.0, 0.307), (27.0, 0.292)), 0.55, 9.0, 38, 0.0, False),
    Fold(((-21.0, 0.343), (-10.0, 0.354), (0.0, 0.350), (10.0, 0.354), (21.0, 0.343)), 0.45, 9.0, 46, 0.0, False),
    Fold(((34.0, 0.100), (39.5, 0.122), (45.0, 0.140)), 0.6, 7.5, 32),
    Fold(((34.5, 0.080), (41.0, 0.082), (47.5, 0.083)), 0.6, 7.5, 34),
    Fold(((33.5, 0.060), (39.0, 0.044), (45.0, 0.026)), 0.5, 7.5, 38),
    Fold(((-62.0, -0.365), (-30.0, -0.392), (0.0, -0.400), (30.0, -0.392), (62.0, -0.365)), 0.8, 10.0, 36, 0.0, False),
)
"""Nasolabial, marionette, three lines of the forehead, three at the outer corner of the eye, one across the neck."""


def fold_heights(
    place: np.ndarray, vertices: np.ndarray, anchors: np.ndarray, sheet: Sheet, age: float, rng: np.random.Generator
) -> np.ndarray:
    """Height (V,), model units, of the skin over what it was; negative in a fold, at least -DEEPEST.

    Args:
        place: (V, 3) on the reference head.
        vertices: (V, 3) neutral skin, model frame.
        anchors: (39, 3) of that head.
        sheet: Topology; the mouth's bag has no folds.
        age: In years.
        rng: Source of randomness; as much is drawn for young people as for old ones.
    """
    skin = Occluder(vertices, sheet.triangles)
    to_head = RBFInterpolator(frames.reference_anchors(), anchors, kernel="linear", degree=1, smoothing=1e-4)
    front = np.flatnonzero(place[:, 2] > -0.2)
    heights = np.zeros(len(vertices))
    lived = 1.3 * np.exp(0.25 * rng.standard_normal())  # sun, sleep, and luck; the smoothing below takes a third
    for fold in FOLDS:
        own = np.exp(0.25 * rng.standard_normal())
        for side in (1.0, -1.0) if fold.paired else (1.0,):
            depth, course, width = _draw(fold, side, rng)
            depth *= own * lived * smoothstep((age - fold.begins) / 40.0)
            if depth > 0:
                line, off = _laid(course, to_head, skin)
                heights[front] += _profile(vertices[front], line, off, depth, width, fold.bulge)
    heights[np.unique(sheet.triangles[sheet.bag])] = 0.0
    averaging = mesh_averaging(sheet.triangles, len(vertices))
    for _ in range(2):  # edges of 3 to 5 mm meet a groove here and there: without this it is a row of pits
        heights = 0.5 * heights + 0.5 * (averaging @ heights)
    return np.clip(heights, -DEEPEST, DEEPEST)


def _draw(fold: Fold, side: float, rng: np.random.Generator) -> tuple[float, np.ndarray, float]:
    """Depth at old age (model units), course (n, 2) and width (model units) of one fold of a person."""
    course = np.array(fold.course) + rng.normal(0, 1, (len(fold.course), 2)) * [0.35, 0.0025]
    course += rng.normal(0, 1, 2) * [0.6, 0.004]
    depth = fold.depth * np.exp(0.15 * rng.standard_normal()) / MM_PER_UNIT
    width = max(NARROWEST, fold.width * np.exp(0.1 * rng.standard_normal())) / MM_PER_UNIT
    return depth, course * [side, 1.0], width


def _laid(course: np.ndarray, to_head, skin: Occluder) -> tuple[np.ndarray, np.ndarray]:
    """The course as points (n, 3) on the skin, 0.5 mm apart or less, and at each the direction (n, 3) away from the
    middle of the face, across the fold."""
    along = np.linspace(0, 1, len(course))
    fine = CubicSpline(along, course)(np.linspace(0, 1, 24))
    azimuth = np.radians(fine[:, 0])
    outward = np.stack([np.sin(azimuth), np.zeros(len(fine)), np.cos(azimuth)], axis=1)
    axis = np.stack([np.zeros(len(fine)), fine[:, 1], np.full(len(fine), _AXIS_Z)], axis=1)
    outer, inner = to_head(axis + 0.9 * outward), to_head(axis)
    _, share = skin.first_hit(outer, inner - outer)
    hit = np.isfinite(share)
    points = outer[hit] + share[hit, None] * (inner - outer)[hit]
    if len(points) < 4:
        return np.zeros((0, 3)), np.zeros((0, 3))
    curve = CubicSpline(np.linspace(0, 1, len(points)), points)
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    steps = np.linspace(0, 1, max(8, int(length * MM_PER_UNIT / 0.5)))
    tangent = curve(steps, 1)
    across = np.cross(tangent, np.broadcast_to(outward[hit].mean(0), tangent.shape))
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    away = np.sign(across[:, 0] * points[len(points) // 2, 0])[:, None]
    return curve(steps), across * np.where(away == 0, 1.0, away)


def _profile(points: np.ndarray, line: np.ndarray, off: np.ndarray, depth: float, width: float, bulge: float):
    """Heights (N,) at points (N, 3) of a groove along a line, with a rise of the skin beyond it."""
    heights = np.zeros(len(points))
    if len(line) == 0:
        return heights
    distance, nearest = PointTree(line).query(points, distance_upper_bound=2.2 * width)
    near = np.flatnonzero(np.isfinite(distance))
    nearest = nearest[near]
    ends = np.minimum(nearest, len(line) - 1 - nearest) / (0.3 * len(line))
    fade = smoothstep(ends)  # nothing of a fold is left at its ends
    groove = np.clip(1 - (distance[near] / (0.5 * width)) ** 2, 0, 1) ** 2
    beside = ((points[near] - line[nearest]) * off[nearest]).sum(1)
    rise = np.clip(1 - ((distance[near] - 0.8 * width) / (0.75 * width)) ** 2, 0, 1) ** 2
    rise *= smoothstep(0.5 + beside / (0.6 * width))
    heights[near] = depth * fade * (bulge * rise - groove)
    return heights
