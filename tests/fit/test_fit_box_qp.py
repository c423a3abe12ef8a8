"""The bounded quadratic programme against scipy."""

import numpy as np
from scipy.optimize import minimize

from headfield.fit.box_qp import box_minimum


def test_the_minimum_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(5):
        a = rng.standard_normal((30, 12))
        hessian, linear = a.T @ a + 0.1 * np.eye(12), rng.standard_normal(12) * 8
        mine = box_minimum(hessian, linear, np.full(12, 0.5), sweeps=500)
        theirs = minimize(
            lambda e, h=hessian, b=linear: 0.5 * e @ h @ e + b @ e,
            np.full(12, 0.5),
            bounds=[(0, 1)] * 12,
            jac=lambda e, h=hessian, b=linear: h @ e + b,
            options={"ftol": 1e-14, "gtol": 1e-12},
        ).x
        assert np.abs(mine - theirs).max() < 1e-3
        assert mine.min() >= 0 and mine.max() <= 1


def test_without_active_bounds_it_is_newtons_step():
    hessian = np.diag([2.0, 4.0])
    assert np.allclose(box_minimum(hessian, np.array([-1.0, -1.0]), np.zeros(2)), [0.5, 0.25])
