"""A box in a scan's own frame and unit that holds the head, when a file holds more than that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headfield.errors import ConfigError, ScanError

Box = str | Sequence[float] | np.ndarray
"""Six numbers x0 y0 z0 x1 y1 z1, also as one text."""


def as_box(values: Box) -> np.ndarray:
    """The box (2, 3), lower and upper corner, of six numbers x0 y0 z0 x1 y1 z1, also as one text.

    An infinite number (``-inf``, ``inf``) leaves the box open on that side.

    Raises:
        ConfigError: They are not six numbers, or the first corner is not below the second.
    """
    given = values
    numbers = values.replace(",", " ").split() if isinstance(values, str) else values
    try:
        box = np.asarray(numbers, dtype=float).reshape(2, 3)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"--crop {given!r}: expected six numbers, x0 y0 z0 x1 y1 z1, in the scan's unit.") from error
    if np.isnan(box).any():
        raise ConfigError(f"--crop {given!r}: nan is no place; to leave a side open give -inf or inf.")
    if not (box[0] < box[1]).all():
        axis = int(np.argmin(box[0] < box[1]))
        said = f"{'xyz'[axis]} goes from {box[0, axis]:g} to {box[1, axis]:g}"
        raise ConfigError(
            f"--crop {given!r}: {said}; expected x0 y0 z0 x1 y1 z1 with x0 < x1, y0 < y1 and z0 < z1. `headfield "
            "doctor` tells a scan's box."
        )
    return box


def box_text(box: np.ndarray | Sequence[np.ndarray]) -> str:
    """A box (2, 3) as the text that :func:`as_box` reads, rounded outwards to a thousandth of its longest side."""
    low, high = np.asarray(box, dtype=float)
    digits = 3 - int(np.floor(np.log10(max(float((high - low).max()), 1e-30))))
    step = 10.0**-digits
    corners = np.concatenate([np.floor(low / step), np.ceil(high / step)]) * step
    return " ".join(f"{value:.{max(digits, 0)}f}" for value in corners + 0.0)


def inside(points: np.ndarray, box: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Which points (N,) lie in a box (2, 3), and a sentence about it.

    Raises:
        ScanError: None does.
    """
    kept = ((points >= box[0]) & (points <= box[1])).all(axis=1)
    if not kept.any():
        finite = points[np.isfinite(points).all(axis=1)]
        where = f'--crop "{box_text([finite.min(0), finite.max(0)])}"' if len(finite) else "empty"
        raise ScanError(f"{name}: nothing lies within --crop; the scan's own box is {where}.")
    return kept, f"Cropped: {kept.sum():,} of {len(points):,} points were kept."
