"""All frames at once: what each frame's points say (a quadratic) and how heads and faces move, in one banded system.

The unknowns of a frame are small turns and shifts of the head, in the camera's axes, and its expression numbers. The
movements' prior has heavy tails and numbers have bounds, so that the system is solved a few times with weights and
active bounds renewed. A frame without points has no quadratic: it is bridged by its neighbours, in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from headfield.expressions import ExpressionSpace
from headfield.fit.normal_equations import CENTRE, ViewState
from headfield.fit.track.frame import RIGID, FrameFit, moved
from headfield.fit.track.motion import Motion, weights_of

ROUNDS = 8
"""Times that the system is solved."""

WINDOW, OVERLAP = 240, 30
"""Frames that are solved together, and how many of those two windows share: what is so far away has no say."""

_HOLD = 1e9
"""Precision that keeps a number at its bound."""


@dataclass
class _Line:
    """The frames of a window as arrays: T frames, n = 6 + E unknowns."""

    hessians: np.ndarray
    slopes: np.ndarray
    turns: np.ndarray
    places: np.ndarray
    start: np.ndarray


def smoothed(
    states: Sequence[ViewState],
    fits: Sequence[FrameFit | None],
    space: ExpressionSpace,
    motion: Motion,
    free: np.ndarray,
    strength: float,
) -> list[ViewState]:
    """The states of all frames, each where its points, the frames about it and the priors put it.

    Args:
        states: T states; of a frame without points one that may be as wrong as its neighbours are far.
        fits: Their quadratics, None of frames without points.
        space: Bounds and prior of the expression numbers.
        motion: Scales of movements.
        free: (E,) bool, numbers that may move.
        strength: Of the prior on expressions.
    """
    found, first = list(states), 0
    while True:
        part = slice(first, first + WINDOW)
        solved = _window(list(states[part]), list(fits[part]), space, motion, free, strength)
        begin = 0 if first == 0 else OVERLAP // 2
        found[first + begin : first + len(solved)] = solved[begin:]
        if first + WINDOW >= len(states):
            return found
        first += WINDOW - OVERLAP


def _window(states, fits, space, motion: Motion, free, strength: float) -> list[ViewState]:
    line = _line(states, fits)
    step = np.zeros((len(states), line.slopes.shape[1]))
    held = np.zeros((len(states), len(space)), dtype=bool)
    for _ in range(ROUNDS):
        band, right = _system(line, step, space, motion, strength)
        step, held = _solved(line, band, right, step, held, space, free)
    found = []
    for state, change in zip(states, step):
        axes = -state.similarity.rotation
        rigid = np.concatenate([axes @ change[:3], axes @ change[3:6]])
        expression = np.clip(state.expression + change[RIGID:], space.lower, space.upper)
        found.append(
            replace(
                state,
                similarity=moved(state.similarity, rigid),
                expression=np.where(free, expression, state.expression),
            )
        )
    return found


def _line(states: list[ViewState], fits: list[FrameFit | None]) -> _Line:
    """Quadratics about the states, in the camera's axes, and what movements are counted from."""
    count, size = len(states), RIGID + len(states[0].weights)
    hessians, slopes = np.zeros((count, size, size)), np.zeros((count, size))
    for index, (state, fit) in enumerate(zip(states, fits)):
        if fit is None:
            continue
        turn = np.eye(size)
        turn[:3, :3] = turn[3:6, 3:6] = -state.similarity.rotation
        hessians[index] = turn.T @ fit.hessian @ turn
        slopes[index] = turn.T @ fit.slope
    heads = Rotation.from_matrix([state.similarity.rotation.T for state in states])
    steps = (heads[1:] * heads[:-1].inv()).as_rotvec() if count > 1 else np.zeros((0, 3))
    turns = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    places = np.array([state.similarity.scale * state.similarity.inverse().apply(CENTRE) for state in states])
    return _Line(hessians, slopes, turns, places, np.array([state.expression for state in states]))


def _system(line: _Line, step: np.ndarray, space: ExpressionSpace, motion: Motion, strength: float):
    """The banded matrix (lower form) and right side of a quadratic that touches the objective at a step."""
    count, size = step.shape
    blocks, right = line.hessians.copy(), -line.slopes.copy()
    for index in range(count):
        e = np.clip(line.start[index] + step[index, RIGID:], space.lower, space.upper)
        curved, straight = _convex(space, e)
        blocks[index, RIGID:, RIGID:] += strength * curved
        right[index, RIGID:] -= strength * (straight + curved @ line.start[index])
    band = np.zeros((3 * size, count * size))
    base = np.concatenate([line.turns, line.places, line.start], axis=1)
    now = base + step
    _penalise(band, right, base, _speeds(motion, size, count), (-1.0, 1.0))
    _penalise(band, right, base, _accelerations(now, motion, space), (1.0, -2.0, 1.0))
    for row in range(size):
        for column in range(row + 1):
            band[row - column, column::size] += blocks[:, row, column]
    return band, right.ravel()


def _convex(space: ExpressionSpace, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The prior's quadratic at numbers (E,), its products of opposed numbers replaced by a convex one that touches them
    from above: e f = ((e + f)^2 - e^2 - f^2) / 2, the squares that are taken away by their tangents."""
    curved, straight = space.prior.quadratic(e)
    for column in space.prior.opposed.T:
        np.add.at(curved, (column, column), space.prior.opposition)
        np.add.at(straight, column, -space.prior.opposition * e[column])
    return curved, straight


def _speeds(motion: Motion, size: int, count: int) -> np.ndarray:
    """Precisions (T - 1, n) of first differences."""
    found = np.zeros((max(count - 1, 0), size))
    found[:, :3], found[:, 3:6] = motion.speed[0] ** -2.0, motion.speed[1] ** -2.0
    return found


def _accelerations(now: np.ndarray, motion: Motion, space: ExpressionSpace) -> np.ndarray:
    """Precisions (T - 2, n) of second differences, renewed by what these are now; both sides of a face go together."""
    second = now[2:] - 2.0 * now[1:-1] + now[:-2]
    found = np.zeros_like(second)
    if not len(second):
        return found
    for where, scale in ((slice(0, 3), motion.turn), (slice(3, 6), motion.shift)):
        found[:, where] = weights_of(second[:, where], scale)[:, None] / scale**2
    for unit in space.prior.units():
        columns, scale = RIGID + unit, motion.expression[unit]
        found[:, columns] = weights_of(second[:, columns], scale)[:, None] / scale**2
    return found


def _penalise(band: np.ndarray, right: np.ndarray, base: np.ndarray, precision: np.ndarray, stencil: tuple) -> None:
    """Add a penalty on a difference of consecutive frames, of all unknowns, to a banded matrix and its right side."""
    rows, size = precision.shape
    if not rows:
        return
    there = sum(share * base[k : k + rows] for k, share in enumerate(stencil))
    for k, share in enumerate(stencil):
        right[k : k + rows] -= share * precision * there
        for other in range(k + 1):
            columns = slice(other * size, (other + rows) * size)
            band[(k - other) * size, columns] += (share * stencil[other] * precision).ravel()


def _solved(line: _Line, band, right, step, held, space: ExpressionSpace, free):
    """The solution with numbers kept within their bounds, and which of them stand at one.

    A number that leaves its bounds is put on the bound and held there; one that is held and would rather come back
    is let go. Both are done once a round.
    """
    count, size = step.shape
    low, high = space.lower - line.start, space.upper - line.start
    fixed = held | ~free
    target = np.where(free, np.clip(step[:, RIGID:], low, high), 0.0)
    stiff, pull = band.copy(), right.reshape(count, size).copy()
    stiff[0].reshape(count, size)[:, RIGID:] += np.where(fixed, _HOLD, 0.0)
    pull[:, RIGID:] += np.where(fixed, _HOLD * target, 0.0)
    stiff[0] += 1e-6
    found = solveh_banded(stiff, pull.ravel(), lower=True).reshape(count, size)
    e = found[:, RIGID:]
    force = _HOLD * (target - e)  # what holds it there
    at_low, at_high = target <= low + 1e-9, target >= high - 1e-9
    release = held & ((at_low & (force < 0)) | (at_high & (force > 0)))
    beyond = (e < low - 1e-9) | (e > high + 1e-9)
    found[:, RIGID:] = np.where(free, np.clip(e, low, high), 0.0)
    return found, ((held & ~release) | beyond) & free
