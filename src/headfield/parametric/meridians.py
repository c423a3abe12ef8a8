"""Meridians down a template's neck, as fixed combinations of the template's vertices."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from headfield.parametric.neck import LOWER, NECK_ANCHORS, REACH_BELOW, UPPER, Frame, Neck, anchor_plane, cap_scales

Row = tuple[np.ndarray, np.ndarray]
"""Indices and weights of one point as a combination of source vertices."""


_NOWHERE: Row = (np.empty(0, dtype=int), np.empty(0))


def rows_matrix(rows: list[Row], n_source: int) -> csr_matrix:
    """Sparse (len(rows), n_source) of rows."""
    counts = [len(indices) for indices, _ in rows]
    row = np.repeat(np.arange(len(rows)), counts)
    column = np.concatenate([indices for indices, _ in rows])
    value = np.concatenate([weights for _, weights in rows])
    return coo_matrix((value, (row, column)), shape=(len(rows), n_source)).tocsr()


def plan_neck(
    template: np.ndarray, triangles: np.ndarray, frame: Frame, ring_rows: list[Row], anchor_vertices: np.ndarray
) -> Neck:
    """Trace a meridian from each vertex of the upper ring.

    Args:
        template: (S, 3) metres, symmetric.
        triangles: (F, 3) of the skin, neck and shoulders included.
        frame: The neck's cylinder coordinates.
        ring_rows: The R vertices of the upper ring in order.
        anchor_vertices: (39,) into the template.
    Raises:
        ValueError: The template's neck ends too close to the cut to be followed.
    """
    ring = np.array([weights @ template[indices] for indices, weights in ring_rows])
    azimuth, top = frame.azimuth(ring), frame.height(ring)
    target = template[anchor_vertices[NECK_ANCHORS]]
    turned = np.abs(_wrapped(azimuth[None] - frame.azimuth(target)[:, None]))
    chosen = turned.argmin(1)
    bend = np.zeros(len(ring))
    bend[chosen] = _wrapped(frame.azimuth(target) - azimuth[chosen])
    normal, offset = anchor_plane(template[anchor_vertices])
    skin = triangles[(np.abs(frame.height(template)[triangles]) < REACH_BELOW + 0.06).any(1)]
    turn = frame.azimuth(template)[skin]
    rows: list[Row] = []
    on_skin = []
    for m in range(len(ring)):
        middle = _height_on_plane(frame, azimuth[m] + bend[m], normal, offset, ring[m])
        heights = np.concatenate([np.linspace(top[m], middle, UPPER), np.linspace(middle, -REACH_BELOW, LOWER + 1)[1:]])
        caster = _Caster(template, skin[(np.abs(_wrapped(turn - azimuth[m])) < 0.5).any(1)])
        share = np.clip((top[m] - heights) / (top[m] - middle), 0.0, 1.0)
        line: list[Row] = [ring_rows[m]]
        for height, angle in zip(heights[1:], azimuth[m] + share[1:] * bend[m]):
            hit = caster.first(*frame.ray(angle, height))
            if hit is None:
                break
            line.append(hit)
        if len(line) < UPPER + 4:
            raise ValueError(f"the template's neck ends {1e3 * heights[len(line) - 1]:.0f} mm from the cut at one side")
        if m in chosen:
            line[UPPER - 1] = (anchor_vertices[NECK_ANCHORS][[np.flatnonzero(chosen == m)[0]]], np.ones(1))
        on_skin.append(len(line))
        rows.extend(line + [_NOWHERE] * (UPPER + LOWER - len(line)))
    matrix = rows_matrix(rows, len(template))
    cut = (matrix @ template).reshape(len(ring), UPPER + LOWER, 3)[:, UPPER]
    return Neck(matrix, np.array(on_skin), chosen, cap_scales(cut))


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _height_on_plane(frame: Frame, azimuth: float, normal: np.ndarray, offset: float, start: np.ndarray) -> float:
    """Height at which a meridian meets the plane through the anchors, at the radius of its start."""
    origin, direction = frame.ray(azimuth, 0.0)
    radius = np.linalg.norm(start - origin - (start - origin) @ frame.up * frame.up)
    foot = origin + radius * direction
    return float((offset - foot @ normal) / (frame.up @ normal))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products (..., 3): numpy's to the bit, without its checks, which take longer than a thousand products."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        out[..., k] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return out


class _Caster:
    """First hits of single rays on a few thousand triangles (Moeller and Trumbore 1997)."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        self.triangles = triangles
        self.corner = vertices[triangles[:, 0]]
        self.edge1 = vertices[triangles[:, 1]] - self.corner
        self.edge2 = vertices[triangles[:, 2]] - self.corner

    def first(self, origin: np.ndarray, direction: np.ndarray) -> Row | None:
        """The nearest hit as a combination of vertices, or None."""
        across = _cross(direction, self.edge2)
        determinant = np.einsum("ij,ij->i", self.edge1, across)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / determinant
            relative = origin - self.corner
            u = np.einsum("ij,ij->i", relative, across) * inverse
            other = _cross(relative, self.edge1)
            v = other @ direction * inverse
            distance = np.einsum("ij,ij->i", self.edge2, other) * inverse
            slack = 1e-9
            good = (u >= -slack) & (v >= -slack) & (u + v <= 1 + slack) & (distance > 1e-6)
        if not good.any():
            return None
        hits = np.flatnonzero(good)
        best = hits[distance[hits].argmin()]
        return self.triangles[best], np.array([1.0 - u[best] - v[best], u[best], v[best]])
