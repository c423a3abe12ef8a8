"""imHead: one identity code, 39 local fields, one fused signed distance, expressions by a backward warp (ICCV 2025).

z_j = T(z_id), k = K([z_1 .. z_39])                                Eqs. 1, 3   DecNet, LandmarkNet
x_can = x + Delta x, (Delta x, omega) = E(x, z_id, z_exp)            Eqs. 7, 8   ExpressionDeformer
f_j = g_j(gamma(x_can - k_j), omega, z_j), f_hat = sum_j w_j f_j     Eqs. 2, 4, 5  PartEnsemble
y = F(x_can, f_hat)                                                  Eq. 6       FusionNet
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from headfield import frames
from headfield.errors import present
from headfield.expressions import space_named
from headfield.models.backward_warped import BackwardWarpedModel
from headfield.models.fingerprint import Fingerprint, fingerprint_of
from headfield.models.imhead.config import ImHeadConfig
from headfield.models.imhead.networks import dec_net, deformer_size, ensemble_size, fusion_net
from headfield.models.part_model import Condition, PartModel
from headfield.models.prior import Prior
from headfield.models.protocol import Jacobians
from headfield.nn.anchor_net import AnchorNet
from headfield.nn.deformer import Expressed, ExpressionDeformer
from headfield.nn.ensemble import EnsembleState, PartEnsemble
from headfield.nn.machine import denormals_flushed
from headfield.nn.mlp import KEPT, MlpState
from headfield.types import Codes


class ImHead(PartModel, BackwardWarpedModel):
    """The imHead model.

    Dimensions: B heads, N points, K = 39 parts, D = 256 identity, d = 32 per part, E = 52 expression channels.
    All points, anchors and distances are in the model frame (1 unit = 250 mm); negative inside. It has every capability
    of :mod:`headfield.models.protocol`; its warp is backward.
    """

    architecture = "imhead"

    def __init__(
        self,
        config: ImHeadConfig,
        *,
        box: np.ndarray | None = None,
        mean_anchors: np.ndarray | None = None,
        prior: Prior | None = None,
    ):
        """Build with random weights; see :func:`headfield.models.release.load` for trained ones.

        Args:
            config: Sizes and choices.
            box: (2, 3) model box, default :data:`headfield.frames.BOX`.
            mean_anchors: (39, 3) mean anchors that LandmarkNet offsets, default the reference anchors.
            prior: Distribution of the codes; default one standard normal.
        """
        super().__init__(box, mean_anchors, prior or Prior.standard(config.identity))
        self.config = config
        self.decompose = dec_net(config)
        self.landmarks = AnchorNet(frames.N_ANCHORS * config.part_code, config.landmark_hidden)
        self.ensemble = PartEnsemble(ensemble_size(config))
        self.fusion = fusion_net(config)
        self.deformer = ExpressionDeformer(deformer_size(config))
        self.expression_space = space_named(config.expression_names, config.expression)

    # ---- weights -----------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others; not the prior, the box or the name, under any of which a code means the
        same head."""
        config = self.config
        others = [getattr(config, name) for name in ("local_frames", "fusion_centred", "gated")]
        others = [] if all(others) else others  # the first weights were told apart without
        return fingerprint_of(self, [config.kernel, config.sigma, config.threshold, *others], config.expression_names)

    def weights_by_use(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """See :meth:`BackwardWarpedModel.weights_by_use`; without a gate a head at rest depends on all of them."""
        return super().weights_by_use() if self.config.gated else (dict(self.state_dict()), {})

    def ambient_columns(self) -> dict[str, int]:
        """The columns of the part networks that meet omega."""
        return {f"ensemble.{name}": count for name, count in self.ensemble.ambient_columns().items()}

    @torch.no_grad()
    def recode(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        """Change the code space in place: z_old = mean (D,) + spread (D, D) z_new.

        DecNet and the deformer's projection of z_id, all that sees z_id, absorb it exactly.
        """
        layer, weight = self.decompose, self.decompose.weight.double().clone()
        layer.bias.copy_(layer.bias + weight @ mean.to(weight))
        layer.weight.copy_(weight @ spread.to(weight))
        self.deformer.recode_identity(mean, spread)

    # ---- codes -------------------------------------------------------------------------------------------------

    def part_codes(self, identity: torch.Tensor) -> torch.Tensor:
        """DecNet T (Eq. 1): z_id (B, D) -> part codes (B, K, d)."""
        return self.decompose(identity).unflatten(1, (frames.N_ANCHORS, self.config.part_code))

    def part_spread(self) -> torch.Tensor:
        """DecNet's linear part (K, d, D): d z_j / d z_id."""
        return self.decompose.weight.view(frames.N_ANCHORS, self.config.part_code, -1)

    def anchors_of_parts(self, parts: torch.Tensor) -> torch.Tensor:
        """LandmarkNet K (Eq. 3): part codes (B, K, d) -> anchors (B, K, 3), model units."""
        return self.mean_anchors + self.landmarks.offsets(parts.flatten(1))

    @torch.no_grad()
    def anchor_jacobian(self, identity: torch.Tensor) -> torch.Tensor:
        """d anchors / d z_id (117, D), through DecNet and LandmarkNet, at one identity (1, D)."""
        return self.landmarks.jacobian(self.decompose(identity), self.decompose.weight)

    def fold_expression(self, codes: Codes, expression: torch.Tensor) -> Expressed:
        """The deformer's biases for an expression (B, E), and the identity that it sees."""
        return self.deformer.fold(codes.identity if codes.warp_identity is None else codes.warp_identity, expression)

    def condition(self, codes: Codes) -> Condition:
        """See :meth:`PartModel.condition`; without a gate the head at rest is what zeros of an expression make."""
        if codes.expression is None and not self.config.gated:
            codes = replace(codes, expression=codes.identity.new_zeros(len(codes.identity), self.config.expression))
        return super().condition(codes)

    # ---- the field -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    @denormals_flushed()
    def value_and_jacobian(self, points: torch.Tensor, codes: Codes) -> Jacobians:
        """The field with exact derivatives by point and codes, from one forward and one reverse pass.

        Args:
            points: (N, 3) posed points of one head.
            codes: One head (B = 1); an expression of zeros is allowed and has non-zero derivatives. The derivative by
                z_id holds still what does not follow it: given parts, anchors and `warp_identity`.
        """
        condition, _ = self.with_expression(codes, self.condition(codes))
        x = points[None]
        canonical, ambient, warp = self.warp(x, condition)
        value, state = self.at_rest(canonical, ambient, condition)
        back = self.gradient_at_rest(state, canonical, condition)
        identity = self.parts_by_identity(back, state[0], canonical[0], codes, condition)
        gradient = back.points
        on_expression = x.new_zeros(len(points), self.config.expression)
        if warp is not None:
            through, cotangent, first, skip = self.deformer.reverse(back.points, back.ambient, warp)
            on_identity, on_expression = self.deformer.reverse_codes(cotangent, first, skip, warp)
            gradient = gradient + through
            identity = identity if codes.warp_identity is not None else identity + on_identity
        return Jacobians(value[0], gradient[0], identity, on_expression)

    # ---- the field at rest -----------------------------------------------------------------------------------------

    def at_rest(self, points: torch.Tensor, ambient, condition: Condition, dense: bool = False, keep: bool = True):
        """FusionNet of the blended features (Eqs. 2, 4-6), see :class:`BackwardWarpedModel`."""
        heads, count, _ = points.shape
        features, ensemble_state = self.ensemble(
            points,
            ambient,
            condition.ensemble,
            condition.blend_anchors,
            condition.slot_origins,
            condition.window,
            dense=dense,
            keep=keep,
        )
        if self.fusion is None:
            return features.view(heads, count), (ensemble_state, None)
        places = points - self.centre if self.config.fusion_centred else points
        inputs = torch.cat([places.reshape(-1, 3), features], dim=1)
        zero = torch.zeros(1, dtype=torch.long, device=points.device)
        out, fusion_state = self.fusion(inputs, self.fusion.fold(None, zero), zero, (0, len(inputs)), keep=keep)
        return out.view(heads, count), (ensemble_state, fusion_state)

    def gradient_at_rest(self, state: tuple[EnsembleState, MlpState | None], points, condition: Condition):
        """Its reverse pass."""
        ensemble_state, fusion_state = state
        heads, count, _ = points.shape
        ones = points.new_ones(heads * count, 1)
        if self.fusion is None:
            return self.ensemble.reverse(ones, ensemble_state, points, condition.blend_anchors)
        on_inputs, _, _ = self.fusion.reverse(ones, present(fusion_state, KEPT), (0, heads * count))
        back = self.ensemble.reverse(on_inputs[:, 3:], ensemble_state, points, condition.blend_anchors)
        direct = on_inputs[:, :3].reshape(heads, count, 3)
        return replace(back, points=back.points + direct)
