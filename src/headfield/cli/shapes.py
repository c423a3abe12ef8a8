"""``headfield export --shapes``: a saved head as blendshapes, for animation tools."""

from __future__ import annotations

from pathlib import Path

from headfield.errors import ConfigError, ScanError

FEWEST, MOST = 500, 500_000
"""Vertices of a baked head."""


def write_shapes(path: Path, out: Path, vertices: int, *, unit: str | None = None, force: bool = False) -> dict:
    """Bake a saved head and write it.

    Args:
        path: fit.npz, or its folder.
        out: A ``.glb``, or a folder (no suffix) for OBJ files.
        vertices: About how many.
        unit: Of the OBJ files, default metres; a GLB is in metres by definition.
        force: Replace what exists.
    Returns:
        Rows for a summary.
    Raises:
        ConfigError: The suffix, the unit or the number of vertices will not do.
        ScanError: There is no such head.
        OutputError: The place exists or cannot be written.
    """
    glb = out.suffix.lower() == ".glb"
    if not glb and out.suffix:
        raise ConfigError(
            f"{out}: 52 shapes fit into a .glb, or into a folder of OBJ files (a name without a suffix). "
            f"A {out.suffix} file holds one mesh: leave out --shapes for that."
        )
    if glb and unit not in (None, "m"):
        raise ConfigError(f"--unit {unit}: a GLB with shapes is in metres by definition; OBJ folders take any unit.")
    if not FEWEST <= vertices <= MOST:
        raise ConfigError(f"--vertices {vertices}: choose between {FEWEST} and {MOST:,}.")
    path = path / "fit.npz" if path.is_dir() else path
    if not path.is_file():
        raise ScanError(f"{path}: no such file. Give the fit.npz that `headfield fit` wrote, or its folder.")
    from headfield.cli.output import output_file, output_folder
    from headfield.cli.report import duration, working

    with (output_file if glb else output_folder)(out, force=force) as temporary:
        from headfield.fit.result import Fit
        from headfield.surface.bake import bake

        with working("Opening the head") as say:
            fit = Fit.load(path)
            baked = bake(
                fit.model, fit.codes(neutral=True), vertices, lambda share, what: say(f"Baking {what} ({share:.0%})")
            )
            metres = fit.scans[0].mm_per_unit / 1000.0
            say("Writing")
            if glb:
                size = _write_glb(baked, temporary, metres)
            else:
                size = _write_folder(baked, temporary, metres, unit or "m")
    active = int((baked.shapes != 0).any((1, 2)).sum())
    return {
        "head": f"{len(baked.neutral):,} vertices, {len(baked.triangles):,} triangles, one topology",
        "shapes": f"52 ARKit channels, {active} of them move",
        "frame": f"y up, z out of the face, {'metres' if glb else unit or 'm'}",
        "seconds": duration(sum(baked.report["seconds"].values())),
        "size": f"{size / 1e6:.1f} MB",
    }


def _write_glb(baked, path: Path, metres: float) -> int:
    from dataclasses import replace

    from headfield.io.gltf import glb_of_morphs
    from headfield.io.mesh import write_bytes
    from headfield.surface.bake import unwrapped
    from headfield.types import ARKIT

    baked = unwrapped(baked)
    eyes = [replace(eye, centre=eye.centre * metres, radius=eye.radius * metres) for eye in baked.eyes]
    content = glb_of_morphs(
        baked.neutral * metres, baked.triangles, baked.normals, baked.shapes * metres, ARKIT, uv=baked.uv, eyes=eyes
    )
    write_bytes(path, content)
    return len(content)


def _write_folder(baked, folder: Path, metres: float, unit: str) -> int:
    """``neutral.obj`` and one OBJ for each channel."""
    from dataclasses import replace

    import numpy as np

    from headfield.frames import UNITS_IN_METRES
    from headfield.io.mesh import write_mesh
    from headfield.types import ARKIT

    scale, size = metres / UNITS_IN_METRES[unit], 0
    for index, name in enumerate(("neutral", *ARKIT)):
        mesh = baked.mesh(None if index == 0 else np.eye(len(ARKIT))[index - 1])
        path = write_mesh(replace(mesh, vertices=mesh.vertices * scale), folder / f"{name}.obj", unit=unit)
        size += path.stat().st_size
    return size
