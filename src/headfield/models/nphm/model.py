"""NPHM: a global and 40 local codes, anchored local distance fields, expressions by a forward deformation (CVPR 2023).

a = MLP_pos(z_glob)                                              §4.1.2    39 anchors
f_k = MLP_k(x - a_k, z_glob, z_k), f_0 = MLP_0(x, z_glob, z_0)    Eqs. 3-5  PartEnsemble with a background
F_id(x) = sum_k w_k f_k                                          Eqs. 6-8
x_posed = x + F_ex(x, z_ex, W [z_id, a])                         Eqs. 9-10 ExpressionDeformer, used forward
"""

from __future__ import annotations

import numpy as np
import torch

from headfield import frames
from headfield.expressions import space_named
from headfield.models.fingerprint import Fingerprint, fingerprint_of
from headfield.models.nphm.config import NphmConfig
from headfield.models.part_model import Condition, PartModel
from headfield.models.prior import Prior
from headfield.models.protocol import Jacobians
from headfield.nn.anchor_net import AnchorNet
from headfield.nn.deformer import DeformerSize, Expressed, ExpressionDeformer
from headfield.nn.ensemble import EnsembleSize, PartEnsemble
from headfield.nn.machine import denormals_flushed
from headfield.nn.root_finding import Roots, broyden, implicit
from headfield.types import Codes


class Nphm(PartModel):
    """The NPHM model.

    Dimensions: B heads, N points, K = 39 anchored parts, D = 1,344 identity, E expression numbers. A part's code is
    what its network sees, z_glob and z_k together (d = 96), so that a part taken from another head brings that head's
    z_glob, and with it its own anchor. The latent code of the paper is an affine image of the identity code, the
    identity until a release whitens it (:meth:`recode`). All capabilities of :mod:`headfield.models.protocol`; its
    warp is forward, and the way back is found by iteration.
    """

    architecture = "nphm"
    closed_form = "forward"

    def __init__(
        self,
        config: NphmConfig,
        *,
        box: np.ndarray | None = None,
        mean_anchors: np.ndarray | None = None,
        prior: Prior | None = None,
    ):
        """Build with random weights.

        Args:
            config: Sizes and choices.
            box, mean_anchors, prior: See :class:`headfield.models.part_model.PartModel`.
        """
        super().__init__(box, mean_anchors, prior or Prior.standard(config.identity))
        self.config = config
        size, shared = config.identity, config.global_code
        self.register_buffer("latent_mean", torch.zeros(size))
        self.register_buffer("latent_spread", torch.eye(size))
        self.landmarks = AnchorNet(shared, config.anchor_hidden)  # MLP_pos
        self.ensemble = PartEnsemble(
            EnsembleSize(
                code=shared + config.part_code,
                ambient=0,
                hidden=config.part_hidden,
                layers=config.part_layers,
                features=1,
                frequencies=0,
                kernel=config.kernel,
                sigma=config.sigma,
                threshold=config.threshold,
                narrow=config.narrow,
                background=config.background,
            )
        )
        self.deformer = ExpressionDeformer(
            DeformerSize(
                identity=size + 3 * frames.N_ANCHORS,
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

    # ---- weights -----------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others."""
        config = self.config
        at_rest = [config.kernel, config.sigma, config.background, config.threshold]
        return fingerprint_of(self, at_rest, config.expression_names)

    def weights_by_use(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The weights that a head at rest depends on, and those of the deformation, by name."""
        state = self.state_dict()
        moves = {name for name in state if name.startswith("deformer.")}
        return {n: t for n, t in state.items() if n not in moves}, {n: t for n, t in state.items() if n in moves}

    @torch.no_grad()
    def recode(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        """Change the code space in place: z_old = mean (D,) + spread (D, D) z_new; the map to the latent takes it."""
        old = self.latent_spread.double()
        self.latent_mean.copy_(self.latent_mean + old @ mean.double())
        self.latent_spread.copy_(old @ spread.double())

    # ---- codes -------------------------------------------------------------------------------------------------

    def latent(self, identity: torch.Tensor) -> torch.Tensor:
        """The paper's Z_id (B, D) = [z_glob, z_1 .. z_39, z_0] of identity codes (B, D)."""
        return self.latent_mean + identity @ self.latent_spread.T

    def _split(self, latent: torch.Tensor) -> torch.Tensor:
        """What each network sees (B, 40, d) of latents (B, D): z_glob and its own code."""
        shared = latent[:, None, : self.config.global_code].expand(-1, frames.N_ANCHORS + 1, -1)
        own = latent[:, self.config.global_code :].unflatten(1, (frames.N_ANCHORS + 1, self.config.part_code))
        return torch.cat([shared, own], dim=2)

    def part_codes(self, identity: torch.Tensor) -> torch.Tensor:
        """[z_glob, z_k] (B, K, d) of the anchored parts."""
        return self._split(self.latent(identity))[:, : frames.N_ANCHORS]

    def all_codes(self, parts: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
        """The anchored parts' codes and the background's (B, K + 1, d)."""
        return torch.cat([parts, self._split(self.latent(identity))[:, frames.N_ANCHORS :]], dim=1)

    def all_spread(self) -> torch.Tensor:
        """The linear part (K + 1, d, D) of the map from identity codes to what each network sees."""
        return self._split(self.latent_spread.T).permute(1, 2, 0)

    def part_spread(self) -> torch.Tensor:
        """That of the anchored parts (K, d, D)."""
        return self.all_spread()[: frames.N_ANCHORS]

    def anchors_of_parts(self, parts: torch.Tensor) -> torch.Tensor:
        """MLP_pos: each part's anchor (B, K, 3) follows from the z_glob in its own code (B, K, d)."""
        shared = parts[..., : self.config.global_code]
        return self.mean_anchors + torch.diagonal(self.landmarks.offsets(shared), dim1=1, dim2=2).transpose(1, 2)

    def anchors(self, codes: Codes) -> torch.Tensor:
        """Anchors (B, K, 3) of the unedited identity, model units."""
        shared = self.latent(codes.identity)[:, : self.config.global_code]
        return self.mean_anchors + self.landmarks.offsets(shared)

    @torch.no_grad()
    def anchor_jacobian(self, identity: torch.Tensor) -> torch.Tensor:
        """d anchors / d z_id (117, D), at one identity (1, D)."""
        shared = self.config.global_code
        return self.landmarks.jacobian(self.latent(identity)[:, :shared], self.latent_spread[:shared])

    def seen_by_deformation(self, identity: torch.Tensor) -> torch.Tensor:
        """[Z_id, a] (B, D + 117) of identity codes (B, D), which W projects (Eq. 10)."""
        return torch.cat([self.latent(identity), self.anchors(Codes(identity)).flatten(1)], dim=1)

    def fold_expression(self, codes: Codes, expression: torch.Tensor) -> Expressed:
        """The deformation's biases for an expression (B, E)."""
        identity = codes.identity if codes.warp_identity is None else codes.warp_identity
        return self.deformer.fold(self.seen_by_deformation(identity), expression)

    # ---- the field at rest ---------------------------------------------------------------------------------------

    def _at_rest(self, points: torch.Tensor, condition: Condition, dense: bool = False, keep: bool = True):
        """F_id (B, N) at canonical points, and what its reverse pass needs."""
        value, state = self.ensemble(
            points,
            None,
            condition.ensemble,
            condition.blend_anchors,
            condition.slot_origins,
            condition.window,
            dense=dense,
            keep=keep,
        )
        return value.view(points.shape[:2]), state

    def _gradient_at_rest(self, state, points: torch.Tensor, condition: Condition):
        ones = points.new_ones(points.shape[0] * points.shape[1], 1)
        return self.ensemble.reverse(ones, state, points, condition.blend_anchors)

    # ---- the deformation -----------------------------------------------------------------------------------------

    def from_canonical(self, points: torch.Tensor, codes: Codes | Condition) -> torch.Tensor:
        """The forward deformation (Eq. 9): points (B, N, 3) of the head at rest -> posed points (B, N, 3)."""
        condition = codes if isinstance(codes, Condition) else self.condition(codes)
        if condition.expressed is None:
            return points
        return points + self.deformer(points, condition.expressed, keep=False)[0]

    @denormals_flushed()
    def roots(self, points: torch.Tensor, condition: Condition) -> Roots:
        """Where posed points (B, N, 3) came from (Eq. 15), all heads' points in one list (P = B N)."""
        flat, count = points.reshape(-1, 3), points.shape[1]
        inverse = torch.linalg.inv(self.forward_jacobian(points, condition)).reshape(-1, 3, 3)
        return broyden(lambda x, index: self._forward(x, index // count, condition.expressed), flat, flat, inverse)

    @denormals_flushed()
    def to_canonical(self, points: torch.Tensor, codes: Codes | Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (B, N, 3) -> points of the head at rest (B, N, 3), by root finding, with the derivatives of the
        implicit function theorem; there are no ambient coordinates (B, N, 0)."""
        condition = codes if isinstance(codes, Condition) else self.condition(codes)
        none = points.new_zeros(*points.shape[:2], 0)
        if condition.expressed is None:
            return points, none
        found = self.roots(points.detach(), condition).points.view(points.shape)
        inverse = torch.linalg.inv(self.forward_jacobian(found, condition)).detach()
        return implicit(found, self.from_canonical(found, condition), points, inverse), none

    def warp_and_jacobian(self, points: torch.Tensor, condition: Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (N, 3) of one head on the head at rest (N, 3), and d rest / d posed (N, 3, 3)."""
        if condition.expressed is None:
            return points, torch.eye(3, dtype=points.dtype, device=points.device).repeat(len(points), 1, 1)
        found = self.to_canonical(points[None], condition)[0]
        return found[0], torch.linalg.inv(self.forward_jacobian(found, condition))[0]

    def _forward(self, x: torch.Tensor, head: torch.Tensor, expressed: Expressed) -> torch.Tensor:
        """Points (M, 3) of given heads (M,) into posed space."""
        bounds = (0, len(x))
        gate = None if expressed.gate is None else expressed.gate[head]
        return x + self.deformer.mlp(x, expressed.folded, head, bounds, gate=gate, keep=False)[0]

    @torch.no_grad()
    def forward_jacobian(self, points: torch.Tensor, condition: Condition) -> torch.Tensor:
        """d posed / d rest (B, N, 3, 3) at points (B, N, 3) of the head at rest, exact."""
        if condition.expressed is None:
            return torch.eye(3, dtype=points.dtype, device=points.device).repeat(*points.shape[:2], 1, 1)
        shift, _, state = self.deformer(points, condition.expressed)
        none, rows = points.new_zeros(*points.shape[:2], 0), []
        for axis in range(3):
            unit = torch.zeros_like(shift)
            unit[..., axis] = 1.0
            rows.append(self.deformer.reverse(unit, none, state)[0])
        eye = torch.eye(3, dtype=points.dtype, device=points.device)
        return torch.stack(rows, dim=-2) + eye

    # ---- the posed field -----------------------------------------------------------------------------------------

    @denormals_flushed()
    def signed_distance(self, points: torch.Tensor, codes: Codes | Condition, *, dense: bool = False) -> torch.Tensor:
        """Signed distance (B, N) at posed points (B, N, 3); `dense` evaluates all parts (the oracle)."""
        condition = codes if isinstance(codes, Condition) else self.condition(codes)
        canonical, _ = self.to_canonical(points, condition)
        return self._at_rest(canonical, condition, dense, keep=False)[0]

    @denormals_flushed()
    def value_and_gradient(self, points: torch.Tensor, codes: Codes | Condition, *, dense: bool = False):
        """Signed distance (B, N) and its gradient (B, N, 3) by the posed points; of heads at rest both are
        differentiable once more, which is what training needs."""
        condition = codes if isinstance(codes, Condition) else self.condition(codes)
        canonical, _ = self.to_canonical(points, condition)
        value, state = self._at_rest(canonical, condition, dense)
        gradient = self._gradient_at_rest(state, canonical, condition).points
        if condition.expressed is None:
            return value, gradient
        return value, self._through_warp(gradient, canonical, condition)

    def _through_warp(self, gradient: torch.Tensor, canonical: torch.Tensor, condition: Condition) -> torch.Tensor:
        """J^-T g: the gradient (B, N, 3) by the posed points from that by the points at rest."""
        jacobian = self.forward_jacobian(canonical, condition)
        return torch.linalg.solve(jacobian.transpose(-1, -2), gradient[..., None])[..., 0]

    @torch.no_grad()
    @denormals_flushed()
    def value_and_jacobian(self, points: torch.Tensor, codes: Codes) -> Jacobians:
        """The field with exact derivatives by point and codes (implicit differentiation), of one head.

        Args:
            points: (N, 3) posed points of one head.
            codes: One head (B = 1); an expression of zeros is allowed and has non-zero derivatives. What does not
                follow the identity is held: given parts, anchors and `warp_identity`.
        """
        condition, with_expression = self.with_expression(codes, self.condition(codes))
        canonical, _ = self.to_canonical(points[None], condition)
        value, state = self._at_rest(canonical, condition)
        back = self._gradient_at_rest(state, canonical, condition)
        identity = self.parts_by_identity(back, state, canonical[0], codes, condition)
        on_expression = points.new_zeros(len(points), self.config.expression)
        if not with_expression:
            return Jacobians(value[0], back.points[0], identity, on_expression)
        gradient = self._through_warp(back.points, canonical, condition)
        _, _, warp = self.deformer(canonical, condition.expressed)
        _, cotangent, first, skip = self.deformer.reverse(gradient, gradient[..., :0], warp)
        on_seen, on_expression = self.deformer.reverse_codes(cotangent, first, skip, warp)
        if codes.warp_identity is None:
            split = self.config.identity
            by_anchors = on_seen[:, split:] @ self.anchor_jacobian(codes.identity)
            identity = identity - on_seen[:, :split] @ self.latent_spread - by_anchors
        return Jacobians(value[0], gradient[0], identity, -on_expression)
