"""One linear step of non-rigid ICP: the affine map of every vertex for fixed targets (Amberg et al. 2007, Eq. 12).

The normal equations are sparse, symmetric and positive definite, 4 unknowns a vertex with three right-hand sides. Their
factor is kept from step to step and used as the preconditioner of conjugate gradients: while only some weights change,
a handful of iterations bring the exact answer, each at a twentieth of the cost of a new factor. It is kept in single
precision, which is cheaper by a fifth, unless that proves too coarse; all else is in double.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, diags, eye
from scipy.sparse.linalg import SuperLU, splu

from headfield.errors import present

RIDGE = 1e-8
"""Pull towards the start, relative to a matched vertex: what no data reach keeps its map, and nothing is singular."""

PATIENCE = 10
"""Conjugate-gradient iterations after which the next system gets a factor of its own."""

_SYMMETRIC = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


@dataclass(frozen=True)
class Pull:
    """What pulls at the template in one step.

    Attributes:
        weights: (V,) squared weight of each vertex's target; 0 where it has none.
        targets: (V, 3) closest points; only read where the weight is positive.
        landmarks: (L, V) sparse rows of barycentric weights, or None.
        landmark_weights: (L,) squared weights.
        landmark_targets: (L, 3).
    """

    weights: np.ndarray
    targets: np.ndarray
    landmarks: csr_matrix | None = None
    landmark_weights: np.ndarray | None = None
    landmark_targets: np.ndarray | None = None

    def on_positions(self) -> csr_matrix:
        """The data and landmark terms as a quadratic form (V, V) of the vertices' positions."""
        form = diags(self.weights).tocsr()
        if self.landmarks is not None and self.landmarks.shape[0]:
            weights = present(self.landmark_weights, "weights of landmarks")
            form = form + self.landmarks.T @ diags(weights) @ self.landmarks
        return form.tocsr()

    def towards(self) -> np.ndarray:
        """Its linear term (V, 3)."""
        towards = self.weights[:, None] * np.where(self.weights[:, None] > 0, self.targets, 0.0)
        if self.landmarks is not None and self.landmarks.shape[0]:
            weights = present(self.landmark_weights, "weights of landmarks")
            towards = towards + self.landmarks.T @ (weights[:, None] * self.landmark_targets)
        return towards


class AffineSolver:
    """Minimises stiffness · Σ_edges ‖X_i − X_j‖² + data + landmarks over the maps X (V, 4, 3).

    A map takes a template vertex v to [v, 1] X. The solver is made once for a template.
    """

    def __init__(self, vertices: np.ndarray, laplacian: csr_matrix) -> None:
        """Prepare for template vertices (V, 3), best centred and about one unit large, and their `laplacian`."""
        self.homogeneous = np.column_stack([np.asarray(vertices, dtype=float), np.ones(len(vertices))])
        self._laplacian = laplacian.tocsr()
        self._order = _fill_reducing(laplacian)
        self._factor: SuperLU | None = None
        self._precision = np.float32
        self.factors = 0
        self.iterations = 0

    def identity(self) -> np.ndarray:
        """Maps (V, 4, 3) that move nothing."""
        return np.tile(np.eye(4, 3), (len(self.homogeneous), 1, 1))

    def positions(self, maps: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) under maps (V, 4, 3)."""
        return np.einsum("vk,vkc->vc", self.homogeneous, maps)

    def solve(
        self,
        stiffness: float,
        pull: Pull,
        start: np.ndarray,
        tolerance: float = 5e-5,
    ) -> np.ndarray:
        """The optimal maps.

        Args:
            stiffness: α², the weight of the stiffness term.
            pull: Targets of vertices and landmarks.
            start: (V, 4, 3) maps to start from.
            tolerance: Root-mean-square error of a matched vertex's position allowed, in the template's unit.
        Returns:
            (V, 4, 3).
        """
        form = pull.on_positions()
        count = len(self.homogeneous)
        right = self._spread(pull.towards()) + RIDGE * start

        def times(maps: np.ndarray) -> np.ndarray:
            smooth = stiffness * (self._laplacian @ maps.reshape(count, 12)).reshape(count, 4, 3)
            return smooth + self._spread(form @ self.positions(maps)) + RIDGE * maps

        allowed = tolerance**2 * max(float(form.diagonal().sum()), 1e-12)
        if self._factor is not None:
            start, done = self._conjugate_gradients(times, right, start, allowed)
            if done:
                return start
        matrix = self._assembled(stiffness * self._laplacian, form)
        for precision in (np.float32, np.float64):
            try:
                self._factor = splu(matrix.astype(precision), permc_spec="NATURAL", **_SYMMETRIC)
            except RuntimeError:  # singular to single precision: hardly any data
                continue
            self._precision = precision
            self.factors += 1
            start, done = self._conjugate_gradients(times, right, start, allowed)
            if done:
                break
        return start

    def relaxed(self, maps: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Maps (V, 4, 3) that change as little as the stiffness asks for within `free` (V,) bool, and not elsewhere.

        Without data the four rows decouple, so that this is one small scalar system.
        """
        inside, outside = np.flatnonzero(free), np.flatnonzero(~free)
        if not len(inside) or not len(outside):
            return maps
        rows = self._laplacian[inside]
        small = rows[:, inside] + RIDGE * eye(len(inside))
        right = RIDGE * maps[inside].reshape(-1, 12) - rows[:, outside] @ maps[outside].reshape(-1, 12)
        answer = maps.copy()
        answer[inside] = splu(small.tocsc()).solve(right).reshape(-1, 4, 3)
        return answer

    def _spread(self, forces: np.ndarray) -> np.ndarray:
        """Forces on positions (V, 3) as forces on maps (V, 4, 3)."""
        return self.homogeneous[:, :, None] * forces[:, None, :]

    def _assembled(self, smooth: csr_matrix, form: csr_matrix) -> csc_matrix:
        """The whole system (4V, 4V), its rows ordered for little fill."""
        count = len(self.homogeneous)
        position = np.empty(count, dtype=np.int64)
        position[self._order] = np.arange(count)
        smooth_entries, entries = smooth.tocoo(), form.tocoo()
        k = np.arange(4)
        rows = [(4 * position[smooth_entries.row][:, None] + k).ravel()]
        columns = [(4 * position[smooth_entries.col][:, None] + k).ravel()]
        values = [np.repeat(smooth_entries.data, 4)]
        left, right = self.homogeneous[entries.row], self.homogeneous[entries.col]
        block = entries.data[:, None, None] * left[:, :, None] * right[:, None, :]
        rows.append(np.broadcast_to((4 * position[entries.row][:, None] + k)[:, :, None], block.shape).ravel())
        columns.append(np.broadcast_to((4 * position[entries.col][:, None] + k)[:, None, :], block.shape).ravel())
        values.append(block.ravel())
        system = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return (coo_matrix(system, shape=(4 * count, 4 * count)).tocsc() + RIDGE * eye(4 * count)).tocsc()

    def _precondition(self, residual: np.ndarray) -> np.ndarray:
        count = len(residual)
        answer = np.empty_like(residual)
        right = np.asfortranarray(residual[self._order].reshape(4 * count, 3), dtype=self._precision)
        answer[self._order] = present(self._factor, "a factor").solve(right).reshape(count, 4, 3)
        return answer

    def _conjugate_gradients(self, times, right: np.ndarray, maps: np.ndarray, allowed: float):
        """Preconditioned conjugate gradients for the three columns at once; the maps, and whether they are good.

        With a good preconditioner r·M⁻¹r is the squared error in the energy's own norm, so that `allowed` is a bound
        on the sum of squared errors of positions.
        """
        residual = right - times(maps)
        direction = step = self._precondition(residual)
        product = np.einsum("vkc,vkc->c", residual, step)
        for _ in range(PATIENCE):
            if product.sum() <= allowed:
                return maps, True
            image = times(direction)
            length = product / np.maximum(np.einsum("vkc,vkc->c", direction, image), 1e-300)
            maps = maps + length * direction
            residual = residual - length * image
            step = self._precondition(residual)
            before, product = product, np.einsum("vkc,vkc->c", residual, step)
            direction = step + (product / np.maximum(before, 1e-300)) * direction
            self.iterations += 1
        return maps, bool(product.sum() <= allowed)


def _fill_reducing(laplacian: csr_matrix) -> np.ndarray:
    """An order (V,) of the vertices in which the factor stays sparse: minimum degree, from the graph alone."""
    count = laplacian.shape[0]
    graph = (laplacian + diags(np.full(count, 1.0 + laplacian.diagonal().max(initial=0.0)))).tocsc()
    factor = splu(graph, permc_spec="MMD_AT_PLUS_A", **_SYMMETRIC)
    return np.argsort(factor.perm_c)
