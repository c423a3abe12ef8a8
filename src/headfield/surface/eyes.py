"""Eyeballs: spheres fitted to what shows between the lids, so that a rig can turn them.

In the fused surface of a head eyeballs cannot turn: they are part of the skin. What is seen of them is close to a
sphere, so each is fitted by one, with a prior on its radius, and exported as a node of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..frames import MM_PER_UNIT, anchor_indices
from .parts import Material

RADIUS_MM, RADIUS_SD_MM = 12.0, 0.6
"""Prior of an eyeball's radius: adults' are alike to within a millimetre."""

_BAND_MM = 0.5


@dataclass(frozen=True)
class Eyeball:
    """One eyeball of a neutral head; a :class:`headfield.surface.parts.Part` that the gaze channels turn.

    Attributes:
        name: ``eyeLeft`` or ``eyeRight`` (the subject's).
        centre: (3,) model units.
        radius: Model units.
        vertices: Indices of the mesh's vertices that lie on it, seen between the lids.
        rms: How far those lie from the sphere, root mean square, model units.
    """

    name: str
    centre: np.ndarray
    radius: float
    vertices: np.ndarray
    rms: float

    mesh_name = "eyeball"
    material = Material("eye", (255, 255, 255), 0.15)
    fused = True

    @property
    def shapes(self) -> dict[str, np.ndarray]:
        """It turns as a whole."""
        return {}

    @property
    def replaces(self) -> np.ndarray:
        """The head's vertices on the eyeball become the floor of a socket."""
        return self.vertices

    @property
    def place(self) -> dict[str, Any]:
        """The node stands where the eyeball turns."""
        return {"translation": [float(value) for value in self.centre], "scale": [float(self.radius)] * 3}

    def vertex_data(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """A unit sphere with colours: see :func:`unit_eyeball`."""
        return unit_eyeball()

    def scaled(self, factor: float) -> Eyeball:
        """The eyeball in another unit."""
        return replace(self, centre=self.centre * factor, radius=self.radius * factor, rms=self.rms * factor)


def fit_eyeballs(vertices: np.ndarray, normals: np.ndarray, anchors: np.ndarray) -> tuple[Eyeball, ...]:
    """Both eyeballs of a head with open eyes, or those of them that are found.

    Args:
        vertices: (V, 3) model frame, y up, z out of the face.
        normals: (V, 3) unit outward.
        anchors: (39, 3).
    """
    found = []
    for side in ("left", "right"):
        inner, outer = anchors[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])]
        ball = _fit(f"eye{side.title()}", vertices, normals, inner, outer)
        if ball is not None:
            found.append(ball)
    return tuple(found)


def on_mesh(ball: Eyeball, vertices: np.ndarray, normals: np.ndarray) -> Eyeball:
    """The eyeball with the vertices of another mesh of the same head that lie on it."""
    away = vertices - ball.centre
    distance = np.linalg.norm(away, axis=1)
    along = (away * normals).sum(1) / np.maximum(distance, 1e-12)
    band = 2 * _BAND_MM / MM_PER_UNIT
    on = np.flatnonzero((np.abs(distance - ball.radius) < band) & (along > 0.9) & (away[:, 2] > 0))
    return replace(ball, vertices=on)


def _fit(name: str, vertices, normals, inner, outer) -> Eyeball | None:
    """Sphere through what faces forward near the middle of the lid's opening; grows from there along the sphere."""
    middle, half = (inner + outer) / 2, np.linalg.norm(outer - inner) / 2
    offset = vertices - middle
    near = (np.abs(offset[:, 0]) < 0.85 * half) & (np.abs(offset[:, 1]) < 0.45 * half) & (np.abs(offset[:, 2]) < half)
    index = np.flatnonzero(near & (normals[:, 2] > 0.35))
    if len(index) < 8:
        return None
    radius, sd = RADIUS_MM / MM_PER_UNIT, RADIUS_SD_MM / MM_PER_UNIT
    points = vertices[index]
    centre = np.median(points[np.abs(points[:, 0] - middle[0]) < 0.4 * half], axis=0)
    centre = np.array([centre[0], centre[1], centre[2] - radius])
    if not np.isfinite(centre).all():
        return None
    weight = np.ones(len(index))
    for band in np.geomspace(2.0, _BAND_MM, 12) / MM_PER_UNIT:
        away = points - centre
        distance = np.linalg.norm(away, axis=1)
        error = distance - radius
        weight = 1 / (1 + (error / band) ** 2) ** 2
        # what points the sphere's way counts; lids stand across it
        weight *= np.clip((normals[index] * away).sum(1) / distance, 0, 1) ** 4
        jacobian = np.concatenate([-away / distance[:, None], -np.ones((len(index), 1))], axis=1)
        precision = np.array([1e-2, 1e-2, 1e-2, 1.0]) * (0.1 / MM_PER_UNIT / sd) ** 2 * max(weight.sum(), 1.0)
        normal = (jacobian * weight[:, None]).T @ jacobian + np.diag(precision)
        prior = np.array([0, 0, 0, precision[3] * (RADIUS_MM / MM_PER_UNIT - radius)])
        step = np.linalg.solve(normal, -(jacobian * weight[:, None]).T @ error + prior)
        centre, radius = centre + step[:3], radius + step[3]
    if not 0.6 < radius * MM_PER_UNIT / RADIUS_MM < 1.5:
        return None
    error = np.linalg.norm(points - centre, axis=1) - radius
    lies = np.abs(error) < _BAND_MM / MM_PER_UNIT
    if lies.sum() < 8:
        return None
    return Eyeball(name, centre, float(radius), index[lies], float(np.sqrt((error[lies] ** 2).mean())))


def unit_eyeball(rings: int = 24, slices: int = 32) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A unit sphere that looks along +z, with sclera, iris and pupil as vertex colours."""
    # rings are close together where iris and pupil begin, so that their edges are sharp
    edges = np.radians([0, 8, 14.9, 15.1, 20, 26, 31.9, 32.1, 38, 46])
    polar = np.concatenate([edges, np.linspace(np.radians(55), np.pi, rings - len(edges))])
    around = np.linspace(0, 2 * np.pi, slices, endpoint=False)
    a, p = np.meshgrid(around, polar)
    points = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)], axis=-1).reshape(-1, 3)
    degrees = np.degrees(p).ravel()
    colours = np.full((len(points), 4), (236, 232, 226, 255), dtype=np.uint8)
    colours[degrees < 32] = (92, 70, 52, 255)
    colours[degrees < 15] = (12, 10, 10, 255)
    ring, column = np.meshgrid(np.arange(len(polar) - 1), np.arange(slices), indexing="ij")
    corner = [
        (ring * slices + column).ravel(), ((ring + 1) * slices + column).ravel(),
        ((ring + 1) * slices + (column + 1) % slices).ravel(), (ring * slices + (column + 1) % slices).ravel(),
    ]  # fmt: skip
    triangles = np.concatenate([np.stack([corner[0], corner[1], corner[2]], 1), np.stack(corner[:1] + corner[2:], 1)])
    first, second = (points[triangles[:, k]] - points[triangles[:, 0]] for k in (1, 2))
    flat = np.linalg.norm(np.cross(first, second), axis=1)
    data = {"POSITION": points.astype("<f4"), "NORMAL": points.astype("<f4"), "COLOR_0": colours}
    return data, triangles[flat > 1e-9]
