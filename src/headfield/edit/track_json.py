"""JSON of MediaPipe's face landmarker: blendshape scores per frame, as its users save them.

There is no one layout, so frames are recognised by what they hold: a mapping of category to score, a list of
``{categoryName, score}``, or either of them under a key such as ``faceBlendshapes``, beside ``timestamp_ms`` and a
4 x 4 ``facialTransformationMatrixes``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headfield.errors import TrackError
from headfield.io import guard

_LISTS = ("frames", "results", "data", "track")
_SCORES = ("faceBlendshapes", "face_blendshapes", "blendshapes", "blendShapes", "weights", "scores", "categories")
_NAMES = ("categoryName", "category_name", "displayName", "display_name", "name")
_VALUES = ("score", "value", "weight")
_TIMES = {"timestamp_ms": 1e-3, "timestampMs": 1e-3, "time_ms": 1e-3, "time": 1.0, "time_s": 1.0, "t": 1.0}
_TIMES |= {"timestamp": 1.0, "seconds": 1.0}
_MATRIX = ("facialTransformationMatrixes", "facial_transformation_matrixes", "facialTransformationMatrix", "matrix")


def json_table(path: Path, text: str):
    """Names, times (T,) or None, values (T, C) and rotations (T, 3, 3) or None of a JSON track.

    A frame in which no face was found is a row of NaN.

    Args:
        path: For messages.
        text: The file's content.
    Raises:
        TrackError: Not JSON, or not frames of scores.
    """
    content = guard.json_of(path, TrackError, text.encode())
    rate = None
    if isinstance(content, dict):
        rate = content.get("fps")
        key = next((key for key in _LISTS if isinstance(content.get(key), list)), None)
        if key is None:
            keys = ", ".join(list(content)[:4]) or "nothing"
            raise TrackError(f"{path}: a list of frames was expected, or one under 'frames'; seen: {keys}.")
        content = content[key]
    if not isinstance(content, list):
        raise TrackError(f"{path}: a list of frames was expected, seen: {type(content).__name__}.")
    if not content:
        raise TrackError(f"{path}: 0 frames: the list is empty. Record again.")
    scores = [_scores(path, number, frame) for number, frame in enumerate(content, start=1)]
    names = list(dict.fromkeys(name for frame in scores for name in frame))
    values = np.array([[frame.get(name, np.nan) for name in names] for frame in scores])
    values = values.reshape(len(scores), len(names))
    times = _times(path, content)
    if times is None and isinstance(rate, (int, float)) and rate > 0:
        times = np.arange(len(content)) / rate
    return names, times, values, _rotations(content)


def _scores(path: Path, number: int, frame) -> dict[str, float]:
    """Category -> score of one frame; empty when no face was found."""
    expected = "{category: score} or a list of {categoryName, score} was expected"
    if isinstance(frame, dict):
        key = next((key for key in _SCORES if key in frame), None)
        if key is not None:
            return _scores(path, number, frame[key] or [])
        flat = {k: v for k, v in frame.items() if k not in _TIMES and k not in _MATRIX and k not in ("frame", "index")}
        bad = next((k for k, v in flat.items() if not isinstance(v, (int, float, type(None)))), None)
        if bad is not None:
            raise TrackError(f"{path}, frame {number}: '{bad}' holds no number; {expected}.")
        return {name: np.nan if value is None else float(value) for name, value in flat.items()}
    if not isinstance(frame, list):
        raise TrackError(f"{path}, frame {number}: {expected}, seen: {type(frame).__name__}.")
    if frame and (isinstance(frame[0], list) or (isinstance(frame[0], dict) and "categories" in frame[0])):
        return _scores(path, number, frame[0])  # a list of faces: the first
    found = {}
    for entry in frame:
        name = next((entry[key] for key in _NAMES if entry.get(key)), None) if isinstance(entry, dict) else None
        value = next((entry[key] for key in _VALUES if key in entry), None) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(value, (int, float, type(None))):
            raise TrackError(f"{path}, frame {number}: {expected}, seen: {str(entry)[:60]}.")
        found[name] = np.nan if value is None else float(value)
    return found


def _times(path: Path, frames: list) -> np.ndarray | None:
    key = next((k for k in _TIMES if isinstance(frames[0], dict) and k in frames[0]), None)
    if key is None:
        return None
    try:
        return _TIMES[key] * np.array([float(frame[key]) for frame in frames])
    except (KeyError, TypeError, ValueError) as error:
        raise TrackError(f"{path}: '{key}' is missing or no number in some frame; every frame needs it.") from error


def _rotations(frames: list) -> np.ndarray | None:
    """Rotations (T, 3, 3) from the face's 4 x 4 pose, when every frame has one.

    MediaPipe's face frame has x to the picture's right (the subject's left), y up and z towards the camera: ours.
    """
    found = []
    for frame in frames:
        pose = next((frame[key] for key in _MATRIX if isinstance(frame, dict) and frame.get(key)), None)
        if isinstance(pose, list) and len(pose) == 1:
            pose = pose[0]  # a list of faces
        flat = isinstance(pose, dict) or (isinstance(pose, list) and len(pose) == 16)
        pose = pose.get("data") if isinstance(pose, dict) else pose
        try:
            matrix = np.asarray(pose, dtype=float)
        except (TypeError, ValueError):
            return None
        if matrix.size != 16 or not np.isfinite(matrix).all():
            return None
        matrix = matrix.reshape(4, 4)
        block = (matrix.T if flat else matrix)[:3, :3]  # flat ones come from the browser, by columns
        if np.linalg.det(block) <= 0:
            return None
        u, _, vt = np.linalg.svd(block)
        found.append(u @ vt)
    return np.array(found)
