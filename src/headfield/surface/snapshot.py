"""Pictures of meshes and points without OpenGL: embree finds what each pixel sees, numpy shades it as clay.

Soft key shadows and ambient occlusion show the shape of lids, lips and ears. `left` is the subject's left. Several
pictures of one subject share what does not depend on the camera (`MeshPictures`, `PointPictures`), and several
pictures through one camera its rays (`Sight`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..types import Mesh
from .camera import VIEWS, Camera, camera_for, canvas_of
from .clay import BACK_FACE, CLAY, KEY, developed, linear, shade, smoothed
from .point_pictures import PointPictures, render_points, spacing
from .rays import RayScene
from .sheet import contact_sheet, error_colours, error_legend, write_png
from .topology import face_vectors, vertex_normals

__all__ = [
    "CLAY", "VIEWS", "Camera", "MeshPictures", "PointPictures", "Sight", "camera_for", "contact_sheet",
    "error_colours", "error_legend", "render", "render_points", "spacing", "write_png",
]  # fmt: skip


class MeshPictures:
    """A mesh of which pictures are taken."""

    def __init__(self, mesh: Mesh) -> None:
        """Make a mesh ready.

        Args:
            mesh: Any unit; y up, +z towards the front camera.
        """
        self.vertices, self.triangles = np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.triangles)
        self.scene = RayScene(self.vertices, self.triangles)
        self._normals = mesh.normals

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) the mesh's, or those of its triangles, by area."""
        given = self._normals
        return vertex_normals(self.vertices, self.triangles) if given is None else np.asarray(given, dtype=float)

    @cached_property
    def faces(self) -> np.ndarray:
        """(F, 3) unit normals of the triangles."""
        normals = face_vectors(self.vertices, self.triangles)
        return normals / np.maximum(np.sqrt(np.einsum("fc,fc->f", normals, normals)), 1e-30)[:, None]

    def seen_from(
        self,
        view: str | tuple[float, float] = "front",
        *,
        size: int | tuple[int, int] = 512,
        frame_on: np.ndarray | None = None,
        zoom: float = 1.0,
        samples: int = 2,
    ) -> Sight:
        """What a camera sees; arguments as of `render`.

        Raises:
            ValueError: The view is unknown, or there is no vertex.
        """
        camera = camera_for(self.vertices if frame_on is None else frame_on, view, zoom)
        return Sight(self, camera, canvas_of(size, samples), samples)


class Sight:
    """What a camera sees of a mesh: its rays are cast once for all pictures that it takes."""

    def __init__(self, subject: MeshPictures, camera: Camera, canvas: tuple[int, int], samples: int) -> None:
        """Cast the rays.

        Args:
            subject: The mesh.
            camera: Whence.
            canvas: (height, width) in samples.
            samples: Side of the square of samples that makes a pixel.
        """
        self.subject, self.camera, self.canvas, self.samples = subject, camera, canvas, samples
        height, width = canvas
        scale = min(canvas) / 2
        x = (np.arange(width) + 0.5 - width / 2) / scale * camera.slope + camera.shift[0]
        y = (height / 2 - np.arange(height) - 0.5) / scale * camera.slope + camera.shift[1]
        left, right, top, bottom = _window(subject.scene, camera, x, y)
        self._window = slice(top, bottom), slice(left, right)
        x, y = x[left:right], y[top:bottom]
        grid = np.stack([*np.meshgrid(x, y), -np.ones((len(y), len(x)))], axis=-1).reshape(-1, 3)
        directions = grid @ camera.axes
        hits = subject.scene.first_hit(camera.origin, directions)
        seen = np.flatnonzero(hits.triangle >= 0)
        row, column = np.divmod(seen, max(len(x), 1))
        self.hit = (row + top) * width + column + left
        self.triangle, self.distance, self.weights = hits.triangle[seen], hits.distance[seen], hits.barycentric[seen]
        self.corners = subject.triangles[self.triangle]
        directions = directions[seen]
        face = subject.faces[self.triangle]
        self.behind = np.einsum("nc,nc->n", face, directions) > 0
        face[self.behind] *= -1
        normals = self._mean_of(subject.normals)
        normals /= np.maximum(np.sqrt(np.einsum("nc,nc->n", normals, normals)), 1e-30)[:, None]
        normals[np.einsum("nc,nc->n", normals, face) < 0] *= -1
        self.normals = normals
        self._lifted = camera.origin + self.distance[:, None] * directions + 1e-3 * camera.reach * face

    def picture(
        self, colours: np.ndarray | None = None, *, occlusion_rays: int = 6, flat: float | None = None
    ) -> np.ndarray:
        """One picture (H, W, 3) uint8; arguments as of `render`."""
        if colours is None:
            albedo = np.tile(CLAY[:, None], len(self.hit))
        elif len(colours) == len(self.subject.triangles) != len(self.subject.vertices):
            albedo = linear(colours)[self.triangle].T
        else:
            albedo = self._mean_of(linear(colours)).T
        albedo[:, self.behind] = BACK_FACE[:, None]
        flat = (0.0 if colours is None else 0.45) if flat is None else flat
        open_sky, lit = self._light(occlusion_rays) if occlusion_rays and len(self.hit) else (1.0, 1.0)
        light = shade(self.camera.axes @ self.normals.T, albedo, open_sky, lit, flat)
        return developed(light, self.hit, self.canvas, self.samples)

    def _mean_of(self, values: np.ndarray) -> np.ndarray:
        """(N, C) at what was hit, of values (V, C) at the vertices."""
        return np.einsum("nk,nkc->nc", self.weights, values.take(self.corners, axis=0))

    def _light(self, rays: int) -> tuple[np.ndarray, np.ndarray]:
        """Openness of the sky (distance-weighted) and visibility of a soft key light, (N,) each in 0..1."""
        camera, scene = self.camera, self.subject.scene
        rng = np.random.default_rng(0)
        key = KEY @ camera.axes
        asked = self._asked()
        terms = np.empty((2, len(asked)))
        for start in range(0, len(asked), 100_000):  # bounds the memory of the ray bundle
            part = asked[start : start + 100_000]
            points = self._lifted[part, None]
            far = scene.distance(points, _hemisphere(self.normals[part], rays, rng)) / (0.22 * camera.reach)
            far = np.minimum(far, 1)
            far[far < 1] **= 0.7
            aside = 0.16 * rng.standard_normal((len(points), 1, 3))  # two opposite ones tell more than two of any kind
            hidden = scene.occluded(points, key + np.concatenate([aside, -aside], axis=1))
            terms[:, start : start + len(part)] = sum(far.T) / rays, 1 - sum(hidden.T) / 2
        images, masks = np.ones((3, *self.canvas)), np.zeros((2, *self.canvas), dtype=bool)
        images[0].ravel()[self.hit] = self.distance
        images[1:].reshape(2, -1)[:, self.hit[asked]] = terms
        masks[0].ravel()[self.hit] = True
        masks[1].ravel()[self.hit[asked]] = True
        depth, *shown = (image[self._window] for image in images)
        mask, known = (where[self._window] for where in masks)
        open_sky, lit = smoothed(np.stack(shown), depth, mask, known, 0.012 * camera.reach, 3)[:, mask]
        return open_sky, lit

    def _asked(self) -> np.ndarray:
        """Which of what was hit cast rays for their light: all, or if a pixel has several samples every other one, as
        on a chessboard; the terms are averaged over many neighbours anyway."""
        row, column = np.divmod(self.hit, self.canvas[1])
        return np.flatnonzero((row + column) % min(self.samples, 2) == 0)


def _window(scene: RayScene, camera: Camera, x: np.ndarray, y: np.ndarray) -> tuple[int, int, int, int]:
    """First and past-the-last column and row in which a mesh can be seen: where the corners of its box are."""
    ends = np.stack([scene.low, scene.high])
    corners = np.stack(np.meshgrid(*ends.T), axis=-1).reshape(-1, 3)
    seen = (corners - camera.origin) @ camera.axes.T
    if not (seen[:, 2] < -1e-3 * camera.reach).all():  # the camera is in the box, or beside it
        return 0, len(x), 0, len(y)
    flat = seen[:, :2] / -seen[:, 2:]
    (left, down), (right, up) = flat.min(0), flat.max(0)
    columns = np.searchsorted(x, [left, right]) + [-1, 1]
    rows = np.searchsorted(-y, [-up, -down]) + [-1, 1]
    return *np.clip(columns, 0, len(x)).tolist(), *np.clip(rows, 0, len(y)).tolist()


def _hemisphere(normals: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Cosine-distributed directions (N, count, 3) about unit normals (N, 3), stratified in azimuth."""
    first = rng.random((len(normals), 1)) / count * 2 * np.pi
    first = first + rng.random((len(normals), 1)) * 7
    ring = rng.permuted(np.tile(np.arange(count), (len(normals), 1)), axis=1)
    area = ((ring + rng.random(ring.shape)) / count).astype(np.float32)
    radius, height = np.sqrt(area), np.sqrt(1 - area)
    helper = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    tangent = np.cross(normals, helper)
    tangent /= np.maximum(np.sqrt(np.einsum("nc,nc->n", tangent, tangent)), 1e-12)[:, None]
    # turned by the first azimuth, from which the others are equal steps away
    across, sine, cosine = np.cross(normals, tangent), np.sin(first), np.cos(first)
    along, across = cosine * tangent + sine * across, cosine * across - sine * tangent
    along, across, normals = (axis.astype(np.float32) for axis in (along, across, normals))
    steps = (np.arange(count) / count * 2 * np.pi).astype(np.float32)
    step_along, step_across = np.cos(steps) * radius, np.sin(steps) * radius
    rays = np.empty((*ring.shape, 3), dtype=np.float32)
    for axis in range(3):
        rays[..., axis] = step_along * along[:, axis, None] + step_across * across[:, axis, None]
        rays[..., axis] += height * normals[:, axis, None]
    return rays


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
    """Picture of a mesh as clay; for several of one mesh see `MeshPictures`.

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
    sight = MeshPictures(mesh).seen_from(view, size=size, frame_on=frame_on, zoom=zoom, samples=samples)
    return sight.picture(colours, occlusion_rays=occlusion_rays, flat=flat)
