"""Reading and writing expression tracks: Live Link Face CSV, MediaPipe scores (CSV or JSON), our own CSV, FLAME.

All readers end in one table: times, and a column per known name. Names are matched without regard to case or
underscores, so ``EyeBlinkLeft``, ``eyeBlinkLeft`` and ``eyeBlink_L`` are one channel.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.edit.flame_tracks import flame_columns, flame_table, read_flame_arrays
from headfield.edit.track_json import json_table
from headfield.edit.tracks import MAX_FRAMES, Track, head_angles, head_rotation
from headfield.errors import ConfigError, TrackError
from headfield.expressions import flame_names
from headfield.io import guard
from headfield.io.mesh import write_bytes
from headfield.types import ARKIT

TRACK_SUFFIXES = (".csv", ".json", ".npz", ".npy")
HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
"""Columns of the head's rotation, radians; see :func:`headfield.edit.tracks.head_rotation`."""

SHIFT = ("HeadShiftX", "HeadShiftY", "HeadShiftZ")
"""Columns of where the head goes, metres; of our own files only."""

_WANTED = (
    "a CSV of Live Link Face, MediaPipe blendshape scores (CSV or JSON), or a CSV with a time column and ARKit names"
)
_RATES = (24, 25, 30, 48, 50, 60, 90, 100, 120, 240)
_TIMECODE = re.compile(r"^\s*(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)\s*$")
_SECONDS = {"time": 1.0, "times": 1.0, "t": 1.0, "seconds": 1.0, "timeseconds": 1.0, "timestamp": 1.0}
_SECONDS |= {"timems": 1e-3, "timestampms": 1e-3, "milliseconds": 1e-3, "ms": 1e-3}
_FRAMES = ("frame", "frames", "frameindex", "framenumber", "frameid", "index")
_IGNORED = {"neutral", "blendshapecount"} | {f"{s}eye{a}" for s in ("left", "right") for a in ("yaw", "pitch", "roll")}


def plain(name: str) -> str:
    """A channel name without case, spaces, underscores and dashes; a final ``_L`` or ``_R`` is spelled out."""
    name = re.sub(r"[_\- ](l|r)$", lambda m: {"l": "left", "r": "right"}[m[1].lower()], name.strip(), flags=re.I)
    return re.sub(r"[_\- ]", "", name).lower()


_CHANNEL = {plain(name): index for index, name in enumerate(ARKIT)}
_HEAD = {plain(name): index for index, name in enumerate((*HEAD, *SHIFT))}


def read_track(path: str | Path, fps: float | None = None) -> Track:
    """Read an expression track.

    Args:
        path: ``.csv`` of Live Link Face (timecodes; the head's angles in radians), of MediaPipe scores or of our own
            (time or frame column and any ARKit names), or ``.json`` of MediaPipe scores; or FLAME parameters, see
            :data:`headfield.edit.flame_tracks.WANTED`.
        fps: Frames per second of a file that counts frames, or has no time at all; for Live Link Face, the frames
            that its timecodes count. Found out when not given.
    Returns:
        The track from time 0; its notes say what was missing, extra, clipped or bridged.
    Raises:
        TrackError: Not a track, 0 frames, times that do not increase, values that are no numbers.
        ConfigError: `fps` is not within (0, 1000].
    """
    path = Path(path)
    if fps is not None and not 0 < fps <= 1000:
        raise ConfigError(f"{fps:g} frames per second: choose more than 0 and at most 1000.")
    if path.suffix.lower() not in TRACK_SUFFIXES:
        raise TrackError(
            f"{path}: tracks are .csv or .json files (FLAME's also .npz or .npy), got '{path.suffix}'; give {_WANTED}."
        )
    with guard.reading(path, "a track", TrackError, f"Give {_WANTED}."):
        if path.suffix.lower() in (".npz", ".npy"):
            return read_flame_arrays(path, fps)
        return _text_track(path, guard.text(path, TrackError), fps)


def _text_track(path: Path, text: str, fps: float | None) -> Track:
    if not text.strip():
        raise TrackError(f"{path}: the file is empty: 0 frames. Give {_WANTED}.")
    notes: list[str] = []
    if path.suffix.lower() == ".json":
        names, times, values, rotation = json_table(path, text)
    else:
        rows, known = _csv_rows(path, text)
        columns = flame_columns(rows[0])
        if columns and not any(name in _CHANNEL for name in known):
            names, body = [rows[0][index] for index in columns], _csv_body(path, rows, notes)
            values = np.array([[_number(path, line, rows[0][i], row[i]) for i in columns]
                               for line, row in enumerate(body, 2)]).reshape(len(body), len(columns))  # fmt: skip
            track = flame_table(path, names, values, _csv_times(path, known, body, fps, notes), fps)
            return replace(track, notes=(*notes, *track.notes))
        names, times, values = _csv_table(path, rows, known, fps, notes)
        rotation = None
    if len(values) == 0:
        raise TrackError(f"{path}: 0 frames: a heading and no rows. Record again, or give {_WANTED}.")
    if len(values) > MAX_FRAMES:
        raise TrackError(f"{path}: {len(values):,} frames; {MAX_FRAMES:,} are the most. Cut the track.")
    if times is None:
        times = np.arange(len(values)) / (fps or 30.0)
        notes.append(f"No time column: {fps or 30:g} frames per second assumed; --track-fps says otherwise.")
    times, keep = _increasing(path, times, notes)
    values, rotation = values[keep], None if rotation is None else rotation[keep]
    weights, angles, shift = _channels(path, names, values, notes)
    if angles is not None:
        rotation = head_rotation(angles)
    return Track(times, weights, rotation, name=path.name, notes=tuple(notes), shift=shift)


def write_track(track: Track, path: str | Path) -> Path:
    """Write a track as our CSV: ``time`` in seconds, the channels, the head's angles and its place if it has them.

    Raises:
        TrackError: The suffix is not ``.csv``.
        OutputError: The place cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise TrackError(f"{path}: tracks are written as .csv, got '{path.suffix}'.")
    names = ARKIT if track.channels == "arkit52" else flame_names(track.weights.shape[1])
    table = np.column_stack([track.times, track.weights])
    if track.rotation is not None:
        table = np.column_stack([table, head_angles(track.rotation)])
    if track.shift is not None:
        table = np.column_stack([table, track.shift])
    moves = (*(HEAD if track.rotation is not None else ()), *(SHIFT if track.shift is not None else ()))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["time", *names, *moves])
    writer.writerows([[f"{value:.7g}" for value in row] for row in table])
    write_bytes(path, buffer.getvalue().encode())
    return path


# ---- CSV -----------------------------------------------------------------------------------------------------------


def _csv_rows(path: Path, text: str) -> tuple[list[list[str]], list[str]]:
    """Rows of cells, the heading first, and the heading's names in plain."""
    first = text.lstrip().splitlines()[0]
    delimiter = max(",;\t", key=first.count)
    guard.check_cells(path, text, delimiter, TrackError)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    rows[0] = [name.strip() for name in rows[0]]
    return rows, [plain(name) for name in rows[0]]


def _csv_table(path: Path, rows: list[list[str]], known: list[str], fps: float | None, notes: list[str]):
    """Names, times (T,) or None, and values (T, C) of a CSV of ARKit channels."""
    names = rows[0]
    if not any(name in _CHANNEL for name in known):
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise TrackError(f"{path}: no column is an ARKit channel (columns: {shown[:200]}); give {_WANTED}.")
    doubled = sorted({name for name in known if known.count(name) > 1 and (name in _CHANNEL or name in _HEAD)})
    if doubled:
        raise TrackError(f"{path}: {len(doubled)} columns appear twice, such as '{doubled[0]}'; keep one of each.")
    body = _csv_body(path, rows, notes)
    times = _csv_times(path, known, body, fps, notes)
    wanted = [index for index, name in enumerate(known) if name in _CHANNEL or name in _HEAD]
    extra = [names[i] for i, name in enumerate(known) if name not in _CHANNEL and name not in _HEAD]
    extra = [name for name in extra if plain(name) not in _IGNORED and not _is_time(plain(name))]
    if extra:
        notes.append(f"Ignored {_count(len(extra), 'column')} that {'is' if len(extra) == 1 else 'are'} no ARKit "
                     f"channel: {_some(extra)}.")  # fmt: skip
    values = np.array([[_number(path, line, names[i], row[i]) for i in wanted] for line, row in enumerate(body, 2)])
    return [names[i] for i in wanted], times, values.reshape(len(body), len(wanted))


def _csv_body(path: Path, rows: list[list[str]], notes: list[str]) -> list[list[str]]:
    """Rows below the heading, all as wide as it."""
    names, body = rows[0], rows[1:]
    cut = len(body) > 0 and len(body[-1]) < len(names)
    if cut:  # a recording that was stopped hard ends in the middle of a line
        body = body[:-1]
        notes.append("The last line is cut off and was left out.")
    for number, row in enumerate(body, start=2):
        if len(row) != len(names) and any(cell.strip() for cell in row[len(names) :] or ["x"]):
            raise TrackError(f"{path}, row {number}: {len(row)} cells, the heading has {len(names)}; mend that row.")
    return body


def _is_time(name: str) -> bool:
    return name == "timecode" or name in _SECONDS or name in _FRAMES


def _csv_times(path: Path, known: list[str], body: list[list[str]], fps: float | None, notes: list[str]):
    """Seconds (T,) from the timecode, time or frame column, whichever there is, in this order."""
    if "timecode" in known:
        return _timecodes(path, [row[known.index("timecode")] for row in body], fps, notes)
    for index, name in enumerate(known):
        if name in _SECONDS:
            times = [_number(path, line, name, row[index]) for line, row in enumerate(body, 2)]
            return _SECONDS[name] * np.array(times)
    for index, name in enumerate(known):
        if name in _FRAMES:
            if fps is None:
                notes.append("Frames are counted, not timed: 30 per second assumed; --track-fps says otherwise.")
            count = np.array([_number(path, line, name, row[index]) for line, row in enumerate(body, 2)])
            return count / (fps or 30.0)
    return None


def _timecodes(path: Path, cells: list[str], fps: float | None, notes: list[str]) -> np.ndarray:
    """Seconds (T,) from HH:MM:SS:FF.sub; the rate is the smallest usual one that counts so far."""
    found = []
    for row, cell in enumerate(cells, start=2):
        match = _TIMECODE.match(cell)
        if match is None:
            raise TrackError(
                f"{path}, row {row}: '{cell[:40]}' is no timecode; HH:MM:SS:FF.sub was expected, such as "
                "14:03:52:28.207."
            )
        found.append([float(part) for part in match.groups()])
    parts = np.array(found).reshape(-1, 4)
    highest = np.floor(parts[:, 3]).max(initial=0)
    if fps is None:
        # the frame count starts anew each second: within one second alone nothing tells where it would
        fps = 60.0
        if len(np.unique(parts[:, 2])) > 2:
            fps = float(next((rate for rate in _RATES if rate > highest), highest + 1))
        if fps != 60.0:
            notes.append(f"Timecodes count to {highest:.0f}: {fps:g} frames per second.")
    elif highest >= fps:
        raise TrackError(f"{path}: timecodes count to {highest:.0f}, more than {fps:g} frames per second allow.")
    seconds = parts[:, :3] @ [3600.0, 60.0, 1.0] + parts[:, 3] / fps
    return seconds + 86400.0 * np.cumsum(np.diff(seconds, prepend=seconds[:1]) < -43200.0)  # past midnight


def _number(path: Path, line: int, name: str, cell: str) -> float:
    cell = cell.strip()
    if not cell:
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        raise TrackError(f"{path}, row {line}, column {name}: '{cell[:40]}' is no number.") from error


# ---- what every file needs -----------------------------------------------------------------------------------------


def _increasing(path: Path, times: np.ndarray, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Times from 0, and which frames are kept: a frame written twice counts once."""
    if not np.isfinite(times).all():
        untimed = int(np.argmin(np.isfinite(times))) + 1
        raise TrackError(f"{path}: frame {untimed} has no time; mend or remove that row.")
    if len(times) > 1 and np.median(np.diff(times)) > 2:
        times = times / 1000.0
        notes.append("More than 2 between two times: read as milliseconds.")
    keep = np.diff(times, prepend=-np.inf) != 0
    back = np.diff(times) < 0
    repeated = int((~keep).sum())
    if back.any() or (repeated > max(1, 0.05 * len(times))):
        where = int(np.argmax(np.diff(times) <= 0)) + 1
        raise TrackError(
            f"{path}: times do not increase: frame {where + 1} is at {times[where]:.4f} s after "
            f"{times[where - 1]:.4f} s ({_count(int(back.sum()), 'step')} back, {repeated} repeated). Sort the rows "
            "by time, or save the takes as files of their own."
        )
    if repeated:
        notes.append(f"{_count(repeated, 'frame')} with the time of the frame before left out.")
    return times[keep] - times[0], keep


def _channels(path: Path, names: list[str], values: np.ndarray, notes: list[str]):
    """Weights (T, 52), head angles (T, 3) or None and places (T, 3) or None; gaps bridged, missing channels zero, all
    of it noted."""
    known = [plain(name) for name in names]
    columns = [index for index, name in enumerate(known) if name in _CHANNEL or name in _HEAD]
    if not any(known[index] in _CHANNEL for index in columns):
        raise TrackError(f"{path}: no ARKit channel among {_some(names) or 'no names'}; give {_WANTED}.")
    bridged = _bridge(path, [names[i] for i in columns], values[:, columns], notes)
    column = {known[index]: bridged[:, place] for place, index in enumerate(columns)}
    weights = np.zeros((len(values), len(ARKIT)))
    for name, index in _CHANNEL.items():
        weights[:, index] = column.get(name, 0.0)
    missing = [name for name in ARKIT if plain(name) not in column]
    if missing:
        notes.append(f"Missing {_count(len(missing), 'channel')}, taken as zero: {_some(missing, 6)}.")
    extra = [name for name in names if plain(name) not in {*_CHANNEL, *_HEAD, *_IGNORED}]
    if extra:
        notes.append(f"Ignored {_count(len(extra), 'name')} that no ARKit channel has: {_some(extra)}.")
    low, high = float(weights.min()), float(weights.max())
    if high > 2 or low < -1:
        worst = ARKIT[int(np.argmax(np.abs(weights).max(axis=0)))]
        raise TrackError(
            f"{path}: {worst} runs from {weights[:, ARKIT.index(worst)].min():.3g} to "
            f"{weights[:, ARKIT.index(worst)].max():.3g}; weights between 0 and 1 were expected. If the file holds "
            "percent, divide by 100."
        )
    outside = int(((weights < -1e-6) | (weights > 1 + 1e-6)).sum())
    if outside:
        notes.append(f"{_count(outside, 'weight')} outside 0 to 1 ({low:.2f} to {high:.2f}) clipped.")
    shift = [column[plain(name)] for name in SHIFT if plain(name) in column]
    shift = np.column_stack(shift) if len(shift) == len(SHIFT) else None
    if not all(plain(name) in column for name in HEAD):
        return weights.clip(0, 1), None, shift
    angles = np.column_stack([column[plain(name)] for name in HEAD])
    if np.abs(angles).max() > 2 * np.pi:
        angles = np.deg2rad(angles)
        notes.append("Head angles run beyond a full turn in radians: read as degrees.")
    return weights.clip(0, 1), angles if np.abs(angles).max() > 0 else None, shift


def _bridge(path: Path, names: list[str], values: np.ndarray, notes: list[str]) -> np.ndarray:
    """Values (T, C) with NaN replaced by the line between neighbours (by the nearest value at the ends)."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return values
    share = bad.mean(axis=0)
    empty = [name for name, part in zip(names, share) if part == 1]
    if empty:
        raise TrackError(
            f"{path}: {_count(len(empty), 'channel')} without a single number: {_some(empty)}. Remove the empty "
            "columns (a missing channel counts as zero), or export the take again."
        )
    if share.max() > 0.5:
        worst = int(share.argmax())
        raise TrackError(
            f"{path}: {names[worst]} is missing in {int(bad[:, worst].sum())} of {len(values)} frames; at most half "
            "may be bridged. Cut the track to where the face was seen."
        )
    values, frames = values.copy(), np.arange(len(values))
    for index in np.flatnonzero(bad.any(axis=0)):
        gap = bad[:, index]
        values[gap, index] = np.interp(frames[gap], frames[~gap], values[~gap, index])
    count = int(bad.any(axis=1).sum())
    notes.append(f"{_count(count, 'frame')} of {len(values)} with missing numbers bridged from the frames beside.")
    return values


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(names, most: int = 4) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
