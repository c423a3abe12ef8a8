"""Is it a head? The numbers behind a fit's refusal, and the words for it."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from headfield.errors import NotAHeadError
from headfield.fit.face_detail import face_detail
from headfield.fit.gate import FACE_PARTS
from headfield.frames import ANCHOR_NAMES
from headfield.neighbours import PointTree

SCALP = np.array([name.startswith(("crown", "head_back")) for name in ANCHOR_NAMES])
"""Anchors (39,) that only a scan of the hair or the bare scalp comes near."""

NEAR = 0.12
"""Points within this distance of the head (model units, 30 mm) are what the head should explain."""

LIMITS = {
    "median_mm": 3.0,
    "inliers": 0.62,
    "covered_anchors": 0.4,
    "deviation": 2.0,
    "relief_mm": 2.5,
    "face_detail_mm": 0.25,
    "face_explained": 0.25,
}
"""Beyond these a fit is refused; set between scans of heads and of other things (benchmarks/verdict.py)."""

NO_FACE = 0.3
"""Below this share of the face's places seen there is no face in the scan."""


def evidence_of(
    placed: np.ndarray,
    residual: np.ndarray,
    anchors: np.ndarray,
    cut: np.ndarray,
    identity: np.ndarray,
    mm_per_unit: float,
) -> dict[str, float]:
    """What speaks for and against a head.

    Args:
        placed: (N, 3) scan points in the model frame.
        residual: (N,) their signed distances, model units.
        anchors: (39, 3) of the fitted head.
        cut: (4,) the plane of its neck, see :func:`headfield.fit.mean_field.neck_plane`, raised by `RIM`.
        identity: (D,) code.
        mm_per_unit: True millimetres of a model unit.
    Returns:
        ``median_mm``: median distance of points near the head; ``inliers``: share of those within 5 mm;
        ``explained``: share of all points within 5 mm; ``covered_anchors``: share of the 39 anchors with a scan point
        within 15 mm; ``covered_face``: the same of the face's; ``deviation``: rms of the code, standard deviations;
        ``relief_mm``: 90th percentile of those points' distances to the quadric that fits them best;
        ``covered_scalp``: share of the crown's and the back's anchors with a scan point within 45 mm, hair and all;
        ``face_mm``: median distance of the points around the face; ``face_detail_mm``, ``face_explained`` and
        ``face_rejected``: see :class:`headfield.fit.face_detail.FaceDetail`.
    """
    above = placed @ cut[:3] + cut[3] > 0
    near = above & (np.abs(residual) < NEAR)
    face = FACE_PARTS[PointTree(anchors).query(placed)[1]] if len(placed) else above
    size = np.abs(residual) * mm_per_unit
    gap = PointTree(placed).query(anchors)[0] * mm_per_unit if len(placed) else np.full(len(anchors), np.inf)
    detail = face_detail(placed[above & face] * mm_per_unit, residual[above & face] * mm_per_unit)
    return {
        "median_mm": float(np.median(size[near])) if near.any() else float("inf"),
        "inliers": float((size[near] <= 5.0).mean()) if near.any() else 0.0,
        "explained": float((size <= 5.0).mean()),
        "covered_anchors": float((gap < 15.0).mean()),
        "covered_face": float((gap[FACE_PARTS] < 15.0).mean()),
        "covered_scalp": float((gap[SCALP] < 45.0).mean()),
        "deviation": float(np.sqrt(np.mean(np.square(identity)))),
        "relief_mm": quadric_relief(placed[near]) * mm_per_unit,
        "face_mm": float(np.median(size[near & face])) if (near & face).any() else float("inf"),
        "face_detail_mm": detail.scan_mm,
        "face_explained": detail.explained,
        "face_rejected": detail.rejected,
    }


def quadric_relief(points: np.ndarray) -> float:
    """How far points (N, 3) are from any ball, egg, tube or plane, in their own unit.

    A flexible head can hug a ball to half a millimetre; what tells a face is that no quadric explains it. The quadric
    is Taubin's (1991, mean squared value over mean squared gradient), fitted twice, the second time without the worst
    tenth; distances are first order, value over gradient.

    Returns:
        The 90th percentile of the distances; infinity for fewer than 20 points.
    """
    if len(points) < 20:
        return float("inf")
    centred = points - points.mean(0)
    scale = np.sqrt((centred**2).sum(1).mean()) + 1e-12
    x, y, z = (centred / scale).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    terms = np.stack([x * x, y * y, z * z, x * y, x * z, y * z, x, y, z, one], axis=1)
    slopes = np.stack(
        [
            np.stack([2 * x, zero, zero, y, z, zero, one, zero, zero, zero], axis=1),
            np.stack([zero, 2 * y, zero, x, zero, z, zero, one, zero, zero], axis=1),
            np.stack([zero, zero, 2 * z, zero, x, y, zero, zero, one, zero], axis=1),
        ]
    )
    kept = np.ones(len(x), dtype=bool)
    for _ in range(2):
        moments = terms[kept].T @ terms[kept]
        gradients = np.einsum("cni,cnj->ij", slopes[:, kept], slopes[:, kept]) + 1e-9 * np.eye(10)
        quadric = eigh(moments, gradients, subset_by_index=(0, 0))[1][:, 0]
        distance = np.abs(terms @ quadric) / (np.linalg.norm(slopes @ quadric, axis=0) + 1e-9)
        kept = distance <= np.quantile(distance, 0.9)
    return float(np.quantile(distance, 0.9)) * scale


def refuse_unless_head(evidence: dict[str, float], name: str) -> None:
    """Raise when the evidence says that this is no head.

    Raises:
        NotAHeadError: With the residual, the inlier share and what was expected.
    """
    failed = []
    if evidence["median_mm"] > LIMITS["median_mm"]:
        failed.append(f"residual {evidence['median_mm']:.1f} mm (heads: below {LIMITS['median_mm']:g} mm)")
    if evidence["inliers"] < LIMITS["inliers"]:
        failed.append(f"inlier share {evidence['inliers']:.0%} (heads: above {LIMITS['inliers']:.0%})")
    if evidence["covered_anchors"] < LIMITS["covered_anchors"]:
        failed.append(
            f"{evidence['covered_anchors']:.0%} of the head's 39 anchor places seen (heads: above "
            f"{LIMITS['covered_anchors']:.0%})"
        )
    if evidence["deviation"] > LIMITS["deviation"]:
        failed.append(
            f"shape {evidence['deviation']:.1f} standard deviations off (heads: below {LIMITS['deviation']:g})"
        )
    if evidence["relief_mm"] < LIMITS["relief_mm"]:
        failed.append(
            f"as smooth as a ball or an egg, relief {evidence['relief_mm']:.1f} mm (heads: above "
            f"{LIMITS['relief_mm']:g} mm)"
        )
    failed += _against_face(evidence)
    if failed:
        raise NotAHeadError(
            f"{name}: not a head, as far as can be seen. Best attempt: residual {evidence['median_mm']:.1f} mm, "
            f"inlier share {evidence['inliers']:.0%}. Against it: {'; '.join(failed)}. {_try(evidence)}"
        )


def _try(evidence: dict[str, float]) -> str:
    """What to do about a refusal."""
    if evidence["covered_face"] < NO_FACE and evidence["median_mm"] <= LIMITS["median_mm"]:
        return "A fit needs a face: scan it from the front as well, or crop less."
    return "If it is one, say where: --landmarks file.json, --units, --up; or crop the scan to the head."


def _against_face(evidence: dict[str, float]) -> list[str]:
    """What is said against the face; nothing when the scan does not show enough of the place."""
    seen, detail, explained = (evidence[key] for key in ("covered_face", "face_detail_mm", "face_explained"))
    few = evidence["covered_anchors"] < LIMITS["covered_anchors"]
    if seen < NO_FACE:
        return [f"no face is seen ({seen:.0%} of its places are in the scan)"] if few else []
    if detail < LIMITS["face_detail_mm"]:
        return [
            f"no face: where it should be the scan is smooth, detail {detail:.2f} mm (faces: above "
            f"{LIMITS['face_detail_mm']:g} mm)"
        ]
    if explained < LIMITS["face_explained"]:
        return [
            f"no face: of the detail where it should be {max(explained, 0.0):.0%} is a face's (heads: above "
            f"{LIMITS['face_explained']:.0%})"
        ]
    return []
