"""Pictures of an avatar: rays, search, colour and normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield.avatar.avatar import Avatar, Bound
from headfield.avatar.found import Found, round_shares
from headfield.avatar.morph import Poses
from headfield.avatar.networks import Rows
from headfield.avatar.rays import Rays
from headfield.avatar.search import SearchOptions, search
from headfield.avatar.template import Template
from headfield.io.normal_picture import normal_colours
from headfield.io.video_camera import VideoCamera
from headfield.neighbours import PointTree
from headfield.nn.machine import denormals_flushed

CHUNK = 16_384
"""Rays that are searched at once."""


@dataclass(frozen=True)
class Rendering:
    """A picture of an avatar.

    Attributes:
        image: (H, W, 3) uint8 sRGB on white.
        normals: (H, W, 3) deformed unit normals, model frame, NaN on the background.
        depth: (H, W) model units along the ray, NaN on the background.
        shares: Share of the rays near the template that each round of the search served.
        evaluations: Of deformation and geometry, a ray.
    """

    image: np.ndarray
    normals: np.ndarray
    depth: np.ndarray
    shares: dict[str, float]
    evaluations: tuple[float, float]

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, where there is a surface."""
        return np.isfinite(self.depth)

    def normal_picture(self) -> np.ndarray:
        """(H, W, 3) uint8: +x red, +y green, +z blue, white where there is nothing."""
        return normal_colours(self.normals)


@torch.no_grad()
@denormals_flushed()
def render(
    avatar: Avatar,
    template: Template,
    camera: VideoCamera,
    expression: np.ndarray,
    pose: np.ndarray,
    options: SearchOptions | None = None,
) -> Rendering:
    """A picture of one frame.

    Args:
        avatar: The avatar.
        template: The tracked head that it was trained with.
        camera: Whence, and how many pixels.
        expression: (E,) numbers of the template's channels.
        pose: (J, 3) rotation vectors of its joints, radians.
        options: Of the search.
    """
    bound = avatar.bound(Poses.of(template.rig, expression[None], pose[None]))
    starts = template.starts(expression[None], pose[None])
    hits = template.hits(expression, pose, camera)
    height, width = camera.size
    direction = torch.as_tensor(camera.rays(), dtype=torch.float32)
    origin = torch.as_tensor(camera.origin, dtype=torch.float32)
    asked = torch.from_numpy(_near_template(hits.start, template, expression, pose, camera)).nonzero()[:, 0]
    image, normals = torch.ones(height * width, 3), torch.full((height * width, 3), float("nan"))
    depth = torch.full((height * width,), float("nan"))
    served: list[torch.Tensor] = []
    for at in asked.split(CHUNK):
        rows = Rows(torch.zeros_like(at), (0, len(at)))
        rays = Rays(origin.expand(len(at), 3), direction[at], rows, hits.near[at], hits.far[at], hits.start[at])
        found = search(bound, rays, starts, options)
        _paint(bound, rays, found, at, image, normals, depth)
        served.append(found.round)
    count = max(len(asked), 1)
    shares = round_shares(torch.cat(served)) if served else {}
    picture = torch.round(255 * (0.5 + 0.5 * image)).clamp(0, 255).to(torch.uint8)
    return Rendering(
        picture.view(height, width, 3).numpy(),
        normals.view(height, width, 3).numpy(),
        depth.view(height, width).numpy(),
        shares,
        (bound.tally.deformation / count, bound.tally.geometry / count),
    )


def _paint(bound: Bound, rays: Rays, found: Found, at: torch.Tensor, image, normals, depth) -> None:
    """Fill in the pixels `at` (Q,) whose rays met the surface."""
    met = found.surface
    if bool(met.any()):
        shaded = bound.shade(found.canonical[met], rays.rows.pick(met))
        image[at[met]], normals[at[met]], depth[at[met]] = shaded.colour, shaded.normals, found.depth[met]


def _near_template(start: torch.Tensor, template: Template, expression, pose, camera: VideoCamera) -> np.ndarray:
    """Pixels (H W,) that the template covers, or passes by within 30 mm: no others can see the person."""
    hit = np.isfinite(start[:, 0].numpy())
    places, depth = camera.project(template.few.posed(expression, pose))
    reach = 0.12 * abs(camera.intrinsics[0]) * camera.size[1] / max(float(depth.min()), 1e-3)
    row, column = np.divmod(np.flatnonzero(~hit), camera.size[1])
    gap, _ = PointTree(places).query(np.stack([column, row], axis=1), distance_upper_bound=reach)
    near = hit.copy()
    near[np.flatnonzero(~hit)] = np.isfinite(gap)
    return near
