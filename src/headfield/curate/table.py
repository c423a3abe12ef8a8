"""Tables that users keep: who is who (age, sex, group, consent), and which file shows whom."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from headfield.curate.subjects import RawScan, Subject, checked_id, same_person
from headfield.errors import DataError
from headfield.frames import UNITS_IN_METRES
from headfield.io import guard

ID_COLUMNS = ("id", "subject")
SCAN_COLUMNS = ("scan", "file", "path")
SCAN_FACTS = ("expression", "units", "up", "landmarks")
"""Columns of a scan list that belong to the scan, not to the person."""

LONGEST_PATH = 1024
"""Characters of a path in a table."""

UPS = ("x", "-x", "y", "-y", "z", "-z")


def read_metadata(path: str | Path) -> dict[str, dict[str, str]]:
    """What a table says of each person.

    The first line names the columns: ``id`` or ``subject``, then any others (``age``, ``sex``, ``group`` and
    ``consent`` have a meaning to the store's statistics). Commas, semicolons or tabs separate them. UTF-8 with or
    without a byte-order mark, and UTF-16.

    Args:
        path: The CSV file.
    Returns:
        Columns in lower case -> text, by id; empty cells are left out.
    Raises:
        DataError: It cannot be read, has no column of ids, a line does not fit, or two lines have one id.
    """
    path = Path(path)
    id_column, rows = _rows(path)
    table: dict[str, dict[str, str]] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        identity = checked_id(row.pop(id_column), f"{path}, line {line}")
        key = same_person(identity)
        if key in lines:
            raise DataError(f"{path}: lines {lines[key]} and {line} are both of subject {identity!r}; keep one.")
        lines[key] = line
        table[identity] = {name: value for name, value in row.items() if value}
    return table


def is_scan_list(path: str | Path) -> bool:
    """Whether a CSV names scan files (a column ``scan``, ``file`` or ``path``).

    Raises:
        DataError: As :func:`read_metadata`.
    """
    return any(name in SCAN_COLUMNS for name in _header(Path(path))[0])


def read_scan_list(path: str | Path) -> list[tuple[Subject, str]]:
    """People from a CSV with one line per scan: columns ``id`` or ``subject``, and ``scan``, ``file`` or ``path``.

    Further columns ``expression``, ``units``, ``up`` and ``landmarks`` belong to the scan, all others to the person.
    Paths are relative to the table's folder.

    Args:
        path: The CSV file.
    Returns:
        Each person, with where they were found.
    Raises:
        DataError: As :func:`read_metadata`; a path is absolute or leaves the table's folder; a unit or axis is
            unknown; one file is named twice; two lines disagree about a person.
    """
    path = Path(path)
    id_column, rows = _rows(path)
    people: dict[str, tuple[str, dict[str, str], list[RawScan], int]] = {}
    files: dict[Path, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        identity = checked_id(row.pop(id_column), where)
        column = next(name for name in SCAN_COLUMNS if name in row)
        file = path_inside(path.parent, row.pop(column), where)
        if file in files:
            raise DataError(f"{where}: {file.name} was named in line {files[file]} already.")
        files[file] = line
        facts = {name: row.pop(name, "") for name in SCAN_FACTS}
        if facts["units"] and facts["units"] not in UNITS_IN_METRES:
            said = guard.quoted(facts["units"])
            raise DataError(f"{where}: unknown unit {said}; use {', '.join(UNITS_IN_METRES)} or nothing.")
        if facts["up"] and facts["up"].removeprefix("+") not in UPS:
            raise DataError(f"{where}: unknown up axis {guard.quoted(facts['up'])}; use {', '.join(UPS)} or nothing.")
        landmarks = path_inside(path.parent, facts["landmarks"], where) if facts["landmarks"] else None
        scan = RawScan(
            file,
            facts["expression"] or None,
            facts["units"] or None,
            up=facts["up"].removeprefix("+") or None,
            landmarks=landmarks,
        )
        known = {name: value for name, value in row.items() if value}
        name, metadata, scans, first = people.setdefault(same_person(identity), (identity, {}, [], line))
        differs = [key for key, value in known.items() if metadata.setdefault(key, value) != value]
        if differs:
            raise DataError(
                f"{where}: subject {name!r} has another {guard.shown(differs[0], 60)} than above "
                f"(first in line {first}): two people with one id, or a slip."
            )
        scans.append(scan)
    return [
        (Subject(name, tuple(scans), metadata), f"line {line} of {path}")
        for name, metadata, scans, line in people.values()
    ]


def path_inside(folder: Path, text: str, where: str) -> Path:
    """A path that a file names, inside a folder.

    Raises:
        DataError: Empty, absolute, too long, or with ``..`` on the way.
    """
    parts = text.strip().replace("\\", "/")
    relative = Path(parts)
    leads_out = relative.is_absolute() or ".." in relative.parts or ":" in parts.split("/")[0]
    if not parts or leads_out or "\0" in parts or len(parts) > LONGEST_PATH:
        raise DataError(
            f"{where}: the path {guard.quoted(text)} is empty, absolute, too long or leaves the folder of the table; "
            f"name files inside {folder or '.'}."
        )
    return folder / relative


def _rows(path: Path) -> tuple[str, list[tuple[int, dict[str, str]]]]:
    """Name of the id column, and (line number, cells by column) of every line that is not empty."""
    columns, reader = _header(path)
    id_column = next((name for name in ID_COLUMNS if name in columns), None)
    if id_column is None:
        raise DataError(f"{path}: no column 'id' or 'subject' in its first line ({guard.shown(', '.join(columns))}).")
    rows = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns) and not any(cell.strip() for cell in cells[len(columns) :]):
                cells = cells[: len(columns)]  # spreadsheets leave separators at the end
            if len(cells) != len(columns):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but the first line names {len(columns)} "
                    "columns."
                )
            rows.append((reader.line_num, dict(zip(columns, (cell.strip() for cell in cells)))))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error}).") from error
    return id_column, rows


def _header(path: Path):
    """Column names in lower case, and a reader of the lines below them."""
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    guard.check_cells(path, text, delimiter, DataError)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip().casefold() for name in next(reader)]
    except StopIteration:
        raise DataError(f"{path}: the table is empty; its first line names the columns, e.g. id,age,sex.") from None
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not CSV ({error}).") from error
    while columns and not columns[-1]:
        columns.pop()
    twice = sorted({name for name in columns if columns.count(name) > 1 or not name})
    if twice:
        raise DataError(
            f"{path}: the first line names the column {guard.quoted(twice[0])} twice or leaves a name empty."
        )
    return columns, reader


def _text(path: Path) -> str:
    """The decoded file."""
    raw = guard.content(path, DataError)
    encoding = guard.encoding_of(raw)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is not {encoding.removesuffix('-sig').upper()}. "
            "Save the table as 'CSV UTF-8' (in a spreadsheet: Save as, then choose the encoding)."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}, line {line}: holds a zero byte; this is no table of text.")
    return text
