"""Which canonical points a posed point may come from, and which of them counts (IMAvatar §3.3, after SNARF).

Forward morphing may bring several canonical points to one place: lips that touch, a chin on a throat. Each is found
from a start of its own; **the smallest g counts**, which is the union of what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from headfield.avatar.avatar import Bound
from headfield.avatar.networks import Rows
from headfield.nn.root_finding import broyden

STEPS = 10
"""Updates of Broyden's method at most (supp. §2.4)."""

TOLERANCE = 1e-5
"""Distance at which a canonical point is home, model units (supp. §2.4)."""


@dataclass(frozen=True)
class Guesses:
    """Where to start: M guesses for P points.

    Attributes:
        owner: (M,) int64, non-decreasing: the point that a guess is for.
        points: (M, 3) canonical.
        inverse: (M, 3, 3) inverse Jacobian of the warp there, roughly.
    """

    owner: torch.Tensor
    points: torch.Tensor
    inverse: torch.Tensor


class Starts(Protocol):
    """Says where to look for the canonical points of posed ones."""

    def __call__(self, posed: torch.Tensor, rows: Rows) -> Guesses:
        """Guesses for posed points (P, 3)."""
        ...


class BoneStarts:
    """The start of the published code: each posed point as if it rode on one bone alone, for every bone."""

    def __init__(self, bones: torch.Tensor):
        """Of frames with bones (F, J, 3, 4)."""
        self.bones = bones

    def __call__(self, posed: torch.Tensor, rows: Rows) -> Guesses:
        """J guesses a point."""
        bones = self.bones[rows.frame]
        back = bones[..., :3].transpose(2, 3)
        points = (back @ (posed[:, None] - bones[..., 3])[..., None])[..., 0]
        joints = bones.shape[1]
        owner = torch.arange(len(posed), device=posed.device).repeat_interleave(joints)
        return Guesses(owner, points.flatten(0, 1), back.flatten(0, 1))


@dataclass(frozen=True)
class Correspondences:
    """What P posed points are.

    Attributes:
        points: (P, 3) the canonical point with the smallest g; where none was found, the best guess.
        g: (P,) its logit; infinite where none was found, which counts as empty.
    """

    points: torch.Tensor
    g: torch.Tensor


@torch.no_grad()
def correspond(
    bound: Bound,
    posed: torch.Tensor,
    rows: Rows,
    guesses: Guesses,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Correspondences:
    """Canonical points of posed points (P, 3).

    Args:
        bound: The avatar in its frames.
        posed: (P, 3).
        rows: Their frames.
        guesses: At least one for each of them.
        steps, tolerance: Of Broyden's method.
    """
    many = Rows.of(rows.frame[guesses.owner], rows.frames)
    roots = broyden(
        lambda x, index: bound.morph(x, many.pick(index)).points,
        posed[guesses.owner],
        guesses.points,
        guesses.inverse,
        steps,
        tolerance,
        lost=1.0,
    )
    home = roots.residual <= tolerance
    g = posed.new_full((len(roots.points),), float("inf"))
    g[home] = bound.g(roots.points[home], many.pick(home))
    least = posed.new_full((len(posed),), float("inf")).scatter_reduce(0, guesses.owner, g, "amin")
    chosen = g == least[guesses.owner]
    points = torch.empty_like(posed)
    points[guesses.owner[chosen]] = roots.points[chosen]
    return Correspondences(points, least)
