"""From frames that were followed to states of all of them: gaps bridged, all frames smoothed together, errors told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp

from headfield.errors import ScanError
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import CENTRE, ViewState, field_values
from headfield.fit.track.frame import EXPLAINED_MM, FrameFit, Person
from headfield.fit.track.motion import motion_of
from headfield.fit.track.options import TrackOptions
from headfield.fit.track.smoothing import smoothed
from headfield.types import Similarity

_TOLD_POINTS = 300
"""Points of the face that a frame's error is told by."""


def settled(person: Person, fits: Sequence[FrameFit | None], options: TrackOptions) -> list[ViewState]:
    """States of all frames: bridged where nothing was seen, and smoothed together.

    Args:
        person: Who.
        fits: T fits, None of frames without a face.
        options: Frame rate and how smooth.
    Raises:
        ScanError: There is a face in no frame.
    """
    states = bridged([None if fit is None else (fit.at if options.smooth else fit.state) for fit in fits])
    if not options.smooth:
        return states
    space = person.model.expression_space
    space = replace(space, prior=space.prior.relaxed(options.relaxed))
    motion = motion_of(space, options.fps, options.smooth)
    return smoothed(states, fits, space, motion, person.free, options.solver.expression_prior)


def bridged(states: Sequence[ViewState | None]) -> list[ViewState]:
    """Every frame's state; of those that have none the way between their neighbours, or what the nearest has.

    Args:
        states: T states or None.

    Raises:
        ScanError: No frame has one.
    """
    seen = np.flatnonzero([state is not None for state in states])
    if not len(seen):
        raise ScanError("The face was found in the frames that told who it is, but could be followed in none.")
    known = [state for state in states if state is not None]
    if len(known) == 1:
        return known * len(states)
    every = np.arange(len(states)).clip(seen[0], seen[-1])
    rotations = Rotation.from_matrix(np.array([state.similarity.rotation for state in known]))
    turns = Slerp(seen, rotations)(every).as_matrix()
    middles = np.array([state.similarity.inverse().apply(CENTRE) for state in known])
    middles = np.stack([np.interp(every, seen, column) for column in middles.T], axis=1)
    faces = np.stack([np.interp(every, seen, column) for column in np.array([s.expression for s in known]).T], axis=1)
    found = []
    for index, state in enumerate(states):
        if state is None:
            scale = known[0].similarity.scale
            place = Similarity(turns[index], CENTRE - scale * turns[index] @ middles[index], scale)
            state = replace(known[0], similarity=place, expression=faces[index])
        found.append(state)
    return found


def errors_of(
    person: Person, states: list[ViewState], fits: Sequence[FrameFit | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Median distance (T,) of the face's points in the end, mm, and the share (T,) of them within 4 mm.

    Args:
        person: Who.
        states: T states in the end.
        fits: Their points; None of frames without a face, whose error is nan and whose share is 0.
    """
    errors, explained = np.full(len(states), np.nan), np.zeros(len(states))
    tree = cKDTree(person.anchors)
    for index, (state, fit) in enumerate(zip(states, fits)):
        if fit is None:
            continue
        face = FACE_PARTS[tree.query(state.similarity.apply(fit.points))[1]]
        some = fit.points[face][:_TOLD_POINTS]
        if len(some):
            away = np.abs(field_values(person.model, person.identity, state, some)) * person.mm
            errors[index], explained[index] = float(np.median(away)), float((away < EXPLAINED_MM).mean())
    return errors, explained
