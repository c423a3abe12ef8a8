"""Observed detail: what the scan shows beyond the model, added back along the normals of the seen surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from headfield.types import Codes, Mesh

REACH = 0.02
"""Residuals up to this size (model units, 5 mm) are detail; larger ones are outliers."""


def with_detail(mesh: Mesh, model, codes: Codes, points: np.ndarray, seen: np.ndarray, neighbours: int = 12) -> Mesh:
    """Displace the seen vertices of a head by the smoothed signed distance of the scan.

    Args:
        mesh: In the model frame, with normals.
        model: The head model.
        codes: Codes of the mesh.
        points: (N, 3) scan points in the model frame.
        seen: (V,) vertices that the scan observed.
        neighbours: Scan points averaged per vertex.
    Returns:
        The mesh with moved vertices and new normals; triangles unchanged.
    """
    import torch

    points = np.asarray(points, dtype=float)
    lower, upper = np.asarray(model.box, dtype=float)
    points = points[((points > lower) & (points < upper)).all(1)]
    if len(points) < neighbours or not seen.any():
        return mesh
    with torch.no_grad():
        source = torch.as_tensor(points.astype(np.float32), device=codes.identity.device)
        pairs = [model.value_and_gradient(chunk[None], codes) for chunk in source.split(16_384)]
        value = torch.cat([pair[0][0] for pair in pairs]).double().cpu().numpy()
        gradient = torch.cat([pair[1][0] for pair in pairs]).double().cpu().numpy()
    gradient /= np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)
    near = np.abs(value) < REACH
    if near.sum() < neighbours:
        return mesh
    foot, offset, side = (points - value[:, None] * gradient)[near], value[near], gradient[near]
    tree = cKDTree(foot)
    spacing = float(np.median(tree.query(foot[:: max(1, len(foot) // 2000)], k=2)[0][:, 1]))
    vertices = mesh.vertices[seen]
    gap, index = tree.query(vertices, k=neighbours)
    width = np.maximum(1.5 * spacing, gap[:, [neighbours // 2]])
    weight = np.exp(-0.5 * (gap / width) ** 2)
    weight *= np.einsum("vkc,vc->vk", side[index], mesh.normals[seen]) > 0.3  # the other side of an ear has no say
    total = weight.sum(1)
    shift = np.where(total > 1e-9, (weight * offset[index]).sum(1) / np.maximum(total, 1e-9), 0.0)
    shift *= _fade(mesh, seen, 6.0 * spacing)[seen]
    moved = mesh.vertices.copy()
    moved[seen] += shift[:, None] * mesh.normals[seen]
    return replace(mesh, vertices=moved, normals=_normals(moved, mesh.triangles, mesh.normals))


def _fade(mesh: Mesh, seen: np.ndarray, width: float) -> np.ndarray:
    """(V,) 0 at the rim of the seen surface, 1 from `width` inside, so that detail ends without a step."""
    if seen.all() or not seen.any():
        return np.ones(len(seen))
    distance = np.zeros(len(seen))
    distance[seen] = cKDTree(mesh.vertices[~seen]).query(mesh.vertices[seen])[0]
    return np.clip(distance / max(width, 1e-9), 0.0, 1.0)


def _normals(vertices: np.ndarray, triangles: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals (V, 3)."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], face)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), fallback)
