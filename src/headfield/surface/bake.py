"""Blendshapes of one topology from a head model: a neutral and one offset field per ARKit channel.

A closed mouth has no slit that could open, so the topology is that of a slightly opened mouth. Its vertices go to the
neutral head's space by the model's backward warp, from there to every shape by its inverse, and are then put onto the
posed level set: ambient coordinates move the surface off the carried points. Behind closed lips the model has no
cavity; the vertices of the mouth's bag stay where the warp carries them, inside the head, and are not projected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, present
from ..frames import anchor_indices
from ..types import ARKIT, Codes, Mesh
from .decimate import decimate
from .eyes import Eyeball, fit_eyeballs, on_mesh
from .inverse_warp import follow, from_canonical
from .lip_line import LipLine
from .mend import Seams
from .mesh_head import functions_of, mesh_of
from .mouth_parts import MouthPart, mouth_parts
from .paint import Paint
from .parts import Part, posed_mesh
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


@dataclass(frozen=True)
class Baked:
    """A head as blendshapes, in the model frame (1 unit = 250 mm).

    Attributes:
        neutral: (V, 3) float32.
        normals: (V, 3) float32, of the neutral.
        triangles: (F, 3) int.
        shapes: (52, V, 3) float32 offsets from the neutral in ARKIT order; zeros where a channel does nothing.
        uv: (V, 2) float32 texture coordinates (0 at the bottom), or None; see :func:`unwrapped`.
        eyes: Eyeballs, to be turned by the eight eyeLook channels; () when none were found.
        report: ``seconds`` by stage, and per shape what :meth:`Unwarped.report` says and the share of ``flips``.
        canonical: (V, 3) where the vertices are in the space of the neutral head: the same place for all shapes.
        mouth: Teeth, gums and tongue; () when they found no room.
    """

    neutral: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    shapes: np.ndarray
    uv: np.ndarray | None = None
    eyes: tuple[Eyeball, ...] = ()
    report: dict = field(default_factory=dict)
    canonical: np.ndarray | None = None
    mouth: tuple[MouthPart, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The separate parts: eyeballs, and what is in the mouth."""
        return (*self.eyes, *self.mouth)

    def posed(self, weights: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) with these weights (52,)."""
        weights = np.asarray(weights, dtype=np.float32)
        used = np.flatnonzero(weights)
        return self.neutral + np.tensordot(weights[used], self.shapes[used], axes=1)

    def mesh(self, weights: np.ndarray | None = None) -> Mesh:
        """The head with these weights, or neutral, as a mesh with normals."""
        if weights is None:
            return Mesh(self.neutral, self.triangles, self.normals)
        vertices = self.posed(weights)
        return Mesh(vertices, self.triangles, vertex_normals(vertices, self.triangles))

    def named_meshes(self) -> Iterator[tuple[str, Mesh]]:
        """``neutral``, then each channel at weight 1 under its ARKit name: 53 meshes of one topology."""
        yield "neutral", self.mesh()
        for weights, name in zip(np.eye(len(ARKIT)), ARKIT):
            yield name, self.mesh(weights)

    def posed_parts(self, weights: np.ndarray | None = None) -> tuple[tuple[Part, Mesh], ...]:
        """The parts that the head's own surface does not show, each with its mesh at weights (52,) or at rest."""
        return tuple((part, posed_mesh(part, weights)) for part in self.parts if not part.fused)

    def named_parts(self) -> Iterator[tuple[str, Mesh]]:
        """``teethLower/neutral``, then ``teethLower/jawOpen`` and so on: each such part, and as it is at weight 1 of
        each channel that moves it."""
        for part in self.parts:
            if not part.fused:
                for name in ("neutral", *part.shapes):
                    yield f"{part.name}/{name}", posed_mesh(part, np.isin(ARKIT, name).astype(float))

    def glb(self, metres_per_unit: float, paint: Paint | None = None) -> bytes:
        """A GLB in metres, y up: 52 morph targets named as ARKit does, texture coordinates, and its parts as nodes.

        Args:
            metres_per_unit: True metres of one model unit on this head.
            paint: Colours of the head's scan for the vertices.
        Raises:
            HeadfieldError: The extra ``export`` is not installed.
        """
        from ..io.gltf import MorphHead, glb_of_morphs

        head = self if self.uv is not None else unwrapped(self)
        colours = None if paint is None else paint.on(head.neutral, head.normals)
        neutral, shapes = head.neutral * metres_per_unit, head.shapes * metres_per_unit
        morphs = MorphHead(neutral, head.triangles, head.normals, shapes, ARKIT, head.uv, colours)
        return glb_of_morphs(morphs, [part.scaled(metres_per_unit) for part in head.parts])


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
    coarse = decimate(fine, vertices, anchors)
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


def unwrapped(baked: Baked) -> Baked:
    """The same head with texture coordinates: vertices on seams of the atlas come twice.

    Raises:
        HeadfieldError: The extra ``export`` is not installed.
    """
    from ..errors import need

    xatlas = need("xatlas", "export", "Texture coordinates")
    source, triangles, uv = xatlas.parametrize(baked.neutral, baked.triangles.astype(np.uint32))
    source = source.astype(np.int64)
    back: dict[int, list[int]] = {}
    for new, old in enumerate(source):
        back.setdefault(int(old), []).append(new)
    eyes = tuple(
        replace(ball, vertices=np.array([n for old in ball.vertices for n in back.get(int(old), [])], dtype=int))
        for ball in baked.eyes
    )
    return replace(
        baked,
        neutral=baked.neutral[source],
        normals=baked.normals[source],
        triangles=triangles.astype(np.int64),
        shapes=baked.shapes[:, source],
        uv=uv.astype(np.float32),
        eyes=eyes,
        canonical=None if baked.canonical is None else baked.canonical[source],
    )


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
