"""What models made of anchored parts share: codes to parts and anchors, edits, and derivatives by the identity.

A model of this kind says how an identity becomes part codes (an affine map) and how part codes become anchors; this
module folds them, edited or not, into what is constant for a head, and pulls derivatives of the field back to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headfield.models.field_model import FieldModel
from headfield.nn.deformer import Expressed
from headfield.nn.ensemble import EnsembleCotangents, EnsembleState, PartEnsemble
from headfield.nn.grouped import RowGroups
from headfield.nn.mlp import Folded
from headfield.nn.window import Window, window_of
from headfield.types import Codes


@dataclass(frozen=True)
class Condition:
    """Codes folded into everything that is constant for a head; make it once, evaluate many chunks of points.

    Attributes:
        parts: (B, K, d) part codes in use.
        blend_anchors: (B, K, 3) anchors of the blend weights: those of the unedited identity.
        origins: (B, K, 3) origins of the local frames.
        slot_origins: (B, S, 3) origins of all that the ensemble evaluates: by slot of the window, else by part.
        ensemble: Folded biases of the part networks.
        window: Where edited parts act; None when none is edited, or without borders.
        expressed: Folded expression, or None for a batch that skips the deformer.
        resting: That of the face at rest, where rest is not the canonical expression; else None.
    """

    parts: torch.Tensor
    blend_anchors: torch.Tensor
    origins: torch.Tensor
    slot_origins: torch.Tensor
    ensemble: Folded
    window: Window | None = None
    expressed: Expressed | None = None
    resting: Expressed | None = None


class PartModel(FieldModel):
    """The common ground of models with anchored parts.

    Dimensions: B heads, N points, K parts (39, fewer in ablations), d numbers of a part code, D of an identity code,
    E expression numbers, P rows of the ensemble. A subclass has an `ensemble` and a `deformer`, and defines the
    functions that raise here; one with a background part (NPHM) extends :meth:`all_codes` and :meth:`all_spread` by it.
    """

    ensemble: PartEnsemble

    # ---- what a subclass defines ----------------------------------------------------------------------------------

    def part_codes(self, identity: torch.Tensor) -> torch.Tensor:
        """Part codes (B, K, d) of identity codes (B, D), an affine map."""
        raise NotImplementedError

    def part_spread(self) -> torch.Tensor:
        """The linear part (K, d, D) of that map."""
        raise NotImplementedError

    def anchors_of_parts(self, parts: torch.Tensor) -> torch.Tensor:
        """Anchors (B, K, 3) of part codes (B, K, d), model units."""
        raise NotImplementedError

    def anchor_jacobian(self, identity: torch.Tensor) -> torch.Tensor:
        """d anchors / d z_id (3 K, D) at one identity (1, D)."""
        raise NotImplementedError

    def all_codes(self, parts: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
        """Codes (B, K or K + 1, d) of all that the ensemble evaluates."""
        return parts

    def all_spread(self) -> torch.Tensor:
        """Their linear part (K or K + 1, d, D)."""
        return self.part_spread()

    # ---- codes --------------------------------------------------------------------------------------------------

    def anchors(self, codes: Codes) -> torch.Tensor:
        """Anchors (B, K, 3) of the unedited identity, model units."""
        return self.anchors_of_parts(self.part_codes(codes.identity))

    def condition(self, codes: Codes) -> Condition:
        """Fold codes into biases and anchors, and the expression where there is one (:meth:`expressed_of`)."""
        own = self.part_codes(codes.identity)
        blend_anchors = self.anchors_of_parts(own)
        parts = own if codes.parts is None else codes.parts
        if codes.anchors is not None:
            origins = codes.anchors
        else:
            origins = blend_anchors if codes.parts is None else self.anchors_of_parts(parts)
        expressed = self.expressed_of(codes)
        window = None
        if codes.parts is not None and codes.around is not None:
            window = window_of(codes.around, self.ensemble.network, parts)
        by_slot, places = self.all_codes(parts, codes.identity), self.ensemble.places(origins)
        if window is None:
            folded = self.ensemble.fold(by_slot)
        else:
            by_slot, places = by_slot[:, window.part], places[:, window.part]  # copies
            edited = window.part[window.own]
            by_slot[:, window.own], places[:, window.own] = own[:, edited], blend_anchors[:, edited]
            folded = self.ensemble.fold(by_slot, window)
        return Condition(parts, blend_anchors, origins, places, folded, window, expressed)

    def blend_weights(self, points: torch.Tensor, condition: Condition) -> torch.Tensor:
        """Blend weights w_j (B, N, K) of the anchored parts at canonical points (B, N, 3) (Eq. 4)."""
        return self.ensemble.weights(points, condition.blend_anchors).weights[..., : self.ensemble.anchored]

    # ---- derivatives by the identity, for fits --------------------------------------------------------------------

    def parts_by_identity(
        self, back: EnsembleCotangents, state: EnsembleState, points, codes: Codes, condition: Condition
    ) -> torch.Tensor:
        """d field / d z_id (N, D) through part codes, origins and blend anchors, at canonical points (N, 3).

        It holds still what does not follow the identity: given parts and anchors.
        """
        rows, parts, count = state.rows, self.ensemble.anchored, len(points)
        on_anchors = back.blend[0][..., None] * (points[:, None] - condition.blend_anchors[0])
        window, follows = condition.window, rows.valid
        part = rows.part if window is None else window.part[rows.part]
        if codes.parts is not None:  # only the own codes beside the edited ones follow the identity
            follows = follows & self._own_slots(window, points.device)[rows.part]
        if self.ensemble.local and (codes.parts is not None or codes.anchors is None):
            anchored = follows & (part < parts)  # a background has no anchor
            slot = rows.point * parts + part.clamp_max(parts - 1)
            on_origins = on_anchors.new_zeros(count * parts, 3).index_add(0, slot, -back.local * anchored[:, None])
            on_anchors = on_anchors + on_origins.view(count, parts, 3)
        by_identity = on_anchors.flatten(1) @ self.anchor_jacobian(codes.identity)
        self._add_through_parts(by_identity, back, rows, part, follows)
        return by_identity

    def _own_slots(self, window: Window | None, device: torch.device) -> torch.Tensor:
        """Which slots (S,) bool of an edited head have codes that follow the identity; a background's always does."""
        every = torch.arange(len(self.ensemble.network), device=device)
        own = (every if window is None else window.part) >= self.ensemble.anchored
        if window is not None:
            own[window.own] = True
        return own

    def _add_through_parts(self, by_identity: torch.Tensor, back, rows: RowGroups, part, follows) -> None:
        """Add what the part codes do, part by part: only the few parts that matter at a point cost anything."""
        on_rows = self.ensemble.mlp.reverse_condition(back.first, back.skip, rows.bounds)
        real = follows.nonzero()[:, 0]  # by part, since rows are laid out so
        blocks = self.all_spread()
        counts = torch.bincount(part[real], minlength=len(blocks)).tolist()
        for own, block in zip(real.split(counts), blocks):
            if len(own):
                by_identity.index_add_(0, rows.point[own], on_rows[own] @ block)
