"""Pictures of point clouds as small shaded discs."""

from __future__ import annotations

import numpy as np

from ..neighbours import PointTree
from .camera import camera_for, canvas_of
from .clay import CLAY, developed, linear, shade
from .cloud_normals import estimated_normals


class PointPictures:
    """A point cloud of which pictures are taken."""

    def __init__(
        self,
        points: np.ndarray,
        *,
        normals: np.ndarray | None = None,
        colours: np.ndarray | None = None,
        radius: float | None = None,
    ) -> None:
        """Make a cloud ready; arguments as of `render_points`."""
        points = np.asarray(points, dtype=float)
        keep = np.isfinite(points).all(1)
        self.points = points[keep]
        if normals is not None:
            self.normals = np.asarray(normals, dtype=float)[keep]
        else:
            self.normals = estimated_normals(self.points) if len(self.points) else self.points
        self.albedo = None if colours is None else linear(np.asarray(colours)[keep])
        self.radius = 0.8 * spacing(self.points) if radius is None else radius

    def picture(
        self,
        view: str | tuple[float, float] = "front",
        *,
        size: int | tuple[int, int] = 512,
        frame_on: np.ndarray | None = None,
        zoom: float = 1.0,
        samples: int = 2,
    ) -> np.ndarray:
        """One picture (H, W, 3) uint8; arguments as of `render_points`."""
        canvas = height, width = canvas_of(size, samples)
        points = self.points
        if not len(points):
            return developed(np.empty((3, 0)), np.empty(0, dtype=np.int64), canvas, samples)
        camera = camera_for(points if frame_on is None else frame_on, view, zoom)
        seen = camera.axes @ (points - camera.origin).T
        scale = min(canvas) / 2 / camera.slope
        depth = -seen[2]
        x = (seen[0] / depth - camera.shift[0]) * scale + width / 2
        y = height / 2 - (seen[1] / depth - camera.shift[1]) * scale
        reach = np.clip(self.radius * scale / (3.0 * camera.reach), 0.8 * samples, 12 * samples)
        order = np.argsort(depth, kind="stable")
        nearest = _nearest(np.floor(x[order]).astype(int), np.floor(y[order]).astype(int), reach, canvas)
        hit = np.flatnonzero(nearest < len(points))
        shown, which = np.unique(order[nearest[hit]], return_inverse=True)
        turned = camera.axes @ self.normals[shown].T
        turned = np.where(turned[2] < 0, -turned, turned)
        fade = 0.85 * _covered(np.stack([x, y], axis=1), depth, shown, 6 * reach, camera.reach)
        albedo = CLAY[:, None] if self.albedo is None else self.albedo[shown].T
        light = shade(turned, albedo, 1.0, 1.0, 0.0 if self.albedo is None else 0.45)
        return developed(light[:, which], hit, canvas, samples, fade[which])


def _nearest(column: np.ndarray, row: np.ndarray, reach: float, canvas: tuple[int, int]) -> np.ndarray:
    """For every sample of a canvas (height, width) the first of N discs about samples that covers it, else N."""
    height, width = canvas
    nearest = np.full(height * width, len(column), dtype=np.int64)
    around = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 1)
    for dy in around:
        for dx in around:
            if dx * dx + dy * dy > reach**2:
                continue
            x, y = column + dx, row + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            np.minimum.at(nearest, (y * width + x)[inside], np.arange(len(column))[inside])
    return nearest


def _covered(pixels: np.ndarray, depth: np.ndarray, which: np.ndarray, radius: float, reach: float) -> np.ndarray:
    """How much some (M,) of points (N,) belong to a far side seen between near points, 0..1; single strays cover
    nothing."""
    count = min(12, len(pixels))
    tree = PointTree(pixels, balanced_tree=False, compact_nodes=False)  # asked once: quick to make
    index = tree.query(pixels[which], k=count, distance_upper_bound=radius)[1]
    third = min(2, count - 1)
    around = np.append(depth, np.inf)[index.reshape(len(which), count)]
    third = np.partition(around, third, axis=1)[:, third]
    return np.clip((depth[which] - third) / (0.08 * reach) - 0.5, 0, 1)


def spacing(points: np.ndarray) -> float:
    """Median distance of finite points (N, 3) to their nearest neighbour; 0 when there is only one.

    Discs of 1.7 times this close the surface of a scan: a cloud full of gaps is hard to judge.
    """
    some = points[:: max(1, len(points) // 2000)]
    return float(np.median(PointTree(points).query(some, k=2)[0][:, 1])) if len(points) > 1 else 0.0


def render_points(
    points: np.ndarray,
    *,
    view: str | tuple[float, float] = "front",
    size: int | tuple[int, int] = 512,
    normals: np.ndarray | None = None,
    colours: np.ndarray | None = None,
    frame_on: np.ndarray | None = None,
    zoom: float = 1.0,
    radius: float | None = None,
    samples: int = 2,
) -> np.ndarray:
    """Picture of a point cloud as small shaded discs; for several of one cloud see `PointPictures`.

    Args:
        points: (N, 3), y up, +z towards the front camera; non-finite ones are left out.
        view, size, frame_on, zoom, samples: As in `headfield.surface.snapshot.render`.
        normals: (N, 3) of any sign, or None to estimate them from neighbours.
        colours: (N, 3|4) uint8 sRGB, or None for clay.
        radius: Disc radius in the points' unit; default 0.8 of the median spacing, at least a pixel.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: The view is unknown.
    """
    cloud = PointPictures(points, normals=normals, colours=colours, radius=radius)
    return cloud.picture(view, size=size, frame_on=frame_on, zoom=zoom, samples=samples)
