"""From one head's posed vertices to a row of the store: surface points, where they are at rest, signed samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.io.quantise import SDF_LIMIT, dequantise, quantise, quantise_normals
from headfield.neighbours import PointTree
from headfield.synth.solid import Solid, SurfacePoints

NEAR_SIGMAS = (0.01, 0.04)
"""Standard deviations (model units) of the two halves of the samples near the surface."""

INSIDE_TARGET = np.array([0.0, 0.12, -0.17])
"""Samples inside the head lie on lines from its surface towards this place in the middle of the skull."""


SAME_MATERIAL = 0.001
"""A point that a join (of lid and eyeball, of the lips) moves by more (model units, 0.25 mm) is no material point of
either."""


@dataclass(frozen=True)
class Row:
    """One row of an identity's arrays, as the store keeps them (see `headfield.io.store`)."""

    points: np.ndarray
    normals: np.ndarray
    canonical: np.ndarray
    canonical_valid: np.ndarray
    samples: np.ndarray
    sdf: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    lift: np.ndarray
    samples_canonical: np.ndarray
    samples_valid: np.ndarray


MATERIAL = ("triangle", "weights", "lift", "samples_canonical", "samples_valid")
"""What only stores of truth v2 keep: where a point lies on the skin, and where free space goes with it."""


def canonical_points(surface: SurfacePoints, neutral: Solid) -> tuple[np.ndarray, np.ndarray]:
    """The same material points on the neutral head.

    Args:
        surface: Points on a posed solid with the same sheet and hair.
        neutral: The neutral solid.
    Returns:
        points (N, 3) and valid (N,): False where the neutral head hides them. The rims of lips that meet are not
        hidden: they lie in the groove between the lips, upper and lower rim on the same line.
    """
    points, valid = np.array(surface.points), np.ones(len(surface.points), dtype=bool)
    skin = ~surface.hair  # hair does not move
    triangle, weights = surface.triangle[skin], surface.weights[skin]
    resting = (neutral.vertices[neutral.sheet.triangles[triangle]] * weights[:, :, None]).sum(1)
    points[skin], _, moved = neutral.settle(resting, surface.normals[skin])
    seen = neutral.visibility(triangle, weights) & (moved < SAME_MATERIAL)
    rims = np.flatnonzero(neutral.between_lips(resting) & np.isfinite(moved))
    # the join has another groove, towards the teeth, which a closed mouth does not have
    seen[rims] = np.abs(neutral.signed_distance(points[skin][rims])[0]) < SAME_MATERIAL
    valid[skin] = seen
    if neutral.hair is not None:
        valid[skin] &= ~neutral.hair.contains(points[skin])
    return points, valid


def signed_samples(
    solid: Solid, surface: SurfacePoints, count: int, box: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points off the surface with their true signed distance, in random order.

    A third near the surface, a third in the box's free space, a third inside, of which a quarter before skin that may
    be hidden (mouth cavity, eyes, nostrils), so that open lips get free space between them.

    Args:
        solid: The head at this instant.
        surface: Some of its surface points.
        count: S.
        box: (2, 3) model box.
        rng: Source of randomness.
    Returns:
        samples (S, 3) uint16 quantised over the box, sdf (S,) float16 at exactly those places, and the surface point
        (S,) that a sample stands over, along its normal, -1 where it stands over none.
    """
    spare = int(count * 1.08) + 16
    near, inside = spare // 3, spare // 3
    free = spare - near - inside
    over = np.full(spare, -1)
    over[:near], beside = _near(surface, near, rng)
    parts = [beside, rng.uniform(box[0], box[1], (free, 3))]
    cavity = np.flatnonzero(~surface.hair & solid.sheet.interior[np.where(surface.hair, 0, surface.triangle)])
    in_cavity = inside // 4 if len(cavity) >= 16 else 0
    if in_cavity:
        pick = rng.choice(cavity, in_cavity)
        parts.append(surface.points[pick] + np.abs(rng.normal(0, 0.02, (in_cavity, 1))) * surface.normals[pick])
    pick = rng.integers(len(surface.points), size=inside - in_cavity)
    towards = INSIDE_TARGET + rng.normal(0, 0.08, (len(pick), 3)) - surface.points[pick]
    parts.append(surface.points[pick] + rng.beta(1.0, 1.5, (len(pick), 1)) * towards)
    points = np.clip(np.concatenate(parts), box[0], box[1])
    order = rng.permutation(len(points))
    samples, over = quantise(points[order], box), over[order]
    places = dequantise(samples, box)
    # beyond the clipping distance (with room for gaps between surface points) only the sign is asked for: half the time
    far = PointTree(surface.points).query(places, distance_upper_bound=SDF_LIMIT + 0.06)[0] == np.inf
    sdf, ambiguous = solid.signed_distance(places, far)
    good = np.flatnonzero(~ambiguous)
    good = good[np.arange(count) % len(good)]  # repeats only if more than 7 % were ambiguous
    return samples[good], np.clip(sdf[good], -SDF_LIMIT, SDF_LIMIT).astype(np.float16), over[good]


def _near(surface: SurfacePoints, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Surface points (count,) and places (count, 3) along their normals."""
    pick = rng.integers(len(surface.points), size=count)
    sigma = np.where(np.arange(count) % 2 == 0, NEAR_SIGMAS[0], NEAR_SIGMAS[1])
    return pick, surface.points[pick] + (sigma * rng.standard_normal(count))[:, None] * surface.normals[pick]


def sample_row(
    solid: Solid, neutral: Solid, points: int, samples: int, box: np.ndarray, rng: np.random.Generator
) -> Row:
    """All samples of one posed head.

    Args:
        solid, neutral: The head now and at rest; the same object for the neutral row.
        points, samples: P and S.
        box: (2, 3) model box.
        rng: Source of randomness.
    """
    surface = solid.sample_surface(points, rng)
    quantised = quantise(surface.points, box)
    if solid is neutral:
        places, canonical, valid = surface.points, quantised, np.ones(points, dtype=bool)
    else:
        places, valid = canonical_points(surface, neutral)
        canonical = quantise(places, box)
    off, sdf, over = signed_samples(solid, surface, samples, box, rng)
    resting, known = _samples_at_rest(dequantise(off, box), over, surface, places, valid, solid, neutral)
    inside = ((resting >= box[0]) & (resting <= box[1])).all(1)
    triangle = np.where(surface.hair, -1 - surface.triangle, surface.triangle)
    weights = np.rint(surface.weights[:, :2] * 65535.0)
    return Row(
        quantised, quantise_normals(surface.normals), canonical, valid, off, sdf, triangle, weights,
        _lift(surface, solid), quantise(np.clip(resting, *box), box), known & inside,
    )  # fmt: skip


def _lift(surface: SurfacePoints, solid: Solid) -> np.ndarray:
    """How far (N,) surface points lie outside their triangles, along their normals, model units."""
    triangles = np.where(surface.hair, 0, surface.triangle)
    flat = (solid.vertices[solid.sheet.triangles[triangles]] * surface.weights[:, :, None]).sum(1)
    return np.where(surface.hair, 0.0, ((surface.points - flat) * surface.normals).sum(1))


def _samples_at_rest(
    places: np.ndarray,
    over: np.ndarray,
    surface: SurfacePoints,
    resting: np.ndarray,
    valid: np.ndarray,
    solid: Solid,
    neutral: Solid,
) -> tuple[np.ndarray, np.ndarray]:
    """Where samples (S, 3) are on the head at rest, and which of them (S,) are known to be anywhere there.

    A sample that stands over a surface point stands as high over it at rest; hair, and what is over it, does not move.
    """
    if solid is neutral:
        return places, np.ones(len(places), dtype=bool)
    found = places.astype(float)
    on = np.flatnonzero(over >= 0)
    point = over[on]
    known = np.zeros(len(places), dtype=bool)
    known[on] = valid[point]
    skin = ~surface.hair[point]
    moving, point = on[skin], point[skin]
    height = ((places[moving] - surface.points[point]) * surface.normals[point]).sum(1)
    corners = neutral.sheet.triangles[surface.triangle[point]]
    normals = (neutral.normals[corners] * surface.weights[point][:, :, None]).sum(1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    found[moving] = resting[point] + height[:, None] * normals
    return found, known
