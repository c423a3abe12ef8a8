"""What a PLY file holds: its elements, whatever their properties, with lists of any length.

Polygons of different sizes in one binary file, strips and unknown elements are all lists; libraries that expect every
list to be as long as the first one refuse such files or lose their faces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headfield.io import guard

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip

_ORDER = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}

_LONGEST_HEADER = 2**20


@dataclass(frozen=True)
class Lists:
    """A property with a list for every row.

    Attributes:
        counts: (R,) length of each row's list.
        values: (sum of counts,) the lists, one after the other.
    """

    counts: np.ndarray
    values: np.ndarray


Element = dict[str, "np.ndarray | Lists"]
"""Properties by name: (R,) of the stated type, or `Lists`."""


def columns(element: Element, names: tuple[str, ...]) -> np.ndarray | None:
    """Scalar properties side by side, (R, len(names)); None unless all are there."""
    found = [element.get(name) for name in names]
    scalar = [column for column in found if isinstance(column, np.ndarray)]
    return np.column_stack(scalar) if len(scalar) == len(names) else None


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str
    count: str = ""  # kind of a list's length


def read_elements(path: Path) -> dict[str, Element]:
    """All elements of a PLY file by name.

    Raises:
        ValueError: It is not PLY, or is cut short.
    """
    content = guard.content(path)
    end = re.search(rb"end_header[ \t]*(\r\n|\n|\r)", content[:_LONGEST_HEADER])
    if not content.startswith(b"ply") or end is None:
        raise ValueError("its header does not begin with 'ply' and end with 'end_header'")
    encoding, stated = _header(content[: end.start()].decode("ascii", "replace"))
    body = memoryview(content)[end.end() :]
    if encoding == "ascii":
        table, order = _numbers(bytes(body)), None
    else:
        table, order = np.frombuffer(body, dtype=np.uint8), _ORDER[encoding]
    found, place = {}, 0
    for name, rows, properties in stated:
        smallest = sum(1 if order is None else np.dtype(_TYPES[p.count or p.kind]).itemsize for p in properties)
        if rows * smallest > len(table) - place:
            raise ValueError(f"it is cut short: {rows:,} rows of '{name}' are stated, and there are fewer")
        found[name], place = _element(table, place, rows, properties, order)
    return found


def _header(text: str) -> tuple[str, list[tuple[str, int, list[_Property]]]]:
    encoding, elements = "", []
    for line in text.splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) > 1:
            encoding = words[1]
        elif words[0] == "element" and len(words) == 3 and words[2].isdigit():
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property" and elements and len(words) == 3 and words[1] in _TYPES:
            elements[-1][2].append(_Property(words[2], words[1]))
        elif words[:2] == ["property", "list"] and elements and len(words) == 5 and {*words[2:4]} <= _TYPES.keys():
            elements[-1][2].append(_Property(words[4], words[3], words[2]))
        else:
            raise ValueError(f"its header has a line that is not PLY: '{line.strip()[:60]}'")
    if encoding not in _ORDER:
        raise ValueError(f"its format is '{encoding[:60]}', expected {', '.join(_ORDER)}")
    return encoding, elements


def _numbers(text: bytes) -> np.ndarray:
    """All numbers of a text as one array."""
    words = text.split()
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        raise ValueError(f"'{wrong[:20].decode('ascii', 'replace')}' is no number") from None


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _element(table: np.ndarray, place: int, rows: int, properties: list[_Property], order: str | None):
    """One element's properties, and where the next element begins.

    Args:
        table: Numbers of a text, or bytes.
        place: Where it begins.
        rows, properties: As stated.
        order: Byte order; None for a text, in which every value is one place wide.
    """
    lists = [p for p in properties if p.count]
    lengths = [0] * len(lists)
    if lists and rows:
        _, _, lengths = _row(table, place, properties, order)
    # as if all rows were like the first; that is so if the lengths found there are the expected ones, row after row
    kinds = [(p, _TYPES[p.kind]) for p in properties]
    fields, n = [], iter(lengths)
    for number, (p, kind) in enumerate(kinds):
        if p.count:
            fields += [(f"n{number}", _TYPES[p.count]), (f"v{number}", kind, (next(n),))]
        else:
            fields.append((f"v{number}", kind))
    block = _block(table, place, rows, fields, order)
    if block is not None:
        read, end = block
        numbers = [number for number, p in enumerate(properties) if p.count]
        if all((read[f"n{number}"] == length).all() for number, length in zip(numbers, lengths)):
            return {
                p.name: Lists(np.full(rows, read[f"v{number}"].shape[1]), read[f"v{number}"].ravel())
                if p.count
                else read[f"v{number}"]
                for number, p in enumerate(properties)
            }, end
    return _row_by_row(table, place, rows, properties, order)


def _block(table: np.ndarray, place: int, rows: int, fields: list[tuple], order: str | None):
    """Rows of equal width as columns by name, and where they end; None where there are not so many."""
    if order is not None:
        kind = np.dtype([(name, order + code, *shape) for name, code, *shape in fields])
        end = place + rows * kind.itemsize
        if end > len(table):
            return None
        read = np.frombuffer(table[place:end].tobytes(), dtype=kind)
        return {name: read[name] for name, *_ in fields}, end
    widths = [shape[0][0] if shape else 1 for _, _, *shape in fields]
    end = place + rows * sum(widths)
    if end > len(table):
        return None
    read, columns, column = table[place:end].reshape(rows, sum(widths)), {}, 0
    for (name, code, *shape), width in zip(fields, widths):
        values = read[:, column : column + width]
        columns[name] = (values if shape else values[:, 0]).astype(_exact(code))
        column += width
    return columns, end


def _exact(code: str) -> str:
    """What a number of a text is kept as: whole numbers wide enough for what is written there."""
    return "f8" if code[0] == "f" else "i8"


def _row(table: np.ndarray, place: int, properties: list[_Property], order: str | None):
    """Values of one row, where the next begins, and the lengths of its lists."""
    values, lengths = [], []
    for p in properties:
        if p.count:
            length, place = _take(table, place, 1, p.count, order)
            lengths.append(int(length[0]))
            if not 0 <= lengths[-1] <= len(table):
                raise ValueError(f"a list of {lengths[-1]:,} values in '{p.name}'")
        found, place = _take(table, place, lengths[-1] if p.count else 1, p.kind, order)
        values.append(found)
    return values, place, lengths


def _take(table: np.ndarray, place: int, count: int, kind: str, order: str | None) -> tuple[np.ndarray, int]:
    code = _TYPES[kind]
    end = place + count * (1 if order is None else int(code[1]))
    if end > len(table):
        raise ValueError("it is cut short")
    part = table[place:end]
    return (part.astype(_exact(code)) if order is None else part.view(order + code)), end


def _row_by_row(table: np.ndarray, place: int, rows: int, properties: list[_Property], order: str | None):
    columns: list[list[np.ndarray]] = [[] for _ in properties]
    for _ in range(rows):
        values, place, _ = _row(table, place, properties, order)
        for column, value in zip(columns, values):
            column.append(value)
    found: Element = {}
    for p, column in zip(properties, columns):
        joined = np.concatenate(column) if column else np.zeros(0)
        found[p.name] = Lists(np.array([len(value) for value in column]), joined) if p.count else joined
    return found, place
