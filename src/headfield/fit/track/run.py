"""The whole way from a depth video to a take: who it is, frame after frame, all frames at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp

from headfield.errors import ScanError
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import CENTRE, ViewState, field_values
from headfield.fit.options import FitOptions
from headfield.fit.result import Fit
from headfield.fit.run import find_head
from headfield.fit.track.frame import EXPLAINED_MM, FrameFit, Person, solve_frame
from headfield.fit.track.identity import Known, identity_of
from headfield.fit.track.motion import motion_of
from headfield.fit.track.options import TrackOptions, checked
from headfield.fit.track.smoothing import smoothed
from headfield.fit.track.take import FOUND, LEFT, LOST, Take
from headfield.io.depth_video import DepthVideo, VideoFrame
from headfield.models import DEFAULT
from headfield.types import Scan, Similarity

_GONE = 0.3
"""Below this share of the face's places with a point nearby the person is not in the picture."""

_TOLD_POINTS = 300
"""Points of the face that a frame's error is told by."""

Progress = Callable[[str, float], None]


def track(
    frames: DepthVideo | Sequence[VideoFrame],
    model=DEFAULT,
    options: TrackOptions | None = None,
    *,
    known: FitOptions | None = None,
    progress: Progress | None = None,
) -> tuple[Take, Fit]:
    """Track the head in a depth video.

    Args:
        frames: The video, or anything that gives its frames by number; each is read two or three times at most.
        model: A model's name, folder or hub id, or a loaded model.
        options: See :class:`headfield.fit.track.options.TrackOptions`.
        known: What is known of the scans: up axis, finder of faces. The unit is that of the depth maps.
        progress: Called with a stage (identity, frames, smoothing) and the share done.
    Returns:
        The take, and the person as a fit of one of the frames, which :meth:`headfield.fit.result.Fit.save` keeps for
        every verb that opens heads.
    Raises:
        ScanError: No frame can be read.
        NotAHeadError: There is no head in it.
        ConfigError: An option makes no sense.
        WeightsError: The model cannot be loaded.
    """
    options = checked(options or TrackOptions())
    tell = progress or (lambda stage, share: None)
    if not len(frames):
        raise ScanError("no frames: a depth video has at least one.")
    if isinstance(model, (str, Path)):
        from headfield.models.release import load

        name, model = str(model), load(model)
    else:
        name = str(getattr(model, "name", "model"))
    clock = [time.perf_counter()]
    tell("identity", 0.0)
    who = identity_of(frames, model, options, lambda share: tell("identity", share), known)
    clock.append(time.perf_counter())
    led = _Tracker(who, options, known or FitOptions())
    for number in range(len(frames)):
        led.follow(number, frames[number])
        tell("frames", (number + 1) / len(frames))
    clock.append(time.perf_counter())
    tell("smoothing", 0.0)
    states = _settled(led, options)
    errors, explained = _errors(who.person, states, led.fits)
    clock.append(time.perf_counter())
    tell("smoothing", 1.0)
    take = Take(
        name=str(getattr(frames, "folder", "video")),
        model_name=name,
        fps=options.fps,
        identity=who.person.identity,
        names=tuple(led.names),
        units=who.units,
        placements=tuple(state.similarity for state in states),
        expression=np.array([state.expression for state in states]),
        channels=model.expression_space.kind,
        error_mm=errors,
        explained=explained,
        marks=tuple(led.marks),
        keys=tuple(sorted(who.keys)),
        seconds=dict(zip(("identity", "frames", "smoothing"), np.diff(clock).tolist())),
        notes=(*getattr(frames, "notes", ()), *who.notes, *led.notes()),
        weights=model.fingerprint,
    )
    who.fit.model_name = name
    return take, who.fit


@dataclass
class _Tracker:
    """Frame after frame: each begins where the last two lead it to."""

    who: Known
    options: TrackOptions
    known: FitOptions
    names: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    fits: list[FrameFit | None] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    unseen: int = 0
    searched: int = 0

    def follow(self, number: int, frame: VideoFrame) -> None:
        """Track the next frame."""
        self.names.append(frame.name)
        if frame.scan is None:
            self.marks.append(frame.mark)
            self.told += [frame.told] if frame.mark == "damaged" else []
            self.fits.append(None)
            self.unseen += 1
            return
        fit, mark = self._found(number, frame.scan)
        was_gone = any(mark in (LEFT, LOST) for mark in self._since_seen())
        self.fits.append(fit)
        self.marks.append(mark if fit is None else FOUND if was_gone else "")
        self.unseen = 0 if fit is not None else self.unseen + 1
        self.searched = 0 if fit is not None else self.searched

    def _since_seen(self) -> list[str]:
        """Marks of the frames since the face was last seen."""
        return self.marks[len(self.marks) - self.unseen :] if self.unseen else []

    def _found(self, number: int, scan: Scan) -> tuple[FrameFit | None, str]:
        """A frame's fit, or why there is none."""
        person, options = self.who.person, self.options
        led = self._led(number)
        near = self.unseen == 0 and bool(self.fits)
        best = solve_frame(person, scan, led, options, far=not near, lead=1.0 if near else 0.1)
        if best is not None and best.good:
            return best, ""
        if near:
            again = solve_frame(person, scan, led, options, far=True, lead=0.1)
            if again is not None and again.good:
                return again, ""
        self.searched += 1
        if self.searched % self.options.search_every == 1 or self.options.search_every == 1:
            again = self._searched(scan)
            if again is not None and again.good:
                return again, ""
        return None, LEFT if best is None or best.seen < _GONE else LOST

    def _led(self, number: int) -> ViewState:
        """Where a frame begins: as the head went on from the last two; else where it was last, or at the nearest of
        the frames that told who it is."""
        seen = [fit.state for fit in self.fits if fit is not None][-1:]
        if not seen:
            key = min(self.who.keys, key=lambda other: abs(other - number))
            return self.who.keys[key]
        if self.unseen or len(self.fits) < 2 or self.fits[-2] is None:
            return seen[0]
        last, before = self.fits[-1].state, self.fits[-2].state
        change = last.similarity.after(before.similarity.inverse())
        return replace(last, similarity=self.who.person.sized(change.after(last.similarity)))

    def _searched(self, scan: Scan) -> FrameFit | None:
        """The face wherever in the picture it is."""
        try:
            placement, _ = find_head(scan, self.who.person.model, self.known)
        except ScanError:
            return None
        rest = np.array(self.who.person.model.expression_space.rest, dtype=float)
        start = ViewState(self.who.person.sized(placement.similarity), rest, self.who.person.free)
        return solve_frame(self.who.person, scan, start, self.options, far=True, lead=0.1)

    def notes(self) -> list[str]:
        """What the marks come to, a sentence each."""
        counted = {mark: self.marks.count(mark) for mark in dict.fromkeys(self.marks) if mark not in ("", FOUND)}
        found = [f"{count} of {len(self.marks)} frames: {mark}; bridged." for mark, count in counted.items()]
        return found + ([f"The first that was damaged: {self.told[0]}"] if self.told else [])


def _settled(led: _Tracker, options: TrackOptions) -> list[ViewState]:
    """States of all frames: bridged where nothing was seen, and smoothed together."""
    states = _bridged([None if fit is None else (fit.at if options.smooth else fit.state) for fit in led.fits])
    if not options.smooth:
        return states
    person = led.who.person
    space = person.model.expression_space
    motion = motion_of(space, options.fps, options.smooth)
    return smoothed(states, led.fits, space, motion, person.free, options.solver.expression_prior)


def _bridged(states: list[ViewState | None]) -> list[ViewState]:
    """Every frame's state; of those that have none the way between their neighbours, or what the nearest has.

    Raises:
        ScanError: No frame has one.
    """
    seen = np.flatnonzero([state is not None for state in states])
    if not len(seen):
        raise ScanError("The face was found in the frames that told who it is, but could be followed in none.")
    if len(seen) == 1:
        return [states[seen[0]]] * len(states)
    every = np.arange(len(states)).clip(seen[0], seen[-1])
    known = [states[index] for index in seen]
    turns = Slerp(seen, Rotation.from_matrix([state.similarity.rotation for state in known]))(every).as_matrix()
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


def _errors(person: Person, states: list[ViewState], fits: list[FrameFit | None]) -> tuple[np.ndarray, np.ndarray]:
    """Median distance (T,) of the face's points in the end, mm, and the share (T,) of them within 4 mm."""
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
