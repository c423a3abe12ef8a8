"""One frame of a video: points, a few steps from where the last frame led, and what is left as a quadratic.

Identity and size are held. The unknowns are the head's rotation and shift (in the model frame about CENTRE) and the
expression numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from headfield.errors import present
from headfield.fit.box_qp import box_minimum
from headfield.fit.cholesky import Cholesky
from headfield.fit.clean import thin
from headfield.fit.eyes_seen import DEEP_MM, REACH_MM
from headfield.fit.gate import FACE_PARTS, Gate, geman_mcclure
from headfield.fit.mean_field import neck_plane
from headfield.fit.normal_equations import CENTRE, POSE, Cloud, ViewState, field_values, model_anchors
from headfield.fit.problem import Problem, View
from headfield.fit.track.options import TrackOptions
from headfield.frames import anchor_indices
from headfield.models.prior import Gaussian
from headfield.models.protocol import HeadModel
from headfield.neighbours import PointTree
from headfield.types import Scan, Similarity

RIGID = POSE - 1
"""Pose unknowns of a frame: rotation and shift; the size is the take's."""

FACE_SHARE, EYE_SHARE = 5.0 / 12.0, 0.25
"""Shares of a frame's points on the face and about the eyes."""

_EYES = tuple((f"eye_inner_{side}", f"eye_outer_{side}") for side in ("left", "right"))

EXPLAINED_MM, SEEN_MM = 4.0, 15.0
"""A face's point so near to the head is explained; a place of the face with a point so near is seen."""

_LED_TURN, _LED_SHIFT, _LED_WEIGHT = 0.08, 0.06, 1.0
"""How far a frame may be from where it was led (standard deviations: radians, model units, share of a number's range).
Wide, for the movements' own prior speaks later; it holds what the frame does not show."""

_ASTRAY = 0.02
"""Robust scale (model units, 5 mm) by which it is told whether a step led astray."""

_LIDS, _PROBED, _CLEARLY = (0.0, 0.45, 0.8), 180, 0.97
"""Weights of closed lids that are tried, points that they are tried on, and what share of the misfit may be left."""

FEWEST = 60
"""Points around the head without which there is nothing to track."""


@dataclass(frozen=True)
class Person:
    """What is the same in all frames.

    Attributes:
        model: The head model.
        identity: (D,) code.
        prior: The component of the model's prior that it is of.
        scale: Model units per scan unit.
        mm: True millimetres of a model unit.
        free: (E,) bool, expression numbers that may move.
        anchors: (39, 3) of the identity.
        cut: (4,) plane of its neck.
        eyes: (2, 3) middles of its eyes.
    """

    model: HeadModel
    identity: np.ndarray
    prior: Gaussian
    scale: float
    mm: float
    free: np.ndarray
    anchors: np.ndarray
    cut: np.ndarray
    eyes: np.ndarray

    @staticmethod
    def of(model, identity: np.ndarray, prior: Gaussian, scale: float, mm: float, free: np.ndarray) -> Person:
        """With what follows from the identity."""
        anchors = model_anchors(model, identity)
        eyes = np.array([anchors[anchor_indices(corners)].mean(0) for corners in _EYES])
        return Person(model, identity, prior, scale, mm, free, anchors, neck_plane(anchors, model.neck_tilt), eyes)

    def near_eyes(self, placed: np.ndarray) -> np.ndarray:
        """Which points (N,) bool, model frame, lie about an eye, seen from the front."""
        away = (placed[:, None] - self.eyes) * self.mm
        return ((np.linalg.norm(away[..., :2], axis=2) < REACH_MM) & (np.abs(away[..., 2]) < DEEP_MM)).any(1)

    def sized(self, similarity: Similarity) -> Similarity:
        """A placement with this person's size, that leaves the head's middle where it is.

        Its rotation is made one again: where each frame is led to by the last two, rounding would double from frame to
        frame, and after some twenty a head would shrink and shear.
        """
        middle = similarity.inverse().apply(CENTRE)
        rotation = Rotation.from_matrix(similarity.rotation).as_matrix()
        return Similarity(rotation, CENTRE - self.scale * rotation @ middle, self.scale)


@dataclass(frozen=True)
class FrameFit:
    """A frame where its own points, and hardly anything else, put it.

    Attributes:
        state: Placement and expression after the last step.
        at: Where the quadratic is taken.
        hessian: (6 + E, 6 + E) of the data by rotation, shift (model frame about CENTRE) and expression at `at`.
        slope: (6 + E,).
        explained: Share of the face's points within 4 mm of the head.
        seen: Share of the face's 39 anchors that have a point within 15 mm.
        points: (N, 3) that were used, scan frame.
    """

    state: ViewState
    at: ViewState
    hessian: np.ndarray
    slope: np.ndarray
    explained: float
    seen: float
    points: np.ndarray

    @property
    def good(self) -> bool:
        """Whether this is the face."""
        return self.explained >= 0.6 and self.seen >= 0.4

    @property
    def sure(self) -> bool:
        """Whether hardly any of it is left unexplained; of a frame that is not, another start may be better."""
        return self.explained >= 0.93 and self.seen >= 0.4


def chosen_points(scan: Scan, person: Person, similarity: Similarity, count: int, seed: int) -> np.ndarray:
    """Points (M, 3) of a frame that speak for the head placed about there: in the model's box, above the neck's cut,
    even over the surface, with shares for eyes and face; in a random but seeded order."""
    placed = similarity.apply(scan.points)
    low, high = np.asarray(person.model.box, dtype=float)
    near = ((placed > low - 0.05) & (placed < high + 0.05)).all(1) & (placed @ person.cut[:3] + person.cut[3] > 0)
    near = np.flatnonzero(near)
    face = FACE_PARTS[PointTree(person.anchors).query(placed[near])[1]]
    eyes = person.near_eyes(placed[near])
    some, few = int(FACE_SHARE * count), int(EYE_SHARE * count)
    groups = ((near[eyes], few), (near[face & ~eyes], some), (near[~face & ~eyes], count - some - few))
    picked = [group[thin(placed[group], most, seed)] for group, most in groups]
    return scan.points[np.random.default_rng(seed).permutation(np.concatenate(picked))]


def solve_frame(
    person: Person, scan: Scan, start: ViewState, options: TrackOptions, far: bool, lead: float = 1.0
) -> FrameFit | None:
    """A frame from a start near by; None when hardly any points lie there.

    Args:
        person: Who.
        scan: The frame.
        start: Where it was led.
        options: Points, steps and gates.
        far: The start is not from the frame before: more steps, and a wider gate.
        lead: How strongly it is held there.
    """
    points = chosen_points(scan, person, start.similarity, options.points, options.seed)
    if len(points) < FEWEST:
        return None
    view = View(Cloud(points, PointTree(points), 0.0), start.similarity, float(np.log(person.scale)), free=person.free)
    problem = Problem(person.model, [view], person.prior, options.solver)
    lids = person.near_eyes(start.similarity.apply(points))
    cells = np.unique(np.floor(start.similarity.apply(points[lids]) / options.lid_patch).astype(np.int64), axis=0)
    problem.trust[0][lids] = np.maximum(problem.trust[0][lids], len(cells) / max(1, int(lids.sum())))
    steps, gate = (options.far_steps, options.far_gate) if far else (options.steps, options.gate)
    state, held, damping = start, None, 0.0
    for step in range(steps + 1):
        count = None if step >= steps - 1 else options.early_points
        now = _quadratic(problem, person, state, gate, step, count)
        if held is not None and now.misfit > 1.2 * held.misfit:
            damping = 10.0 * max(damping, 0.1)  # a step that led astray: a shorter one from where it began
        else:
            held, damping = now, 0.1 * damping
        state = stepped(person, held, start, options, lead, damping)
        if step == 0:
            state = _lids_probed(person, scan, state, options.seed)
        if step >= steps - 1 and held is now:
            break
    held = present(held, "a step")
    if held.at is not now.at or count is not None:
        held = _quadratic(problem, person, held.at, gate, steps, None)
    explained, seen = _told(person, points, state)
    return FrameFit(state, held.at, held.hessian, held.slope, explained, seen, points)


def _lids_probed(person: Person, scan: Scan, state: ViewState, seed: int) -> ViewState:
    """The state with lids as far closed as the points about the eyes like best.

    A trained deformer hardly feels a lid that begins to close (see :mod:`headfield.fit.expression`), and lids close
    within three frames: steps alone find the way only when the blink is over.
    """
    lids = person.model.expression_space.mask("blink") & person.free
    placed = state.similarity.apply(scan.points)
    near = np.flatnonzero(person.near_eyes(placed)) if lids.any() else []
    if len(near) < FEWEST:
        return state
    near = near[thin(placed[near], _PROBED, seed)]
    tried = [state, *(replace(state, expression=np.where(lids, weight, state.weights)) for weight in _LIDS)]
    away = [field_values(person.model, person.identity, one, scan.points[near]) for one in tried]
    misfit = np.array([geman_mcclure(values, _ASTRAY)[0].mean() for values in away])
    best = int(np.argmin(misfit))
    return tried[best] if misfit[best] < _CLEARLY * misfit[0] else state


@dataclass(frozen=True)
class _Quadratic:
    """The data about a state: Hessian and slope by pose (without the size) and expression, and how badly it fits."""

    at: ViewState
    hessian: np.ndarray
    slope: np.ndarray
    misfit: float


def _quadratic(
    problem: Problem, person: Person, state: ViewState, gate: Gate, step: int, count: int | None
) -> _Quadratic:
    """The data about a state by its first `count` points, all for None, with the gate of a step."""
    lines = problem.linearised(person.identity, [state], count)
    held = problem.assemble(person.identity, [state], lines, gate.scale(step), hold=False)
    own = np.arange(len(person.identity), len(held["slope"]))
    own = np.delete(own, POSE - 1)
    misfit = float(geman_mcclure(lines[0].residual, _ASTRAY)[0].mean())
    return _Quadratic(state, held["hessian"][np.ix_(own, own)], held["slope"][own], misfit)


def stepped(
    person: Person, data: _Quadratic, led: ViewState, options: TrackOptions, lead: float, damping: float = 0.0
) -> ViewState:
    """Where a quadratic, the expression's prior and what leads the frame put it together; shorter with damping."""
    at, slope, space, e = data.at, data.slope, person.model.expression_space, data.at.weights
    hessian = data.hessian + damping * np.diag(np.diag(data.hessian))
    away = difference(at.similarity, led.similarity)
    rigid = lead * np.repeat([_LED_TURN**-2.0, _LED_SHIFT**-2.0], 3)
    wide = lead * (_LED_WEIGHT * np.minimum(space.upper - space.lower, 2.0)) ** -2.0
    pose, face = slice(0, RIGID), slice(RIGID, None)
    factor = Cholesky(hessian[pose, pose] + np.diag(rigid))
    pull = slope[pose] + rigid * away
    cross = hessian[pose, face]
    reduced = hessian[face, face] - cross.T @ factor.solve(cross)
    curved, straight = space.prior.relaxed(options.relaxed).quadratic(e)
    strength = options.solver.expression_prior
    linear = slope[face] - cross.T @ factor.solve(pull) - reduced @ e + strength * straight - wide * led.weights
    reduced = reduced + strength * curved + np.diag(wide)
    lower, upper = np.where(person.free, space.lower, e), np.where(person.free, space.upper, e)
    target = box_minimum(reduced, linear, e, lower, upper)
    return replace(at, similarity=moved(at.similarity, -factor.solve(pull + cross @ (target - e))), expression=target)


def moved(similarity: Similarity, step: np.ndarray) -> Similarity:
    """A placement after a rotation and a shift (6,) in the model frame about CENTRE."""
    rotation = Rotation.from_rotvec(step[:3]).as_matrix()
    return Similarity(rotation, CENTRE + step[3:6] - rotation @ CENTRE, 1.0).after(similarity)


def difference(similarity: Similarity, start: Similarity) -> np.ndarray:
    """The step (6,) that led from a start to a placement of the same size; the inverse of `moved`."""
    change = similarity.after(start.inverse())
    turn = Rotation.from_matrix(change.rotation).as_rotvec()
    return np.concatenate([turn, change.apply(CENTRE) - CENTRE])


def _told(person: Person, points: np.ndarray, state: ViewState) -> tuple[float, float]:
    """Shares of the face explained and seen."""
    placed = state.similarity.apply(points)
    face = FACE_PARTS[PointTree(person.anchors).query(placed)[1]]
    seen = float((PointTree(placed).query(person.anchors[FACE_PARTS])[0] * person.mm < SEEN_MM).mean())
    if face.sum() < FEWEST // 2:
        return 0.0, min(seen, 0.0)
    some = points[face][:200]
    away = field_values(person.model, person.identity, state, some) * person.mm
    return float((np.abs(away) < EXPLAINED_MM).mean()), seen
