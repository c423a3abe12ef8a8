"""What skin cannot do: a lip that passes through the other, a lid through its partner, a fold at the lips.

Expressions that are drawn at random ask for it now and then. Here a posed skin is measured, and where it fails, the
channels that fold lips, then those that move lids, are taken back together until it passes. Lids that an eyeball would
pass through need no test: :func:`headfield.synth.gaze.with_gaze` lifts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headfield.errors import need
from headfield.frames import MM_PER_UNIT
from headfield.parametric.topology import directed_edges, vertex_normals
from headfield.synth.lips import Pair
from headfield.synth.seal import Surface
from headfield.types import ARKIT

LIMITS = {"lips": 1.0, "folds": 0.6, "lids": 1.5}
"""How far, beyond what they do at rest, lips and lids may pass through each other, mm; and which share of the edges near
the lips may be folded over, percent. Lips that are pressed together give way by about as much, and the join of
:mod:`headfield.synth.lips` makes one seam of them; lids of both families close over each other by 1 to 2 mm."""

FOLDING = tuple(
    ARKIT.index(f"mouth{name}")
    for name in ("Funnel", "Pucker", "RollUpper", "RollLower", "PressLeft", "PressRight", "ShrugUpper", "ShrugLower",
                 "Close")
)  # fmt: skip
"""Channels that fold the lips."""

LID_CHANNELS = tuple(k for k, name in enumerate(ARKIT) if name.startswith(("eyeBlink", "eyeSquint", "cheekSquint")))
"""Channels that move lids towards each other."""

BESIDE = tuple(
    k for k, name in enumerate(ARKIT) if name.startswith(("mouth", "jaw", "cheek", "nose")) and k not in FOLDING
)
"""What else moves the lips."""

STEPS = 4
"""Bisections: factors are known to a sixteenth."""

_THROUGH = 2.5 / MM_PER_UNIT
"""What lies farther behind a lip has not passed through it: it is on the other side of the flesh."""

_ASKED = 0.2 / MM_PER_UNIT
"""Shallower passes are not looked into."""

_LIFT = 0.05 / MM_PER_UNIT

_STRAYS = 3
"""The third deepest vertex counts: a single one is a mesh's, not the face's."""


@dataclass(frozen=True)
class Attenuated:
    """What became of a person's drawn expressions.

    Attributes:
        rows: (N, 52) expressions.
        factors: (N,) by which the channels that were taken back most were multiplied, 1 where nothing was.
        why: (N,) what failed, empty where nothing did.
    """

    rows: np.ndarray
    factors: np.ndarray
    why: list[str]


class ContactTest:
    """The test of one person's skin, against the same skin at rest.

    Args:
        rest: (V, 3) at rest, model frame.
        skin: (F, 3) triangles of the skin, closed, without eyeballs.
        lips, lids: Which of them they are.
    """

    def __init__(self, rest: np.ndarray, skin: np.ndarray, lips: Pair | None, lids: Sequence[Pair]) -> None:
        self._skin, self._lips, self._lids = skin, lips, lids
        if lips is not None:
            self._hinges = _hinges(np.concatenate([lips.upper, lips.lower]))
            self._flat = _bends(rest, self._hinges) > 0.0
        # what already passes at rest is the head's own, and no expression's fault
        self._limits = {name: LIMITS[name] + found for name, found in self.measured(rest).items()}

    def measured(self, skin: np.ndarray) -> dict[str, float]:
        """How far a posed skin (V, 3) fails, by the names of `LIMITS`."""
        found = {}
        if self._lips is not None:
            found["lips"] = MM_PER_UNIT * self._passing(skin, [self._lips])
            found["folds"] = 100.0 * float((_bends(skin, self._hinges)[self._flat] < -0.5).mean())
        if self._lids:
            found["lids"] = MM_PER_UNIT * self._passing(skin, self._lids)
        return found

    def _passing(self, skin: np.ndarray, pairs: Sequence[Pair]) -> float:
        """How deep vertices of one part of a pair lie in the flesh of the other part, model units."""
        sides = [side for pair in pairs for side in ((pair.upper, pair.lower), (pair.lower, pair.upper))]
        found = [_behind(skin, *side) for side in sides]
        depth = [_third(behind) for _, behind in found]
        if max(depth) < _ASKED:
            return max(depth)
        # behind a triangle need not be in flesh: an open mouth is, too
        vertices = np.concatenate([own[behind > 0] for own, behind in found])
        buried = np.zeros(len(skin), dtype=bool)
        buried[vertices] = _buried(skin, self._skin, vertices)
        return max(_third(np.where(buried[own], behind, 0.0)) for own, behind in found)

    def failures(self, skin: np.ndarray) -> list[str]:
        """Names of what a posed skin (V, 3) does that skin cannot."""
        return [name for name, value in self.measured(skin).items() if value > self._limits[name]]

    def attenuate(self, expressions: np.ndarray, posed: Callable[[np.ndarray], np.ndarray]) -> Attenuated:
        """Expressions (N, 52) with the channels taken back that make the skin fail.

        First those that fold the lips, by one factor, found by bisection; if even without them the lips fail, what
        else moves the lips as well; then those of the lids.

        Args:
            expressions: (N, 52) ARKit weights.
            posed: From weights (52,) to skin (V, 3).
        """
        rows, factors, why = expressions.copy(), np.ones(len(expressions)), []
        for k, row in enumerate(rows):
            failed = self.failures(posed(row))
            why.append("+".join(failed))
            stages = [(FOLDING, ("lips", "folds")), (BESIDE, ("lips", "folds")), (LID_CHANNELS, ("lids",))]
            for channels, names in stages:
                if not set(failed) & set(names):
                    continue
                channels = [c for c in channels if row[c] > 0]
                if channels:
                    share = self._share(row, channels, names, posed)
                    row[channels] *= np.float32(share)
                    factors[k] = min(factors[k], share)
                    failed = self.failures(posed(row))
        return Attenuated(rows, factors, why)

    def _share(self, row: np.ndarray, channels: list[int], names: tuple[str, ...], posed) -> float:
        """The largest factor of these channels, to a sixteenth, with which none of the named failures remains; 0 where
        there is none."""
        low, high = 0.0, 1.0
        for _ in range(STEPS):
            middle, trial = 0.5 * (low + high), row.copy()
            trial[channels] *= np.float32(middle)
            low, high = (low, middle) if set(self.failures(posed(trial))) & set(names) else (middle, high)
        return low


def _behind(skin: np.ndarray, triangles: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n,) of `triangles` alone and how far each lies behind the `other` triangles, model units."""
    own = np.setdiff1d(triangles, other)
    distance, _, facing = Surface(skin, other).ask_signed(skin[own])
    return own, np.where((facing > 0.8) & (distance > -_THROUGH), np.maximum(-distance, 0.0), 0.0)


def _third(depth: np.ndarray) -> float:
    """The third largest depth (n,)."""
    return float(np.sort(depth)[-min(_STRAYS, len(depth))])


def _buried(skin: np.ndarray, triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Whether what lies just outside the skin at its vertices (n,) is inside the skin all the same: (n,) bool."""
    igl = need("igl", "synth", "Signed distances")
    normals = vertex_normals(skin, triangles)[vertices]
    bvh = igl.FastWindingNumberBVH()
    bvh.init(np.ascontiguousarray(skin), np.ascontiguousarray(triangles), 2)
    return bvh.winding_number(skin[vertices] + _LIFT * normals, 2.0) > 0.5


def _hinges(triangles: np.ndarray) -> np.ndarray:
    """Pairs of triangles (E, 2, 3), by their vertices, that share an edge."""
    edges = np.sort(directed_edges(triangles), axis=1)
    owner = np.arange(len(edges)) % len(triangles)
    order = np.lexsort(edges.T)
    edges, owner = edges[order], owner[order]
    same = np.flatnonzero((edges[1:] == edges[:-1]).all(1))
    return np.stack([triangles[owner[same]], triangles[owner[same + 1]]], axis=1)


def _bends(skin: np.ndarray, hinges: np.ndarray) -> np.ndarray:
    """Cosines (E,) between the normals of neighbouring triangles."""
    corners = skin[hinges]
    normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-30)
    return (normals[:, 0] * normals[:, 1]).sum(1)
