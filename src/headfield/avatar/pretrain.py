"""Before the video: the fields become the template, in a minute or two; Newton's method must start near a surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from headfield.avatar.avatar import Avatar
from headfield.avatar.networks import Rows
from headfield.avatar.template import Template
from headfield.errors import need
from headfield.nn.machine import denormals_flushed
from headfield.parametric.rig import HeadRig
from headfield.surface.nearest import Target
from headfield.types import Mesh


@dataclass(frozen=True)
class PretrainOptions:
    """How the fields become the template."""

    steps: int = 2000
    """Steps of Adam."""
    points: int = 1000
    """Points a step: three times as many steps of a third of the points cost as much and come nearer."""
    pool: int = 60_000
    """Points whose truth is found beforehand."""
    slope: float = 1.0
    """Weight of the slope of g near the surface: fitted by its values alone, g has ripples of the encoding's shortest
    waves, which are a fifth of a millimetre high and tilt normals by many degrees."""
    moving: float = 4.0
    """How much denser points lie where blendshapes move the template, that is in the face."""
    rate: float = 3e-3
    """Learning rate, along a half cosine to 2 percent."""


@dataclass(frozen=True)
class Pool:
    """Canonical points with what the template says there.

    Attributes:
        points: (N, 3).
        distance: (N,) signed, negative inside the union of the template's components.
        slope: (N, 3) its derivative, unit.
        vertex: (N,) nearest vertex, whose blendshapes and weights count.
    """

    points: torch.Tensor
    distance: torch.Tensor
    slope: torch.Tensor
    vertex: torch.Tensor


def make_pool(template: Template, count: int, rng: np.random.Generator, moving: float = 1.0) -> Pool:
    """Points of the template: half within millimetres of its surface, a third within centimetres, the rest around it.

    Args:
        template: The tracked head.
        count: N.
        rng: Of the draws.
        moving: How much denser they lie where blendshapes move it.
    Raises:
        MissingExtra: libigl is not installed.
    """
    igl = need("igl", "synth", "Signed distances to the template")
    rig = template.rig
    mesh = Mesh(rig.vertices, rig.triangles)
    close, middle = count // 2, count // 3
    on = _on_surface(rig, close + middle, rng, moving)
    spread = np.where(np.arange(close + middle)[:, None] < close, 0.012, 0.08)
    low, high = rig.vertices.min(0) - 0.3, rig.vertices.max(0) + 0.3
    around = rng.uniform(low, high, (count - close - middle, 3))
    points = np.concatenate([on + spread * rng.standard_normal(on.shape), around])
    distance, foot = Target(mesh).closest(points)
    bvh = igl.FastWindingNumberBVH()
    bvh.init(np.ascontiguousarray(rig.vertices, dtype=float), np.ascontiguousarray(rig.triangles, dtype=np.int64), 2)
    inside = bvh.winding_number(np.ascontiguousarray(points), 2.0) > 0.5
    _, vertex = template.nearest(points)
    order = rng.permutation(len(points))
    signed = np.where(inside, -distance, distance)
    slope = (points - foot.points) / np.where(np.abs(signed) < 1e-6, 1e-6, signed)[:, None]
    return Pool(
        torch.as_tensor(points[order], dtype=torch.float32),
        torch.as_tensor(signed[order], dtype=torch.float32),
        torch.as_tensor(slope[order], dtype=torch.float32),
        torch.as_tensor(vertex[order]),
    )


def _on_surface(rig: HeadRig, count: int, rng: np.random.Generator, moving: float) -> np.ndarray:
    """Places (count, 3) on a rig's surface, `moving` times as dense where a blendshape moves it by over 2 mm."""
    corners = rig.vertices[rig.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    moved = np.linalg.norm(rig.shapes, axis=2).max(1) > 0.008
    share = area * np.where(moved[rig.triangles].any(1), moving, 1.0)
    chosen = rng.choice(len(area), count, p=share / share.sum())
    return np.einsum("nk,nkc->nc", rng.dirichlet(np.ones(3), count), corners[chosen])


@denormals_flushed()
def pretrain(
    avatar: Avatar,
    template: Template,
    options: PretrainOptions | None = None,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Fit geometry to the template's signed distance, and E, P, W to its nearest vertices.

    Returns:
        Errors by name: ``surface_mm`` mean |g| error near the surface, ``blendshapes_mm`` and ``skinning`` root mean
        square, of the last step; and those of :func:`normal_error`.
    """
    options = PretrainOptions() if options is None else options
    rng = np.random.default_rng([seed, 71])
    pool = make_pool(template, options.pool, rng, options.moving)
    basis, weights = torch.from_numpy(template.basis), torch.as_tensor(template.rig.weights, dtype=torch.float32)
    parameters = [*avatar.geometry.parameters(), *avatar.deformation.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=options.rate)
    codes = None if avatar.codes is None else torch.zeros(1, avatar.config.latent)
    with torch.no_grad():  # no frame: only the blendshapes themselves are looked at
        none = avatar.deformation.contract(torch.zeros(1, basis.shape[1]))
    third = options.points // 3  # blendshapes and weights are smoother than g: fewer points are enough
    rows, third_rows = (Rows(torch.zeros(count, dtype=torch.long), (0, count)) for count in (options.points, third))
    errors: dict[str, float] = {}
    for step in range(options.steps):
        rate = options.rate * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / options.steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        pick = torch.from_numpy(rng.integers(0, len(pool.points), options.points))
        points, vertex, distance = pool.points[pick], pool.vertex[pick], pool.distance[pick]
        g, _, slope = avatar.geometry(points, rows, codes, slope=True)
        said = avatar.deformation(points[:third], third_rows, none)
        away = g - distance
        shapes = (avatar.deformation.basis(said.hidden) - basis[vertex[:third]]).square().sum(-1)
        skin = (said.weights - weights[vertex[:third]]).square().sum(-1)
        near = (-(distance.abs() / 0.1)).exp()  # far from the head it only has to be smooth
        loss = 10 * (away.abs() * (0.1 + near)).mean() + ((300 * shapes.mean(1) + skin) * near[:third]).mean()
        tilt = (slope - pool.slope[pick]).square().sum(-1)
        loss = loss + options.slope * (tilt * near).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if on_step:
            on_step(step + 1, options.steps)
        if step == options.steps - 1:
            close = distance.abs() < 0.02
            errors = {
                "surface_mm": 250.0 * float(away.detach().abs()[close].mean()),
                "blendshapes_mm": 250.0 * float(shapes.detach()[close[:third]].mean().sqrt()),
                "skinning": float(skin.detach()[close[:third]].mean().sqrt()),
            }
    return errors | normal_error(avatar, pool)


@torch.no_grad()
def normal_error(avatar: Avatar, pool: Pool, count: int = 4000) -> dict[str, float]:
    """Mean and median angle in degrees between the slope of g and the template's, at points within 1 mm of it."""
    near = (pool.distance.abs() < 0.004).nonzero()[:count, 0]
    codes = None if avatar.codes is None else torch.zeros(1, avatar.config.latent)
    rows = Rows(torch.zeros(len(near), dtype=torch.long), (0, len(near)))
    slope = avatar.geometry(pool.points[near], rows, codes, slope=True)[2]
    cosine = torch.cosine_similarity(slope, pool.slope[near], dim=1).clamp(-1, 1)
    angle = torch.rad2deg(torch.acos(cosine))
    return {"normals_degrees": float(angle.mean()), "normals_median_degrees": float(angle.median())}
