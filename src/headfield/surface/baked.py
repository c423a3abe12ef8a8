"""A head as blendshapes: what :func:`headfield.surface.bake.bake` makes, and everything that is written of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..types import ARKIT, Mesh
from .eyes import Eyeball
from .mouth_parts import MouthPart
from .paint import Paint
from .parts import Part, posed_mesh
from .topology import vertex_normals


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
