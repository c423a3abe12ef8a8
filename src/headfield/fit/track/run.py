"""The whole way from a depth video to a take: who it is, frame after frame, all frames at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.fit.options import FitOptions
from headfield.fit.track.follow import Tracker
from headfield.fit.track.identity import Known, identity_of
from headfield.fit.track.options import TrackOptions, checked
from headfield.fit.track.settle import errors_of, settled
from headfield.fit.track.take import Take
from headfield.io.depth_video import Frames
from headfield.models import DEFAULT
from headfield.models.protocol import HeadModel

Progress = Callable[[str, float], None]


def track(
    frames: Frames,
    model: str | Path | HeadModel = DEFAULT,
    options: TrackOptions | None = None,
    *,
    known: FitOptions | None = None,
    who: Known | None = None,
    progress: Progress | None = None,
) -> tuple[Take, Known]:
    """Track the head in a depth video.

    Args:
        frames: The video, or anything that gives its frames by number; each is read two or three times at most.
        model: A model's name, folder or hub id, or a loaded model.
        options: See :class:`headfield.fit.track.options.TrackOptions`.
        known: What is known of the scans: up axis, finder of faces. The unit is that of the depth maps.
        who: Who it is, from another take of the same person; None finds it out from the frames.
        progress: Called with a stage (identity, frames, smoothing) and the share done.
    Returns:
        The take, and who it is: for further takes of the same person, and as a fit of one of the frames
        (`Known.fit`), which every verb that opens heads can be given.
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
    model, name = _model(model)
    clock = [time.perf_counter()]
    tell("identity", 0.0)
    if who is None:
        who = identity_of(frames, model, options, lambda share: tell("identity", share), known)
    clock.append(time.perf_counter())
    led = Tracker(who, options, known or FitOptions())
    for number in range(len(frames)):
        led.follow(number, frames[number])
        tell("frames", (number + 1) / len(frames))
    clock.append(time.perf_counter())
    tell("smoothing", 0.0)
    states = settled(who.person, led.fits, options)
    errors, explained = errors_of(who.person, states, led.fits)
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
    if who.fit is not None:
        who.fit.model_name = name
    return take, who


def _model(model: str | Path | HeadModel) -> tuple[HeadModel, str]:
    """The model, and what it is called."""
    if not isinstance(model, (str, Path)):
        return model, str(getattr(model, "name", "model"))
    from headfield.models.release import load

    return load(model), str(model)
