"""The expression deformer E: observation to canonical space (imHead §3.4, Eqs. 7-8), zero at zero expression.

The last hidden layer is multiplied by a linear image of the expression, so Delta x = 0 and omega = 0 exactly at
neutral, while every channel keeps its own first derivative there (a fit that starts at neutral needs it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from headfield.errors import present
from headfield.nn.encoding import encode, encode_reverse, encoded_size
from headfield.nn.mlp import BLIND, KEPT, Folded, GroupedMLP, MlpState


@dataclass(frozen=True)
class Expressed:
    """A head's expression, folded: biases of E and the gate (B, H) of its last hidden layer, None without one."""

    folded: Folded
    gate: torch.Tensor | None


@dataclass(frozen=True)
class DeformerState:
    """What the reverse pass of E needs (one evaluation)."""

    mlp: MlpState | None
    slopes: torch.Tensor | None
    bounds: tuple[int, int]


@dataclass(frozen=True)
class DeformerSize:
    """Sizes of an :class:`ExpressionDeformer`.

    Attributes:
        identity: D, numbers of z_id.
        expression: E, expression channels.
        ambient: A, ambient coordinates.
        hidden: H, width of the hidden layers.
        layers: How many there are.
        frequencies: Of the positional encoding of points; 0 for none.
        identity_inner: Numbers that z_id is projected to; 0 takes it as it is.
        expression_inner: Numbers that z_exp is embedded to; 0 takes it as it is.
        gated: The last hidden layer is multiplied by a linear image of z_exp, so that there is no displacement where
            z_exp is zero. Without, what z_exp = 0 does is learned.
        narrow: The skip of DeepSDF, see :class:`headfield.nn.mlp.GroupedMLP`.
        still: The expression (E,) at which a gate moves nothing, None for zeros.
    """

    identity: int
    expression: int
    ambient: int
    hidden: int
    layers: int
    frequencies: int
    identity_inner: int
    expression_inner: int
    gated: bool = True
    narrow: bool = False
    still: tuple[float, ...] | None = None


class Deformer(Protocol):
    """What a model asks of the networks that its expressions meet, whatever they do with points."""

    gate: nn.Linear | None

    def recode_expression(self, spread: torch.Tensor) -> None:
        """Change the expression's numbers in place: z_old = spread (E, E) z_new."""
        ...

    def silence(self, channels: torch.Tensor) -> None:
        """Make expression channels (E,) bool do nothing, in place."""
        ...


class ExpressionDeformer(nn.Module):
    """(x, z_id, z_exp) -> (Delta x, omega).

    Dimensions: B heads, N points, D identity, E expression channels, A ambient coordinates, H hidden width.
    """

    still: torch.Tensor | None

    def __init__(self, size: DeformerSize):
        super().__init__()
        self.frequencies, self.ambient = size.frequencies, size.ambient
        self.project_identity = nn.Linear(size.identity, size.identity_inner) if size.identity_inner else None
        self.embed_expression = nn.Linear(size.expression, size.expression_inner) if size.expression_inner else None
        self.gate = nn.Linear(size.expression, size.hidden, bias=False) if size.gated else None
        self.register_buffer("still", None if size.still is None else torch.tensor(size.still), persistent=False)
        inputs, outputs = encoded_size(size.frequencies), 3 + size.ambient
        self._seen = size.identity_inner or size.identity  # of z_id, by the network itself
        inner = self._seen + (size.expression_inner or size.expression)
        self.mlp = GroupedMLP(1, inputs, inner, size.hidden, size.layers, outputs, skip=True, narrow=size.narrow)
        nn.init.zeros_(self.mlp.last_bias)
        nn.init.normal_(self.mlp.last, std=1e-3)
        if self.gate is not None:
            self.mlp.last_bias.requires_grad_(False)  # a bias would move points where nothing moves
            nn.init.normal_(self.gate.weight, std=1.0)

    def fold(self, identity: torch.Tensor, expression: torch.Tensor) -> Expressed:
        """Fold codes z_id (B, D) and z_exp (B, E) into biases and gate."""
        embedded = expression if self.embed_expression is None else self.embed_expression(expression)
        seen = identity if self.project_identity is None else self.project_identity(identity)
        condition = torch.cat([seen, embedded], dim=1)
        network = torch.zeros(1, dtype=torch.long, device=identity.device)
        away = expression if self.still is None else expression - self.still
        gate = None if self.gate is None else self.gate(away)
        return Expressed(self.mlp.fold(condition[:, None], network), gate)

    def forward(self, points: torch.Tensor, expressed: Expressed, keep: bool = True):
        """Displacement (B, N, 3), ambient coordinates (B, N, A), and the state, at posed points (B, N, 3)."""
        heads, count, _ = points.shape
        group = torch.arange(heads, device=points.device).repeat_interleave(count)
        encoded, slopes = encode(points.reshape(-1, 3), self.frequencies)
        bounds = (0, heads * count)
        gate = None if expressed.gate is None else expressed.gate[group]
        out, state = self.mlp(encoded, expressed.folded, group, bounds, gate=gate, keep=keep)
        out = out.view(heads, count, -1)
        return out[..., :3], out[..., 3:], DeformerState(state, slopes, bounds)

    def reverse(self, on_shift: torch.Tensor, on_ambient: torch.Tensor, state: DeformerState):
        """Pull cotangents (B, N, 3) and (B, N, A) back.

        Returns:
            The cotangent at the points (B, N, 3), at the output (B N, 3 + A), and at the pre-activations of the
            first and the skip layer (B N, H).
        """
        cotangent = torch.cat([on_shift, on_ambient], dim=-1).flatten(0, 1)
        on_encoded, first, skip = self.mlp.reverse(cotangent, present(state.mlp, KEPT), state.bounds)
        on_points = encode_reverse(on_encoded, state.slopes, self.frequencies).view(on_shift.shape)
        return on_points, cotangent, first, skip

    def reverse_codes(
        self, cotangent: torch.Tensor, first: torch.Tensor, skip: torch.Tensor | None, state: DeformerState
    ):
        """Cotangents at z_id (B N, D) and at z_exp (B N, E), from what :meth:`reverse` returned."""
        on_condition = self.mlp.reverse_condition(first, skip, state.bounds)
        on_identity, on_expression = on_condition[:, : self._seen], on_condition[:, self._seen :]
        if self.project_identity is not None:
            on_identity = on_identity @ self.project_identity.weight
        if self.embed_expression is not None:
            on_expression = on_expression @ self.embed_expression.weight
        if self.gate is not None:
            on_gate = (cotangent @ self.mlp.last[0]) * present(state.mlp, KEPT).ungated
            on_expression = on_expression + on_gate @ self.gate.weight
        return on_identity, on_expression

    def _meeting_conditions(self) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
        """The weights (1, H, C) that codes meet first, the biases (H,) beside them, and what both are multiplied by."""
        mlp, at = self.mlp, present(self.mlp.skip_layer, "the layer of a skip")
        return [
            (present(mlp.first_condition, BLIND), mlp.biases[0][0], 1.0),
            (present(mlp.skip_condition, BLIND), mlp.biases[at][0], mlp.scale),
        ]

    def _of_expression(self) -> list[torch.Tensor]:
        """The weights (..., E) that an expression meets first, views."""
        found = [] if self.gate is None else [self.gate.weight]
        if self.embed_expression is not None:
            return [*found, self.embed_expression.weight]
        seen = self._seen
        return [*found, *(weight[:, :, seen:] for weight, _, _ in self._meeting_conditions())]

    @torch.no_grad()
    def recode_identity(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        """Change z_id in place: z_old = mean (D,) + spread (D, D) z_new; what sees it absorbs the map exactly."""
        layer, seen = self.project_identity, self._seen
        if layer is not None:
            met = [(layer.weight, layer.bias, 1.0)]
        else:  # the bias of the skip layer counts after its division by sqrt(2)
            met = [(weight[0, :, :seen], bias, scale) for weight, bias, scale in self._meeting_conditions()]
        for weight, bias, scale in met:
            old = weight.double().clone()
            bias.copy_(bias + scale * (old @ mean.to(old)))
            weight.copy_(old @ spread.to(old))

    @torch.no_grad()
    def recode_expression(self, spread: torch.Tensor) -> None:
        """Change the expression's numbers in place: z_old = spread (E, E) z_new."""
        for weight in self._of_expression():
            weight.copy_((weight.double() @ spread.to(weight.device).double()).to(weight.dtype))

    @torch.no_grad()
    def silence(self, channels: torch.Tensor) -> None:
        """Make expression channels (E,) bool do nothing, in place."""
        for weight in self._of_expression():
            weight[..., channels] = 0.0
