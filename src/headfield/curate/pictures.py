"""Thumbnails of the stages for the report."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from headfield.curate.measures import STRAY_MM
from headfield.surface.sheet import contact_sheet
from headfield.surface.snapshot import error_colours, render, render_points, spacing
from headfield.types import Mesh, Scan, Similarity

SIZE = 220
"""Pixels of a thumbnail's side."""

_FRAME = np.array([[-0.42, -0.6, -0.65], [0.42, 0.62, 0.35]])
"""Corners of what thumbnails show, model frame."""

_VIEW = {"view": "three_quarter", "size": SIZE, "frame_on": _FRAME}


def scan_picture(scan: Scan, placement: Similarity) -> np.ndarray:
    """A scan as it was placed, (H, W, 3)."""
    points = placement.apply(scan.points)
    if scan.triangles is not None:
        return render(Mesh(points, scan.triangles), occlusion_rays=0, colours=scan.colours, **_VIEW)
    near = (np.abs(points) < 1.2).all(1)
    near = near if near.sum() >= 10 else np.ones(len(points), dtype=bool)
    colours = None if scan.colours is None else scan.colours[near]
    return render_points(points[near], radius=1.7 * spacing(points[near]), colours=colours, **_VIEW)


def mesh_picture(mesh: Mesh) -> np.ndarray:
    """A head as clay, (H, W, 3)."""
    return render(mesh, occlusion_rays=0, **_VIEW)


def error_picture(mesh: Mesh, points: np.ndarray, millimetres: float, most: float = 3.0) -> np.ndarray:
    """A head with the distance of its surface to the scan, grey where the scan shows nothing, (H, W, 3).

    Args:
        mesh: Model frame.
        points: (N, 3) scan points, model frame.
        millimetres: Of a model unit.
        most: Dark end of the colours, millimetres.
    """
    gap = cKDTree(points).query(mesh.vertices)[0] * millimetres
    colours = error_colours(np.where(gap < STRAY_MM / 2, gap, np.nan), most)
    return render(mesh, occlusion_rays=0, colours=colours, **_VIEW)


def tried_picture(scan: Scan) -> np.ndarray:
    """A scan in which no head was found, from three sides of its own frame, (H, W, 3)."""
    points = scan.points[:: max(1, len(scan.points) // 20_000)]
    low, high = np.percentile(points, [1, 99], axis=0)
    frame = np.stack([low, high]) + np.array([[-0.2], [0.2]]) * (high - low).max()
    views = {"along z": "front", "along x": "left", "along y": "top"}
    pictures = [
        render_points(points, view=view, size=SIZE, radius=1.7 * spacing(points), frame_on=frame)
        for view in views.values()
    ]
    return contact_sheet(pictures, 3, list(views))
