"""The numbers of a scan's quality record: errors, coverage, inverted triangles and self-intersections."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from headfield.fit.gate import FACE_PARTS
from headfield.surface.nearest import Target
from headfield.surface.rays import RayScene
from headfield.surface.seen import seen_mask
from headfield.surface.topology import face_areas, face_vectors, vertex_normals
from headfield.types import Mesh

STRAY_MM = 15.0
"""Scan points farther than this from the head are strays, clothes or another person: no error of the registration."""

_END = 0.02
"""Share of an edge at each end where it may touch its neighbours."""


def measure(
    points: np.ndarray,
    complete: Mesh,
    registered: Mesh,
    fitted: np.ndarray,
    anchors: np.ndarray,
    mm: float,
    skin: np.ndarray | None = None,
) -> dict[str, float]:
    """The quality record of one scan.

    Args:
        points: (N, 3) scan points, model frame.
        complete: Completed mesh, model frame.
        registered: Registered template, model frame.
        fitted: (V, 3) the template as the parametric fit left it: what an inverted triangle is told by.
        anchors: (39, 3) of the head.
        mm: True millimetres of a model unit.
        skin: (F,) bool, triangles of the template that are judged (eyeballs and lids touch at rest); None = all.
    Returns:
        Numbers by the names of :data:`headfield.curate.quality.NUMBERS`, without ``landmark_residual_mm``.
    """
    to_complete = Target(complete).closest(points)[0]
    near = (to_complete * mm < STRAY_MM) & (points[:, 1] > anchors[:, 1].min())
    near = near if near.sum() >= 30 else np.ones(len(points), dtype=bool)
    to_template = Target(registered).closest(points[near])[0] * mm
    normals = vertex_normals(complete.vertices, complete.triangles)
    seen = seen_mask(complete.vertices, normals, points, reach=STRAY_MM / mm)
    area = face_areas(complete.vertices, complete.triangles)
    shown = seen[complete.triangles].mean(1)
    face = FACE_PARTS[cKDTree(anchors).query(complete.vertices[complete.triangles].mean(1))[1]]
    judged = np.ones(len(registered.triangles), dtype=bool) if skin is None else np.asarray(skin, dtype=bool)
    return {
        "error_mm": float(np.median(to_template)),
        "error_p90_mm": float(np.percentile(to_template, 90)),
        "complete_mm": float(np.median(to_complete[near]) * mm),
        "coverage": float((area * shown)[face].sum() / max(area[face].sum(), 1e-12)),
        "coverage_head": float((area * shown).sum() / max(area.sum(), 1e-12)),
        "self_intersections": float(pierced(registered, judged)[judged].mean()),
        "inverted": float(inverted(registered, fitted)[judged].mean()),
    }


def inverted(registered: Mesh, fitted: np.ndarray) -> np.ndarray:
    """Triangles (F,) bool that lie the other way round than the same triangles of another pose of the mesh.

    Args:
        registered: The mesh.
        fitted: (V, 3) its vertices before it was moved by millimetres.
    """
    now = face_vectors(registered.vertices, registered.triangles)
    before = face_vectors(fitted, registered.triangles)
    return (now * before).sum(1) < 0


def pierced(mesh: Mesh, among: np.ndarray | None = None) -> np.ndarray:
    """Triangles (F,) bool whose edges pass through another triangle of the mesh, and those that they pass through.

    Every edge is cast as a ray from a little after its one end to a little before the other, in both directions.

    Args:
        mesh: The mesh.
        among: (F,) bool, the triangles that take part; None = all.
    """
    index = np.arange(len(mesh.triangles)) if among is None else np.flatnonzero(among)
    triangles = np.asarray(mesh.triangles)[index]
    found = np.zeros(len(mesh.triangles), dtype=bool)
    if not len(triangles):
        return found
    scene = RayScene(mesh.vertices, triangles)
    corners = np.asarray(mesh.vertices, dtype=float)[triangles]
    for start in range(3):
        begin, end = corners[:, start], corners[:, (start + 1) % 3]
        for one, other in ((begin, end), (end, begin)):
            along = other - one
            hits = scene.first_hit(one + _END * along, along)
            hit = np.flatnonzero((hits.triangle >= 0) & (hits.distance < 1 - 2 * _END))
            other_one = hits.triangle[hit]
            apart = ~(triangles[other_one][:, :, None] == triangles[hit][:, None, :]).any((1, 2))
            found[index[hit[apart]]] = True
            found[index[other_one[apart]]] = True
    return found
