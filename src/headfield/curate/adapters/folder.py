"""A plain folder of meshes: one sub-folder a person, or one person per file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from headfield.curate.subjects import NEUTRAL, Gathering, RawScan, Skipped, gathered
from headfield.errors import DataError
from headfield.io.formats import FOLDER_SUFFIXES, in_folders
from headfield.io.names import named_neutral

_ARCHIVES = (".zip", ".7z", ".rar", ".gz", ".tgz", ".tar", ".bz2", ".xz")
_COMPANIONS = (".mtl", ".jpg", ".jpeg", ".png", ".bin", ".bmp", ".tif", ".tiff", ".webp", ".exr")
_LANDMARKS = ".landmarks.json"


def people_in_folder(folder: str | Path) -> Gathering:
    """People of a folder: every sub-folder is one, and every scan file that lies beside them is one.

    A sub-folder's scans may lie in folders of their own. A scan's expression is its file's name (without the person's
    and without numbers), ``neutral`` where that word occurs and no other expression's, None when nothing of the name is
    left. ``NAME.landmarks.json`` beside ``NAME.ply`` is its landmarks. Hidden files are passed over silently.

    Args:
        folder: The folder.
    Raises:
        DataError: No such folder, no scans in it, or two people with one id.
    """
    folder = existing_folder(folder)
    skipped: list[Skipped] = []
    found: list[tuple[str, str, list[RawScan]]] = []
    for entry in visible(folder):
        if is_store(entry):
            skipped.append(Skipped(entry.name, "is a training store"))
        elif entry.is_dir():
            files = [file for file in walk(entry) if is_scan(file, folder, skipped)]
            if files:
                found.append((entry.name, str(entry), [_scan(file, entry.name) for file in files]))
            else:
                skipped.append(Skipped(entry.name, "is a folder without scans"))
        elif is_scan(entry, folder, skipped):
            found.append((entry.stem, str(entry), [_scan(entry, entry.stem)]))
    if not found:
        raise DataError(
            f"{folder}: no scans in it; looked for {' '.join(FOLDER_SUFFIXES)}, one sub-folder a person or one person "
            f"per file. {listed(skipped)}".rstrip()
        )
    return gathered(found, skipped)


def existing_folder(folder: str | Path) -> Path:
    """The folder as a path.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    folder = Path(folder)
    if folder.is_file():
        kind = "an archive: unpack it first and give its folder" if folder.suffix.lower() in _ARCHIVES else "a file"
        raise DataError(f"{folder}: {kind}, expected a folder of scans or a CSV that names them.")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"{folder}: cannot be read (permission denied).")
    return folder


def is_scan(file: Path, root: Path, skipped: list[Skipped]) -> bool:
    """Whether a file could be a scan, by its suffix and size; if not, why is appended to `skipped`."""
    suffix = file.suffix.lower()
    name = str(file.relative_to(root))
    if file.name.endswith(_LANDMARKS):
        return False
    if in_folders(file):
        try:
            if file.stat().st_size > 0:
                return True
            skipped.append(Skipped(name, "is empty (0 bytes)"))
        except OSError as error:
            skipped.append(Skipped(name, f"cannot be opened ({error.strerror})"))
    elif suffix in _ARCHIVES:
        skipped.append(Skipped(name, "is an archive: unpack it first"))
    elif suffix in _COMPANIONS:
        skipped.append(Skipped(name, "is a texture, picture or material"))
    else:
        skipped.append(Skipped(name, f"is no scan ({suffix or 'no suffix'})"))
    return False


def landmarks_beside(file: Path) -> Path | None:
    """``NAME.landmarks.json`` beside ``NAME.ply``, if it is there."""
    beside = file.with_name(file.stem + _LANDMARKS)
    return beside if beside.is_file() else None


def expression_of(stem: str, person: str = "") -> str | None:
    """What a file's name says of the expression: ``014_jaw_left`` -> ``jaw_left``, ``scan_03`` -> None."""
    words = [word for word in re.split(r"[\W_]+", stem.casefold()) if word and not word.isdigit()]
    if named_neutral(stem):
        return NEUTRAL
    owner = {word for word in re.split(r"[\W_]+", person.casefold())}
    words = [word for word in words if word not in owner and word.rstrip("0123456789") not in _NOTHING]
    return "_".join(words) or None


_NOTHING = {"", "scan", "mesh", "head", "face", "raw", "model", "points", "cloud", "obj", "ply", "frame", "take"}


def visible(folder: Path) -> list[Path]:
    """Entries of a folder in order, without hidden ones.

    Raises:
        DataError: It may not be read.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); allow it, or take the folder away.") from error


def is_store(folder: Path) -> bool:
    """Whether a folder is a training store, such as an earlier run made among the scans."""
    return folder.is_dir() and (folder / "store.json").is_file()


def walk(folder: Path) -> Iterator[Path]:
    """Files below a folder in order; hidden ones and folders that are links are passed over."""
    for entry in visible(folder):
        if entry.is_file():
            yield entry
        elif entry.is_dir() and not entry.is_symlink() and not is_store(entry):
            yield from walk(entry)


def listed(skipped: list[Skipped], most: int = 3) -> str:
    """The first few skipped things as a sentence, or nothing."""
    if not skipped:
        return ""
    more = f" and {len(skipped) - most} more" if len(skipped) > most else ""
    return "Passed over: " + "; ".join(f"{item.what} {item.reason}" for item in skipped[:most]) + more + "."


def _scan(file: Path, person: str) -> RawScan:
    return RawScan(file, expression_of(file.stem, person), landmarks=landmarks_beside(file))
