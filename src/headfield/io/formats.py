"""What each file format holds, before any cleaning: one reader per family of suffixes.

This module is the table of them, with the readers of PLY and of NumPy's arrays; the others stand in modules beside it.
They only pick arrays out and turn every failure into a sentence. Polygons and strips become triangles. Nothing here
ever unpickles. ``docs/formats.md`` has the same table for users.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import archives, arrays, guard
from headfield.io.collada_scan import read_dae
from headfield.io.converted import read_fbx, read_usd, read_usdz, read_vtk
from headfield.io.meshes import read_gltf, read_obj_scan, read_stl
from headfield.io.off import read_off
from headfield.io.pcd import read_pcd
from headfield.io.ply import Element, Lists, columns, read_elements
from headfield.io.point_text import from_columns, read_point_text
from headfield.io.polygons import RESTART, triangulate, unstrip
from headfield.io.raw import RawGeometry
from headfield.io.splats import is_splat, opaque_centres
from headfield.io.threemf import read_3mf
from headfield.io.vrml import read_wrl

_MAGIC = {
    b"ply": (".ply",), b"glTF": (".glb",), b"\x93NUMPY": (".npy",), b"PK\x03\x04": (".npz", ".zip", ".3mf", ".usdz"),
    b"\x89PNG": (".png",), b"\x1f\x8b": (".gz",), b"PXR-USDC": (".usdc", ".usd"), b"#usda": (".usda", ".usd"),
    b"#VRML": (".wrl",), b"# vtk DataFile": (".vtk",), b"Kaydara FBX Binary": (".fbx",), b"# .PCD": (".pcd",),
}  # fmt: skip
"""How files of some formats begin, and the suffixes that they may have."""


def read_raw(path: Path) -> RawGeometry:
    """Read a file by its suffix.

    Raises:
        ScanError: The suffix is unknown, or the content is not what the suffix promises.
        MissingExtra: A library that reads it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SCAN_SUFFIXES:
        raise ScanError(
            f"{path}: scans are read from {' '.join(s[1:].upper() for s in SCAN_SUFFIXES)}, not from "
            f"'{suffix or 'a file without suffix'}'."
        )
    with guard.opened(path) as file:
        head = file.read(512)
    found = next((kinds for magic, kinds in _MAGIC.items() if head.startswith(magic)), (suffix,))
    if suffix not in found:
        raise ScanError(f"{path}: named {suffix} but its content is {found[0]}. Rename it to {path.stem}{found[0]}.")
    with guard.reading(path, suffix[1:].upper()):
        return READERS[suffix](path)


_INDICES = ("vertex_indices", "vertex_index")
"""What exporters call the list of a face's or a strip's corners in PLY."""


def _read_ply(path: Path) -> RawGeometry:
    """PLY: vertices, faces of any number of corners, triangle strips."""
    elements = read_elements(path)
    vertex = elements.get("vertex", {})
    if is_splat(elements):
        return opaque_centres(path, vertex)
    points, normals = columns(vertex, ("x", "y", "z")), columns(vertex, ("nx", "ny", "nz"))
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


def _ply_colours(vertex: Element) -> np.ndarray | None:
    """(N, 3 or 4) uint8; numbers with a point are 0 to 1."""
    names = ("red", "green", "blue", "alpha")
    colours = columns(vertex, names)
    colours = columns(vertex, names[:3]) if colours is None else colours
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
    return from_columns(array.reshape(-1, array.shape[-1]) if array.ndim == 3 else array, path)


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
        raw = from_columns(points, path)
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


READERS: dict[str, Callable[[Path], RawGeometry]] = {
    ".ply": _read_ply,
    ".obj": read_obj_scan,
    ".stl": read_stl,
    ".off": read_off,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".3mf": read_3mf,
    ".dae": read_dae,
    ".wrl": read_wrl,
    ".vtk": read_vtk,
    ".vtp": read_vtk,
    **dict.fromkeys((".usd", ".usda", ".usdc"), read_usd),
    ".usdz": read_usdz,
    ".fbx": read_fbx,
    ".npy": _read_npy,
    ".npz": _read_npz,
    **dict.fromkeys((".xyz", ".pts", ".asc", ".txt", ".csv"), read_point_text),
    ".pcd": read_pcd,
}
"""The reader of each suffix."""

_INNER = tuple(READERS)
READERS[".zip"] = partial(archives.read_zip, suffixes=_INNER, read=read_raw)
READERS[".gz"] = partial(archives.read_gz, suffixes=_INNER, read=read_raw)

SCAN_SUFFIXES = tuple(READERS)
"""Suffixes that :func:`read_raw` understands."""

MESH_SUFFIXES = tuple(suffix for suffix in _INNER if suffix not in (".npy", ".npz"))
"""Suffixes of meshes and clouds that are no arrays of ours and no archives."""


FOLDER_SUFFIXES = tuple(suffix for suffix in _INNER if suffix not in archives.VAGUE)
"""Suffixes of scans that are looked for where a folder is given."""


def in_folders(path: Path) -> bool:
    """Whether a file is taken for a scan where a folder is given: by its suffix, if nothing else has that.

    Tables and notes (.txt, .csv, .asc) that lie in a folder are no scans; archives are if they hold one scan.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return archives.holds_one(path, FOLDER_SUFFIXES)
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
    return suffix in FOLDER_SUFFIXES
