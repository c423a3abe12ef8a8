"""Gaussian splats in PLY: the centres of those that are opaque, as a cloud of coloured points.

The layout is that of "3D Gaussian Splatting for Real-Time Radiance Field Rendering" (Kerbl et al. 2023), which programs
that make splats write: opacity before its sigmoid, colour as spherical harmonics of which the first is the mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io.ply import Element, columns
from headfield.io.raw import RawGeometry

OPAQUE = 0.5
"""Opacity from which on a splat counts as surface."""

_FIRST = ("f_dc_0", "f_dc_1", "f_dc_2", "opacity")
_HARMONIC = 0.28209479177387814  # the constant one, sqrt(1 / (4 pi))


def is_splat(elements: dict[str, Element]) -> bool:
    """Whether a PLY file's elements are Gaussian splats, packed ones too."""
    names = set(elements.get("vertex", {}))
    return {*_FIRST, "scale_0", "rot_0"} <= names or {"packed_position", "packed_color"} <= names


def opaque_centres(path: Path, vertex: Element) -> RawGeometry:
    """The centres of opaque splats with their mean colours, and a note that says so.

    Raises:
        ScanError: The splats are packed or damaged, or none of them is opaque.
    """
    if "packed_position" in vertex:
        raise ScanError(
            f"{path}: Gaussian splats in packed form (packed_position), which is not read. Export them as an "
            "uncompressed PLY."
        )
    points, first = columns(vertex, ("x", "y", "z")), columns(vertex, _FIRST)
    if points is None or first is None:
        raise ScanError(
            f"{path}: Gaussian splats without x, y and z, or with lists among their numbers. Export it again."
        )
    first = first.astype(np.float64)
    opacity = 1 / (1 + np.exp(-np.clip(np.nan_to_num(first[:, 3], nan=-30.0), -30, 30)))
    kept = opacity >= OPAQUE
    if not kept.any():
        raise ScanError(
            f"{path}: {len(points):,} Gaussian splats, none of which is opaque (opacity of {OPAQUE} or more): there is "
            "no surface in it."
        )
    colours = np.rint(255 * np.clip(np.nan_to_num(0.5 + _HARMONIC * first[kept, :3]), 0, 1)).astype(np.uint8)
    note = (
        f"Gaussian splats: the centres of the {kept.sum():,} of {len(points):,} that are opaque are read as points, "
        "with their mean colours; a surface made of the same pictures is finer."
    )
    return RawGeometry(points[kept], colours=colours, notes=(note,))
