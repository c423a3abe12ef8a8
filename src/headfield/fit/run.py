"""The whole way from scans to a Fit: read, thin, place, choose, solve, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from headfield.errors import ConfigError, ScanError
from headfield.fit.choose import best_component, best_placement, placement_of_face, view_of
from headfield.fit.clean import clean, thin
from headfield.fit.empty_space import empty_places
from headfield.fit.evidence import FACE_PARTS, evidence_of, refuse_unless_head
from headfield.fit.hints import settled
from headfield.fit.landmarks import place_by_landmarks
from headfield.fit.mean_field import MeanField, class_fields, mean_field_of
from headfield.fit.normal_equations import Cloud, field_values, model_anchors
from headfield.fit.options import FitOptions, checked
from headfield.fit.placement import (
    Placement,
    PlacementOptions,
    millimetres_per_unit,
    size_log_of,
)
from headfield.fit.problem import View
from headfield.fit.result import HEAD_REACH_MM, Fit, ScanFit
from headfield.fit.search import place
from headfield.fit.shoulders import on_body
from headfield.fit.solver import Solution, solve
from headfield.frames import UNITS_IN_METRES, length_text, reference_anchors
from headfield.io.scan import cropped, read_scan
from headfield.models.prior import BARE
from headfield.types import Scan, Similarity

ScanLike = Scan | str | Path
Progress = Callable[[str, float], None]

_DETAIL_POINTS = 100_000

_DOUBT, _CLEARLY = 0.5, 0.15
"""Below this share of the head explained an up axis that was given is doubted; a rival must explain so much more."""

_GROWN = 8
"""With more places than this, seen to be empty but inside the head, the solution has grown something there (a tuft of
15 mm holds a dozen)."""

_WEAK, _ELSEWHERE = 0.25, 0.08
"""Below this share of the head explained the search is in doubt (so little is explained by a face without its head). A
face seen this far (model units, 20 mm; mean over its anchors) from where the search puts it then says that it erred."""


def fit(
    scan: ScanLike | Sequence[ScanLike],
    model="imhead-open-small",
    options: FitOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes,
) -> Fit:
    """Fit a complete head to a scan, or one identity to several scans of one person.

    Args:
        scan: A path, a :class:`headfield.types.Scan`, or several of either (one person, one expression each).
        model: A model's name, folder or hub id, or a loaded model.
        options: See :class:`headfield.fit.options.FitOptions`.
        progress: Called with a stage (read, align, solve) and the share done.
        **changes: Fields of FitOptions to change, e.g. ``units="mm"``.
    Returns:
        The fit; meshes are made on demand in the first scan's frame and unit.
    Raises:
        ScanError: A scan cannot be read or used, or contradicts the given unit.
        NotAHeadError: There is no head in it.
        ConfigError: Options that are unknown or contradict.
        WeightsError: The model cannot be loaded.
    """
    options = checked(options, changes)
    tell = progress or (lambda stage, share: None)
    tell("read", 0.0)
    begin = time.perf_counter()
    listed = [scan] if isinstance(scan, (Scan, str, Path)) else list(scan)
    if not listed:
        raise ConfigError("no scan given: expected a path or at least one scan.")
    if options.crop is not None and len(listed) > 1:
        raise ConfigError("a crop is for one scan; the scans given are several. Crop their files first.")
    scans = [_read(item, options) for item in listed]
    read = time.perf_counter()
    net, name = _model(model)
    loaded = time.perf_counter()
    scans, options, settled_notes = settled(scans, options, net.prior)
    tell("align", 0.0)
    field_ = mean_field_of(net)
    placed = []
    for index, item in enumerate(scans):
        placed.append(_place(net, field_, item, options, first=index == 0))
        tell("align", (index + 1) / len(scans))
    aligned = time.perf_counter()
    result = _solve(net, name, scans, placed, options, lambda share: tell("solve", share))
    solved = time.perf_counter()
    result.notes = (*settled_notes, *result.notes)
    result.seconds.update(
        read=read - begin, load=loaded - read, align=aligned - loaded, solve=solved - aligned, mesh=0.0
    )
    result._sum_seconds()
    return result


def fit_placed(scans: Sequence[Scan], placements: Sequence[Placement], model, options: FitOptions | None = None) -> Fit:
    """Fit one identity to scans of one person whose heads were found already.

    Args:
        scans: The scans.
        placements: Where the head is in each.
        model: A loaded model.
        options: See :class:`headfield.fit.options.FitOptions`; what says where the head is does not matter.
    Raises:
        ScanError: Hardly any points lie around a head.
        NotAHeadError: There is no head there after all.
    """
    options = options or FitOptions()
    placed = [
        _Placed(surface_points(scan, seed=options.seed), placement, tuple(scan.notes))
        for scan, placement in zip(scans, placements)
    ]
    name = str(getattr(model, "name", "model"))
    return _solve(model, name, list(scans), placed, options, lambda share: None)


def find_head(scan: Scan, model, options: FitOptions | None = None) -> tuple[Placement, tuple[str, ...]]:
    """Where the head is in a scan, by the fit's own search, and what was noticed on the way.

    Args:
        scan: The scan.
        model: A loaded model.
        options: Its unit, up axis or landmarks, when known.
    Raises:
        ScanError: There are too few points, or the scan contradicts the given unit or axis.
        ConfigError: What is known contradicts itself.
    """
    scans, options, notes = settled([scan], options or FitOptions(), model.prior)
    placed = _place(model, mean_field_of(model), scans[0], options, first=True)
    return placed.placement, (*notes, *placed.notes)


# ---- stages --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Placed:
    """A scan, the points that stand for its surface, and where its head is."""

    surface: np.ndarray
    placement: Placement
    notes: tuple[str, ...]


def _read(item: ScanLike, options: FitOptions) -> Scan:
    if isinstance(item, Scan):
        own = None if item.viewpoint is None else item.units  # a depth map's unit is how it was read
        scan = replace(item, units=own or options.units or item.units)
        scan = scan if options.crop is None else cropped(scan, options.crop)
        finite = np.isfinite(scan.points).all(axis=1)
        if finite.all():
            return scan
        if finite.mean() < 0.5:
            raise ScanError(f"{scan.name}: {(~finite).sum():,} of {len(finite):,} points are not finite numbers.")
        normals = None if scan.normals is None else scan.normals[finite]
        note = f"{(~finite).sum():,} points were not finite and were dropped."
        return replace(scan, points=scan.points[finite], normals=normals, triangles=None, notes=(*scan.notes, note))
    return read_scan(item, options.units, crop=options.crop)


def _model(model):
    if not isinstance(model, (str, Path)):
        return model, str(getattr(model, "name", "model"))
    from headfield.models.release import load

    return load(model), str(model)


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


def _colours(scan: Scan, points: np.ndarray) -> np.ndarray | None:
    """Colours (N, 4) of points of a scan's surface: the nearest vertex's."""
    if scan.colours is None:
        return None
    return np.asarray(scan.colours, dtype=np.uint8)[cKDTree(scan.points).query(points)[1]]


def _search(model, field_: MeanField, scan: Scan, options: FitOptions, units: str | None) -> tuple[Placement, float]:
    """The best placement of a scan in a unit (None: any), and how much of the head it explains."""
    prior = model.prior
    wanted = PlacementOptions(
        units=units,
        up=options.up,
        candidates=max(5, options.candidates),
        size_mean=float(prior.size_mean),
        size_sd=float(prior.size_sd),
        seed=options.seed,
    )
    return best_placement(model, field_, scan, place(scan, field_, wanted, class_fields(model)), options)


def _place(model, field_: MeanField, scan: Scan, options: FitOptions, first: bool) -> _Placed:
    surface = surface_points(scan, seed=options.seed)
    notes = list(scan.notes)
    cloud = replace(scan, points=surface, normals=None, triangles=None)
    if options.landmarks is not None and first:
        prior = model.prior
        placement = place_by_landmarks(options.landmarks, options.units or scan.units, prior.size_mean, prior.size_sd)
        return _Placed(surface, placement, tuple(notes))
    known = options.units or scan.units
    placement, trust = _search(model, field_, cloud, options, known)
    if options.up is not None and trust < _DOUBT:
        _check_up(scan.name, options.up, trust, *_search(model, field_, cloud, replace(options, up=None), known))
    face = options.face(scan) if options.face is not None and trust < _WEAK else None
    if face is not None and _apart(face, placement.similarity) < _ELSEWHERE:
        face = None  # the search is right

    def by_face(units: str | None) -> tuple[Placement, float]:
        return placement_of_face(model, field_, cloud, face, units, options)

    if face is not None:
        placement, trust = by_face(known)
        notes.append("The head was placed by its face, which was seen elsewhere than the search had put it.")
    size_away = abs(placement.size_log - model.prior.size_mean) / model.prior.size_sd
    if known is not None and (size_away > 2.5 or (face is None and trust < _WEAK)):
        if face is None:
            other, other_trust = _search(model, field_, replace(cloud, units=None), options, None)
        else:
            other, other_trust = by_face(None)
        if other.units not in (known, "free") and (face is not None or other_trust > trust + 0.08):
            size = 230.0 * np.exp(other.size_log) * UNITS_IN_METRES[known] / UNITS_IN_METRES[other.units]
            said = f"read as {known}, the head in it would be {length_text(size / 1000)} tall"
            if options.units is not None:
                raise ScanError(
                    f"{scan.name}: --units {known} cannot be right: {said} (heads: 180 to 280 mm). "
                    f"The likely unit is {other.units}; leave --units out or give --units {other.units}."
                )
            notes.append(f"The file says {known}, but {said}; {other.units} was used.")
            placement = other
    if placement.units == "free":
        notes.append("No unit (mm, cm, m, inch) explains the head's size; it was left free and errors assume an adult.")
    bodies = clean(surface, 3000, options.seed).bodies
    if bodies > 1:
        notes.append(f"{bodies} separate bodies in the file; the head was looked for in all, the best match was taken.")
    return _Placed(surface, placement, tuple(notes))


def _apart(face: Similarity, other: Similarity) -> float:
    """Mean distance between where two similarities put the face's anchors, model units."""
    anchors = reference_anchors()[FACE_PARTS]
    return float(np.linalg.norm(other.apply(face.inverse().apply(anchors)) - anchors, axis=1).mean())


def _check_up(name: str, up: str, trust: float, other: Placement, other_trust: float) -> None:
    """Refuse an up axis when the head is found clearly better without it, standing another way."""
    stands = other.similarity.rotation[1]
    axis = int(np.argmax(np.abs(stands)))
    likely = ("-" if stands[axis] < 0 else "") + "xyz"[axis]
    if other_trust > trust + _CLEARLY and likely != up:
        raise ScanError(
            f"{name}: --up {up} cannot be right: the head that was found stands along {likely} "
            f"({other_trust:.0%} of it explained against {max(trust, 0.0):.0%}). Leave --up out or give --up {likely}."
        )


def _around_head(surface: np.ndarray, placement: Placement, box: np.ndarray) -> np.ndarray:
    """Indices of the surface points within the model's box (grown by 12 mm) under a placement."""
    placed = placement.similarity.apply(surface)
    return np.flatnonzero(((placed > box[0] - 0.05) & (placed < box[1] + 0.05)).all(axis=1))


def _without_growths(
    model, views: list[View], around: list[np.ndarray], solution: Solution
) -> tuple[list[View], bool]:
    """The views with places that were seen to be empty and into which the solution has grown, and whether there are
    any: narrow growths fit between the places that the solver was given."""
    found = []
    for view, near, state in zip(views, around, solution.views):
        places = empty_places(near, state.similarity, fine=True) if len(view.cloud.empty) else view.cloud.empty
        if len(places):
            places = places[field_values(model, solution.identity, state, places) < 0]
        found.append(replace(view, cloud=replace(view.cloud, empty=np.concatenate([view.cloud.empty, places]))))
    grown = sum(len(new.cloud.empty) - len(old.cloud.empty) for new, old in zip(found, views))
    return found, grown > _GROWN


def _solve(model, name: str, scans: list[Scan], placed: list[_Placed], options: FitOptions, tell) -> Fit:
    box, mean = np.asarray(model.box, dtype=float), mean_field_of(model)
    views, around = [], []
    for scan, item in zip(scans, placed):
        index = _around_head(item.surface, item.placement, box)
        if len(index) < 50:
            raise ScanError(f"{scan.name}: only {len(index)} points lie around the head that was found.")
        near = item.surface[index]
        around.append(near)
        head = near[~on_body(item.placement.similarity.apply(near), mean)]
        cloud = Cloud.of(head[thin(head, options.points, options.seed)], options.seed)
        if options.solver.hair:
            cloud = replace(cloud, empty=empty_places(near, item.placement.similarity))
        views.append(view_of(model, cloud, item.placement))
    label, prior = best_component(model, views, options.solver)
    solver = replace(options.solver, expression=options.expression, hair=options.solver.hair and label != BARE)
    if options.method == "adam":
        from headfield.fit.adam import solve_adam

        solution = solve_adam(model, views, prior, solver)
    else:
        total = 2 * solver.iterations
        solution = solve(model, views, prior, solver, progress=lambda step, cost: tell(min(1.0, step / total)))
        views, grown = _without_growths(model, views, around, solution)
        if grown:
            solution = solve(model, views, prior, solver)
    tell(1.0)
    anchors = model_anchors(model, solution.identity)
    fits, notes, evidence = [], [], {}
    for index, (scan, item, view, state) in enumerate(zip(scans, placed, views, solution.views)):
        similarity, units = state.similarity, item.placement.units
        mm = millimetres_per_unit(similarity.scale, units)
        residual = solution.residuals[index]
        facts = evidence_of(similarity.apply(view.cloud.points), residual, anchors, solution.identity, mm)
        if index == 0:
            evidence = facts | {f"search_{key}": value for key, value in item.placement.evidence.items()}
        if options.refuse:
            refuse_unless_head(facts, scan.name)
        expression = np.zeros(int(model.config.expression)) if state.expression is None else state.expression
        near = around[index]
        keep = np.sort(np.random.default_rng(options.seed).permutation(len(near))[:_DETAIL_POINTS])
        fits.append(
            ScanFit(
                scan.name,
                similarity,
                units,
                size_log_of(similarity.scale, units),
                expression,
                view.cloud.points,
                residual * mm,
                (np.abs(residual) * mm <= HEAD_REACH_MM) & (solution.scales[index] > 0),
                near[keep],
                _colours(scan, near[keep]),
            )
        )
        prefix = f"{scan.name}: " if len(scans) > 1 else ""
        notes += [prefix + note for note in item.notes]
    evidence |= {"iterations": float(solution.iterations), "sigma_mm": solution.sigma * fits[0].mm_per_unit}
    return Fit(name, solution.identity, tuple(fits), {}, evidence, tuple(notes), label, model)
