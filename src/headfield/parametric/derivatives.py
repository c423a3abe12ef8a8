"""How vertices follow the numbers of a head, as products of linear functionals with the Jacobian.

A fit never needs the whole Jacobian (3V rows): a residual is a weighted sum of a few coordinates, such as a place on a
triangle along a normal. N such functionals are a sparse matrix (N, 3V) over the flattened vertices (x, y, z of the
first vertex, then of the second, ...); their derivatives come out as dense matrices (N, numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of N linear functionals of a head's vertices.

    Attributes:
        identity: (N, n_identity).
        expression: (N, n_expression).
        pose: (N, n_pose).
    """

    identity: np.ndarray
    expression: np.ndarray
    pose: np.ndarray


def on_triangles(corners: np.ndarray, weights: np.ndarray, directions: np.ndarray, n_vertices: int) -> csr_matrix:
    """Functionals (N, 3V): the component along a direction of a place on a triangle.

    Args:
        corners: (N, k) vertex indices.
        weights: (N, k) barycentric weights of the corners.
        directions: (N, 3).
        n_vertices: V.
    """
    count, k = corners.shape
    columns = 3 * corners[:, :, None] + np.arange(3)
    values = weights[:, :, None] * directions[:, None, :]
    pointer = np.arange(count + 1) * 3 * k
    return csr_matrix((values.ravel(), columns.ravel(), pointer), shape=(count, 3 * n_vertices))


def coordinates(vertices: np.ndarray, n_vertices: int) -> csr_matrix:
    """Functionals (3 n, 3V): x, y and z of n vertices by index."""
    columns = (3 * np.asarray(vertices)[:, None] + np.arange(3)).ravel()
    count = len(columns)
    return csr_matrix((np.ones(count), columns, np.arange(count + 1)), shape=(count, 3 * n_vertices))


def dense(functionals: csr_matrix, basis: np.ndarray) -> np.ndarray:
    """The product (N, n) of functionals (N, 3V') and a basis (3V', n) whose rows are contiguous."""
    return functionals.astype(basis.dtype) @ basis


def block_diagonal(blocks: np.ndarray) -> csr_matrix:
    """Sparse (3V, 3V) of blocks (V, 3, 3)."""
    count = len(blocks)
    columns = np.broadcast_to(3 * np.arange(count)[:, None, None] + np.arange(3), (count, 3, 3))
    return csr_matrix((blocks.ravel(), columns.ravel(), np.arange(3 * count + 1) * 3), shape=(3 * count, 3 * count))


def skew(vectors: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) with skew(a) b = a x b."""
    x, y, z = np.moveaxis(np.asarray(vectors, dtype=float), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)


def left_jacobian(vectors: np.ndarray) -> np.ndarray:
    """J (..., 3, 3) with exp(v + dv) = exp(J dv) exp(v) to first order: the left Jacobian of rotations."""
    vectors = np.asarray(vectors, dtype=float)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    second = np.where(small, 1.0 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    cross = skew(vectors)
    return np.eye(3) + first * cross + second * (cross @ cross)


def before_turn(
    functionals: csr_matrix, vertices: np.ndarray, share: np.ndarray, centre: np.ndarray, pose: np.ndarray | None
) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """Functionals of a head turned on its neck in terms of the head before the turn.

    See :func:`headfield.parametric.neck_pose.turned`: y = R(s p) (x - c) + c with a share s per vertex.

    Args:
        functionals: (N, 3V) of the turned vertices.
        vertices: (V, 3) before the turn.
        share: (V,) of the turn.
        centre: (3,) what the head turns about.
        pose: (3,) rotation vector p, radians; None for upright.
    Returns:
        Functionals (N, 3V) of the vertices before the turn, their derivatives by the centre (N, 3) and by the pose
        (N, 3).
    """
    pose = np.zeros(3) if pose is None else np.asarray(pose, dtype=float)
    vectors = share[:, None] * pose
    turns = Rotation.from_rotvec(vectors).as_matrix()
    arms = np.einsum("vij,vj->vi", turns, vertices - centre)
    by_pose = -share[:, None, None] * (skew(arms) @ left_jacobian(vectors))
    pose_part = functionals @ by_pose.reshape(-1, 3)
    if not pose.any():
        return functionals, np.zeros((functionals.shape[0], 3)), pose_part
    by_centre = functionals @ (np.eye(3) - turns).reshape(-1, 3)
    return csr_matrix(functionals @ block_diagonal(turns)), by_centre, pose_part


def add_on_vertices(functionals: csr_matrix, vertices: np.ndarray, weights: np.ndarray) -> csr_matrix:
    """Functionals plus, for each of n vertices, weights (N, 3) on its coordinates divided by n (their mean point)."""
    count = len(vertices)
    n = functionals.shape[0]
    rows = np.repeat(np.arange(n), 3 * count)
    columns = np.tile((3 * np.asarray(vertices)[:, None] + np.arange(3)).ravel(), n)
    values = np.repeat(weights[:, None, :] / count, count, axis=1).ravel()
    return csr_matrix(functionals + coo_matrix((values, (rows, columns)), shape=functionals.shape))
