"""Shapes in closed form: signed distances (about) that add, cut and melt into things. Metres, y up.

A shape is a function of points (N, 3) to values (N,), negative inside. Only the zero level is exact everywhere: that is
all that meshing needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from skimage.measure import marching_cubes

from headfield.types import Mesh

Shape = Callable[[np.ndarray], np.ndarray]
Point = Sequence[float] | np.ndarray


def ellipsoid(centre: Point, radii: Point) -> Shape:
    """An axis-aligned ellipsoid."""
    centre, radii = np.asarray(centre, float), np.asarray(radii, float)

    def value(p: np.ndarray) -> np.ndarray:
        length = np.linalg.norm((p - centre) / radii, axis=1)
        slope = np.linalg.norm((p - centre) / radii**2, axis=1)
        return length * (length - 1.0) / np.maximum(slope, 1e-9)

    return value


def box(centre: Point, half: Point, rounding: float = 0.0) -> Shape:
    """An axis-aligned box with rounded edges."""
    centre, half = np.asarray(centre, float), np.asarray(half, float) - rounding

    def value(p: np.ndarray) -> np.ndarray:
        away = np.abs(p - centre) - half
        return np.linalg.norm(np.maximum(away, 0), axis=1) + np.minimum(away.max(1), 0) - rounding

    return value


def cone(start: Point, end: Point, first: float, last: float | None = None) -> Shape:
    """A capsule whose radius goes from `first` to `last`: limbs, fingers, necks."""
    start, end, last = np.asarray(start, float), np.asarray(end, float), first if last is None else last
    along = end - start

    def value(p: np.ndarray) -> np.ndarray:
        share = np.clip((p - start) @ along / max(along @ along, 1e-12), 0, 1)
        return np.linalg.norm(p - start - share[:, None] * along, axis=1) - (first + share * (last - first))

    return value


def ring(centre: Point, radius: float, thickness: float, axis: int = 2) -> Shape:
    """A torus about an axis."""
    centre = np.asarray(centre, float)

    def value(p: np.ndarray) -> np.ndarray:
        q = p - centre
        flat = np.linalg.norm(np.delete(q, axis, axis=1), axis=1) - radius
        return np.hypot(flat, q[:, axis]) - thickness

    return value


def revolved(heights: Sequence[float], radii: Sequence[float]) -> Shape:
    """A body of revolution about y through a smooth profile, flat at both ends."""
    from scipy.interpolate import PchipInterpolator

    profile = PchipInterpolator(heights, radii)

    def value(p: np.ndarray) -> np.ndarray:
        y = np.clip(p[:, 1], heights[0], heights[-1])
        side = (np.hypot(p[:, 0], p[:, 2]) - profile(y)) / np.sqrt(1 + profile(y, 1) ** 2)
        return np.maximum(side, np.abs(p[:, 1] - 0.5 * (heights[0] + heights[-1])) - 0.5 * (heights[-1] - heights[0]))

    return value


def union(*shapes: Shape, melt: float = 0.0) -> Shape:
    """All of several shapes; seams are rounded over about `melt` metres."""

    def value(p: np.ndarray) -> np.ndarray:
        values = np.stack([shape(p) for shape in shapes])
        if melt <= 0:
            return values.min(0)
        least = values.min(0)
        return least - melt * np.log(np.exp(-(values - least) / melt).sum(0))

    return value


def without(shape: Shape, *others: Shape) -> Shape:
    """A shape less others."""
    return lambda p: np.maximum(shape(p), -union(*others)(p))


def within(shape: Shape, *others: Shape) -> Shape:
    """What several shapes share."""
    return lambda p: np.maximum.reduce([shape(p), *(other(p) for other in others)])


def shell(shape: Shape, thickness: float) -> Shape:
    """The wall of a shape, inwards."""
    return lambda p: np.maximum(shape(p), -shape(p) - thickness)


def turned(shape: Shape, rotation: np.ndarray, centre: Point = (0, 0, 0)) -> Shape:
    """A shape after a rotation (3, 3) about a point."""
    centre = np.asarray(centre, float)
    return lambda p: shape((p - centre) @ rotation + centre)


def rough(shape: Shape, rng: np.random.Generator, height: float, length: float) -> Shape:
    """A shape with waves of a height and a length all over."""
    directions = rng.standard_normal((12, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions *= 2 * np.pi / length * rng.uniform(0.6, 1.6, (12, 1))
    phases = rng.uniform(0, 2 * np.pi, 12)
    return lambda p: shape(p) + height * np.sin(p @ directions.T + phases).sum(1) / np.sqrt(6.0)


def meshed(shape: Shape, low: Point, high: Point, resolution: int = 88) -> Mesh:
    """Triangles of a shape's surface within a box (metres).

    Args:
        shape: The shape.
        low, high: Corners of the box.
        resolution: Samples along its longest side.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    step = float((high - low).max()) / (resolution - 1)
    axes = [np.arange(a - step, b + 2 * step, step) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    values = np.concatenate([shape(part) for part in np.array_split(grid.reshape(-1, 3), 16)]).reshape(grid.shape[:3])
    for axis in range(3):  # closed where the box cuts it
        side = np.moveaxis(values, axis, 0)
        side[0], side[-1] = np.maximum(side[0], step), np.maximum(side[-1], step)
    vertices, triangles, *_ = marching_cubes(values, 0.0, spacing=(step,) * 3)
    return Mesh(vertices + low - step, triangles[:, ::-1].astype(np.int64))
