"""The rival that every avatar has to beat: the tracked template as it is, posed, with colours baked from the video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.avatar.template import Template
from headfield.avatar.video import HeadVideo
from headfield.io.video_camera import VideoCamera
from headfield.neighbours import PointTree
from headfield.parametric.topology import vertex_normals
from headfield.surface.rays import RayScene

MOST_FRAMES = 60
"""Frames that colours are baked from, spread over the video."""


@dataclass(frozen=True)
class View:
    """A picture of a posed head.

    Attributes:
        image: (H, W, 3) uint8 on white.
        normals: (H, W, 3) unit, model frame, NaN on the background.
    """

    image: np.ndarray
    normals: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, where there is a surface."""
        return np.isfinite(self.normals[:, :, 0])


@dataclass(frozen=True)
class Rival:
    """A template with colours.

    Attributes:
        template: The tracked head.
        colours: (V, 3) of its vertices, 0..255.
    """

    template: Template
    colours: np.ndarray

    def view(self, camera: VideoCamera, expression: np.ndarray, pose: np.ndarray) -> View:
        """The template with an expression (E,) and a pose (J, 3); normals and colours are interpolated."""
        rig = self.template.rig
        posed = rig.posed(expression, pose)
        hit, corners, weights = _seen(posed, rig.triangles, camera)
        image, normals = np.full((len(hit), 3), 255.0), np.full((len(hit), 3), np.nan)
        image[hit] = np.einsum("nk,nkc->nc", weights, self.colours[corners])
        found = np.einsum("nk,nkc->nc", weights, vertex_normals(posed, rig.triangles)[corners])
        normals[hit] = found / np.linalg.norm(found, axis=1, keepdims=True)
        size = (*camera.size, 3)
        return View(np.round(image).astype(np.uint8).reshape(size), normals.reshape(size))


def bake(template: Template, video: HeadVideo) -> Rival:
    """Colour a template by the mean of the pixels that see each vertex; one that none sees takes its neighbour's."""
    rig, (expressions, poses) = template.rig, video.tracks(template.rig)
    total, count = np.zeros((len(rig.vertices), 3)), np.zeros(len(rig.vertices))
    for frame in np.unique(np.linspace(0, len(video) - 1, MOST_FRAMES).round().astype(int)):
        posed = rig.posed(expressions[frame], poses[frame])
        hit, corners, weights = _seen(posed, rig.triangles, video.cameras[frame])
        inside = video.mask(frame).ravel()[hit]
        pixels = video.image(frame).reshape(-1, 3)[hit][inside].astype(float)
        for corner, weight in zip(corners[inside].T, weights[inside].T):
            np.add.at(total, corner, weight[:, None] * pixels)
            np.add.at(count, corner, weight)
    seen = np.flatnonzero(count > 0.05)
    _, nearest = PointTree(rig.vertices[seen]).query(rig.vertices)
    return Rival(template, total[seen[nearest]] / count[seen[nearest], None])


def _seen(posed: np.ndarray, triangles: np.ndarray, camera: VideoCamera):
    """Which pixels (H W,) bool see a mesh, the corners (N, 3) of the triangle there and their weights (N, 3)."""
    seen = RayScene(posed, triangles).first_hit(camera.origin, camera.rays())
    hit = seen.triangle >= 0
    return hit, triangles[seen.triangle[hit]], seen.barycentric[hit]
