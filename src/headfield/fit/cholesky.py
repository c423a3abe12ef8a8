"""Cholesky factors and inner products by torch: the solver's small systems on the pool of threads the field uses.

numpy and scipy each bring a BLAS with threads of its own. They spin while they wait, and between two passes of the
field they and torch's threads take each other's cores: a system of 300 unknowns then takes a quarter of a second on a
busy machine with two cores, and two milliseconds here.
"""

from __future__ import annotations

import numpy as np
import torch

_ROUNDING = 1e-5
"""Share of the largest diagonal element by which rounding may have spoiled the least eigenvalue."""


class Cholesky:
    """The factor of a symmetric positive definite matrix."""

    def __init__(self, matrix: np.ndarray) -> None:
        """Factor a matrix (n, n) float64. One that is indefinite only by the rounding of single-precision products (a
        hopeless start leaves such) gets as much on its diagonal as it takes.

        Raises:
            torch.linalg.LinAlgError: It is not positive definite.
        """
        whole = torch.from_numpy(np.ascontiguousarray(matrix))
        self._factor, failed = torch.linalg.cholesky_ex(whole)
        largest, share = float(whole.diagonal().abs().max()), 1e-12
        while failed and share < _ROUNDING:
            self._factor, failed = torch.linalg.cholesky_ex(whole + share * largest * torch.eye(len(whole)).double())
            share *= 10.0
        if failed:
            self._factor = torch.linalg.cholesky(whole)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solution (n,) or (n, m) for a right side of the same size."""
        columns = torch.from_numpy(np.ascontiguousarray(right.reshape(len(right), -1)))
        return torch.cholesky_solve(columns, self._factor).numpy().reshape(right.shape)

    @property
    def log_determinant(self) -> float:
        """Of the matrix."""
        return float(2.0 * self._factor.diagonal().log().sum())


def normal_products(jacobian: np.ndarray, weight: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J^T W J (n, n) and J^T W r (n,), float64.

    Args:
        jacobian: (N, n) float32; the first product is taken in float32.
        weight: (N,).
        residual: (N,).
    """
    root = np.sqrt(weight)
    rows = torch.from_numpy(jacobian) * torch.from_numpy(root.astype(np.float32))[:, None]
    slope = rows.double().T @ torch.from_numpy(root * residual)
    return (rows.T @ rows).double().numpy(), slope.numpy()
