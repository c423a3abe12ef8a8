"""How heads and faces move: the temporal prior of tracking.

NPHM (C.6, Eq. 17) penalises the change of every unknown from frame to frame, which pulls a moving face towards where it
was. Here it is the *second* difference that is penalised, the acceleration, so that what moves evenly costs nothing and
nothing lags; and its prior is a Student's t: a face at rest becomes still, while a blink or an opening jaw, which
accelerates a hundred times as much, pays the logarithm of that only. Scales are accelerations in true time, so they
grow with the square of the time between two frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.expressions import ExpressionSpace

FREEDOM = 2.0
"""Of Student's t."""

_TURN, _SHIFT = 1.0, 0.35
"""Scale of a head's acceleration: radians per s2, and model units per s2 (9 cm per s2)."""

_SPEED = (1.5, 1.0)
"""Speeds (radians and model units per second) whose square costs half a nat a second: they decide where nothing is
seen for long, which would else go on as it began."""

_KINDS = (
    (("eyeBlink", "eyeLook", "eyeWide"), 100.0),
    (("jaw", "mouth", "tongue"), 30.0),
    (("eyeSquint", "brow", "cheek", "nose"), 8.0),
)
"""Scale of a weight's acceleration by the beginning of its name, per s2. Lids close in a tenth of a second, speech
opens and closes the jaw four times a second, brows and cheeks take half a second."""

_OTHERS = 80.0
"""The same of numbers that have no such names, in standard deviations of their prior per s2."""


@dataclass(frozen=True)
class Motion:
    """Scales of second differences from frame to frame.

    Attributes:
        turn: Of the head's rotation, radians.
        shift: Of its middle, model units.
        expression: (E,) of the expression numbers.
        speed: (2,) scale of first differences of rotation (radians) and place (model units).
    """

    turn: float
    shift: float
    expression: np.ndarray
    speed: tuple[float, float]


def motion_of(space: ExpressionSpace, fps: float, strength: float = 1.0) -> Motion:
    """The prior's scales for a space at a frame rate.

    Args:
        space: Names and prior of the expression numbers.
        fps: Frames per second.
        strength: More is smoother; scales are divided by its root.
    """
    step = 1.0 / fps
    share = step**2 / np.sqrt(max(strength, 1e-9))
    spread = 1.0 / np.sqrt(np.maximum(np.diag(space.prior.precision), 1e-9))
    scales = [_named(name, wide) for name, wide in zip(space.names, spread)]
    speed = (_SPEED[0] * step**0.5, _SPEED[1] * step**0.5)
    return Motion(_TURN * share, _SHIFT * share, share * np.array(scales), speed)


def _named(name: str, spread: float) -> float:
    for beginnings, scale in _KINDS:
        if name.startswith(beginnings):
            return scale
    return _OTHERS * float(spread)


def weights_of(differences: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Precisions (T,) that make a quadratic touch Student's t at second differences (T, K), whose K go together."""
    square = np.square(differences / scale).sum(axis=1)
    return (FREEDOM + differences.shape[1]) / (FREEDOM + square)
