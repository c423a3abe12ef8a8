"""Pictures of a scan for a face detector, each with the depth of every pixel.

A detector wants a plainly lit face, not a beautiful one; lifting wants to know what each pixel saw. Both come from the
same rays. A cloud without triangles is traced as overlapping small squares, one a point. Cameras are those of
:mod:`headfield.surface.snapshot`, with no idea of what is up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from headfield.fit.clean import clean, thin
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import thinnest
from headfield.surface.rays import RayScene
from headfield.surface.snapshot import Camera
from headfield.surface.topology import vertex_normals
from headfield.types import Scan

SKIN = np.array([0.86, 0.68, 0.58])
"""Albedo (display values) of a scan without colours: detectors are used to skin."""

PAPER = np.array([0.90, 0.90, 0.91])
_KEY = np.array([-0.35, 0.55, 0.75])
_FILL = np.array([0.6, 0.1, 0.8])

POINTS = 60_000
"""Points of a cloud that pictures are made of."""

COVER = 1.1
"""Half the side of a point's square in mean distances to its neighbours: squares of this size leave no gaps."""

STRAY = 3.0
"""A point whose neighbours are so many times as far as usual floats in the air and is left out."""


@dataclass(frozen=True)
class View:
    """A picture of a scan.

    Attributes:
        camera: Where from.
        picture: (S, S, 3) uint8.
        depth: (S, S) distance along the camera's axis in scan units, infinite where there is nothing.
        facing: (S, S) cosine between the surface's normal and the camera's axis, 0 where there is nothing.
    """

    camera: Camera
    picture: np.ndarray
    depth: np.ndarray
    facing: np.ndarray


def camera_at(target: np.ndarray, axes: np.ndarray, reach: float, distance: float = 4.0) -> Camera:
    """A camera that shows a ball.

    Args:
        target: (3,) centre of the ball, scan frame.
        axes: (3, 3) rows right, up and backwards, orthonormal.
        reach: Radius of the ball, which fills the picture, scan units.
        distance: From the target, in radii: 4 is a portrait lens.
    """
    axes = np.asarray(axes, dtype=float)
    origin = np.asarray(target, dtype=float) + distance * reach * axes[2]
    return Camera(origin, axes, 1.0 / distance, np.zeros(2), float(reach))


def project(camera: Camera, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) as (column, row), pixel centres at halves, and depths (N,) of points (N, 3)."""
    seen = (np.asarray(points, dtype=float) - camera.origin) @ camera.axes.T
    depth = -seen[:, 2]
    flat = seen[:, :2] / np.where(np.abs(depth) > 1e-12, depth, 1e-12)[:, None] - camera.shift
    scale = size / (2.0 * camera.slope)
    return np.stack([size / 2 + scale * flat[:, 0], size / 2 - scale * flat[:, 1]], axis=1), depth


def rays(camera: Camera, pixels: np.ndarray, size: int) -> np.ndarray:
    """Ways (N, 3) through pixels (N, 2), of length one along the camera's axis: origin + depth * way is the point."""
    scale = 2.0 * camera.slope / size
    pixels = np.asarray(pixels, dtype=float)
    flat = np.stack([scale * (pixels[:, 0] - size / 2), scale * (size / 2 - pixels[:, 1])], axis=1) + camera.shift
    return flat @ camera.axes[:2] - camera.axes[2]


class Subject:
    """A scan made ready for pictures from anywhere.

    Attributes:
        centre: (3,) middle of the scan without strays, scan frame.
        reach: Radius of the ball about it that holds the scan without strays, scan units.
        spacing: Typical distance between neighbouring points, scan units.
        points: (N, 3) points of the surface, strays left out.
    """

    def __init__(self, scan: Scan, seed: int = 0) -> None:
        """Prepare a scan of any frame and unit; its triangles are used where it has any."""
        points = np.asarray(scan.points, dtype=float)
        body = points[clean(points, 3000, seed).index]
        low, high = np.percentile(body, [0.5, 99.5], axis=0)
        self.centre = (low + high) / 2
        self.reach = float(max(np.percentile(np.linalg.norm(body - self.centre, axis=1), 99), 1e-12))
        colours = None if scan.colours is None else np.asarray(scan.colours)[:, :3] / 255.0
        if scan.triangles is not None and len(scan.triangles):
            triangles = np.asarray(scan.triangles, dtype=np.int64)
            self.scene = RayScene(points, triangles)
            edges = points[triangles[:, 0]] - points[triangles[:, 1]]
            self.points, self.spacing = points, float(np.median(np.linalg.norm(edges, axis=1)))
            self._corners, self._normals, self._colours = triangles, vertex_normals(points, triangles), colours
            self._blur = 0.0
            return
        index = thin(points, POINTS, seed)
        normals = None if scan.normals is None else np.asarray(scan.normals, dtype=float)[index]
        kept, self._normals, spacing = _surface(points[index], normals)
        self.points, self.spacing = points[index][kept], float(np.median(spacing))
        self._colours = None if colours is None else colours[index][kept]
        vertices, triangles = _squares(self.points, self._normals, COVER * spacing)
        self.scene = RayScene(vertices, triangles)
        self._corners, self._blur = None, 0.8 * self.spacing

    def picture(self, camera: Camera, size: int) -> View:
        """The scan seen by a camera, size x size pixels."""
        at = np.arange(size) + 0.5
        ways = rays(camera, np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2), size)
        hits = self.scene.first_hit(np.broadcast_to(camera.origin, ways.shape), ways)
        hit = hits.triangle >= 0
        mask = hit.reshape(size, size)
        normals = np.zeros((size, size, 3))
        towards = self._at(hits.triangle[hit], hits.barycentric[hit], self._normals) @ camera.axes.T
        normals[mask] = np.where(towards[:, 2:] < 0, -towards, towards)  # a scan's normals may be inverted
        albedo = None
        if self._colours is not None:
            albedo = np.zeros((size, size, 3))
            albedo[mask] = self._at(hits.triangle[hit], hits.barycentric[hit], self._colours)
        depth = np.where(hit, hits.distance, np.inf).reshape(size, size)
        if self._blur and hit.any():
            middle = float(np.median(hits.distance[hit]))
            pixels = min(self._blur * size / (2 * camera.slope * middle), size / 64)
            normals = _blurred(normals, mask, pixels)
            albedo = None if albedo is None else _blurred(albedo, mask, 0.5 * pixels)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
        return View(camera, _developed(mask, normals, albedo), depth, normals[..., 2])

    def hits(self, camera: Camera, pixels: np.ndarray, size: int) -> np.ndarray:
        """Depths (N,) of the surface at pixels (N, 2) of a picture of a size, infinite where there is none."""
        ways = rays(camera, pixels, size)
        return self.scene.first_hit(np.broadcast_to(camera.origin, ways.shape), ways).distance

    def _at(self, triangle: np.ndarray, barycentric: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values (N, C) of the points at places on triangles."""
        if self._corners is None:
            return values[triangle // 2]
        return np.einsum("nk,nkc->nc", barycentric, values[self._corners[triangle]])


def _developed(mask: np.ndarray, normals: np.ndarray, albedo: np.ndarray | None) -> np.ndarray:
    """The picture (S, S, 3) uint8 from what each pixel saw (normals in camera axes); colours are lit but a little."""
    light = 0.30 + 0.55 * np.clip(normals @ (_KEY / np.linalg.norm(_KEY)), 0, None)
    light = (light + 0.28 * np.clip(normals @ (_FILL / np.linalg.norm(_FILL)), 0, None))[..., None]
    shown = SKIN * light if albedo is None else albedo * (0.72 + 0.28 * light)
    return np.round(np.clip(np.where(mask[..., None], shown, PAPER), 0, 1) * 255).astype(np.uint8)


def _blurred(values: np.ndarray, mask: np.ndarray, pixels: float) -> np.ndarray:
    """Averages of an image (S, S, C) over neighbours within the mask."""
    share = np.maximum(gaussian_filter(mask.astype(np.float32), pixels), 1e-6)
    kept = np.where(mask[..., None], values, 0).astype(np.float32)
    return gaussian_filter(kept, (pixels, pixels, 0)) / share[..., None] * mask[..., None]


def _surface(points: np.ndarray, normals: np.ndarray | None, neighbours: int = 10):
    """Points of a cloud that have neighbours, their normals averaged over those, and the spacing there.

    Args:
        points: (N, 3).
        normals: (N, 3) of any sign, or None to estimate them.
        neighbours: How many are asked.
    Returns:
        Mask (N,), unit normals (M, 3) of the kept points, of any sign, and spacing (M,) around each.
    """
    distance, index = PointTree(points).query(points, k=min(neighbours, len(points)))
    distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
    typical = float(np.median(distance[:, -1]))
    kept = distance[:, -1] < STRAY * typical
    kept = kept if kept.any() else np.ones(len(points), dtype=bool)
    # n neighbours lie within a disc of radius r, so the area of one is pi r^2 / n
    spacing = np.maximum(distance[kept, -1] * np.sqrt(np.pi / index.shape[1]), 1e-12)
    if normals is None:
        return kept, thinnest(points[index[kept]]), spacing
    near = normals[index[kept]]
    sign = np.where(np.einsum("nkc,nc->nk", near, normals[kept]) < 0, -1.0, 1.0)
    mean = (near * sign[..., None]).sum(1)
    return kept, mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12), spacing


def _squares(points: np.ndarray, normals: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of half sides (N,) across the normals: vertices (4 N, 3), triangles (2 N, 3)."""
    helper = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(normals, helper)
    first *= half[:, None] / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    second = np.cross(normals, first)
    corners = np.stack([points - first - second, points + first - second, points + first + second,
                        points - first + second], axis=1)  # fmt: skip
    base = 4 * np.arange(len(points))[:, None, None]
    return corners.reshape(-1, 3), (base + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)


def turned(view: View, quarters: int) -> View:
    """The view after its picture was turned by quarters counter-clockwise; the camera turns the other way."""
    axes, shift = view.camera.axes, view.camera.shift
    for _ in range(quarters % 4):  # what was right is up now
        axes = np.stack([-axes[1], axes[0], axes[2]])
        shift = np.array([-shift[1], shift[0]])
    camera = Camera(view.camera.origin, axes, view.camera.slope, shift, view.camera.reach)
    picture, depth, facing = (
        np.ascontiguousarray(np.rot90(part, quarters)) for part in (view.picture, view.depth, view.facing)
    )
    return View(camera, picture, depth, facing)


def cropped(view: View, row: int, column: int, size: int) -> View:
    """A square part of a view, `size` pixels wide, from a row and a column on."""
    whole, camera = len(view.picture), view.camera
    middle = np.array([column + size / 2 - whole / 2, whole / 2 - row - size / 2])
    shift = camera.shift + middle * 2 * camera.slope / whole
    share = size / whole
    part = np.s_[row : row + size, column : column + size]
    smaller = Camera(camera.origin, camera.axes, camera.slope * share, shift, camera.reach * share)
    picture = np.ascontiguousarray(view.picture[part])
    return View(smaller, picture, view.depth[part], view.facing[part])


def axes_around(axes: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Camera axes (3, 3) seen from the side of others: `yaw` degrees to their right, `pitch` degrees up."""
    y, p = np.radians([yaw, pitch])
    back = np.array([np.sin(y) * np.cos(p), np.sin(p), np.cos(y) * np.cos(p)])
    right = np.array([np.cos(y), 0.0, -np.sin(y)])
    return np.stack([right, np.cross(back, right), back]) @ axes
