"""What each file format holds, before any cleaning: one reader per family of suffixes.

Parsing of OBJ, STL and glTF is trimesh's; this module only picks the arrays out and turns every failure into
a sentence. Polygons and strips become triangles. Nothing here ever unpickles.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import arrays, guard
from headfield.io.meshes import read_gltf, read_obj_scan, read_stl
from headfield.io.ply import Element, Lists, read_elements
from headfield.io.polygons import RESTART, triangulate, unstrip
from headfield.io.raw import RawGeometry

MESH_SUFFIXES = (".ply", ".obj", ".stl", ".glb", ".gltf")
SCAN_SUFFIXES = (*MESH_SUFFIXES, ".npy", ".npz", ".xyz")
"""Suffixes that :func:`read_raw` understands."""

_MAGIC = {b"ply": ".ply", b"glTF": ".glb", b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz", b"\x89PNG": ".png"}


def read_raw(path: Path) -> RawGeometry:
    """Read a file by its suffix.

    Raises:
        ScanError: The suffix is unknown, or the content is not what the suffix promises.
    """
    suffix = path.suffix.lower()
    if suffix not in SCAN_SUFFIXES:
        raise ScanError(
            f"{path}: scans are read from {' '.join(s[1:].upper() for s in SCAN_SUFFIXES)}, not from "
            f"'{suffix or 'a file without suffix'}'."
        )
    with guard.opened(path) as file:
        head = file.read(512)
    found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if found is not None and found != suffix:
        raise ScanError(f"{path}: named {suffix} but its content is {found}. Rename it to {path.stem}{found}.")
    readers = {
        ".ply": _read_ply, ".npy": _read_npy, ".npz": _read_npz, ".xyz": _read_xyz, ".obj": read_obj_scan,
        ".stl": read_stl, ".glb": read_gltf, ".gltf": read_gltf,
    }  # fmt: skip
    reader = readers[suffix]
    with guard.reading(path, suffix[1:].upper()):
        return reader(path)


_INDICES = ("vertex_indices", "vertex_index")
"""What exporters call the list of a face's or a strip's corners in PLY."""


def _read_ply(path: Path) -> RawGeometry:
    """PLY: vertices, faces of any number of corners, triangle strips."""
    elements = read_elements(path)
    vertex = elements.get("vertex", {})
    points, normals = _columns(vertex, ("x", "y", "z")), _columns(vertex, ("nx", "ny", "nz"))
    if points is None or not len(points):
        raise ScanError(f"{path}: holds no points (no element 'vertex' with x, y, z); it is empty or not a scan.")
    triangles = []
    if (polygons := _corner_lists(elements.get("face", {}))) is not None:
        corners = polygons.values.astype(np.int64)
        triangles.append(corners[triangulate(points, corners, polygons.counts)])
    if (strips := _corner_lists(elements.get("tristrips", {}))) is not None:
        values = strips.values.astype(np.int64)
        values[values == 2**32 - 1] = RESTART  # from a column of unsigned numbers
        ends = np.cumsum(strips.counts)
        triangles.append(unstrip(np.insert(values, ends[:-1], RESTART)))
    triangles = np.concatenate(triangles) if triangles else np.zeros((0, 3), dtype=np.int64)
    return RawGeometry(points, normals, triangles if len(triangles) else None, _ply_colours(vertex))


def _corner_lists(element: Element) -> Lists | None:
    found = next((element[name] for name in _INDICES if name in element), None)
    return found if isinstance(found, Lists) and len(found.counts) else None


def _columns(element: Element, names: tuple[str, ...]) -> np.ndarray | None:
    """Scalar properties side by side, (R, len(names)); None unless all are there."""
    found = [element.get(name) for name in names]
    return None if any(c is None or isinstance(c, Lists) for c in found) else np.column_stack(found)


def _ply_colours(vertex: Element) -> np.ndarray | None:
    """(N, 3 or 4) uint8; numbers with a point are 0 to 1."""
    names = ("red", "green", "blue", "alpha")
    colours = _columns(vertex, names)
    colours = _columns(vertex, names[:3]) if colours is None else colours
    if colours is not None and colours.dtype.kind == "f":
        colours = 255 * np.nan_to_num(colours)
    return None if colours is None else np.clip(colours, 0, 255).astype(np.uint8)


def _read_npy(path: Path) -> RawGeometry:
    array = arrays.npy(path)
    if array.ndim == 2 and min(array.shape) > 9:
        raise ScanError(
            f"{path}: a {array.shape[0]} x {array.shape[1]} array, which looks like a depth map. "
            "Pass the camera with --intrinsics camera.json; point clouds are (N, 3)."
        )
    return _from_columns(array.reshape(-1, array.shape[-1]) if array.ndim == 3 else array, path)


def _read_npz(path: Path) -> RawGeometry:
    with arrays.npz(path) as archive:
        names = {name.lower(): name for name in archive.files}

        def pick(*options):
            name = next((names[option] for option in options if option in names), None)
            return None if name is None else archive[name]

        points = pick("points", "vertices", "xyz", "v")
        if points is None and {"header", "identity"} & set(names):
            raise ScanError(
                f"{path}: a saved fit or head, not a scan: it can be edited, exported and viewed as it is, and "
                "`headfield export` makes a mesh of it. `headfield fit` can fit a fit.npz again, alone; other heads "
                "hold no points."
            )
        if points is None:
            raise ScanError(
                f"{path}: no array 'points' or 'vertices' in it (it holds {guard.shown(', '.join(archive.files))})."
            )
        units = pick("units", "unit")
        raw = _from_columns(points, path)
        normals, triangles = pick("normals", "vertex_normals"), pick("triangles", "faces", "f")
        colours = pick("colours", "colors", "vertex_colors")
    rows = (len(raw.points), 3)
    if normals is not None and (normals.shape != rows or normals.dtype.kind not in "fiu"):
        raise ScanError(f"{path}: normals of shape {normals.shape} and type {normals.dtype}, expected {rows} numbers.")
    if colours is not None and (colours.dtype != np.uint8 or colours.shape not in (rows, (rows[0], 4))):
        colours = None  # as one of a cloud's other properties, of no use here
    return RawGeometry(
        raw.points,
        raw.normals if normals is None else normals,
        triangles,
        colours,
        None if units is None or units.size != 1 else str(units.reshape(())[()]),
    )


def _read_xyz(path: Path) -> RawGeometry:
    """Text with x y z [nx ny nz | r g b] per line; separators are spaces, tabs, commas or semicolons."""
    with io.StringIO(guard.text(path)) as file:
        lines = [file.readline() for _ in range(3)]
        separator = next((c for c in ",;" if any(c in line for line in lines)), None)
        skip = 0
        while skip < 3 and not _is_numbers(lines[skip], separator):
            skip += 1  # headers such as "x y z" or a point count
        file.seek(0)
        table = np.loadtxt(file, delimiter=separator, skiprows=skip, comments=("#", "//"), ndmin=2)
    return _from_columns(table, path)


def _is_numbers(line: str, separator: str | None) -> bool:
    fields = line.strip().split(separator)
    try:
        return len([float(field) for field in fields if field.strip()]) >= 3
    except ValueError:
        return line.lstrip().startswith(("#", "//"))


def _from_columns(table: np.ndarray, path: Path) -> RawGeometry:
    """Points from columns 0-2; columns 3-5 are normals when they are unit vectors, colours when 0..255."""
    if table.ndim != 2 or table.shape[1] < 3 or table.dtype.kind not in "fiu":
        raise ScanError(f"{path}: an array of shape {table.shape} and type {table.dtype}; points are (N, 3) numbers.")
    points, extra = table[:, :3], table[:, 3:6]
    if extra.shape[1] < 3 or len(extra) == 0:
        return RawGeometry(points)
    length = np.linalg.norm(np.asarray(extra[:10_000], dtype=float), axis=1)
    if np.median(np.abs(length - 1)) < 0.01:
        return RawGeometry(points, normals=extra)
    if np.nanmin(extra) >= 0 and np.nanmax(extra) <= 255 and np.nanmax(extra) > 1:
        return RawGeometry(points, colours=np.asarray(extra, dtype=np.uint8))
    return RawGeometry(points)


def read_json(path: Path, purpose: str) -> dict:
    """A JSON object from a file.

    Raises:
        ScanError: The file is missing or holds no JSON object; `purpose` says what it was needed for.
    """
    try:
        content = guard.json_of(path)
    except ScanError as error:
        raise ScanError(f"{purpose}: {error}") from error
    if not isinstance(content, dict):
        raise ScanError(f"{purpose}: {path} holds a {type(content).__name__}, expected an object {{...}}.")
    return content
