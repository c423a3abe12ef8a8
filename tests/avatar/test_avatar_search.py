"""The searches on a field whose answers are known: two balls on two bones, posed into each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import torch

from headfield.avatar.avatar import Tally
from headfield.avatar.correspond import BoneStarts, correspond
from headfield.avatar.found import Round
from headfield.avatar.literal import literal_search
from headfield.avatar.morph import Morphed
from headfield.avatar.networks import Rows
from headfield.avatar.rays import Rays, polish
from headfield.avatar.search import SearchOptions, search

CENTRES = torch.tensor([[-0.4, 0.0, 0.0], [0.4, 0.05, 0.0]], dtype=torch.float64)
RADII = torch.tensor([0.3, 0.25], dtype=torch.float64)


@dataclass
class TwoBalls:
    """A `Bound` without networks: canonical balls left and right; frame f moves the right one by `shift[f]`."""

    shift: torch.Tensor
    tally: Tally = field(default_factory=Tally)

    @property
    def poses(self):
        bones = torch.zeros(len(self.shift), 2, 3, 4, dtype=torch.float64)
        bones[..., :3] = torch.eye(3, dtype=torch.float64)
        bones[:, 1, :, 3] = self.shift
        return SimpleNamespace(bones=bones)

    def g(self, points, rows):
        self.tally.geometry += len(points)
        return ((points[:, None] - CENTRES).norm(dim=2) - RADII).min(1).values

    def g_and_slope(self, points, rows):
        away = points[:, None] - CENTRES
        distance = away.norm(dim=2)
        least, ball = (distance - RADII).min(1)
        own = torch.arange(len(points))
        self.tally.geometry += 2 * len(points)
        return least, away[own, ball] / distance[own, ball][:, None]

    def morph(self, points, rows, slope=False):
        self.tally.deformation += len(points) * (4 if slope else 1)
        share = torch.sigmoid(60.0 * points[:, 0])
        shift = self.shift[rows.frame]
        jacobian = None
        if slope:
            jacobian = torch.eye(3, dtype=points.dtype).repeat(len(points), 1, 1)
            jacobian[:, :, 0] += shift * (60.0 * share * (1 - share))[:, None]
        return Morphed(points + share[:, None] * shift, jacobian, None)

    def truth(self, posed, frame):
        """g of the union of the posed balls."""
        moved = CENTRES + torch.stack([torch.zeros(3, dtype=torch.float64), self.shift[frame]])
        return ((posed[:, None] - moved).norm(dim=2) - RADII).min(1).values


SHIFTS = torch.tensor([[-0.55, 0.1, 0.05], [-0.45, -0.1, 0.1]], dtype=torch.float64)


def rays_at(target: torch.Tensor, frame: torch.Tensor, margin: float = 0.35) -> Rays:
    """Rays from afar along -z through places (R, 3), whose interval is round the place's depth."""
    origin = target.clone()
    origin[:, 2] = 1.1
    direction = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64).repeat(len(target), 1)
    depth = origin[:, 2] - target[:, 2]
    start = torch.full_like(target, float("nan"))
    return Rays(origin, direction, Rows.of(frame, 2), depth - margin, depth + margin, start)


def some_rays(count: int = 60) -> tuple[TwoBalls, Rays]:
    rng = np.random.default_rng(1)
    target = torch.as_tensor(np.c_[rng.uniform(-0.75, 0.3, count), rng.uniform(-0.35, 0.35, count), np.zeros(count)])
    return TwoBalls(SHIFTS), rays_at(target, torch.arange(2).repeat_interleave(count // 2))


def true_depth(field: TwoBalls, rays: Rays) -> torch.Tensor:
    """First depth at which a ray enters a posed ball, by the formula of a sphere; infinite for a miss."""
    depths = []
    for ball in range(2):
        centre = CENTRES[ball] + (field.shift[rays.rows.frame] if ball else 0.0)
        away = centre - rays.origin
        along = (away * rays.direction).sum(1)
        square = RADII[ball] ** 2 - (away**2).sum(1) + along**2
        depths.append(torch.where(square > 0, along - square.clamp_min(0).sqrt(), torch.inf))
    return torch.stack(depths, 1).min(1).values


def test_of_two_roots_the_smallest_g_counts():
    field = TwoBalls(SHIFTS)
    posed = torch.as_tensor(np.random.default_rng(0).uniform([-0.6, -0.2, -0.2], [-0.1, 0.3, 0.2], (200, 3)))
    rows = Rows.of(torch.arange(2).repeat_interleave(100), 2)
    starts = BoneStarts(field.poses.bones)
    found = correspond(field, posed, rows, starts(posed, rows))
    truth = torch.cat([field.truth(posed[:100], 0), field.truth(posed[100:], 1)])
    # each canonical ball alone has both answers: where they differ, the greater one is wrong
    alone = torch.stack([(posed - CENTRES[0]).norm(dim=1) - RADII[0],
                         (posed - CENTRES[1] - SHIFTS[rows.frame]).norm(dim=1) - RADII[1]], 1)  # fmt: skip
    both = (alone < 0).all(1)
    print("points in both balls:", int(both.sum()), "largest error", float((found.g - truth).abs()[both].max()))
    assert int(both.sum()) > 25
    assert torch.allclose(found.g[both], truth[both], atol=2e-4)
    home = field.morph(found.points, rows).points
    assert float((home - posed)[found.g.isfinite()].abs().max()) < 2e-5


def test_both_searches_find_the_first_entry():
    field, rays = some_rays()
    truth = true_depth(field, rays)
    hits = truth.isfinite()
    literal = literal_search(field, rays)
    spent_literal = field.tally.deformation
    field.tally = Tally()
    quick = search(field, rays, BoneStarts(field.poses.bones))
    clear = (truth - true_depth(field, moved(rays, 0.01))).abs() < 0.1  # not where an edge is grazed
    for name, found in (("literal", literal), ("default", quick)):
        both = hits & found.surface
        error = (found.depth - truth)[both & clear].abs()
        print(f"{name}: {int(both.sum())} of {int(hits.sum())} hits, largest error {float(error.max()):.2e}")
        assert int((hits != found.surface).sum()) <= 2
        assert float(error.max()) < 1e-3
    print("evaluations of the warp:", spent_literal, field.tally.deformation, quick.shares())
    assert spent_literal > 5 * field.tally.deformation
    assert abs(sum(quick.shares().values()) - 1.0) < 1e-6


def moved(rays: Rays, by: float) -> Rays:
    return Rays(rays.origin + by, rays.direction, rays.rows, rays.near, rays.far, rays.start)


def test_rounds_serve_what_the_ones_before_cannot():
    """A start at the surface serves at once; an interval that ends before the surface needs the last round."""
    field, rays = some_rays()
    truth = true_depth(field, rays)
    rays, truth = rays.pick(truth.isfinite()), truth[truth.isfinite()]
    starts = BoneStarts(field.poses.bones)
    posed = rays.at(truth + 0.02)
    near = correspond(field, posed, rays.rows, starts(posed, rays.rows)).points
    given = Rays(rays.origin, rays.direction, rays.rows, truth - 0.05, truth + 0.05, near)
    at_once = search(field, given, starts)
    print("with starts", at_once.shares())
    assert at_once.shares()["start"] > 0.8
    all_checked = search(field, given, starts, checked=torch.ones(len(rays), dtype=torch.bool))
    assert all_checked.shares()["start"] == 0.0
    assert not bool(all_checked.disagreed.any()), "right starts have the answer of the full search"
    unknown = torch.full_like(near, float("nan"))
    short = Rays(rays.origin, rays.direction, rays.rows, truth - 0.2, truth - 0.05, unknown)
    behind = search(field, short, starts)
    print("interval before the surface", behind.shares())
    assert behind.shares()["widened"] > 0.6
    assert (behind.round[behind.surface] == Round.WIDENED).float().mean() > 0.7


def test_of_background_rays_the_smallest_g_is_looked_for_as_far_as_asked():
    field, rays = some_rays()
    truth = true_depth(field, rays)
    rays, truth = rays.pick(truth.isfinite()), truth[truth.isfinite()]
    short = replace(rays, near=truth - 0.3, far=truth - 0.05)
    nobody, everybody = torch.zeros(len(rays), dtype=torch.bool), torch.ones(len(rays), dtype=torch.bool)
    starts = BoneStarts(field.poses.bones)
    near = search(field, short, starts, wanted=nobody)
    wide = search(field, short, starts, wanted=nobody, checked=everybody)
    assert not bool(near.surface.any()) and not bool(wide.surface.any())
    assert bool((near.smallest_g > 0).all()) and float((wide.smallest_g < 0).double().mean()) > 0.7
    assert bool((wide.smallest_depth > truth - 0.05).all())


def test_a_ray_that_begins_inside_is_told_apart():
    field, rays = some_rays()
    truth = true_depth(field, rays)
    rays, truth = rays.pick(truth.isfinite()), truth[truth.isfinite()]
    unknown = torch.full_like(rays.origin, float("nan"))
    late = Rays(rays.origin, rays.direction, rays.rows, truth + 0.01, truth + 0.02, unknown)
    options = SearchOptions(wider=0.005)  # looks before the interval, but not far enough
    found = search(field, late, BoneStarts(field.poses.bones), options)
    begins = late.at(late.near)
    inside = torch.stack([field.truth(begins[k : k + 1], int(late.rows.frame[k]))[0] for k in range(len(late))]) < -1e-3
    assert int(inside.sum()) > 20
    assert bool(found.inside[inside].all()) and not bool(found.surface[inside].any())
    assert torch.allclose(found.first_depth, late.near)
    further = search(field, late, BoneStarts(field.poses.bones), SearchOptions(wider=0.2))
    entered = further.surface[inside]
    print("found before the interval:", float(entered.double().mean()))
    assert float(entered.double().mean()) > 0.9 and not bool(further.inside[further.surface].any())


def test_only_entries_count_as_roots():
    """From behind a ball Newton's method finds where the ray leaves it, which is no surface that is seen."""
    field, rays = some_rays()
    truth = true_depth(field, rays)
    rays, truth = rays.pick(truth.isfinite()), truth[truth.isfinite()]
    starts = BoneStarts(field.poses.bones)
    posed = rays.at(truth + 0.6)
    behind = correspond(field, posed, rays.rows, starts(posed, rays.rows)).points
    roots = polish(field, rays, behind, 12, 1e-8)
    assert not bool((roots.found & (roots.depth > truth + 0.1)).any())


def test_a_full_search_tells_of_starts_that_lead_behind_what_is_seen():
    """A ball before a ball: starts on the one behind are roots, but not what the ray meets first."""
    field = TwoBalls(torch.tensor([[-0.8, 0.0, -0.7]] * 2, dtype=torch.float64))
    target = torch.tensor([[-0.4, 0.03 * k, 0.0] for k in range(6)], dtype=torch.float64)
    rays = rays_at(target, torch.tensor([0, 0, 0, 1, 1, 1]))
    truth = true_depth(field, rays)
    behind = CENTRES[1] + torch.tensor([0.0, 0.0, 0.25], dtype=torch.float64)  # canonical, facing the camera
    given = Rays(rays.origin, rays.direction, rays.rows, truth - 0.1, truth + 1.0, behind.repeat(6, 1))
    starts = BoneStarts(field.poses.bones)
    fooled = search(field, given, starts)
    checked = search(field, given, starts, checked=torch.ones(6, dtype=torch.bool))
    print("first round alone", (fooled.depth - truth).tolist(), "in full", (checked.depth - truth).abs().max())
    assert bool((fooled.round == Round.START).all()) and bool((fooled.depth - truth > 0.3).all())
    assert bool(checked.disagreed.all()) and torch.allclose(checked.depth, truth, atol=1e-3)
