"""Trying placements: a short fit at each, and what it explains of the head and of the face's detail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from headfield.fit.clean import thin
from headfield.fit.face_detail import FaceDetail, face_detail
from headfield.fit.gate import FACE_PARTS, Gate
from headfield.fit.mean_field import MeanField, class_fields, neck_plane
from headfield.fit.normal_equations import RIM, Cloud, field_values, model_anchors
from headfield.fit.options import FitOptions
from headfield.fit.placement import (
    Placement,
    look_back,
    millimetres_per_unit,
    similarity_of_size,
    size_log_of,
    unit_of,
)
from headfield.fit.problem import SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.frames import UNITS_IN_METRES
from headfield.neighbours import PointTree
from headfield.types import Scan, Similarity

_SHORT = SolverOptions(iterations=5, gate=Gate(0.06, 0.012, 4), expression="neutral", early_iterations=0, hair=False)
"""A short neutral fit: five steps with a gate that goes from 15 to 3 mm."""

_POINTS = 600
"""Points of a short fit: enough to see sockets and lips on a head, and many more on a mask."""

_DENSE, _FACE_POINTS = 6000, 900
"""The face is looked at more closely: of a head with hair, shoulders and a table few of so few points lie on it."""

_CLEAR = 0.15
"""A placement that leads the next by this much in the search needs no rival."""

_FACE_WEIGHT = 0.5
"""What a face that is explained in every detail adds to the trust in a placement; upside-down faces gain nothing by it,
and lead by less than this when they lead."""

CONFIRMED, SEEN, LIKELY_SIZE = 0.65, 0.5, 2.5
"""A short fit that explains this share of the face's detail, with this share of the face's places seen, at a size no
farther (standard deviations) from what heads have, settles the question. Wrong placements explain 0.5 at most, and that
by lying within 10 degrees of the right one; right ones 0.8 and more."""

_ELSEWHERE = 0.16
"""A rival is one that moves the head's middle, front or top by more than this (model units, 40 mm)."""

FACE_MM = 0.45
"""Detail that a face has at least (root mean square)."""


@dataclass(frozen=True)
class Trial:
    """A placement after a short fit.

    Attributes:
        placement: Settled by the fit.
        trust: Share of the head that the fit explains, less what speaks against it; -1 when hardly any points are near.
        face: Detail of the face, and how much of it the fit explains.
        seen: Share of the face's anchors that have scan points within 15 mm.
        size_away: How far the size is from what heads have, standard deviations.
    """

    placement: Placement
    trust: float
    face: FaceDetail = FaceDetail()
    seen: float = 0.0
    size_away: float = 0.0

    @property
    def merit(self) -> float:
        """What placements are compared by: trust, and the face's detail that is explained."""
        return self.trust + _FACE_WEIGHT * max(0.0, self.face.explained) * self.seen

    @property
    def confirmed(self) -> bool:
        """Whether the face is seen in its place, beyond doubt."""
        return (
            self.face.explained >= CONFIRMED
            and self.face.scan_mm >= FACE_MM
            and self.seen >= SEEN
            and abs(self.size_away) <= LIKELY_SIZE
        )


def best_trial(
    model, field_: MeanField, scan: Scan, placements: Iterable[Placement], options: FitOptions
) -> Trial | None:
    """The placement whose short fit explains most of the head and of its face; one that is confirmed ends the search.

    Args:
        model: The head model.
        field_: Its mean head.
        scan: The scan.
        placements: Candidates, best first.
        options: Seed and number of candidates.
    Returns:
        The best; None when there are no candidates.
    """
    trials: list[Trial] = []
    worst = np.inf
    for placement in placements:
        if len(trials) >= options.candidates or placement.score > worst:
            break
        worst = min(worst, placement.score + _CLEAR)
        trials.append(tried(model, field_, scan, placement, options.seed))
        if trials[-1].confirmed:
            break
    if not trials:
        return None
    best = max(trials, key=lambda trial: trial.merit)
    facts = {"tried": float(len(trials)), "rivalry": _rivalry(best, trials)}
    return replace(best, placement=replace(best.placement, evidence=best.placement.evidence | facts))


def _rivalry(best: Trial, trials: list[Trial]) -> float:
    """Merit of the best rival that puts the head elsewhere, as a share of the best one's; 0 when that is confirmed."""
    if best.confirmed:
        return 0.0
    here = best.placement.similarity
    probe = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.4], [0.0, 0.4, 0.0]])
    apart = [
        np.linalg.norm(here.apply(other.placement.similarity.inverse().apply(probe)) - probe, axis=1).max()
        for other in trials
    ]
    rivals = [trial.merit for trial, far in zip(trials, apart) if far > _ELSEWHERE]
    return float(np.clip(max(rivals, default=0.0) / max(best.merit, 1e-6), 0.0, 1.0))


def placement_of_face(model, face: Similarity, units: str | None) -> Placement:
    """The placement to try where a face was seen.

    Args:
        model: The head model, whose prior knows sizes.
        face: Scan frame and unit -> model frame.
        units: Unit of the scan; None takes the likeliest for this size.
    """
    units = units or unit_of(face.scale, float(model.prior.size_mean), float(model.prior.size_sd))
    return Placement(face, units, size_log_of(face.scale, units), 0.0, {"cost": 0.0})


def view_of(model, cloud: Cloud, placement: Placement) -> View:
    """A solver's view from a placement, its size expected by the unit and the model's prior."""
    prior = model.prior
    if placement.units in UNITS_IN_METRES:
        expected = np.log(similarity_of_size(placement.units, float(prior.size_mean)))
        return View(cloud, placement.similarity, float(expected), float(prior.size_sd))
    return View(cloud, placement.similarity, float(np.log(placement.similarity.scale)), 0.3)


def tried(model, field_: MeanField, scan: Scan, placement: Placement, seed: int) -> Trial:
    """A short fit at a placement."""
    box = np.asarray(model.box, dtype=float)
    placed = placement.similarity.apply(scan.points)
    near = scan.points[((placed > box[0]) & (placed < box[1])).all(axis=1)]
    if len(near) < 30:
        return Trial(placement, -1.0)
    view = view_of(model, Cloud.of(near[thin(near, _POINTS, seed)], seed), placement)
    solution = solve(model, [view], model.prior.component(placement.component), _SHORT)
    similarity, residual = solution.views[0].similarity, solution.residuals[0]
    anchors = model_anchors(model, solution.identity)
    placed = similarity.apply(view.cloud.points)
    cut = neck_plane(anchors, model.neck_tilt, above=RIM)
    above = placed @ cut[:3] + cut[3] > 0
    around = above & (np.abs(residual) < 0.12)
    square = residual[around] ** 2
    good = float((0.012**2 / (square + 0.012**2)).mean()) if around.sum() >= 30 else 0.0
    everything = scan.points[thin(scan.points, 2000, seed)]
    mean_head = field_ if placement.component == 0 else class_fields(model)[placement.component - 1]()
    evidence = look_back(similarity, everything, mean_head)
    inside = float((residual[above] < -0.03).mean()) if above.any() else 1.0
    away = float((np.log(similarity.scale) - view.log_scale) / view.log_scale_sd)
    trust = float(evidence["support"] * good - inside - 0.5 * evidence["contradiction"] - 0.01 * away**2)
    mm = millimetres_per_unit(similarity.scale, placement.units)
    face = _face_of(model, near[thin(near, _DENSE, seed)], solution, anchors, cut, mm)
    seen = float((PointTree(placed).query(anchors[FACE_PARTS])[0] * mm < 15.0).mean())
    evidence |= {"cost": placement.evidence.get("cost", 0.0), "good": good, "trust": trust, "face": face.explained}
    settled = replace(
        placement, similarity=similarity, size_log=size_log_of(similarity.scale, placement.units), evidence=evidence
    )
    return Trial(settled, trust, face, seen, away)


def _face_of(
    model, points: np.ndarray, solution: Solution, anchors: np.ndarray, cut: np.ndarray, mm: float
) -> FaceDetail:
    """The face's detail after a short fit, by more points than it was fitted to.

    Args:
        points: (N, 3) scan points in random order or none.
        solution: The short fit.
        anchors: (39, 3) of it.
        cut: (4,) the neck's plane.
        mm: Millimetres of a model unit.
    """
    placed = solution.views[0].similarity.apply(points)
    on_face = (placed @ cut[:3] + cut[3] > 0) & FACE_PARTS[PointTree(anchors).query(placed)[1]]
    chosen = np.flatnonzero(on_face)
    chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:_FACE_POINTS])
    residual = field_values(model, solution.identity, solution.views[0], points[chosen])
    return face_detail(placed[chosen] * mm, residual * mm)
