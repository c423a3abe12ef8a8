"""Arrays in a pickle, as what is kept of it: what each name stands for, and what becomes of it afterwards.

See :mod:`headfield.parametric.restricted_pickle`. Nothing here runs while the pickle is read but constructors that keep
their arguments.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

from headfield.errors import DataError
from headfield.io import guard

Sparse = coo_matrix | csc_matrix | csr_matrix
"""The sparse matrices that a pickle may hold."""

LONGEST_LIST = 1_000_000
"""Entries of a list that is kept."""

_TYPES = {"b1", "f2", "f4", "f8", *(kind + size for kind in "iu" for size in "1248")}


def word(value) -> str:
    """A value for a message; of what may hold others, only its kind, for they may hold one another."""
    if isinstance(value, (str, bytes, int, float)):
        return guard.shown(repr(value[:60] if isinstance(value, (str, bytes)) else value), 60)
    return f"a {type(value).__name__.strip('_')}"


class NothingInside(Exception):
    """An entry is no array, text or number."""


class Kept:
    """What a name in the pickle stands for: keeps its arguments and its state."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments) -> None:
        self.arguments, self.state = arguments, None

    def __setstate__(self, state) -> None:
        if isinstance(self, type):
            raise DataError("refused: it sets the state of a class")
        self.state = state


class Numbers(Kept):
    """What becomes something of numpy's or scipy's."""

    __slots__ = ()

    def numpy(self) -> Any:
        """It; whatever does not fit together is refused or raises."""
        raise NotImplementedError


class Type(Numbers):
    """numpy.dtype."""

    __slots__ = ()

    def numpy(self) -> np.dtype:
        """The type.

        Raises:
            DataError: It is none of plain numbers.
        """
        code = self.arguments[0] if self.arguments else None
        code = code.decode("latin1") if isinstance(code, bytes) else code
        order = "="
        if isinstance(code, str) and code[:1] in "<>|=":
            order, code = code[0], code[1:]
        if isinstance(self.state, tuple) and len(self.state) > 1 and self.state[1] in ("<", ">", "|", "=", b"<", b">"):
            order = self.state[1] if isinstance(self.state[1], str) else self.state[1].decode("latin1")
        if not isinstance(code, str) or code not in _TYPES:
            raise DataError(f"numbers of type {word(code)}; expected floats, integers or truth values")
        return np.dtype(("" if order in "|=" else order) + code)


class Array(Numbers):
    """numpy.ndarray: its state is (version, shape, type, Fortran order, bytes)."""

    __slots__ = ()

    def numpy(self) -> np.ndarray:
        """The array.

        Raises:
            DataError: It is none of numbers, or its parts do not fit together.
        """
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise DataError("an array without content")
        _, shape, kind, fortran, data = self.state
        return _array(data, kind, shape, "F" if fortran else "C")


class Reconstructed(Numbers):
    """numpy.core.multiarray._reconstruct(class, shape, code): an empty array whose state follows."""

    __slots__ = ()

    numpy = Array.numpy


class Buffer(Numbers):
    """numpy.core.numeric._frombuffer(bytes, type, shape, order)."""

    __slots__ = ()

    def numpy(self) -> np.ndarray:
        """The array."""
        data, kind, shape, order = self.arguments
        return _array(data, kind, shape, order)


class Scalar(Numbers):
    """numpy.core.multiarray.scalar(type, bytes)."""

    __slots__ = ()

    def numpy(self) -> np.ndarray:
        """The number as an array of no axis."""
        kind, data = self.arguments
        return _array(data, kind, (), "C")


class Text(Kept):
    """_codecs.encode(text, 'latin1'): how Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def bytes(self) -> bytes:
        """The bytes; none without arguments, as Python 3 writes empty ones.

        Raises:
            DataError: They are written otherwise.
        """
        if not self.arguments:
            return b""
        if len(self.arguments) != 2 or self.arguments[1] != "latin1" or not isinstance(self.arguments[0], str):
            raise DataError("bytes encoded otherwise than by latin1")
        return self.arguments[0].encode("latin1")


class SparseColumns(Numbers):
    """A sparse matrix of scipy: its state holds data, indices and indptr (or row and col)."""

    __slots__ = ()
    make: ClassVar[type[Sparse]] = csc_matrix

    def numpy(self) -> Sparse:
        """The matrix, its indices checked.

        Raises:
            DataError: It has no sizes or no places.
        """
        state = self.state if isinstance(self.state, dict) else {}
        state = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in state.items()}
        shape = state.get("_shape", state.get("shape", ()))
        if not isinstance(shape, tuple) or len(shape) != 2 or not all(isinstance(size, int) for size in shape):
            raise DataError("a sparse matrix without two sizes")
        if self.make is coo_matrix:
            places = state["coords"] if "coords" in state else (state["row"], state["col"])
            if not isinstance(places, tuple) or len(places) != 2:
                raise DataError("a sparse matrix without places")
            rows, columns = (plain(place, 1) for place in places)
            return coo_matrix((plain(state["data"], 1), (rows, columns)), shape=shape)
        make: Any = self.make
        matrix = make(tuple(plain(state[key], 1) for key in ("data", "indices", "indptr")), shape=shape)
        matrix.check_format(full_check=True)
        return matrix


class SparseRows(SparseColumns):
    __slots__ = ()
    make = csr_matrix


class SparsePlaces(SparseColumns):
    __slots__ = ()
    make = coo_matrix


class Chumpy(Kept):
    """Any chumpy object: what counts is the array inside (its `x`)."""

    __slots__ = ()

    def inside(self):
        """What it holds.

        Raises:
            DataError: No array.
        """
        state = self.state if isinstance(self.state, dict) else {}
        if "x" not in state:
            raise DataError("a chumpy object without an array x inside")
        return state["x"]


class Rebuilt(Kept):
    """copyreg._reconstructor(class, base, state): an object of a class that is kept, too."""

    __slots__ = ()

    def __new__(cls, *arguments):
        made = arguments[0] if arguments else None
        if not (isinstance(made, type) and issubclass(made, Kept)):
            raise DataError("refused: it builds an object of no known class")
        return made()


class Object(Kept):
    """The class `object`, as an argument of the above."""

    __slots__ = ()


class Set(Kept):
    """A set; nothing in it is wanted."""

    __slots__ = ()


def _array(data, kind, shape, order) -> np.ndarray:
    """An array from its bytes, if type, shape and length agree."""
    if not isinstance(kind, Type):
        raise DataError("an array without a type")
    data = data.bytes() if isinstance(data, Text) else data
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


def plain(value: Any, deepest: int) -> Any:
    """Arrays, sparse matrices, texts and numbers as such.

    Args:
        value: What was kept.
        deepest: Objects inside of one another that are looked into.
    Raises:
        NothingInside: It is something else.
        DataError: It is not what it says, or nested deeper.
    """
    if isinstance(value, Chumpy):
        if not deepest:
            raise DataError("objects inside of one another without an end")
        return plain(value.inside(), deepest - 1)
    if isinstance(value, Numbers):
        return value.numpy()
    if isinstance(value, Text):
        return value.bytes().decode("latin1")
    if isinstance(value, (str, bytes, int, float, bool)):
        return value
    if (
        isinstance(value, (list, tuple))
        and len(value) <= LONGEST_LIST
        and all(isinstance(item, (str, int, float, bool)) for item in value)
    ):
        return list(value)
    raise NothingInside
