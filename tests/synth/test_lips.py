"""Lips of truth v2: one skin before the cavity, joins that only lower, points that lie on them, rounder corners."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.frames import MM_PER_UNIT
from headfield.synth.lips import CLOSED_RADIUS, LipSeal, Pair
from headfield.types import ARKIT

POSES = {
    "rest": {},
    "funnel": {"mouthFunnel": 1.0},
    "pucker": {"mouthPucker": 1.0},
    "roll": {"mouthRollUpper": 1.0, "mouthRollLower": 1.0},
    "press": {"mouthPressLeft": 1.0, "mouthPressRight": 1.0},
    "both": {"mouthFunnel": 1.0, "mouthPucker": 1.0},
}
SEEDS = (0, 3, 5)


def weights(channels):
    return np.array([channels.get(name, 0.0) for name in ARKIT])


@pytest.fixture(scope="module")
def people(by_both_truths):
    """Three bald people, each by the first truth and by the second."""
    return [by_both_truths(seed) for seed in SEEDS]


def posed(person, name):
    return person.solid(weights(POSES[name])) if POSES[name] else person.neutral


def skins_entered(person, solid):
    """How often rays (231,) that go back through the lips enter skin within 8 mm of where they first do."""
    lips = person.head.landmarks68(solid.vertices)[48:68]
    middle = lips.mean(0)
    across, up = np.meshgrid(np.linspace(-0.1, 0.1, 21), np.arange(-5, 6) * 0.003)  # 25 mm to both sides, 4 mm up
    depth = np.arange(0.05, -0.07, -0.002)  # 0.5 mm
    line = np.interp(middle[0] + across, *_seam(lips))
    start = np.stack([middle[0] + across, line + up, np.full(up.shape, lips[:, 2].max())], axis=-1).reshape(-1, 1, 3)
    places = start + depth[None, :, None] * [0.0, 0.0, 1.0]
    distance, ambiguous = solid.signed_distance(places.reshape(-1, 3))
    inside = ((distance < 0) | ambiguous).reshape(places.shape[:2])
    entries = np.diff(inside.astype(int), axis=1) == 1
    first = np.where(inside.any(1), inside.argmax(1), len(depth))
    return (entries & (np.arange(len(depth) - 1) < first[:, None] + 16)).sum(1)


def _seam(lips):
    """Where the lips meet, (x, y) from one corner to the other, of the landmarks 48 to 67."""
    inner = np.stack([lips[12], *(0.5 * (lips[a] + lips[b]) for a, b in ((13, 19), (14, 18), (15, 17))), lips[16]])
    return inner[:, 0], inner[:, 1]


def test_lips_are_not_doubled(people):
    """Rays from outside enter skin once; a second time where there is a slit, a rag, or a lip before a lip."""
    total = np.zeros(2, dtype=int)
    for name in POSES:
        again = np.zeros(2, dtype=int)
        for pair in people:
            for k, person in enumerate(pair):
                again[k] += int((skins_entered(person, posed(person, name)) > 1).sum())
        print(f"{people[0][0].key.family} {name}: rays that enter skin twice: {again[0]} in v1, {again[1]} in v2")
        total += again
    assert total[1] < total[0]


def test_the_join_only_lowers_and_only_near_the_lips(people):
    person = people[0][1]
    solid = person.neutral
    seam = next(join for join in solid.joins if isinstance(join, LipSeal))
    lips = person.head.landmarks68(solid.vertices)[48:68]
    points = np.random.default_rng(0).uniform(lips.min(0) - 0.1, lips.max(0) + 0.1, (20000, 3))
    before = np.where(solid.inside_skin(points), -1.0, 1.0) * solid.distance(points)
    after = seam.lower(points, before)
    assert (after <= before).all() and (after < before).any()
    assert np.array_equal(after[~seam.near(points)], before[~seam.near(points)])
    far = np.abs(before) > CLOSED_RADIUS
    assert np.array_equal(after[far], before[far])


def test_surface_points_lie_on_the_joined_lips(people):
    person = people[0][1]
    for name in ("rest", "funnel", "press"):
        solid = posed(person, name)
        seam = next(join for join in solid.joins if isinstance(join, LipSeal))
        points = solid.sample_surface(12000, np.random.default_rng(0)).points
        points = points[seam.near(points)]
        off = np.abs(solid.signed_distance(points)[0]) * MM_PER_UNIT
        print(f"{name}: {len(points)} points, off the surface by {np.quantile(off, 0.99):.4f} mm at the 99th "
              f"percentile, {off.max():.3f} at most")  # fmt: skip
        assert np.quantile(off, 0.99) < 0.05


def wedge(degrees, size=0.1, steps=60):
    """Two plates that meet in the z axis under an angle and open towards +x: their triangles, outward into the gap."""
    grid = np.linspace(0.0, size, steps)
    along, width = np.meshgrid(grid, grid - 0.5 * size, indexing="ij")
    half = np.radians(degrees) / 2
    plates = [
        np.stack([along * np.cos(half), s * along * np.sin(half), width], axis=-1).reshape(-1, 3) for s in (1, -1)
    ]
    index = np.arange(steps * steps).reshape(steps, steps)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    lower = np.concatenate([np.stack([a, d, b], 1), np.stack([d, c, b], 1)])
    return np.concatenate(plates), lower[:, ::-1], lower + steps * steps


@pytest.mark.parametrize("degrees", [40.0, 90.0, 130.0])
def test_a_corner_has_the_balls_radius(degrees):
    """Two plates: the join's surface is a circle of the given radius that touches both, as a ball between them has."""
    vertices, upper, lower = wedge(degrees)
    normals = np.cross(vertices[upper[0, 1]] - vertices[upper[0, 0]], vertices[upper[0, 2]] - vertices[upper[0, 0]])
    if normals[1] > 0:  # both look into the gap
        upper, lower = upper[:, ::-1], lower[:, ::-1]
    radius = 0.006
    seam = LipSeal(vertices, Pair(upper, lower), radius, lambda points: np.zeros(len(points), dtype=bool))
    rng = np.random.default_rng(0)
    rays = rng.uniform(0.0003, 0.02, (4000, 1))
    angle = rng.uniform(-0.9, 0.9, (4000, 1)) * np.radians(min(degrees, 180.0 - degrees) / 2)
    points = np.concatenate([rays * np.cos(angle), rays * np.sin(angle), rng.uniform(-0.02, 0.02, (4000, 1))], axis=1)
    half = np.radians(degrees) / 2
    plates = np.abs(np.minimum(np.sin(half - angle), np.sin(half + angle)) * rays)[:, 0]
    value = seam.lower(points, plates)
    middle = radius / np.sin(half)
    ball = radius - np.linalg.norm(points[:, :2] - [middle, 0.0], axis=1)
    between = (points[:, 0] < middle * np.cos(half) ** 2) & (np.abs(value) < 0.5 * radius) & (value < plates - 1e-9)
    assert between.sum() > 50
    print(f"{degrees:.0f} degrees: off the ball by {np.abs(value - ball)[between].max() * MM_PER_UNIT:.4f} mm at most")
    assert np.allclose(value[between], ball[between], atol=1e-4)
