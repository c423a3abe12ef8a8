"""The picture of docs/parametric.md: raw scans, the explicit heads fitted to them, and how far the scan lies off.

    python benchmarks/parametric_pictures.py --out docs/images/parametric_fit.png

Scans and families are named below; none was chosen by its looks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from parametric_fit import METHODS, fitted_family, observed, placed
from scipy.spatial import cKDTree

from headfield.curate.parametric_fit import fit_parametric
from headfield.curate.parametric_target import ScanTarget
from headfield.surface.nearest import Target
from headfield.surface.sheet import contact_sheet, error_colours, error_legend, write_png
from headfield.surface.snapshot import render, render_points, spacing
from headfield.types import Mesh

SCANS = ((4, "ict"), (6, "ict"), (5, "ict"), (6, "anny"), (3, "pca-anny"), (0, "anny"))
"""Number in the dev split and the family that is fitted."""

FRAME = np.array([[-0.42, -0.55, -0.65], [0.42, 0.62, 0.35]])
MOST_MM, SIZE, NEAR_MM = 3.0, 230, 8.0


def pictures(number: int, method: str) -> tuple[list[np.ndarray], list[str]]:
    """Scan, fit from two sides, and error map of one scan."""
    raw, expression = observed("dev", number, False)
    fit = fit_parametric(fitted_family(method), [ScanTarget(raw.scan, placed(raw, "imhead-open-small"))])
    found, mesh = fit.scans[0], fit.mesh(0)
    mm = raw.mm / found.placement.similarity.scale
    points = found.placement.similarity.apply(raw.scan.points)
    near = (np.abs(points) < 1.2).all(1)
    distance, foot = Target(mesh).closest(points[near])
    gap, nearest = cKDTree(foot.points).query(mesh.vertices)
    errors = np.where(gap * mm < NEAR_MM, distance[nearest] * mm, np.nan)
    size = {"size": SIZE, "frame_on": FRAME}
    bald = Mesh(mesh.vertices, mesh.triangles)
    views = [
        render_points(points[near], view="three_quarter", radius=1.7 * spacing(points[near]), **size),
        render(bald, view="three_quarter", **size),
        render(bald, view="three_quarter", colours=error_colours(errors, MOST_MM), **size),
        render(bald, view="front", colours=error_colours(errors, MOST_MM), **size),
    ]
    what = f"{raw.name}{', posed' if expression is not None else ''}{', frontal' if raw.frontal else ''}"
    median = np.median(np.abs(found.distances[found.explained]))
    return views, [what, f"fitted: {METHODS[method]}", f"scan to model {median:.2f} mm", "front"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/parametric_fit.png"))
    options = parser.parse_args()
    images, labels = [], []
    for number, method in SCANS:
        more, said = pictures(number, method)
        images, labels = images + more, labels + said
    legend = error_legend(4 * SIZE, MOST_MM, "distance of the scan from the fitted head (mm); grey: nothing was seen")
    write_png(contact_sheet(images, 8, labels, "Explicit heads fitted to raw scans", legend), options.out, 256)


if __name__ == "__main__":
    main()
