"""Reading a scan: any file of points or triangles to a clean `Scan` in the file's own frame and unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError, ScanError
from headfield.frames import UNITS_IN_METRES, length_text
from headfield.io import guard
from headfield.io.crop import Box, as_box, inside
from headfield.io.formats import read_raw
from headfield.io.polygons import repeated, triangulate
from headfield.io.raw import RawGeometry
from headfield.types import Scan

MIN_POINTS = 100
"""Fewest points of a cloud that could show a head."""

MIN_TRIANGLES = 8
"""Fewest triangles of a mesh whose surface could show a head (its vertices may be few: low-poly heads)."""

_HUGE = 1e12  # coordinates beyond this are sentinels (1e30, FLT_MAX), never lengths


def read_scan(
    path: str | Path, units: str | None = None, max_points: int = 200_000, *, crop: Box | None = None
) -> Scan:
    """Read a head scan from any of the formats of ``docs/formats.md`` (:data:`headfield.io.formats.SCAN_SUFFIXES`).

    Polygons and strips become triangles, and colours of pictures those of points. Non-finite points are dropped and
    counted in `Scan.notes`; normals are computed from triangles when the file has none. A cloud with more than
    `max_points` points is subsampled at random, always the same way.

    Args:
        path: The file.
        units: ``mm``, ``cm``, ``m`` or ``inch`` when known; None leaves it to the format (glTF is metres, if that
            is a plausible size) or to the fit.
        max_points: Upper limit of points kept; a larger mesh becomes a cloud of its vertices with normals.
        crop: Box (x0, y0, z0, x1, y1, z1) in the file's frame and unit; only what lies within is read.
    Returns:
        The scan: float64 points in the file's own frame and unit.
    Raises:
        ScanError: The file is missing, empty, damaged, of unknown type, or holds too little to show a head.
        MissingExtra: A library that reads the format is not installed.
        ConfigError: `units` is unknown, or `crop` is no box.
    """
    path = Path(path)
    check_units(units)
    box = None if crop is None else as_box(crop)
    if path.is_dir():
        raise ScanError(f"{path}: a folder, expected a scan file.")
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScanError(f"{path}: cannot be opened ({reason}).") from error
    if size == 0 and guard.special(path) is None:
        raise ScanError(f"{path}: the file is empty (0 bytes).")
    with guard.reading(path, "a scan"):
        return clean(read_raw(path), path.name, units=units, max_points=max_points, box=box)


def cropped(scan: Scan, crop: Box) -> Scan:
    """What lies in a box of a scan, with everything that hangs on it; triangles that lose a corner go.

    Args:
        scan: The scan.
        crop: Box (x0, y0, z0, x1, y1, z1) in its frame and unit.
    Raises:
        ConfigError: `crop` is no box.
        ScanError: Too little lies within to show a head.
    """
    kept, note = inside(scan.points, as_box(crop), scan.name)
    raw = RawGeometry(scan.points, scan.normals, colours=scan.colours)
    points, triangles, normals, colours = _select(raw, scan.triangles, kept)
    _refuse_too_little(points, triangles, scan.name)
    changed = {"points": points, "triangles": triangles, "normals": normals, "colours": colours}
    return replace(scan, **changed, notes=(*scan.notes, note))


def clean(
    raw: RawGeometry,
    name: str,
    *,
    units: str | None = None,
    max_points: int = 200_000,
    box: np.ndarray | None = None,
) -> Scan:
    """Drop what cannot be used, say so in notes, refuse what is left if it is too little.

    Args:
        raw: Arrays as the file states them.
        name: For messages.
        units, max_points: As in :func:`read_scan`.
        box: (2, 3) what lies outside of it is left out before anything is thinned.
    Returns:
        The scan.
    Raises:
        ScanError: Nothing usable is left.
    """
    notes = list(raw.notes)
    if len(raw.points) == 0:
        raise ScanError(f"{name}: holds no points.")
    triangles = raw.triangles
    if triangles is not None:
        triangles = _checked_triangles(triangles, raw.points, name, notes)
    keep = _usable(raw.points, triangles is None, name, notes)
    if box is not None:
        within, note = inside(raw.points, box, name)
        keep &= within
        notes.append(note)
    points, triangles, normals, colours = _select(raw, triangles, keep)
    _refuse_too_little(points, triangles, name)
    normals = _unit(normals)
    if len(points) > max_points:
        if normals is None and triangles is not None:
            normals = vertex_normals(np.asarray(points, dtype=float), triangles)
        chosen = np.sort(np.random.default_rng(0).choice(len(points), max_points, replace=False, shuffle=False))
        notes.append(f"{len(points):,} points: a random {max_points:,} of them were used.")
        points, triangles = points[chosen], None
        normals = None if normals is None else normals[chosen]
        colours = None if colours is None else colours[chosen]
    points = np.ascontiguousarray(points, dtype=np.float64)
    if normals is None and triangles is not None:
        normals = vertex_normals(points, triangles)
    units = _stated_unit(raw.units, points, notes) if units is None else units
    return Scan(points, normals, triangles, colours, name=name, units=units, notes=tuple(notes))


def _usable(points: np.ndarray, cloud: bool, name: str, notes: list[str]) -> np.ndarray:
    """Which points (N,) are places at all; of a cloud those at (0, 0, 0) may be none."""
    total = len(points)
    keep = np.all(np.isfinite(points) & (np.abs(points) < _HUGE), axis=1)
    dropped = total - int(keep.sum())
    if dropped > total / 2:
        raise ScanError(
            f"{name}: {dropped:,} of {total:,} points are not finite numbers (NaN or infinite). "
            "Most of the scan is missing; export it again."
        )
    if dropped:
        notes.append(f"{dropped:,} of {total:,} points were not finite and were dropped.")
    if cloud:
        # organised clouds mark missing pixels by (0, 0, 0)
        zero = (points == 0).all(axis=1) & keep
        if (count := int(zero.sum())) > max(10, 0.001 * total):
            keep &= ~zero
            notes.append(f"{count:,} points at exactly (0, 0, 0) were taken as missing and dropped.")
    return keep


def _stated_unit(stated: str | None, points: np.ndarray, notes: list[str]) -> str | None:
    """The unit that a format states, unless it makes no head."""
    if stated not in UNITS_IN_METRES:
        return None
    extent = robust_extent(points) * UNITS_IN_METRES[stated]
    if 0.08 < extent < 3.0:
        return stated
    notes.append(f"The format says {stated}, but that makes it {length_text(extent)} large: the unit is left open.")
    return None


def check_units(units: str | None) -> None:
    """Refuse a unit that is not known.

    Raises:
        ConfigError: `units` is neither None nor one of mm, cm, m, inch.
    """
    if units is not None and units not in UNITS_IN_METRES:
        raise ConfigError(f"Unknown unit '{units}': use one of {', '.join(UNITS_IN_METRES)}, or leave it out.")


def robust_extent(points: np.ndarray) -> float:
    """Longest side of the box around the middle 98 % of points (N, 3) per axis, in the points' unit."""
    low, high = np.percentile(points[:: max(1, len(points) // 50_000)], (1, 99), axis=0)
    return float((high - low).max())


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit vertex normals (N, 3) of a mesh; an unused vertex gets (0, 0, 1).

    Args:
        points: (N, 3).
        triangles: (F, 3) indices, counter-clockwise seen from outside.
    """
    corner = points[triangles]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(cross[:, axis], 3), len(points)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1), [0.0, 0.0, 1.0])


def _checked_triangles(triangles: np.ndarray, points: np.ndarray, name: str, notes: list[str]) -> np.ndarray | None:
    """Triangles (F, 3) that name vertices that exist, each three of them; polygons (F, n) are cut into triangles."""
    triangles = np.asarray(triangles)
    if triangles.ndim != 2 or triangles.shape[1] < 3 or triangles.dtype.kind not in "iu":
        raise ScanError(
            f"{name}: triangles of shape {triangles.shape} and type {triangles.dtype}, expected (F, 3) int."
        )
    if not len(triangles):
        return None
    triangles = triangles.astype(np.int64)
    wrong = (triangles < 0) | (triangles >= len(points))
    if wrong.any():
        face, corner = np.argwhere(wrong)[0]
        raise ScanError(
            f"{name}: {wrong.any(1).sum():,} of {len(triangles):,} faces name a vertex that is not there: the first "
            f"names vertex {triangles[face, corner]:,} (counted from 0); there are {len(points):,}. Export it again."
        )
    if triangles.shape[1] > 3:
        corners = triangles.ravel()
        triangles = corners[triangulate(points, corners, np.full(len(triangles), triangles.shape[1]))]
    twice = repeated(triangles)
    if twice.all():
        raise ScanError(
            f"{name}: every triangle names a vertex twice, so that none has a surface. Export it again, or without "
            "faces: points alone will do."
        )
    if twice.any():
        notes.append(f"{twice.sum():,} of {len(twice):,} triangles named a vertex twice and were dropped.")
    return triangles[~twice]


def _select(raw: RawGeometry, triangles: np.ndarray | None, keep: np.ndarray):
    """The kept points with everything that hangs on them; triangles that lose a corner go."""
    normals = raw.normals if raw.normals is not None and raw.normals.shape == raw.points.shape else None
    colours = raw.colours if raw.colours is not None and len(raw.colours) == len(raw.points) else None
    if colours is not None and colours.shape[1] == 3:
        colours = np.concatenate([colours, np.full((len(colours), 1), 255, np.uint8)], axis=1)
    if keep.all():
        return raw.points, triangles, normals, colours
    if triangles is not None:
        triangles = (np.cumsum(keep) - 1)[triangles[keep[triangles].all(axis=1)]]
        triangles = triangles if len(triangles) else None
    return (
        raw.points[keep],
        triangles,
        None if normals is None else normals[keep],
        None if colours is None else colours[keep],
    )


def _unit(normals: np.ndarray | None) -> np.ndarray | None:
    """Normals at unit length; None if more than one in ten is unusable."""
    if normals is None:
        return None
    normals = np.array(normals, dtype=np.float64)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    good = np.isfinite(length) & (length > 1e-12)
    if good.mean() < 0.9:
        return None
    return np.where(good, normals / np.where(good, length, 1), [0.0, 0.0, 1.0])


def _refuse_too_little(points: np.ndarray, triangles: np.ndarray | None, name: str) -> None:
    count, faces = len(points), 0 if triangles is None else len(triangles)
    if count < MIN_POINTS and faces < MIN_TRIANGLES:
        raise ScanError(
            f"{name}: holds only {count} point{'s' * (count != 1)} and {faces} triangle{'s' * (faces != 1)}; "
            f"a head scan has thousands (at least {MIN_POINTS} points, or a mesh of {MIN_TRIANGLES} triangles)."
        )
    low, high = points.min(axis=0), points.max(axis=0)
    if not float(np.max(high - low)) > 0:
        raise ScanError(f"{name}: all {count:,} points lie at one place; there is no surface in it.")
