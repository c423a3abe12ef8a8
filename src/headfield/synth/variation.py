"""A face of one's own: what no linear family holds, as a displacement of the skin that expressions carry along.

A family's heads are sums of its modes, so a PCA of them beats every other model by construction. Here each person gets
smooth deformations by region (one side unlike the other), ears of their own, and the folds of their age. All of it is
drawn once on the neutral head and worn in every expression: as the surface turns, so does what was added to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from headfield.frames import MM_PER_UNIT
from headfield.parametric.topology import directed_edges, vertex_normals
from headfield.synth.folds import fold_heights
from headfield.synth.hair import mesh_averaging, reference_warp
from headfield.synth.noise import smoothstep
from headfield.synth.sheet import Sheet
from headfield.synth.variation_fields import ear_field, region_field
from headfield.synth.variation_zones import CROSSING_SHIFT, KeptPart, fade_at_cap, kept_parts
from headfield.types import Similarity

LARGEST = 4.0 / MM_PER_UNIT
"""Bound of the smooth deformation, model units (4 mm); ears and folds come on top."""

LARGEST_STRAIN = 0.35
"""Neither the smooth deformation nor that of the ears changes any edge of the neutral skin by more than this share of
its length: far from folding the surface over."""

CHILD = 0.6
"""How much a small child's face differs from others', beside a grown person's."""

_TURNING_STEPS = 10
"""The surface's turn at a vertex is that of the skin within so many edges, about 8 mm on the face."""

_MOVED = 1e-9
"""Vertices that an expression moves by less are at rest, in the frame's own unit."""


@dataclass(frozen=True)
class Variation:
    """What one person has beside the family's shape, for any expression; in the frame and unit of `neutral`.

    Attributes:
        neutral: (V, 3) the family's neutral head, without the variation.
        carried: (V, 3) displacement that turns with the skin.
        fixed: (V, 3) displacement that turns with the skull only: eyes with their lids, lips with the mouth's bag.
            What lies close together there moves alike, whatever the expression.
        skull: (n,) vertices at the back of the head, which no expression moves.
        triangles: (F, 3).
        averaging: (V, V) mean over neighbours.
    """

    neutral: np.ndarray
    carried: np.ndarray
    fixed: np.ndarray
    skull: np.ndarray
    triangles: np.ndarray
    averaging: csr_matrix

    def apply(self, vertices: np.ndarray) -> np.ndarray:
        """The person's skin (V, 3) from the family's posed skin (V, 3), in the same frame and unit as `neutral`."""
        posed = np.asarray(vertices, dtype=float)
        turn = _turn_between(self.neutral[self.skull], posed[self.skull])
        still = posed  # without the motion of the head as a whole
        if turn is not None:
            still = (posed - posed[self.skull].mean(0)) @ turn + self.neutral[self.skull].mean(0)
        moved = np.abs(still - self.neutral).max(1) > _MOVED
        touched = moved.astype(float)
        carried = self.carried.copy()
        for _ in range(_TURNING_STEPS + 1):
            touched = touched + self.averaging @ touched
        ask = np.flatnonzero((touched > 0) & self.carried.any(1))
        if len(ask):
            carried[ask] = np.einsum("nij,nj->ni", self._turns(still, ask), carried[ask])
        added = carried + self.fixed
        return posed + (added if turn is None else added @ turn.T)

    def _turns(self, posed: np.ndarray, ask: np.ndarray) -> np.ndarray:
        """How the surface turns at vertices `ask` (n,): (n, 3, 3), Kabsch's rotation of its surroundings, with the normal."""
        before, after = self.neutral - self.neutral.mean(0), posed - posed.mean(0)
        normal_before, normal_after = (vertex_normals(points, self.triangles) for points in (before, after))
        products = [
            (first[:, :, None] * second[:, None, :]).reshape(-1, 9)
            for first, second in ((after, before), (normal_after, normal_before))
        ]
        spread = (before**2).sum(1, keepdims=True)
        columns = np.concatenate([before, after, *products, spread], axis=1)
        for _ in range(_TURNING_STEPS):
            columns = self.averaging @ columns
        before, after, outer, normals, spread = np.split(columns[ask], [3, 6, 15, 24], axis=1)
        size = np.maximum(spread - (before**2).sum(1, keepdims=True), 0.0)
        cross = outer - (after[:, :, None] * before[:, None, :]).reshape(-1, 9) + 0.3 * size * normals
        u, _, vt = np.linalg.svd(cross.reshape(-1, 3, 3))
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        return u @ vt

    def in_frame(self, similarity: Similarity) -> Variation:
        """The same variation in another frame, to which the similarity leads."""
        scale = similarity.scale
        return replace(
            self,
            neutral=similarity.apply(self.neutral),
            carried=scale * similarity.rotate(self.carried),
            fixed=scale * similarity.rotate(self.fixed),
        )


def draw_variation(
    rng: np.random.Generator,
    head,
    sheet: Sheet,
    vertices: np.ndarray,
    anchors: np.ndarray,
    age: float,
    crossing: np.ndarray | None = None,
) -> Variation:
    """Draw what one person has beside the family's shape.

    Args:
        rng: Source of randomness; everything comes from it.
        head: The parametric family.
        sheet: Its topology.
        vertices: (V, 3) neutral skin, model frame.
        anchors: (39, 3) of that head.
        age: In years: folds come with it, and children's faces are more alike than grown ones.
        crossing: (V, 3) displacement towards a head of another family (`crossing.crossing_field`), or None.
    """
    vertices = np.asarray(vertices, dtype=float)
    if crossing is not None:
        return _crossed(rng, head, sheet, vertices, anchors, age, crossing)
    place = reference_warp(anchors)(vertices)  # one map of regions, for any head of any family
    kept = kept_parts(head, sheet, vertices)
    cap = fade_at_cap(sheet, vertices)[:, None]
    smooth = (CHILD + (1 - CHILD) * smoothstep((age - 3.0) / 13.0)) * region_field(place, rng)
    smooth *= LARGEST / np.sqrt(LARGEST**2 + (smooth**2).sum(1, keepdims=True))
    free, fixed = _around(kept, smooth, vertices)
    tame = _tame(vertices, cap * (free * smooth + fixed), sheet.triangles)
    ears = ear_field(place, rng)
    skin, fixed = tame * free * smooth + _tame(vertices, ears, sheet.triangles) * ears, tame * fixed
    heights = fold_heights(place, vertices, anchors, sheet, age, rng)
    normals = vertex_normals(vertices, sheet.triangles)
    averaging = mesh_averaging(sheet.triangles, len(vertices))
    for _ in range(4):
        normals = averaging @ normals
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    for part in kept:
        heights = part.bare * heights
    carried = skin + heights[:, None] * normals
    skull = np.flatnonzero((place[:, 2] < -0.3) & (place[:, 1] > 0.1))
    return Variation(vertices, cap * carried, cap * fixed, skull, sheet.triangles, averaging)


def _crossed(rng, head, sheet: Sheet, vertices, anchors, age: float, crossing: np.ndarray) -> Variation:
    """The variation of a head that has moved towards another family's, as one of the head where it was."""
    kept = [replace(part, shift=CROSSING_SHIFT, roll=0.0) for part in kept_parts(head, sheet, vertices)]
    crossing = fade_at_cap(sheet, vertices)[:, None] * crossing
    free, fixed = _around(kept, crossing, vertices)
    tame = _tame(vertices, free * crossing + fixed, sheet.triangles)
    carried, fixed = tame * free * crossing, tame * fixed
    moved = vertices + carried + fixed
    own = draw_variation(rng, head, sheet, moved, head.anchors(moved), age)
    return replace(own, neutral=vertices, carried=own.carried + carried, fixed=own.fixed + fixed)


def drawn_age(describe: dict, rng: np.random.Generator) -> float:
    """Age in years: what the family says of the person (`age_years`), else an adult's of 18 to 85.

    Args:
        describe: Of the identity, may be empty.
        rng: Source of randomness; one number is drawn always.
    """
    years = 18.0 + 67.0 * rng.beta(1.1, 1.7)  # as anny draws its adults
    return float(describe.get("age_years", years))


def _around(kept: list[KeptPart], smooth: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share (V, 1) of the smooth field that is left around the parts that keep their shape, and those parts' own
    displacement (V, 3): rigid, by the mean field about them."""
    free, fixed = np.ones((len(vertices), 1)), np.zeros_like(vertices)
    for part in kept:
        fixed += (1.0 - part.free[:, None]) * part.motion(smooth, vertices)
        free *= part.free[:, None]
    return free, fixed


def _tame(vertices: np.ndarray, displacement: np.ndarray, triangles: np.ndarray) -> float:
    """Factor, at most 1, that keeps a displacement (V, 3) within LARGEST_STRAIN."""
    edges = directed_edges(triangles)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    change = np.linalg.norm(displacement[edges[:, 0]] - displacement[edges[:, 1]], axis=1)
    return min(1.0, LARGEST_STRAIN / max(float((change / np.maximum(length, 1e-9)).max()), 1e-12))


def _turn_between(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Rotation (3, 3) of points (N, 3) that move rigidly; None when they rest."""
    if len(before) < 3 or np.abs(after - before).max() <= _MOVED:
        return None
    u, _, vt = np.linalg.svd((after - after.mean(0)).T @ (before - before.mean(0)))
    return (u * [1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
