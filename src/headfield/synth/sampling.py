"""From one head's posed vertices to a row of the store: surface points, where they are at rest, signed samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headfield.io.store import SDF_LIMIT, dequantise, quantise, quantise_normals
from headfield.synth.solid import Solid, SurfacePoints

NEAR_SIGMAS = (0.01, 0.04)
"""Standard deviations (model units) of the two halves of the samples near the surface."""

INSIDE_TARGET = np.array([0.0, 0.12, -0.17])
"""Samples inside the head lie on lines from its surface towards this place in the middle of the skull."""


SAME_MATERIAL = 0.001
"""A point that the join of lid and eyeball moves by more (model units, 0.25 mm) is no material point of either."""


@dataclass(frozen=True)
class Row:
    """One row of an identity's arrays, as the store keeps them (see `headfield.io.store`)."""

    points: np.ndarray
    normals: np.ndarray
    canonical: np.ndarray
    canonical_valid: np.ndarray
    samples: np.ndarray
    sdf: np.ndarray


def canonical_points(surface: SurfacePoints, neutral: Solid) -> tuple[np.ndarray, np.ndarray]:
    """The same material points on the neutral head.

    Args:
        surface: Points on a posed solid with the same sheet and hair.
        neutral: The neutral solid.
    Returns:
        points (N, 3) and valid (N,): False where the neutral head hides them.
    """
    points, valid = np.array(surface.points), np.ones(len(surface.points), dtype=bool)
    skin = ~surface.hair  # hair does not move
    triangle, weights = surface.triangle[skin], surface.weights[skin]
    points[skin] = (neutral.vertices[neutral.sheet.triangles[triangle]] * weights[:, :, None]).sum(1)
    valid[skin] = neutral.visibility(triangle, weights)
    if neutral.seal is not None:
        points[skin], _, moved = neutral.seal.settle(points[skin], surface.normals[skin])
        valid[skin] &= moved < SAME_MATERIAL
    if neutral.hair is not None:
        valid[skin] &= ~neutral.hair.contains(points[skin])
    return points, valid


def signed_samples(
    solid: Solid, surface: SurfacePoints, count: int, box: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
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
        samples (S, 3) uint16 quantised over the box, and sdf (S,) float16 at exactly those places.
    """
    spare = int(count * 1.08) + 16
    near, inside = spare // 3, spare // 3
    free = spare - near - inside
    parts = [_near(surface, near, rng), rng.uniform(box[0], box[1], (free, 3))]
    cavity = np.flatnonzero(~surface.hair & solid.sheet.interior[np.where(surface.hair, 0, surface.triangle)])
    in_cavity = inside // 4 if len(cavity) >= 16 else 0
    if in_cavity:
        pick = rng.choice(cavity, in_cavity)
        parts.append(surface.points[pick] + np.abs(rng.normal(0, 0.02, (in_cavity, 1))) * surface.normals[pick])
    pick = rng.integers(len(surface.points), size=inside - in_cavity)
    towards = INSIDE_TARGET + rng.normal(0, 0.08, (len(pick), 3)) - surface.points[pick]
    parts.append(surface.points[pick] + rng.beta(1.0, 1.5, (len(pick), 1)) * towards)
    points = np.clip(np.concatenate(parts), box[0], box[1])
    samples = quantise(points[rng.permutation(len(points))], box)
    places = dequantise(samples, box)
    # beyond the clipping distance (with room for gaps between surface points) only the sign is asked for: half the time
    far = cKDTree(surface.points).query(places, distance_upper_bound=SDF_LIMIT + 0.06)[0] == np.inf
    sdf, ambiguous = solid.signed_distance(places, far)
    good = np.flatnonzero(~ambiguous)
    good = good[np.arange(count) % len(good)]  # repeats only if more than 7 % were ambiguous
    return samples[good], np.clip(sdf[good], -SDF_LIMIT, SDF_LIMIT).astype(np.float16)


def _near(surface: SurfacePoints, count: int, rng: np.random.Generator) -> np.ndarray:
    pick = rng.integers(len(surface.points), size=count)
    sigma = np.where(np.arange(count) % 2 == 0, NEAR_SIGMAS[0], NEAR_SIGMAS[1])
    return surface.points[pick] + (sigma * rng.standard_normal(count))[:, None] * surface.normals[pick]


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
        canonical, valid = quantised, np.ones(points, dtype=bool)
    else:
        places, valid = canonical_points(surface, neutral)
        canonical = quantise(places, box)
    off, sdf = signed_samples(solid, surface, samples, box, rng)
    return Row(quantised, quantise_normals(surface.normals), canonical, valid, off, sdf)
