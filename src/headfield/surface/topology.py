"""Plain facts about triangle meshes: normals, areas, connected components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..types import Mesh


def face_vectors(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Normals of the triangles with twice their area as length (F, 3)."""
    corners = np.asarray(vertices, dtype=float)[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def face_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Areas (F,) in the unit of the vertices, squared."""
    return np.linalg.norm(face_vectors(vertices, triangles), axis=1) / 2


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3) of a mesh; zero for a vertex without triangles."""
    face = np.repeat(face_vectors(vertices, triangles), 3, axis=0)
    corner = np.asarray(triangles).ravel()
    normals = np.stack([np.bincount(corner, face[:, c], len(vertices)) for c in range(3)], axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def components(mesh: Mesh) -> np.ndarray:
    """Connected component (V,) of every vertex, numbered from 0; loose vertices are components of their own."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    triangles = np.asarray(mesh.triangles)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    count = len(mesh.vertices)
    graph = coo_matrix((np.ones(len(edges), dtype=np.int8), edges.T), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def keep_vertices(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """The mesh with only the vertices in keep (V,) bool and the triangles whose corners are all kept."""
    index = np.cumsum(keep) - 1
    triangles = np.asarray(mesh.triangles)
    triangles = index[triangles[keep[triangles].all(1)]]
    pick = lambda array: None if array is None else np.asarray(array)[keep]  # noqa: E731
    return replace(
        mesh,
        vertices=np.asarray(mesh.vertices)[keep],
        triangles=triangles,
        normals=pick(mesh.normals),
        colours=pick(mesh.colours),
        attributes={name: np.asarray(value)[keep] for name, value in mesh.attributes.items()},
    )


def component_areas(mesh: Mesh, label: np.ndarray) -> np.ndarray:
    """Area of each component (C,) given the vertices' labels (V,)."""
    area = face_areas(mesh.vertices, mesh.triangles)
    return np.bincount(label[np.asarray(mesh.triangles)[:, 0]], area, int(label.max()) + 1 if len(label) else 0)
