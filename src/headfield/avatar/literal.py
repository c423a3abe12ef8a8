"""The search as it is published, for comparison: slow, and the oracle of :mod:`headfield.avatar.search`.

IMAvatar supp. §§2.3, 2.4: every ray is sampled at 100 places in a sphere of radius 1.2, each place's canonical points
are found by Broyden's method from every bone, the first change of sign from outside to inside is narrowed down by 8
secant steps, each with a search of its own.
"""

from __future__ import annotations

import torch

from headfield.avatar.avatar import Bound
from headfield.avatar.correspond import BoneStarts
from headfield.avatar.found import Found, Round, crossing, sampled
from headfield.avatar.rays import Rays, joint
from headfield.nn.machine import denormals_flushed

SAMPLES = 100
SECANT_STEPS = 8
RADIUS = 1.2


def sphere_interval(rays: Rays, radius: float = RADIUS) -> tuple[torch.Tensor, torch.Tensor]:
    """Depths (R,) at which rays enter and leave a sphere about the origin; equal where they miss it."""
    middle = -(rays.origin * rays.direction).sum(1)
    half = (middle**2 - (rays.origin**2).sum(1) + radius**2).clamp_min(0.0).sqrt()
    return (middle - half).clamp_min(0.0), (middle + half).clamp_min(0.0)


@torch.no_grad()
@denormals_flushed()
def literal_search(bound: Bound, rays: Rays, samples: int = SAMPLES, secant_steps: int = SECANT_STEPS) -> Found:
    """Where rays meet the surface; the interval and starts that rays bring are not looked at."""
    starts = BoneStarts(bound.poses.bones)
    near, far = sphere_interval(rays)
    share = torch.linspace(0.0, 1.0, samples, dtype=near.dtype)
    depth = near[:, None] + (far - near)[:, None] * share
    seen = sampled(bound, rays, depth, starts)
    first, there = crossing(seen.g)
    index = there.nonzero()[:, 0]
    going = rays.pick(index)
    at = first[index]
    low, high = depth[index, at], depth[index, at + 1]
    g_low, g_high = seen.g[index, at].clamp_max(1.0), seen.g[index, at + 1]
    root = seen.canonical[index, at + 1]
    for _ in range(secant_steps):
        middle = low + (high - low) * (g_low / (g_low - g_high)).clamp(0.02, 0.98)
        between = sampled(bound, going, middle[:, None], starts)
        found, value = between.canonical[:, 0], between.g[:, 0]
        inside = value < 0
        root = torch.where(inside[:, None], found, root)
        low, g_low = torch.where(inside, low, middle), torch.where(inside, g_low, value.clamp_max(1.0))
        high, g_high = torch.where(inside, middle, high), torch.where(inside, value, g_high)
    result = Found.nothing(rays)
    result.keep(torch.arange(len(rays)), seen, first=True)
    _, jacobian, along, _ = joint(bound, root, going, going.across())
    result.surface[index], result.canonical[index], result.depth[index] = True, root, along
    result.inverse[index], result.round[index] = torch.linalg.inv_ex(jacobian)[0], Round.SAMPLED
    return result
