"""Where the head is in one scan: what the user says, what the search finds, and what to do when they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from headfield.errors import ScanError, present
from headfield.fit.bodies import bodies_of
from headfield.fit.clean import without_strays
from headfield.fit.face_finder import Proposal, propose
from headfield.fit.gate import FACE_PARTS
from headfield.fit.landmarks import place_by_landmarks
from headfield.fit.mean_field import MeanField, class_fields
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement, PlacementOptions
from headfield.fit.search import place
from headfield.fit.trial import LIKELY_SIZE, Trial, best_trial, placement_of_face, tried
from headfield.frames import UNITS_IN_METRES, length_text, reference_anchors
from headfield.types import Scan, Similarity

_CANDIDATES = 12
"""Candidates that the search returns."""

_DOUBT, _CLEARLY = 0.5, 0.15
"""Below this share of the head explained an up axis that was given is doubted; a rival must explain so much more."""

_SURE = 0.15
"""Confidence above which a proposal of the face finder is tried; right ones have 0.85 and more."""

_CERTAIN, _ANOTHER = 0.6, 0.7
"""A second head in a scan is one that is seen with this confidence, so far from the first (model units, 175 mm)."""

_WEAK, _ELSEWHERE = 0.25, 0.08
"""Below this share of the head explained, and without a face confirmed, the search is in doubt. A face seen this far
(model units, 20 mm; mean over its anchors) from where the search puts it then says that it erred."""


_MANY_STRAYS = 0.03
"""Share of strays that is worth a note."""


@dataclass(frozen=True)
class Placed:
    """A scan's head.

    Attributes:
        surface: (N, 3) points that stand for the scan's surface, scan frame.
        placement: Where the head is.
        notes: What was noticed on the way, one sentence each.
    """

    surface: np.ndarray
    placement: Placement
    notes: tuple[str, ...]


def surface_points(scan: Scan, count: int = 40_000, seed: int = 0) -> np.ndarray:
    """Points that stand for a scan's surface: its own, or samples of its triangles when those are few and uneven."""
    points = np.asarray(scan.points, dtype=float)
    if scan.triangles is None or len(scan.triangles) == 0 or len(points) >= count:
        return points
    corners = points[np.asarray(scan.triangles)]
    double_area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    total = double_area.sum()
    if not total > 0:
        return points
    rng = np.random.default_rng(seed)
    face = rng.choice(len(corners), count, p=double_area / total)
    u, v = rng.random((2, count))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    a, b, c = corners[face].transpose(1, 0, 2)
    return a + u[:, None] * (b - a) + v[:, None] * (c - a)


def _search(model, field_: MeanField, scan: Scan, options: FitOptions, units: str | None) -> Trial:
    """The best placement of a scan in a unit (None: any): where the face finder sees a face, when a short fit confirms
    it; else the best of that and of what the search finds."""
    seen = best_trial(model, field_, scan, _seen_faces(model, scan, options, units), options)
    if seen is not None and seen.confirmed:
        return seen
    prior = model.prior
    wanted = PlacementOptions(
        units=units,
        up=options.up,
        candidates=max(_CANDIDATES, options.candidates),
        size_mean=float(prior.size_mean),
        size_sd=float(prior.size_sd),
        seed=options.seed,
    )
    placements = place(scan, field_, wanted, class_fields(model))
    found = present(best_trial(model, field_, scan, placements, options), "a placement")
    return found if seen is None or found.merit >= seen.merit else seen


def _seen_faces(model, scan: Scan, options: FitOptions, units: str | None) -> Iterator[Placement]:
    """Placements where the face finder sees a face, surest first, standing as the user says."""
    for proposal in _larger_first(propose(scan.points, seed=options.seed), scan.points, np.asarray(model.box)):
        if proposal.confidence < _SURE:
            return
        if options.up is None or _stands(proposal.similarity, options.up):
            yield placement_of_face(model, proposal.similarity, units)


def _larger_first(proposals: list[Proposal], points: np.ndarray, box: np.ndarray) -> list[Proposal]:
    """Proposals with the surest of the larger head first, when two heads are seen for sure."""
    if not proposals:
        return []
    first = proposals[0].similarity
    middle = np.array([0.0, 0.02, -0.12])

    def held(proposal: Proposal) -> int:
        placed = proposal.similarity.apply(points)
        return int(((placed > box[0]) & (placed < box[1])).all(1).sum())

    for other in proposals[1:]:
        away = np.linalg.norm(first.apply(other.similarity.inverse().apply(middle)) - middle)
        if other.confidence > _CERTAIN and away > _ANOTHER and held(other) > 1.2 * held(proposals[0]):
            return [other, *(proposal for proposal in proposals if proposal is not other)]
    return proposals


def _stands(similarity: Similarity, up: str) -> bool:
    """Whether a head stands along an axis of the scan, within 45 degrees."""
    along = similarity.rotation[1]["xyz".index(up[-1].lower())]
    return (-along if up.startswith("-") else along) > 0.7


def place_head(model, field_: MeanField, scan: Scan, options: FitOptions, first: bool) -> Placed:
    """Where the head is in a scan.

    Args:
        model: The head model.
        field_: Its mean head.
        scan: The scan.
        options: What is known.
        first: Whether this is the scan that the options' landmarks are of.
    Raises:
        ScanError: There are too few points, or the scan contradicts the given unit or axis.
    """
    surface = surface_points(scan, seed=options.seed)
    real = without_strays(surface)
    notes = list(scan.notes)
    if real.mean() < 1.0 - _MANY_STRAYS:
        notes.append(f"{1.0 - real.mean():.0%} of the points are strays, far from any surface; they were left out.")
    surface = surface[real]
    cloud = replace(scan, points=surface, normals=None, triangles=None)
    if options.landmarks is not None and first:
        prior = model.prior
        placement = place_by_landmarks(options.landmarks, options.units or scan.units, prior.size_mean, prior.size_sd)
        return Placed(surface, placement, tuple(notes))
    known = options.units or scan.units
    found = _search(model, field_, cloud, options, known)
    if options.up is not None and (found.trust < _DOUBT or not found.confirmed):
        _check_up(scan.name, options.up, found, _search(model, field_, cloud, replace(options, up=None), known))
    face = options.face(scan) if options.face is not None and _weak(found) else None
    if face is not None and _apart(face, found.placement.similarity) < _ELSEWHERE:
        face = None  # the search is right

    if face is not None:
        found = tried(model, field_, cloud, placement_of_face(model, face, known), options.seed)
        notes.append("The head was placed by its face, which was seen elsewhere than the search had put it.")
    if known is not None and (abs(found.size_away) > LIKELY_SIZE or (face is None and _weak(found))):
        if face is None:
            other = _search(model, field_, replace(cloud, units=None), options, None)
        else:
            other = tried(model, field_, cloud, placement_of_face(model, face, None), options.seed)
        if other.placement.units not in (known, "free") and (
            face is not None or other.confirmed or other.trust > found.trust + 0.08
        ):
            notes.append(_other_unit(scan.name, known, other.placement, given=options.units is not None))
            found = other
    placement = found.placement
    if placement.units == "free":
        notes.append("No unit (mm, cm, m, inch) explains the head's size; it was left free and errors assume an adult.")
    note = bodies_of(surface, options.seed).note(placement.similarity, np.asarray(model.box))
    notes += [] if note is None else [note]
    return Placed(surface, placement, tuple(notes))


def _weak(found: Trial) -> bool:
    """Whether the search is in doubt."""
    return found.trust < _WEAK and not found.confirmed


def _other_unit(name: str, known: str, other: Placement, given: bool) -> str:
    """The note that another unit than the file's was used.

    Raises:
        ScanError: The unit was given by the user.
    """
    size = 230.0 * np.exp(other.size_log) * UNITS_IN_METRES[known] / UNITS_IN_METRES[other.units]
    said = f"read as {known}, the head in it would be {length_text(size / 1000)} tall"
    if given:
        raise ScanError(
            f"{name}: --units {known} cannot be right: {said} (heads: 180 to 280 mm). "
            f"The likely unit is {other.units}; leave --units out or give --units {other.units}."
        )
    return f"The file says {known}, but {said}; {other.units} was used."


def _apart(face: Similarity, other: Similarity) -> float:
    """Mean distance between where two similarities put the face's anchors, model units."""
    anchors = reference_anchors()[FACE_PARTS]
    return float(np.linalg.norm(other.apply(face.inverse().apply(anchors)) - anchors, axis=1).mean())


def _check_up(name: str, up: str, found: Trial, other: Trial) -> None:
    """Refuse an up axis when the head is found clearly better without it, standing another way."""
    stands = other.placement.similarity.rotation[1]
    axis = int(np.argmax(np.abs(stands)))
    likely = ("-" if stands[axis] < 0 else "") + "xyz"[axis]
    if likely != up and (other.confirmed or other.trust > found.trust + _CLEARLY):
        raise ScanError(
            f"{name}: --up {up} cannot be right: the head that was found stands along {likely} "
            f"({other.trust:.0%} of it explained against {max(found.trust, 0.0):.0%}). Leave --up out or give "
            f"--up {likely}."
        )
