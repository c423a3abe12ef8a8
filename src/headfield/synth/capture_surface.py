"""What captures of all kinds have in common: a smoothed surface, where on the head each vertex lies, rims, strays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from trimesh.triangles import points_to_barycentric

from headfield.errors import need
from headfield.frames import ANCHOR_NAMES, anchor_indices
from headfield.parametric.topology import components, used_vertices, vertex_normals
from headfield.synth.noise import relief, smoothstep
from headfield.synth.sitter import Sitter
from headfield.synth.volume import Volume, relaxed

SKIN, MOUTH, NECK_CAP, HAIR, EYEBALL, ALIEN = range(6)
"""What a triangle of a sitter's surface is."""

BAND = 2.5
"""Distances are known to so many standard deviations of the widest smoothing."""

FAR_MM = 8.0
"""No smoothing moves a surface so far; ears are bridged over, and parts broken off, at most `VERY_FAR_MM` deep."""

VERY_FAR_MM = 16.0

_HAIRLINE = np.array([(0, 0.37), (45, 0.33), (70, 0.20), (85, 0.13), (105, 0.11), (130, -0.06), (180, -0.22)])
"""Height of the hairline (model units) by the angle from the front, degrees."""


@dataclass(frozen=True)
class Surface:
    """A captured surface with what is known of each vertex; millimetres, axes of the model frame.

    Attributes:
        vertices: (N, 3).
        triangles: (F, 3).
        home: (N, 3) the same place on the neutral head, model units; zeros on what is no head.
        face: (N,) bool, of the face.
        mouth: (N,) bool, between the lips: a membrane or the mouth's inside.
        eye: (N,) bool, on an eyeball.
        hair: (N,) bool.
        alien: (N,) bool, no part of the head: teeth, cloth, a table, where something broke off.
        neck: (N,) bool, on the cap that closes the neck, which nobody captures.
        foot: (N, 3) nearest place of the true surface.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    home: np.ndarray
    face: np.ndarray
    mouth: np.ndarray
    eye: np.ndarray
    hair: np.ndarray
    alien: np.ndarray
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

    def marked(self, **masks: np.ndarray) -> Surface:
        """With other masks (N,) bool by name."""
        return replace(self, **masks)

    def kept(self, keep: np.ndarray, largest: bool = True) -> Surface:
        """Only the triangles whose corners (N,) bool are all kept; of those the largest piece."""
        triangles = self.triangles[keep[self.triangles].all(1)]
        if largest and len(triangles):
            triangles = triangles[components(triangles) == 0]
        used = used_vertices(triangles)
        place = np.full(len(self.vertices), -1)
        place[used] = np.arange(len(used))
        fields = ("vertices", "home", "face", "mouth", "eye", "hair", "alien", "neck", "foot")
        return Surface(triangles=place[triangles], **{name: getattr(self, name)[used] for name in fields})


@dataclass(frozen=True)
class Body:
    """A sitter's true surface in millimetres, closed over the mouth, and which of its triangles is what.

    Attributes:
        vertices, triangles: (V, 3) mm, (F, 3).
        seen: (F,) bool, the visible surface.
        kind: (F,) SKIN, MOUTH, NECK_CAP, HAIR, EYEBALL or ALIEN.
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
    def of(sitter: Sitter, membrane: bool = True) -> Body:
        """The sitter's; `membrane` spans the lips instead of the mouth's inside."""
        mm = sitter.mm_per_unit
        triangles, seen = sitter.triangles, sitter.seen.copy()
        kind = np.where(sitter.cap, NECK_CAP, np.where(sitter.bag, MOUTH, SKIN))
        for eye in sitter.eyes:
            kind[np.isin(triangles[:, 0], eye.vertices)] = EYEBALL
        if membrane and len(sitter.lips):
            keep = ~sitter.bag
            triangles = np.concatenate([triangles[keep], sitter.lips])
            seen = np.concatenate([seen[keep], np.ones(len(sitter.lips), bool)])
            kind = np.concatenate([kind[keep], np.full(len(sitter.lips), MOUTH)])
        seen = seen | (kind == NECK_CAP)
        body = Body(mm * sitter.vertices, triangles, seen, kind, sitter.neutral, sitter.face)
        if len(sitter.hair_triangles):
            body = body.with_part(mm * sitter.hair_vertices, sitter.hair_triangles, HAIR, sitter.hair_vertices)
        return body

    def with_part(self, vertices: np.ndarray, triangles: np.ndarray, kind: int, home: np.ndarray | None = None) -> Body:
        """The union with another closed part (millimetres)."""
        start, n, m = len(self.vertices), len(vertices), len(triangles)
        return Body(
            np.concatenate([self.vertices, vertices]),
            np.concatenate([self.triangles, triangles + start]),
            np.concatenate([self.seen, np.ones(m, bool)]),
            np.concatenate([self.kind, np.full(m, kind)]),
            np.concatenate([self.home, np.full((n, 3), np.nan) if home is None else home]),
            np.concatenate([self.face, np.zeros(n, bool)]),
        )

    def posed(self, vertices: np.ndarray) -> Body:
        """The same with other vertices (V, 3) mm."""
        return replace(self, vertices=vertices)

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
            home=np.nan_to_num(np.einsum("nc,ncx->nx", share, self.home[corners])),
            face=(share * self.face[corners]).sum(1) > 0.5,
            mouth=kind == MOUTH,
            eye=kind == EYEBALL,
            hair=kind == HAIR,
            alien=kind == ALIEN,
            neck=kind == NECK_CAP,
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


def meshed(body: Body, volume: Volume, pieces: int = 1, reach: float = FAR_MM) -> Surface:
    """The volume's surface as an even mesh with all that is known of it.

    Args:
        body, volume: Of one sitter.
        pieces: How many of its largest pieces are kept.
        reach: What lies farther from the true surface, mm, is a wall that nobody sees: an open mouth's, at its end.
    """
    vertices, triangles = volume.mesh()
    triangles = triangles[components(triangles) < pieces]
    used = used_vertices(triangles)
    place = np.full(len(vertices), -1)
    place[used] = np.arange(len(used))
    vertices, triangles = vertices[used], place[triangles]
    surface = body.surface(relaxed(vertices, triangles), triangles)
    near = np.linalg.norm(surface.foot - surface.vertices, axis=1) <= reach
    return surface if near.all() else surface.kept(near, largest=pieces == 1)


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


@dataclass(frozen=True)
class Shown:
    """What a capture shows.

    Attributes:
        surface: Millimetres.
        sigma_mm: Standard deviation of the smoothing.
        sigma_eyes_mm: The same around eyes and lips.
        gaze_visible: Eyeballs with their corneas are there to be seen.
        lids_visible: Lids are: whether an eye is open can be seen.
        scalp_bare: A scalp without hair was captured.
        scalp_uncaptured: No scalp was captured.
        how: Further facts, plain values.
    """

    surface: Surface
    sigma_mm: float
    sigma_eyes_mm: float
    gaze_visible: bool = False
    lids_visible: bool = True
    scalp_bare: bool = False
    scalp_uncaptured: bool = False
    how: tuple[tuple[str, object], ...] = ()

    def facts(self) -> dict:
        """Everything but the surface."""
        return {
            "sigma_mm": self.sigma_mm,
            "sigma_eyes_mm": self.sigma_eyes_mm,
            "gaze_visible": self.gaze_visible,
            "lids_visible": self.lids_visible,
            "scalp_bare": self.scalp_bare,
            "scalp_uncaptured": self.scalp_uncaptured,
        } | dict(self.how)


def eyes_and_lips(sitter: Sitter) -> list[tuple[np.ndarray, float]]:
    """Centres (3,) and radii, mm, of the places that smoothing hits hardest."""
    at, mm = sitter.moved_anchors, sitter.mm_per_unit
    places = []
    for side in ("left", "right"):
        inner, outer = at[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])]
        places.append((mm * (inner + outer) / 2, 26.0))
    lips = at[anchor_indices(["lower_lip", "upper_lip", "mouth_corner_left", "mouth_corner_right"])]
    places.append((mm * lips.mean(0), 34.0))
    return places


def ears_of(sitter: Sitter) -> list[tuple[np.ndarray, float]]:
    """Centres (3,) and radii, mm, of the ears."""
    at = sitter.anchors[[ANCHOR_NAMES.index(f"ear_back_{side}") for side in ("left", "right")]]
    return [(sitter.mm_per_unit * (ear + [0.0, -0.01, 0.05]), 48.0) for ear in at]


def mixed(volume, values: np.ndarray, places: list[tuple[np.ndarray, float]]):
    """The volume with other values (X, Y, Z) around some places."""
    weight = np.zeros(values.shape, dtype=np.float32)
    for centre, radius in places:
        weight = np.maximum(weight, smoothstep(2.5 * volume.near(centre, radius)))
    return volume.with_values(volume.values + weight * (values - volume.values))
