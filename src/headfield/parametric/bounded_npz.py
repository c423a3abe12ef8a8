"""Read an npz that a stranger made: sizes are checked before a byte is unpacked, and nothing in it is ever executed.

A zip of a few kilobytes can unpack to terabytes. Here the directory of the zip and the head of each array say what it
will be; the reader asks for certain arrays of certain kinds and sizes, and gets those or an error.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headfield.errors import DataError
from headfield.io import guard
from headfield.io.arrays import HEAD, head, npz


@dataclass(frozen=True)
class Wanted:
    """What an array must be.

    Attributes:
        kind: ``f`` floats, ``i`` whole numbers, ``U`` texts.
        axes: Number of axes.
        most: Most entries.
        needed: Whether the file must have it.
    """

    kind: str
    axes: int
    most: int = 50_000_000
    needed: bool = True


def read_npz(path: Path | str, wanted: Mapping[str, Wanted]) -> dict[str, np.ndarray]:
    """The wanted arrays of an npz; others are not even unpacked.

    Args:
        path: The file.
        wanted: What is wanted, by name.
    Raises:
        DataError: Missing, damaged, without a needed array, or an array is of another kind or larger than wanted.
    """
    path = Path(path)
    found = {}
    with guard.reading(path, "npz", DataError), npz(path, DataError) as held:
        missing = [name for name, want in wanted.items() if want.needed and name not in held]
        if missing:
            known = ", ".join(sorted(held)[:8]) or "nothing"
            raise DataError(f"{path} has no {', '.join(missing[:5])}; it holds {guard.shown(known)}.")
        for name in wanted.keys() & held.members.keys():
            found[name] = _read(held.archive, held.members[name], wanted[name], f"{path}: {name}")
    return found


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, want: Wanted, name: str) -> np.ndarray:
    with archive.open(info) as file:
        shape, order, dtype = head(file, name, DataError)
        count = 1
        for size in shape:
            count *= size
        if dtype.kind not in {"f": "f", "i": "iub", "U": "U"}[want.kind]:
            kinds = {"f": "floats", "i": "whole numbers", "U": "texts"}
            raise DataError(f"{name} holds {dtype}, expected {kinds[want.kind]}.")
        if len(shape) != want.axes:
            raise DataError(f"{name} has shape {shape}, expected {want.axes} axes.")
        longest = dtype.itemsize if want.kind == "U" else 8
        if count > want.most or longest > 4096:
            raise DataError(f"{name} has {count:,} entries of {dtype}, expected at most {want.most:,}.")
        size = count * dtype.itemsize
        if info.file_size > size + HEAD:
            raise DataError(f"{name} unpacks to {info.file_size:,} bytes, but its {count:,} entries take {size:,}.")
        data = file.read(size)
    if len(data) != size:
        raise DataError(f"{name} ends after {len(data):,} of {size:,} bytes.")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if order else "C").astype(dtype.newbyteorder("="))
