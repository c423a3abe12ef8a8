"""Correspondence between captures that share a topology: carry each vertex from one to the other, and see the miss.

Through fits, a vertex goes into the neutral head of its own fit, by the anchors' displacement to the other's neutral
head, onto that surface and out again. Through a template, it goes to its place on the template wrapped round the one
and to the same place on the template wrapped round the other.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from headfield.evaluate.protocols import REAL
from headfield.evaluate.real import real_frames, real_scan
from headfield.evaluate.records import write_json
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import model_anchors, model_points
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.frames import reference_anchors
from headfield.models.protocol import Warped, require
from headfield.models.release import load
from headfield.surface.inverse_warp import from_canonical
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target
from headfield.types import Mesh

ROWS = "correspondence.json"
"""Where a folder keeps its rows."""

RESOLUTION = 192
"""Samples along the longest side of the meshes that vertices are put on."""


def carry(points: np.ndarray, source: Fit, target: Fit, resolution: int = RESOLUTION) -> np.ndarray:
    """Where points of one person are on another, by a fit of each.

    Args:
        points: (N, 3) in the frame and unit of the source's scan.
        source, target: Fits by the same model.
        resolution: Of the target's head that the points are put on, samples along the longest side.
    Returns:
        (N, 3) in the frame and unit of the target's scan, on the target's fitted head.
    """
    model = source.model
    placed = source.placement.apply(points)
    if source.expression.any():
        warp = require(model, Warped, "Carrying points from one expression to another")
        with torch.no_grad():
            placed = warp.to_canonical(model_points(model, placed)[None], source.codes())[0][0].double().cpu().numpy()
    ours, theirs = model_anchors(model, source.identity), model_anchors(model, target.identity)
    moved = placed + RBFInterpolator(ours, theirs - ours, kernel="linear", degree=1)(placed)
    _, foot = Target(mesh_of(model, target.codes(neutral=True), resolution)).closest(moved)
    there = foot.points
    if target.expression.any():
        there = from_canonical(model, there, target.codes()).points
    return target.placement.inverse().apply(there)


def carry_on_template(points: np.ndarray, source: Mesh, target: Mesh) -> np.ndarray:
    """Where points (N, 3) are on another person, by one template wrapped round each (the same triangles)."""
    _, foot = Target(source).closest(points)
    return foot.interpolate(target, target.vertices)


def on_face(name: str) -> np.ndarray:
    """Vertices (N,) bool of a real capture whose nearest anchor place is one of the face's."""
    placed = real_frames()[name].apply(real_scan(name).points)
    return FACE_PARTS[cKDTree(reference_anchors()).query(placed)[1]]


def miss(name: str, other: str, carried: np.ndarray) -> np.ndarray:
    """How far (M,) mm the vertices of `name`, carried to `other`, lie from the same vertices there; the face's only."""
    gap = np.linalg.norm(carried - real_scan(other).points, axis=1)
    return gap[on_face(name)]


def real_correspondence(out: Path, model_name: str) -> list[dict]:
    """The misses between real masks and between averages, through fits and through wraps.

    Args:
        out: Folder; fits and wraps are kept there, and the rows in ``correspondence.json``.
        model_name: Released model.
    Returns:
        Rows: ``between``, ``by``, ``pairs``, and mm ``median`` and ``p90`` of the face's vertices, the median over the
        pairs, and the ``median_largest`` and ``p90_largest`` of any pair.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = load(model_name)
    rows = []
    for group in ("mask", "average"):
        names = [name for name in REAL if name.startswith(group)]
        fits = {name: _fitted(name, model, out) for name in names}
        wraps = {name: _wrapped(name, model, out) for name in names}
        ways = {
            "fits": lambda a, b, fits=fits: carry(real_scan(a).points, fits[a], fits[b]),
            "wrap": lambda a, b, wraps=wraps: carry_on_template(real_scan(a).points, wraps[a], wraps[b]),
        }
        for way, through in ways.items():
            gaps = [miss(a, b, through(a, b)) for a, b in combinations(names, 2)]
            medians, tails = [np.median(gap) for gap in gaps], [np.percentile(gap, 90) for gap in gaps]
            numbers = [np.median(medians), np.max(medians), np.median(tails), np.max(tails)]
            named = zip(("median", "median_largest", "p90", "p90_largest"), map(float, numbers))
            rows.append({"between": f"{group}s", "by": way, "pairs": len(gaps), **dict(named)})
    write_json(out / ROWS, {"rows": rows})
    return rows


def correspondence_table(rows: list[dict]) -> str:
    """The rows in Markdown."""
    lines = ["| between | by | pairs | median of medians, mm | largest | p90, median | largest |", "|---" * 7 + "|"]
    for row in rows:
        cells = [f"{row[name]:.2f}" for name in ("median", "median_largest", "p90", "p90_largest")]
        lines.append(f"| {row['between']} | {row['by']} | {row['pairs']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _fitted(name: str, model, out: Path) -> Fit:
    """A fit of the file as it is, told that it is neutral and in millimetres."""
    path = out / f"{name}-fit.npz"
    if not path.exists():
        fit(real_scan(name), model, units="mm", up="y", expression="neutral", refuse=False).save(path)
    return Fit.load(path, model)


def _wrapped(name: str, model, out: Path) -> Mesh:
    """ICT-FaceKit's mean head wrapped round the file as it is."""
    from headfield.curate.wrap import WrapOptions, wrap
    from headfield.fit.options import FitOptions
    from headfield.io.mesh import write_bytes
    from headfield.synth.person import family

    head, _ = family("ict")
    path = out / f"{name}-wrap.npy"
    if not path.exists():
        template = Mesh(head.raw_vertices(head.mean_identity()), head.triangles)
        options = WrapOptions(fit=FitOptions(units="mm", up="y"), template_units="m")
        found = wrap(real_scan(name), template, model, options)
        write_bytes(path, _npy(found.vertices))
    return Mesh(np.load(path), head.triangles)


def _npy(array: np.ndarray) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
