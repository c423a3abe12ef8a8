"""What a search along rays comes home with, and what both searches do: sample, and look for a crossing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import torch

from headfield.avatar.avatar import Bound
from headfield.avatar.correspond import STEPS, TOLERANCE, Starts, correspond
from headfield.avatar.rays import Rays


class Round(IntEnum):
    """Which part of the search served a ray."""

    NONE = -1
    """No crossing was found, or none was looked for."""
    START = 0
    """Newton's method from the template's hit, or from the last visit's root."""
    SAMPLED = 1
    """Samples in the template's interval."""
    REFINED = 2
    """More samples round the smallest g."""
    WIDENED = 3
    """Samples before and behind the interval."""


@dataclass(frozen=True)
class Samples:
    """Samples along Q rays.

    Attributes:
        depth: (Q, S) ascending.
        canonical: (Q, S, 3) canonical points.
        g: (Q, S) the field there, infinite where no canonical point was found.
    """

    depth: torch.Tensor
    canonical: torch.Tensor
    g: torch.Tensor

    def pick(self, which: torch.Tensor) -> Samples:
        """Only those of some rays: (Q,) bool or indices."""
        return Samples(self.depth[which], self.canonical[which], self.g[which])


@dataclass
class Found:
    """What was found along R rays; filled in ray by ray.

    Attributes:
        surface: (R,) bool, the ray enters the surface.
        canonical: (R, 3) canonical point where it does.
        inverse: (R, 3, 3) inverse Jacobian of the joint equations there.
        depth: (R,) along the ray.
        smallest: (R, 3) canonical point of the sample with the smallest g.
        smallest_depth: (R,) its depth; NaN for rays that were not sampled, or had no canonical point at all.
        smallest_g: (R,) its g, infinite where there is none.
        inside: (R,) bool, the very first sample is inside already and nothing is entered after it.
        first: (R, 3) canonical point of the first sample.
        first_depth: (R,).
        round: (R,) int64 of :class:`Round`.
        solved: (R,) bool, the secant had to take over where Newton's method failed.
        disagreed: (R,) bool, of rays that were searched in full although the first round had an answer: it was over
            0.5 mm from what the full search found.
    """

    surface: torch.Tensor
    canonical: torch.Tensor
    inverse: torch.Tensor
    depth: torch.Tensor
    smallest: torch.Tensor
    smallest_depth: torch.Tensor
    smallest_g: torch.Tensor
    inside: torch.Tensor
    first: torch.Tensor
    first_depth: torch.Tensor
    round: torch.Tensor
    solved: torch.Tensor
    disagreed: torch.Tensor

    @staticmethod
    def nothing(rays: Rays) -> Found:
        """Before anything is found."""
        count, like = len(rays), rays.origin
        none, unknown = torch.zeros(count, dtype=torch.bool), like.new_full((count,), float("nan"))
        places = [like.new_full((count, 3), float("nan")) for _ in range(3)]
        return Found(
            surface=none,
            canonical=places[0],
            inverse=like.new_zeros(count, 3, 3),
            depth=unknown,
            smallest=places[1],
            smallest_depth=unknown.clone(),
            smallest_g=like.new_full((count,), float("inf")),
            inside=none.clone(),
            first=places[2],
            first_depth=unknown.clone(),
            round=torch.full((count,), int(Round.NONE)),
            solved=none.clone(),
            disagreed=none.clone(),
        )

    def keep(self, index: torch.Tensor, samples: Samples, first: bool) -> None:
        """Take over samples of rays.

        Args:
            index: (Q,) the rays.
            samples: Theirs.
            first: Whether the first of them is the ray's first sample, for the rule of rays that begin inside.
        """
        depth, canonical, g = samples.depth, samples.canonical, samples.g
        least, at = g.min(1)
        ray = torch.arange(len(index))
        better = least < self.smallest_g[index]
        took = index[better]
        self.smallest_g[took] = least[better]
        self.smallest[took] = canonical[ray, at][better]
        self.smallest_depth[took] = depth[ray, at][better]
        if first:
            self.first[index], self.first_depth[index] = canonical[:, 0], depth[:, 0]
            self.inside[index] = g[:, 0] < 0

    def shares(self, looked: torch.Tensor | None = None) -> dict[str, float]:
        """Share of the rays that each round served, of those where `looked` (R,) bool; None of all."""
        return round_shares(self.round if looked is None else self.round[looked])

    def pick(self, which: torch.Tensor) -> Found:
        """Only some of the rays: (R,) bool or indices."""
        return Found(*(getattr(self, one.name)[which] for one in fields(self)))


def round_shares(served: torch.Tensor) -> dict[str, float]:
    """Share of rays that each round served, by its name, of rounds (R,) of :class:`Round`."""
    count = max(len(served), 1)
    return {kind.name.lower(): float((served == kind).sum()) / count for kind in Round}


def sampled(
    bound: Bound, rays: Rays, depth: torch.Tensor, starts: Starts, tolerance: float = TOLERANCE, steps: int = STEPS
) -> Samples:
    """Samples at depths (R, S) of rays."""
    count, samples = depth.shape
    bounds = tuple(end * samples for end in rays.rows.bounds)
    rows = type(rays.rows)(rays.rows.frame.repeat_interleave(samples), bounds)
    posed = rays.at(depth).flatten(0, 1)
    answer = correspond(bound, posed, rows, starts(posed, rows), steps, tolerance)
    return Samples(depth, answer.points.view(count, samples, 3), answer.g.view(count, samples))


def crossing(g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first step from outside to inside along samples g (R, S): its first sample (R,), and whether there is one."""
    entering = (g[:, :-1] >= 0) & (g[:, 1:] < 0)
    return entering.to(torch.int8).argmax(1), entering.any(1)
