"""Batches from the store, as a pure function of seed and step: a resumed run sees exactly the same data.

Mirrored copies double the identities: code row i + n belongs to the mirror image of identity i, with left and right
expression channels exchanged.

For a model whose canonical face is not the one at rest, "neutral" means that face: heads without an expression are
drawn from its row, and every other one, the face at rest included, is posed (:mod:`headfield.train.opening`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield import frames
from headfield.errors import present
from headfield.io.quantise import dequantise, dequantise_normals
from headfield.io.store import Record, Store
from headfield.train.opening import ROW, Opening
from headfield.types import ARKIT_MIRROR


@dataclass(frozen=True)
class Batch:
    """B heads of one kind, all neutral or all posed, in the model frame.

    Attributes:
        rows: (B,) rows of the code table.
        expression: (B, 52), or None when neutral.
        expression_rows: (B,) rows of a table of learned expression codes; of no use when neutral.
        surface, normals: (B, N, 3) surface points of the posed heads and outward unit normals.
        posed: (B, M, 3) more surface points, for the warp alone, which is cheap.
        neutral: (B, M, 3) the same material points on the neutral heads.
        neutral_valid: (B, M) whether they are visible there.
        samples, sdf: (B, S, 3) and (B, S) off-surface points and signed distances.
        anchors: (B, 39, 3) neutral anchors.
        anchors65: (B, 65, 3) neutral places by :data:`headfield.frames.ANCHOR65_NAMES`; None where the store has none.
    """

    rows: torch.Tensor
    expression: torch.Tensor | None
    expression_rows: torch.Tensor
    surface: torch.Tensor
    normals: torch.Tensor
    posed: torch.Tensor
    neutral: torch.Tensor
    neutral_valid: torch.Tensor
    samples: torch.Tensor
    sdf: torch.Tensor
    anchors: torch.Tensor
    anchors65: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Drawing:
    """What is drawn from a store's identities.

    Attributes:
        heads: Heads per step.
        points, samples: Surface points and signed samples per head.
        mirror: Also train mirrored copies.
        seed: Everything drawn is a function of (seed, step).
        warp_points: Surface points per posed head with their places on the neutral head.
        held_rows: Last expressions of every identity that are never drawn.
    """

    heads: int
    points: int
    samples: int
    mirror: bool
    seed: int = 0
    warp_points: int = 0
    held_rows: int = 0

    def within(self, store: Store) -> Drawing:
        """No more points than a store has."""
        points, warp = min(self.points, store.points), min(self.warp_points, store.points)
        return replace(self, points=points, samples=min(self.samples, store.samples), warp_points=warp)


class Batches:
    """Draws batches from the training identities of a store.

    Args:
        store: The store.
        records: Identities to draw from; their order defines the code rows.
        drawing: What is drawn from them.
        waiting: Ids of identities that the store does not hold yet: they have code rows, and are drawn once `grow`
            has found them.
        canonical: (52,) the expression of the model's canonical face, None for the face at rest.
    Raises:
        StoreError: The store does not have that face of everybody.
    Attributes:
        ids: All identities, in the order of their code rows.
        arrays: Theirs, None where the store does not hold them yet.
        most_rows: Of an identity; code row r and its expression k are row r * most_rows + k of a table of both.
    """

    def __init__(
        self,
        store: Store,
        records: list[Record],
        drawing: Drawing,
        *,
        waiting: Collection[str] = (),
        canonical: Sequence[float] | None = None,
    ):
        self.store, self.drawing = store, drawing.within(store)
        self._canonical = None if canonical is None else np.array(canonical, dtype=np.float32)
        self._openings: dict[int, Opening] = {}
        self.ids = sorted([record.id for record in records] + list(waiting)) if waiting else [r.id for r in records]
        self.arrays: list[dict | None] = [None] * len(self.ids)
        self._take(records)
        self.most_rows = max(len(arrays["expressions"]) for arrays in self.arrays if arrays is not None)

    def _take(self, records: list[Record]) -> None:
        """Open the arrays of identities that have come."""
        row_of = {name: row for row, name in enumerate(self.ids)}
        for record in records:
            row = row_of.get(record.id)
            if row is not None and self.arrays[row] is None:
                self.arrays[row] = arrays = self.store.open(record)
                if self._canonical is not None:
                    self._openings[row] = Opening(arrays, self.store.box, self._canonical, record.id)
        here = [(row, arrays) for row, arrays in enumerate(self.arrays) if arrays is not None]
        posable = [row for row, arrays in here if len(arrays["expressions"]) - self.drawing.held_rows > 1]
        self._drawable, self._posable = self._rows([row for row, _ in here]), self._rows(posable)

    def _rows(self, identities: list[int]) -> np.ndarray:
        """Code rows of identities and of their mirrored copies."""
        mirrored = [row + len(self.ids) for row in identities] if self.drawing.mirror else []
        return np.array(identities + mirrored, dtype=int)

    def anchors_of(self, row: int) -> np.ndarray:
        """The 39 anchors (39, 3) of an identity that is there, on its canonical face, model units."""
        arrays = self.arrays[row]
        anchors = np.array(present(arrays, "the arrays of an identity")["anchors"])
        return self._openings[row].places(anchors)[0] if row in self._openings else anchors

    @property
    def missing(self) -> int:
        """How many identities the store does not hold yet."""
        return sum(arrays is None for arrays in self.arrays)

    def grow(self) -> None:
        """Look for identities that have been finished since."""
        if self.missing:
            self._take(Store(self.store.path).records)

    @property
    def codes(self) -> int:
        """Rows of the code table."""
        return len(self.ids) * (2 if self.drawing.mirror else 1)

    def draw(self, step: int, posed_share: float, micro: int) -> list[Batch]:
        """The batches of one step, split into micro-batches of one kind.

        Args:
            step: Step number.
            posed_share: Share of heads that wear an expression, drawn from the identities that have any.
            micro: Heads per micro-batch at most.
        """
        rng = np.random.default_rng([self.drawing.seed, step])
        heads = min(self.drawing.heads, len(self._drawable))
        posed = min(int(round(posed_share * heads)), len(self._posable))
        kinds = ((self._drawable, heads - posed), (self._posable, posed))
        drawn = [rng.choice(rows, count, replace=False) for rows, count in kinds]
        batches = []
        for kind, chosen in zip(("neutral", "posed"), drawn):
            for start in range(0, len(chosen), micro):
                batches.append(self._collect(chosen[start : start + micro], kind == "posed", rng))
        return batches

    def _collect(self, rows: np.ndarray, posed: bool, rng: np.random.Generator) -> Batch:
        columns: dict[str, list[np.ndarray]] = {}
        for row in rows:
            head = self._read(row % len(self.ids), posed, rng)
            if row >= len(self.ids):
                head = _mirrored(head)
            head["expression_rows"] = np.int64(row * self.most_rows + head.pop("row"))
            for name, value in head.items():
                columns.setdefault(name, []).append(value)
        tensors = {name: torch.from_numpy(np.stack(values)) for name, values in columns.items()}
        expression = tensors.pop("expression")
        return Batch(torch.from_numpy(rows), expression if posed else None, **tensors)

    def _read(self, identity: int, posed: bool, rng: np.random.Generator) -> dict:
        """One head of an identity that is there, at random: columns of a batch, and its row of the store."""
        arrays, opening, box = self.arrays[identity], self._openings.get(identity), self.store.box
        arrays = present(arrays, "the arrays of an identity")
        drawing = self.drawing
        points, samples, warp = drawing.points, drawing.samples, drawing.warp_points if posed else 0
        drawable = min(len(arrays["expressions"]) - drawing.held_rows, self.most_rows)
        row = int(rng.integers(1, drawable)) if posed else 0
        if opening is not None:  # the two faces change places
            row = {0: ROW, ROW: 0}.get(row, row)
        a = int(rng.integers(0, arrays["points"].shape[1] - points + 1))
        b = int(rng.integers(0, arrays["samples"].shape[1] - samples + 1))
        c = int(rng.integers(0, arrays["points"].shape[1] - warp + 1))
        head = {
            "row": row,
            "expression": np.array(arrays["expressions"][row]),
            "surface": dequantise(arrays["points"][row, a : a + points], box),
            "normals": dequantise_normals(arrays["normals"][row, a : a + points]),
            "posed": dequantise(arrays["points"][row, c : c + warp], box),
            "neutral": dequantise(arrays["canonical"][row, c : c + warp], box),
            "neutral_valid": np.array(arrays["canonical_valid"][row, c : c + warp]),
            "samples": dequantise(arrays["samples"][row, b : b + samples], box),
            "sdf": np.array(arrays["sdf"][row, b : b + samples], dtype=np.float32),
            "anchors": np.array(arrays["anchors"]),
        } | {name: np.array(arrays[name]) for name in ("anchors65",) if name in arrays}
        return head if opening is None else head | _opened(arrays, opening, head, box, slice(c, c + warp))


def _opened(arrays, opening: Opening, head: dict, box, which: slice) -> dict:
    """What of a head is another on the open face: anchors, and where its surface points are."""
    found = {"anchors": opening.places(head["anchors"])[0]}
    if head["row"] == 0:  # the pairs of the open row, the other way round
        pairs = {"posed": "canonical", "neutral": "points"}
        found |= {name: dequantise(arrays[column][ROW, which], box) for name, column in pairs.items()}
        return found | {"neutral_valid": np.array(arrays["canonical_valid"][ROW, which])}
    if len(head["neutral"]):
        places, sure = opening.places(head["neutral"], np.array(arrays["triangle"][head["row"], which]))
        found |= {"neutral": places, "neutral_valid": head["neutral_valid"] & sure}
    return found


def _mirrored(head: dict) -> dict:
    mirrored = dict(head)
    for name in ("surface", "normals", "posed", "neutral", "samples", "anchors"):
        mirrored[name] = frames.mirror_points(head[name]).astype(np.float32)
    mirrored["anchors"] = mirrored["anchors"][frames.MIRROR_PART]
    if "anchors65" in head:
        mirrored["anchors65"] = frames.mirror_points(head["anchors65"])[frames.MIRROR65].astype(np.float32)
    mirrored["expression"] = head["expression"][ARKIT_MIRROR]
    return mirrored
