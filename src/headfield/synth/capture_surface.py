"""What captures of all kinds have in common: a smoothed surface, where on the head each vertex lies, rims, strays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from trimesh.triangles import points_to_barycentric

from headfield.errors import need
from headfield.parametric.topology import components, used_vertices, vertex_normals
from headfield.synth.noise import relief
from headfield.synth.sitter import Sitter
from headfield.synth.volume import Volume, relaxed

BAND = 2.5
"""Distances are known to so many standard deviations of the widest smoothing."""

_HAIRLINE = np.array([(0, 0.37), (45, 0.33), (70, 0.20), (85, 0.13), (105, 0.11), (130, -0.06), (180, -0.22)])
"""Height of the hairline (model units) by the angle from the front, degrees."""


@dataclass(frozen=True)
class Surface:
    """A captured surface with what is known of each vertex; millimetres, axes of the model frame.

    Attributes:
        vertices: (N, 3).
        triangles: (F, 3).
        home: (N, 3) the same place on the neutral head, model units.
        face: (N,) bool, of the face.
        mouth: (N,) bool, between the lips: membrane, teeth or the mouth's inside.
        hair: (N,) bool.
        neck: (N,) bool, on the cap that closes the neck, which nobody captures.
        foot: (N, 3) nearest place of the true surface.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    home: np.ndarray
    face: np.ndarray
    mouth: np.ndarray
    hair: np.ndarray
    neck: np.ndarray
    foot: np.ndarray

    @property
    def normals(self) -> np.ndarray:
        """Unit outward normals (N, 3)."""
        return vertex_normals(self.vertices, self.triangles)

    def moved(self, offset: np.ndarray) -> Surface:
        """Vertices moved by offset (N, 3), or along their normals (N,)."""
        offset = offset[:, None] * self.normals if offset.ndim == 1 else offset
        return replace(self, vertices=self.vertices + offset)

    def kept(self, keep: np.ndarray, largest: bool = True) -> Surface:
        """Only the triangles whose corners (N,) bool are all kept; of those the largest piece."""
        triangles = self.triangles[keep[self.triangles].all(1)]
        if largest and len(triangles):
            triangles = triangles[components(triangles) == 0]
        used = used_vertices(triangles)
        place = np.full(len(self.vertices), -1)
        place[used] = np.arange(len(used))
        fields = ("vertices", "home", "face", "mouth", "hair", "neck", "foot")
        return Surface(triangles=place[triangles], **{name: getattr(self, name)[used] for name in fields})


@dataclass(frozen=True)
class Skin:
    """A sitter's true surface in millimetres, closed over the mouth, and which of its triangles is what.

    Attributes:
        vertices, triangles: (V, 3) mm, (F, 3).
        seen: (F,) bool, the visible surface.
        kind: (F,) 0 skin, 1 mouth, 2 neck's cap, 3 hair, 4 eyeball, 5 an addition (teeth, cloth, table).
        home: (V, 3) neutral, model units.
        face: (V,) bool.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    seen: np.ndarray
    kind: np.ndarray
    home: np.ndarray
    face: np.ndarray

    @staticmethod
    def of(sitter: Sitter, membrane: bool = True) -> Skin:
        """The sitter's; `membrane` spans the lips instead of the mouth's inside."""
        mm = sitter.mm_per_unit
        triangles, seen = sitter.triangles, sitter.seen.copy()
        kind = np.where(sitter.cap, 2, np.where(sitter.bag, 1, 0))
        for eye in sitter.eyes:
            kind[np.isin(triangles[:, 0], eye.vertices)] = 4
        if membrane and len(sitter.lips):
            keep = ~sitter.bag
            triangles = np.concatenate([triangles[keep], sitter.lips])
            seen = np.concatenate([seen[keep], np.ones(len(sitter.lips), bool)])
            kind = np.concatenate([kind[keep], np.ones(len(sitter.lips), int)])
        seen = seen | (kind == 2)
        skin = Skin(mm * sitter.vertices, triangles, seen, kind, sitter.neutral, sitter.face)
        if len(sitter.hair_triangles):
            skin = skin.with_part(mm * sitter.hair_vertices, sitter.hair_triangles, 3, sitter.hair_vertices)
        return skin

    def with_part(self, vertices: np.ndarray, triangles: np.ndarray, kind: int, home: np.ndarray | None = None) -> Skin:
        """The union with another closed part (millimetres)."""
        start, n, m = len(self.vertices), len(vertices), len(triangles)
        return Skin(
            np.concatenate([self.vertices, vertices]),
            np.concatenate([self.triangles, triangles + start]),
            np.concatenate([self.seen, np.ones(m, bool)]),
            np.concatenate([self.kind, np.full(m, kind)]),
            np.concatenate([self.home, np.full((n, 3), np.nan) if home is None else home]),
            np.concatenate([self.face, np.zeros(n, bool)]),
        )

    def volume(self, box: np.ndarray, step: float, sigma: float) -> Volume:
        """Its field in a box (2, 3) mm, wide enough to be smoothed by `sigma`."""
        clip = max(3.0 * step, BAND * sigma + step)
        return Volume.of(self.vertices, self.triangles, self.seen, box, step, clip)

    def surface(self, vertices: np.ndarray, triangles: np.ndarray) -> Surface:
        """What is known of the vertices (N, 3) mm of a captured surface."""
        igl = need("igl", "synth", "Closest points")
        shown = np.ascontiguousarray(self.triangles[self.seen], dtype=np.int64)
        tree = igl.AABB()
        own = np.ascontiguousarray(self.vertices, dtype=float)
        tree.init(own, shown)
        _, nearest, foot = tree.squared_distance(own, shown, np.ascontiguousarray(vertices, dtype=float))
        nearest = np.asarray(nearest).ravel()
        corners = shown[nearest]
        share = np.nan_to_num(points_to_barycentric(own[corners], foot), nan=1 / 3)
        kind = self.kind[self.seen][nearest]
        return Surface(
            vertices=vertices,
            triangles=triangles,
            home=np.einsum("nc,ncx->nx", share, self.home[corners]),
            face=(share * self.face[corners]).sum(1) > 0.5,
            mouth=kind == 1,
            hair=kind == 3,
            neck=kind == 2,
            foot=foot,
        )


def box_around(points: np.ndarray, room: float) -> np.ndarray:
    """The box (2, 3) around points (N, 3) with `room` on all sides."""
    return np.stack([points.min(0) - room, points.max(0) + room])


def blended(volume: Volume, sigma: float, places: list[tuple[np.ndarray, float]], sigma_there: float) -> Volume:
    """Smoothed by `sigma`, but by `sigma_there` around some places.

    Args:
        volume: Millimetres.
        sigma, sigma_there: Standard deviations, mm.
        places: (centre (3,), radius) of each, mm.
    """
    plain, other = volume.smoothed(sigma), volume.smoothed(sigma_there)
    weight = np.zeros(volume.values.shape, dtype=np.float32)
    for centre, radius in places:
        weight = np.maximum(weight, np.sqrt(volume.near(centre, radius)))
    return volume.with_values(plain.values + weight * (other.values - plain.values))


def meshed(skin: Skin, volume: Volume) -> Surface:
    """The volume's surface as an even mesh with all that is known of it."""
    vertices, triangles = volume.mesh()
    triangles = triangles[components(triangles) == 0]
    used = used_vertices(triangles)
    place = np.full(len(vertices), -1)
    place[used] = np.arange(len(used))
    vertices, triangles = vertices[used], place[triangles]
    return skin.surface(relaxed(vertices, triangles), triangles)


def in_mask(home: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """Which neutral places (N, 3) belong to a face-only capture, with a ragged rim: (N,) bool."""
    x, y, z = home.T
    across, along = 0.285 * size, 0.375 * size
    level = (np.abs(x) / across) ** 2.4 + (np.abs(y + rng.normal(0, 0.015)) / along) ** 2.4
    level = np.maximum(level, 1 - (z + 0.07 + 0.1 * np.clip(-y, 0, 0.3)) / 0.06)  # before the ears
    level = level + 0.03 * relief(home, 15, 60, rng) + 0.012 * rng.standard_normal(len(home))
    return level < 1


def scalp(home: np.ndarray) -> np.ndarray:
    """How far (N,) neutral places (N, 3) lie above the hairline, model units."""
    angle = np.degrees(np.arctan2(np.abs(home[:, 0]), home[:, 2] + 0.15))
    return home[:, 1] - np.interp(angle, _HAIRLINE[:, 0], _HAIRLINE[:, 1])


def strays_around(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Stray points (M, 3), `share` of all: half hover near the surface, half lie anywhere in its box and around."""
    count = int(round(share / (1 - share) * len(points)))
    low, high = points.min(0), points.max(0)
    anywhere = rng.uniform(low - 0.25 * (high - low), high + 0.25 * (high - low), (count - count // 2, 3))
    near = points[rng.integers(len(points), size=count // 2)]
    near = near + rng.exponential(6.0, (len(near), 1)) * _directions(len(near), rng)
    return np.concatenate([anywhere, near])


def _directions(count: int, rng: np.random.Generator) -> np.ndarray:
    found = rng.standard_normal((count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def filled_from(known: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values (N, ...) at the known place nearest to each of places (N, 3)."""
    return values[cKDTree(known).query(places)[1]]
