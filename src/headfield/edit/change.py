"""What an edit moved: displacement of a head's surface, at the source's own vertices, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield.errors import present
from headfield.frames import MM_PER_UNIT, mirror_points
from headfield.models.protocol import HeadModel, Local, PartCondition, require
from headfield.surface.head import Head
from headfield.types import Mesh

MOST_MM = 40.0
"""A surface that has moved farther along the normal than this is not looked for."""


@dataclass(frozen=True)
class Change:
    """Displacement between two heads of one identity.

    Attributes:
        displacement_mm: (V,) signed, along the source's normals, outward positive; NaN where no surface was found.
        distance_mm: (V,) from each vertex to the nearest of the edited parts' anchors (those of the blend weights).
        weight: (V,) blend weight of all edited parts together; where it is 0 the field is the same, bit for bit.
        parts: (P,) indices of the edited parts.
    """

    displacement_mm: np.ndarray
    distance_mm: np.ndarray
    weight: np.ndarray
    parts: np.ndarray


def change_of(source: Head, edited: Head, mesh: Mesh, mm: float = MM_PER_UNIT) -> Change:
    """Displacement of the neutral surface from a head to its edited copy.

    Args:
        source: The head before.
        edited: The head after; both are of one model, and mirrored alike.
        mesh: The neutral surface of `source`, model frame, with normals.
        mm: True millimetres per model unit.
    """
    if source.reflected:
        normals = mirror_points(present(mesh.normals, "normals"))
        mesh = replace(mesh, vertices=mirror_points(mesh.vertices), normals=normals)
    with torch.no_grad():
        before, after = (source.model.condition(head.neutral().codes) for head in (source, edited))
    return change_between(source.model, before, after, mesh, mm=mm)


@torch.no_grad()
def change_between(
    model: HeadModel, before: PartCondition, after: PartCondition, mesh: Mesh, parts: np.ndarray | None = None,
    mm: float = MM_PER_UNIT,
) -> Change:  # fmt: skip
    """As :func:`change_of`, for folded codes.

    Args:
        model: The model of both.
        before: Of the source.
        after: Of the edited head. With other blend anchors than `before` everything may have moved.
        mesh: The surface of `before`, model frame, with normals.
        parts: (P,) parts that count as edited; default those in which the two differ.
        mm: True millimetres per model unit.
    """
    local = require(model, Local, "Measuring an edit")
    if parts is None:
        differ = (before.parts != after.parts).any(dim=2)[0] | (before.origins != after.origins).any(dim=2)[0]
        parts = np.flatnonzero(differ.cpu().numpy())
    vertices, normals = np.asarray(mesh.vertices), np.asarray(mesh.normals)
    moved, weight = np.zeros(len(vertices)), np.zeros(len(vertices))
    distance = np.full(len(vertices), np.inf)
    if len(parts):
        anchors = before.blend_anchors[0, parts].cpu().numpy()
        distance = np.linalg.norm(vertices[:, None] - anchors, axis=2).min(axis=1) * mm
        for rows in np.array_split(np.arange(len(vertices)), max(1, len(vertices) // 20_000)):
            query = torch.as_tensor(vertices[rows]).to(before.blend_anchors)[None]
            weights = local.blend_weights(query, before)[0]
            weight[rows] = weights[:, parts].sum(dim=1).cpu().numpy()
    reached = weight > 0
    if not torch.equal(before.blend_anchors, after.blend_anchors):
        reached[:] = True
    if reached.any():
        moved[reached] = _along_normals(model, after, vertices[reached], normals[reached], mm)
    return Change(moved, distance, weight, parts)


def _along_normals(model, condition, vertices: np.ndarray, normals: np.ndarray, mm: float) -> np.ndarray:
    """Signed distance (V,) along the normals to the zero level, mm, by short Newton steps; NaN where there is none."""
    travelled, limit = np.zeros(len(vertices)), MOST_MM / mm
    for step in range(9):
        value, slope = np.empty(len(vertices)), np.empty(len(vertices))
        for rows in np.array_split(np.arange(len(vertices)), max(1, len(vertices) // 16_384)):
            points = vertices[rows] + travelled[rows, None] * normals[rows]
            query = torch.as_tensor(points).to(condition.blend_anchors)[None]
            f, gradient = model.value_and_gradient(query, condition)
            value[rows] = f[0].cpu().numpy()
            slope[rows] = (gradient[0].cpu().numpy() * normals[rows]).sum(axis=1)
        if step == 8:
            break
        travelled -= np.clip(value / np.maximum(slope, 0.4), -8.0 / mm, 8.0 / mm)
        travelled = np.clip(travelled, -limit, limit)
    return np.where(np.abs(value) * mm < 0.5, travelled * mm, np.nan)
