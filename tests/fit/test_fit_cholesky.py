"""The solver's linear algebra against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headfield.fit.cholesky import Cholesky, normal_products


def test_solutions_and_determinant():
    rng = np.random.default_rng(0)
    square = rng.standard_normal((40, 40))
    matrix = square @ square.T + 0.1 * np.eye(40)
    factor = Cholesky(matrix)
    for right in (rng.standard_normal(40), np.asfortranarray(rng.standard_normal((40, 3)))):
        solved = factor.solve(right)
        assert solved.shape == right.shape
        np.testing.assert_allclose(matrix @ solved, right, atol=1e-9)
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-10)


def test_indefinite_matrices_are_refused():
    with pytest.raises(torch.linalg.LinAlgError):
        Cholesky(np.diag([1.0, -1.0]))


def test_normal_products():
    rng = np.random.default_rng(1)
    jacobian = rng.standard_normal((500, 20)).astype(np.float32)
    weight, residual = rng.uniform(0, 4, 500), rng.standard_normal(500)
    hessian, slope = normal_products(jacobian, weight, residual)
    exact = jacobian.astype(float)
    np.testing.assert_allclose(hessian, exact.T @ (weight[:, None] * exact), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(slope, exact.T @ (weight * residual), rtol=1e-5, atol=1e-4)
    assert hessian.dtype == slope.dtype == np.float64


def test_a_matrix_that_rounding_left_indefinite_is_still_factored():
    rng = np.random.default_rng(5)
    wide = rng.standard_normal((40, 12))
    matrix = wide @ wide.T - 1e-9 * np.eye(40)  # of rank 12, the rest a little below zero
    factor = Cholesky(matrix)
    assert np.isfinite(factor.log_determinant)
    assert np.isfinite(factor.solve(np.ones(40))).all()
