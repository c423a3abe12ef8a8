"""From the words of a command line to scans: files, depth maps, folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from headfield.errors import ConfigError, ScanError

if TYPE_CHECKING:
    from headfield.types import Scan

DepthUnit = Annotated[Literal["mm", "cm", "m", "inch"] | float, tyro.conf.arg(metavar="{mm,cm,m,inch}|METRES")]
"""Unit of depth values: a name, or metres per count."""


def is_depth_map(path: Path, intrinsics: Path | None) -> bool:
    """Whether a file is a depth map: by its suffix, or an array for which a camera is given."""
    suffix = path.suffix.lower()
    return suffix in (".png", ".exr") or (suffix == ".npy" and intrinsics is not None)


def read_any(
    path: Path, *, units: str | None, intrinsics: Path | None, depth_unit: str | float, crop: str | None = None
) -> Scan:
    """Read a scan or a depth map, or what lies in a box of it.

    Raises:
        ScanError: It cannot be read, or a depth map came without its camera.
        ConfigError: Options that do not go together.
    """
    from headfield.io.crop import as_box
    from headfield.io.depth import read_depth
    from headfield.io.scan import cropped, read_scan

    box = None if crop is None else as_box(crop).ravel()
    if not is_depth_map(path, intrinsics):
        return read_scan(path, units, crop=box)
    if intrinsics is None:
        if not path.exists():
            raise ScanError(f"{path}: no such file.")
        raise ScanError(
            f"{path}: a depth map needs its camera: --intrinsics camera.json with fx, fy, cx, cy in pixels."
        )
    if units is not None and units != (depth_unit if isinstance(depth_unit, str) else "m"):
        raise ConfigError(f"--units {units} and --depth-unit {depth_unit} disagree; a depth map takes --depth-unit.")
    scan = read_depth(path, intrinsics, depth_unit)
    return scan if box is None else cropped(scan, box)


def scans_in(folder: Path, intrinsics: Path | None) -> list[Path]:
    """Scan files of a folder, sorted, not of its sub-folders; depth maps only when a camera is given.

    Raises:
        ScanError: There are none.
    """
    from headfield.io.formats import FOLDER_SUFFIXES, in_folders

    pictures = (".png", ".exr") if intrinsics is not None else ()
    listed = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    found = [p for p in listed if in_folders(p) or p.suffix.lower() in pictures]
    if not found:
        raise ScanError(f"{folder}: no scans in this folder; looked for {' '.join((*FOLDER_SUFFIXES, *pictures))}.")
    return found


def neutral_numbers(said: tuple[str, ...], paths: list[Path]) -> tuple[int, ...] | None:
    """Which scans `--neutral-scan` names, from 0; None when it was not given, nothing for ``none``.

    Raises:
        ConfigError: There is no such scan, or more than one of that name.
    """
    from headfield.io.names import distinct_names

    if not said:
        return None
    names, found = distinct_names(paths), []
    known = [{str(path), name, path.name} for path, name in zip(paths, names)]
    known = [words | {str(Path(word).with_suffix("")) for word in words} for words in known]
    for word in said:
        if word == "none" and len(said) == 1:
            continue
        if word.isdigit() and 1 <= int(word) <= len(paths):
            same = [int(word) - 1]  # a file 2.ply can be named 2.ply
        else:
            same = [index for index, words in enumerate(known) if word in words or str(Path(word)) in words]
        if len(same) != 1:
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
            kind = "is the name of several scans; give a path or a number" if same else "is no scan that was given"
            raise ConfigError(f"--neutral-scan {word} {kind}: {listed}.")
        found += same
    return tuple(dict.fromkeys(found))
