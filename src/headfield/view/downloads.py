"""Files that the viewer hands to the browser, by the names of its export menu."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from headfield.edit.record import SavedHead
from headfield.frames import UNITS_IN_METRES
from headfield.surface.baked import Baked

MESHES = {"PLY mesh": ".ply", "OBJ mesh": ".obj", "STL mesh": ".stl", "GLB mesh": ".glb"}
ANIMATED = "GLB with 52 shapes"
FOLDER = "OBJ per shape (zip)"
PAGE = "Share page (HTML)"
HEAD = "Head with history (NPZ)"
FORMATS = (*MESHES, ANIMATED, FOLDER, PAGE, HEAD)
"""Everything that can be exported; the last is what `headfield edit` and `headfield view` open again."""

BAKED = (ANIMATED, FOLDER, PAGE)
"""Formats that need the head's blendshapes."""


def file_of(
    what: str, saved: SavedHead, resolution: int, baked: Callable[[], Baked], stem: str = "head"
) -> tuple[str, bytes]:
    """Name and content of a file.

    Args:
        what: One of FORMATS.
        saved: The head.
        resolution: For the meshes.
        baked: Makes the blendshapes when they are needed.
        stem: Of the file's name.
    """
    if what in MESHES:
        from headfield.io.mesh import write_mesh

        mesh = saved.mesh(resolution)
        unit = saved.units if saved.units in UNITS_IN_METRES else None
        return _through_a_file(stem + MESHES[what], lambda path: write_mesh(mesh, path, unit=unit))
    if what == HEAD:
        return _through_a_file(f"{stem}.npz", saved.save)
    shapes = baked()
    if what == FOLDER:
        return f"{stem}_shapes.zip", _zipped(saved, shapes)
    if what == ANIMATED:
        return f"{stem}.glb", shapes.glb(saved.mm_per_unit / 1000.0, saved.paint)
    from headfield.view.share_page import page_of

    return f"{stem}.html", page_of(saved, shapes, file=stem)


def _through_a_file(name: str, write: Callable[[Path], object]) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="headfield-") as folder:
        path = Path(folder) / name
        write(path)
        return name, path.read_bytes()


def _zipped(saved: SavedHead, baked: Baked) -> bytes:
    """One OBJ per shape, of one topology, and the mouth's parts in folders of their own; the user's frame and unit."""
    from headfield.io.mesh import write_mesh

    buffer = io.BytesIO()
    unit = saved.units if saved.units in UNITS_IN_METRES else None
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mesh in (*baked.named_meshes(), *baked.named_parts()):
            placed = mesh.transformed(saved.to_user)
            archive.writestr(
                f"{name}.obj", _through_a_file("shape.obj", lambda path, m=placed: write_mesh(m, path, unit=unit))[1]
            )
    return buffer.getvalue()
