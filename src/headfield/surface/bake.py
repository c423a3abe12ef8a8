"""Blendshapes of one topology from a head model: a neutral and one offset field per ARKit channel.

A closed mouth has no slit that could open, so the topology is that of a slightly opened mouth. Its vertices go to the
neutral head's space by the model's backward warp, from there to every shape by its inverse, and are then put onto the
posed level set: ambient coordinates move the surface off the carried points. Behind closed lips the model has no
cavity; the vertices of the mouth's bag stay where the warp carries them, inside the head, and are not projected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, present
from ..frames import anchor_indices
from ..types import ARKIT, Codes
from .baked import Baked
from .decimate import decimate, face_spots
from .eyes import Eyeball, fit_eyeballs, on_mesh
from .inverse_warp import follow, from_canonical
from .lip_line import LipLine
from .mend import Seams
from .mesh_head import functions_of, mesh_of
from .mouth_parts import mouth_parts
from .settle import REACH, Field, onto_surface
from .topology import face_vectors, vertex_normals

if TYPE_CHECKING:
    from ..models.protocol import HeadModel, Warped

BASE = {"jawOpen": 0.5}
"""The expression whose surface gives the topology: a clear slit up to the corners of the mouth."""

UNMOVED = 2e-5
"""A channel that moves the field by less than this (0.005 mm) leaves a vertex alone, model units."""

BRIDGING = 0.0004
"""A vertex of the neutral head that is farther than this (0.1 mm) off the field's surface closes up an eye."""

RELATIVE_TO = {"mouthClose": {"jawOpen": 1.0}}
"""Channels that correct another one: their offset is what they add to it, as rigs apply it."""


def bake(
    model: HeadModel,
    codes: Codes,
    vertices: int = 20_000,
    progress: Callable[[float, str], None] | None = None,
    *,
    resolution: int = 256,
) -> Baked:
    """Bake one head's 52 blendshapes.

    Args:
        model: A model whose expression is the 52 ARKit weights.
        codes: One head (B = 1), edited or not; its expression is ignored.
        vertices: About how many.
        progress: Called with the share done (0 to 1) and what is being done.
        resolution: Of the extraction that the topology comes from.
    Raises:
        ConfigError: The model's expression is not ARKit's, or it has no warp that can be followed.
        HeadfieldError: There is no surface, or the extra ``export`` is missing.
        ValueError: The codes are of more than one head.
    """
    import torch

    from ..models.protocol import Warped, WarpLinearisable, require

    if not model.expression_space.speaks_arkit:
        raise ConfigError(
            f"Blendshapes are baked for models with the 52 ARKit channels; this one speaks "
            f"{model.expression_space.kind!r}."
        )
    warp = require(model, Warped, "Baking blendshapes")
    require(model, WarpLinearisable, "Baking blendshapes")
    say = progress or (lambda share, what: None)
    begin = time.perf_counter()
    say(0.0, "topology")
    with torch.no_grad():
        anchors = model.anchors(codes)[0].cpu().numpy().astype(float)
    base, triangles, eyes = _topology(model, codes, vertices, resolution, anchors)
    with torch.no_grad():
        points = torch.as_tensor(base, dtype=torch.float32, device=codes.identity.device)
        canonical = warp.to_canonical(points[None], _with(codes, BASE))[0][0].cpu().numpy()
    topology = time.perf_counter()

    facing = face_vectors(base, triangles)
    at_rest = replace(codes, expression=None)
    neutral, _ = onto_surface(_field(model, at_rest, True), canonical, triangles, facing)
    value = _field(model, at_rest)(neutral)
    mouth = _mouth(canonical, anchors)
    opened, closed = (Seams.of(shape, triangles, mouth) for shape in (base, neutral))
    lips = LipLine.of(base, neutral, -value, triangles, mouth)
    carrier = _Carrier(
        model, warp, codes, canonical, neutral, triangles, facing, opened, closed, value > BRIDGING, lips
    )
    neutral = carrier.shut(neutral)
    shapes, facts = _shapes(carrier, neutral, say)
    say(1.0, "done")
    seconds = {"topology": topology - begin, "shapes": time.perf_counter() - topology}
    report = {"seconds": seconds, "shapes": facts, "neutral_flips": _flips(neutral, triangles, facing)}
    normals = vertex_normals(neutral, triangles)
    return Baked(
        neutral.astype(np.float32),
        normals.astype(np.float32),
        triangles,
        shapes,
        None,
        tuple(on_mesh(ball, neutral, normals) for ball in eyes),
        report,
        canonical,
        mouth_parts(model, codes),
    )


def _topology(
    model: HeadModel, codes: Codes, vertices: int, resolution: int, anchors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[Eyeball, ...]]:
    """Vertices (V, 3) and triangles (F, 3) of the surface in the expression that gives the topology, and eyeballs."""
    codes = _with(codes, BASE)
    fine = mesh_of(model, codes, resolution)
    eyes = fit_eyeballs(fine.vertices, present(fine.normals, "normals"), anchors)
    coarse = decimate(fine, vertices, face_spots(anchors))
    base, _ = onto_surface(_field(model, codes, True), coarse.vertices, coarse.triangles, sure=REACH, fade=2 * REACH)
    return base, coarse.triangles, eyes


def _shapes(
    carrier: _Carrier, neutral: np.ndarray, say: Callable[[float, str], None]
) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
    """Offsets (52, V, 3) float32 from the neutral (V, 3) in ARKIT order, and what is told of each."""
    shapes, facts = np.zeros((len(ARKIT), len(neutral), 3), dtype=np.float32), {}
    for index, name in enumerate(ARKIT):
        say(0.3 + 0.7 * index / len(ARKIT), name)
        beneath = RELATIVE_TO.get(name)
        moved, facts[name] = carrier.pose({name: 1.0} | (beneath or {}))
        if beneath:
            moved = moved - carrier.pose(beneath)[0] + neutral
        shapes[index] = moved - neutral
    shapes[np.abs(shapes) < 1e-6] = 0.0  # a quarter of a micrometre: sparse files stay sparse
    return shapes, facts


@dataclass(frozen=True)
class _Carrier:
    """Takes the vertices of one head from canonical space to any expression.

    `bridging` (V,) are vertices that close up an eye: none of the field's own surface is near them.
    """

    model: HeadModel
    warp: Warped
    codes: Codes
    canonical: np.ndarray
    neutral: np.ndarray
    triangles: np.ndarray
    facing: np.ndarray
    opened: Seams
    closed: Seams
    bridging: np.ndarray
    lips: LipLine | None

    def shut(self, vertices: np.ndarray) -> np.ndarray:
        """A shape (V, 3) whose lips meet where they are not parted."""
        return vertices if self.lips is None else self.lips.met(vertices)

    def pose(self, weights: dict[str, float]) -> tuple[np.ndarray, dict[str, float]]:
        """Vertices (V, 3) float64 with these weights, and facts; only what the channels move is computed."""
        import torch

        codes = _with(self.codes, weights)
        with torch.no_grad():
            points = torch.as_tensor(self.canonical, device=codes.identity.device)
            warped, ambient = (found[0].cpu().numpy() for found in self.warp.to_canonical(points[None], codes))
        change = np.maximum(_length(warped - self.canonical), 0.05 * _length(ambient))
        which = np.flatnonzero(change > UNMOVED)
        vertices = np.array(self.neutral, dtype=float)
        if not len(which):
            return self.shut(vertices), {"moved": 0.0, "solved": 1.0, "folded": 0.0, "flips": 0.0}
        # half the way is known: the warp at the canonical points
        start = 2 * self.canonical[which] - warped[which]
        found = from_canonical(self.model, self.canonical[which], codes, start=start)
        # what little a channel moves its border by must not make a step against the vertices left alone
        share = np.clip(change[which] / UNMOVED - 1, 0, 1)[:, None]
        vertices[which] += share * (found.points - vertices[which])
        # lips that stay together move smoothly from the closed mouth, lips that part from the opened one
        seams = min((self.closed, self.opened), key=lambda each: each.wild(vertices).sum())
        torn = seams.torn(vertices).sum()
        if torn and seams is self.opened:  # once more from there, where it is plain which lip a vertex is of
            lips = np.flatnonzero(seams.region & (change > UNMOVED))
            path = follow(self.model, self.canonical[lips], seams.base[lips], _with(self.codes, BASE), codes)
            other = vertices.copy()
            other[lips] = path.points
            if seams.torn(other).sum() < torn:
                vertices, found = other, found.with_points(np.searchsorted(which, lips), path)
        vertices, mended = seams.mended(vertices)
        which = np.union1d(which, np.flatnonzero(mended))
        placed, kept = onto_surface(
            _field(self.model, codes), vertices, self.triangles, self.facing, which[~self.bridging[which]]
        )
        placed, more = seams.mended(placed)  # the surface found from the wrong side of a crease is rough again
        mended |= more
        placed = self.shut(placed)
        flips = _flips(placed, self.triangles, self.facing)
        facts = {"moved": len(which) / len(vertices), **found.report()}
        facts |= {"mended": float(mended.mean()), "unprojected": kept, "flips": flips}
        return placed, facts


def _mouth(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Vertices (V,) of lips and mouth's bag: nearer to the mouth's middle than its corners are, with some to spare."""
    corners = anchors[anchor_indices(["mouth_corner_left", "mouth_corner_right"])]
    half = np.linalg.norm(corners[0] - corners[1]) / 2
    return np.linalg.norm((points - corners.mean(0)) / [1.0, 1.0, 2.0], axis=1) < 1.6 * half


def _with(codes: Codes, weights: dict[str, float]) -> Codes:
    """The head with an expression given by name."""
    expression = codes.identity.new_zeros(1, len(ARKIT))
    for name, weight in weights.items():
        expression[0, ARKIT.index(name)] = weight
    return replace(codes, expression=expression)


def _field(model: HeadModel, codes: Codes, sealed_eyes: bool = False) -> Field:
    """The signed distance of one posed head, for arrays; with eyes closed up as those of a mesh are."""
    own, _ = functions_of(model, codes, sealed_eyes)

    def values(points: np.ndarray) -> np.ndarray:
        queries = np.array_split(points.astype(np.float32), len(points) // 8192 + 1)
        return np.concatenate([own(query) for query in queries]).astype(float)

    return values


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


def _flips(vertices, triangles, facing) -> float:
    """Share of triangles that look away from where they look in the base shape (more than 90 degrees)."""
    return float(((face_vectors(vertices, triangles) * facing).sum(1) < 0).mean())
