"""Positions and normals as the small integers that a store keeps."""

from __future__ import annotations

import numpy as np

from headfield.errors import StoreError

SDF_LIMIT = 0.1
"""Signed distances are clipped to this many model units (25 mm)."""

_STEPS = 65535
"""Steps of a coordinate over the box."""


def quantise(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Points (..., 3) in model units as uint16 over the box (2, 3); the step is at most 6 micrometres per axis.

    Raises:
        StoreError: A point lies outside the box or is not finite.
    """
    points, box = np.asarray(points, dtype=np.float64), np.asarray(box, dtype=np.float64)
    steps = np.rint((points - box[0]) / (box[1] - box[0]) * _STEPS)
    if not (np.isfinite(steps).all() and steps.min(initial=0) >= 0 and steps.max(initial=0) <= _STEPS):
        finite = points.reshape(-1, 3)[np.isfinite(points.reshape(-1, 3)).all(-1)]
        span = "no finite place" if len(finite) == 0 else f"{finite.min(0).round(3)} to {finite.max(0).round(3)}"
        raise StoreError(
            f"{points.size // 3 - len(finite)} points are not finite, the others span {span} model units; "
            f"the store's box is {box[0]} to {box[1]}: enlarge the box in the settings."
        )
    return steps.astype(np.uint16)


def dequantise(values: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Model-unit positions (..., 3) float32 of quantised points (..., 3) uint16 over the box (2, 3)."""
    box = np.asarray(box, dtype=np.float64)
    return (values * ((box[1] - box[0]) / _STEPS) + box[0]).astype(np.float32)


def quantise_normals(normals: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) as int8, times 127 (angle error at most 0.4 degrees)."""
    return np.rint(np.asarray(normals) * 127.0).astype(np.int8)


def dequantise_normals(values: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) float32 of quantised normals (..., 3) int8."""
    normals = values.astype(np.float32)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)
