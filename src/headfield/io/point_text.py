"""Clouds of points as columns of numbers: text of any separator, with or without a head, and plain arrays.

A head that names its columns is believed; without one, what stands behind x y z is taken for what it looks like: unit
vectors are normals, numbers of 0 to 255 are colours.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.raw import RawGeometry

_NAMES = {
    "points": (
        ("x", "y", "z"), ("px", "py", "pz"), ("pos_x", "pos_y", "pos_z"), ("points:0", "points:1", "points:2"),
        ("point_x", "point_y", "point_z"), ("points_0", "points_1", "points_2"),
    ),
    "normals": (
        ("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"), ("normals:0", "normals:1", "normals:2"),
        ("normals_0", "normals_1", "normals_2"),
    ),
    "colours": (("r", "g", "b"), ("red", "green", "blue"), ("rgb:0", "rgb:1", "rgb:2"), ("rf", "gf", "bf")),
}  # fmt: skip
"""What programs call columns, in lower case."""

_HEAD_LINES, _HEAD_LENGTH = 10, 100_000


def read_point_text(path: Path) -> RawGeometry:
    """Text with x y z and perhaps more per line; separators are blanks, tabs, commas or semicolons.

    Raises:
        ScanError: Its named columns have no x, y, z, or a table takes more memory than it may.
        ValueError: It is no table of numbers.
    """
    written = guard.text(path)
    written = written.replace("\r\n", "\n").replace("\r", "\n") if "\r" in written else written
    if path.suffix.lower() == ".pts":  # every cloud begins with its number of points
        written = re.sub(r"^[ \t]*\d+[ \t]*\n", "", written, flags=re.MULTILINE)
    begin = written[:_HEAD_LENGTH].split("\n")[:_HEAD_LINES]
    separator = _separator(begin)
    if separator == ";" and any("," in line for line in begin if _numbers(line.replace(",", "."), ";")):
        written, begin = written.replace(",", "."), [line.replace(",", ".") for line in begin]  # decimal commas
    columns, skip = _named(begin, separator), 0
    if columns is not None:
        skip = columns.pop("line")[0] + 1
    else:
        while skip < len(begin) and (_numbers(begin[skip], separator) or 0) < 3:
            skip += 1  # comments, or a number of points
        if skip == len(begin):
            _refuse_table(path, begin, separator)
            raise ValueError(f"its first {skip} lines are no rows of three numbers or more, x y z")
    width = (_numbers(begin[skip], separator) or 0) if columns is None else 9
    rows = written.count("\n") + 1
    guard.check_need(path, 16 * width * rows + 6 * len(written), len(written), f"a table of {rows:,} rows")
    used = None if columns is None else [index for group in columns.values() for index in group]
    table = np.loadtxt(
        io.StringIO(written), delimiter=separator, skiprows=skip, comments=("#", "//"), ndmin=2, usecols=used
    )
    if columns is None:
        return from_columns(table, path, after=4 if path.suffix.lower() == ".pts" and table.shape[1] == 7 else 3)
    parts = dict(zip(columns, np.split(table, range(3, table.shape[1], 3), axis=1)))
    return RawGeometry(parts["points"], parts.get("normals"), colours=bytes_of(parts.get("colours")))


def bytes_of(colours: np.ndarray | None) -> np.ndarray | None:
    """Colours as (N, 3) uint8: numbers of 0 to 255, or of 0 to 1, or of 0 to 65535; None where they are neither."""
    if colours is None or not len(colours):
        return None
    colours = np.nan_to_num(np.asarray(colours, dtype=float))
    most = colours.max()
    if colours.min() < 0 or most > 65535:
        return None
    scale = 255 if most <= 1 else 1 if most <= 255 else 255 / 65535
    return np.rint(colours * scale).astype(np.uint8)


def _separator(lines: list[str]) -> str | None:
    """The sign between columns; None for blanks."""
    plain = [line for line in lines if not line.lstrip().startswith(("#", "//"))] or lines
    return next((sign for sign in ";," if any(sign in line for line in plain)), None)


def _numbers(line: str, separator: str | None) -> int | None:
    """How many columns a line has, if at least its first three are numbers; None for anything else."""
    fields = [field for field in line.strip().split(separator) if field.strip()]
    try:
        for field in fields[:3]:
            float(field)
    except ValueError:
        return None
    return len(fields)


def _named(lines: list[str], separator: str | None) -> dict[str, list[int]] | None:
    """Places of points, normals and colours, and the line that names them; None where none does."""
    for number, line in enumerate(lines):
        names = _words(line, separator)
        found = {
            kind: [names.index(name) for name in known]
            for kind, options in _NAMES.items()
            if (known := next((option for option in options if set(option) <= set(names)), None)) is not None
        }
        if "points" in found:
            return found | {"line": [number]}
    return None


def _words(line: str, separator: str | None) -> list[str]:
    plain = line.strip().lstrip("#/").strip().lower()
    sign = separator if separator and separator in plain else "," if "," in plain else None
    return [word.strip().strip("\"'") for word in plain.split(sign)]


def _refuse_table(path: Path, lines: list[str], separator: str | None) -> None:
    """Refuse a table with names of other things, by these names."""
    names = _words(lines[0], separator)
    if separator and len(names) > 1 and all(re.match(r"[^\W\d]", name) for name in names):
        raise ScanError(
            f"{path}: a table with the columns {guard.shown(', '.join(names))}, expected x, y and z among them: it is "
            "no cloud of points. Name its columns so, or take the line of names out."
        )


def from_columns(table: np.ndarray, path: Path, after: int = 3) -> RawGeometry:
    """Points from columns 0-2; columns behind them are normals when they are unit vectors, colours when 0..255.

    Args:
        table: (N, 3 or more).
        path: For messages.
        after: The first column that is looked at for normals or colours.
    Raises:
        ScanError: It is no such table.
    """
    if table.ndim != 2 or table.shape[1] < 3 or table.dtype.kind not in "fiu":
        raise ScanError(f"{path}: an array of shape {table.shape} and type {table.dtype}; points are (N, 3) numbers.")
    points, normals, colours = table[:, :3], None, None
    while after + 3 <= table.shape[1] and len(table):
        extra = table[:, after : after + 3]
        length = np.linalg.norm(np.asarray(extra[:10_000], dtype=float), axis=1)
        if normals is None and np.median(np.abs(length - 1)) < 0.01:
            normals = extra
        elif colours is None and np.nanmin(extra) >= 0 and 1 < np.nanmax(extra) <= 255:
            colours = np.asarray(np.nan_to_num(extra), dtype=np.uint8)
        else:
            break
        after += 3
    return RawGeometry(points, normals, colours=colours)
