"""The fits of a person, who has one identity in all scans: of an explicit head, and of the implicit model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from headfield.curate.options import CurateOptions
from headfield.curate.records import Made
from headfield.curate.stages import Arrays, placement_arrays, placement_of
from headfield.curate.subjects import NEUTRAL
from headfield.fit.placement import Placement, size_log_of
from headfield.types import Scan


def fit_template(
    scans: Sequence[Scan],
    names: Sequence[str | None],
    landmarks: Sequence[Arrays],
    placements: Sequence[Placement],
    options: CurateOptions,
) -> Made:
    """The explicit head of a person: its identity, and of each scan the placement and the expression.

    The expression of a scan that is named neutral is held at rest, so that identity and expression are told apart.

    A head of ICT-FaceKit or anny is not turned on its neck: skull and face define the frame of every scan, and how the
    neck bends beneath is left to the registration.

    Raises:
        ScanError: A scan has hardly any point around its head.
        HeadfieldError: The family cannot be loaded.
    """
    from headfield.curate.parametric_fit import fit_parametric
    from headfield.curate.parametric_options import ParametricOptions
    from headfield.curate.parametric_target import ScanTarget
    from headfield.curate.sampling import sheet_arrays
    from headfield.synth.person import family

    head, sheet = family(options.family, options.family_file)
    targets = [
        ScanTarget(scan, placement, marks.get("points"), marks.get("confidence"), name == NEUTRAL)
        for scan, name, placement, marks in zip(scans, names, placements, landmarks)
    ]
    arkit = options.family in ("ict", "anny")  # the others have joints of their own, FLAME opens its mouth by one
    fit = fit_parametric(head, targets, ParametricOptions(pose=not arkit, seed=options.seed))
    expressions = {"expressions": np.stack([one.expression for one in fit.scans])} if arkit else {}
    corners, weights = corner_weights(head.landmark_rows)
    return Made(
        {
            "neutral": fit.neutral,
            "posed": np.stack([one.vertices for one in fit.scans]),
            "triangles": np.asarray(head.triangles),
            "skin": ~np.asarray(head.interior),
            **sheet_arrays(sheet),
            **expressions,
            "identity": fit.identity,
            "anchor_vertices": np.asarray(head.anchor_vertices),
            "landmark_corners": corners,
            "landmark_weights": weights,
            **placement_arrays(*(one.placement.similarity for one in fit.scans)),
        },
        {
            "units": [one.placement.units for one in fit.scans],
            "fit_mm": [one.placement.evidence["median_mm"] for one in fit.scans],
            "explained": [one.placement.evidence["explained"] for one in fit.scans],
        },
    )


def corner_weights(rows: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Rows (L, V) of a few entries each as vertices (L, K) and their weights (L, K), filled up with weight zero."""
    rows = rows.tocsr()
    most = int(np.diff(rows.indptr).max(initial=1))
    corners, weights = np.zeros((rows.shape[0], most), dtype=np.int64), np.zeros((rows.shape[0], most))
    for row in range(rows.shape[0]):
        inside = slice(rows.indptr[row], rows.indptr[row + 1])
        count = inside.stop - inside.start
        corners[row] = rows.indices[inside][0]
        corners[row, :count], weights[row, :count] = rows.indices[inside], rows.data[inside]
    return corners, weights


def fit_model(scans: Sequence[Scan], fitted: Arrays, units: Sequence[str], options: CurateOptions) -> Made:
    """The implicit model of a person, from which completion takes what the scanner missed.

    Raises:
        ScanError: Hardly any points lie around a head.
    """
    from headfield.fit.options import FitOptions
    from headfield.fit.run import fit_placed
    from headfield.models.release import load

    starts = []
    for number, unit in enumerate(units):
        similarity = placement_of(fitted, number)
        starts.append(Placement(similarity, unit, size_log_of(similarity.scale, unit), 0.0))
    fit = fit_placed(scans, starts, load(options.model), FitOptions(seed=options.seed, refuse=False))
    return Made(
        {
            "identity": np.asarray(fit.identity),
            "expressions": np.stack([one.expression for one in fit.scans]),
            **placement_arrays(*(one.placement for one in fit.scans)),
        },
        {"hair": fit.hair if fit.hair != "all" else "unknown"},
    )
