"""Where rays meet a posed avatar: the default search, which starts where the template says (compare `literal`).

Rounds, each for the rays that are still without an answer:

0. Newton's method on (g, two offsets from the ray) from the posed template's hit, whose last Jacobian Eq. 10 needs;
1. 8 samples in the interval round the template; a step from outside to inside is polished in the same way;
2. 8 more samples round the smallest g, and
3. at the same time 8 before and 8 behind the interval: few rays are left, and each call of a network has its price.

Where a polish fails, a secant along the ray takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headfield.avatar.avatar import Bound
from headfield.avatar.correspond import Guesses, Starts, correspond
from headfield.avatar.found import Found, Round, Samples, crossing, sampled
from headfield.avatar.networks import Rows
from headfield.avatar.rays import Rays, joint, polish
from headfield.nn.machine import denormals_flushed

DISAGREEMENT = 0.002
"""Answers of two searches that are farther apart are two answers, 0.5 mm."""


@dataclass(frozen=True)
class SearchOptions:
    """How rays are searched; lengths in model units (250 mm)."""

    samples: int = 8
    """Samples of a round."""
    tolerance: float = 1e-4
    """|F| at a root, 0.025 mm."""
    sample_tolerance: float = 1e-3
    """How far from its place a sample may be morphed, 0.25 mm: crossings are polished, and the gradient of mask rays
    takes a step of its own."""
    sample_steps: int = 6
    """Updates of Broyden's method at most for a sample."""
    steps: int = 8
    """Updates of Newton's method at most."""
    secant_steps: int = 8
    """Steps along the ray where Newton's method fails; with 0 such rays stay without an answer."""
    wider: float = 0.3
    """How far the last round looks before and behind the interval."""
    slack: float = 0.05
    """How far outside its interval a root of the first round may lie."""


@torch.no_grad()
@denormals_flushed()
def search(
    bound: Bound,
    rays: Rays,
    starts: Starts,
    options: SearchOptions | None = None,
    wanted: torch.Tensor | None = None,
    checked: torch.Tensor | None = None,
) -> Found:
    """Where rays meet the surface, and the smallest g of those that do not.

    Args:
        bound: The avatar in its frames.
        rays: R rays.
        starts: Where to look for the canonical points of samples.
        options: See SearchOptions.
        wanted: (R,) bool, rays whose surface is asked for; of the others only the smallest g is. None for all.
        checked: (R,) bool, rays that are searched in full: the first round's answer is not taken but compared, so that
            what stands before the template is seen, and where no surface is wanted the smallest g is looked for before
            and behind the interval, too. None for none.
    """
    options = SearchOptions() if options is None else options
    wanted = torch.ones(len(rays), dtype=torch.bool) if wanted is None else wanted
    checked = torch.zeros_like(wanted) if checked is None else checked
    return _Search(bound, rays, starts, options, wanted, checked, Found.nothing(rays)).run()


@dataclass(frozen=True)
class _Search:
    """One search: what was asked for, and what has been found so far."""

    bound: Bound
    rays: Rays
    starts: Starts
    options: SearchOptions
    wanted: torch.Tensor
    checked: torch.Tensor
    found: Found

    def run(self) -> Found:
        """All rounds, each for the rays that are still without an answer."""
        result, options = self.found, self.options
        index = self.wanted.nonzero()[:, 0]
        going = self.rays.pick(index)
        roots = polish(self.bound, going, going.start, options.steps, options.tolerance)
        near, far = going.near - options.slack, going.far + options.slack
        good = roots.found & (roots.depth > near) & (roots.depth < far)
        held = good & self.checked[index]
        good = good & ~held
        self._take(index[good], roots.canonical[good], roots.inverse[good], roots.depth[good], Round.START)
        going_on = (~result.surface).nonzero()[:, 0]
        if len(going_on):
            self._by_samples(going_on)
        at, first = index[held], roots.depth[held]
        result.disagreed[at] = ~result.surface[at] | ((result.depth[at] - first).abs() > DISAGREEMENT)
        return result

    def _by_samples(self, index: torch.Tensor) -> None:
        """Rounds 1 to 3 for the rays at `index`."""
        going = self.rays.pick(index)
        share = torch.linspace(0.0, 1.0, self.options.samples, dtype=self.rays.near.dtype)
        samples = self._sampled(going, going.near[:, None] + (going.far - going.near)[:, None] * share)
        self.found.keep(index, samples, first=True)
        asked = self.wanted[index] & ~self.found.inside[index]  # whoever begins inside has entered before
        self._enter(index, asked, samples, Round.SAMPLED)
        left = (self.wanted | self.checked)[index] & ~self.found.surface[index]
        if left.any():
            self._further(index[left], samples.pick(left))

    def _further(self, at: torch.Tensor, samples: Samples) -> None:
        """Rounds 2 and 3 at once for the rays `at` (Q,), whose samples of the round before have no answer."""
        result, count, depth, g = self.found, self.options.samples, samples.depth, samples.g
        going, ray = self.rays.pick(at), torch.arange(len(at))
        least = g.argmin(1)
        low, high = depth[ray, (least - 1).clamp_min(0)], depth[ray, (least + 1).clamp_max(count - 1)]
        between = torch.linspace(0.0, 1.0, count + 2, dtype=self.rays.near.dtype)[1:-1]
        step = self.options.wider * torch.linspace(1.0, 1.0 / count, count, dtype=self.rays.near.dtype)
        before, behind = (going.near[:, None] - step).clamp_min(1e-3), going.far[:, None] + step.flip(0)
        more = self._sampled(going, torch.cat([before, low[:, None] + (high - low)[:, None] * between, behind], 1))
        result.keep(at, more, first=False)
        joined = torch.cat([depth, more.depth], 1).sort(1)
        every = torch.cat([g, more.g], 1).gather(1, joined.indices)
        # what rays that begin inside enter later is not what is seen
        every[result.inside[at][:, None] & (joined.values > going.near[:, None])] = float("inf")
        both = torch.cat([samples.canonical, more.canonical], 1)
        both = both.gather(1, joined.indices[..., None].expand(-1, -1, 3))
        self._enter(at, self.wanted[at], Samples(joined.values, both, every), Round.WIDENED)
        within = result.surface[at] & (result.depth[at] >= going.near) & (result.depth[at] <= going.far)
        result.round[at[within]] = int(Round.REFINED)

    def _sampled(self, going: Rays, depth: torch.Tensor) -> Samples:
        """Samples at depths (Q, S) of rays."""
        return sampled(self.bound, going, depth, self.starts, self.options.sample_tolerance, self.options.sample_steps)

    def _take(self, at: torch.Tensor, canonical, inverse, depth, served: Round) -> None:
        """Answers for the rays `at`."""
        result = self.found
        result.surface[at], result.canonical[at], result.inverse[at] = True, canonical, inverse
        result.depth[at], result.round[at], result.inside[at] = depth, int(served), False

    def _enter(self, index: torch.Tensor, asked: torch.Tensor, samples: Samples, served: Round) -> None:
        """Polish the first step from outside to inside of the rays at `index` (Q,) where `asked` (Q,) bool."""
        at, there = crossing(samples.g)
        there = there & asked
        if not there.any():
            return
        options, index, at = self.options, index[there], at[there]
        ray = there.nonzero()[:, 0]
        going = self.rays.pick(index)
        low, high = samples.depth[ray, at], samples.depth[ray, at + 1]
        g_low, g_high = samples.g[ray, at], samples.g[ray, at + 1]
        within = samples.canonical[ray, at + 1]
        share = torch.where(g_low.isfinite(), g_low / (g_low - g_high), torch.ones_like(g_low))
        outside = samples.canonical[ray, at]
        start = torch.where((share < 1.0)[:, None], outside.lerp(within, share[:, None]), within)
        roots = polish(self.bound, going, start, options.steps, options.tolerance)
        edge = 1e-3 * (high - low)
        good = roots.found & (roots.depth >= low - edge) & (roots.depth <= high + edge)
        self._take(index[good], roots.canonical[good], roots.inverse[good], roots.depth[good], served)
        failed = ~good
        if options.secant_steps and failed.any():
            slow = going.pick(failed)
            ends = [tensor[failed] for tensor in (low, high, g_low, g_high, within)]
            root, inverse, along = _secant(self.bound, slow, options, *ends)
            self._take(index[failed], root, inverse, along, served)
            self.found.solved[index[failed]] = True


def _secant(bound: Bound, rays: Rays, options: SearchOptions, low, high, g_low, g_high, root):
    """Regula falsi along rays between a depth outside and one inside, each time from the last canonical point.

    Returns:
        Canonical points (Q, 3), the inverse Jacobians of F (Q, 3, 3) and the depths (Q,).
    """
    g_low = g_low.clamp_max(1.0)
    own = torch.arange(len(rays))
    for _ in range(options.secant_steps):
        middle = low + (high - low) * (g_low / (g_low - g_high)).clamp(0.05, 0.95)
        warp = bound.morph(root, rays.rows, slope=True).jacobian
        guesses = Guesses(own, root, torch.linalg.inv_ex(warp)[0])
        answer = correspond(bound, rays.at(middle), Rows.of(rays.rows.frame, rays.rows.frames), guesses)
        inside = answer.g < 0
        root = torch.where(inside[:, None], answer.points, root)
        low, g_low = torch.where(inside, low, middle), torch.where(inside, g_low, answer.g.clamp_max(1.0))
        high, g_high = torch.where(inside, middle, high), torch.where(inside, answer.g, g_high)
    _, jacobian, depth, _ = joint(bound, root, rays, rays.across())
    return root, torch.linalg.inv_ex(jacobian)[0], depth
