"""COLLADA (.dae), parsed by pycollada: surfaces as the scene places them, with colours of vertices and of pictures."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headfield.errors import ScanError, need
from headfield.io import guard
from headfield.io.gltf import linear_colours
from headfield.io.point_text import bytes_of
from headfield.io.polygons import triangulate
from headfield.io.raw import RawGeometry, joined
from headfield.io.textures import Material, Pictures, beside, settled, surface_colours
from headfield.io.xml_checked import check_tree

MOST_NODES = 10_000
"""Nodes that are gone through, as often as they are instanced."""

DEEPEST = 100
"""Levels of nodes."""

_PER_ENTRY = 300
"""Bytes that a corner of an instance takes on its way."""

_UNITS = {1.0: "m", 0.01: "cm", 0.001: "mm", 0.0254: "inch"}


def read_dae(path: Path) -> RawGeometry:
    """A COLLADA file in the unit that it states; its up axis is left as it is, as in every format.

    Raises:
        ScanError: It shows no surface, takes more memory than it may, or declares entities.
        MissingExtra: pycollada is not installed.
        Exception: It is damaged; for :func:`headfield.io.guard.reading` around.
    """
    collada = need("collada", "formats", "Reading COLLADA (.dae)")
    content = guard.content(path)
    if zipfile.is_zipfile(io.BytesIO(content)):  # the library would unpack it
        raise ScanError(f"{path}: a ZIP archive; rename it to {path.stem}.zip.")
    check_tree(path, content, len(content))
    document = collada.Collada(io.BytesIO(content), ignore=[collada.common.DaeError], aux_file_loader=lambda name: b"")
    pictures = Pictures(path, lambda name: beside(path, name))
    shown = list(_shown(path, document, collada))
    count = sum(len(primitive.index) for _, geometry, _ in shown for primitive in _surfaces(geometry, collada))
    guard.check_need(path, _PER_ENTRY * count, len(content), f"{len(shown):,} instances of {count:,} corners")
    parts = []
    for matrix, geometry, materials in shown:
        for primitive in _surfaces(geometry, collada):
            parts.append(_surface(primitive, materials, collada, pictures).placed(matrix))
    if not parts:
        raise ScanError(f"{path}: its scene shows no surface of triangles or polygons. Export it again.")
    metres = document.assetInfo.unitmeter if document.assetInfo is not None else None
    unit = next((name for size, name in _UNITS.items() if metres and abs(metres / size - 1) < 1e-6), None)
    raw = joined(settled(parts))
    if unit is None and metres and np.isfinite(metres) and metres > 0:
        raw, unit = replace(raw, points=raw.points * metres), "m"
    return replace(raw, units=unit, notes=tuple(pictures.notes.values()))


def _shown(path: Path, document, collada):
    """Geometries with their transforms (4, 4) and materials by symbol, as the scene shows them."""
    scene = collada.scene
    waiting, seen = [(node, np.eye(4), 0) for node in (document.scene.nodes if document.scene else ())], 0
    while waiting:
        node, matrix, depth = waiting.pop(0)
        seen += 1
        if seen > MOST_NODES or depth > DEEPEST:
            raise ScanError(
                f"{path}: more than {MOST_NODES:,} nodes, or {DEEPEST} levels of them. Export it as one mesh."
            )
        if isinstance(node, scene.GeometryNode):
            yield matrix, node.geometry, node.materials
        elif isinstance(node, scene.ControllerNode) and hasattr(node.controller, "geometry"):
            bind = getattr(node.controller, "bind_shape_matrix", None)
            yield (
                matrix if bind is None else matrix @ np.asarray(bind, dtype=float),
                node.controller.geometry,
                node.materials,
            )
        elif isinstance(node, scene.NodeNode):
            waiting.append((node.node, matrix, depth + 1))
        elif isinstance(node, scene.Node):
            inner = matrix @ np.asarray(node.matrix, dtype=float)
            waiting += [(child, inner, depth + 1) for child in node.children or ()]


def _surfaces(geometry, collada):
    kinds = (collada.triangleset.TriangleSet, collada.polylist.Polylist)
    for primitive in geometry.primitives:
        if isinstance(primitive, kinds) and primitive.vertex is not None and len(primitive.index):
            yield primitive


def _surface(primitive, materials, collada, pictures: Pictures) -> RawGeometry:
    """One primitive's triangles over the vertices that it uses."""
    points = np.asarray(primitive.vertex, dtype=float)
    flat = np.asarray(primitive.index).reshape(-1, np.shape(primitive.index)[-1])  # (corners, inputs)
    corners = flat[:, primitive.sources["VERTEX"][0][0]].astype(np.int64)
    if isinstance(primitive, collada.polylist.Polylist):
        cut = triangulate(points, corners, np.asarray(primitive.vcounts))
    else:
        cut = np.arange(len(corners)).reshape(-1, 3)
    used, index = np.unique(corners, return_inverse=True)
    if len(used) and (used[0] < 0 or used[-1] >= len(points)):
        raise ValueError(f"a face names vertex {used[-1]:,}, and there are {len(points):,}")
    bound = next((node for node in materials if node.symbol == primitive.material), None)
    material, channel = _material(bound, collada)
    uv = _input(primitive, flat, "TEXCOORD", channel)
    if uv is not None:
        uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]])  # COLLADA counts upwards
    own, colours = _input(primitive, flat, "COLOR", None), None
    if own is not None and own.shape[1] >= 3 and (material is None or material.picture is None):
        colours = bytes_of(_first(len(used), np.ravel(index), own[:, :3]))
    elif material is not None:
        number = np.zeros(len(corners), dtype=np.int64)
        colours = surface_colours(len(used), np.ravel(index), uv, number, {0: material}, pictures)
    return RawGeometry(points[used], triangles=np.ravel(index)[cut], colours=colours)


def _first(count: int, index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of every vertex the value of one of its corners."""
    found = np.zeros((count, values.shape[1]))
    found[index] = values
    return found


def _input(primitive, flat: np.ndarray, kind: str, channel: str | None) -> np.ndarray | None:
    """Values (C, K) of corners of one kind; of a set of that number if it is there, else of the first."""
    sources = primitive.sources.get(kind, [])
    if not sources:
        return None
    offset, _, _, _, source = next((held for held in sources if str(held[3] or 0) == channel), sources[0])
    values = np.asarray(source.data, dtype=float)
    index = flat[:, offset]
    if not len(values) or index.min() < 0 or index.max() >= len(values):
        return None
    return values[index]


def _material(bound, collada: Any) -> tuple[Material | None, str | None]:
    """A bound material, and the number of the set of texture coordinates that it asks for."""
    effect = getattr(getattr(bound, "target", None), "effect", None)
    diffuse = getattr(effect, "diffuse", None)
    if diffuse is not None and isinstance(diffuse, collada.material.Map):
        sampler = diffuse.sampler
        held = {child.tag.rpartition("}")[2]: (child.text or "").strip().upper() for child in sampler.xmlnode.iter()}
        names = {"WRAP": "repeat", "MIRROR": "mirror", "CLAMP": "clamp", "BORDER": "clamp", "NONE": "clamp"}
        across, down = (names.get(held.get(key, "WRAP"), "repeat") for key in ("wrap_s", "wrap_t"))
        asked = [inputs for inputs in bound.inputs or () if inputs[0] == diffuse.texcoord]
        material = Material(picture=sampler.surface.image.path, wrap=(across, down))
        return material, str(asked[0][2] or 0) if asked else None
    if diffuse is not None and len(diffuse) >= 3:
        value = np.clip(np.nan_to_num(np.asarray(diffuse[:3], dtype=float)), 0, 1)
        return Material(tuple(linear_colours(value[None] * 255)[0].tolist())), None
    return None, None
