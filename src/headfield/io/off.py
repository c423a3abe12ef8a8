"""OFF: text of vertices and polygons, with normals and colours where its first word says so (NOFF, COFF, CNOFF)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from headfield.io import guard
from headfield.io.point_text import bytes_of
from headfield.io.polygons import triangulate
from headfield.io.raw import RawGeometry

_FIRST = re.compile(r"\s*((?:ST|C|N|4|n)*)OFF\b(\s+BINARY)?")


def read_off(path: Path) -> RawGeometry:
    """An OFF file (Geomview's format).

    Raises:
        ScanError: It takes more memory than it may.
        ValueError: It is no OFF file, is binary, of four dimensions, or cut short.
    """
    written = guard.text(path)
    guard.check_need(path, 60 * (written.count(" ") + written.count("\n")) + 4 * len(written), len(written), "a mesh")
    written = re.sub(r"#[^\n]*", "", written)
    first = _FIRST.match(written)
    if first is None:
        raise ValueError("its first word is not OFF")
    if "4" in first[1] or "n" in first[1] or first[2]:
        raise ValueError("binary OFF, and OFF of other than three dimensions, are not read; text of three is")
    lines = [line.split() for line in written[first.end() :].splitlines() if line.strip()]
    if not lines or len(lines[0]) < 2:
        raise ValueError("its numbers of vertices and faces are missing")
    count, faces = int(lines[0][0]), int(lines[0][1])
    if count < 0 or faces < 0 or count + faces > len(lines) - 1:
        raise ValueError(f"it states {count:,} vertices and {faces:,} faces, and has {len(lines) - 1:,} lines for both")
    table = np.array([words for words in lines[1 : count + 1]], dtype=float)
    if table.ndim != 2 or table.shape[1] < 3:
        raise ValueError("its vertices need three numbers each")
    polygons = lines[count + 1 : count + 1 + faces]
    counts = np.array([int(words[0]) for words in polygons], dtype=np.int64)
    if any(number < 0 or number >= len(words) for number, words in zip(counts.tolist(), polygons)):
        raise ValueError("a face states more corners than its line has")
    corners = np.array(
        [word for number, words in zip(counts, polygons) for word in words[1 : number + 1]], dtype=np.int64
    )
    triangles = corners[triangulate(table[:, :3], corners, counts)] if len(corners) else np.zeros((0, 3), np.int64)
    normals, colours = _extras(table, first[1])
    return RawGeometry(table[:, :3], normals, triangles if len(triangles) else None, colours)


def _extras(table: np.ndarray, prefix: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Normals and colours behind the coordinates; MeshLab writes colours first where both are there."""
    width, normals, place = table.shape[1], None, 3
    behind = table[:, 3:6]
    first = "C" in prefix and width >= 9 and (behind == np.rint(behind)).all() and behind.min() >= 0
    if "N" in prefix and width >= 6:
        begin = width - 3 if first else 3
        normals, place = table[:, begin : begin + 3], 3 if first else 6
    coloured = "ST" not in prefix and ("C" in prefix or "N" not in prefix) and width >= place + 3
    return normals, bytes_of(table[:, place : place + 3]) if coloured else None
