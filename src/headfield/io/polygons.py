"""Polygons and strips to triangles, right for polygons that are not convex, too."""

from __future__ import annotations

import numpy as np

MOST_WORK = 3 * 10**7
"""Corners of polygons times the ways that are tried to cut them; about five seconds."""

RESTART = -1
"""An index that ends one strip and begins the next."""


def triangulate(points: np.ndarray, corners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Triangles of polygons: the fan around the first corner where that is right, else around another, else by ears.

    Args:
        points: (N, 3).
        corners: (C,) indices into points, polygon after polygon; indices beyond the points count as the origin here.
        counts: (P,) corners of each polygon, sum C; those below three have no surface.
    Returns:
        (F, 3) positions in `corners`, so that whatever a corner has (normal, texture) can follow; in the order of the
        polygons. A triangle is turned the way its polygon is.
    Raises:
        ValueError: Polygons of so many corners that cutting them would take minutes (:data:`MOST_WORK`).
    """
    counts = np.asarray(counts, dtype=np.int64)
    begins = np.cumsum(counts) - counts
    inside = (corners >= 0) & (corners < len(points))
    work = _Work()
    made, owner = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for count in np.unique(counts[counts >= 3]):
        which = np.flatnonzero(counts == count)
        place = begins[which][:, None] + np.arange(count)
        turns = np.zeros(len(which), dtype=np.int64)
        if count > 3:
            known = inside[place][..., None]
            loops = np.where(known, np.asarray(points)[np.where(inside, corners, 0)[place]], 0.0)
            loops = np.nan_to_num(loops.astype(float), posinf=0.0, neginf=0.0)
            turns = _best_turns(loops, work)
        fans = (turns[:, None, None] + _fan(count)) % count
        if count > 4:
            for row in np.flatnonzero(turns < 0):
                fans[row] = _ears(loops[row], work)
        made.append((begins[which][:, None, None] + fans).reshape(-1, 3))
        owner.append(np.repeat(which, count - 2))
    return np.concatenate(made)[np.argsort(np.concatenate(owner), kind="stable")]


def unstrip(strip: np.ndarray) -> np.ndarray:
    """Triangles (F, 3) of a triangle strip (S,), in which `RESTART` begins a new one; its turns are taken out.

    Every other triangle of a strip is the other way round, and a vertex named twice in a row is how strips are joined.
    """
    strip = np.asarray(strip, dtype=np.int64)
    if len(strip) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    place = np.arange(len(strip))
    begin = np.maximum.accumulate(np.where(strip == RESTART, place + 1, 0))
    triangles = np.stack([strip[:-2], strip[1:-1], strip[2:]], axis=1)
    odd = (place - begin)[:-2] % 2 == 1
    triangles[odd] = triangles[odd][:, [1, 0, 2]]
    whole = (triangles != RESTART).all(1)
    return triangles[whole & ~repeated(triangles)]


def repeated(triangles: np.ndarray) -> np.ndarray:
    """Which triangles (F, 3) name a vertex twice: (F,) bool."""
    return (triangles == np.roll(triangles, 1, axis=1)).any(1)


class _Work:
    """Counts work until it is too much."""

    def __init__(self) -> None:
        self.left = MOST_WORK

    def take(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise ValueError("its polygons have too many corners to be cut into triangles; export it as triangles")


def _fan(count: int) -> np.ndarray:
    """(count - 2, 3) corners of the fan around corner 0."""
    second = np.arange(1, count - 1)
    return np.stack([np.zeros_like(second), second, second + 1], axis=1)


def _normals(loops: np.ndarray) -> np.ndarray:
    """Twice the area vector (M, 3) of closed loops (M, n, 3)."""
    around = loops - loops.mean(axis=1, keepdims=True)
    return np.cross(around, np.roll(around, -1, axis=1)).sum(1)


def _best_turns(loops: np.ndarray, work: _Work) -> np.ndarray:
    """For loops (M, n, 3) the corner around which a fan has no triangle turned over: 0 if that will do, -1 if none."""
    normals, count = _normals(loops), loops.shape[1]
    best, turns = np.zeros(len(loops)), np.full(len(loops), -1)
    left = np.arange(len(loops))
    for turn in range(count):
        work.take(len(left) * count)
        corners = loops[left][:, (turn + _fan(count)) % count]
        areas = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        least = np.einsum("mtc,mc->mt", areas, normals[left]).min(1)
        better = least > best[left]
        turns[left[better]], best[left[better]] = turn, least[better]
        if turn == 0:
            left = left[~better]
    flat = ~(np.linalg.norm(normals, axis=1) > 0)
    turns[flat | ((turns < 0) & (count == 4))] = 0  # no way round is better than another
    return turns


def _ears(loop: np.ndarray, work: _Work) -> np.ndarray:
    """(n - 2, 3) corners of triangles of one loop (n, 3), by cutting off ears in its plane (Meisters 1975)."""
    normal = _normals(loop[None])[0]
    u = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    flat = loop @ np.stack([u, np.cross(normal, u)], axis=1)

    def turn(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    left, made = list(range(len(loop))), []
    while len(left) > 3:
        for place in range(len(left)):
            work.take(200 + 5 * len(left))  # in Python, and so dearer
            ear = left[place - 1], left[place], left[(place + 1) % len(left)]
            a, b, c = flat[list(ear)]
            if turn(a, b, c) <= 0:
                continue
            others = flat[[corner for corner in left if corner not in ear]].T
            if not ((turn(a, b, others) >= 0) & (turn(b, c, others) >= 0) & (turn(c, a, others) >= 0)).any():
                break
        else:  # crosses itself: any ear will do
            ear, place = (left[-1], left[0], left[1]), 0
        made.append(ear)
        del left[place]
    return np.array([*made, tuple(left)], dtype=np.int64)
