"""Cameras round a subject, by name or by angle, that frame it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIEWS: dict[str, tuple[float, float]] = {
    "front": (0, 0),
    "left": (90, 0),
    "right": (-90, 0),
    "back": (180, 0),
    "three_quarter": (38, 6),
    "three_quarter_right": (-38, 6),
    "top": (0, 85),
    "below": (0, -35),
}
"""Camera places as (yaw, pitch) in degrees round the subject: yaw towards its left (+x), pitch upwards."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        origin: (3,) its centre, in the frame and unit of what it looks at.
        axes: (3, 3) rows right, up and backwards (towards the camera).
        slope: Half the picture's shorter side at distance one.
        shift: (2,) centre of the picture at distance one, right and up.
        reach: Size of the subject, for offsets.
    """

    origin: np.ndarray
    axes: np.ndarray
    slope: float
    shift: np.ndarray
    reach: float


def camera_for(points: np.ndarray, view: str | tuple[float, float] = "front", zoom: float = 1.0) -> Camera:
    """A long-lens camera that frames points (N, 3).

    Args:
        points: What must be in the picture: vertices, or the corners of a box.
        view: A name in VIEWS or (yaw, pitch) in degrees.
        zoom: Above one shows less.

    Raises:
        ValueError: The view is unknown, or no point is finite.
    """
    if isinstance(view, str) and view not in VIEWS:
        raise ValueError(f"unknown view {view!r}: choose one of {', '.join(VIEWS)} or give (yaw, pitch) in degrees")
    yaw, pitch = np.deg2rad(VIEWS[view] if isinstance(view, str) else view)
    backwards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    axes = np.stack([right, np.cross(backwards, right), backwards])
    points = np.asarray(points, dtype=float)
    finite = np.isfinite(points)
    points = points if finite.all() else points[finite.all(1)]
    points = points.T  # numpy is many times as quick along rows
    low, high = points.min(1), points.max(1)
    reach = float(max(np.linalg.norm(high - low), 1e-12))
    origin = (low + high) / 2 + 3.0 * reach * backwards
    seen = axes @ (points - origin[:, None])
    flat = seen[:2] / -seen[2]
    low, high = flat.min(1), flat.max(1)
    return Camera(origin, axes, max(float((high - low).max()) / 2 * 1.12 / zoom, 1e-4), (low + high) / 2, reach)


def canvas_of(size: int | tuple[int, int], samples: int) -> tuple[int, int]:
    """(height, width) in samples of a picture of so many pixels, or (width, height) of them."""
    width, height = (size, size) if isinstance(size, int) else size
    return height * samples, width * samples
