"""A small quadratic programme with bounds, for expression weights in [0, 1]."""

from __future__ import annotations

import numpy as np


def box_minimum(
    hessian: np.ndarray,
    linear: np.ndarray,
    start: np.ndarray,
    lower: np.ndarray | float = 0.0,
    upper: np.ndarray | float = 1.0,
    sweeps: int = 60,
) -> np.ndarray:
    """Minimise 1/2 e' H e + b' e subject to lower <= e <= upper, by cyclic coordinate descent.

    Exact in the limit for positive definite H; 52 unknowns take a few milliseconds.

    Args:
        hessian: (n, n) symmetric positive definite H.
        linear: (n,) b.
        start: (n,) first guess.
        lower: Lower bounds.
        upper: Upper bounds.
        sweeps: Most passes over all coordinates.
    Returns:
        (n,) the minimiser.
    """
    e = np.clip(np.asarray(start, dtype=float), lower, upper)
    lower, upper = np.broadcast_to(lower, e.shape), np.broadcast_to(upper, e.shape)
    slope = hessian @ e + linear
    diagonal = np.maximum(np.diag(hessian), 1e-12)
    for _ in range(sweeps):
        largest = 0.0
        for k in range(len(e)):
            new = min(max(e[k] - slope[k] / diagonal[k], lower[k]), upper[k])
            change = new - e[k]
            if change != 0.0:
                slope += change * hessian[:, k]
                e[k] = new
                largest = max(largest, abs(change))
        if largest < 1e-5:
            break
    return e
