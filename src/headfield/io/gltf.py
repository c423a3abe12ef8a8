"""Binary glTF 2.0: one mesh with its vertex data, or a head with morph targets and its separate parts.

glTF is y up, z forwards and in metres, with counter-clockwise triangles (Khronos glTF 2.0 specification, sections
3.6-3.7 and 4.4). Morph targets are sparse: a channel stores only the vertices that it moves. Their names stand where
Blender, three.js and most engines look for them, in ``mesh.extras.targetNames``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headfield.io.gltf_sockets import with_sockets

VERTICES, INDICES = 34962, 34963
"""Buffer view targets (glTF 5.11.5)."""

STILL = 1e-6
"""Offsets up to this (a micrometre) are left out of a morph target."""

STEADY = 0.02
"""Normals that turn by less than this (about a degree) keep the neutral's."""

_COMPONENT = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125}


def linear_colours(colours: np.ndarray) -> np.ndarray:
    """sRGB colours (V, 3 or 4) uint8 as linear float32 in [0, 1], what glTF means by a vertex colour (3.7.2.1).

    An alpha that is 255 everywhere is left out. Eight linear bits would swallow the shadows, and 16 bits are misread by
    trimesh, so floats it is.
    """
    value = np.asarray(colours, dtype=np.float64) / 255
    low = value[:, :3] <= 0.04045
    value[:, :3] = np.where(low, value[:, :3] / 12.92, ((value[:, :3] + 0.055) / 1.055) ** 2.4)
    return value[:, : 3 if (value[:, 3:] == 1).all() else 4].astype("<f4")


def srgb_colours(linear: np.ndarray) -> np.ndarray:
    """The way back: linear colours (V, 3 or 4) as sRGB uint8; integers are taken as shares of 255."""
    linear = np.asarray(linear)
    value = linear / 255 if linear.dtype.kind in "ui" else linear.astype(np.float64)
    value = np.clip(value, 0, 1)
    rgb = value[:, :3]
    value[:, :3] = np.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return np.rint(value * 255).astype(np.uint8)


class _Document:
    """A glTF document in the making: buffer views and accessors over one binary chunk."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.chunks: list[bytes] = []
        self.size = 0

    def view(self, array: np.ndarray, target: int | None = None) -> int:
        """Index of a new buffer view of the array's bytes."""
        content = np.ascontiguousarray(array).tobytes()
        content += b"\0" * (-len(content) % 4)  # accessors must start on 4 bytes
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": len(content)}
        self.views.append(view if target is None else view | {"target": target})
        self.chunks.append(content)
        self.size += len(content)
        return len(self.views) - 1

    def accessor(self, array: np.ndarray, target: int | None = None, **extra) -> int:
        """Index of a new accessor with the array's elements."""
        kind = {1: "SCALAR"}.get(array.ndim) or f"VEC{array.shape[1]}"
        component = _COMPONENT[array.dtype.str[1:]]
        view = self.view(array, target)
        self.accessors.append(
            {"bufferView": view, "componentType": component, "count": len(array), "type": kind} | extra
        )
        return len(self.accessors) - 1

    def sparse(self, offsets: np.ndarray, threshold: float, bounds: bool) -> int:
        """Index of a new accessor (V, 3) that stores only rows longer than a threshold and is zero elsewhere."""
        rows = np.flatnonzero((offsets.astype(float) ** 2).sum(1) > threshold**2)
        accessor: dict[str, Any] = {"componentType": 5126, "count": len(offsets), "type": "VEC3"}
        values = np.ascontiguousarray(offsets[rows], dtype="<f4")
        if bounds:  # over all vertices, those at rest included
            low, high = values.min(axis=0, initial=0), values.max(axis=0, initial=0)
            if len(rows) == len(offsets):
                low, high = values.min(axis=0), values.max(axis=0)
            accessor |= {"min": low.tolist(), "max": high.tolist()}
        if len(rows):
            index = rows.astype("<u2" if len(offsets) <= 65_536 else "<u4")
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self.view(index), "componentType": _COMPONENT[index.dtype.str[1:]]},
                "values": {"bufferView": self.view(values)},
            }
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def attributes(self, vertex_data: dict[str, np.ndarray]) -> dict[str, int]:
        """Accessors of a primitive's vertex attributes, by name."""
        found = {}
        for name, array in vertex_data.items():
            if name.startswith("COLOR_"):
                found[name] = self.accessor(linear_colours(array), VERTICES)
                continue
            bounds = {}
            if name == "POSITION":  # the only attribute that must state its bounds
                bounds = {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
            found[name] = self.accessor(array, VERTICES, **bounds)
        return found

    def primitive(self, vertex_data: dict[str, np.ndarray], triangles: np.ndarray, material: int) -> dict[str, Any]:
        """A primitive of triangles (F, 3)."""
        attributes = self.attributes(vertex_data)
        indices = self.accessor(np.asarray(triangles).reshape(-1).astype("<u4"), INDICES)
        return {"attributes": attributes, "indices": indices, "material": material}

    def pack(self, nodes: list[dict], meshes: list[dict], materials: list[dict], roots: Sequence[int]) -> bytes:
        """The file's bytes."""
        document = {
            "asset": {"version": "2.0", "generator": "headfield"},
            "scene": 0,
            "scenes": [{"nodes": list(roots)}],
            "nodes": nodes,
            "meshes": meshes,
            "materials": materials,
            "buffers": [{"byteLength": self.size}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self.size
        header = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON")
        return header + text + struct.pack("<I4s", self.size, b"BIN\0") + b"".join(self.chunks)


def pack_glb(vertex_data: dict[str, np.ndarray], triangles: np.ndarray, name: str = "head") -> bytes:
    """Pack vertex attributes and triangles into a GLB.

    Args:
        vertex_data: glTF attribute name -> (V, n) or (V,) float32; colours (V, 3 or 4) as uint8 sRGB, stored as linear.
        triangles: (F, 3) int.
        name: Of the mesh and its node.
    Returns:
        The file's bytes.
    """
    document = _Document()
    primitive = document.primitive(vertex_data, triangles, 0)
    colours = vertex_data.get("COLOR_0")
    coloured = colours is not None and not (colours == 255).all()
    mesh = {"name": name, "primitives": [primitive]}
    return document.pack([{"mesh": 0, "name": name}], [mesh], [_clay(coloured)], [0])


@dataclass(frozen=True)
class MorphHead:
    """A head with morph targets, metres, y up, z forwards.

    Attributes:
        vertices: (V, 3) neutral.
        triangles: (F, 3) int.
        normals: (V, 3) unit, or None.
        shapes: (S, V, 3) offsets from the neutral.
        names: Of the S morph targets.
        uv: (V, 2), v upwards from the bottom, or None; glTF's v runs downwards, which is seen to here.
        colours: (V, 4) uint8 sRGB and alpha, or None.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray | None
    shapes: np.ndarray
    names: Sequence[str]
    uv: np.ndarray | None = None
    colours: np.ndarray | None = None

    def __post_init__(self) -> None:
        if np.shape(self.shapes) != (len(self.names), len(self.vertices), 3):
            raise ValueError(
                f"shapes {np.shape(self.shapes)} do not fit {len(self.names)} names and {len(self.vertices)} vertices"
            )

    def vertex_data(self, vertices: np.ndarray) -> dict[str, np.ndarray]:
        """Vertex attributes by their glTF names, with these positions (V, 3)."""
        data = {"POSITION": np.asarray(vertices, dtype="<f4")}
        if self.normals is not None:
            data["NORMAL"] = np.asarray(self.normals, dtype="<f4")
        if self.uv is not None:
            data["TEXCOORD_0"] = np.stack([self.uv[:, 0], 1.0 - self.uv[:, 1]], axis=1).astype("<f4")
        if self.colours is not None:
            data["COLOR_0"] = np.asarray(self.colours, dtype=np.uint8)
        return data


def glb_of_morphs(
    head: MorphHead, parts: Sequence[Any] = (), *, morph_normals: bool = True, name: str = "head"
) -> bytes:
    """A GLB of a head with morph targets.

    Args:
        head: The head.
        parts: Separate parts in metres, see :class:`headfield.surface.parts.Part`. Each becomes a node with a mesh
            and a material of its own, and with morph targets for the channels that move it. The head's vertices that
            an eyeball stands in for become the floor of a socket behind it, which keeps still but for what a closing
            lid takes along.
        morph_normals: Store how normals turn, so that viewers that do not compute them shade expressions rightly.
        name: Of the mesh and its node.
    Returns:
        The file's bytes.
    """
    balls = [part for part in parts if len(part.replaces)]
    triangles, names = np.asarray(head.triangles), head.names
    vertices, shapes = with_sockets(np.asarray(head.vertices), triangles, np.asarray(head.shapes), names, balls)
    document = _Document()
    turned: list[np.ndarray | None] = [None] * len(names)
    if head.normals is not None and morph_normals:
        turned = [_turned_normals(vertices, triangles, head.normals, offsets) for offsets in shapes]
    data = head.vertex_data(vertices)
    meshes = [_morphing(document, data, triangles, 0, names, shapes, turned) | {"name": name}]
    nodes: list[dict[str, Any]] = [{"mesh": 0, "name": name}]
    materials = [_clay(head.colours is not None)]
    for part in parts:
        nodes.append({"mesh": _part(document, part, meshes, materials, morph_normals), "name": part.name} | part.place)
    return document.pack(nodes, meshes, materials, range(len(nodes)))


def _morphing(document: _Document, data, triangles, material: int, names, shapes, turned) -> dict[str, Any]:
    """A mesh of one primitive with named morph targets; `turned` are offsets of the normals, or None, by target."""
    primitive = document.primitive(data, triangles, material)
    if not len(names):
        return {"primitives": [primitive]}
    primitive["targets"] = []
    for offsets, turns in zip(shapes, turned):
        target = {"POSITION": document.sparse(offsets, STILL, bounds=True)}
        if turns is not None:
            target["NORMAL"] = document.sparse(turns, STEADY, bounds=False)
        primitive["targets"].append(target)
    return {
        "primitives": [primitive],
        "weights": [0.0] * len(names),
        "extras": {"targetNames": list(names)},
    }


def _part(document: _Document, part, meshes: list[dict], materials: list[dict], morph_normals: bool) -> int:
    """Index of a part's mesh, which is added, as its material is, unless another part brought it already."""
    known = [mesh["name"] for mesh in meshes]
    if part.mesh_name in known:
        return known.index(part.mesh_name)
    kind = _matter(part.material)
    if kind not in materials:
        materials.append(kind)
    data, triangles = part.vertex_data()
    turned: list[np.ndarray | None] = [None] * len(part.shapes)
    if morph_normals and "NORMAL" in data:
        turned = [_turned_normals(data["POSITION"], triangles, data["NORMAL"], each) for each in part.shapes.values()]
    mesh = _morphing(document, data, triangles, materials.index(kind), part.shapes, part.shapes.values(), turned)
    meshes.append({"name": part.mesh_name} | mesh)
    return len(meshes) - 1


def _matter(material) -> dict[str, Any]:
    """A part's material; white ones leave the word to the colours of the vertices."""
    physical = {"metallicFactor": 0, "roughnessFactor": material.roughness}
    if tuple(material.colour) != (255, 255, 255):
        linear = linear_colours(np.array([[*material.colour, 255]]))[0]
        physical["baseColorFactor"] = [*(round(float(value), 4) for value in linear), 1]
    return {"name": material.name, "pbrMetallicRoughness": physical}


def _clay(coloured: bool) -> dict[str, Any]:
    """The skin's material; colours of the vertices speak for themselves."""
    base = [1, 1, 1, 1] if coloured else [0.75, 0.72, 0.69, 1]
    return {
        "name": "clay",
        "pbrMetallicRoughness": {"baseColorFactor": base, "metallicFactor": 0, "roughnessFactor": 0.8},
    }


def _turned_normals(vertices, triangles, normals, offsets: np.ndarray) -> np.ndarray:
    """Offsets (V, 3) from the neutral's normals to a shape's, zero where a shape moves nothing."""
    moved = (np.asarray(offsets) != 0).any(1)
    change = np.zeros((len(vertices), 3))
    if not moved.any():
        return change
    used = np.asarray(triangles)[moved[triangles].any(1)]
    posed = np.asarray(vertices, dtype=float) + offsets
    before, after = (_corner_normals(places, used) for places in (np.asarray(vertices, dtype=float), posed))
    # the change of the mesh's own normals: seams of the atlas must not show where the given normals are smooth
    touched = np.unique(used)
    inner = np.setdiff1d(touched, np.unique(np.asarray(triangles)[~moved[triangles].any(1)]))
    change[inner] = after[inner] - before[inner]
    result = np.asarray(normals, dtype=float) + change
    result /= np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-9)
    return np.where((change != 0).any(1)[:, None], result - normals, 0.0)


def _corner_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), the same for vertices at the same place: copies along seams shade alike."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(triangles[:, corner], face[:, axis], len(vertices))
    _, where = np.unique(np.round(vertices * 1e7).astype(np.int64), axis=0, return_inverse=True)
    where = where.reshape(-1)
    joined = np.stack([np.bincount(where, total[:, axis])[where] for axis in range(3)], axis=1)
    return joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-30)
