"""A slice through a signed-distance field as a picture: level lines, the skin, and the true outline over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..frames import MM_PER_UNIT
from ..types import Mesh

AXES = {"x": (2, 1), "y": (0, 2), "z": (0, 1)}
"""Axes that run right and up in the picture of a slice at constant x, y or z: profile, from above, frontal."""

_INSIDE = np.array([(74, 110, 158), (214, 226, 238)], dtype=float)
_OUTSIDE = np.array([(176, 108, 62), (250, 240, 228)], dtype=float)
_CHUNK = 16_384
_SKIN, _TRUTH = np.array([25.0, 25, 30]), (214, 40, 90)


def slice_picture(
    field: Callable[[np.ndarray], np.ndarray],
    box: np.ndarray,
    axis: str = "x",
    at: float = 0.0,
    *,
    size: int = 640,
    step_mm: float = 10.0,
    far_mm: float = 100.0,
    truth: Mesh | None = None,
) -> np.ndarray:
    """Picture of a field on a plane.

    Blue is inside, amber outside, both paler towards the skin, which is the black line; thin lines every `step_mm`
    show the spacing of the levels: even for a true distance, bunched where the field is steep.

    Args:
        field: Signed distances (N,) at points (N, 3) float32, model units; called with 16,384 points at most.
        box: (2, 3) what to show.
        axis: The plane's normal: ``x`` shows a profile, ``y`` a view from above, ``z`` a frontal one.
        at: Where the plane cuts that axis.
        size: Pixels along the longer side.
        step_mm: Spacing of the level lines.
        far_mm: Distance with the deepest colour.
        truth: A mesh whose outline on the plane is drawn in red over the picture, or None.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: The axis is unknown.
    """
    box = np.asarray(box, dtype=float)
    points, pixel = plane_points(box, axis, at, size)
    (right, up), (height, width) = AXES[axis], points.shape[:2]
    flat = points.reshape(-1, 3)
    values = np.concatenate([_call(field, flat[i : i + _CHUNK]) for i in range(0, len(flat), _CHUNK)])
    mm = values.reshape(height, width) * MM_PER_UNIT
    picture = Image.fromarray(_levels(mm, step_mm, far_mm))
    if truth is not None:
        corner = np.array([box[0, right], box[1, up]])
        outline = (plane_segments(truth, axis, at)[:, :, [right, up]] - corner) * [1, -1] / pixel
        picture.paste(_TRUTH, mask=_drawn(outline, width, height))
    return np.asarray(picture)


def _levels(mm: np.ndarray, step_mm: float, far_mm: float) -> np.ndarray:
    """Colours (H, W, 3) uint8 of distances (H, W), mm, with the skin and the level lines."""
    depth = np.clip(np.abs(mm) / far_mm, 0, 1)[..., None] ** 0.6
    ramp = np.where((mm < 0)[..., None], 1, 0)
    colour = ramp * (_INSIDE[1] + depth * (_INSIDE[0] - _INSIDE[1]))
    colour = colour + (1 - ramp) * (_OUTSIDE[1] + depth * (_OUTSIDE[0] - _OUTSIDE[1]))
    down, along = np.gradient(mm)
    slope = np.maximum(np.hypot(down, along), 1e-6)  # mm per pixel: lines keep their width where the field is flat
    line = np.clip(1.2 - np.abs((mm / step_mm + 0.5) % 1 - 0.5) * step_mm / slope, 0, 1)[..., None]
    colour = colour * (1 - 0.28 * line)
    skin = np.clip(2.0 - np.abs(mm) / slope, 0, 1)[..., None]
    return np.round(colour * (1 - skin) + _SKIN * skin).astype(np.uint8)


def _drawn(segments: np.ndarray, width: int, height: int) -> Image.Image:
    """A mask with smooth lines: segments (S, 2, 2) in pixels right and down."""
    scale = 3  # pillow draws lines without smoothing: draw large, shrink
    large = Image.new("L", (width * scale, height * scale), 0)
    draw = ImageDraw.Draw(large)
    for ends in segments * scale:
        draw.line(ends.ravel().tolist(), fill=255, width=scale + 1)
    return large.resize((width, height), Image.Resampling.LANCZOS)


def plane_points(box: np.ndarray, axis: str, at: float, size: int) -> tuple[np.ndarray, float]:
    """Where the pixels of a slice lie.

    Args:
        box, axis, at, size: As in `slice_picture`.

    Returns:
        Points (H, W, 3) float32, first row on top, and the side of a pixel.

    Raises:
        ValueError: The axis is unknown.
    """
    if axis not in AXES:
        raise ValueError(f"axis {axis!r} is unknown: choose x, y or z")
    right, up = AXES[axis]
    side = np.asarray(box[1], dtype=float) - box[0]
    pixel = max(side[right], side[up]) / size
    width, height = int(round(side[right] / pixel)), int(round(side[up] / pixel))
    points = np.empty((height, width, 3), dtype=np.float32)
    points[..., "xyz".index(axis)] = at
    points[..., right] = box[0][right] + (np.arange(width) + 0.5) * pixel
    points[..., up] = (box[1][up] - (np.arange(height) + 0.5) * pixel)[:, None]
    return points, pixel


def _call(field: Callable, points: np.ndarray) -> np.ndarray:
    answer = field(points)
    return np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer, dtype=float).reshape(-1)


def plane_segments(mesh: Mesh, axis: str, at: float) -> np.ndarray:
    """Where a plane cuts the triangles: segments (S, 2, 3)."""
    corners = np.asarray(mesh.vertices, dtype=float)[mesh.triangles]
    height = corners[:, :, "xyz".index(axis)] - at
    height = np.where(height == 0, 1e-12, height)  # a corner on the plane counts as above it
    cut = (height > 0).any(1) & (height < 0).any(1)
    corners, height = corners[cut], height[cut]
    lone = np.argmax((height > 0) == ((height > 0).sum(1) == 1)[:, None], axis=1)  # the corner alone on its side
    rows = np.arange(len(corners))
    ends = []
    for other in (1, 2):
        b = (lone + other) % 3
        ha, hb = height[rows, lone], height[rows, b]
        share = (ha / (ha - hb))[:, None]
        ends.append(corners[rows, lone] * (1 - share) + corners[rows, b] * share)
    return np.stack(ends, axis=1) if len(corners) else np.empty((0, 2, 3))


def slices(field: Callable, box: np.ndarray, places: Sequence[tuple[str, float]], **options) -> list[np.ndarray]:
    """Several `slice_picture`s, for a contact sheet: places are (axis, at)."""
    return [slice_picture(field, box, axis, at, **options) for axis, at in places]
