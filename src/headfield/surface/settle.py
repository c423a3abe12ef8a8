"""Vertices of a mesh put onto the level set along the mesh's own normals, but for those deep inside the solid.

Only values of the field are asked for, a third of the price of gradients: near its surface a signed distance rises
along the normal about as fast as the distance itself, and what it really does is seen from step to step (secant rule).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .topology import face_vectors, vertex_normals

Field = Callable[[np.ndarray], np.ndarray]
"""Signed distances (N,) at points (N, 3), model units."""

CLOSE = 5e-5
"""Vertices this close to the surface (0.0125 mm) are on it, model units."""

REACH = 0.008
"""No vertex moves further than this (2 mm), model units."""

SURE, FADE = 0.0016, 0.006
"""Vertices up to 0.4 mm inside the solid are put onto the surface whole, from 1.5 mm on not at all."""


def onto_surface(
    field: Field,
    vertices: np.ndarray,
    triangles: np.ndarray,
    facing: np.ndarray | None = None,
    which: np.ndarray | None = None,
    *,
    sure: float = SURE,
    fade: float = FADE,
    steps: int = 3,
) -> tuple[np.ndarray, float]:
    """Vertices on the level set, and the share of those asked for that was left inside.

    Deep inside the solid is a mouth's bag that the expression keeps closed: those vertices stay. Vertices whose
    triangles the move would turn over go back to where they were.

    Args:
        field: Of the posed head.
        vertices: (V, 3).
        triangles: (F, 3).
        facing: (F, 3) area vectors that triangles must not turn against, or None.
        which: (N,) the vertices to move, default all.
        sure: Vertices up to this deep are moved whole, model units.
        fade: Vertices deeper than this stay.
        steps: Evaluations at most.
    """
    which = np.arange(len(vertices)) if which is None else which
    before = np.array(vertices, dtype=float)
    after = before.copy()
    if not len(which):
        return after, 0.0
    start, along = before[which], vertex_normals(before, triangles)[which]
    value = field(start)
    weight = np.clip((fade + value) / (fade - sure), 0.0, 1.0)
    wanted = (1 - weight) * value
    travel, slope = np.zeros(len(which)), np.ones(len(which))
    for step in range(steps):
        active = np.flatnonzero(np.abs(value - wanted) > CLOSE)
        there = np.clip(travel - (value - wanted) / slope, -REACH, REACH)[active]
        made, travel[active] = there - travel[active], there
        if step + 1 == steps or not len(active):
            break
        new = field(start[active] + travel[active, None] * along[active])
        # a slope that is far from one is a crease, where a full step would overshoot
        rise = (new - value[active]) / np.where(np.abs(made) > 1e-9, made, np.inf)
        slope[active], value[active] = np.clip(rise, 0.4, 1.5), new
    after[which] = start + travel[:, None] * along
    if facing is not None:
        for _ in range(4):
            turned = (face_vectors(after, triangles) * facing).sum(1) < 0
            turned &= (face_vectors(before, triangles) * facing).sum(1) >= 0
            if not turned.any():
                break
            corners = np.unique(triangles[turned])
            after[corners] = before[corners]
    return after, float((weight < 1).mean())
