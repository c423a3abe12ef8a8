"""Eq. 10 against finite differences of re-solved roots, and against Newton's method unrolled, in float64."""

from __future__ import annotations

import torch
from toy_rig import toy_frames, toy_rig

from headfield.avatar.avatar import Avatar
from headfield.avatar.config import tiny
from headfield.avatar.gradient import sampled_points, surface_points
from headfield.avatar.morph import Poses
from headfield.avatar.networks import Rows
from headfield.avatar.rays import Rays, joint, polish

GROUPS = {
    "geometry": "geometry.",
    "trunk": "deformation.trunk",
    "heads E and P": "deformation.blend",
    "head W": "deformation.skin",
    "texture": "texture.",
}


class Scene:
    """A tiny avatar that is about a ball, rays that meet it, and a smooth loss of what they see."""

    def __init__(self):
        torch.manual_seed(1)
        rig = toy_rig()
        self.avatar = Avatar(tiny(), len(rig.channels), len(rig.joints)).double()
        with torch.no_grad():
            self.avatar.deformation.blend.weight.normal_(0, 0.03)
            self.avatar.geometry.mlp.first[:, :, 3:].normal_(0, 0.05)
        self.poses = Poses.of(rig, *toy_frames(2), like=torch.zeros(1, dtype=torch.float64))
        count = 24
        target = 0.35 * torch.randn(count, 3, dtype=torch.float64)
        origin = torch.tensor([[0.1, 0.0, 3.0]], dtype=torch.float64).repeat(count, 1)
        nothing = torch.full((count, 3), float("nan"), dtype=torch.float64)
        rows = Rows.of(torch.arange(2).repeat_interleave(count // 2), 2)
        direction = torch.nn.functional.normalize(target - origin, dim=1)
        rays = Rays(origin, direction, rows, target[:, 0], target[:, 0], nothing)
        start = origin + 2.3 * direction
        roots = polish(self.avatar.bound(self.poses), rays, start, 60, 1e-13)
        self.rays, self.root = rays.pick(roots.found), roots.canonical[roots.found]
        self.mask_depth = roots.depth[roots.found] + 0.2
        self.weights = torch.randn(6, dtype=torch.float64)
        self.inside = self.mask_roots(self.root)

    def __len__(self):
        return len(self.rays)

    def solve(self):
        """Roots and inverses at the weights as they are, from the roots of before."""
        return polish(self.avatar.bound(self.poses), self.rays, self.root, 30, 1e-14)

    @torch.no_grad()
    def mask_roots(self, start):
        """Canonical points of the mask rays' places."""
        bound, x = self.avatar.bound(self.poses), start
        for _ in range(30):
            here = bound.morph(x, self.rays.rows, slope=True)
            x = x - torch.linalg.solve(here.jacobian, here.points - self.rays.at(self.mask_depth))
        return x

    def loss(self, points, mask_points):
        """Colours, normals, an eikonal term and cross-entropy, smooth in everything."""
        bound = self.avatar.bound(self.poses)
        shaded = bound.shade(points, self.rays.rows)
        seen = torch.cat([shaded.colour, shaded.normals], 1)
        eikonal = (shaded.slope.norm(dim=1) - 1).square().mean()
        mask = torch.nn.functional.softplus(-50 * bound.g(mask_points, self.rays.rows)).mean() / 50
        return (seen * self.weights).sum(1).square().mean() + 0.1 * eikonal + mask

    def resolved(self):
        """The loss with every root found anew."""
        roots = self.solve()
        assert bool(roots.found.all())
        with torch.no_grad():
            return self.loss(roots.canonical, self.mask_roots(self.inside))

    def gradient(self, points, mask_points):
        """Of the loss by every parameter."""
        self.avatar.zero_grad()
        self.loss(points, mask_points).backward()
        return {name: p.grad.clone() for name, p in self.avatar.named_parameters() if p.grad is not None}


def directional(scene: Scene, names: list[str], direction: dict, step: float = 4e-6) -> float:
    """Derivative of the re-solved loss along a direction: a central difference of fourth order."""
    parameters = dict(scene.avatar.named_parameters())
    values = {}
    for times in (-2, -1, 1, 2):
        with torch.no_grad():
            for name in names:
                parameters[name] += times * step * direction[name]
            values[times] = float(scene.resolved())
            for name in names:
                parameters[name] -= times * step * direction[name]
    return (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)


def test_against_finite_differences_and_unrolled_newton():
    scene = Scene()
    assert len(scene) >= 12, "rays that meet the surface"
    roots = scene.solve()
    bound = scene.avatar.bound(scene.poses)
    mask = scene.inside
    exact = scene.gradient(
        surface_points(bound, scene.rays, roots.canonical, roots.inverse),
        sampled_points(bound, scene.rays, mask, scene.mask_depth),
    )
    bound = scene.avatar.bound(scene.poses)
    unrolled = scene.gradient(unrolled_newton(bound, scene, roots.canonical), unrolled_warp(bound, scene, mask))
    detached = scene.gradient(roots.canonical, mask)
    generator = torch.Generator().manual_seed(0)
    print(f"{len(scene)} rays; worst relative errors: finite differences / unrolled / without Eq. 10")
    for group, prefix in GROUPS.items():
        names = [name for name in exact if name.startswith(prefix)]
        size = sum(float((exact[name] ** 2).sum()) for name in names) ** 0.5
        gap = sum(float(((unrolled[name] - exact[name]) ** 2).sum()) for name in names) ** 0.5 / size
        without = [
            float(((detached.get(name, torch.zeros_like(exact[name])) - exact[name]) ** 2).sum()) for name in names
        ]
        lost = sum(without) ** 0.5 / size
        worst = 0.0
        for _ in range(2):
            direction = {n: torch.randn(exact[n].shape, generator=generator, dtype=torch.float64) for n in names}
            # half random, half along the gradient, so that no derivative is nearly zero
            length = sum(float((d**2).sum()) for d in direction.values()) ** 0.5
            direction = {n: direction[n] / length + exact[n] / size for n in names}
            analytic = sum(float((exact[n] * direction[n]).sum()) for n in names)
            worst = max(worst, abs(directional(scene, names, direction) - analytic) / abs(analytic))
        print(f"  {group}: {worst:.1e} / {gap:.1e} / {lost:.2f}")
        assert worst < 1e-6 and gap < 1e-6
        assert group == "texture" or lost > 0.03, "the gradient of the point is a large part of it"


def unrolled_newton(bound, scene: Scene, root: torch.Tensor) -> torch.Tensor:
    """Newton's method from beside the roots, differentiated through every step."""
    x, across = root + 3e-3, scene.rays.across()
    for _ in range(6):
        value, jacobian, _, _ = joint(bound, x, scene.rays, across)
        x = x - torch.linalg.solve(jacobian, value)
    return x


def unrolled_warp(bound, scene: Scene, root: torch.Tensor) -> torch.Tensor:
    x = root + 3e-3
    for _ in range(6):
        here = bound.morph(x, scene.rays.rows, slope=True)
        x = x - torch.linalg.solve(here.jacobian, here.points - scene.rays.at(scene.mask_depth))
    return x
