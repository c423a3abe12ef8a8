"""How far a predicted head is from the true one: Chamfer distances, normal consistency, F-scores, in millimetres.

Let P be samples spread by area over the predicted surface and T over the true one, d(p, S) the distance of p to the
closest place of surface S (`method="surface"`) or to the closest of its samples (`method="points"`, as the papers do;
never smaller, and by about half the sample spacing too large near zero).

* accuracy = mean over P of d(p, truth); completeness = mean over T of d(t, prediction).
* Chamfer L1 = (accuracy + completeness) / 2, mm. Chamfer L2 = half the sum of the mean squares, mm^2.
* Normal consistency = half the sum of both means of |n(p) . n(closest place)|; normals are interpolated between
  vertices, on both meshes.
* F@t = harmonic mean of precision (share of P within t) and recall (share of T within t).

**What counts.** Only surface that can be seen from outside counts, on either side and in both roles
(`visible_triangles` or a given mask): mouth bags and eyeballs behind lids do not. Places on the cut at the neck do not
count: of the truth the cap and everything within 5 mm of it, of the prediction everything whose closest true place is
such. A region (face, hair, lips) is a set of true vertices: a true sample belongs to it when its interpolated weight is
above one half, a predicted sample when its closest true place does. NPHM's evaluation differs: it back-projects ten
depth renders instead of testing visibility, and measures to points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from headfield.errors import present
from headfield.neighbours import PointTree

from ..frames import MM_PER_UNIT
from ..surface.nearest import OnSurface, Target, sample_surface
from ..surface.visibility import visible_triangles
from ..types import Mesh

THRESHOLDS_MM = (1.0, 1.5, 5.0)
CUT_BAND_MM = 5.0


@dataclass(frozen=True)
class Truth:
    """One head as it truly is, in its own model frame.

    Attributes:
        mesh: Outward triangles; may be a union of closed components.
        visible: (F,) bool, triangles that count, or None for `visible_triangles`.
        cap: (F,) bool, the neck's cap, or None for none.
        face: (V,) bool, or None where nothing is said of it.
        regions: Further vertex masks (V,) by name, each measured by itself: ``lips``, ``lids``, ``neck``, ``hair``.
    """

    mesh: Mesh
    visible: np.ndarray | None = None
    cap: np.ndarray | None = None
    face: np.ndarray | None = None
    regions: dict[str, np.ndarray] = field(default_factory=dict)

    def masks(self) -> dict[str, np.ndarray]:
        """The vertex masks that there are, by name.

        Raises:
            ValueError: One has another length than the vertices.
        """
        given = {"face": self.face, **self.regions}
        for name, mask in given.items():
            if mask is not None and len(mask) != len(self.mesh.vertices):
                vertices = len(self.mesh.vertices)
                raise ValueError(f"the mask {name!r} has {len(mask)} entries, the truth {vertices} vertices")
        return {name: mask for name, mask in given.items() if mask is not None}

    def cap_or_none(self) -> np.ndarray:
        """The cap (F,) bool, of no triangle where there is none.

        Raises:
            ValueError: It has another length than the triangles.
        """
        count = len(self.mesh.triangles)
        if self.cap is None:
            return np.zeros(count, dtype=bool)
        if len(self.cap) != count:
            raise ValueError(f"the cap has {len(self.cap)} entries, the truth {count} triangles")
        return np.asarray(self.cap, dtype=bool)


@dataclass(frozen=True)
class Metrics:
    """Errors of one head in one region.

    Attributes:
        accuracy_mm: Mean distance from the prediction to the truth.
        completeness_mm: Mean distance from the truth to the prediction.
        chamfer_l1_mm: Their mean.
        chamfer_l2_mm2: Mean of the two mean squared distances, mm^2.
        normal_consistency: Mean |cosine| of corresponding normals, both ways, 0..1.
        f1: F-score at 1 mm, 0..1.
        f1_5: F-score at 1.5 mm.
        f5: F-score at 5 mm.
        median_mm: Median of the distances of both directions.
        p90_mm: Their 90th percentile.
        samples: Predicted and true samples that counted.
    """

    accuracy_mm: float
    completeness_mm: float
    chamfer_l1_mm: float
    chamfer_l2_mm2: float
    normal_consistency: float
    f1: float
    f1_5: float
    f5: float
    median_mm: float
    p90_mm: float
    samples: tuple[int, int]


@dataclass(frozen=True)
class PairMetrics:
    """Errors of one head.

    Attributes:
        whole: Whole head without the cut.
        face: The face region, or None when no mask was given.
        regions: Further regions by name.
        truth_points: (N, 3) counted true samples, in the meshes' unit, for error pictures.
        truth_errors_mm: (N,) their distances to the prediction.
    """

    whole: Metrics
    face: Metrics | None
    regions: dict[str, Metrics]
    truth_points: np.ndarray
    truth_errors_mm: np.ndarray


def f_score(accuracy: np.ndarray, completeness: np.ndarray, threshold: float) -> float:
    """Harmonic mean of the shares of distances (N,) and (M,) that are at most the threshold, 0..1."""
    precision, recall = float((accuracy <= threshold).mean()), float((completeness <= threshold).mean())
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def metrics_from(
    accuracy: np.ndarray, completeness: np.ndarray, cosine_accuracy: np.ndarray, cosine_completeness: np.ndarray
) -> Metrics:
    """Metrics from distances of predicted (N,) and true samples (M,) in mm and the cosines of their normals.

    All are NaN when a side has no sample.
    """
    counts = (len(accuracy), len(completeness))
    if not all(counts):
        return Metrics(*([float("nan")] * 10), samples=counts)
    both = np.concatenate([accuracy, completeness])
    return Metrics(
        accuracy_mm=float(accuracy.mean()),
        completeness_mm=float(completeness.mean()),
        chamfer_l1_mm=float(accuracy.mean() + completeness.mean()) / 2,
        chamfer_l2_mm2=float((accuracy**2).mean() + (completeness**2).mean()) / 2,
        normal_consistency=float(np.abs(cosine_accuracy).mean() + np.abs(cosine_completeness).mean()) / 2,
        f1=f_score(accuracy, completeness, THRESHOLDS_MM[0]),
        f1_5=f_score(accuracy, completeness, THRESHOLDS_MM[1]),
        f5=f_score(accuracy, completeness, THRESHOLDS_MM[2]),
        median_mm=float(np.median(both)),
        p90_mm=float(np.percentile(both, 90)),
        samples=counts,
    )


def _between(source: OnSurface, others: OnSurface | None, target: Target | None) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N,) and cosines (N,) from samples to a surface, or to other samples."""
    if target is not None:
        distance, place = target.closest(source.points)
        return distance, (source.normals * place.normals).sum(1)
    others = present(others, "samples to compare with")
    distance, index = PointTree(others.points).query(source.points, workers=-1)
    return distance, (source.normals * others.normals[index]).sum(1)


def evaluate_pair(
    predicted: Mesh,
    truth: Truth,
    *,
    visible: np.ndarray | None = None,
    samples: int = 100_000,
    rng: np.random.Generator | None = None,
    mm_per_unit: float = MM_PER_UNIT,
    method: str = "surface",
) -> PairMetrics:
    """Compare a predicted mesh with the truth, in the same frame; definitions at the top of this module.

    Args:
        predicted: Outward triangles.
        truth: What it is compared with.
        visible: (F,) bool over the prediction's triangles; default `visible_triangles`.
        samples: Per side, before anything is left out.
        rng: Default `default_rng(0)`: the same meshes give the same numbers.
        mm_per_unit: Millimetres per unit of the meshes: 250 for an average adult in the model frame, that times the
            head's own size for another.
        method: ``surface`` or ``points``.

    Raises:
        ValueError: The method is unknown, a mask has another length than what it masks, or a mesh has no area left.
        MissingExtra: ``surface`` without libigl.
    """
    if method not in ("surface", "points"):
        raise ValueError(f"method {method!r} is unknown: 'surface' measures to triangles, 'points' to samples")
    masks, cap = truth.masks(), truth.cap_or_none()
    rng = np.random.default_rng(0) if rng is None else rng
    seen = visible_triangles(truth.mesh) if truth.visible is None else np.asarray(truth.visible, dtype=bool)
    visible = visible_triangles(predicted) if visible is None else visible
    ours = sample_surface(predicted, samples, rng, visible)
    theirs = sample_surface(truth.mesh, samples, rng, seen & ~cap)
    # the cap belongs to what is measured to (else a predicted cap would be far from everything), not to what counts
    distance, place = Target(truth.mesh, seen | cap).closest(ours.points)
    cosine = (ours.normals * place.normals).sum(1)
    off_cut, theirs_off_cut = _off_cut(truth.mesh, cap, place, theirs, CUT_BAND_MM / mm_per_unit)
    ours, place, distance, cosine = ours.pick(off_cut), place.pick(off_cut), distance[off_cut], cosine[off_cut]
    theirs = theirs.pick(theirs_off_cut)
    if method == "surface":
        back, back_cosine = _between(theirs, None, Target(predicted, visible))
    else:
        distance, cosine = _between(ours, theirs, None)
        back, back_cosine = _between(theirs, ours, None)

    def measure(of_ours: np.ndarray | slice, of_theirs: np.ndarray | slice) -> Metrics:
        forth_mm, back_mm = distance[of_ours] * mm_per_unit, back[of_theirs] * mm_per_unit
        return metrics_from(forth_mm, back_mm, cosine[of_ours], back_cosine[of_theirs])

    found = {
        name: measure(place.interpolate(truth.mesh, mask) > 0.5, theirs.interpolate(truth.mesh, mask) > 0.5)
        for name, mask in masks.items()
    }
    return PairMetrics(
        whole=measure(slice(None), slice(None)),
        face=found.pop("face", None),
        regions=found,
        truth_points=theirs.points,
        truth_errors_mm=back * mm_per_unit,
    )


def _off_cut(
    mesh: Mesh, cap: np.ndarray, place: OnSurface, theirs: OnSurface, band: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which predicted samples, by their closest true places, and which true samples lie off the neck's cut."""
    if not cap.any():
        return np.ones(len(place.points), bool), np.ones(len(theirs.points), bool)
    to_cap = Target(mesh, cap)
    ours = ~cap[place.triangle] & (to_cap.closest(place.points)[0] > band)
    return ours, to_cap.closest(theirs.points)[0] > band


def scan_errors(points: np.ndarray, mesh: Mesh, mm_per_unit: float = MM_PER_UNIT) -> np.ndarray:
    """Unsigned distances (N,) in mm from the points of an open scan (N, 3) to the surface of a head, same frame.

    One-sided on purpose: where the scan has holes there is nothing to compare with.
    """
    return Target(mesh).closest(points)[0] * mm_per_unit


def vertex_errors(source: Mesh, target: Mesh, mm_per_unit: float = MM_PER_UNIT) -> np.ndarray:
    """Unsigned distances (V,) in mm from the vertices of one mesh to the surface of another, for error pictures."""
    return scan_errors(source.vertices, target, mm_per_unit)


def summarise(results: Sequence[Metrics]) -> dict[str, dict[str, float]]:
    """n, mean, median and p90 over heads of every quantity.

    Heads for which a quantity is NaN (an empty region) are left out of it; `n` says how many counted. For normal
    consistency and F-scores, where more is better, p90 is the value that 90 % of the heads reach or exceed.
    """
    table: dict[str, dict[str, float]] = {}
    for item in fields(Metrics):
        if item.name == "samples":
            continue
        values = np.array([getattr(result, item.name) for result in results], dtype=float)
        values = values[np.isfinite(values)]
        more_is_better = item.name in ("normal_consistency", "f1", "f1_5", "f5")
        if len(values):
            worst = float(np.percentile(values, 10 if more_is_better else 90))
            row: dict[str, float] = {"mean": float(values.mean()), "median": float(np.median(values)), "p90": worst}
        else:
            row = dict.fromkeys(("mean", "median", "p90"), float("nan"))
        table[item.name] = {"n": len(values), **row}
    return table


def markdown_table(
    rows: Mapping[str, Sequence[Metrics]], columns: Sequence[str] = ("chamfer_l1_mm", "normal_consistency", "f1_5")
) -> str:
    """A table with one row per method or region and, for each quantity, mean / median / p90 over heads."""
    lines = ["| what | n | " + " | ".join(f"{c} mean / median / p90" for c in columns) + " |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for name, results in rows.items():
        table = summarise(results)
        cells = [" / ".join(f"{table[c][key]:.3f}" for key in ("mean", "median", "p90")) for c in columns]
        lines.append(f"| {name} | {table[columns[0]]['n']:.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
