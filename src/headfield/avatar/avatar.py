"""An avatar: its three fields together, bound to the frames that are asked about."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from headfield.avatar.config import AvatarConfig
from headfield.avatar.morph import Morphed, Poses, deformed_normals, morph
from headfield.avatar.networks import Deformation, Geometry, Heads, Rows, Texture


class Avatar(nn.Module):
    """Geometry, deformation and texture of one person.

    Args:
        config: Sizes.
        channels: E, expression numbers.
        joints: J.
        frames: Frames that have a code of their own, where geometry has one; 0 for none.
    """

    def __init__(self, config: AvatarConfig, channels: int, joints: int, frames: int = 0):
        super().__init__()
        self.config, self.channels, self.joints = config, channels, joints
        self.geometry = Geometry(config)
        self.deformation = Deformation(config, channels, 9 * (joints - 1), joints)
        self.texture = Texture(config, channels + 3)
        self.codes = nn.Parameter(torch.zeros(frames, config.latent)) if config.latent and frames else None

    def bound(self, poses: Poses, frames: torch.Tensor | None = None) -> Bound:
        """The fields in frames with these poses.

        Args:
            poses: F frames.
            frames: (F,) which of the frames with a code these are; None takes the mean of all codes.
        """
        codes = None
        if self.codes is not None:
            codes = self.codes.mean(0).expand(len(poses), -1) if frames is None else self.codes[frames]
        elif self.config.latent:
            codes = poses.condition.new_zeros(len(poses), self.config.latent)
        return Bound(self, poses, self.deformation.contract(poses.coefficients), codes)


@dataclass(frozen=True)
class Shaded:
    """What is seen at P canonical surface points.

    Attributes:
        colour: (P, 3) in -1..1.
        normals: (P, 3) deformed unit normals.
        g: (P,) occupancy logit.
        slope: (P, 3) dg/dx_c.
        morphed: Where the points are.
    """

    colour: torch.Tensor
    normals: torch.Tensor
    g: torch.Tensor
    slope: torch.Tensor
    morphed: Morphed


@dataclass
class Tally:
    """Evaluations of the networks at points; one with its slope counts as 2 of geometry, 4 of deformation."""

    geometry: int = 0
    deformation: int = 0


@dataclass(frozen=True)
class Bound:
    """An avatar in F frames; every method takes canonical points (P, 3) with their :class:`Rows`."""

    avatar: Avatar
    poses: Poses
    heads: Heads
    codes: torch.Tensor | None
    tally: Tally = field(default_factory=Tally)

    def g(self, points: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Occupancy logits (P,), negative inside."""
        self.tally.geometry += len(points)
        return self.avatar.geometry(points, rows, self.codes)[0]

    def g_and_slope(self, points: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Occupancy logits (P,) and dg/dx_c (P, 3)."""
        self.tally.geometry += 2 * len(points)
        g, _, slope = self.avatar.geometry(points, rows, self.codes, slope=True)
        return g, slope

    def morph(self, points: torch.Tensor, rows: Rows, slope: bool = False) -> Morphed:
        """Where points are in their frames."""
        self.tally.deformation += len(points) * (4 if slope else 1)
        return morph(self.avatar.deformation, points, rows, self.poses, self.heads, slope)

    def shade(self, points: torch.Tensor, rows: Rows) -> Shaded:
        """Colour and normals at surface points, differentiable by points and weights."""
        g, features, slope = self.avatar.geometry(points, rows, self.codes, slope=True)
        morphed = self.morph(points, rows, slope=True)
        normals = deformed_normals(slope, morphed.slopes)
        colour = self.avatar.texture(points, normals, self.poses.condition, features, rows)
        return Shaded(colour, normals, g, slope, morphed)
