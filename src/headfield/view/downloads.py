"""Files that the viewer hands to the browser, by the names of its export menu."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.edit.record import SavedHead
from headfield.frames import UNITS_IN_METRES
from headfield.surface.bake import Baked
from headfield.types import ARKIT, Mesh

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
    glb = _glb(saved, shapes)
    if what == ANIMATED:
        return f"{stem}.glb", glb
    from headfield.view.region_colours import region_index
    from headfield.view.share_page import share_page

    regions = region_index(shapes.neutral, saved.head.neutral().anchors())
    return f"{stem}.html", share_page(glb, title=stem, regions=regions, file=stem).encode()


def _through_a_file(name: str, write: Callable[[Path], object]) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="headfield-") as folder:
        path = Path(folder) / name
        write(path)
        return name, path.read_bytes()


def _glb(saved: SavedHead, baked: Baked) -> bytes:
    from headfield.io.gltf import glb_of_morphs

    scale = saved.mm_per_unit / 1000.0
    eyes = tuple(replace(eye, centre=eye.centre * scale, radius=eye.radius * scale) for eye in baked.eyes)
    return glb_of_morphs(
        baked.neutral * scale, baked.triangles, baked.normals, baked.shapes * scale, ARKIT, uv=baked.uv, eyes=eyes
    )


def _zipped(saved: SavedHead, baked: Baked) -> bytes:
    """One OBJ per shape with the same topology, in the user's frame and unit."""
    from headfield.io.mesh import write_mesh

    buffer = io.BytesIO()
    unit = saved.units if saved.units in UNITS_IN_METRES else None
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, name in enumerate(("neutral", *ARKIT)):
            if index and not np.any(baked.shapes[index - 1]):
                continue
            vertices = baked.neutral if index == 0 else baked.neutral + baked.shapes[index - 1]
            mesh = Mesh(vertices.astype(float), baked.triangles).transformed(saved.to_user)
            archive.writestr(
                f"{name}.obj", _through_a_file("shape.obj", lambda path, m=mesh: write_mesh(m, path, unit=unit))[1]
            )
    return buffer.getvalue()
