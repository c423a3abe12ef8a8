"""Placement from landmarks that the user clicked: names of the 39 anchors, or indices of the 68 face landmarks."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError
from headfield.fit.placement import Placement, size_log_of, unit_of
from headfield.frames import ANCHOR_NAMES, reference_anchors
from headfield.io import guard
from headfield.types import Similarity


def reference_landmarks68() -> np.ndarray:
    """The 68 landmarks (iBUG order) on the reference head, (68, 3) model units."""
    text = resources.files("headfield.fit").joinpath("landmarks68.json").read_text()
    return np.array(json.loads(text)["positions"])


def read_landmarks(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a landmarks file.

    The file is a JSON object {key: [x, y, z]} in the scan's frame and unit, where a key is the name of an anchor
    (``nose_tip``, ``mouth_corner_left``, ...) or an index 0..67 of the 68 landmarks; a list of 68 points works too
    (null where unknown).

    Returns:
        Positions in the scan (N, 3) and on the reference head (N, 3, model units).
    Raises:
        ConfigError: Missing or unreadable, an unknown name, not three numbers, or fewer than three landmarks.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"landmarks file {path} does not exist.")
    content = guard.json_of(path, ConfigError)
    if isinstance(content, list):
        content = {str(index): point for index, point in enumerate(content) if point is not None}
    if not isinstance(content, dict):
        raise ConfigError(
            f"landmarks file {path}: expected an object {{name: [x, y, z]}}, found {type(content).__name__}."
        )
    anchors = dict(zip(ANCHOR_NAMES, reference_anchors()))
    landmarks = reference_landmarks68()
    scan, head = [], []
    for key, point in content.items():
        if key in anchors:
            head.append(anchors[key])
        elif key.isascii() and key.isdigit() and len(key) < 4 and int(key) < 68:
            head.append(landmarks[int(key)])
        else:
            raise ConfigError(
                f"landmarks file {path}: unknown landmark {guard.shown(repr(key), 40)}; use anchor names such as "
                f"{', '.join(ANCHOR_NAMES[-7:])} or an index 0 to 67 of the 68 face landmarks."
            )
        try:
            position = np.asarray(point, dtype=float).reshape(3)
        except (TypeError, ValueError, OverflowError) as error:
            said = guard.shown(repr(point), 60)
            raise ConfigError(f"landmarks file {path}: {key} is not a point [x, y, z]: {said}.") from error
        if not np.isfinite(position).all():
            raise ConfigError(f"landmarks file {path}: {key} is not finite.")
        scan.append(position)
    if len(scan) < 3:
        raise ConfigError(f"landmarks file {path} holds {len(scan)} landmarks; at least three are needed.")
    return np.array(scan), np.array(head)


def place_by_landmarks(path: str | Path, units: str | None, size_mean: float, size_sd: float) -> Placement:
    """Similarity from landmarks (Umeyama), with the unit that best explains the head's size.

    Args:
        path: Landmarks file, see :func:`read_landmarks`.
        units: Unit of the scan when known.
        size_mean: Mean log-size of heads.
        size_sd: Its standard deviation.
    Raises:
        ConfigError: As :func:`read_landmarks`, or the landmarks lie on one line.
    """
    scan, head = read_landmarks(path)
    spread = np.linalg.svd(scan - scan.mean(0), compute_uv=False)
    if spread[1] < 1e-3 * max(spread[0], 1e-30):
        raise ConfigError(f"landmarks file {path}: the landmarks lie on one line; they do not fix a rotation.")
    similarity = Similarity.between(scan, head)
    residual = float(np.linalg.norm(similarity.apply(scan) - head, axis=1).mean())
    units = units or unit_of(similarity.scale, size_mean, size_sd)
    return Placement(
        similarity, units, size_log_of(similarity.scale, units), residual, {"landmark_residual_units": residual}
    )
