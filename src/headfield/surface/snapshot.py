"""Pictures of meshes and points without OpenGL: embree finds what each pixel sees, numpy shades it as clay.

Lights ride with the camera (key from the upper left, cool fill from the right, rim from behind), so every view is lit
alike; soft key shadows and ambient occlusion show the shape of lids, lips and ears. `left` is the subject's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..types import Mesh
from .cloud_normals import estimated_normals
from .rays import RayScene
from .sheet import contact_sheet, error_colours, error_legend, write_png
from .topology import vertex_normals

__all__ = [
    "VIEWS", "Camera", "camera_for", "contact_sheet", "error_colours", "error_legend", "render", "render_points",
    "spacing", "write_png",
]  # fmt: skip

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

CLAY = np.array([0.54, 0.455, 0.395])
BACK_FACE = np.array([0.24, 0.32, 0.46])
_SIDE_LIGHTS = (  # direction towards the light in camera axes (right, up, towards the camera), linear colour, wrap
    (np.array([0.75, 0.15, 0.60]), np.array([0.30, 0.34, 0.40]), 0.5),
    (np.array([0.55, 0.65, -0.75]), np.array([0.50, 0.52, 0.55]), 0.0),
    (np.array([-0.80, 0.20, -0.60]), np.array([0.28, 0.27, 0.26]), 0.0),
)
_KEY = np.array([-0.55, 0.65, 0.80])
_KEY_COLOUR = np.array([1.12, 1.06, 0.97])
_SKY, _GROUND = np.array([0.42, 0.44, 0.47]), np.array([0.24, 0.22, 0.20])


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
    points = points[np.isfinite(points).all(1)]
    low, high = points.min(0), points.max(0)
    reach = float(max(np.linalg.norm(high - low), 1e-12))
    origin = (low + high) / 2 + 3.0 * reach * backwards
    seen = (points - origin) @ axes.T
    flat = seen[:, :2] / -seen[:, 2:]
    low, high = flat.min(0), flat.max(0)
    return Camera(origin, axes, max(float((high - low).max()) / 2 * 1.12 / zoom, 1e-4), (low + high) / 2, reach)


def _canvas(size: int | tuple[int, int], samples: int) -> tuple[int, int, np.ndarray]:
    width, height = (size, size) if isinstance(size, int) else size
    return width * samples, height * samples, np.array([width, height]) * samples


def _background(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = np.clip((x**2 + 0.8 * (y + 0.2) ** 2) / 2, 0, 1)[..., None]
    return (1 - fall) * np.array([0.93, 0.93, 0.925]) + fall * np.array([0.80, 0.80, 0.80])


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, None)
    rolled = np.where(linear > 0.8, 0.8 + 0.2 * np.tanh((linear - 0.8) / 0.2), linear)  # soft shoulder, no clipping
    return np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * np.maximum(rolled, 1e-9) ** (1 / 2.4) - 0.055)


def _from_srgb(srgb: np.ndarray) -> np.ndarray:
    value = np.asarray(srgb, dtype=float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _shade(normals: np.ndarray, albedo: np.ndarray, open_sky: np.ndarray, lit: np.ndarray, flat: float) -> np.ndarray:
    """Linear colours (N, 3) from camera-axes normals, albedo, ambient openness and key visibility (N,) in 0..1."""
    key = _KEY / np.linalg.norm(_KEY)
    light = (_SKY * (0.5 + 0.5 * normals[:, 1:2]) + _GROUND * (0.5 - 0.5 * normals[:, 1:2])) * open_sky[:, None] ** 1.2
    cosine = np.clip((normals @ key + 0.08) / 1.08, 0, None)
    light = light + _KEY_COLOUR * (cosine * lit)[:, None]
    for direction, colour, wrap in _SIDE_LIGHTS:
        direction = direction / np.linalg.norm(direction)
        cosine = np.clip((normals @ direction + wrap) / (1 + wrap), 0, None)
        light = light + colour * (cosine**1.5 * open_sky)[:, None]
    half = key + np.array([0, 0, 1.0])
    sheen = np.clip(normals @ (half / np.linalg.norm(half)), 0, None) ** 28 * 0.07 * lit
    light = (1 - flat) * light + flat * (0.75 + 0.25 * normals[:, 2:3])
    return albedo * light * 0.86 + (1 - flat) * sheen[:, None]


def _smooth_within(value: np.ndarray, depth: np.ndarray, mask: np.ndarray, reach: float, radius: int) -> np.ndarray:
    """Average a noisy image term over neighbours of similar depth."""
    total, weight = np.zeros_like(value), np.zeros_like(value)
    depth = np.where(mask, depth, 1e9)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            near = np.abs(np.roll(depth, (dy, dx), (0, 1)) - depth) < 0.012 * reach
            total += near * np.roll(value, (dy, dx), (0, 1))
            weight += near
    return np.where(mask, total / np.maximum(weight, 1), 1)


def _hemisphere(normals: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Cosine-distributed directions (N, count, 3) about unit normals (N, 3), stratified in azimuth."""
    turn = (np.arange(count) + rng.random((len(normals), 1))) / count * 2 * np.pi + rng.random((len(normals), 1)) * 7
    ring = rng.permuted(np.tile(np.arange(count), (len(normals), 1)), axis=1)
    radius = np.sqrt((ring + rng.random(turn.shape)) / count)
    sphere = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)], axis=-1)
    helper = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    tangent = np.cross(normals, helper)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    frame = np.stack([tangent, np.cross(normals, tangent), normals], axis=1)
    return np.einsum("nkc,ncd->nkd", sphere, frame)


def _down(linear: np.ndarray, samples: int) -> np.ndarray:
    height, width = linear.shape[0] // samples, linear.shape[1] // samples
    # averaging in display space keeps silhouettes against the light background crisp
    return np.round(255 * _to_srgb(linear).reshape(height, samples, width, samples, 3).mean((1, 3))).astype(np.uint8)


def render(
    mesh: Mesh,
    *,
    view: str | tuple[float, float] = "front",
    size: int | tuple[int, int] = 512,
    colours: np.ndarray | None = None,
    frame_on: np.ndarray | None = None,
    zoom: float = 1.0,
    samples: int = 2,
    occlusion_rays: int = 6,
    flat: float | None = None,
) -> np.ndarray:
    """Picture of a mesh as clay.

    Args:
        mesh: Any unit; y up, +z towards the front camera.
        view: A name in VIEWS or (yaw, pitch) in degrees.
        size: Pixels, or (width, height).
        colours: (V, 3|4) or (F, 3|4) uint8 sRGB, or None for clay (also when the mesh has colours of its own).
        frame_on: Points (N, 3) to frame instead of the mesh, so that several pictures share one camera.
        zoom: Above one shows less.
        samples: Supersampling per axis.
        occlusion_rays: Ambient rays per sample; 0 is a third of the time and flatter.
        flat: 0 full light .. 1 no light; default 0 for clay and 0.45 for given colours, so that they stay legible.

    Returns:
        (H, W, 3) uint8. Back faces are blue, so that a mesh turned inside out shows.

    Raises:
        ValueError: The view is unknown, or there is no vertex.
    """
    vertices, triangles = np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.triangles)
    width, height, pixels = _canvas(size, samples)
    camera = camera_for(vertices if frame_on is None else frame_on, view, zoom)
    scene = RayScene(vertices, triangles)
    x = (np.arange(width) + 0.5 - width / 2) / (pixels.min() / 2) * camera.slope + camera.shift[0]
    y = (height / 2 - np.arange(height) - 0.5) / (pixels.min() / 2) * camera.slope + camera.shift[1]
    grid = np.stack([*np.meshgrid(x, y), -np.ones((height, width))], axis=-1).reshape(-1, 3)
    directions = grid @ camera.axes
    hits = scene.first_hit(np.broadcast_to(camera.origin, directions.shape), directions)
    hit = hits.triangle >= 0
    linear = _background(height, width).reshape(-1, 3) ** 2.2
    if hit.any():
        corners, weights = triangles[hits.triangle[hit]], hits.barycentric[hit]
        normals_at = vertex_normals(vertices, triangles) if mesh.normals is None else np.asarray(mesh.normals)
        normals = np.einsum("nk,nkc->nc", weights, normals_at[corners])
        edge = vertices[corners]
        face = np.cross(edge[:, 1] - edge[:, 0], edge[:, 2] - edge[:, 0])
        face /= np.maximum(np.linalg.norm(face, axis=1, keepdims=True), 1e-30)
        behind = (face * directions[hit]).sum(1) > 0
        face[behind] *= -1
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        normals = np.where(((normals * face).sum(1) < 0)[:, None], -normals, normals)
        if colours is None:
            albedo = np.broadcast_to(CLAY, normals.shape).copy()
        elif len(colours) == len(triangles) != len(vertices):
            albedo = _from_srgb(np.asarray(colours)[hits.triangle[hit], :3])
        else:
            albedo = np.einsum("nk,nkc->nc", weights, _from_srgb(np.asarray(colours)[:, :3])[corners])
        albedo[behind] = BACK_FACE
        flat = (0.0 if colours is None else 0.45) if flat is None else flat
        open_sky, lit = np.ones(len(normals)), np.ones(len(normals))
        if occlusion_rays:
            points = camera.origin + hits.distance[hit, None] * directions[hit] + 1e-3 * camera.reach * face
            open_sky, lit = _occlusion(scene, points, normals, camera, occlusion_rays)
            depth, full = np.zeros(len(hit)), np.ones((2, len(hit)))
            depth[hit], full[0, hit], full[1, hit] = hits.distance[hit], open_sky, lit
            shape, mask = (height, width), hit.reshape(height, width)
            open_sky, lit = (
                _smooth_within(term.reshape(shape), depth.reshape(shape), mask, camera.reach, 3)[mask] for term in full
            )
        linear[hit] = _shade(normals @ camera.axes.T, albedo, open_sky, lit, flat)
    return _down(linear.reshape(height, width, 3), samples)


def _occlusion(scene: RayScene, points: np.ndarray, normals: np.ndarray, camera: Camera, count: int):
    """Openness of the sky (distance-weighted) and visibility of a soft key light, (N,) each in 0..1."""
    rng = np.random.default_rng(0)
    key = (_KEY / np.linalg.norm(_KEY)) @ camera.axes
    open_sky, lit = np.empty(len(points)), np.empty(len(points))
    for start in range(0, len(points), 100_000):  # bounds the memory of the ray bundle
        part = slice(start, start + 100_000)
        rays = _hemisphere(normals[part], count, rng).reshape(-1, 3)
        hits = scene.first_hit(np.repeat(points[part], count, axis=0), rays)
        near = np.clip(hits.distance / (0.22 * camera.reach), 0, 1) ** 0.7
        open_sky[part] = np.where(np.isfinite(hits.distance), near, 1).reshape(-1, count).mean(1)
        towards = key + 0.16 * rng.standard_normal((2 * len(points[part]), 3))
        lit[part] = 1 - scene.occluded(np.repeat(points[part], 2, axis=0), towards).reshape(-1, 2).mean(1)
    return open_sky, lit


def _covered(pixels: np.ndarray, depth: np.ndarray, radius: float, reach: float) -> np.ndarray:
    """How much each point (N,) belongs to a far side seen between near points, 0..1; single strays cover nothing."""
    count = min(12, len(pixels))
    gap, index = cKDTree(pixels).query(pixels, k=count, distance_upper_bound=radius)
    around = np.append(depth, np.inf)[index.reshape(len(pixels), count)]
    third = np.sort(around, axis=1)[:, min(2, count - 1)]
    return np.clip((depth - third) / (0.08 * reach) - 0.5, 0, 1)


def spacing(points: np.ndarray) -> float:
    """Median distance of finite points (N, 3) to their nearest neighbour; 0 when there is only one.

    Discs of 1.7 times this close the surface of a scan: a cloud full of gaps is hard to judge.
    """
    some = points[:: max(1, len(points) // 2000)]
    return float(np.median(cKDTree(points).query(some, k=2)[0][:, 1])) if len(points) > 1 else 0.0


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
    """Picture of a point cloud as small shaded discs.

    Args:
        points: (N, 3), y up, +z towards the front camera; non-finite ones are left out.
        view, size, frame_on, zoom, samples: As in `render`.
        normals: (N, 3) of any sign, or None to estimate them from neighbours.
        colours: (N, 3|4) uint8 sRGB, or None for clay.
        radius: Disc radius in the points' unit; default 0.8 of the median spacing, at least a pixel.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: The view is unknown.
    """
    points = np.asarray(points, dtype=float)
    keep = np.isfinite(points).all(1)
    points = points[keep]
    if normals is None:
        normals = estimated_normals(points) if len(points) else points
    else:
        normals = np.asarray(normals, dtype=float)[keep]
    albedo = np.broadcast_to(CLAY, points.shape) if colours is None else _from_srgb(np.asarray(colours)[keep, :3])
    width, height, pixels = _canvas(size, samples)
    if not len(points):
        return _down(_background(height, width) ** 2.2, samples)
    camera = camera_for(points if frame_on is None else frame_on, view, zoom)
    if radius is None:
        radius = 0.8 * spacing(points)
    seen = (points - camera.origin) @ camera.axes.T
    scale = pixels.min() / 2 / camera.slope
    x = (seen[:, 0] / -seen[:, 2] - camera.shift[0]) * scale + width / 2
    y = height / 2 - (seen[:, 1] / -seen[:, 2] - camera.shift[1]) * scale
    reach = np.clip(radius * scale / (3.0 * camera.reach), 0.8 * samples, 12 * samples)
    around = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 1)
    depth = -seen[:, 2]
    order = np.argsort(depth, kind="stable")
    rank = np.empty(len(points), dtype=np.int64)
    rank[order] = np.arange(len(points))
    nearest = np.full(width * height, len(points), dtype=np.int64)
    for dy in around:
        for dx in around:
            if dx * dx + dy * dy > reach**2:
                continue
            column, row = np.floor(x + dx).astype(int), np.floor(y + dy).astype(int)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            np.minimum.at(nearest, (row * width + column)[inside], rank[inside])
    hit = nearest < len(points)
    linear = _background(height, width).reshape(-1, 3) ** 2.2
    which = order[nearest[hit]]
    turned = normals @ camera.axes.T
    turned = np.where(turned[:, 2:] < 0, -turned, turned)
    fade = 0.85 * _covered(np.stack([x, y], axis=1), depth, 6 * reach, camera.reach)[which, None]
    ones = np.ones(len(which))
    shaded = _shade(turned[which], albedo[which], ones, ones, 0.0 if colours is None else 0.45)
    linear[hit] = (1 - fade) * shaded + fade * linear[hit]
    return _down(linear.reshape(height, width, 3), samples)
