"""What verbs share about saved heads with their 52 shapes: opening, baking with progress, and writing."""

from __future__ import annotations

from pathlib import Path

from headfield.errors import ConfigError

FEWEST, MOST = 500, 500_000
"""Vertices of a baked head."""


def check_vertices(vertices: int) -> None:
    """Refuse a number of vertices that makes no head, or no end.

    Raises:
        ConfigError: It is not within FEWEST..MOST.
    """
    if not FEWEST <= vertices <= MOST:
        raise ConfigError(f"--vertices {vertices}: choose between {FEWEST} and {MOST:,}.")


def open_head(path: Path, model: str | None = None, *, channels: tuple[str, ...] = ("arkit52",)):
    """The :class:`headfield.edit.record.SavedHead` in a file, if its expressions are of a kind that is wanted.

    Args:
        path: A saved fit or head.
        model: Name of the model, in place of the one that the file names.
        channels: Kinds of expression numbers that will do, see `ExpressionSpace.kind`.
    Raises:
        ScanError: No such file, not a head, damaged, or of a newer version.
        ConfigError: Its model does not speak the 52 ARKit channels.
        WeightsError: Its model is not here, or has weights that would make another head of it.
    """
    from headfield.edit.record import SavedHead

    saved = SavedHead.load(path, model)
    kind = saved.head.model.expression_space.kind
    if kind not in channels:
        raise ConfigError(f"{path}: its model's expression numbers are {kind!r}; the 52 ARKit channels are needed.")
    return saved


def bake_head(saved, vertices: int, say):
    """The head with its 52 shapes on one topology; see :func:`headfield.surface.bake.bake`.

    Args:
        saved: A SavedHead.
        vertices: About how many.
        say: Takes a line of progress.
    """
    from headfield.surface.bake import bake

    head = saved.head.neutral()
    progress = lambda share, what: say(f"Baking {what} ({share:.0%})")  # noqa: E731
    return bake(head.model, head.codes, vertices, progress)


def check_shapes_place(out: Path, unit: str | None) -> None:
    """Refuse a place or a unit that 52 shapes do not go into.

    Raises:
        ConfigError: The suffix or the unit will not do.
    """
    if out.suffix.lower() not in ("", ".glb"):
        raise ConfigError(
            f"{out}: 52 shapes fit into a .glb, or into a folder of OBJ files (a name without a suffix). "
            f"A {out.suffix} file holds one mesh: leave out --shapes for that."
        )
    if out.suffix and unit not in (None, "m"):
        raise ConfigError(f"--unit {unit}: a GLB with shapes is in metres by definition; OBJ folders take any unit.")


def write_shapes(
    path: Path, out: Path, vertices: int, *, unit: str | None = None, force: bool = False, model: str | None = None
) -> dict:
    """Bake a saved head and write it.

    Args:
        path: A saved fit or head.
        out: A ``.glb`` (metres, y up), or a folder (no suffix) for OBJ files in the head's own frame.
        vertices: About how many.
        unit: Of the OBJ files, default the head's own.
        force: Replace what exists.
        model: As in :func:`open_head`.
    Returns:
        Rows for a summary.
    Raises:
        ConfigError: The suffix, the unit or the number of vertices will not do.
        ScanError: There is no such head.
        OutputError: The place exists or cannot be written.
    """
    from headfield.cli.output import output_file, output_folder
    from headfield.cli.report import duration, working
    from headfield.io.mesh import write_bytes

    check_shapes_place(out, unit)
    check_vertices(vertices)
    glb = bool(out.suffix)
    with (output_file if glb else output_folder)(out, force=force) as temporary, working("Opening the head") as say:
        saved = open_head(path, model)
        baked = bake_head(saved, vertices, say)
        say("Writing")
        if glb:
            write_bytes(temporary, baked.glb(saved.mm_per_unit / 1000.0, saved.paint))
            size = temporary.stat().st_size
        else:
            size = sum(file.stat().st_size for file in _write_folder(baked, saved, temporary, unit))
    moving = int((baked.shapes != 0).any((1, 2)).sum())
    frame = "y up, z out of the face, metres" if glb else f"the head's own, {unit or saved.units}"
    return {
        "head": f"{len(baked.neutral):,} vertices, {len(baked.triangles):,} triangles, one topology",
        "shapes": f"52 ARKit channels, {moving} of them move",
        "frame": frame,
        "seconds": duration(sum(baked.report["seconds"].values())),
        "size": f"{size / 1e6:.1f} MB",
    }


def _write_folder(baked, saved, folder: Path, unit: str | None) -> list[Path]:
    """``neutral.obj`` and one OBJ for each channel; of the mouth's parts the same in folders of their own."""
    from headfield.cli.units import in_unit
    from headfield.io.mesh import write_mesh

    files = []
    for name, mesh in (*baked.named_meshes(), *baked.named_parts()):
        mesh, named = in_unit(mesh.transformed(saved.to_user), saved, unit)
        (folder / name).parent.mkdir(exist_ok=True)
        files.append(write_mesh(mesh, folder / f"{name}.obj", unit=named))
    return files


def write_share_page(path: Path, out: Path, vertices: int, say, model: str | None = None) -> tuple[int, int]:
    """Write the share page of a saved head; returns its vertices and the bytes of the page."""
    from headfield.io.mesh import write_bytes
    from headfield.view.share_page import page_of

    saved = open_head(path, model)
    baked = bake_head(saved, vertices, say)
    say("Packing the page")
    page = page_of(saved, baked, file=out.stem)
    write_bytes(out, page)
    return len(baked.neutral), len(page)
