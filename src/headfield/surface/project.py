"""Newton projection of vertices onto a field's zero level, and normals from its gradient.

Marching cubes puts vertices where a straight line between two samples is zero. One or two Newton steps
x <- x - f(x) g(x) / |g(x)|^2 put them where the field is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .topology import face_vectors

ValueAndGradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(f (N,), df/dx (N, 3)) at points (N, 3) float32."""


@dataclass(frozen=True)
class Projected:
    """Vertices on the level set.

    Attributes:
        vertices: (V, 3) float64.
        normals: (V, 3) unit gradient of the field, outward.
        values: (V,) field at the vertices, what is left of the distance.
        evaluations: Calls of value and gradient, in points.
    """

    vertices: np.ndarray
    normals: np.ndarray
    values: np.ndarray
    evaluations: int


def project(
    value_and_gradient: ValueAndGradient,
    vertices: np.ndarray,
    *,
    limit: float | np.ndarray,
    steps: int = 3,
    tolerance: float | None = None,
    frozen: np.ndarray | None = None,
    chunk: int = 65_536,
) -> Projected:
    """Move vertices onto the zero level without ever making them worse.

    A step is at most `limit` long and no vertex ends farther than `limit` from where it began, so triangles cannot
    fold over; a step after which |f| has grown is taken back and its vertex left alone.

    Args:
        value_and_gradient: The field; called with at most `chunk` points.
        vertices: (V, 3) near the surface.
        limit: Half a voxel, one or (V,).
        steps: At most so many Newton steps; only vertices that still need one are evaluated.
        tolerance: |f| that is good enough; default `limit` / 50 (a hundredth of a voxel).
        frozen: (V,) vertices that must not move, such as a cap on the box; their normals are the gradient too.
    """
    start = np.asarray(vertices, dtype=np.float64)
    moved = start.copy()
    limit = np.broadcast_to(np.asarray(limit, dtype=float), len(start))
    enough = limit / 50 if tolerance is None else np.full(len(start), tolerance)
    value, gradient = _evaluate(value_and_gradient, moved, chunk)
    evaluations = len(moved)
    active = np.abs(value) > enough
    if frozen is not None:
        active &= ~frozen
    for _ in range(steps):
        index = np.nonzero(active)[0]
        if not len(index):
            break
        f, g = value[index, None], gradient[index]
        step = -f * g / np.maximum((g**2).sum(1, keepdims=True), 1e-8)
        trial = moved[index] + _shorten(step, limit[index])
        trial = start[index] + _shorten(trial - start[index], limit[index])
        value_new, gradient_new = _evaluate(value_and_gradient, trial, chunk)
        evaluations += len(index)
        better = np.abs(value_new) < np.abs(value[index])
        won = index[better]
        moved[won], value[won], gradient[won] = trial[better], value_new[better], gradient_new[better]
        active[:] = False
        active[won] = np.abs(value[won]) > enough[won]
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    return Projected(moved, gradient / np.maximum(length, 1e-12), value, evaluations)


def without_folds(before: np.ndarray, after: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) of `after`, but as `before` at the corners of triangles (F, 3) that the move would turn over.

    Where the surface is thinner than a voxel, two Newton steps can pass each other; marching cubes' own surface never
    cuts itself.
    """
    after, facing = after.copy(), face_vectors(before, triangles)
    suspects = np.arange(len(triangles))
    while True:
        turned = (face_vectors(after, triangles[suspects]) * facing[suspects]).sum(1) < 0
        back = np.zeros(len(after), dtype=bool)
        back[triangles[suspects[turned]]] = True
        back &= (after != before).any(1)
        if not back.any():
            return after
        after[back] = before[back]
        suspects = np.flatnonzero(back[triangles].any(1))  # only neighbours of what went back can have turned


def _shorten(step: np.ndarray, limit: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return step * np.minimum(1.0, limit[:, None] / np.maximum(length, 1e-30))


def _evaluate(function: ValueAndGradient, points: np.ndarray, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    value, gradient = np.empty(len(points)), np.empty((len(points), 3))
    for begin in range(0, len(points), chunk):
        part = slice(begin, begin + chunk)
        f, g = function(points[part].astype(np.float32))
        value[part] = np.asarray(f).reshape(-1)
        gradient[part] = np.asarray(g).reshape(-1, 3)
    return value, gradient
