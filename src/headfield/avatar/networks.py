"""The three fields of an avatar over canonical space (IMAvatar §3.2): geometry, deformation and texture.

Derivatives by the point are written as ordinary forward operations (a reverse pass for the one output of geometry,
three tangents for the many of deformation), so that a loss on normals needs one single backward. Rows of points are
sorted by frame: what a frame's numbers make of a network's last layer, its blendshape heads contracted with them, is
then one product per frame, of three outputs instead of 3 (E + Q).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headfield.avatar.config import AvatarConfig
from headfield.errors import present
from headfield.nn import single
from headfield.nn.activation import softplus, softplus_and_slope
from headfield.nn.encoding import encode, encode_reverse, encoded_size
from headfield.nn.grouped import grouped_linear
from headfield.nn.mlp import Folded, GroupedMLP

START_RADIUS = 0.6
"""Radius of the sphere that geometry starts from where no template is at hand (published code), model units."""


@dataclass(frozen=True)
class Rows:
    """Which frame each of P points belongs to.

    Attributes:
        frame: (P,) int64, non-decreasing.
        bounds: F + 1 offsets; frame f owns rows bounds[f]:bounds[f + 1].
    """

    frame: torch.Tensor
    bounds: tuple[int, ...]

    @staticmethod
    def of(frame: torch.Tensor, frames: int) -> Rows:
        """Rows of sorted frame indices (P,)."""
        ends = torch.searchsorted(frame, torch.arange(frames + 1, device=frame.device))
        return Rows(frame, tuple(ends.tolist()))

    @property
    def frames(self) -> int:
        """F."""
        return len(self.bounds) - 1

    def pick(self, which: torch.Tensor) -> Rows:
        """Only some of the rows, in their order: (P,) bool or ascending indices."""
        return Rows.of(self.frame[which], self.frames)


class Geometry(nn.Module):
    """Canonical point -> occupancy logit g (negative inside) and a feature for texture (Eq. 3)."""

    gains: torch.Tensor
    """(I,) factors of the encoded numbers."""

    def __init__(self, config: AvatarConfig):
        super().__init__()
        self.frequencies, self.latent = config.frequencies, config.latent
        inputs = encoded_size(config.frequencies)
        octaves = config.wave_gain ** torch.arange(config.frequencies, dtype=torch.float32)
        self.register_buffer("gains", torch.cat([torch.ones(3), octaves.repeat(6)]), persistent=False)
        self.mlp = GroupedMLP(
            1,
            inputs,
            config.latent,
            config.geometry_hidden,
            config.geometry_layers,
            1 + config.features,
            skip=True,
            narrow=True,
        )
        sphere_start(self.mlp, START_RADIUS)

    def fold(self, codes: torch.Tensor) -> Folded:
        """Per-frame codes (F, L) as biases."""
        return self.mlp.fold(codes[:, None], torch.zeros(1, dtype=torch.long))

    def forward(
        self, points: torch.Tensor, rows: Rows, codes: torch.Tensor | None = None, slope: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Evaluate.

        Args:
            points: (P, 3) canonical.
            rows: Their frames.
            codes: (F, L) of the frames, or None.
            slope: Also find dg/dx.
        Returns:
            g (P,), features (P, C), and dg/dx (P, 3) or None.
        """
        encoded, waves = encode(points, self.frequencies)
        encoded = encoded * self.gains
        if codes is None and not slope:
            out = single.outputs(self.mlp, single.last_hidden(self.mlp, encoded))
            return out[:, 0], out[:, 1:], None
        if codes is None:
            passed = single.passed(self.mlp, encoded)
            out, back = single.outputs(self.mlp, passed.hidden), single.slope_of_first(self.mlp, passed)
            return out[:, 0], out[:, 1:], encode_reverse(back * self.gains, waves, self.frequencies)
        bounds = (0, len(points))
        out, state = self.mlp(encoded, self.fold(codes), rows.frame, bounds, keep=slope)
        if not slope:
            return out[:, 0], out[:, 1:], None
        start = torch.zeros_like(out)
        start[:, 0] = 1.0
        back, _, _ = self.mlp.reverse(start, state, bounds)
        return out[:, 0], out[:, 1:], encode_reverse(back * self.gains, waves, self.frequencies)


@dataclass(frozen=True)
class Heads:
    """The blendshape heads E and P of each frame, contracted with its coefficients: (F, 3, H) and (F, 3)."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True)
class Deformed:
    """What deformation says of P canonical points.

    Attributes:
        offset: (P, 3) B_E + B_P of Eq. 5.
        weights: (P, J) skinning weights, rows sum to one.
        offset_slope: (P, 3, 3) its derivative, [p, a, b] = d offset_a / d x_b; None unless asked for.
        weights_slope: (P, J, 3).
        hidden: (P, H) last hidden layer, from which :meth:`Deformation.basis` finds the blendshapes themselves.
    """

    offset: torch.Tensor
    weights: torch.Tensor
    offset_slope: torch.Tensor | None
    weights_slope: torch.Tensor | None
    hidden: torch.Tensor


class Deformation(nn.Module):
    """Canonical point -> expression blendshapes E, pose correctives P, skinning weights W (Eq. 4).

    The trunk's last layer is the hidden layer of the skinning head; the blendshape head reads the layer before.
    """

    def __init__(self, config: AvatarConfig, channels: int, features: int, joints: int):
        """For E channels, Q pose features and J joints."""
        super().__init__()
        width = config.deformation_hidden
        self.temperature, self.shapes = config.temperature, features + channels
        self.trunk = GroupedMLP(1, 3, 0, width, config.deformation_layers, width, skip=False)
        self.blend = nn.Linear(width, 3 * self.shapes)
        self.skin = nn.Linear(width, joints)
        nn.init.zeros_(self.blend.weight)  # nothing moves at first (published code)
        nn.init.zeros_(self.blend.bias)

    def contract(self, coefficients: torch.Tensor) -> Heads:
        """The blendshape heads of frames with coefficients (F, Q + E): pose features, then expression."""
        weight = torch.einsum("fn,nch->fch", coefficients, self.blend.weight.view(self.shapes, 3, -1))
        return Heads(weight, coefficients @ self.blend.bias.view(self.shapes, 3))

    def forward(self, points: torch.Tensor, rows: Rows, heads: Heads, slope: bool = False) -> Deformed:
        """Evaluate at canonical points (P, 3)."""
        if not slope:
            hidden = single.last_hidden(self.trunk, points)
            offset = grouped_linear(hidden, heads.weight, rows.bounds, heads.bias)
            activated = softplus(single.outputs(self.trunk, hidden))
            weights = torch.softmax(self.temperature * self.skin(activated), dim=-1)
            return Deformed(offset, weights, None, None, hidden)
        count, passed = len(points), single.passed(self.trunk, points)
        hidden = passed.hidden
        offset = grouped_linear(hidden, heads.weight, rows.bounds, heads.bias)
        activated, activated_slope = softplus_and_slope(single.outputs(self.trunk, hidden))
        weights = torch.softmax(self.temperature * self.skin(activated), dim=-1)
        ways = single.tangents(self.trunk, passed).flatten(0, 1)  # (3 P, H), the three of a point after each other
        threefold = tuple(3 * end for end in rows.bounds)
        offset_slope = grouped_linear(ways, heads.weight, threefold).view(count, 3, 3).transpose(1, 2)
        onward = (ways @ self.trunk.last[0].t()).view(count, 3, -1) * activated_slope[:, None]
        logit = self.temperature * (onward @ self.skin.weight.t())
        mean = (logit * weights[:, None]).sum(-1, keepdim=True)
        return Deformed(offset, weights, offset_slope, ((logit - mean) * weights[:, None]).transpose(1, 2), hidden)

    def basis(self, hidden: torch.Tensor) -> torch.Tensor:
        """Correctives and blendshapes (P, Q + E, 3) from the last hidden layer (P, H)."""
        return self.blend(hidden).view(len(hidden), self.shapes, 3)


class Texture(nn.Module):
    """Canonical point, deformed normal, expression and jaw, feature -> colour in -1..1 (Eq. 7)."""

    def __init__(self, config: AvatarConfig, condition: int):
        """For `condition` numbers of expression and jaw."""
        super().__init__()
        self.frequencies = config.texture_frequencies
        self.project = nn.Linear(condition, config.texture_condition)
        fan = encoded_size(self.frequencies) + 3 + config.texture_condition + config.features
        layers: list[nn.Module] = []
        for _ in range(config.texture_layers):
            layers += [nn.Linear(fan, config.texture_hidden), nn.ReLU()]
            fan = config.texture_hidden
        self.mlp = nn.Sequential(*layers, nn.Linear(fan, 3))

    def forward(
        self, points: torch.Tensor, normals: torch.Tensor, condition: torch.Tensor, features: torch.Tensor, rows: Rows
    ) -> torch.Tensor:
        """Colours (P, 3) at canonical points (P, 3) with deformed unit normals (P, 3).

        Args:
            points, normals: (P, 3).
            condition: (F, K) expression and jaw of the frames.
            features: (P, C) of geometry.
            rows: Frames of the points.
        """
        encoded, _ = encode(points, self.frequencies)
        seen = torch.cat([encoded, normals, self.project(condition)[rows.frame], features], dim=1)
        return torch.tanh(self.mlp(seen))


@torch.no_grad()
def sphere_start(mlp: GroupedMLP, radius: float) -> None:
    """Let a network start as the distance to a sphere (Atzmon and Lipman 2020, SAL; IDR's start).

    Encoded waves start without influence; the feature outputs keep their start.
    """
    for weight in (*mlp.deeper, mlp.first):
        weight.normal_(0.0, (2.0 / weight.shape[1]) ** 0.5)
    mlp.first[:, :, 3:] = 0.0
    if mlp.skip is not None:  # two inputs of the size of a point come together there
        mlp.skip.normal_(0.0, (1.0 / mlp.skip.shape[1]) ** 0.5)
        mlp.skip[:, :, 3:] = 0.0
        mlp.deeper[present(mlp.skip_layer, "the layer of a skip") - 1].mul_(0.5**0.5)
    for bias in mlp.biases:
        bias.zero_()
    mlp.last[:, 0].normal_((torch.pi / mlp.hidden) ** 0.5, 1e-4)
    mlp.last_bias[:, 0] = -radius
