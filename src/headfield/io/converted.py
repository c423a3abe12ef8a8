"""Formats that a program of its own reads: USD by usd-core, VTK by vtk, FBX by Blender or Assimp. What it made is read
guarded."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.errors import MissingExtra, ScanError
from headfield.io import arrays, guard
from headfield.io.apart import run, run_script
from headfield.io.archives import unpacked
from headfield.io.gltf import srgb_colours
from headfield.io.meshes import read_gltf, read_obj_scan
from headfield.io.polygons import triangulate, unstrip
from headfield.io.raw import RawGeometry
from headfield.io.textures import Material, Pictures, beside, settled, surface_colours

_UNITS = {1.0: "m", 0.01: "cm", 0.001: "mm", 0.0254: "inch"}
_LAYERS = (".usd", ".usda", ".usdc")


def read_usd(path: Path) -> RawGeometry:
    """USD (.usd, .usda, .usdc): what its stage shows, in the unit that it states.

    Raises:
        ScanError: It shows nothing, names layers outside of its folder, is damaged, or takes too much memory or time.
        MissingExtra: usd-core is not installed.
    """
    _need("pxr", "usd-core", "Reading USD")
    guard.opened(path).close()
    with tempfile.TemporaryDirectory(prefix="headfield-") as made:
        out = Path(made) / "usd.npz"
        run_script("usd_apart.py", path, out)
        with arrays.npz(out) as held:
            header = json.loads(str(held["header"][()]))
            table = {name: held[name] for name in held.files if name != "header"}
    materials = {
        number: Material(
            tuple(np.clip(np.nan_to_num(one["factor"]), 0, 1)), one["picture"], tuple(one["wrap"]), one["linear"]
        )
        for number, one in enumerate(header["materials"])
    }
    pictures = Pictures(path, lambda name: beside(path, name))
    points, corners, counts = table["points"], table["corners"].astype(np.int64), table["counts"].astype(np.int64)
    cut = triangulate(points, corners, counts)
    if len(cut):
        flip = np.repeat(table["flips"].astype(bool), counts)[cut[:, 0]]
        cut[flip] = cut[flip][:, ::-1]
    uv = table["uv"] * [1, -1] + [0, 1]  # USD counts upwards
    owner = np.repeat(table["materials"].astype(np.int64), counts)
    own = _displayed(len(points), corners, table["colours"], owner < 0)
    colours = own
    if materials and len(corners):
        colours = surface_colours(len(points), corners, uv, owner, materials, pictures)
        if own is not None:
            bare = np.unique(corners[(owner < 0) & (corners >= 0) & (corners < len(points))])
            colours[bare] = own[bare]
    raw = RawGeometry(points, triangles=corners[cut] if len(cut) else None, colours=colours)
    unit = next(
        (name for size, name in _UNITS.items() if header["metres"] and abs(header["metres"] / size - 1) < 1e-6), None
    )
    return replace(settled([raw])[0], units=unit, notes=(*header["notes"], *pictures.notes.values()))


def _displayed(count: int, corners: np.ndarray, colours: np.ndarray, bare: np.ndarray) -> np.ndarray | None:
    """Colours of vertices by `displayColor`, linear light; None where no corner without a material has one."""
    known = bare & np.isfinite(colours).all(axis=1) & (corners >= 0) & (corners < count)
    if not known.any():
        return None
    found = np.ones((count, 3))
    found[corners[known]] = colours[known]
    return srgb_colours(found)


def read_usdz(path: Path) -> RawGeometry:
    """USDZ: its first file, which is the stage, with the files beside it.

    Raises:
        ScanError: As :func:`read_usd`; or it is no USDZ.
    """
    _need("pxr", "usd-core", "Reading USDZ")
    with guard.opened(path) as file, unpacked(path, file, None) as (folder, names):
        first = next((name for name in names if Path(name).suffix.lower() in _LAYERS), None)
        if first is None:
            raise ScanError(f"{path}: a ZIP archive without a USD file in it; it is no USDZ. Export it again.")
        # layers name one another from where they lie, which may be above the first one
        stage = folder / first
        try:
            with guard.packed_in(file.seek(0, 2)):
                raw = read_usd(stage)
        except ScanError as error:
            raise ScanError(str(error).replace(f"{stage}", str(path))) from error
    return replace(raw, notes=tuple(note.replace(f"{stage}: ", "").replace(f"{folder}/", "") for note in raw.notes))


def read_vtk(path: Path) -> RawGeometry:
    """VTK's legacy files (.vtk) and PolyData in XML (.vtp).

    Raises:
        ScanError: It holds no points, is damaged, or takes too much memory or time.
        MissingExtra: vtk is not installed.
    """
    _need("vtkmodules", "vtk", "Reading VTK files")
    with guard.opened(path) as file:
        begin = file.read(2**20)
    if (
        re.search(rb"<!\s*(?:DOCTYPE|ENTITY)", begin.replace(b"\0", b""), re.IGNORECASE)
        and path.suffix.lower() == ".vtp"
    ):
        raise ScanError(
            f"{path}: declares a document type or entities, which are never expanded. Export it again without."
        )
    with tempfile.TemporaryDirectory(prefix="headfield-") as made:
        out = Path(made) / "vtk.npz"
        run_script("vtk_apart.py", path, out)
        with arrays.npz(out) as held:
            table = {name: held[name] for name in held.files}
    points, triangles = table["points"], []
    if len(table.get("corners", ())):
        triangles.append(table["corners"][triangulate(points, table["corners"], table["counts"])])
    if len(table.get("strips", ())):
        triangles.append(unstrip(table["strips"]))
    whole = np.concatenate(triangles) if triangles else np.zeros((0, 3), np.int64)
    return RawGeometry(points, table.get("normals"), whole if len(whole) else None, table.get("colours"))


def read_fbx(path: Path) -> RawGeometry:
    """FBX, made GLB by Blender or Assimp, whichever is found on the PATH; no script of the file is run.

    Raises:
        ScanError: Neither is found, or it fails, or takes too long.
    """
    with guard.opened(path) as file:
        written = not file.read(20).startswith(b"Kaydara FBX Binary")
    blender, assimp = shutil.which("blender"), shutil.which("assimp")
    if written and assimp is None:
        raise ScanError(
            f"{path}: an FBX of text (or none), which Blender does not read. Export it as binary FBX, or as GLB."
        )
    if blender is None and assimp is None:
        raise ScanError(
            f"{path}: FBX is read by Blender or Assimp, and neither is found on the PATH (blender, assimp). Install "
            "one, or export it as GLB."
        )
    by_blender = blender is not None and not written
    with tempfile.TemporaryDirectory(prefix="headfield-") as made:
        if by_blender:
            script, out = Path(__file__).with_name("blender_apart.py"), Path(made) / "scan.obj"
            words = [blender, "--background", "--factory-startup", "--disable-autoexec", "--python-exit-code", "3"]
            words += ["--python", str(script), "--", str(path.absolute()), made]
        else:
            out = Path(made) / "scan.glb"
            words = [assimp, "export", str(path.absolute()), str(out)]
        said = run(words, path, cwd=Path(made), home=Path(made))
        if not out.is_file():
            raise ScanError(f"{path}: the program that reads FBX made nothing of it: it is damaged or holds no mesh.")
        try:
            raw = read_obj_scan(out) if by_blender else read_gltf(out)
        except ScanError as error:
            raise ScanError(
                f"{path}: what was made of it cannot be read: {str(error).replace(f'{out}: ', '')}"
            ) from error
    missing = re.findall(r"^headfield-missing: (.*)$", said, re.MULTILINE)
    notes = [
        f"The picture {guard.shown(repr(name), 80)} is missing, so its colours are left out: put it beside the scan."
        for name in missing
    ]
    return replace(raw, units="m" if by_blender else None, notes=(*raw.notes, *notes))


def _need(module: str, package: str, purpose: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f"{purpose} needs {package}: pip install 'headfield[formats]'.")
