"""Writing meshes by suffix: PLY and GLB with their extra per-vertex data, OBJ and STL as they are.

glTF is y-up and in metres, with counter-clockwise triangles; a mesh whose unit is stated is scaled to metres there.
The per-vertex mask ``seen`` (observed by the scan, not invented by the model) is kept as a PLY vertex property, and
in a GLB both as the custom attribute ``_SEEN`` (0 or 1) and as a second colour set ``COLOR_1`` to look at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from headfield.errors import ConfigError, OutputError
from headfield.frames import UNITS_IN_METRES
from headfield.io.gltf import pack_glb
from headfield.types import Mesh

MESH_OUT_SUFFIXES = (".ply", ".obj", ".stl", ".glb")
"""Suffixes that :func:`write_mesh` writes."""

SEEN_COLOUR = (224, 178, 146, 255)
INVENTED_COLOUR = (120, 150, 190, 255)
"""Colours of observed and of invented vertices in the second colour set, RGBA."""

_PLY_TYPES = {"b1": "uchar", "u1": "uchar", "i1": "char", "u2": "ushort", "i2": "short", "u4": "uint", "i4": "int"}
_PLY_TYPES |= {"f4": "float", "f8": "double"}


def write_mesh(mesh: Mesh, path: str | Path, *, unit: str | None = None) -> Path:
    """Write a mesh; the suffix decides the format. The file appears complete or not at all.

    Args:
        mesh: Vertices in `unit`, y up.
        path: ``.ply`` (binary; normals, colours and every attribute), ``.obj``, ``.stl`` (binary) or ``.glb``.
        unit: Unit of the vertices. PLY, OBJ and STL keep it (PLY and OBJ name it in a comment); GLB is scaled to
            metres. None writes the numbers as they are everywhere and names no unit.
    Returns:
        The path written.
    Raises:
        ConfigError: The suffix or the unit is unknown.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    check_mesh_suffix(path)
    if unit is not None and unit not in UNITS_IN_METRES:
        raise ConfigError(f"Unknown unit '{unit}': use one of {', '.join(UNITS_IN_METRES)}.")
    writer = {".ply": _ply_bytes, ".glb": _glb_bytes}.get(path.suffix.lower(), _trimesh_bytes)
    write_bytes(path, writer(mesh, path.suffix.lower(), unit))
    return path


def check_mesh_suffix(path: Path) -> None:
    """Refuse a mesh file name whose suffix cannot be written.

    Raises:
        ConfigError: The suffix is unknown.
    """
    if Path(path).suffix.lower() not in MESH_OUT_SUFFIXES:
        raise ConfigError(f"{path}: meshes are written as {', '.join(MESH_OUT_SUFFIXES)}; give one of these suffixes.")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole: to a temporary neighbour, then renamed into place.

    Raises:
        OutputError: The place cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def _made_by(unit: str | None) -> str:
    return "headfield" if unit is None else f"headfield unit {unit}"


def _ply_bytes(mesh: Mesh, suffix: str, unit: str | None) -> bytes:
    """Binary little-endian PLY with one record per vertex."""
    columns: list[tuple[str, np.ndarray]] = [(name, mesh.vertices[:, axis]) for axis, name in enumerate("xyz")]
    columns = [(name, np.asarray(values, dtype="<f4")) for name, values in columns]
    if mesh.normals is not None:
        columns += [(f"n{name}", np.asarray(mesh.normals[:, axis], "<f4")) for axis, name in enumerate("xyz")]
    if mesh.colours is not None:
        names = ("red", "green", "blue", "alpha")
        columns += [(name, np.asarray(mesh.colours[:, axis], np.uint8)) for axis, name in enumerate(names)]
    for name, values in mesh.attributes.items():
        values = np.asarray(values)
        flat = values.reshape(len(values), -1)
        names = [name] if flat.shape[1] == 1 else [f"{name}_{index}" for index in range(flat.shape[1])]
        columns += [(each, _ply_column(flat[:, index])) for index, each in enumerate(names)]
    records = np.empty(len(mesh.vertices), dtype=[(name, values.dtype) for name, values in columns])
    for name, values in columns:
        records[name] = values
    faces = np.empty(len(mesh.triangles), dtype=[("count", "u1"), ("index", "<i4", 3)])
    faces["count"], faces["index"] = 3, mesh.triangles
    header = ["ply", "format binary_little_endian 1.0", f"comment {_made_by(unit)}"]
    header += [f"element vertex {len(records)}"]
    header += [f"property {_PLY_TYPES[values.dtype.str[1:]]} {name}" for name, values in columns]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode("ascii") + records.tobytes() + faces.tobytes()


def _ply_column(values: np.ndarray) -> np.ndarray:
    """A column in a type that PLY has: booleans as uchar, 64-bit integers as int."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind in "iu":
        return values.astype("<i4") if values.dtype.itemsize > 2 else values.astype(values.dtype.newbyteorder("<"))
    return values.astype("<f4")


def _glb_bytes(mesh: Mesh, suffix: str, unit: str | None) -> bytes:
    """A binary glTF of one mesh."""
    positions = np.asarray(mesh.vertices, dtype=float) * UNITS_IN_METRES[unit or "m"]
    vertex_data = {"POSITION": positions.astype("<f4")}
    if mesh.normals is not None:
        vertex_data["NORMAL"] = np.asarray(mesh.normals, dtype="<f4")
    seen = mesh.attributes.get("seen")
    if mesh.colours is not None or seen is not None:
        white = np.full((len(positions), 4), 255, np.uint8)
        vertex_data["COLOR_0"] = white if mesh.colours is None else np.asarray(mesh.colours, np.uint8)
    if seen is not None:
        # colour sets must count up from 0, so COLOR_1 brings a white COLOR_0, which changes no viewer's picture
        choice = np.array([INVENTED_COLOUR, SEEN_COLOUR], dtype=np.uint8)
        vertex_data["COLOR_1"] = choice[np.asarray(seen, dtype=bool).astype(int)]
    for name, values in mesh.attributes.items():
        if np.ndim(values) == 1:  # application-specific attributes start with an underscore
            vertex_data[f"_{name.upper()}"] = np.asarray(values, dtype="<f4")
    return pack_glb(vertex_data, np.asarray(mesh.triangles))


def _trimesh_bytes(mesh: Mesh, suffix: str, unit: str | None) -> bytes:
    """OBJ and STL through trimesh."""
    import trimesh

    colours = None if suffix == ".stl" else mesh.colours
    shape = trimesh.Trimesh(mesh.vertices, mesh.triangles, vertex_colors=colours, process=False)
    if suffix == ".stl":
        return _bytes_of(shape.export(file_type="stl"))
    options = {
        "include_normals": mesh.normals is not None,
        "include_texture": False,
        "header": _made_by(unit),
    }
    if mesh.normals is not None:
        shape.vertex_normals = mesh.normals
    return _bytes_of(shape.export(file_type="obj", **options))


def _bytes_of(written: Any) -> bytes:
    """What trimesh writes: bytes, or text."""
    return written if isinstance(written, bytes) else written.encode()
