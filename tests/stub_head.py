"""A head model in closed form: an ellipsoid with a nose, chin, brows and ears; codes move bumps, expressions the mouth.

It follows the protocol of head models, is there in no time and known exactly, so that laws of fits and of the protocol
can be tested without weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from headfield.expressions import plain_space
from headfield.frames import ANCHOR_NAMES, reference_anchors
from headfield.models.fingerprint import Fingerprint
from headfield.models.prior import Prior
from headfield.models.protocol import Jacobians
from headfield.types import Codes

_AXES = torch.tensor([0.29, 0.42, 0.36])
_MIDDLE = torch.tensor([0.0, 0.08, -0.12])
_MOVED = [i for i, name in enumerate(ANCHOR_NAMES) if "ear" not in name][:24]
_MOUTH = torch.tensor([[0.08, -0.2, 0.15], [-0.08, -0.2, 0.15], [0.0, -0.26, 0.17]])


@dataclass
class _Config:
    identity: int = len(_MOVED)
    expression: int = 3


def _project(directions: torch.Tensor) -> torch.Tensor:
    """The point of the ellipsoid in each direction from the middle."""
    return _MIDDLE + directions / (directions / _AXES).norm(dim=-1, keepdim=True)


@dataclass
class PlainHead:
    """A head model with a canonical space that nothing moves, and no derivatives by codes."""

    closed_form = "backward"
    neck_tilt = 0.5

    config: _Config = field(default_factory=_Config)
    name: str = "stub"
    fingerprint: Fingerprint = Fingerprint("0" * 12, "0" * 12)

    def __post_init__(self):
        self.box = np.array([[-0.65, -0.62, -0.95], [0.65, 0.85, 0.5]])
        self.prior = Prior.standard(self.config.identity)
        self.expression_space = plain_space(self.config.expression)
        anchors = torch.from_numpy(reference_anchors()).float()
        self._bumps = _project(anchors[_MOVED] - _MIDDLE)
        self._features = torch.tensor(  # nose, chin, two ears, brow, occiput: what makes the pose unambiguous
            [[0, -0.06, 0.26], [0, -0.33, 0.1], [0.3, 0, -0.18], [-0.3, 0, -0.18], [0, 0.16, 0.22], [0, 0.2, -0.5]]
        )
        self._heights = torch.tensor([0.12, 0.08, 0.06, 0.06, 0.03, 0.03])
        self._mouth = _project(_MOUTH - _MIDDLE)

    def mean_codes(self, component: int = 0, batch: int = 1) -> Codes:
        return Codes(torch.zeros(batch, self.config.identity))

    def anchors(self, codes: Codes) -> torch.Tensor:
        return torch.from_numpy(reference_anchors()).float()[None].repeat(len(codes.identity), 1, 1)

    def condition(self, codes: Codes) -> Codes:
        return codes

    def _field(self, x: torch.Tensor, z: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        scaled = (x - _MIDDLE) / _AXES
        k0, k1 = scaled.norm(dim=-1), (scaled / _AXES).norm(dim=-1)
        value = k0 * (k0 - 1.0) / k1.clamp(min=1e-6)

        def bump(centres, width):
            return torch.exp(-0.5 * ((x[..., None, :] - centres) / width).square().sum(-1))

        value = value - bump(self._features, 0.06) @ self._heights
        value = value - 0.02 * (bump(self._bumps, 0.09) * z[..., None, :]).sum(-1)
        return value - 0.05 * (bump(self._mouth, 0.05) * e[..., None, :]).sum(-1)

    def signed_distance(self, points: torch.Tensor, codes: Codes) -> torch.Tensor:
        e = codes.expression if codes.expression is not None else torch.zeros(len(points), self.config.expression)
        return self._field(points, codes.identity, e)

    def value_and_gradient(self, points: torch.Tensor, codes: Codes):
        with torch.enable_grad():
            x = points.detach().requires_grad_()
            value = self.signed_distance(x, codes)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def to_canonical(self, points: torch.Tensor, codes: Codes):
        return points, torch.zeros(*points.shape[:2], 2)


@dataclass
class StubHead(PlainHead):
    """The same head with its derivatives by codes in closed form."""

    def value_and_jacobian(self, points: torch.Tensor, codes: Codes) -> Jacobians:
        value, gradient = self.value_and_gradient(points[None], codes)
        identity = -0.02 * torch.exp(-0.5 * ((points[:, None] - self._bumps) / 0.09).square().sum(-1))
        expression = -0.05 * torch.exp(-0.5 * ((points[:, None] - self._mouth) / 0.05).square().sum(-1))
        if codes.expression is None:
            expression = torch.zeros_like(expression)
        return Jacobians(value[0], gradient[0], identity, expression)


def surface_of(model: StubHead, codes: Codes, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) on a stub's surface above its neck plane, with outward normals, by projection along rays."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(3 * count, 3, generator=generator)
    x = _project(direction)
    for _ in range(12):
        value, gradient = model.value_and_gradient(x[None], codes)
        x = x - (value[0, :, None] * gradient[0] / gradient[0].square().sum(-1, keepdim=True)).clamp(-0.05, 0.05)
    value, gradient = model.value_and_gradient(x[None], codes)
    good = (value[0].abs() < 1e-4) & (x[:, 1] > -0.36)
    normals = gradient[0] / gradient[0].norm(dim=-1, keepdim=True)
    return x[good][:count].double().numpy(), normals[good][:count].double().numpy()
