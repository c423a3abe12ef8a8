"""A partial scan to a whole head: what was seen stays, what the scanner missed comes from an implicit model.

The model was fitted to the scan before (imHead section 3.1 completes frontal scans so; any head model will do). Its
field is corrected to the scan where that was seen (:mod:`headfield.fit.detail`) and extracted: one closed surface that
keeps the scan's own detail and hair, closes its holes and has the model's back of the head. The correction is
smooth, so the border between the two has neither a step nor a kink; how well that went is part of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headfield.errors import present
from headfield.fit.detail import SLACK, DetailedModel, DetailOptions, detailed_model
from headfield.surface.mesh_head import mesh_of
from headfield.surface.seen import seen_mask
from headfield.surface.topology import face_areas, face_vectors
from headfield.types import Codes, Mesh

REACH = 0.03
"""Scan points within this distance of the completed head (model units, 7.5 mm) vouch for it."""


@dataclass(frozen=True)
class Completion:
    """A completed head.

    Attributes:
        mesh: Closed, outward, model frame; attribute ``seen`` tells the scan's surface from the model's.
        field: The corrected field that the mesh is the zero level of.
        coverage: Share of the head's area that the scan saw.
        kept_mm: Mean distance of the scan's believed points to the surface.
        seam_step_mm: 99th percentile, over edges from seen to unseen, of how much more the surface is moved off the
            model at one end than at the other: a step would be as high as the fit was wrong.
        inner_step_mm: The same of the seen surface, to compare: the scan's own detail is moved unevenly too.
        seam_degrees: 90th percentile of the fold of the surface along these edges, degrees: most of them run across the
            seam, where a crease does not show.
        inner_degrees: The same of the seen surface, to compare.
    """

    mesh: Mesh
    field: DetailedModel
    coverage: float
    kept_mm: float
    seam_step_mm: float
    inner_step_mm: float
    seam_degrees: float
    inner_degrees: float

    def facts(self) -> dict[str, float]:
        """The numbers by name."""
        names = ("kept_mm", "seam_step_mm", "inner_step_mm", "seam_degrees", "inner_degrees")
        return {"seen": self.coverage} | {name: float(getattr(self, name)) for name in names}


def complete(
    model,
    codes: Codes,
    points: np.ndarray,
    *,
    mm_per_unit: float = 250.0,
    resolution: int = 256,
    options: DetailOptions | None = None,
) -> Completion:
    """Complete a scan.

    Args:
        model: A head model, fitted to the scan.
        codes: The head that fits, with its expression.
        points: (N, 3) scan points in the model frame, all of them: strays, shoulders and tables are told apart here.
        mm_per_unit: True millimetres of a model unit on this head.
        resolution: Samples along the longest side of the model's box.
        options: Which points are believed, and how far the correction reaches.
    Raises:
        HeadfieldError: The model has no surface for these codes.
    """
    field = detailed_model(model, codes, points, options)
    mesh = mesh_of(field, codes, resolution, slack=SLACK)
    believed = field.believed
    seen = seen_mask(mesh.vertices, present(mesh.normals, "normals"), believed.points, reach=REACH)
    mesh = replace(mesh, attributes={**mesh.attributes, "seen": seen})
    area = face_areas(mesh.vertices, mesh.triangles)
    coverage = float((area * seen[mesh.triangles].mean(1)).sum() / area.sum())
    moved = np.zeros(len(seen)) if field.correction is None else field.correction.value(mesh.vertices)
    left = believed.values
    if field.correction is not None:
        left = left + field.correction.value(believed.points)
    kept = float(np.abs(left).mean()) * mm_per_unit if len(left) else float("nan")
    return Completion(mesh, field, coverage, kept, *seam(mesh, seen, moved * mm_per_unit))


def seam(mesh: Mesh, seen: np.ndarray, moved: np.ndarray) -> tuple[float, float, float, float]:
    """How the border between seen and unseen looks beside the seen surface: steps and folds over edges of the mesh.

    Args:
        mesh: The surface.
        seen: (V,) bool.
        moved: (V,) how far each vertex was moved along its normal.
    Returns:
        99th percentile of the difference of `moved` along edges across the seam, the same along edges of the seen
        surface, and the 90th percentile of the fold at either, degrees; NaN where there is no such edge.
    """
    triangles = np.asarray(mesh.triangles)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    face = np.tile(np.arange(len(triangles)), 3)
    order = np.lexsort(np.sort(sides, axis=1).T)
    sides, face = np.sort(sides, axis=1)[order], face[order]
    pair = np.flatnonzero((sides[1:] == sides[:-1]).all(1))
    edges, one, two = sides[pair], face[pair], face[pair + 1]
    normals = face_vectors(mesh.vertices, triangles)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    fold = np.degrees(np.arccos(np.clip((normals[one] * normals[two]).sum(1), -1, 1)))
    across = seen[edges[:, 0]] != seen[edges[:, 1]]
    within = np.all(seen[edges], axis=1)
    jump = np.abs(moved[edges[:, 0]] - moved[edges[:, 1]])

    def told(values: np.ndarray, where: np.ndarray, share: float) -> float:
        return float(np.percentile(values[where], share)) if where.any() else float("nan")

    return told(jump, across, 99), told(jump, within, 99), told(fold, across, 90), told(fold, within, 90)
