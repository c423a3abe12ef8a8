"""The part ensemble: 39 local fields from 23 networks, in their own frames, blended into one feature.

imHead §3.3, Eqs. 2, 4 and 5. The two parts of a mirrored pair share one network; the right one sees its local
coordinates with x negated, by index and never by the sign of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from headfield import frames
from headfield.errors import present
from headfield.nn.blending import Blend, blend, blend_reverse
from headfield.nn.encoding import encode, encode_reverse, encoded_size
from headfield.nn.grouped import RowGroups, group_rows
from headfield.nn.mlp import KEPT, Folded, GroupedMLP, MlpState
from headfield.nn.nearest_blending import NearestBlend, nearest_blend, nearest_blend_reverse
from headfield.nn.window import Shares, Window, shares, slot_weights, slot_weights_reverse


@dataclass(frozen=True, eq=False)
class PartLayout:
    """Which anchored parts there are.

    Attributes:
        network: (K,) network of each part, non-decreasing: pairs share one.
        mirrored: (K,) True for the right one of a pair.
    """

    network: np.ndarray
    mirrored: np.ndarray


ANCHORED = PartLayout(frames.PART_NETWORK, frames.IS_MIRRORED)
"""The 39 parts of :data:`headfield.frames.ANCHOR_NAMES`."""


@dataclass(frozen=True)
class EnsembleState:
    """What the reverse pass of the ensemble needs (one evaluation)."""

    rows: RowGroups
    mlp: MlpState | None
    feature: torch.Tensor
    weight: torch.Tensor
    slopes: torch.Tensor | None
    blend: Blend | NearestBlend
    window: Window | None
    shares: Shares | None


@dataclass(frozen=True)
class EnsembleCotangents:
    """The reverse pass of the ensemble.

    Attributes:
        points: (B, N, 3) cotangent at the canonical points.
        ambient: (B, N, A) cotangent at the ambient coordinates.
        local: (P, 3) per row, cotangent at x - k_j (its negative is the one at the local origin k_j).
        blend: (B, N, K) q of :func:`blend_reverse`: cotangent at blend anchor j is q_j (x - k_j).
        first: (P, H) and skip (P, H): cotangents at the pre-activations that the part codes enter.
    """

    points: torch.Tensor
    ambient: torch.Tensor
    local: torch.Tensor
    blend: torch.Tensor
    first: torch.Tensor
    skip: torch.Tensor | None


@dataclass(frozen=True)
class EnsembleSize:
    """Sizes and choices of a :class:`PartEnsemble`.

    Attributes:
        code: d, numbers of one part code.
        ambient: A, ambient coordinates.
        hidden: Width of the hidden layers.
        layers: How many there are.
        features: F, numbers that a part returns.
        frequencies: Of the positional encoding of x - k_j.
        kernel: Blend kernel, ``gaussian`` or ``laplace``; or ``nearest``, see :mod:`headfield.nn.nearest_blending`.
        sigma: Width of the kernel, model units; of ``nearest`` its sharpness.
        threshold: eps of the smooth threshold on blend weights.
        narrow: The skip of DeepSDF, see :class:`headfield.nn.mlp.GroupedMLP`.
        background: Log-weight of one more part, the last, which is everywhere and has the origin as its anchor (f_0 of
            NPHM Eqs. 6-7); None for none. With ``nearest`` it is the distance of its anchor from every point.
        skip: Whether the networks see their input again in the middle.
        layout: Which anchored parts there are.
        local: Parts see x - k_j; else x.
    """

    code: int
    ambient: int
    hidden: int
    layers: int
    features: int
    frequencies: int
    kernel: str
    sigma: float
    threshold: float
    narrow: bool = False
    background: float | None = None
    skip: bool = True
    layout: PartLayout = ANCHORED
    local: bool = True


class PartEnsemble(nn.Module):
    """f_hat(x) = sum_j w(x, k_j) g_j(gamma(x - k_j), omega, z_j).

    Dimensions: B heads, N points, K parts (39, or 40 with a background), R networks (23, or 24), P rows, F features,
    A ambient coordinates.
    """

    network: torch.Tensor
    side: torch.Tensor

    def __init__(self, size: EnsembleSize):
        super().__init__()
        self.frequencies, self.ambient, self.features = size.frequencies, size.ambient, size.features
        self.kernel, self.sigma, self.threshold = size.kernel, size.sigma, size.threshold
        self.background, self.local = size.background, size.local
        self.anchored = len(size.layout.network)  # K, without a background
        everywhere = int(size.background is not None)
        layout, networks = size.layout, int(size.layout.network.max()) + 1
        self.networks, inputs = networks + everywhere, encoded_size(size.frequencies) + size.ambient
        self.mlp = GroupedMLP(
            self.networks,
            inputs,
            size.code,
            size.hidden,
            size.layers,
            size.features,
            skip=size.skip,
            narrow=size.narrow,
        )
        network = torch.as_tensor(layout.network)
        network = torch.cat([network, network.new_full((everywhere,), networks)])
        self.register_buffer("network", network, persistent=False)
        side = torch.ones(len(network), 3)
        side[: len(layout.mirrored)][torch.as_tensor(layout.mirrored), 0] = -1.0
        self.register_buffer("side", side, persistent=False)

    def ambient_columns(self) -> dict[str, int]:
        """How many columns of which tensors, the last ones, meet the ambient coordinates and nothing else."""
        seen = ("mlp.first",) if self.mlp.skip is None else ("mlp.first", "mlp.skip")
        return {name: self.ambient for name in seen}

    def fold(self, parts: torch.Tensor, window: Window | None = None) -> Folded:
        """Fold codes (B, K, d), or (B, S, d) by slot of a window, into the biases of the (head, part) groups."""
        return self.mlp.fold(parts, self.network if window is None else self.network[window.part])

    def weights(self, points: torch.Tensor, anchors: torch.Tensor) -> Blend | NearestBlend:
        """Blend weights (B, N, K) at points (B, N, 3)."""
        if self.kernel == "nearest":
            everywhere = present(self.background, "the distance of the background")
            return nearest_blend(points, anchors, self.sigma, everywhere)
        return blend(points, anchors, self.kernel, self.sigma, self.threshold, self.background)

    def places(self, origins: torch.Tensor) -> torch.Tensor:
        """Origins of all parts from those (B, K, 3) of the anchored ones: a background's is the model's origin, and so
        is every part's where they have no frames of their own."""
        origins = origins if self.local else torch.zeros_like(origins)
        return origins if self.background is None else torch.cat([origins, torch.zeros_like(origins[:, :1])], dim=1)

    def forward(
        self,
        points: torch.Tensor,
        ambient: torch.Tensor | None,
        folded: Folded,
        blend_anchors: torch.Tensor,
        origins: torch.Tensor,
        window: Window | None = None,
        dense: bool = False,
        keep: bool = True,
    ) -> tuple[torch.Tensor, EnsembleState]:
        """Blended features at canonical points.

        Args:
            points: (B, N, 3) canonical, model units.
            ambient: (B, N, A), or None where it is zero.
            folded: From :meth:`fold`.
            blend_anchors: (B, K, 3) anchors of the blend weights, of the anchored parts.
            origins: (B, K, 3) origins of the local frames, from :meth:`places`; those of `blend_anchors` unless parts
                were edited. With a window (B, S, 3), by slot.
            window: Where edited parts act, if any are.
            dense: Evaluate all K parts everywhere (the oracle of the sparse path).
            keep: Keep what :meth:`reverse` needs.
        Returns:
            (B N, F) features and the state.
        """
        heads, count, _ = points.shape
        state = self.weights(points, blend_anchors)
        network, side, weights, found = self.network, self.side, state.weights, None
        if window is not None:
            network, side = network[window.part], side[window.part]
            found = shares(points, blend_anchors, window)
            weights = slot_weights(weights, found, window)
        flat_weights = weights.flatten(0, 1)
        active = torch.ones_like(flat_weights, dtype=torch.bool) if dense else flat_weights.detach() > 0
        rows = group_rows(active, network, self.networks)
        head = rows.point // count
        group = head * len(network) + rows.part
        local = (points.reshape(-1, 3)[rows.point] - origins.reshape(-1, 3)[group]) * side[rows.part]
        encoded, slopes = encode(local, self.frequencies)
        if self.ambient:
            extra = points.new_zeros(len(local), self.ambient) if ambient is None else ambient.flatten(0, 1)[rows.point]
            encoded = torch.cat([encoded, extra], dim=1)
        feature, mlp_state = self.mlp(encoded, folded, group, rows.bounds, keep=keep)
        weight = flat_weights[rows.point, rows.part] * rows.valid
        blended = feature.new_zeros(heads * count, self.features).index_add(0, rows.point, feature * weight[:, None])
        return blended, EnsembleState(rows, mlp_state, feature, weight, slopes, state, window, found)

    def reverse(
        self, cotangent: torch.Tensor, state: EnsembleState, points: torch.Tensor, blend_anchors: torch.Tensor
    ) -> EnsembleCotangents:
        """Pull a cotangent (B N, F) of the features back through networks, local frames and blend weights."""
        rows, window = state.rows, state.window
        side = self.side if window is None else self.side[window.part]
        heads, count, _ = points.shape
        on_rows = cotangent[rows.point]
        on_encoded, first, skip = self.mlp.reverse(
            on_rows * state.weight[:, None], present(state.mlp, KEPT), rows.bounds
        )
        encoded_width = encoded_size(self.frequencies)
        local = encode_reverse(on_encoded[:, :encoded_width], state.slopes, self.frequencies) * side[rows.part]
        on_points = local.new_zeros(heads * count, 3).index_add(0, rows.point, local)
        ambient = local.new_zeros(heads * count, self.ambient)
        ambient = ambient.index_add(0, rows.point, on_encoded[:, encoded_width:]).view(heads, count, self.ambient)
        # each weight's cotangent is the inner product of its feature with the cotangent of the blend
        inner = (on_rows * state.feature).sum(1) * rows.valid
        on_weights = (
            inner.new_zeros(heads * count * len(side))
            .index_add(0, rows.point * len(side) + rows.part, inner)
            .view(heads, count, len(side))
        )
        of_window = None
        if window is not None:
            found = present(state.shares, KEPT)
            on_weights, of_window = slot_weights_reverse(on_weights, state.blend.weights, found, window)
        if isinstance(state.blend, NearestBlend):
            through_weights, q = nearest_blend_reverse(on_weights, state.blend, points, blend_anchors, self.sigma)
        else:
            through_weights, q = blend_reverse(
                on_weights, state.blend, points, blend_anchors, self.sigma, self.threshold
            )
        if of_window is not None:
            q = q + of_window
            through_weights = through_weights + of_window @ blend_anchors - of_window.sum(-1, keepdim=True) * points
        return EnsembleCotangents(on_points.view(heads, count, 3) + through_weights, ambient, local, q, first, skip)
