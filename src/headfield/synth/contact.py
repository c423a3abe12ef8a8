"""What skin cannot do: a lip that passes through the other, a lid through its partner, a fold at the lips.

Expressions that are drawn at random ask for it now and then. Here a posed skin is measured, and where it fails, the
channels that fold lips, then those that move lids, are taken back together until it passes. Lids that an eyeball would
pass through need no test: :func:`headfield.synth.gaze.with_gaze` lifts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headfield.frames import MM_PER_UNIT
from headfield.parametric.topology import directed_edges, vertex_normals
from headfield.synth.lips import Pair
from headfield.synth.occlusion import Occluder
from headfield.synth.seal import Surface
from headfield.types import ARKIT

LIMITS = {"lips": 1.0, "folds": 0.6, "lids": 1.5}
"""How far, beyond what they do at rest, lips and lids may pass through each other, mm; and which share of the edges
near the lips may be folded over, percent. Lips that are pressed together give way by about as much, and the join of
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
_TILTS = 0.7 * np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=float)

_AROUND = 0.1
"""Skin within this distance of lids and lips is looked at (model units, 25 mm)."""

_STRAYS = 3
"""The third deepest vertex counts: a single one is a mesh's, not the face's."""


@dataclass(frozen=True)
class Attenuated:
    """What became of a person's drawn expressions.

    Attributes:
        rows: (N, 52) expressions.
        factors: (N,) by which the channels that were taken back most were multiplied, 1 where nothing was.
        why: (N,) what failed, empty where nothing did.
        skins: (N,) their skins (V, 3).
    """

    rows: np.ndarray
    factors: np.ndarray
    why: list[str]
    skins: list[np.ndarray]


class ContactTest:
    """The test of one person's skin, against the same skin at rest.

    Args:
        rest: (V, 3) at rest, model frame.
        skin: (F, 3) triangles of the skin, closed, without eyeballs.
        lips, lids: Which of them they are.
    """

    def __init__(self, rest: np.ndarray, skin: np.ndarray, lips: Pair | None, lids: Sequence[Pair]) -> None:
        self._lips, self._lids = lips, lids
        parts = np.unique(
            np.concatenate([*(part.ravel() for pair in self._pairs() for part in (pair.upper, pair.lower))])
        )
        low, high = rest[parts].min(0) - _AROUND, rest[parts].max(0) + _AROUND
        self._skin = skin[((rest > low) & (rest < high)).all(1)[skin].any(1)]
        if lips is not None:
            self._hinges = _hinges(np.concatenate([lips.upper, lips.lower]))
            self._flat = _bends(rest, self._hinges) > 0.0
        # what already passes at rest is the head's own, and no expression's fault
        self._limits = {name: LIMITS[name] + found for name, found in self.measured(rest).items()}

    def _pairs(self) -> list[Pair]:
        return [*([] if self._lips is None else [self._lips]), *self._lids]

    def measured(self, skin: np.ndarray, names: Sequence[str] = tuple(LIMITS)) -> dict[str, float]:
        """How far a posed skin (V, 3) fails, by those of the names of `LIMITS` that the head has parts for."""
        found = {}
        if self._lips is not None and "lips" in names:
            found["lips"] = MM_PER_UNIT * self._passing(skin, [self._lips])
        if self._lips is not None and "folds" in names:
            found["folds"] = 100.0 * float((_bends(skin, self._hinges)[self._flat] < -0.5).mean())
        if self._lids and "lids" in names:
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

    def failures(self, skin: np.ndarray, names: Sequence[str] = tuple(LIMITS)) -> list[str]:
        """Names, among these, of what a posed skin (V, 3) does that skin cannot."""
        return [name for name, value in self.measured(skin, names).items() if value > self._limits[name]]

    def attenuate(self, expressions: np.ndarray, posed: Callable[[np.ndarray], np.ndarray]) -> Attenuated:
        """Expressions (N, 52) with the channels taken back that make the skin fail.

        First those that fold the lips, by one factor, found by bisection; if even without them the lips fail, what
        else moves the lips as well; then those of the lids. Skins are blended in the bisection, which is exact but for
        how surfaces turn; what it finds is measured, and lowered while it fails.

        Args:
            expressions: (N, 52) ARKit weights.
            posed: From weights (52,) to skin (V, 3).
        """
        rows, factors, why, skins = expressions.copy(), np.ones(len(expressions)), [], []
        for k, row in enumerate(rows):
            skin = posed(row)
            failed = self.failures(skin)
            why.append("+".join(failed))
            stages = ((FOLDING, ("lips", "folds")), (BESIDE, ("lips", "folds")), (LID_CHANNELS, ("lids",)))
            for channels, names in stages:
                channels = [channel for channel in channels if row[channel] > 0]
                if channels and set(failed) & set(names):
                    share, skin = self._share(row, channels, names, skin, posed)
                    row[channels] *= np.float32(share)
                    factors[k] = min(factors[k], share)
                    failed = self.failures(skin)
            skins.append(skin)
        return Attenuated(rows, factors, why, skins)

    def _share(
        self, row: np.ndarray, channels: list[int], names: tuple[str, ...], skin: np.ndarray, posed
    ) -> tuple[float, np.ndarray]:
        """The largest factor of these channels, to a sixteenth, with which none of the named failures remains, 0 where
        there is none; and the skin (V, 3) with it. `skin` is that of the whole expression."""

        def taken(share: float) -> np.ndarray:
            trial = row.copy()
            trial[channels] *= np.float32(share)
            return posed(trial)

        without = taken(0.0)
        if self.failures(without, names):
            return 0.0, without
        low, high = 0.0, 1.0
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            fails = self.failures(without + middle * (skin - without), names)
            low, high = (low, middle) if fails else (middle, high)
        while low > 0:
            found = taken(low)
            if not self.failures(found, names):
                return low, found
            low -= 0.5**STEPS
        return 0.0, without


def _behind(skin: np.ndarray, triangles: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n,) of `triangles` alone and how far each lies behind the `other` triangles, model units."""
    own = np.setdiff1d(triangles, other)
    distance, _, facing = Surface(skin, other).ask_signed(skin[own])
    return own, np.where((facing > 0.8) & (distance > -_THROUGH), np.maximum(-distance, 0.0), 0.0)


def _third(depth: np.ndarray) -> float:
    """The third largest depth (n,)."""
    return float(np.sort(depth)[-min(_STRAYS, len(depth))])


def _buried(skin: np.ndarray, triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Whether skin vertices (n,) look at the inner side of skin: (n,) bool, by most of five rays."""
    normals = vertex_normals(skin, triangles)[vertices]
    rays = normals[:, None] + _TILTS
    origins = np.repeat(skin[vertices] + _LIFT * normals, len(_TILTS), axis=0)
    rays = rays.reshape(-1, 3)
    hit = Occluder(skin, triangles).first_hit(origins, rays)[0]
    a, b, c = (skin[triangles[hit, k]] for k in range(3))
    inner = (hit >= 0) & ((np.cross(b - a, c - a) * rays).sum(1) > 0)
    return inner.reshape(-1, len(_TILTS)).sum(1) > len(_TILTS) // 2


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
