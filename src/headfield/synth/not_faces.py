"""Clouds of things that are no face, made of simple solids: balls, boxes, vases, heaps of them, terrain, noise."""

from __future__ import annotations

import numpy as np

from headfield.synth.noise import relief

MOST = 6
"""Simple solids in one thing, at most: hands, chairs, animals are unions of a few."""


def draw_thing(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 3) on the surface of something that is no face, about 0.5 to 1 unit in size, any way up.

    Args:
        count: How many points.
        rng: Source of randomness.
    """
    kind = rng.choice(["solid", "union", "revolution", "terrain", "noise"], p=[0.3, 0.35, 0.2, 0.1, 0.05])
    if kind == "solid":
        points = _solid(count, rng)
    elif kind == "union":
        points = _union(count, rng)
    elif kind == "revolution":
        points = _revolution(count, rng)
    elif kind == "terrain":
        plane = rng.uniform(-0.6, 0.6, (count, 2))
        flat = np.c_[plane, np.zeros(count)]
        points = np.c_[plane, rng.uniform(0.02, 0.12) * relief(flat, rng.uniform(20, 60), rng.uniform(80, 300), rng)]
    else:
        points = rng.standard_normal((count, 3)) * rng.uniform(0.1, 0.4, 3)
    if rng.random() < 0.6:
        amount = rng.uniform(0.0, 0.03)
        points = points + amount * np.stack([relief(points, 15, rng.uniform(30, 200), rng, 6) for _ in range(3)], 1)
    return points @ np.linalg.qr(rng.standard_normal((3, 3)))[0]


def _directions(count: int, rng: np.random.Generator) -> np.ndarray:
    directions = rng.standard_normal((count, 3))
    return directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)


def _solid(count: int, rng: np.random.Generator) -> np.ndarray:
    """A super-ellipsoid: an egg, a ball, a box with rounded edges or a spindle."""
    power = rng.choice([1.2, 2.0, 2.0, 2.5, 4.0, 10.0])
    directions = _directions(count, rng)
    radius = (np.abs(directions) ** power).sum(1) ** (-1 / power)
    egg = 1 + rng.uniform(-0.3, 0.3) * directions[:, 1:2]
    return directions * radius[:, None] * rng.uniform(0.15, 0.5, 3) * egg


def _union(count: int, rng: np.random.Generator) -> np.ndarray:
    parts = int(rng.integers(2, MOST + 1))
    share = rng.multinomial(count, rng.dirichlet(np.full(parts, 2.0)))
    centre, pieces = np.zeros(3), []
    for number in share:
        size = rng.uniform(0.3, 1.0)
        piece = size * (_solid(number, rng) if rng.random() < 0.6 else _revolution(number, rng))
        pieces.append(piece @ np.linalg.qr(rng.standard_normal((3, 3)))[0] + centre)
        centre = centre + 0.35 * size * rng.standard_normal(3)
    return np.concatenate(pieces)


def _revolution(count: int, rng: np.random.Generator) -> np.ndarray:
    """A vase, a cup, a limb: a random profile turned about an axis."""
    knots = rng.uniform(0.3, 1.0, int(rng.integers(2, 7)))
    height = rng.uniform(-1, 1, count)
    radius = np.interp(height, np.linspace(-1, 1, len(knots)), knots) * rng.uniform(0.1, 0.4)
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.c_[radius * np.cos(angle), rng.uniform(0.2, 0.6) * height, radius * np.sin(angle)]
