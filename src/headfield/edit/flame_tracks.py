"""FLAME expression sequences: tracks for models that were trained on FLAME fits and speak its parameters.

A frame is FLAME's expression coefficients (any number: they are ordered by how much they move) followed by the three
numbers of the jaw's axis-angle. Files of trackers hold more (shape, camera, neck); only the expression, the jaw and
the times are read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.edit.tracks import MAX_FRAMES, Track
from headfield.errors import ConfigError, TrackError
from headfield.expressions import JAW, ExpressionSpace, flame_names
from headfield.io import guard
from headfield.io.arrays import npy, npz

MOST = 20.0
"""Expression coefficients are standard deviations: what lies beyond is no FLAME sequence."""

_EXPRESSION = ("expr", "expression", "exp", "expression_params")
_JAWS = ("jaw_pose", "jaw")
_TIMES = ("times", "time", "t")
_COLUMN = re.compile(r"^(expr|expression|exp|jaw|jaw_?pose)[_ ]?(\d+|[xyz])$", re.I)
WANTED = (
    "an .npz with expr (T, n) and jaw_pose (T, 3), an .npy of (T, n + 3) whose last three columns are the jaw, or a "
    "CSV with columns expr_0, expr_1, ... and jaw_0 to jaw_2"
)


def flame_columns(names: list[str]) -> list[int]:
    """Which of a CSV's columns are FLAME's expression or jaw."""
    return [index for index, name in enumerate(names) if _COLUMN.match(name)]


def read_flame_arrays(path: Path, fps: float | None) -> Track:
    """Read an .npz or .npy of FLAME parameters; nothing in it is executed.

    Args:
        path: See :data:`WANTED`; an .npz may hold ``fps`` or ``times`` (seconds) too.
        fps: Frames per second of a file that does not say.
    Raises:
        TrackError: Not such a file, 0 frames, wrong sizes, numbers that are not finite or not FLAME's.
    """
    times = None
    with guard.reading(path, "a track", TrackError, f"Give {WANTED}."):
        if path.suffix.lower() == ".npy":
            values = npy(path, TrackError)
            if values.ndim != 2 or values.shape[1] <= JAW or values.dtype.kind not in "fiu":
                raise TrackError(f"{path}: an array of {values.shape} and type {values.dtype}; give {WANTED}.")
        else:
            with npz(path, TrackError) as file:
                values, times, fps = _from_archive(path, file, fps)
        return _track(path, values, times, fps)


def flame_table(path: Path, names: list[str], values: np.ndarray, times, fps: float | None) -> Track:
    """A track from the columns of a CSV: names (C,), values (T, C), times (T,) or None.

    Raises:
        TrackError: Coefficients are left out, or see :func:`read_flame_arrays`.
    """
    place: dict[tuple[str, int], int] = {}
    for index, name in enumerate(names):
        if match := _COLUMN.match(name):
            kind, number = match.groups()
            axis = "xyz".find(number.lower())
            key = ("jaw" if kind.lower().startswith("jaw") else "expr", int(number) if axis < 0 else axis)
            if key in place:
                raise TrackError(f"{path}: column '{name}' appears twice; keep one of each.")
            place[key] = index
    counts = {kind: sorted(number for one, number in place if one == kind) for kind in ("expr", "jaw")}
    first = counts["expr"][0] if counts["expr"] else 0  # some count from 1
    if not counts["expr"] or counts["expr"] != list(range(first, first + len(counts["expr"]))):
        raise TrackError(f"{path}: expression columns {counts['expr'][:8]} do not count on from one another; "
                         f"give {WANTED}.")  # fmt: skip
    if counts["jaw"] and len(counts["jaw"]) != JAW:
        raise TrackError(f"{path}: {len(counts['jaw'])} jaw columns, 3 were expected (or none: a jaw at rest).")
    expression = values[:, [place["expr", number] for number in counts["expr"]]]
    jaw = values[:, [place["jaw", number] for number in counts["jaw"]]] if counts["jaw"] else None
    return _track(path, _joined(expression, jaw), times, fps)


def for_space(track: Track, space: ExpressionSpace) -> Track:
    """The track in a model's own numbers.

    Args:
        track: ARKit weights or FLAME parameters.
        space: The model's expressions.
    Returns:
        The track itself for ARKit; for FLAME with as many expression coefficients as the model takes (FLAME's first
        ones count most: more are cut off, fewer filled up with zeros), which its notes tell.
    Raises:
        ConfigError: The track speaks another language than the model.
    """
    if track.channels != space.kind:
        spoken = {"arkit52": "the 52 ARKit weights", "flame": "FLAME's expression and jaw parameters"}
        raise ConfigError(
            f"{track.name} holds {spoken.get(track.channels, track.channels)}; this head's model takes "
            f"{spoken.get(space.kind, space.kind)}. Give a track of those, or fit the head "
            "with a model that speaks the track's."
        )
    if track.channels != "flame":
        return track
    have, want = track.weights.shape[1] - JAW, len(space) - JAW
    if have == want:
        return track
    expression, jaw = track.weights[:, :have], track.weights[:, have:]
    if have > want:
        note = f"{have} expression coefficients, the model takes {want}: the others are left out."
        expression = expression[:, :want]
    else:
        note = f"{have} expression coefficients, the model takes {want}: the others are zero."
        expression = np.pad(expression, ((0, 0), (0, want - have)))
    return replace(track, weights=np.concatenate([expression, jaw], axis=1), notes=(*track.notes, note))


def _from_archive(path: Path, file, fps: float | None):
    def first(names):
        return next((file[name] for name in names if name in file), None)

    expression, jaw = first(_EXPRESSION), first(_JAWS)
    if expression is None:
        held = ", ".join(list(file.keys())[:6]) or "nothing"
        raise TrackError(f"{path}: no expression coefficients (it holds {held}); give {WANTED}.")
    times = first(_TIMES)
    if fps is None and "fps" in file:
        fps = float(file["fps"])
    return _joined(expression, jaw, path), times, fps


def _joined(expression, jaw, path: Path | None = None) -> np.ndarray:
    expression = np.asarray(expression, dtype=float)
    jaw = np.zeros((len(expression), JAW)) if jaw is None else np.asarray(jaw, dtype=float)
    if expression.ndim != 2 or jaw.shape != (len(expression), JAW):
        raise TrackError(f"{path}: expression of {expression.shape} and jaw of {jaw.shape}; (T, n) and (T, 3) "
                         "were expected.")  # fmt: skip
    return np.concatenate([expression, jaw], axis=1)


def _track(path: Path, values: np.ndarray, times, fps: float | None) -> Track:
    values = np.asarray(values, dtype=float)
    if len(values) > MAX_FRAMES:
        raise TrackError(f"{path}: {len(values):,} frames; {MAX_FRAMES:,} are the most. Cut the track.")
    if len(values) == 0:
        raise TrackError(f"{path}: 0 frames; record again, or give {WANTED}.")
    if not np.isfinite(values).all():
        frame, column = np.argwhere(~np.isfinite(values))[0]
        raise TrackError(f"{path}: frame {frame + 1}, {flame_names(values.shape[1])[column]} is no finite number; "
                         "cut or mend those frames.")  # fmt: skip
    worst = float(np.abs(values).max())
    if worst > MOST:
        raise TrackError(f"{path}: numbers up to {worst:.3g}; FLAME's coefficients are standard deviations, a few at "
                         "most, and its jaw is in radians.")  # fmt: skip
    if fps is not None and not 0 < fps <= 1000:
        raise ConfigError(f"{fps:g} frames per second: choose more than 0 and at most 1000.")
    notes = ()
    if times is None:
        times = np.arange(len(values)) / (fps or 30.0)
        if fps is None:
            notes = ("No times: 30 frames per second assumed; --track-fps says otherwise.",)
    times = np.asarray(times, dtype=float)
    return Track(times - times[0] if times.shape == (len(values),) else times, values, name=path.name, notes=notes,
                 channels="flame")  # fmt: skip
