"""NPHM: a global and 40 local codes, anchored local distance fields, expressions by a forward deformation (CVPR 2023).

a = MLP_pos(z_glob)                                              §4.1.2    39 anchors, of which K carry a part
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
from headfield.models.nphm.anchors import CARRYING, layout_of, mirror_of
from headfield.models.nphm.config import NphmConfig
from headfield.models.part_model import Condition, PartModel
from headfield.models.prior import Prior
from headfield.models.protocol import Local, Paired
from headfield.nn.anchor_net import AnchorNet
from headfield.nn.deformer import DeformerSize, ExpressionDeformer
from headfield.nn.ensemble import EnsembleSize, PartEnsemble
from headfield.types import Codes


class Nphm(LatentSpace, PartModel, ForwardWarpedModel):
    """The NPHM model.

    Dimensions: B heads, N points, K = 39 anchored parts, D = 1,344 identity, E expression numbers; of the paper's Table
    4 also K = 12 and 26, whose regions cannot be edited, since those are sets of all 39 anchors. A part's code is
    what its network sees, z_glob and z_k together (d = 96), so that a part taken from another head brings that head's
    z_glob, and with it its own anchor. The paper's Z_id = [z_glob, z_1 .. z_K, z_0] is an affine image of
    the identity code, see :class:`headfield.models.latent_space.LatentSpace`. All capabilities of
    :mod:`headfield.models.protocol`; its warp is forward, and the way back is found by iteration.
    """

    architecture = "nphm"

    carried: torch.Tensor
    mirror_parts: torch.Tensor

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
        self.without = _without(config)
        carried, mirror = frames.anchor_indices(CARRYING[config.anchors]), mirror_of(config.anchors)
        self.register_buffer("carried", torch.as_tensor(carried), persistent=False)
        self.register_buffer("mirror_parts", torch.as_tensor(mirror), persistent=False)
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
                layout=layout_of(config.anchors, config.symmetric),
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
                still=config.canonical_expression,
            )
        )
        self.expression_space = space_named(config.expression_names, config.expression)

    # ---- weights -----------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others."""
        config = self.config
        at_rest = [config.kernel, config.sigma, config.background, config.threshold]
        if self.without:  # the first weights were told apart without
            at_rest += [config.anchors, config.symmetric]
        return fingerprint_of(self, at_rest, config.expression_names)

    # ---- codes -------------------------------------------------------------------------------------------------

    def _split(self, latent: torch.Tensor) -> torch.Tensor:
        """What each network sees (B, K + 1, d) of latents (B, D): z_glob and its own code."""
        shared = latent[:, None, : self.config.global_code].expand(-1, self.config.anchors + 1, -1)
        own = latent[:, self.config.global_code :].unflatten(1, (self.config.anchors + 1, self.config.part_code))
        return torch.cat([shared, own], dim=2)

    def part_codes(self, identity: torch.Tensor) -> torch.Tensor:
        """[z_glob, z_k] (B, K, d) of the anchored parts."""
        return self._split(self.latent(identity))[:, : self.config.anchors]

    def all_codes(self, parts: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
        """The anchored parts' codes and the background's (B, K + 1, d)."""
        return torch.cat([parts, self._split(self.latent(identity))[:, self.config.anchors :]], dim=1)

    def all_spread(self) -> torch.Tensor:
        """The linear part (K + 1, d, D) of the map from identity codes to what each network sees."""
        return self._split(self.latent_spread.T).permute(1, 2, 0)

    def part_spread(self) -> torch.Tensor:
        """That of the anchored parts (K, d, D)."""
        return self.all_spread()[: self.config.anchors]

    def anchors_of_parts(self, parts: torch.Tensor) -> torch.Tensor:
        """MLP_pos: each part's anchor (B, K, 3) follows from the z_glob in its own code (B, K, d)."""
        offsets = self.landmarks.offsets(parts[..., : self.config.global_code])  # every part's opinion of all 39
        return self.mean_anchors[self.carried] + offsets[:, torch.arange(len(self.carried)), self.carried]

    def anchors(self, codes: Codes) -> torch.Tensor:
        """All 39 anchors (B, 39, 3) of the unedited identity, model units."""
        return self.field_anchors(codes.identity)

    def field_anchors(self, identity: torch.Tensor) -> torch.Tensor:
        """MLP_pos: where the 39 anchors (B, 39, 3) of identity codes (B, D) are in the field's own space."""
        return self.mean_anchors + self.landmarks.offsets(self.latent(identity)[:, : self.config.global_code])

    def field_condition(self, identity: torch.Tensor) -> Condition:
        """Identity codes (B, D) folded for the field's own space, in which nothing is deformed."""
        return super().condition(Codes(identity))

    @torch.no_grad()
    def anchor_jacobian(self, identity: torch.Tensor) -> torch.Tensor:
        """d anchors / d z_id (3 K, D) of the anchors that carry parts, at one identity (1, D)."""
        return self._jacobian39(identity).unflatten(0, (-1, 3))[self.carried].flatten(0, 1)

    def _jacobian39(self, identity: torch.Tensor) -> torch.Tensor:
        """That of all of them (117, D)."""
        shared = self.config.global_code
        return self.landmarks.jacobian(self.latent(identity)[:, :shared], self.latent_spread[:shared])

    def seen_by_deformation(self, identity: torch.Tensor) -> torch.Tensor:
        """[Z_id, a] (B, D + 117) of identity codes (B, D), which W projects (Eq. 10)."""
        return torch.cat([self.latent(identity), self.field_anchors(identity).flatten(1)], dim=1)

    def seen_by_identity(self, on_seen: torch.Tensor, codes: Codes) -> tuple[torch.Tensor, ...]:
        """A cotangent (N, D + 117) of that pulled back to z_id: through the latent and through the anchors."""
        split = self.config.identity
        return on_seen[:, :split] @ self.latent_spread, on_seen[:, split:] @ self._jacobian39(codes.identity)

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


def _without(config: NphmConfig) -> dict[type, str]:
    """The capabilities that a configuration takes away, and why."""
    found: dict[type, str] = {}
    if config.anchors != frames.N_ANCHORS:
        found[Local] = (
            f"regions are sets of {frames.N_ANCHORS} anchors, of which only {config.anchors} carry a part here"
        )
    if not config.symmetric:
        found[Paired] = "every part has a network of its own, under which the code of the other side is another shape"
    return found
