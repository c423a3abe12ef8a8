"""Separate parts of a head that follow its expression: what eyeballs and mouth parts have in common.

A part is a closed mesh of its own. It follows the channels by morph offsets, as teeth follow the jaw, or its node is
turned, as eyeballs are. Whoever writes or shows parts needs no more than this, whichever part it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from ..types import ARKIT, Mesh
from .topology import vertex_normals


@dataclass(frozen=True)
class Material:
    """What a part is made of.

    Attributes:
        name: In files.
        colour: sRGB, 0 to 255; white where the vertices have colours of their own.
        roughness: 0 (a mirror) to 1 (chalk).
    """

    name: str
    colour: tuple[int, int, int]
    roughness: float


class Part(Protocol):
    """A separate part of one neutral head.

    Attributes:
        name: Of the part and of its node in files.
        mesh_name: Of its mesh; parts with the same mesh share it.
        material: What it is made of.
        fused: Whether the head's own surface shows it, too, so that pictures of that surface need no part.
        replaces: Indices of the head's vertices that it stands in for; where there are any, files put it in a socket.
        shapes: Offsets (V, 3) of its vertices for the channels that move it, by ARKit name.
        place: Of its node: ``translation`` (3,) and ``scale`` (3,) as glTF has them; {} where the mesh stands already.
    """

    @property
    def name(self) -> str: ...

    @property
    def mesh_name(self) -> str: ...

    @property
    def material(self) -> Material: ...

    @property
    def fused(self) -> bool: ...

    @property
    def replaces(self) -> np.ndarray: ...

    @property
    def shapes(self) -> Mapping[str, np.ndarray]: ...

    @property
    def place(self) -> dict[str, Any]: ...

    def vertex_data(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Vertex attributes by their glTF names, and triangles (F, 3), before the node's place."""
        ...

    def scaled(self, factor: float) -> Self:
        """The part in another unit."""
        ...


def posed_mesh(part: Part, weights: np.ndarray | None = None) -> Mesh:
    """A part that follows by offsets, with these weights (52,) or at rest, as a mesh with normals."""
    data, triangles = part.vertex_data()
    vertices = data["POSITION"].astype(float)
    weights = np.zeros(len(ARKIT)) if weights is None else weights
    for name, offsets in part.shapes.items():
        if weight := weights[ARKIT.index(name)]:
            vertices += weight * offsets
    return Mesh(vertices, triangles, vertex_normals(vertices, triangles))


def with_parts(mesh: Mesh, colour, parts: Sequence[Part], weights: np.ndarray | None) -> tuple[Mesh, np.ndarray]:
    """One mesh of a head and its parts that it does not show itself, and colours (V, 4) uint8 sRGB of the vertices.

    Args:
        mesh: The head with these weights.
        colour: Of the head: three numbers, or (V, 4).
        parts: Fused ones are left out.
        weights: (52,), or None at rest.
    """
    colour = np.asarray(colour, dtype=np.uint8)
    colours = [colour if colour.ndim == 2 else np.tile(np.append(colour, np.uint8(255)), (len(mesh.vertices), 1))]
    meshes = [mesh]
    for part in parts:
        if not part.fused:
            meshes.append(posed_mesh(part, weights))
            colours.append(np.tile(np.array([*part.material.colour, 255], np.uint8), (len(meshes[-1].vertices), 1)))
    begins = np.cumsum([0, *(len(each.vertices) for each in meshes)])
    normals = [vertex_normals(each.vertices, each.triangles) if each.normals is None else each.normals
               for each in meshes]  # fmt: skip
    whole = Mesh(
        np.concatenate([each.vertices for each in meshes]),
        np.concatenate([each.triangles + begin for each, begin in zip(meshes, begins)]),
        np.concatenate(normals),
    )
    return whole, np.concatenate(colours)
