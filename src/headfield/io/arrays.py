"""NumPy's files, from strangers: sizes are checked before anything is unpacked, and nothing in them is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from headfield.errors import HeadfieldError, ScanError
from headfield.io import guard

HEAD = 4096
"""Bytes of an array's head at most."""

MOST_ARRAYS = 10_000
"""Arrays of one archive."""

_COPIES = 3
"""An array is read, converted to numbers of eight bytes, and checked: so many times its size in all."""


def save_npz(file: str | Path | IO[bytes], arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> None:
    """Write arrays by name into an ``.npz`` file; objects of Python's are not meant to be among them."""
    named: dict[str, Any] = dict(arrays)  # the names are keywords, beside NumPy's own options
    (np.savez_compressed if compressed else np.savez)(file, **named)


def npy(path: str | Path, error: type[HeadfieldError] = ScanError) -> np.ndarray:
    """The array of an ``.npy`` file, mapped from it rather than read where that can be.

    Raises:
        HeadfieldError: `error`: it cannot be opened, would be too large, or holds objects of Python's.
        Exception: It is damaged; for :func:`headfield.io.guard.reading` around.
    """
    with guard.opened(path, error) as file:
        size = file.seek(0, 2)
        file.seek(0)
        shape, fortran, dtype = head(file, path, error)
        _check(path, f"an array {shape} of {dtype}", shape, dtype, size, error)
        if not prod(shape):
            return np.zeros(shape, dtype)
        order = "F" if fortran else "C"
        return np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order=order)


@contextmanager
def npz(path: str | Path, error: type[HeadfieldError] = ScanError) -> Iterator[Arrays]:
    """The arrays of an ``.npz`` archive, each unpacked when it is asked for.

    Raises:
        HeadfieldError: `error`: it cannot be opened, is no archive, or one of very many arrays.
    """
    with guard.opened(path, error) as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            archive = zipfile.ZipFile(file)
        except Exception as cause:  # zipfile raises half a dozen kinds, and NotImplementedError
            raise error(f"{path}: no NPZ archive, or a damaged one ({guard.shown(cause)}).") from cause
        with archive:
            yield Arrays(path, archive, size, error)


class Arrays(Mapping):
    """Arrays of an open archive by name, as ``numpy.load`` gives them.

    Looking one up raises HeadfieldError (of the kind that the archive was opened with) where it would be too large or
    holds objects of Python's, KeyError where there is none, and anything where it is damaged.

    Raises:
        HeadfieldError: `error`: an archive of very many arrays.
    """

    def __init__(self, path: str | Path, archive: zipfile.ZipFile, size: int, error: type[HeadfieldError] = ScanError):
        self.path, self.archive, self.size, self.error, self.taken = path, archive, size, error, 0
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(self.members) > MOST_ARRAYS:
            raise error(f"{path}: an archive of {len(self.members):,} arrays, expected at most {MOST_ARRAYS:,}.")

    @property
    def files(self) -> list[str]:
        """Names."""
        return list(self.members)

    def __iter__(self):
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def __getitem__(self, name: str) -> np.ndarray:
        info = self.members[name]
        with self.archive.open(info) as file:
            shape, fortran, dtype = head(file, f"{self.path}: {name}", self.error)
            size = prod(shape) * dtype.itemsize
            what = f"{guard.shown(name, 40)}, an array {shape} of {dtype}"
            self.taken += _check(self.path, what, shape, dtype, self.size, self.error, self.taken)
            data = file.read(size)
            if len(data) < size or file.read(1):  # also checks the sum, at the end of the file
                said = "less" if len(data) < size else "more"
                raise ValueError(f"{guard.shown(name, 40)} holds {said} than it states")
        return np.frombuffer(bytearray(data), dtype=dtype).reshape(shape, order="F" if fortran else "C")


def head(file, name, error: type[HeadfieldError] = ScanError) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type from the head of an array.

    Args:
        file: At its begin.
        name: For the message.
        error: Kind of error.
    Raises:
        HeadfieldError: `error`: it holds objects of Python's, or no such array can be.
        ValueError: It is no array.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"array format {version}")
    try:
        shape, fortran, dtype = readers[version](file, max_header_size=HEAD)
    except Exception as cause:  # of NumPy and of Python's parser, some with the whole head in them
        raise ValueError(f"the head of the array is damaged ({guard.shown(cause, 60)})") from cause
    if dtype.hasobject:
        raise error(
            f"{name}: holds pickled objects, which are never opened because they can run code. Save plain arrays of "
            "numbers."
        )
    if len(shape) > 32 or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {guard.shown(shape, 60)}")
    return shape, fortran, dtype


def _check(path, what: str, shape, dtype: np.dtype, size: int, error, taken: float = 0) -> float:
    """Bytes that an array takes."""
    need = _COPIES * prod(shape) * max(dtype.itemsize, 8)
    guard.check_need(path, taken + need, size, what, error)
    return need
