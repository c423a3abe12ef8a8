"""What all models here share that are networks: the frame of heads, the prior, and an expression that a deformer reads.

A subclass has a `deformer` and says by `fold_expression` what of an identity the deformer sees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from headfield import frames
from headfield.models.prior import Prior
from headfield.models.protocol import V1_TILT
from headfield.nn.deformer import Deformer
from headfield.nn.machine import keep_freed_memory, use_fast_products
from headfield.types import Codes


class FieldModel(nn.Module):
    """The common ground of models that are networks.

    Dimensions: B heads, D numbers of an identity code, E expression numbers. What a subclass's `condition` makes is a
    dataclass with a field `expressed`, None for heads at rest.
    """

    config: Any
    deformer: Deformer
    mean_anchors: torch.Tensor
    centre: torch.Tensor

    def __init__(self, box: np.ndarray | None, mean_anchors: np.ndarray | None, prior: Prior):
        """Keep what says where heads are; the networks are the subclass's.

        Args:
            box: (2, 3) model box, default :data:`headfield.frames.BOX`.
            mean_anchors: (39, 3) mean anchors, default the reference anchors.
            prior: Distribution of the codes.
        """
        super().__init__()
        use_fast_products()
        keep_freed_memory()
        self.name, self.neck_tilt = "unnamed", V1_TILT  # set by whoever loads it
        self.box = np.array(frames.BOX if box is None else box, dtype=float)
        self.prior = prior
        mean = frames.reference_anchors() if mean_anchors is None else mean_anchors
        self.register_buffer("mean_anchors", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("centre", self.mean_anchors.mean(0), persistent=False)
        self.register_load_state_dict_post_hook(_find_centre)

    def fold_expression(self, codes: Codes, expression: torch.Tensor) -> Any:
        """What the deformer folds of an expression (B, E) of these heads."""
        raise NotImplementedError

    def ambient_columns(self) -> dict[str, int]:
        """How many last columns of which weights of the field at rest meet ambient coordinates, by name."""
        return {}

    def weights_by_use(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The weights that a head at rest depends on, and those that matter only with an expression, by name; views.

        A head at rest skips the deformer, and its ambient coordinates are zero.
        """
        ambient, at_rest, expressive = self.ambient_columns(), {}, {}
        for name, tensor in self.state_dict().items():
            if name.startswith("deformer."):
                expressive[name] = tensor
            elif name in ambient:
                own = tensor.shape[-1] - ambient[name]
                at_rest[name], expressive[name] = tensor[..., :own], tensor[..., own:]
            else:
                at_rest[name] = tensor
        return at_rest, expressive

    def condition(self, codes: Codes) -> Any:
        """Codes folded into whatever is constant for a head, with a field `expressed`."""
        raise NotImplementedError

    def condition_of(self, codes: Any) -> Any:
        """The condition of codes, or what was made of them before."""
        return self.condition(codes) if isinstance(codes, Codes) else codes

    def mean_codes(self, component: int = 0, batch: int = 1) -> Codes:
        """Codes of the mean head of a prior component, neutral."""
        mean = self.prior.means[component].to(self.mean_anchors)
        return Codes(identity=mean[None].repeat(batch, 1))

    def silence(self, channels: torch.Tensor) -> None:
        """Make expression numbers (E,) bool do nothing, in place."""
        self.deformer.silence(channels)

    def recode_expression(self, spread: torch.Tensor) -> None:
        """Change the numbers of a learned expression in place: z_old = spread (E, E) z_new; zero stays zero."""
        self.deformer.recode_expression(spread)

    def expressed_of(self, codes: Codes) -> Any | None:
        """The folded expression of heads, None for those at rest, whose evaluation skips the deformer.

        So does an expression of zeros where it moves nothing by construction.
        """
        if codes.expression is None or not self._moves(codes.expression):
            return None
        return self.fold_expression(codes, codes.expression)

    def with_expression(self, codes: Codes, condition: Any) -> tuple[Any, bool]:
        """The condition in which an expression of zeros is folded, too, whose derivatives may be asked for, and whether
        there is one."""
        if codes.expression is None or condition.expressed is not None:
            return condition, condition.expressed is not None
        return replace(condition, expressed=self.fold_expression(codes, codes.expression)), True

    def _moves(self, expression: torch.Tensor) -> bool:
        """Whether an expression (B, E) matters: without a gate zeros move something, too."""
        return expression.requires_grad or self.deformer.gate is None or bool((expression != 0).any())


def _find_centre(model: FieldModel, _) -> None:
    """After loading, the middle of the anchors that were loaded."""
    model.centre.copy_(model.mean_anchors.mean(0))
