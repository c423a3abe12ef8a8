"""The whole way from scans to a Fit: read, thin, place, choose, solve, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError, ScanError
from headfield.expressions import ExpressionSpace
from headfield.fit.choose import best_component
from headfield.fit.clean import thin
from headfield.fit.empty_space import empty_places
from headfield.fit.evidence import evidence_of, refuse_unless_head
from headfield.fit.eyes_seen import EyesSeen, eyes_seen
from headfield.fit.hints import settled
from headfield.fit.mean_field import mean_field_of, neck_plane
from headfield.fit.normal_equations import RIM, Cloud, field_values, model_anchors
from headfield.fit.options import FitOptions, checked
from headfield.fit.placement import Placement, millimetres_per_unit, size_log_of
from headfield.fit.placing import Placed, place_head, surface_points
from headfield.fit.problem import View
from headfield.fit.refit import notes_again, options_again, placed_again, scans_of
from headfield.fit.result import Fit
from headfield.fit.saved_file import fit_at
from headfield.fit.scan_fit import HEAD_REACH_MM, ScanFit
from headfield.fit.shoulders import on_body
from headfield.fit.solver import Solution, solve
from headfield.fit.trial import view_of
from headfield.fit.verdict import facts_of_size, verdict_of, worst
from headfield.io.names import distinct_names
from headfield.io.scan import cropped, read_scan
from headfield.models import DEFAULT
from headfield.models.prior import BARE
from headfield.models.protocol import HeadModel
from headfield.neighbours import PointTree
from headfield.types import Scan

ScanLike = Scan | str | Path
Progress = Callable[[str, float], None]

_DETAIL_POINTS = 100_000

_GROWN = 8
"""With more places than this, seen to be empty but inside the head, the solution has grown something there (a tuft of
15 mm holds a dozen)."""


def fit(
    scan: ScanLike | Sequence[ScanLike] | Fit,
    model: str | Path | HeadModel = DEFAULT,
    options: FitOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes,
) -> Fit:
    """Fit a complete head to a scan, or one identity to several scans of one person.

    Args:
        scan: A path, a :class:`headfield.types.Scan`, or several of either (one person, one expression each). Or a
            fit, or the path of a saved one or of its folder: its scans are fitted again, as it keeps them, from where
            it put their heads.
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
    old, listed = _given(scan)
    if old is not None:
        options = options_again(old, options)
    if not listed:
        raise ConfigError("no scan given: expected a path or at least one scan.")
    if options.crop is not None and len(listed) > 1:
        raise ConfigError("a crop is for one scan; the scans given are several. Crop their files first.")
    names = iter(distinct_names([item for item in listed if not isinstance(item, Scan)]))
    scans = [_read(item, options) for item in listed]
    scans = [one if isinstance(item, Scan) else replace(one, name=next(names)) for item, one in zip(listed, scans)]
    read = time.perf_counter()
    net, name = _model(model)
    loaded = time.perf_counter()
    scans, options, settled_notes = settled(scans, options, net.prior)
    tell("align", 0.0)
    placed = placed_again(old) if old is not None else _found(net, scans, options, lambda share: tell("align", share))
    aligned = time.perf_counter()
    result = _solve(net, name, scans, placed, options, lambda share: tell("solve", share))
    solved = time.perf_counter()
    again = () if old is None else notes_again(old, "the saved fit" if isinstance(scan, Fit) else str(scan))
    result.notes = (*settled_notes, *again, *result.notes)
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
        Placed(surface_points(scan, seed=options.seed), placement, tuple(scan.notes))
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
    placed = place_head(model, mean_field_of(model), scans[0], options, first=True)
    return placed.placement, (*notes, *placed.notes)


# ---- stages --------------------------------------------------------------------------------------------------------


def _given(scan: ScanLike | Sequence[ScanLike] | Fit) -> tuple[Fit | None, list[ScanLike]]:
    """A fit that is to be fitted again, if that is what was given, and the scans."""
    if isinstance(scan, (str, Path)) and (path := fit_at(scan)) is not None:
        scan = Fit.load(path)
    if isinstance(scan, Fit):
        return scan, [*scans_of(scan)]
    return None, [scan] if isinstance(scan, (Scan, str, Path)) else [*scan]


def _found(net, scans: list[Scan], options: FitOptions, tell: Callable[[float], None]) -> list[Placed]:
    field_, placed = mean_field_of(net), []
    for index, item in enumerate(scans):
        placed.append(place_head(net, field_, item, options, first=index == 0))
        tell((index + 1) / len(scans))
    return placed


def _read(item: ScanLike, options: FitOptions) -> Scan:
    if isinstance(item, Scan):
        own = None if item.viewpoint is None else item.units  # a depth map's unit is how it was read
        scan = replace(item, units=own or options.units or item.units)
        scan = scan if options.crop is None else cropped(scan, options.crop)
        finite = np.all(np.isfinite(scan.points), axis=1)
        if finite.all():
            return scan
        if finite.mean() < 0.5:
            raise ScanError(f"{scan.name}: {(~finite).sum():,} of {len(finite):,} points are not finite numbers.")
        normals = None if scan.normals is None else scan.normals[finite]
        note = f"{(~finite).sum():,} points were not finite and were dropped."
        return replace(scan, points=scan.points[finite], normals=normals, triangles=None, notes=(*scan.notes, note))
    return read_scan(item, options.units, crop=options.crop)


def _model(model: str | Path | HeadModel) -> tuple[HeadModel, str]:
    if not isinstance(model, (str, Path)):
        return model, str(getattr(model, "name", "model"))
    from headfield.models.release import load

    return load(model), str(model)


def _colours(scan: Scan, points: np.ndarray) -> np.ndarray | None:
    """Colours (N, 4) of points of a scan's surface: the nearest vertex's."""
    if scan.colours is None:
        return None
    return np.asarray(scan.colours, dtype=np.uint8)[PointTree(scan.points).query(points)[1]]


def _around_head(surface: np.ndarray, placement: Placement, box: np.ndarray) -> np.ndarray:
    """Indices of the surface points within the model's box (grown by 12 mm) under a placement."""
    placed = placement.similarity.apply(surface)
    return np.flatnonzero(((placed > box[0] - 0.05) & (placed < box[1] + 0.05)).all(axis=1))


def movable(space: ExpressionSpace, eyes: EyesSeen, neutral: bool) -> np.ndarray:
    """Which expression numbers (E,) bool may move: blink and gaze where they are seen; of a face that is said to be
    neutral only those."""
    blink, gaze = space.mask("blink"), space.mask("gaze")
    return (blink & eyes.lids) | (gaze & eyes.gaze) | (~blink & ~gaze & (not neutral))


def _without_growths(model, views: list[View], around: list[np.ndarray], solution: Solution) -> tuple[list[View], bool]:
    """The views with places that were seen to be empty and into which the solution has grown, and whether there are
    any: narrow growths fit between the places that the solver was given."""
    found, anchors = [], model_anchors(model, solution.identity)
    for view, near, state in zip(views, around, solution.views):
        places = view.cloud.empty
        if len(places):
            places = empty_places(near, state.similarity, anchors, fine=True)
        if len(places):
            places = places[field_values(model, solution.identity, state, places) < 0]
        found.append(replace(view, cloud=replace(view.cloud, empty=np.concatenate([view.cloud.empty, places]))))
    grown = sum(len(new.cloud.empty) - len(old.cloud.empty) for new, old in zip(found, views))
    return found, grown > _GROWN


@dataclass(frozen=True)
class _Looked:
    """What a solution starts from, scan by scan: points around the head, as a view, and what is seen of the eyes."""

    around: list[np.ndarray]
    views: list[View]
    eyes: list[EyesSeen]


def _looked_at(model: HeadModel, scans: list[Scan], placed: list[Placed], options: FitOptions) -> _Looked:
    """Raises ScanError where hardly any points lie around a head."""
    box, mean = np.asarray(model.box, dtype=float), mean_field_of(model)
    found = _Looked([], [], [])
    for number, (scan, item) in enumerate(zip(scans, placed)):
        index = _around_head(item.surface, item.placement, box)
        if len(index) < 50:
            raise ScanError(f"{scan.name}: only {len(index)} points lie around the head that was found.")
        near, similarity = item.surface[index], item.placement.similarity
        head = near[~on_body(similarity.apply(near), mean)]
        cloud = Cloud.of(head[thin(head, options.points, options.seed)], options.seed)
        if options.solver.hair:
            cloud = replace(cloud, empty=empty_places(near, similarity, mean.anchors))
        mm = millimetres_per_unit(similarity.scale, item.placement.units)
        eyes = eyes_seen(similarity.apply(near), mean.anchors, mm)
        free = movable(model.expression_space, eyes, number in (options.neutral or ()))
        found.around.append(near)
        found.views.append(replace(view_of(model, cloud, item.placement), free=free))
        found.eyes.append(eyes)
    return found


def _solution(model: HeadModel, looked: _Looked, options: FitOptions, tell) -> tuple[Solution, list[View], str]:
    """The solution, the views that it explains, and the class of hair that explains them best."""
    views = looked.views
    label, prior = best_component(model, views, options.solver)
    solver = replace(options.solver, expression=options.expression, hair=options.solver.hair and label != BARE)
    if options.method == "adam":
        from headfield.fit.adam import solve_adam

        return solve_adam(model, views, prior, solver), views, label
    total = 2 * solver.iterations
    solution = solve(model, views, prior, solver, progress=lambda step, cost: tell(min(1.0, step / total)))
    views, grown = _without_growths(model, views, looked.around, solution)
    if grown:
        solution = solve(model, views, prior, solver)
    return solution, views, label


def _solve(model: HeadModel, name: str, scans: list[Scan], placed: list[Placed], options: FitOptions, tell) -> Fit:
    looked = _looked_at(model, scans, placed, options)
    solution, views, label = _solution(model, looked, options, tell)
    tell(1.0)
    anchors = model_anchors(model, solution.identity)
    cut = neck_plane(anchors, model.neck_tilt, above=RIM)
    fits, notes, evidence, verdicts = [], [], {}, []
    for index, (scan, item, view, state) in enumerate(zip(scans, placed, views, solution.views)):
        similarity, units = state.similarity, item.placement.units
        mm = millimetres_per_unit(similarity.scale, units)
        residual = solution.residuals[index]
        facts = evidence_of(similarity.apply(view.cloud.points), residual, anchors, cut, solution.identity, mm)
        facts |= facts_of_size(similarity, units, model.prior)
        facts |= {f"search_{key}": value for key, value in item.placement.evidence.items()}
        evidence = evidence or facts
        if options.refuse:
            refuse_unless_head(facts, scan.name)
        found = _scan_fit(scan, item, looked, solution, index, model.expression_space, options)
        verdicts.append(verdict_of(facts | {"expression_nats": model.expression_space.prior.cost(found.expression)}))
        fits.append(found)
        prefix = f"{scan.name}: " if len(scans) > 1 else ""
        notes += [prefix + note for note in item.notes]
    evidence |= {"iterations": float(solution.iterations), "sigma_mm": solution.sigma * fits[0].mm_per_unit}
    verdict, weights = worst(verdicts), model.fingerprint
    return Fit(name, solution.identity, tuple(fits), {}, evidence, tuple(notes), label, model, verdict, weights)


def _scan_fit(
    scan: Scan, item: Placed, looked: _Looked, solution: Solution, index: int, space: ExpressionSpace,
    options: FitOptions,
) -> ScanFit:  # fmt: skip
    """How one of the scans, by its index, is explained."""
    state, residual, near = solution.views[index], solution.residuals[index], looked.around[index]
    units = item.placement.units
    mm = millimetres_per_unit(state.similarity.scale, units)
    keep = np.sort(np.random.default_rng(options.seed).permutation(len(near))[:_DETAIL_POINTS])
    return ScanFit(
        scan.name,
        state.similarity,
        units,
        size_log_of(state.similarity.scale, units),
        space.rest.copy() if state.expression is None else state.expression,
        looked.views[index].cloud.points,
        residual * mm,
        (np.abs(residual) * mm <= HEAD_REACH_MM) & (solution.scales[index] > 0),
        near[keep],
        _colours(scan, near[keep]),
        looked.eyes[index],
        index in (options.neutral or ()),
    )
