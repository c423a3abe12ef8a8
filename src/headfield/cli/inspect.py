"""What a scan file, or a saved head, holds, in words: for ``headfield doctor``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headfield.cli.scans import read_any
from headfield.errors import WeightsError
from headfield.fit.saved_file import FIT, holds_a_head
from headfield.frames import UNITS_IN_METRES, length_text
from headfield.io.crop import box_text
from headfield.io.scan import robust_extent
from headfield.types import Scan

HEAD_METRES = 0.30
"""Typical longest side of a head scan with its neck."""

_PLAUSIBLE = (0.13, 0.9)  # metres: from a child's face alone to a bust with shoulders


def describe(
    path: Path, intrinsics: Path | None = None, depth_unit: str | float = "mm", crop: str | None = None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Rows and notes about a scan.

    Args:
        path: The scan, or a depth map when `intrinsics` is given or its suffix says so.
        intrinsics: Camera JSON of a depth map.
        depth_unit: Unit of its depth values, or metres per count.
        crop: Box in the scan's frame and unit, see :func:`headfield.io.crop.as_box`; only what lies within counts.
    Raises:
        ScanError: The file cannot be read.
        ConfigError: `depth_unit` is no length, or `crop` no box.
    """
    scan = read_any(path, units=None, intrinsics=intrinsics, depth_unit=depth_unit, crop=crop)
    extent = robust_extent(scan.points)
    low, high = scan.points.min(axis=0), scan.points.max(axis=0)
    rows = {
        "points": f"{len(scan.points):,}",
        "triangles": "none (a point cloud)" if scan.triangles is None else f"{len(scan.triangles):,}",
        "box": " x ".join(f"{side:.4g}" for side in high - low) + f'  (--crop "{box_text([low, high])}")',
        "size": f"{extent:.4g} along the longest side without stray points: "
        + ", ".join(f"{length_text(extent * metres)} if {unit}" for unit, metres in UNITS_IN_METRES.items()),
        "unit": _unit(scan, extent),
        "normals": _normals(scan),
        "colours": "yes" if scan.colours is not None else "no",
        "bodies": _bodies(scan),
    }
    if scan.triangles is not None:
        rows["surface"] = _surface(scan)
    return rows, scan.notes


def is_head(path: Path) -> bool:
    """Whether a path is a saved fit or head, or the folder of one, rather than a scan."""
    if path.is_dir():
        return (path / FIT).is_file()
    return "#" in path.name or (path.suffix.lower() == ".npz" and path.is_file() and holds_a_head(path))


def describe_head(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Rows and notes about a saved fit or head.

    Raises:
        ScanError: It cannot be read, or holds several heads.
        WeightsError: Its model is not here.
    """
    from headfield.cli.export import load_head_or_fit
    from headfield.fit.result import Fit

    found = load_head_or_fit(path)
    if not isinstance(found, Fit):
        edits = ", ".join(operation["do"] for operation in found.history) or "none"
        rows = {"what": "a head", "head": repr(found.head), "weights": str(found.head.model.fingerprint)}
        return rows | {"unit": found.units, "edits": edits}, found.notes
    rows = {"what": "a fit", "model": found.model_name}
    rows["weights"] = "not known" if found.weights is None else str(found.weights)
    rows |= {"verdict": found.verdict.in_full, "hair": found.hair}
    for number, scan in enumerate(found.scans, start=1):
        rows["scan" if len(found.scans) == 1 else f"scan {number}"] = repr(scan)
    try:
        notes = found.weights_notes
    except WeightsError as error:  # its points can still be looked at, and fitted again
        notes = (str(error),)
    return rows, tuple(dict.fromkeys((*found.notes, *notes)))


def likely_units(extent: float) -> list[str]:
    """Units in which a length is a plausible longest side of a head scan, likeliest first."""
    sizes = {unit: extent * metres for unit, metres in UNITS_IN_METRES.items()}
    plausible = [unit for unit, size in sizes.items() if _PLAUSIBLE[0] < size < _PLAUSIBLE[1]]
    return sorted(plausible, key=lambda unit: abs(np.log(sizes[unit] / HEAD_METRES)))


def _unit(scan: Scan, extent: float) -> str:
    likely = likely_units(extent)
    if scan.units is not None:
        source = "the format says so" if scan.viewpoint is None else "as the depth was read, see --depth-unit"
        return f"{scan.units} ({source})"
    if not likely:
        return "none of mm, cm, m, inch makes this a head; the fit will leave its size free"
    return f"{likely[0]} is likely" + (f" ({', '.join(likely[1:])} possible)" if likely[1:] else "")


def _normals(scan: Scan) -> str:
    if scan.normals is None:
        return "none"
    outward = np.einsum("ni,ni->n", scan.normals, scan.points - np.median(scan.points, axis=0)) > 0
    share = float(outward.mean())
    source = "computed from triangles or stated" if scan.triangles is not None else "stated"
    if scan.viewpoint is not None:
        return "computed from the depth map, towards the camera"
    if share < 0.4:
        return (
            f"{source}; {1 - share:.0%} point inwards, so they are probably inverted (no harm: the fit does not mind)"
        )
    return f"{source}; {share:.0%} point outwards"


def _bodies(scan: Scan) -> str:
    from headfield.fit.bodies import bodies_of

    found = bodies_of(scan.points)
    if len(found.shares) == 1:
        return "1"
    return f"{len(found.shares)} separate ones: {found.told()}; the fit looks for one head among them"


def _surface(scan: Scan) -> str:
    """Edges used once are holes, more than twice are non-manifold."""
    points, index = np.unique(scan.points, axis=0, return_inverse=True)
    triangles = np.ravel(index)[scan.triangles]
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, uses = np.unique(edges[:, 0] * len(points) + edges[:, 1], return_counts=True)
    rim, tangled = int((uses == 1).sum()), int((uses > 2).sum())
    text = "closed" if not rim else f"open ({rim:,} edges at holes or rims)"
    return text + (f", {tangled:,} edges shared by more than two triangles" if tangled else "")
