"""ImFace: a template face, carried to a person and into an expression by two backward SE(3) deformations (CVPR 2022).

l, l_id = Landmark-Net(z_ex, z_id), Landmark-Net(z_id)         five places on the face, posed and at rest
x_id = T_ex(x; l, z_ex) x                                      ExpNet: posed -> this person at rest
x_0, delta = T_id(x_id; l_id, z_id) x_id                       IDNet: this person -> the template
f(x) = f_0(x_0; l_0) + delta                                   TempNet, and a correction
T is a rigid motion of its own at every point, and every network a Neural Blend-Field (`networks.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from headfield import frames
from headfield.expressions import space_named
from headfield.models.field_model import FieldModel
from headfield.models.fingerprint import Fingerprint, fingerprint_of
from headfield.models.imface.config import ImFaceConfig
from headfield.models.imface.networks import KEYS, BlendField, BlendSize
from headfield.models.latent_space import LatentSpace
from headfield.models.prior import Prior
from headfield.nn.anchor_net import AnchorNet, linear_layers
from headfield.nn.screw import move
from headfield.nn.sine_net import Layers
from headfield.types import Codes

UNIT = 0.4
"""ImFace's unit of length, 100 mm, in model units: what a sine network sees has a scale."""

BEHIND_NOSE = 0.16
"""Its origin lies so far behind the tip of the mean nose, model units (40 mm)."""


@dataclass(frozen=True)
class ExpressedFace:
    """A head's expression, folded.

    Attributes:
        places: (B, 5, 3) Landmark-Net's places on the posed face, ImFace's unit.
        layers: The sine network of its deformation.
        gate: (B, H) of its last hidden layer, or None without one.
    """

    places: torch.Tensor
    layers: Layers
    gate: torch.Tensor | None


@dataclass(frozen=True)
class Condition:
    """Codes folded into what is constant for a head.

    Attributes:
        places: (B, 5, 3) places on the face at rest, ImFace's unit.
        layers: The sine network of IDNet.
        template: That of TempNet, for all heads the same.
        expressed: Folded expression, or None for heads at rest, which skip ExpNet.
    """

    places: torch.Tensor
    layers: Layers
    template: Layers
    expressed: ExpressedFace | None


class KeyNet(nn.Sequential):
    """Codes (B, I) -> offsets of the five places (B, 5 x 3); two hidden layers, zero at first."""

    def __init__(self, inputs: int, hidden: int):
        first, second, last = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3 * len(KEYS))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(first, nn.LeakyReLU(), second, nn.LeakyReLU(), last)

    def first_weight(self) -> torch.Tensor:
        """The weight (H, I) that codes meet first."""
        return linear_layers(self)[0].weight


class ExpNet(nn.Module):
    """The deformation of expressions, with the part of Landmark-Net that belongs to it."""

    def __init__(self, config: ImFaceConfig):
        super().__init__()
        self.field = BlendField(
            BlendSize(
                outputs=6,
                hidden=config.expression_hidden,
                layers=config.expression_layers,
                fusion_hidden=config.fusion_hidden,
                code=config.expression,
                hyper_hidden=config.hyper_hidden,
                hyper_layers=config.hyper_layers,
            )
        )
        self.gate = nn.Linear(config.expression, config.expression_hidden, bias=False) if config.gated else None
        self.places = KeyNet(config.expression + config.identity, config.key_hidden)

    def fold(self, latent: torch.Tensor, expression: torch.Tensor, at_rest: torch.Tensor) -> ExpressedFace:
        """Of latents (B, D), expressions (B, E) and the places at rest (B, 5, 3)."""
        offsets = self.places(torch.cat([expression, latent], dim=1)).unflatten(1, (len(KEYS), 3))
        gate = None if self.gate is None else self.gate(expression)
        return ExpressedFace(at_rest + offsets, self.field.fold(expression), gate)

    def twist(self, points: torch.Tensor, face: ExpressedFace) -> torch.Tensor:
        """The motion (B, N, 6) of posed points (B, N, 3), ImFace's unit."""
        return self.field(points, face.places, face.layers, face.gate)

    def _of_expression(self, numbers: int) -> list[torch.Tensor]:
        """The weights (..., E) that an expression meets first, views."""
        found = [*self.field.hyper.first_weights(), self.places.first_weight()[:, :numbers]]
        return found if self.gate is None else [*found, self.gate.weight]

    @torch.no_grad()
    def recode_expression(self, spread: torch.Tensor) -> None:
        """Change the expression's numbers in place: z_old = spread (E, E) z_new."""
        for weight in self._of_expression(len(spread)):
            weight.copy_((weight.double() @ spread.to(weight.device).double()).to(weight.dtype))

    @torch.no_grad()
    def silence(self, channels: torch.Tensor) -> None:
        """Make expression channels (E,) bool do nothing, in place."""
        for weight in self._of_expression(len(channels)):
            weight[:, channels] = 0.0


class ImFace(LatentSpace, FieldModel):
    """The ImFace model.

    Dimensions: B heads, N points, D = 128 identity, E expression numbers. Points come and go in model units; inside
    they are in ImFace's unit about its origin. Its warp is backward. It has no part codes (the five regions share one
    code and their borders are learned), so regions cannot be edited, and no derivatives by codes in closed form, so
    fits use autograd. The paper's code is an affine image of the identity code
    (:class:`headfield.models.latent_space.LatentSpace`).
    """

    architecture = "imface"
    closed_form: Literal["backward", "forward"] = "backward"
    deformer: ExpNet

    def __init__(
        self,
        config: ImFaceConfig,
        *,
        box: np.ndarray | None = None,
        mean_anchors: np.ndarray | None = None,
        prior: Prior | None = None,
    ):
        """Build with random weights.

        Args:
            config: Sizes and choices.
            box, mean_anchors, prior: See :class:`headfield.models.field_model.FieldModel`.
        """
        super().__init__(box, mean_anchors, prior or Prior.standard(config.identity))
        self.config = config
        self.start_latent(config.identity)
        self.landmarks = AnchorNet(config.identity, config.key_hidden)
        sizes = {"hidden": config.hidden, "layers": config.layers, "fusion_hidden": config.fusion_hidden}
        hyper = {"hyper_hidden": config.hyper_hidden, "hyper_layers": config.hyper_layers}
        self.reference = BlendField(BlendSize(outputs=7, code=config.identity, **sizes, **hyper))
        self.template = BlendField(BlendSize(outputs=1, code=None, **sizes))
        self.deformer = ExpNet(config)
        self.expression_space = space_named(config.expression_names, config.expression)

    # ---- weights -----------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others."""
        return fingerprint_of(self, [UNIT, BEHIND_NOSE], self.config.expression_names)

    # ---- codes -------------------------------------------------------------------------------------------------

    def anchors(self, codes: Codes) -> torch.Tensor:
        """The 39 anchors (B, 39, 3) of heads at rest, model units; five of them are Landmark-Net's places."""
        return self.mean_anchors + self.landmarks.offsets(self.latent(codes.identity))

    def condition(self, codes: Codes) -> Condition:
        """Let the hypernetworks write the networks of each head."""
        places = self._inward(self.anchors(codes)[:, KEYS])
        layers = self.reference.fold(self.latent(codes.identity))
        return Condition(places, layers, self.template.fold(), self.expressed_of(codes))

    def fold_expression(self, codes: Codes, expression: torch.Tensor) -> ExpressedFace:
        """ExpNet's network for an expression (B, E)."""
        identity = codes.identity if codes.warp_identity is None else codes.warp_identity
        places = self._inward(self.anchors(Codes(identity))[:, KEYS])
        return self.deformer.fold(self.latent(identity), expression, places)

    # ---- the field -----------------------------------------------------------------------------------------------

    def signed_distance(self, points: torch.Tensor, codes: Codes | Condition) -> torch.Tensor:
        """Signed distance (B, N) at posed points (B, N, 3)."""
        condition = self.condition_of(codes)
        rest = self._to_rest(self._inward(points), condition)
        return self._field(rest, condition)[0] * UNIT

    def trace(self, points: torch.Tensor, condition: Condition) -> dict[str, torch.Tensor]:
        """Everything that losses speak of, at posed points (B, N, 3), differentiable once more.

        Returns:
            ``value`` (B, N), ``gradient`` (B, N, 3) by the posed points, ``rest`` (B, N, 3) the points at rest, and
            ``correction`` (B, N), model units.
        """
        with torch.enable_grad():
            leaf = points if points.requires_grad else points.detach().requires_grad_()
            rest = self._to_rest(self._inward(leaf), condition)
            value, correction = self._field(rest, condition)
            value = value * UNIT
            (gradient,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        return {"value": value, "gradient": gradient, "rest": self._outward(rest), "correction": correction * UNIT}

    def value_and_gradient(self, points: torch.Tensor, codes: Codes | Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance (B, N) and its gradient (B, N, 3) by the posed points, both differentiable once more."""
        found = self.trace(points, self.condition_of(codes))
        pair = found["value"], found["gradient"]
        return pair if torch.is_grad_enabled() else (pair[0].detach(), pair[1].detach())

    def to_canonical(self, points: torch.Tensor, codes: Codes | Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (B, N, 3) on the head at rest (B, N, 3) (ExpNet); there are no ambient coordinates (B, N, 0)."""
        condition, none = self.condition_of(codes), points.new_zeros(*points.shape[:2], 0)
        if condition.expressed is None:
            return points, none
        return self._outward(self._to_rest(self._inward(points), condition)), none

    def to_template(self, points: torch.Tensor, codes: Codes | Condition) -> torch.Tensor:
        """Points (B, N, 3) of heads at rest on the template (B, N, 3) (IDNet)."""
        condition, inward = self.condition_of(codes), self._inward(points)
        twist = self.reference(inward, condition.places, condition.layers)[..., :6]
        return self._outward(move(inward, twist))

    def warp_and_jacobian(self, points: torch.Tensor, condition: Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (N, 3) of one head on the head at rest (N, 3), and d rest / d posed (N, 3, 3)."""
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            rest = self.to_canonical(leaf[None], condition)[0][0]
            rows = [torch.autograd.grad(rest[:, axis].sum(), leaf, retain_graph=True)[0] for axis in range(3)]
        return rest.detach(), torch.stack(rows, dim=1)

    # ---- inner ---------------------------------------------------------------------------------------------------

    def _origin(self) -> torch.Tensor:
        nose = self.mean_anchors[frames.ANCHOR_NAMES.index("nose_tip")]
        return nose - nose.new_tensor([0.0, 0.0, BEHIND_NOSE])

    def _inward(self, points: torch.Tensor) -> torch.Tensor:
        """Model units -> ImFace's."""
        return (points - self._origin()) * (1 / UNIT)

    def _outward(self, points: torch.Tensor) -> torch.Tensor:
        return points * UNIT + self._origin()

    def _to_rest(self, inward: torch.Tensor, condition: Condition) -> torch.Tensor:
        face = condition.expressed
        return inward if face is None else move(inward, self.deformer.twist(inward, face))

    def _field(self, rest: torch.Tensor, condition: Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """f and delta (B, N) at points (B, N, 3) of heads at rest, ImFace's unit."""
        out = self.reference(rest, condition.places, condition.layers)
        where = self._inward(self.mean_anchors[KEYS])[None]
        value = self.template(move(rest, out[..., :6]), where, condition.template)[..., 0]
        return value + out[..., 6], out[..., 6]
