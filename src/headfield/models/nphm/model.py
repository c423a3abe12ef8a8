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
from headfield.models.forward_warped import ForwardWarpedModel
from headfield.models.latent_space import LatentSpace
from headfield.models.nphm.config import NphmConfig
from headfield.models.part_model import Condition, PartModel
from headfield.models.prior import Prior
from headfield.nn.anchor_net import AnchorNet
from headfield.nn.deformer import DeformerSize, ExpressionDeformer
from headfield.nn.ensemble import EnsembleSize, PartEnsemble
from headfield.types import Codes


class Nphm(LatentSpace, PartModel, ForwardWarpedModel):
    """The NPHM model.

    Dimensions: B heads, N points, K = 39 anchored parts, D = 1,344 identity, E expression numbers. A part's code is
    what its network sees, z_glob and z_k together (d = 96), so that a part taken from another head brings that head's
    z_glob, and with it its own anchor. The paper's Z_id = [z_glob, z_1 .. z_39, z_0] is an affine image of
    the identity code, see :class:`headfield.models.latent_space.LatentSpace`. All capabilities of
    :mod:`headfield.models.protocol`; its warp is forward, and the way back is found by iteration.
    """

    architecture = "nphm"

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
        self.start_latent(size)
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

    # ---- codes -------------------------------------------------------------------------------------------------

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

    def seen_by_identity(self, on_seen: torch.Tensor, codes: Codes) -> tuple[torch.Tensor, ...]:
        """A cotangent (N, D + 117) of that pulled back to z_id: through the latent and through the anchors."""
        split = self.config.identity
        return on_seen[:, :split] @ self.latent_spread, on_seen[:, split:] @ self.anchor_jacobian(codes.identity)

    # ---- the field at rest ---------------------------------------------------------------------------------------

    def at_rest(self, points: torch.Tensor, condition: Condition, dense: bool = False, keep: bool = True):
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

    def gradient_at_rest(self, state, points: torch.Tensor, condition: Condition):
        """Its gradient, and the cotangents from which derivatives by the identity follow."""
        ones = points.new_ones(points.shape[0] * points.shape[1], 1)
        return self.ensemble.reverse(ones, state, points, condition.blend_anchors)

    def identity_at_rest(self, back, state, points: torch.Tensor, codes: Codes, condition: Condition):
        """d F_id / d z_id (N, D) through part codes, origins and blend anchors."""
        return self.parts_by_identity(back, state, points, codes, condition)
