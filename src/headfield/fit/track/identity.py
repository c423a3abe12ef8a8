"""Who is in a depth video: one identity and one size from a few frames that are spread over it.

NPHM (C.6) takes the identity from a single frame. One frame knows one side of the head and one expression, which it
may mistake for a trait; a handful of frames, each with its own pose and expression, tells them apart. The first is
fitted like any scan; the others are led by it, and then all are solved together, warm, by the fit's own solver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headfield.errors import NotAHeadError, ScanError, present
from headfield.fit.eyes_seen import eyes_seen
from headfield.fit.gate import Gate
from headfield.fit.mean_field import mean_field_of
from headfield.fit.normal_equations import Cloud, ViewState, field_values, model_anchors
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement, millimetres_per_unit, size_log_of
from headfield.fit.problem import View
from headfield.fit.result import Fit
from headfield.fit.run import find_head, fit_placed, movable
from headfield.fit.scan_fit import HEAD_REACH_MM
from headfield.fit.solver import RELAXED, solve
from headfield.fit.track.frame import Person, chosen_points, solve_frame
from headfield.fit.track.options import TrackOptions
from headfield.fit.trial import tried, view_of
from headfield.io.depth_video import Frames
from headfield.neighbours import PointTree
from headfield.types import Scan

_TRIES = 6
"""Frames in which a face is looked for before it is said that there is none."""

_FIRST_POINTS = 2500
"""Points of the first frame's fit."""

_TIED = 1e-3
"""Standard deviation of the log-size about the take's, once that is known."""


@dataclass(frozen=True)
class Known:
    """Who it is, and where the frames that told it stand.

    Attributes:
        person: Identity, size, and which expression numbers may move.
        fit: The same as a fit of the first of those frames, for whatever opens fits; None where there was none.
        keys: Frame number -> state.
        units: Unit of the scans.
        notes: What was noticed, one sentence each.
    """

    person: Person
    fit: Fit | None
    keys: dict[int, ViewState]
    units: str
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Known({self.fit!r}; from frames {', '.join(map(str, self.keys))})"


def identity_of(
    frames: Frames,
    model,
    options: TrackOptions,
    tell: Callable[[float], None],
    wanted: FitOptions | None = None,
) -> Known:
    """Find identity and size.

    Args:
        frames: The video.
        model: A loaded model.
        options: How many frames, points and steps.
        tell: Called with the share done.
        wanted: What is known of the scans (unit, up, finder of faces).
    Raises:
        NotAHeadError: There is no head in the frames that were looked at.
        ScanError: No frame can be read, or the frames contradict what is known.
    """
    wanted = replace(wanted or FitOptions(), seed=options.seed, points=_FIRST_POINTS)
    shown = _spread(frames, max(options.keys, 1))
    first, fit, placement = _first(shown, model, wanted)
    tell(0.4)
    known = _person(model, fit, _eyes_of(model, [(shown[first], fit.placement)], fit))
    states = {first: _rested(known, fit.placement, fit.expression)}
    last = placement
    for number, scan in shown.items():
        if number == first or number < first:
            continue
        last = _placed(model, scan, last, wanted)
        found = solve_frame(known, scan, _rested(known, last.similarity), options, far=True, lead=0.1)
        if found is not None and found.good:
            states[number], last = found.state, replace(last, similarity=found.state.similarity)
        tell(0.4 + 0.3 * len(states) / len(shown))
    scans = {number: shown[number] for number in states}
    person, states = _together(known, scans, states, fit, placement, options, tell)
    fit = _as_fit(fit, person, states[first])
    tell(1.0)
    return Known(person, fit, states, fit.units, fit.notes)


def _spread(frames: Frames, count: int) -> dict[int, Scan]:
    """Frames that show something, about evenly spread: number -> scan.

    Raises:
        ScanError: None does.
    """
    found: dict[int, Scan] = {}
    told, looked = "", 0
    for part in np.array_split(np.arange(len(frames)), min(count, len(frames))):
        middle = len(part) // 2
        for index in (*part[middle:], *part[:middle]):
            frame, looked = frames[int(index)], looked + 1
            told = told or frame.told
            if frame.scan is not None:
                found[int(index)] = replace(frame.scan, notes=())  # how many pixels a frame dropped is nobody's news
                break
    if not found:
        raise ScanError(f"None of {looked} frames shows anything. {told}".strip())
    return found


def _first(shown: dict[int, Scan], model, wanted: FitOptions) -> tuple[int, Fit, Placement]:
    """The first frame in which a head is found, and its fit."""
    refused: ScanError | None = None
    for number, scan in list(shown.items())[:_TRIES]:
        try:
            placement, _ = find_head(scan, model, wanted)
            return number, fit_placed([scan], [placement], model, wanted), placement
        except NotAHeadError as error:
            refused = refused or error
        except ScanError as error:
            if "cannot be right" in str(error):  # a hint contradicts the video: no other frame will mend that
                raise
            refused = refused or error
    raise present(refused, "a reason")


def _placed(model, scan: Scan, near: Placement, wanted: FitOptions) -> Placement:
    """Where the head is in another frame: near where it was if a short fit confirms that, else by the search."""
    trial = tried(model, mean_field_of(model), scan, near, wanted.seed)
    if trial.confirmed:
        return trial.placement
    try:
        return find_head(scan, model, wanted)[0]
    except ScanError:
        return near


def _rested(person: Person, similarity, expression: np.ndarray | None = None) -> ViewState:
    """A start: the person's size there, with an expression or at rest."""
    start = person.model.expression_space.rest if expression is None else expression
    return ViewState(person.sized(similarity), np.array(start, dtype=float), person.free)


def _person(model, fit: Fit, free: np.ndarray) -> Person:
    scan = fit.scans[0]
    named = list(model.prior.names)
    prior = model.prior.component(named.index(fit.hair) if fit.hair in named else model.prior.classes[0])
    return Person.of(model, fit.identity, prior, scan.placement.scale, scan.mm_per_unit, free)


def _eyes_of(model, seen: list, fit: Fit) -> np.ndarray:
    """Expression numbers that may move: lids and gaze where a frame shows them."""
    anchors, mm = model_anchors(model, fit.identity), fit.scans[0].mm_per_unit
    found = [eyes_seen(where.apply(scan.points), anchors, mm) for scan, where in seen]
    best = max(found, key=lambda eyes: (eyes.lids, eyes.gaze))
    return movable(model.expression_space, best, neutral=False)


def _together(
    known: Person,
    scans: dict[int, Scan],
    states: dict[int, ViewState],
    fit: Fit,
    placement: Placement,
    options: TrackOptions,
    tell: Callable[[float], None],
) -> tuple[Person, dict[int, ViewState]]:
    """Identity, and pose and expression of the frames, solved together from where they are: first each frame with a
    size of its own, then all with the size that they agree upon; in the end the expressions are held.

    As in every fit the code is held back while expressions are read, and what is read is solved for once more with
    less of the prior that draws it to rest; else the identity wears the mean of the expressions as a trait.
    """
    model, numbers = known.model, list(states)
    solver = replace(
        options.solver,
        prior=options.solver.prior * options.solver.reading,
        iterations=options.key_iterations,
        early_iterations=0,
        gate=Gate(0.012, options.gate.end, 3),
    )
    views = [_key_view(known, scans[number], states[number], placement, options) for number in numbers]
    expressions = [states[number].expression for number in numbers]
    found = solve(model, views, known.prior, solver, identity=known.identity, expressions=expressions)
    tell(0.9)
    size = float(np.mean([np.log(state.similarity.scale) for state in found.views]))
    identity, units = found.identity, fit.units
    person = Person.of(
        model, identity, known.prior, np.exp(size), millimetres_per_unit(np.exp(size), units), known.free
    )
    views = [
        View(view.cloud, person.sized(state.similarity), size, _TIED, known.free)
        for view, state in zip(views, found.views)
    ]
    narrow = Gate(options.gate.end, options.gate.end, 1)
    solver = replace(solver, expression_prior=RELAXED * solver.expression_prior, gate=narrow)
    expressions = [state.expression for state in found.views]
    found = solve(model, views, known.prior, solver, identity=identity, expressions=expressions)
    nothing = np.zeros(len(known.free), dtype=bool)
    views = [replace(view, similarity=state.similarity, free=nothing) for view, state in zip(views, found.views)]
    solver = replace(solver, prior=options.solver.prior, iterations=max(2, options.key_iterations // 2))
    expressions = [state.expression for state in found.views]
    found = solve(model, views, known.prior, solver, identity=found.identity, expressions=expressions)
    person = Person.of(model, found.identity, known.prior, person.scale, person.mm, known.free)
    kept = {
        number: replace(state, similarity=person.sized(state.similarity), free=known.free)
        for number, state in zip(numbers, found.views)
    }
    return person, kept


def _key_view(known: Person, scan: Scan, state: ViewState, placement: Placement, options: TrackOptions) -> View:
    """One of the frames that tell who it is, where it stands."""
    points = chosen_points(scan, known, state.similarity, options.key_points, options.seed)
    placed = replace(placement, similarity=state.similarity)
    return replace(view_of(known.model, Cloud(points, PointTree(points), 0.0), placed), free=known.free)


def _as_fit(fit: Fit, person: Person, state: ViewState) -> Fit:
    """The first frame's fit with the identity, size and expression that all frames agreed upon."""
    scan = fit.scans[0]
    residual = field_values(person.model, person.identity, state, scan.points) * person.mm
    height = state.similarity.apply(scan.points) @ person.cut[:3] + person.cut[3]
    scan = replace(
        scan,
        placement=state.similarity,
        size_log=size_log_of(person.scale, scan.units),
        expression=state.expression,
        residual_mm=residual,
        on_head=(np.abs(residual) <= HEAD_REACH_MM) & (height > 0),
    )
    return replace(fit, identity=person.identity, scans=(scan,))
