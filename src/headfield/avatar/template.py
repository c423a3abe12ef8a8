"""The tracked parametric head: what fields start from and are held to, and where rays and searches begin.

A template is a :class:`headfield.parametric.rig.HeadRig` that a tracker knows of the person: near, but not the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from headfield.avatar.correspond import Guesses
from headfield.avatar.networks import Rows
from headfield.io.video_camera import VideoCamera
from headfield.neighbours import PointTree
from headfield.parametric.rig import HeadRig
from headfield.surface.rays import RayScene

FEW = 3000
"""Vertices that stand for the template where the nearest is asked for: about 5 mm apart on a head."""

BEFORE, BEHIND = 0.06, 0.12
"""The surface is expected so far before and behind the template's hit (15 and 30 mm), model units."""

ASIDE = 0.12
"""And so far round the place where a ray that misses the template passes it."""

TWO_SIDED = 0.08
"""Places this much nearer to one side of the mouth than to the other (20 mm) are searched from that side alone."""


@dataclass(frozen=True)
class FrameHits:
    """What the posed template says of every pixel of a frame.

    Attributes:
        near, far: (H W,) float32, the interval in which the surface is expected.
        start: (H W, 3) float32, canonical place of the template's hit, NaN for a miss.
        away: (H W,) float32, how far a ray passes the template, 0 for a hit.
    """

    near: torch.Tensor
    far: torch.Tensor
    start: torch.Tensor
    away: torch.Tensor


class Template:
    """A rig with what makes it quick to ask.

    Args:
        rig: The tracked head.
        seed: Which few vertices stand for it.
    """

    def __init__(self, rig: HeadRig, seed: int = 0):
        self.rig = rig
        count = len(rig.vertices)
        few = np.sort(np.random.default_rng(seed).permutation(count)[:FEW])
        self.few = HeadRig(
            rig.channels,
            rig.joints,
            rig.parents,
            rig.places,
            rig.canonical,
            rig.vertices[few],
            rig.triangles[:0],
            rig.shapes[few],
            rig.correctives[few],
            rig.weights[few],
        )
        jaw = rig.weights[few, rig.joints.index("jaw")] if "jaw" in rig.joints else np.zeros(len(few))
        self.sides = [side for side in (np.flatnonzero(jaw <= 0.5), np.flatnonzero(jaw > 0.5)) if len(side)]

    @cached_property
    def basis(self) -> np.ndarray:
        """(V, Q + E, 3) float32: correctives, then blendshapes, as the deformation network orders them."""
        return np.concatenate([self.rig.correctives, self.rig.shapes], axis=1).astype(np.float32)

    @cached_property
    def _tree(self) -> PointTree:
        return PointTree(self.rig.vertices)

    def nearest(self, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (N,) and indices (N,) of the vertices nearest to canonical points (N, 3)."""
        return self._tree.query(canonical)

    def hits(
        self, expression: np.ndarray, pose: np.ndarray, camera: VideoCamera, mask: np.ndarray | None = None
    ) -> FrameHits:
        """What the posed template says of a frame's pixels.

        Args:
            expression: (E,).
            pose: (J, 3) radians.
            camera: Of the frame.
            mask: (H, W) bool foreground, if known: hair that stands out beyond the template widens the interval.
        """
        rig, origin, directions = self.rig, camera.origin, camera.rays()
        posed = rig.posed(expression, pose)
        seen = RayScene(posed, rig.triangles).first_hit(origin, directions)
        hit = seen.triangle >= 0
        corners = rig.vertices[rig.triangles[seen.triangle[hit]]]
        start = np.full((len(directions), 3), np.nan, dtype=np.float32)
        start[hit] = np.einsum("nk,nkc->nc", seen.barycentric[hit], corners)
        # of a ray that misses the vertex that it passes nearest, in the picture
        few = self.few.posed(expression, pose)
        places, depth = camera.project(few)
        pixels = np.flatnonzero(~hit)
        row, column = np.divmod(pixels, camera.size[1])
        gap, which = PointTree(places).query(np.stack([column, row], axis=1))
        passing = ((few[which] - origin) * directions[pixels]).sum(1)
        before = BEFORE
        gap = gap * depth[which] / np.abs(camera.intrinsics[0] * camera.size[1])  # of pixels, in model units there
        if mask is not None and (stray := mask.ravel()[pixels]).any():
            before = max(BEFORE, 0.02 + float(np.quantile(gap[stray], 0.95)))
        near, far, away = np.zeros((3, len(directions)), dtype=np.float32)
        away[pixels] = gap
        near[hit], far[hit] = seen.distance[hit] - before, seen.distance[hit] + BEHIND
        aside = max(ASIDE, before)
        near[pixels], far[pixels] = passing - aside, passing + aside
        return FrameHits(*(torch.from_numpy(array) for array in (np.maximum(near, 1e-3), far, start, away)))

    def starts(self, expressions: np.ndarray, poses: np.ndarray) -> TemplateStarts:
        """Where to look for canonical points in frames with expressions (F, E) and poses (F, J, 3)."""
        return TemplateStarts(self, [FrameStarts(self, *numbers) for numbers in zip(expressions, poses)])


class FrameStarts:
    """The few vertices of a posed template, and how to find the nearest of each side of the mouth.

    Attributes:
        posed: (V, 3) vertices.
        inverse: (V, 3, 3) the way back of directions.
        trees: One for each of the template's sides.
    """

    def __init__(self, template: Template, expression: np.ndarray, pose: np.ndarray):
        few = template.few
        self.posed = few.posed(expression, pose)
        self.inverse = np.linalg.inv(np.tensordot(few.weights, few.bones(pose)[:, :, :3], axes=1))
        self.trees = [PointTree(self.posed[side]) for side in template.sides]


class TemplateStarts:
    """Guesses of canonical points: each posed point as if it rode with the nearest vertex of the posed template.

    Near the mouth the nearest vertices of both sides, of the skull and of the jaw, make a guess each: a place between
    the lips may belong to either.
    """

    def __init__(self, template: Template, frames: Sequence[FrameStarts]):
        self._canonical, self._sides, self._frames = template.few.vertices, template.sides, frames

    def __call__(self, posed: torch.Tensor, rows: Rows) -> Guesses:
        """One guess or two for each of the points (P, 3)."""
        places = posed.detach().double().numpy()
        owners, points, inverses = [], [], []
        for frame, (begin, end) in enumerate(zip(rows.bounds[:-1], rows.bounds[1:])):
            if end == begin:
                continue
            mine = places[begin:end]
            there = self._frames[frame]
            asked = [tree.query(mine) for tree in there.trees]
            least = np.min([gap for gap, _ in asked], axis=0)
            for (gap, which), side in zip(asked, self._sides):
                near = np.flatnonzero(gap <= least + (TWO_SIDED if len(asked) > 1 else 0.0))
                if len(asked) > 1:  # the other side only where both are near
                    near = near[(gap[near] <= least[near]) | (gap[near] < TWO_SIDED)]
                vertex = side[which[near]]
                back = there.inverse[vertex]
                offset = mine[near] - there.posed[vertex]
                owners.append(begin + near)
                points.append(self._canonical[vertex] + np.einsum("nab,nb->na", back, offset))
                inverses.append(back)
        owner = np.concatenate(owners) if owners else np.zeros(0, dtype=np.int64)
        order = np.argsort(owner, kind="stable")
        stacked = [np.concatenate(part)[order] if part else np.zeros(shape) for part, shape in
                   ((points, (0, 3)), (inverses, (0, 3, 3)))]  # fmt: skip
        return Guesses(torch.from_numpy(owner[order]), *(torch.as_tensor(one, dtype=posed.dtype) for one in stacked))
