"""What a head model is, and what it may be able to do beside: one required protocol and small optional ones.

A model binds codes to a signed distance field of a head. Everything after `models/` (surfaces, fits, edits, tests, the
viewer) asks for the protocols here and knows no model by name; where a model lacks what a task needs, :func:`require`
says so. All points, anchors and distances are in the model frame (1 unit = 250 mm), negative inside; B is heads, N
points, K parts, D identity numbers, E expression numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import nn

from headfield.errors import ConfigError
from headfield.expressions import ExpressionSpace
from headfield.models import DEFAULT
from headfield.models.fingerprint import Fingerprint
from headfield.models.prior import Prior
from headfield.types import Codes

Capability = TypeVar("Capability")

V1_TILT = 0.5
"""`neck_tilt` of models that were trained on truth v1, which do not say it."""


class Extractable(Protocol):
    """A field that a surface can be taken from: all of :class:`HeadModel` that this takes.

    Attributes:
        box: (2, 3) where its zero level is.
    """

    box: np.ndarray

    def condition(self, codes: Codes) -> Any:
        """See :meth:`HeadModel.condition`."""
        ...

    def signed_distance(self, points: torch.Tensor, codes: Any) -> torch.Tensor:
        """Signed distance (B, N) at points (B, N, 3); `codes` are Codes or a condition made from them."""
        ...

    def value_and_gradient(self, points: torch.Tensor, codes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance (B, N) and its gradient (B, N, 3) by the points."""
        ...


@runtime_checkable
class HeadModel(Protocol):
    """What every head model has; a task that needs more asks for one of the capabilities below.

    Attributes:
        name: What messages call it; set by whoever loads it.
        box: (2, 3) where heads are.
        prior: Where identity codes come from; its means (C, D) say how many numbers a code has.
        expression_space: What the expression numbers mean; of length 0 for a model without expressions.
        fingerprint: What tells its weights from others.
        neck_tilt: How the heads that it learned from are cut at the neck: the share of the tilt of the plane through
            the throat's and the neck's anchors that the cut takes; 0 is level.
    """

    name: str
    box: np.ndarray
    prior: Prior
    expression_space: ExpressionSpace
    neck_tilt: float

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the weights, at rest and under expressions."""
        ...

    def mean_codes(self, component: int = 0, batch: int = 1) -> Codes:
        """Codes of the mean head of a prior component, neutral."""
        ...

    def anchors(self, codes: Codes) -> torch.Tensor:
        """The 39 anchors (B, 39, 3) of the neutral heads, in the order of :data:`headfield.frames.ANCHOR_NAMES`."""
        ...

    def condition(self, codes: Codes) -> Any:
        """Codes folded into whatever is constant for a head: made once, then given in the codes' place for many points.

        What is in it is the model's own affair, but for models with parts (:class:`PartCondition`).
        """
        ...

    def signed_distance(self, points: torch.Tensor, codes: Any) -> torch.Tensor:
        """Signed distance (B, N) at posed points (B, N, 3); `codes` are Codes or a condition made from them."""
        ...

    def value_and_gradient(self, points: torch.Tensor, codes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance (B, N) and its gradient (B, N, 3) by the posed points."""
        ...


@dataclass(frozen=True)
class Jacobians:
    """The field and its derivatives at N points of one head.

    Attributes:
        value: (N,) signed distance, model units.
        gradient: (N, 3) derivative by the (posed) point.
        identity: (N, D) derivative by the identity code.
        expression: (N, E) derivative by the expression.
    """

    value: torch.Tensor
    gradient: torch.Tensor
    identity: torch.Tensor
    expression: torch.Tensor


@runtime_checkable
class Linearisable(Protocol):
    """A closed form of the derivatives by codes. Without it a fit uses autograd, which is several times slower."""

    def value_and_jacobian(self, points: torch.Tensor, codes: Codes) -> Jacobians:
        """The field and its derivatives at points (N, 3) of one head (B = 1); a neutral head may have no expression."""
        ...


class PartCondition(Protocol):
    """What the condition of a model with parts holds, beside what else it needs.

    Attributes:
        parts: (B, K, d) part codes in use.
        blend_anchors: (B, K, 3) anchors of the blend weights: those of the unedited identity.
        origins: (B, K, 3) origins of the local frames.
        expressed: The folded expression, None of heads at rest.
    """

    parts: torch.Tensor
    blend_anchors: torch.Tensor
    origins: torch.Tensor
    expressed: Any


@runtime_checkable
class Local(Protocol):
    """Parts that act near their anchors only, so that regions can be edited (`parts`, `anchors`, `around` of codes)."""

    def part_codes(self, identity: torch.Tensor) -> torch.Tensor:
        """Part codes (B, K, d) of identity codes (B, D), an affine map."""
        ...

    def part_spread(self) -> torch.Tensor:
        """The linear part (K, d, D) of that map."""
        ...

    def anchors_of_parts(self, parts: torch.Tensor) -> torch.Tensor:
        """Anchors (B, K, 3) of part codes (B, K, d)."""
        ...

    def blend_weights(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """Weights (B, N, K) of the parts at points (B, N, 3) of the head at rest, 0 where a part does not act."""
        ...


class Paired(Local, Protocol):
    """Parts of which the two sides of a pair share a network, so that equal codes are mirror images of one shape."""


@runtime_checkable
class Warped(Protocol):
    """Expressions that move a head at rest, the canonical one.

    Attributes:
        closed_form: ``backward`` when :meth:`to_canonical` is one pass (imHead), ``forward`` when its inverse is one
            (NPHM).
    """

    closed_form: Literal["backward", "forward"]

    def to_canonical(self, points: torch.Tensor, codes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (B, N, 3) on the head at rest (B, N, 3), and ambient coordinates (B, N, A); A may be 0."""
        ...


@runtime_checkable
class WarpLinearisable(Protocol):
    """A backward warp with its Jacobian, for following material points into an expression."""

    def warp_and_jacobian(self, points: torch.Tensor, condition: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (N, 3) of one head on the head at rest (N, 3), and d rest / d posed (N, 3, 3)."""
        ...


@runtime_checkable
class ForwardWarped(Protocol):
    """A warp whose way from the head at rest into an expression is one pass."""

    def from_canonical(self, points: torch.Tensor, codes: Any) -> torch.Tensor:
        """Points (B, N, 3) of the head at rest in the expression (B, N, 3)."""
        ...

    def forward_jacobian(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """d posed / d rest (B, N, 3, 3) at points (B, N, 3) of the head at rest."""
        ...


@runtime_checkable
class Reposed(Protocol):
    """A way from one expression into another that does not pass through the head at rest, where lips touch."""

    def between_poses(self, points: torch.Tensor, known: Any, codes: Any) -> torch.Tensor:
        """Posed points (B, N, 3) under the expression of `known`, of the same heads under that of `codes`."""
        ...


@runtime_checkable
class Releasable(Protocol):
    """Weights that training can turn into a release, in place.

    Attributes:
        architecture: Its name in :data:`headfield.models.architectures.ARCHITECTURES`.
        config: Its configuration, a dataclass.
    """

    architecture: str
    config: Any

    def recode(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        """Change the code space: z_old = mean (D,) + spread (D, D) z_new; every head stays what it is."""
        ...

    def silence(self, channels: torch.Tensor) -> None:
        """Make expression channels (E,) bool do nothing: what no training head played kept random weights."""
        ...

    def weights_by_use(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The weights that a head at rest depends on, and those that matter only with an expression, by name; views."""
        ...


@runtime_checkable
class LearnsExpressions(Protocol):
    """An expression code that training learns, so that its numbers have no meaning before a release gives them one."""

    def recode_expression(self, spread: torch.Tensor) -> None:
        """Change it in place: z_old = spread (E, E) z_new; zero, the face at rest, stays zero."""
        ...


class TrainableModel(HeadModel, Releasable, Protocol):
    """A model made of networks, as training and releases hold it: with what torch's modules have beside."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The weights and their names."""
        ...

    def named_buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """What is kept with the weights but not learned."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All that a file of weights holds, by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> Any:
        """Put it back; RuntimeError where it is another model's."""
        ...

    def eval(self) -> Self:
        """Stop what only training does."""
        ...

    def requires_grad_(self, requires_grad: bool = True, /) -> Self:
        """Let the weights be learned or not."""
        ...

    def to(self, device: torch.device, /) -> Self:
        """Move it to a device."""
        ...


CAPABILITIES = {
    Linearisable: "derivatives in closed form",
    Local: "local parts",
    Paired: "parts that are alike on both sides",
    Warped: "a canonical space",
    WarpLinearisable: "a backward warp with its Jacobian",
    ForwardWarped: "a forward warp with its Jacobian",
    Releasable: "weights that can be released",
    LearnsExpressions: "an expression code that can be learned",
}
"""The optional protocols, in words."""


def lacks(model: Any, capability: type) -> tuple[str, ...]:
    """Members of a protocol that a model does not have, by name; all of them where it is without the capability."""
    members = sorted(_members(capability))
    if _reason(model, capability):
        return tuple(members)
    return tuple(name for name in members if not hasattr(model, name))


def _reason(model: Any, capability: type) -> str:
    """Why a model's configuration takes a capability away, or nothing.

    A model may have an attribute `without`, words by capability, for what its class has and its configuration has not.
    """
    without: Mapping[type, str] = getattr(model, "without", {})
    return next((without[kind] for kind in capability.__mro__ if kind in without), "")


def require(model: Any, capability: type[Capability], task: str) -> Capability:
    """Refuse a model that lacks what a task needs.

    Args:
        model: Any model.
        capability: One of the protocols of this module.
        task: What was to be done, as the beginning of a sentence (``Editing a region``).
    Returns:
        The model, as what it is able to do.
    Raises:
        ConfigError: It lacks some of it; the message names the model, the capability and what is missing.
    """
    missing = lacks(model, capability)
    if missing:
        words = CAPABILITIES.get(capability, "the protocol of head models")
        why = _reason(model, capability) or f"{capability.__name__}: no {', '.join(missing)}"
        raise ConfigError(
            f"{task} needs a model with {words}; {getattr(model, 'name', 'this model')!r} has none ({why}). Choose a "
            f"model that has it, such as {DEFAULT}."
        )
    return model


def _members(capability: type) -> set[str]:
    declared = {name for base in capability.__mro__ for name in getattr(base, "__annotations__", {})}
    methods = {name for base in capability.__mro__[:-1] for name in vars(base) if not name.startswith("_")}
    return {name for name in declared | methods if not name.startswith("_")}
