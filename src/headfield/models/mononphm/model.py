"""MonoNPHM's geometry: 65 anchored distance fields and one that is everywhere, a backward deformation (CVPR 2024).

a = MLP_pos(z_glob)                                                       65 anchors
(x_can - x, omega) = E(x, z_ex, W [z_id, a])                              ExpressionDeformer, with two ambient numbers
f_k = MLP_k([x_can - a_k, omega], z_glob, z_k), f_0 = MLP_0([x_can, omega], z_glob, z_0)      PartEnsemble
f(x) = sum_k w_k(x_can) f_k over the 12 nearest and f_0                   nn.nearest_blending
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield import frames
from headfield.expressions import space_named
from headfield.models.backward_warped import BackwardWarpedModel
from headfield.models.fingerprint import Fingerprint, fingerprint_of
from headfield.models.latent_space import LatentSpace
from headfield.models.mononphm.anchors import (
    COUNT,
    LAYOUTS,
    MIRRORS,
    OURS,
    mean_anchors65,
    mean_anchors_in_30_pairs,
    reading,
)
from headfield.models.mononphm.config import MonoNphmConfig
from headfield.models.prior import Prior
from headfield.nn.anchor_net import AnchorNet
from headfield.nn.deformer import DeformerSize, Expressed, ExpressionDeformer
from headfield.nn.ensemble import EnsembleCotangents, EnsembleSize, EnsembleState, PartEnsemble
from headfield.nn.mlp import Folded
from headfield.types import Codes


@dataclass(frozen=True)
class Condition:
    """Codes folded into what is constant for a head.

    Attributes:
        anchors: (B, 65, 3) anchors of heads at rest, model units.
        places: (B, 66, 3) origins of all local frames: the anchors and the model's origin.
        ensemble: Folded biases of the local networks.
        expressed: Folded expression, or None for heads at rest, which skip the deformer.
    """

    anchors: torch.Tensor
    places: torch.Tensor
    ensemble: Folded
    expressed: Expressed | None


class MonoNphm(LatentSpace, BackwardWarpedModel):
    """The geometry of MonoNPHM.

    Dimensions: B heads, N points, K = 65 anchored parts, D = 2,176 identity, E expression numbers, A = 2 ambient
    coordinates. The anchors of the protocol are the first 39 of the 65, or with the published pairing 39 places that go
    along with the 65 about them. Regions are sets of those 39, and a part of the
    26 others would stay behind, so regions are not edited here; derivatives by codes come from autograd. The paper's
    [z_glob, z_1 .. z_65, z_0] is an affine image of the identity code
    (:class:`headfield.models.latent_space.LatentSpace`).
    """

    architecture = "mononphm"

    mean_anchors65: torch.Tensor
    mirror65: torch.Tensor
    read: torch.Tensor | None

    def __init__(
        self,
        config: MonoNphmConfig,
        *,
        box: np.ndarray | None = None,
        mean_anchors: np.ndarray | None = None,
        prior: Prior | None = None,
        places: np.ndarray | None = None,
    ):
        """Build with random weights.

        Args:
            config: Sizes and choices.
            box, mean_anchors, prior: See :class:`headfield.models.field_model.FieldModel`.
            places: (65, 3) mean places of the anchors, in the order of the configuration's pairing; unless given they
                follow from `mean_anchors`.
        """
        super().__init__(box, mean_anchors, prior or Prior.standard(config.identity))
        self.config = config
        self.start_latent(config.identity)
        mean = self.mean_anchors.double().numpy()
        if places is None:
            places = mean_anchors65(mean) if config.pairs == OURS else mean_anchors_in_30_pairs(mean)
        shares = None if config.pairs == OURS else torch.as_tensor(reading(mean, places), dtype=torch.float32)
        self.register_buffer("mean_anchors65", torch.as_tensor(places, dtype=torch.float32))
        self.register_buffer("mirror65", torch.as_tensor(MIRRORS[config.pairs]), persistent=False)
        self.register_buffer("read", shares)  # (39, 65) shares, where the 39 are read off the 65
        self.landmarks = AnchorNet(config.global_code, config.anchor_hidden, COUNT)  # MLP_pos
        self.ensemble = PartEnsemble(
            EnsembleSize(
                code=config.global_code + config.part_code,
                ambient=config.ambient,
                hidden=config.part_hidden,
                layers=config.part_layers,
                features=1,
                frequencies=0,
                kernel="nearest",
                sigma=config.sharpness,
                threshold=0.0,
                background=config.everywhere,
                skip=False,
                layout=LAYOUTS[config.pairs],
            )
        )
        self.deformer = ExpressionDeformer(
            DeformerSize(
                identity=config.identity + 3 * COUNT,
                expression=config.expression,
                ambient=config.ambient,
                hidden=config.deformer_hidden,
                layers=config.deformer_layers,
                frequencies=0,
                identity_inner=config.deformer_identity,
                expression_inner=0,
                gated=config.gated,
            )
        )
        self.expression_space = space_named(config.expression_names, config.expression)

    # ---- weights -----------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others."""
        at_rest = ["nearest", self.config.sharpness, self.config.everywhere]
        if self.config.pairs != OURS:
            at_rest.append(self.config.pairs)
        return fingerprint_of(self, at_rest, self.config.expression_names)

    def ambient_columns(self) -> dict[str, int]:
        """The columns of the local networks that meet omega."""
        return {f"ensemble.{name}": count for name, count in self.ensemble.ambient_columns().items()}

    # ---- codes -------------------------------------------------------------------------------------------------

    def anchors65(self, identity: torch.Tensor) -> torch.Tensor:
        """All anchors (B, 65, 3) of heads at rest, model units; ours by :data:`headfield.frames.ANCHOR65_NAMES`."""
        return self.mean_anchors65 + self.landmarks.offsets(self.latent(identity)[:, : self.config.global_code])

    def anchors(self, codes: Codes) -> torch.Tensor:
        """The 39 anchors (B, 39, 3) of heads at rest, model units."""
        places = self.anchors65(codes.identity)
        if self.read is None:
            return places[:, : frames.N_ANCHORS]
        return self.mean_anchors + self.read @ (places - self.mean_anchors65)

    def local_codes(self, identity: torch.Tensor) -> torch.Tensor:
        """z_1 .. z_65 and z_0 (B, 66, d) of identity codes (B, D)."""
        own = self.latent(identity)[:, self.config.global_code :]
        return own.unflatten(1, (COUNT + 1, self.config.part_code))

    def condition(self, codes: Codes) -> Condition:
        """Fold codes into biases and anchors."""
        own, anchors = self.local_codes(codes.identity), self.anchors65(codes.identity)
        shared = self.latent(codes.identity)[:, None, : self.config.global_code].expand(-1, COUNT + 1, -1)
        folded = self.ensemble.fold(torch.cat([shared, own], dim=2))
        return Condition(anchors, self.ensemble.places(anchors), folded, self.expressed_of(codes))

    def fold_expression(self, codes: Codes, expression: torch.Tensor) -> Expressed:
        """The deformer's biases for an expression (B, E); it sees identity and anchors."""
        identity = codes.identity if codes.warp_identity is None else codes.warp_identity
        seen = torch.cat([self.latent(identity), self.anchors65(identity).flatten(1)], dim=1)
        return self.deformer.fold(seen, expression)

    # ---- the field at rest ---------------------------------------------------------------------------------------

    def at_rest(self, points: torch.Tensor, ambient, condition: Condition, dense: bool = False, keep: bool = True):
        """The blended distance (B, N) at canonical points, see :class:`BackwardWarpedModel`."""
        value, state = self.ensemble(
            points, ambient, condition.ensemble, condition.anchors, condition.places, dense=dense, keep=keep
        )
        return value.view(points.shape[:2]), state

    def gradient_at_rest(self, state: EnsembleState, points: torch.Tensor, condition: Condition) -> EnsembleCotangents:
        """Its reverse pass."""
        ones = points.new_ones(points.shape[0] * points.shape[1], 1)
        return self.ensemble.reverse(ones, state, points, condition.anchors)
