"""A head at one instant as a solid: the union of its skin and its hair, what of it can be seen, and its distance.

Rules make truth out of a mesh of several closed components (skin with a mouth bag, eyeballs, hair):

* the sign is the union's: inside where any component's winding number exceeds one half (never the product
  ``(1 - 2w) d`` that libigl's ``signed_distance`` gives with fast winding numbers);
* triangles that nobody can see (behind the eyeballs, under the hair) are no surface: neither sampled nor measured to.
  A void point that nobody can see is solid, unless it has visible skin before it: then it is ambiguous, and left out;
* the mouth is open or closed. Open (`lips_open`), its whole bag is surface and its void is free. Closed, as at rest,
  the bag is solid, and a slit that stayed between the lips is free only as deep as it is well seen;
* lids are joined to the eyeballs by a rounded seam, where the eyes are given, upper to lower lip, where the lips are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headfield.errors import need, present
from headfield.parametric.topology import vertex_normals
from headfield.synth.gaze import Eye
from headfield.synth.hair_parts import Hair
from headfield.synth.lips import CLOSED_RADIUS, OPEN_RADIUS, LipSeal, Pair
from headfield.synth.occlusion import Occluder, escaping_share, sphere_directions
from headfield.synth.seal import EyeSeal, Join
from headfield.synth.sheet import CLOSED_MOUTH_SHARE, Sheet

SEEN_SHARE = 0.02
"""A surface point is visible when at least this share of all directions escapes from it (8 of 256 would be 0.03)."""

OPEN_LIPS = 0.012
"""The mouth is open when the inner lips are this much further apart than at rest, model units (3 mm)."""

_LIFT = 4e-4
"""Rays start this far off the surface, model units (0.1 mm)."""

_SURFACE_DIRECTIONS = sphere_directions(64)
_VOID_DIRECTIONS = sphere_directions(128)


@dataclass(frozen=True)
class SurfacePoints:
    """Points on the visible surface.

    Attributes:
        points, normals: (N, 3) model frame; unit outward.
        triangle: (N,) index into the skin's triangles, or, where `hair`, into the hair's.
        weights: (N, 3) barycentric.
        hair: (N,) bool.
    """

    points: np.ndarray
    normals: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    hair: np.ndarray


class Solid:
    """One head at one instant.

    Args:
        sheet: Topology.
        vertices: (V, 3) posed skin, model frame.
        hair: Static hair, or None.
        lips_open: Whether the mouth bag is free space now.
        eyes: Eyeballs that the lids are joined to, see :mod:`headfield.synth.seal`; none by default.
        lips: Lips that are joined, see :mod:`headfield.synth.lips`; none by default.
    """

    def __init__(
        self,
        sheet: Sheet,
        vertices: np.ndarray,
        hair: Hair | None = None,
        lips_open: bool = False,
        eyes: Sequence[Eye] = (),
        lips: Pair | None = None,
    ) -> None:
        self.sheet, self.hair, self.lips_open = sheet, hair, lips_open
        self.vertices = np.ascontiguousarray(vertices, dtype=float)
        triangles = sheet.triangles
        a, b, c = (self.vertices[triangles[:, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        double_area = np.linalg.norm(cross, axis=1)
        self.area = 0.5 * double_area
        self.flat_normals = cross / np.maximum(double_area, 1e-30)[:, None]
        self.normals = vertex_normals(self.vertices, triangles[~sheet.cap])
        self.skin = Occluder(self.vertices, triangles)
        # behind a join that closes a slit no bubble may stay: such slits are free as deep as they are wide, not twice
        self._closed_share = CLOSED_MOUTH_SHARE * (1.0 if lips is None else 2.0)
        self.shown = self._shown()
        self.joins: tuple[Join, ...] = ()
        if lips is not None:
            seam = LipSeal(self.vertices, lips, OPEN_RADIUS if lips_open else CLOSED_RADIUS, self.inside_skin)
            self.shown[seam.covered()] = 0.0
            self.joins += (seam,)
        self.seen = np.any(self.shown[triangles] > 0.5, axis=1)
        if eyes:
            self.joins += (EyeSeal(self.vertices, triangles, self.seen, eyes, self.inside_skin),)

    @property
    def occluders(self) -> list[Occluder]:
        """Everything opaque."""
        return [self.skin] + ([part.occluder for part in self.hair.parts] if self.hair else [])

    @cached_property
    def _buried(self) -> np.ndarray:
        """Skin vertices (V,) under the hair."""
        none = np.zeros(len(self.vertices), dtype=bool)
        return none if self.hair is None else self.hair.contains(self.vertices)

    def _shown(self) -> np.ndarray:
        """How far the skin's vertices (V,) count as surface, 0 to 1: the share of directions that escape over twice
        the least share, so that one half is the limit."""
        shown = np.where(self._buried, 0.0, 1.0)
        ask = self.sheet.interior_vertices[shown[self.sheet.interior_vertices] > 0]
        bag = self.sheet.bag_vertices
        if self.lips_open:
            # wide jaws push some bags out through the chin: such a sheet with no flesh behind it is no surface
            wall = ask[bag[ask]]
            shown[wall[~self.inside_skin(self.vertices[wall] - 5 * _LIFT * self.normals[wall])]] = 0.0
            ask = ask[~bag[ask]]
        else:
            shown[self.sheet.deep] = 0.0
            ask = ask[~self.sheet.deep[ask]]
        if len(ask):
            normals = self.normals[ask]
            share = escaping_share(self.occluders, self.vertices[ask] + _LIFT * normals, _SURFACE_DIRECTIONS, normals)
            least = np.where(bag[ask], self._closed_share, SEEN_SHARE)
            shown[ask] = np.minimum(share / (2 * least), 1.0)
        return shown

    def visibility(self, triangle: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Whether skin points (triangle (N,), barycentric weights (N, 3)) are surface: (N,) bool."""
        return (self.shown[self.sheet.triangles[triangle]] * weights).sum(1) > 0.5

    @cached_property
    def _tree(self):
        igl = need("igl", "synth", "Signed distances")
        vertices, triangles = self.vertices, self.sheet.triangles[self.seen]
        if self.hair is not None:
            vertices, triangles = self._without_buried(triangles)
        vertices, triangles = np.ascontiguousarray(vertices), np.ascontiguousarray(triangles)
        tree = igl.AABB()
        tree.init(vertices, triangles)
        return tree, vertices, triangles

    def _without_buried(self, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split the triangles that the hair's edge crosses in 16 and drop the pieces under the hair: necks have long
        triangles."""
        buried = self._buried[triangles]
        crossed = triangles[buried.any(1) & ~buried.all(1)]
        steps = [(i, j) for i in range(5) for j in range(5 - i)]
        weights = np.array([(4 - i - j, i, j) for i, j in steps]) / 4.0
        number = {step: k for k, step in enumerate(steps)}
        pieces = [(number[i, j], number[i + 1, j], number[i, j + 1]) for i in range(4) for j in range(4 - i)]
        pieces += [(number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]) for i in range(3) for j in range(3 - i)]
        places = np.einsum("kc,tcx->tkx", weights, self.vertices[crossed])
        split = (np.arange(len(crossed))[:, None, None] * len(steps) + np.array(pieces)).reshape(-1, 3)
        places = places.reshape(-1, 3)
        split = split[~present(self.hair, "hair").contains(places[split].mean(1))]
        whole = triangles[~buried.any(1)]
        return np.concatenate([self.vertices, places]), np.concatenate([whole, split + len(self.vertices)])

    @cached_property
    def _winding(self):
        igl = need("igl", "synth", "Signed distances")
        bvh = igl.FastWindingNumberBVH()
        bvh.init(self.vertices, self.sheet.triangles, 2)
        return bvh

    def inside_skin(self, points: np.ndarray) -> np.ndarray:
        """Whether points (N, 3) lie inside a component of the skin: winding number > 0.5 (N,)."""
        return self._winding.winding_number(np.ascontiguousarray(points, dtype=float), 2.0) > 0.5

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Unsigned distance (N,) from points (N, 3) to the visible surface."""
        points = np.ascontiguousarray(points, dtype=float)
        tree, vertices, triangles = self._tree
        squared = tree.squared_distance(vertices, triangles, points)[0]
        if self.hair is not None:
            squared = np.minimum(squared, self.hair.squared_distance(points))
        return np.sqrt(squared)

    def signed_distance(self, points: np.ndarray, far: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """True signed distance, negative inside.

        Args:
            points: (N, 3).
            far: (N,) bool, points known to be so far that only the sign matters: their distance is infinite.
        Returns:
            distance (N,) and whether it is ambiguous (N,) bool.
        """
        points = np.ascontiguousarray(points, dtype=float)
        if far is None:
            distance = self.distance(points)
        else:
            distance = np.full(len(points), np.inf)
            distance[~far] = self.distance(points[~far])
        inside = self.inside_skin(points)
        if self.hair is not None:
            inside |= self.hair.contains(points)
        ambiguous = np.zeros(len(points), dtype=bool)
        void = np.flatnonzero(~inside & self._near_interior(points))
        if len(void):
            escaping, before_bag, before_seen = self._outlook(points[void])
            in_bag = before_bag > 0.5
            solid = in_bag & (escaping < self._closed_share) if not self.lips_open else np.zeros(len(void), dtype=bool)
            unseen = ~in_bag & (escaping == 0)
            inside[void[solid | (unseen & (before_seen == 0))]] = True
            ambiguous[void[unseen & (before_seen > 0)]] = True
        signed = np.where(inside, -distance, distance)
        for join in self.joins:
            signed = join.lower(points, signed)
        return signed, ambiguous

    def settle(self, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Surface points as if nothing were joined, moved onto the joins; see :meth:`headfield.synth.seal.Join.settle`.

        Args:
            points, normals: (N, 3).
        Returns:
            Points and unit normals (N, 3), and how far each was moved (N,), infinity where no surface is left.
        """
        farthest = np.zeros(len(points))
        for join in self.joins:
            points, normals, moved = join.settle(points, normals)
            farthest = np.maximum(farthest, moved)
        return points, normals, farthest

    def between_lips(self, points: np.ndarray) -> np.ndarray:
        """Whether points (N, 3) lie under the groove of lips that meet: bool (N,)."""
        found = np.zeros(len(points), dtype=bool)
        for join in self.joins:
            if isinstance(join, LipSeal):
                found |= join.covers(points)
        return found

    def _near_interior(self, points: np.ndarray) -> np.ndarray:
        """Only points in the bounds of the interior triangles can lie in a hidden void."""
        if not len(self.sheet.interior_vertices):
            return np.zeros(len(points), dtype=bool)
        corners = self.vertices[self.sheet.interior_vertices]
        return ((points > corners.min(0)) & (points < corners.max(0))).all(1)

    def _outlook(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What void points (N, 3) see around them.

        Returns:
            Shares (N,) of all directions that escape; of the blocked ones that end on the mouth bag; and of all that
            end on the outer side of visible skin.
        """
        d = len(_VOID_DIRECTIONS)
        origins, directions = np.repeat(points, d, axis=0), np.tile(_VOID_DIRECTIONS, (len(points), 1))
        triangle, _ = self.skin.first_hit(origins, directions)
        free = triangle < 0
        if self.hair is not None:
            for part in self.hair.parts:
                free[free] = ~part.occluder.occluded(origins[free], directions[free])
        hit = triangle >= 0
        bag = hit & self.sheet.bag[triangle]
        seen = hit & self.seen[triangle] & ((directions * self.flat_normals[triangle]).sum(1) < 0)
        shape = (len(points), d)
        bag_share = bag.reshape(shape).sum(1) / np.maximum(hit.reshape(shape).sum(1), 1)
        return free.reshape(shape).mean(1), bag_share, seen.reshape(shape).mean(1)

    def sample_surface(self, count: int, rng: np.random.Generator) -> SurfacePoints:
        """Random visible surface points in random order, by area times the sheet's density.

        Args:
            count: How many.
            rng: Source of randomness.
        """
        skin_weight = self.area * self.sheet.density * self.seen
        if self.hair is None:
            weight = skin_weight
        else:
            corners = self.hair.vertices[self.hair.triangles]
            hair_area = 0.5 * np.linalg.norm(
                np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
            )
            weight = np.concatenate([skin_weight, hair_area * self.hair.visible])
        cumulative = np.cumsum(weight)
        cumulative /= cumulative[-1]
        found: list[SurfacePoints] = []
        missing = count
        while missing > 0:
            ask = int(missing * 1.2) + 64
            # stratified in the triangle, shuffled: the variance of systematic sampling, the order of random
            draws = (rng.permutation(ask) + rng.random(ask)) / ask
            chosen = np.minimum(np.searchsorted(cumulative, draws, side="right"), len(weight) - 1)
            root, second = np.sqrt(rng.random(ask)), rng.random(ask)
            weights = np.stack([1.0 - root, root * (1.0 - second), root * second], axis=1)
            found.append(self._accept(chosen, weights))
            missing -= len(found[-1].points)
        joined = [np.concatenate(arrays)[:count] for arrays in zip(*(_fields(part) for part in found))]
        return SurfacePoints(*joined)

    def _accept(self, chosen: np.ndarray, weights: np.ndarray) -> SurfacePoints:
        """Positions and normals of candidates, without those that are hidden."""
        n_skin = len(self.sheet.triangles)
        hair = chosen >= n_skin
        points, normals = np.empty((len(chosen), 3)), np.empty((len(chosen), 3))
        keep = np.ones(len(chosen), dtype=bool)
        triangle = np.where(hair, chosen - n_skin, chosen)

        s = ~hair
        corners = self.sheet.triangles[triangle[s]]
        points[s] = (self.vertices[corners] * weights[s, :, None]).sum(1)
        smooth = (self.normals[corners] * weights[s, :, None]).sum(1)
        flat = self.flat_normals[triangle[s]]
        # interpolated normals lie about sharp creases and on the cap: there the triangle's own is the truth
        sharp = self.sheet.cap[triangle[s]] | ((smooth * flat).sum(1) < 0.5 * np.linalg.norm(smooth, axis=1) + 1e-9)
        normals[s] = np.where(sharp[:, None], flat, smooth)
        keep[s] = self.visibility(triangle[s], weights[s])
        if self.hair is not None:
            keep[s] &= ~self.hair.contains(points[s])
            h = np.flatnonzero(hair)
            corners = self.hair.triangles[triangle[h]]
            points[h] = (self.hair.vertices[corners] * weights[h, :, None]).sum(1)
            normals[h] = (self.hair.normals[corners] * weights[h, :, None]).sum(1)
            mixed = h[self.hair.mixed[triangle[h]]]
            buried = self.inside_skin(points[mixed])
            buried |= self.hair.contains(points[mixed], but=self.hair.owner[triangle[mixed]])
            keep[mixed[buried]] = False
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        points, normals, moved = self.settle(points, normals)
        keep &= np.isfinite(moved)
        return SurfacePoints(points[keep], normals[keep], triangle[keep], weights[keep], hair[keep])


def _fields(part: SurfacePoints) -> tuple[np.ndarray, ...]:
    return part.points, part.normals, part.triangle, part.weights, part.hair
