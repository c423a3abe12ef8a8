"""Archives: the one scan in a ZIP, and what a GZ holds, unpacked into a folder of their own with everything counted.

What an archive states of itself is checked before anything is unpacked, and counted again while it is; names that lead
elsewhere and archives in archives are refused. What is unpacked may be a fourth of the memory that a file of the
archive's size may take, since reading it takes some times its size; a sixteenth where it was packed as no scan can be.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.raw import RawGeometry

PACKED = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst")
"""Suffixes of archives."""

COMPANIONS = (".mtl", ".bin", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff", ".webp")
"""Files that a scan may name."""

VAGUE = (".txt", ".csv", ".asc")
"""Suffixes of points that other texts have, too: taken only where nothing else is."""

MOST_MEMBERS = 10_000
_TIMES, _TIMES_DENSE, _DENSE = 4, 16, 10
"""Memory for the content's size; and the same for content that is more than so many times the archive."""

_CHUNK = 2**20

Read = Callable[[Path], RawGeometry]


def read_zip(path: Path, suffixes: Sequence[str], read: Read) -> RawGeometry:
    """The one scan in a ZIP archive, with the files that it names.

    Args:
        path: The archive.
        suffixes: Of scans.
        read: Reads one.
    Raises:
        ScanError: It holds none or several, would be too large, has names that lead elsewhere, or is damaged.
    """
    with guard.opened(path) as file, unpacked(path, file, (*suffixes, *COMPANIONS)) as (folder, names):
        chosen = _chosen(path, names, suffixes)
        return _read_within(path, folder, chosen, file.seek(0, 2), read)


def read_gz(path: Path, suffixes: Sequence[str], read: Read) -> RawGeometry:
    """What a GZ file holds; its name without ``.gz`` says of what kind it is.

    Raises:
        ScanError: It is of no kind that is read, an archive in turn, would be too large, or is damaged.
    """
    inner = path.stem
    suffix = Path(inner).suffix.lower()
    if suffix in PACKED or suffix not in suffixes:
        what = "an archive inside of an archive" if suffix in PACKED else f"'{inner}', whose kind its name does not say"
        raise ScanError(f"{path}: holds {what}; expected a name such as scan.ply.gz. Unpack it first.")
    with (
        guard.opened(path) as file,
        tempfile.TemporaryDirectory(prefix="headfield-", ignore_cleanup_errors=True) as made,
    ):
        size = file.seek(0, 2)
        file.seek(0)
        taken = 0
        with open(Path(made) / inner, "wb") as out:
            for chunk in _inflated(file):
                taken += len(chunk)
                guard.check_need(path, _need(taken, size), size, f"more than {taken / 1e6:,.0f} MB when it is unpacked")
                out.write(chunk)
        return _read_within(path, Path(made), inner, size, read)


def _need(content: int, size: int) -> int:
    """Memory that reading unpacked content takes."""
    return content * (_TIMES if content <= _DENSE * size else _TIMES_DENSE)


def _inflated(file) -> Iterator[bytes]:
    """The content of a GZ file, a piece at a time."""
    packer, waiting, some = zlib.decompressobj(31), b"", False
    while True:
        waiting = waiting or file.read(_CHUNK)
        if not waiting:
            if some and not packer.eof:
                raise ValueError("it is cut short")
            return
        if packer.eof:
            waiting = waiting.lstrip(b"\0")  # padding, then another member or the end
            if not waiting:
                continue
            packer = zlib.decompressobj(31)
        yield packer.decompress(waiting, _CHUNK)
        some, waiting = True, packer.unused_data if packer.eof else packer.unconsumed_tail


@contextmanager
def unpacked(path: Path, file, suffixes: Sequence[str] | None) -> Iterator[tuple[Path, list[str]]]:
    """A ZIP's files in a temporary folder, by their names.

    Args:
        path: The archive, for messages.
        file: It, open.
        suffixes: Of what is unpacked; None: everything.
    Yields:
        The folder, and the names in it.
    Raises:
        ScanError: It would be too large, its names lead elsewhere, or it is damaged or locked.
    """
    size = file.seek(0, 2)
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except Exception as cause:  # zipfile raises half a dozen kinds, and NotImplementedError
        raise ScanError(f"{path}: no ZIP archive, or a damaged one ({guard.shown(cause)}).") from cause
    with archive, tempfile.TemporaryDirectory(prefix="headfield-", ignore_cleanup_errors=True) as made:
        wanted = checked_members(path, archive, size, suffixes)
        for info in wanted:
            place = Path(made) / info.filename
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "xb") as out:
                for chunk in member(archive, info):
                    out.write(chunk)
        yield Path(made), [info.filename for info in wanted]


def checked_members(
    path: Path, archive: zipfile.ZipFile, size: int, suffixes: Sequence[str] | None
) -> list[zipfile.ZipInfo]:
    """The files of an archive that are wanted, if all of its names and their sizes together will do.

    Raises:
        ScanError: They will not.
    """
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > MOST_MEMBERS:
        raise ScanError(f"{path}: an archive of {len(members):,} files, expected at most {MOST_MEMBERS:,}. Unpack it.")
    wanted = {}
    for info in members:
        parts = PurePosixPath(info.filename).parts
        if (
            not parts
            or info.filename.startswith("/")
            or {"..", "."} & set(info.filename.split("/"))
            or re.search(r"[\\:\0]", info.filename)
            or len(info.filename.encode()) > 1000
        ):
            raise ScanError(
                f"{path}: holds a file of the name {guard.shown(repr(info.filename), 80)}, which leads out of the "
                "archive. Pack it again, with plain names."
            )
        if suffixes is not None and PurePosixPath(info.filename).suffix.lower() not in suffixes:
            continue
        if not _ours(info.filename):
            continue
        if info.flag_bits & 1:
            raise ScanError(f"{path}: locked with a password. Unpack it first.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ScanError(
                f"{path}: packed in a way that is not read (number {info.compress_type}). Pack it as usual."
            )
        if info.filename in wanted:
            raise ScanError(
                f"{path}: holds two files of the name {guard.shown(repr(info.filename), 80)}. Pack it again."
            )
        wanted[info.filename] = info
    total = sum(info.file_size for info in wanted.values())
    guard.check_need(path, _need(total, size), size, f"files of {total / 1e6:,.0f} MB when they are unpacked")
    return list(wanted.values())


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A file of an archive, a piece at a time.

    Raises:
        ValueError: More comes out than the archive states, or less.
    """
    taken = 0
    with archive.open(info) as packed:
        while chunk := packed.read(_CHUNK):
            taken += len(chunk)
            if taken > info.file_size:
                break
            yield chunk
    if taken != info.file_size:
        raise ValueError(f"{guard.shown(info.filename, 60)} holds other than the {info.file_size:,} bytes it states")


def holds_one(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a ZIP archive's list of contents shows one scan, so that it can be read."""
    try:
        with guard.opened(path) as file, zipfile.ZipFile(file) as archive:
            _chosen(path, [info.filename for info in archive.infolist() if _ours(info.filename)], suffixes)
    except Exception:  # zipfile raises half a dozen kinds
        return False
    return True


def _ours(name: str) -> bool:
    """Whether a file of an archive is none that a Mac keeps of its own, nor hidden."""
    parts = PurePosixPath(name).parts
    return bool(parts) and parts[0] != "__MACOSX" and not parts[-1].startswith(".")


def _chosen(path: Path, names: list[str], suffixes: Sequence[str]) -> str:
    """The only scan of an archive."""
    scans = [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
    clear = [name for name in scans if PurePosixPath(name).suffix.lower() not in VAGUE] or scans
    nested = [name for name in clear if PurePosixPath(name).suffix.lower() in PACKED]
    clear = [name for name in clear if name not in nested]
    if len(clear) == 1:
        return clear[0]
    if not clear:
        what = f"an archive inside of an archive ({guard.shown(nested[0], 60)})" if nested else "no scan"
        raise ScanError(f"{path}: holds {what}; expected one file of {' '.join(suffixes)}. Unpack it first.")
    some = ", ".join(guard.shown(name, 60) for name in clear[:5]) + (", ..." if len(clear) > 5 else "")
    raise ScanError(f"{path}: holds {len(clear)} scans ({some}), expected one. Unpack it and give the one you mean.")


def _read_within(path: Path, folder: Path, name: str, size: int, read: Read) -> RawGeometry:
    """Read an unpacked file; what is said of it names the archive."""

    def named(text: str) -> str:
        return text.replace(f"{folder}/", f"{path}: ").replace(f"{folder}", str(path))

    try:
        with guard.packed_in(size):
            raw = read(folder / name)
    except ScanError as error:
        raise ScanError(named(str(error))) from error
    return replace(raw, notes=tuple(named(note) for note in raw.notes))
