"""NPM: one code, one distance field of the head at rest, expressions by a forward deformation (ICCV 2021).

F_id(x, z_id)                            Palafox et al. §3.1, as in NPHM D.3.1: DeepSDF, 8 layers of 1,024
x_posed = x + F_ex(x, z_id, z_ex)        Palafox et al. §3.2                    ExpressionDeformer, used forward
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield.expressions import space_named
from headfield.models.fingerprint import Fingerprint, fingerprint_of
from headfield.models.forward_warped import ForwardWarpedModel
from headfield.models.latent_space import LatentSpace
from headfield.models.npm.config import NpmConfig
from headfield.models.prior import Prior
from headfield.nn.anchor_net import AnchorNet
from headfield.nn.deformer import DeformerSize, Expressed, ExpressionDeformer
from headfield.nn.mlp import Folded, GroupedMLP, MlpState, start_as_sphere
from headfield.types import Codes

_RADIUS = 0.4
"""Of the sphere that the field begins as, model units."""


@dataclass(frozen=True)
class Condition:
    """Codes folded into what is constant for a head.

    Attributes:
        field: Biases of the field at rest.
        expressed: Folded expression, or None for heads at rest, which skip the deformation.
    """

    field: Folded
    expressed: Expressed | None


@dataclass(frozen=True)
class Cotangents:
    """The reverse pass of the field at rest.

    Attributes:
        points: (B, N, 3) its gradient.
        first: (B N, H) and skip (B N, H): cotangents at the pre-activations that the code enters.
    """

    points: torch.Tensor
    first: torch.Tensor
    skip: torch.Tensor | None


class Npm(LatentSpace, ForwardWarpedModel):
    """The NPM model.

    Dimensions: B heads, N points, D = 512 identity, E expression numbers. It has no parts, so regions cannot be edited
    (:class:`headfield.models.protocol.Local`); of the other capabilities it has what NPHM has. The paper's code is an
    affine image of the identity code (:class:`headfield.models.latent_space.LatentSpace`). The 39 anchors are read
    off the code by a small network of our own; nothing else depends on them.
    """

    architecture = "npm"

    def __init__(
        self,
        config: NpmConfig,
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
        self.landmarks = AnchorNet(config.identity, config.anchor_hidden)
        self.field = GroupedMLP(1, 3, config.identity, config.hidden, config.layers, 1, skip=True, narrow=config.narrow)
        start_as_sphere(self.field, _RADIUS)
        self.deformer = ExpressionDeformer(
            DeformerSize(
                identity=config.identity,
                expression=config.expression,
                ambient=0,
                hidden=config.deformer_hidden,
                layers=config.deformer_layers,
                frequencies=0,
                identity_inner=config.deformer_identity,
                expression_inner=0,
                gated=config.gated,
                narrow=config.narrow,
            )
        )
        self.expression_space = space_named(config.expression_names, config.expression)

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others."""
        return fingerprint_of(self, [], self.config.expression_names)

    # ---- codes -------------------------------------------------------------------------------------------------

    def anchors(self, codes: Codes) -> torch.Tensor:
        """The 39 anchors (B, 39, 3) of heads at rest, model units."""
        return self.mean_anchors + self.landmarks.offsets(self.latent(codes.identity))

    def condition(self, codes: Codes) -> Condition:
        """Fold codes into biases."""
        network = torch.zeros(1, dtype=torch.long, device=codes.identity.device)
        folded = self.field.fold(self.latent(codes.identity)[:, None], network)
        return Condition(folded, self.expressed_of(codes))

    def seen_by_deformation(self, identity: torch.Tensor) -> torch.Tensor:
        """What F_ex sees of identity codes (B, D): the whole latent code (B, D)."""
        return self.latent(identity)

    def seen_by_identity(self, on_seen: torch.Tensor, codes: Codes) -> tuple[torch.Tensor, ...]:
        """A cotangent (N, D) of that pulled back to the identity code."""
        return (on_seen @ self.latent_spread,)

    # ---- the field at rest ---------------------------------------------------------------------------------------

    def at_rest(self, points: torch.Tensor, condition: Condition, dense: bool = False, keep: bool = True):
        """F_id (B, N) at canonical points (B, N, 3), and what its reverse pass needs; one network is always dense."""
        heads, count, _ = points.shape
        head = torch.arange(heads, device=points.device).repeat_interleave(count)
        flat, bounds = points.reshape(-1, 3) - self.centre, (0, heads * count)
        value, state = self.field(flat, condition.field, head, bounds, keep=keep)
        return value.view(heads, count), state

    def gradient_at_rest(self, state: MlpState, points: torch.Tensor, condition: Condition) -> Cotangents:
        """Its gradient, and the cotangents from which derivatives by the identity follow."""
        count = points.shape[0] * points.shape[1]
        on_points, first, skip = self.field.reverse(points.new_ones(count, 1), state, (0, count))
        return Cotangents(on_points.view(points.shape), first, skip)

    def identity_at_rest(self, back: Cotangents, state, points: torch.Tensor, codes: Codes, condition: Condition):
        """d F_id / d z_id (N, D) at points (N, 3) of one head."""
        return self.field.reverse_condition(back.first, back.skip, (0, len(points))) @ self.latent_spread
