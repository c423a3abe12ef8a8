"""Read arrays out of a pickle that a stranger made, without running anything that it says.

Pickles are programs. Here every name that one may call stands for a class of this module that only keeps what it is
given: numpy arrays, their types, scipy's sparse matrices, and chumpy objects (which FLAME 2020's files hold, and of
which only the array inside is wanted). Arrays are made afterwards, from checked sizes. Any other name is refused, and
so are the operations that look names up elsewhere (extension registry, persistent ids, out-of-band buffers).
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, issparse, spmatrix

from headfield.errors import DataError
from headfield.io import guard

MOST_OPERATIONS = 3_000_000
"""Operations of a pickle; a file of arrays has some hundreds, and every number of a list is one."""

DEEPEST = 30
"""Objects inside of one another that an entry may have around its array."""

_LONGEST_LIST = 1_000_000
"""Entries of a list that is kept."""

_TYPES = {"b1", "f2", "f4", "f8", *(kind + size for kind in "iu" for size in "1248")}

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
        except _NothingInside:
            continue
        except Exception as error:  # as above
            raise DataError(f"{name}: entry {_word(key)} is damaged ({guard.shown(error, 400)}).") from error
    return values


class _Made:
    """What entries become: each object once, however many names it has, and no more bytes than a file may take."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.taken, self.known = name, size, 0, {}

    def plain(self, value):
        """As :func:`_plain`."""
        if id(value) not in self.known:
            made = _plain(value, DEEPEST)
            parts = (made.data, *_places(made)) if issparse(made) else (made,)
            self.taken += sum(part.nbytes if isinstance(part, np.ndarray) else sys.getsizeof(part) for part in parts)
            guard.check_need(self.name, 2 * self.taken, self.size, "arrays of very many numbers", DataError)
            self.known[id(value)] = made
        return self.known[id(value)]


def _places(matrix) -> tuple:
    return (matrix.row, matrix.col) if matrix.format == "coo" else (matrix.indices, matrix.indptr)


def _word(value) -> str:
    """A value for a message; of what may hold others, only its kind, for they may hold one another."""
    if isinstance(value, (str, bytes, int, float)):
        return guard.shown(repr(value[:60] if isinstance(value, (str, bytes)) else value), 60)
    return f"a {type(value).__name__.strip('_')}"


class _NothingInside(Exception):
    """An entry is no array, text or number."""


class _Kept:
    """What a name in the pickle stands for: keeps its arguments and its state."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments) -> None:
        self.arguments, self.state = arguments, None

    def __setstate__(self, state) -> None:
        if isinstance(self, type):
            raise DataError("refused: it sets the state of a class")
        self.state = state


class _Type(_Kept):
    """numpy.dtype."""

    __slots__ = ()

    def numpy(self) -> np.dtype:
        """The type, if it is one of plain numbers."""
        code = self.arguments[0] if self.arguments else None
        code = code.decode("latin1") if isinstance(code, bytes) else code
        order = "="
        if isinstance(code, str) and code[:1] in "<>|=":
            order, code = code[0], code[1:]
        if isinstance(self.state, tuple) and len(self.state) > 1 and self.state[1] in ("<", ">", "|", "=", b"<", b">"):
            order = self.state[1] if isinstance(self.state[1], str) else self.state[1].decode("latin1")
        if not isinstance(code, str) or code not in _TYPES:
            raise DataError(f"numbers of type {_word(code)}; expected floats, integers or truth values")
        return np.dtype(("" if order in "|=" else order) + code)


class _Array(_Kept):
    """numpy.ndarray: its state is (version, shape, type, Fortran order, bytes)."""

    __slots__ = ()

    def numpy(self) -> np.ndarray:
        """The array."""
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise DataError("an array without content")
        _, shape, kind, fortran, data = self.state
        return _array(data, kind, shape, "F" if fortran else "C")


class _Reconstructed(_Kept):
    """numpy.core.multiarray._reconstruct(class, shape, code): an empty array whose state follows."""

    __slots__ = ()

    numpy = _Array.numpy


class _Buffer(_Kept):
    """numpy.core.numeric._frombuffer(bytes, type, shape, order)."""

    __slots__ = ()

    def numpy(self) -> np.ndarray:
        """The array."""
        data, kind, shape, order = self.arguments
        return _array(data, kind, shape, order)


class _Scalar(_Kept):
    """numpy.core.multiarray.scalar(type, bytes)."""

    __slots__ = ()

    def numpy(self) -> np.ndarray:
        """The number as an array of no axis."""
        kind, data = self.arguments
        return _array(data, kind, (), "C")


class _Text(_Kept):
    """_codecs.encode(text, 'latin1'): how Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def bytes(self) -> bytes:
        """The bytes; none without arguments, as Python 3 writes empty ones."""
        if not self.arguments:
            return b""
        if len(self.arguments) != 2 or self.arguments[1] != "latin1" or not isinstance(self.arguments[0], str):
            raise DataError("bytes encoded otherwise than by latin1")
        return self.arguments[0].encode("latin1")


class _Sparse(_Kept):
    """A sparse matrix of scipy: its state holds data, indices and indptr (or row and col)."""

    __slots__ = ()
    make = csc_matrix

    def numpy(self) -> spmatrix:
        """The matrix, its indices checked."""
        state = self.state if isinstance(self.state, dict) else {}
        state = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in state.items()}
        shape = state.get("_shape", state.get("shape", ()))
        if not isinstance(shape, tuple) or len(shape) != 2 or not all(isinstance(size, int) for size in shape):
            raise DataError("a sparse matrix without two sizes")
        if self.make is coo_matrix:
            places = state["coords"] if "coords" in state else (state["row"], state["col"])
            if not isinstance(places, tuple) or len(places) != 2:
                raise DataError("a sparse matrix without places")
            rows, columns = (_plain(place, 1) for place in places)
            return coo_matrix((_plain(state["data"], 1), (rows, columns)), shape=shape)
        matrix = self.make(tuple(_plain(state[key], 1) for key in ("data", "indices", "indptr")), shape=shape)
        matrix.check_format(full_check=True)
        return matrix


class _SparseRows(_Sparse):
    __slots__ = ()
    make = csr_matrix


class _SparsePlaces(_Sparse):
    __slots__ = ()
    make = coo_matrix


class _Chumpy(_Kept):
    """Any chumpy object: what counts is the array inside (its `x`)."""

    __slots__ = ()

    def inside(self):
        """What it holds."""
        state = self.state if isinstance(self.state, dict) else {}
        if "x" not in state:
            raise DataError("a chumpy object without an array x inside")
        return state["x"]


class _Rebuilt(_Kept):
    """copyreg._reconstructor(class, base, state): an object of a class that is kept, too."""

    __slots__ = ()

    def __new__(cls, *arguments):
        made = arguments[0] if arguments else None
        if not (isinstance(made, type) and issubclass(made, _Kept)):
            raise DataError("refused: it builds an object of no known class")
        return made()


class _Object(_Kept):
    """The class `object`, as an argument of the above."""

    __slots__ = ()


class _Set(_Kept):
    """A set; nothing in it is wanted."""

    __slots__ = ()


_NAMES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Text,
    **{(module, "_reconstruct"): _Reconstructed for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{(module, "scalar"): _Scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{(module, "_frombuffer"): _Buffer for module in ("numpy.core.numeric", "numpy._core.numeric")},
    **{(module, "_reconstructor"): _Rebuilt for module in ("copy_reg", "copyreg")},
    **{(module, "object"): _Object for module in ("__builtin__", "builtins")},
    **{(module, "bytes"): _Text for module in ("__builtin__", "builtins")},
    **{(module, "set"): _Set for module in ("__builtin__", "builtins")},
}
for _name, _kept in (("csc", _Sparse), ("csr", _SparseRows), ("coo", _SparsePlaces)):
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


class _Unpickler(pickle._Unpickler):  # the one in Python: its operations are a table, and its memo takes no bombs
    """Knows the names above, and no others."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.dispatch = _Counted(type(self).dispatch)

    dispatch = pickle._Unpickler.dispatch | {getattr(pickle, name)[0]: _refuse(name) for name in _REFUSED}

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
            return _Chumpy
        try:
            return _NAMES[module, name]
        except KeyError:
            raise DataError(
                f"refused: it asks for {module}.{name}, which is no array; nothing was executed. A file of head data "
                "holds arrays only: get it again from where it is published."
            ) from None


def _array(data, kind, shape, order) -> np.ndarray:
    """An array from its bytes, if type, shape and length agree."""
    if not isinstance(kind, _Type):
        raise DataError("an array without a type")
    data = data.bytes() if isinstance(data, _Text) else data
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(data, (bytes, bytearray)):
        raise DataError("an array of objects; expected numbers")
    shape = shape if isinstance(shape, tuple) else (shape,)
    if len(shape) > 32 or not all(isinstance(size, int) and abs(size) < 2**63 for size in shape):
        raise DataError(f"an array of {len(shape)} sizes that cannot be")
    dtype, count = kind.numpy(), 1
    for size in shape:
        count *= size
    if min(shape, default=1) < 0 or count * dtype.itemsize != len(data):
        raise DataError(f"an array of shape {shape} and type {dtype} with {len(data)} bytes")
    values = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if order in ("F", b"F") else "C")
    return values.astype(dtype.newbyteorder("="))


def _plain(value, deepest: int):
    """Arrays, sparse matrices, texts and numbers as such.

    Args:
        value: What was kept.
        deepest: Objects inside of one another that are looked into.
    Raises:
        _NothingInside: It is something else.
        DataError: It is not what it says, or nested deeper.
    """
    if isinstance(value, _Chumpy):
        if not deepest:
            raise DataError("objects inside of one another without an end")
        return _plain(value.inside(), deepest - 1)
    if hasattr(value, "numpy") and isinstance(value, _Kept):
        return value.numpy()
    if isinstance(value, _Text):
        return value.bytes().decode("latin1")
    if isinstance(value, (str, bytes, int, float, bool)):
        return value
    if (
        isinstance(value, (list, tuple))
        and len(value) <= _LONGEST_LIST
        and all(isinstance(item, (str, int, float, bool)) for item in value)
    ):
        return list(value)
    raise _NothingInside
