"""Read arrays out of a pickle that a stranger made, without running anything that it says.

Pickles are programs. Here every name that one may call stands for a class of
:mod:`headfield.parametric.pickled_arrays` that only keeps what it is given: numpy arrays, their types, scipy's sparse
matrices, and chumpy objects (which FLAME 2020's files hold, and of which only the array inside is wanted). Arrays are
made afterwards, from checked sizes. Any other name is refused, and so are the operations that look names up elsewhere
(extension registry, persistent ids, out-of-band buffers).
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix

from headfield.errors import DataError
from headfield.io import guard
from headfield.parametric.pickled_arrays import (
    Array,
    Buffer,
    Chumpy,
    NothingInside,
    Object,
    Rebuilt,
    Reconstructed,
    Scalar,
    Set,
    Sparse,
    SparseColumns,
    SparsePlaces,
    SparseRows,
    Text,
    Type,
    plain,
    word,
)

MOST_OPERATIONS = 3_000_000
"""Operations of a pickle; a file of arrays has some hundreds, and every number of a list is one."""

DEEPEST = 30
"""Objects inside of one another that an entry may have around its array."""

_REFUSED = ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER")


def read_pickle(path: Path | str) -> dict:
    """The dictionary in a pickle file: arrays as numpy, sparse matrices as scipy, chumpy objects as their arrays.

    Entries of other kinds (texts, numbers, lists of them) come as they are; an entry that holds none of these is left
    out.

    Args:
        path: The file; pickles of Python 2 (latin1) too.
    Raises:
        DataError: Missing, too large, damaged, no dictionary, or it asks for something else than arrays.
    """
    path = Path(path)
    return loads(guard.content(path, DataError), str(path))


def loads(content: bytes, name: str = "pickle") -> dict:
    """As :func:`read_pickle`, from bytes.

    Args:
        content: The pickle.
        name: For messages.
    Raises:
        DataError: As :func:`read_pickle`.
    """
    try:
        found = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except Exception as error:  # a damaged or hostile pickle may raise anything
        reason = f"{type(error).__name__}: {guard.shown(error)}"
        raise DataError(f"{name} is no readable pickle of arrays ({reason}).") from error
    if not isinstance(found, dict):
        raise DataError(f"{name} holds a {type(found).__name__.strip('_').lower()}, expected a dictionary of arrays.")
    values, made = {}, _Made(name, len(content))
    for key, value in found.items():
        if isinstance(key, bytes):
            key = key.decode("latin1")
        try:
            values[key] = made.plain(value)
        except NothingInside:
            continue
        except Exception as error:  # as above
            raise DataError(f"{name}: entry {word(key)} is damaged ({guard.shown(error, 400)}).") from error
    return values


class _Made:
    """What entries become: each object once, however many names it has, and no more bytes than a file may take."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.taken, self.known = name, size, 0, {}

    def plain(self, value):
        """As :func:`headfield.parametric.pickled_arrays.plain`."""
        if id(value) not in self.known:
            made = plain(value, DEEPEST)
            parts = (made.data, *_places(made)) if isinstance(made, Sparse) else (made,)
            self.taken += sum(part.nbytes if isinstance(part, np.ndarray) else sys.getsizeof(part) for part in parts)
            guard.check_need(self.name, 2 * self.taken, self.size, "arrays of very many numbers", DataError)
            self.known[id(value)] = made
        return self.known[id(value)]


def _places(matrix: Sparse) -> tuple[np.ndarray, np.ndarray]:
    return (matrix.row, matrix.col) if isinstance(matrix, coo_matrix) else (matrix.indices, matrix.indptr)


_NAMES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Type,
    ("_codecs", "encode"): Text,
    **{(module, "_reconstruct"): Reconstructed for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{(module, "scalar"): Scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{(module, "_frombuffer"): Buffer for module in ("numpy.core.numeric", "numpy._core.numeric")},
    **{(module, "_reconstructor"): Rebuilt for module in ("copy_reg", "copyreg")},
    **{(module, "object"): Object for module in ("__builtin__", "builtins")},
    **{(module, "bytes"): Text for module in ("__builtin__", "builtins")},
    **{(module, "set"): Set for module in ("__builtin__", "builtins")},
}
for _name, _kept in (("csc", SparseColumns), ("csr", SparseRows), ("coo", SparsePlaces)):
    for _module in (f"scipy.sparse.{_name}", f"scipy.sparse._{_name}"):
        _NAMES |= {(_module, f"{_name}_matrix"): _kept, (_module, f"{_name}_array"): _kept}


def _refuse(operation: str):
    def refuse(unpickler) -> None:
        raise DataError(
            f"refused: it asks for {operation}, which no file of arrays needs; nothing was executed. Get the file "
            "again from where it is published."
        )

    return refuse


class _Counted(dict):
    """The table of operations, which counts how often it is looked into."""

    left = MOST_OPERATIONS

    def __getitem__(self, key):
        self.left -= 1
        if self.left < 0:
            raise DataError(f"it has more than {MOST_OPERATIONS:,} operations, which no file of arrays needs")
        return super().__getitem__(key)


def _with_plain_keys(keys, operation):
    """The unpickler's operation, done if what becomes a key is a text, bytes or a number.

    To hash a tuple is to hash all that is in it, and of tuples that hold one another twice, level upon level, that
    takes for ever.

    Args:
        keys: From the unpickler, what the operation takes as keys.
        operation: The unpickler's own.
    """

    def checked(unpickler) -> None:
        for key in keys(unpickler):
            if not isinstance(key, (str, bytes, int, float, type(None))):
                raise DataError("refused: a key or a member of a set that is no text and no number")
        operation(unpickler)

    return checked


_KEYS = {
    pickle.SETITEM: lambda unpickler: unpickler.stack[-2:-1],
    pickle.SETITEMS: lambda unpickler: unpickler.stack[::2],
    pickle.DICT: lambda unpickler: unpickler.stack[::2],
    pickle.ADDITEMS: lambda unpickler: unpickler.stack,
    pickle.FROZENSET: lambda unpickler: unpickler.stack,
}
"""Since the last mark the stack holds what an operation takes."""


_InPython: Any = pickle._Unpickler
"""Its operations are a table, and its memo takes no bombs; of both a type checker is told nothing."""


class _Unpickler(_InPython):
    """Knows the names above, and no others."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.dispatch = _Counted(type(self).dispatch)

    dispatch = _InPython.dispatch | {getattr(pickle, name)[0]: _refuse(name) for name in _REFUSED}

    def load_bytearray8(self) -> None:
        """A writable buffer; Python's own makes room for what the pickle claims before it looks for it."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    for code, keys in _KEYS.items():
        dispatch[code[0]] = _with_plain_keys(keys, dispatch[code[0]])
    del code, keys

    def find_class(self, module: str, name: str) -> type:
        if module.split(".")[0] == "chumpy" and module.replace(".", "").isidentifier():
            return Chumpy
        try:
            return _NAMES[module, name]
        except KeyError:
            raise DataError(
                f"refused: it asks for {module}.{name}, which is no array; nothing was executed. A file of head data "
                "holds arrays only: get it again from where it is published."
            ) from None
