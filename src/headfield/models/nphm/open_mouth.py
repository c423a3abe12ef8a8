"""NPHM whose fields hold the face with its mouth open, as the paper has it (§4.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from headfield.models.fingerprint import Fingerprint, fingerprint_of
from headfield.models.nphm.config import NphmConfig
from headfield.models.nphm.model import Nphm
from headfield.models.open_rest import OpenRest
from headfield.models.part_model import Condition
from headfield.types import Codes


def nphm_model(config: NphmConfig, **given: Any) -> Nphm:
    """The model of a configuration, with random weights; see :class:`Nphm` for what may be given."""
    return Nphm(config, **given) if config.canonical_expression is None else OpenNphm(config, **given)


class OpenNphm(OpenRest, Nphm):
    """NPHM with an open canonical mouth: z_id means the open face, and every other one, that at rest included, is it
    deformed. Anchors and weights of parts are asked for, and given, at the head at rest."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells these weights from others; a head at rest depends on all of them."""
        config = self.config
        settings = [config.kernel, config.sigma, config.background, config.threshold, config.anchors, config.symmetric]
        return fingerprint_of(self, [*settings, config.canonical, config.gated], config.expression_names)

    def weights_by_use(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """All weights: the head at rest is a deformation, too."""
        return dict(self.state_dict()), {}

    def _rest(self, identity: torch.Tensor) -> torch.Tensor:
        return identity.new_zeros(len(identity), self.config.expression)

    def _moves(self, expression: torch.Tensor) -> bool:
        """Whether an expression (B, E) is another one than the canonical, at which a gate moves nothing."""
        still = self.deformer.still
        return expression.requires_grad or self.deformer.gate is None or bool((expression != still).any())

    def condition(self, codes: Codes) -> Condition:
        """See :meth:`headfield.models.part_model.PartModel.condition`; no expression is one of zeros."""
        zeros = self._rest(codes.identity)
        expression = zeros if codes.expression is None else codes.expression
        made = super().condition(replace(codes, expression=expression))
        at_rest = not expression.requires_grad and not bool((expression != 0).any())
        return replace(made, resting=made.expressed if at_rest else self.fold_expression(codes, zeros))

    def anchors(self, codes: Codes) -> torch.Tensor:
        """The 39 anchors (B, 39, 3) of the unedited identity at rest, model units."""
        own, codes = self.field_anchors(codes.identity), Codes(codes.identity)
        resting = self.fold_expression(codes, self._rest(codes.identity))
        return own + self.deformer(own, resting, keep=False)[0]

    def blend_weights(self, points: torch.Tensor, condition: Condition) -> torch.Tensor:
        """Blend weights (B, N, K) of the parts at points (B, N, 3) of the head at rest."""
        return super().blend_weights(self.to_field(points, self.resting(condition)), condition)
