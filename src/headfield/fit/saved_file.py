"""Which file is meant where a saved fit or head is asked for, and what a user may have given in its place."""

from __future__ import annotations

import zipfile
from pathlib import Path

from headfield.errors import ScanError
from headfield.io.formats import MESH_SUFFIXES

FIT = "fit.npz"
"""Name of the file that `headfield fit` writes."""


def saved_file(path: str | Path, kind: str, wanted: str) -> Path:
    """The NPZ archive at a path, or the fit.npz of a folder.

    Args:
        path: The file, or a folder that `headfield fit` wrote.
        kind: What it should be, for the message: ``a fit``.
        wanted: What to give instead, for the message.
    Raises:
        ScanError: There is none, it is a mesh or a scan, or no archive.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / FIT).is_file():
            raise ScanError(f"{path}: a folder without {FIT}; {wanted}.")
        path = path / FIT
    if not path.is_file():
        raise ScanError(f"{path}: no such file; {wanted}.")
    if zipfile.is_zipfile(path):  # an NPZ is a zip; numpy would open, or misname, other things
        return path
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise ScanError(f"{path}: not {kind}: no NPZ archive, or a damaged one; {wanted}.")
    beside = path.with_name(FIT)
    advice = f"Give {beside}, which lies beside it." if beside.is_file() else (
        f"Fit it first: headfield fit {path.name} --out fitted, then give fitted/{FIT}."
    )  # fmt: skip
    raise ScanError(f"{path}: a mesh or a scan, not {kind}, which has a code that can be changed. {advice}")


def fit_at(path: str | Path) -> Path | None:
    """The saved fit at a path, or in the folder there; None where something else is, or nothing."""
    path = Path(path)
    path = path / FIT if path.is_dir() else path
    return path if path.suffix.lower() == ".npz" and path.is_file() and holds_a_fit(path) else None


def holds_a_fit(path: Path) -> bool:
    """Whether an NPZ holds a fit, as far as its list of contents tells."""
    return {"header", "scan0_points"} <= _contents(path)


def holds_a_head(path: Path) -> bool:
    """Whether an NPZ holds codes (a fit, an edited head, drawn heads) rather than points; so says a damaged one, too,
    since the reader of heads says best what is wrong."""
    return bool({"header", "identity", ""} & _contents(path))


def _contents(path: Path) -> set[str]:
    """Names of an NPZ's arrays; an empty name for a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return {""}
