"""PCD, the Point Cloud Library's format: text, binary and compressed ("The PCD file format" of its documentation)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from headfield.io import guard
from headfield.io.raw import RawGeometry

_KEYS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_KINDS = {
    "F": {4: "<f4", 8: "<f8"},
    "U": {1: "u1", 2: "<u2", 4: "<u4", 8: "<u8"},
    "I": {1: "i1", 2: "<i2", 4: "<i4", 8: "<i8"},
}
_LONGEST_HEAD = 100_000


def read_pcd(path: Path) -> RawGeometry:
    """A PCD file: x y z, with normal_x.. and rgb or rgba where it has them.

    Raises:
        ScanError: It takes more memory than it may.
        ValueError: It is no PCD file, or cut short.
    """
    content = guard.content(path)
    end = re.search(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", content[:_LONGEST_HEAD], re.MULTILINE)
    if end is None:
        raise ValueError("its head has no line 'DATA ascii', 'DATA binary' or 'DATA binary_compressed'")
    head = {}
    for line in content[: end.start()].decode("ascii", "replace").splitlines():
        key, _, rest = line.strip().partition(" ")
        if key in _KEYS:
            head[key] = rest.split()
    kind = _row(head)
    rows = int(head["POINTS"][0]) if "POINTS" in head else int(head["WIDTH"][0]) * int(head["HEIGHT"][0])
    if not 0 <= rows < 2**40:
        raise ValueError(f"it states {rows:,} points")
    guard.check_need(path, 3 * rows * kind.itemsize, len(content), f"{rows:,} points of {kind.itemsize} bytes")
    body, way = content[end.end() :], end[1].decode().lower()
    if way == "ascii":
        table = _text(body, kind, rows)
    elif way == "binary":
        if len(body) < rows * kind.itemsize:
            raise ValueError(f"it is cut short: {rows:,} points are stated, and there are fewer")
        table = np.frombuffer(body, dtype=kind, count=rows)
    elif way == "binary_compressed":
        table = _compressed(body, kind, rows)
    else:
        raise ValueError(f"its data are '{way}', expected ascii, binary or binary_compressed")
    return _geometry(table)


def _row(head: dict[str, list[str]]) -> np.dtype:
    names, sizes, kinds = (head.get(key, []) for key in ("FIELDS", "SIZE", "TYPE"))
    counts = head.get("COUNT", ["1"] * len(names))
    if not names or not len(names) == len(sizes) == len(kinds) == len(counts) or len(names) > 1000:
        raise ValueError("its head needs FIELDS, SIZE, TYPE and COUNT of one length")
    fields = []
    for number, (name, size, kind, count) in enumerate(zip(names, sizes, kinds, counts)):
        if kind not in _KINDS or int(size) not in _KINDS[kind] or not 0 < int(count) < 10_000:
            raise ValueError(f"a field of type {kind[:9]}, size {size[:9]} and count {count[:9]}")
        known = name in ("x", "y", "z", "normal_x", "normal_y", "normal_z", "rgb", "rgba") and int(count) == 1
        label = name if known and name not in {label for label, *_ in fields} else f"field {number}"  # `_` is padding
        fields.append(
            (label, _KINDS[kind][int(size)], (int(count),)) if int(count) > 1 else (label, _KINDS[kind][int(size)])
        )
    return np.dtype(fields)


def _names(kind: np.dtype) -> tuple[str, ...]:
    """The fields of a row."""
    return kind.names or ()


def _text(body: bytes, kind: np.dtype, rows: int) -> np.ndarray:
    widths = [int(np.prod(kind[name].shape)) for name in _names(kind)]
    words = body.split()
    if len(words) < rows * sum(widths):
        raise ValueError(f"it is cut short: {rows:,} points are stated, and there are fewer")
    places = np.cumsum([0, *widths])
    table = np.zeros(rows, dtype=kind)
    for name, place, width in zip(_names(kind), places, widths):
        if name.startswith("field") or width != 1:
            continue
        column = words[place : rows * sum(widths) : sum(widths)]
        if (
            name in ("rgb", "rgba")
            and kind[name].kind == "f"
            and not any(b"." in word or b"e" in word for word in column)
        ):
            table[name] = np.array(column, dtype=np.uint32).view(np.float32)  # some write the whole number
        elif kind[name].kind == "f":
            table[name] = np.array(column, dtype=np.float64)
        else:
            table[name] = np.array(column, dtype=np.int64)
    return table


def _compressed(body: bytes, kind: np.dtype, rows: int) -> np.ndarray:
    """One field's values after the other, squeezed by LZF."""
    packed, whole = (int.from_bytes(body[place : place + 4], "little") for place in (0, 4))
    if whole != rows * kind.itemsize or packed > len(body) - 8:
        raise ValueError(f"it states {whole:,} bytes for {rows:,} points of {kind.itemsize}, or is cut short")
    plain = memoryview(lzf(body[8 : 8 + packed], whole))
    table, place = np.zeros(rows, dtype=kind), 0
    for name in _names(kind):
        size = kind[name].itemsize * rows
        table[name] = np.frombuffer(plain[place : place + size], dtype=kind[name].base).reshape(rows, *kind[name].shape)
        place += size
    return table


def lzf(packed: bytes, size: int) -> bytes:
    """What LZF squeezed (M. Lehmann's liblzf): literal runs, and copies of what came before.

    Args:
        packed: Squeezed bytes.
        size: Bytes that come out.
    Raises:
        ValueError: It is damaged, or other bytes than `size` come out.
    """
    out, place, end = bytearray(), 0, len(packed)
    while place < end:
        control = packed[place]
        place += 1
        if control < 32:
            out += packed[place : place + control + 1]
            place += control + 1
        else:
            length = control >> 5
            if length == 7:
                length += packed[place] if place < end else 0
                place += 1
            if place >= end:
                break
            begin = len(out) - ((control & 31) << 8) - packed[place] - 1
            place += 1
            if begin < 0:
                raise ValueError("its compressed data are damaged")
            length += 2
            piece = out[begin : begin + length]
            out += (piece * (length // len(piece) + 1))[:length]  # it may reach into what it is making
        if len(out) > size:
            break
    if len(out) != size:
        raise ValueError(f"its compressed data hold other than the {size:,} bytes that they state")
    return bytes(out)


def _geometry(table: np.ndarray) -> RawGeometry:
    names = _names(table.dtype)

    def columns(*wanted: str) -> np.ndarray | None:
        return np.column_stack([table[name] for name in wanted]) if set(wanted) <= set(names) else None

    points = columns("x", "y", "z")
    if points is None:
        raise ValueError("it has no fields x, y and z")
    colours, packed = None, next((name for name in ("rgb", "rgba") if name in names), None)
    if packed is not None and table.dtype[packed].itemsize == 4:
        value = np.ascontiguousarray(table[packed]).view(np.uint32)
        if len(value) and (value != value[0]).any():  # all alike: some programs write zeros
            colours = np.column_stack([value >> shift & 255 for shift in (16, 8, 0)]).astype(np.uint8)
    return RawGeometry(points, columns("normal_x", "normal_y", "normal_z"), colours=colours)
