"""Meshes and scenes that trimesh parses: OBJ, STL, OFF, GLB, GLTF. This module picks the arrays out of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.gltf import srgb_colours
from headfield.io.gltf_check import checked_gltf
from headfield.io.gltf_colours import GltfColours
from headfield.io.obj import plain_text, plain_triangles
from headfield.io.obj_colours import obj_colours, without_materials
from headfield.io.raw import RawGeometry, corners_merged, joined
from headfield.io.textures import settled

_PER_LINE = 100
"""Bytes that a line of an OBJ file takes on its way."""


def read_obj_scan(path: Path) -> RawGeometry:
    """OBJ: all of it as one surface, coloured by its material files, else by colours behind its vertices."""
    content = plain_text(guard.content(path))
    lines = content.count(b"\nv") + content.count(b"\nf")
    guard.check_need(path, _PER_LINE * lines, len(content), f"{lines:,} lines of vertices and faces")
    content = plain_triangles(content)
    options = {"skip_materials": True, "maintain_order": True}
    raw = joined([part for part, _ in _parts(path, without_materials(content), "obj", **options)])
    colours, notes = obj_colours(path, content, len(raw.points))
    if colours is None or (colours == colours[:1]).all():  # of one colour, which says nothing
        return replace(raw, notes=notes)
    return replace(raw, colours=colours, notes=notes)


def read_stl(path: Path) -> RawGeometry:
    """STL; it repeats every vertex for each of its triangles."""
    raw = joined([part for part, _ in _parts(path, guard.content(path), "stl")])
    return raw if raw.triangles is None else corners_merged(raw)


def read_gltf(path: Path) -> RawGeometry:
    """GLB and GLTF: metres; what is instanced is there as often as it is shown."""
    gltf = checked_gltf(path)
    skins = GltfColours(path, gltf)
    kind = "glb" if gltf.content.startswith(b"glTF") else "gltf"
    parts = []
    for part, geometry in _parts(path, skins.content(), kind, skip_materials=True, resolver=_Beside(path)):
        colours = part.colours if (found := skins.of(geometry, part.colours)) is None else found
        parts.append(replace(part, colours=None if colours is None else srgb_colours(colours)))
    parts = settled(parts) if skins.tells else parts
    return replace(joined(parts), units="m", notes=tuple(skins.pictures.notes.values()))


class _Beside:
    """For the parser of glTF: files that lie beside one, by the names that it gives them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, name: str) -> bytes:
        return guard.content(guard.neighbour(self.path, name))

    get = __getitem__


def _parts(path: Path, content: bytes, kind: str, **options):
    """Geometries of a file with their scene's transforms applied, each with trimesh's object.

    Raises:
        ScanError: There are none.
    """
    import trimesh

    loaded = trimesh.load(io.BytesIO(content), file_type=kind, process=False, **options)
    if isinstance(loaded, trimesh.Scene):
        placed = [loaded.graph[node] for node in loaded.graph.nodes_geometry]
        shown = [(loaded.geometry[name], transform) for transform, name in placed]
    else:
        shown = [(loaded, np.eye(4))]
    parts = [(part.placed(matrix), geometry) for geometry, matrix in shown if (part := _arrays(geometry)) is not None]
    if not parts:
        raise ScanError(f"{path}: holds no points and no triangles; it is empty or not {kind.upper()}.")
    return parts


def _arrays(geometry) -> RawGeometry | None:
    """Arrays of one trimesh Trimesh or PointCloud; None for anything else (paths)."""
    points = getattr(geometry, "vertices", None)
    if points is None or len(points) == 0 or np.shape(points)[1] != 3:
        return None
    points = np.array(points)
    triangles = getattr(geometry, "faces", None)
    triangles = None if triangles is None or len(triangles) == 0 else np.array(triangles)
    if triangles is not None:
        # only normals that the file states: computing them is the caller's choice
        normals = geometry.vertex_normals if "vertex_normals" in geometry._cache.cache else None
        visual = geometry.visual
        colours = visual.vertex_colors if visual is not None and visual.kind == "vertex" else None
    else:
        normals, colours = None, getattr(geometry, "colors", None)
    normals = None if normals is None or np.shape(normals) != points.shape else np.array(normals)
    colours = None if colours is None or len(colours) != len(points) else np.array(colours, dtype=np.uint8)
    return RawGeometry(points, normals, triangles, colours)
