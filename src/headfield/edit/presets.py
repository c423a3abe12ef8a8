"""Named expressions: a few ARKit weights under the name that people use, and tracks made of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from headfield.edit.tracks import Track
from headfield.errors import ConfigError
from headfield.types import ARKIT


def _both(**weights: float) -> dict[str, float]:
    """Weights of paired channels given once; names without a left and a right are kept."""
    return {
        channel: weight
        for name, weight in weights.items()
        for channel in ([name] if name in ARKIT else [f"{name}Left", f"{name}Right"])
    }


PRESETS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": _both(mouthSmile=0.85, cheekSquint=0.45, mouthDimple=0.25, eyeSquint=0.2),
    "laugh": _both(mouthSmile=0.9, jawOpen=0.45, cheekSquint=0.7, eyeSquint=0.45, mouthUpperUp=0.3, browInnerUp=0.2),
    "frown": _both(mouthFrown=0.8, browDown=0.55, mouthShrugLower=0.4, mouthPress=0.2),
    "surprise": _both(browInnerUp=0.9, browOuterUp=0.8, eyeWide=0.7, jawOpen=0.5, mouthFunnel=0.2),
    "anger": _both(browDown=0.9, eyeSquint=0.4, noseSneer=0.5, mouthPress=0.5, jawForward=0.2),
    "disgust": _both(noseSneer=0.9, mouthUpperUp=0.5, browDown=0.4, eyeSquint=0.4, mouthFrown=0.3),
    "sad": _both(browInnerUp=0.8, mouthFrown=0.6, mouthShrugLower=0.35, eyeLookDown=0.3),
    "blink": _both(eyeBlink=1.0),
    "wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.6, "mouthSmileLeft": 0.5, "browDownLeft": 0.3},
    "kiss": _both(mouthPucker=0.9, mouthFunnel=0.2),
    "open": {"jawOpen": 0.8},
    "puff": {"cheekPuff": 1.0, "mouthClose": 0.1},
    "smirk": {"mouthSmileLeft": 0.7, "mouthDimpleLeft": 0.4, "mouthLeft": 0.2, "browOuterUpRight": 0.4},
}
"""Named expressions as ARKit channel -> weight in [0, 1]; channels not named are 0."""


def preset(name: str, weight: float = 1.0) -> np.ndarray:
    """Weights (52,) of a named expression or of a single ARKit channel, in the order of ARKIT.

    Args:
        name: One of PRESETS, or an ARKit channel.
        weight: Strength, 0 neutral to 1 as named; weights are kept within [0, 1].
    Raises:
        ConfigError: The name is unknown (the nearest are told), or the weight is not within [0, 1.5].
    """
    if name not in PRESETS and name not in ARKIT:
        near = difflib.get_close_matches(name, [*PRESETS, *ARKIT], n=3, cutoff=0.4)
        advice = f" Perhaps {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"'{name}' is no named expression and no ARKit channel.{advice} Named ones: {', '.join(PRESETS)}."
        )
    if not 0 <= weight <= 1.5:
        raise ConfigError(f"{name}={weight:g}: choose a strength between 0 and 1 (up to 1.5 exaggerates).")
    weights = np.zeros(len(ARKIT))
    for channel, value in PRESETS.get(name, {name: 1.0}).items():
        weights[ARKIT.index(channel)] = value * weight
    return weights.clip(0, 1)


def parse_presets(words: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and weights (P, 52) from ``NAME`` or ``NAME=WEIGHT`` words.

    Raises:
        ConfigError: A name is unknown or a weight is no number within its range.
    """
    names, rows = [], []
    for word in words:
        name, _, value = word.partition("=")
        try:
            weight = float(value) if value else 1.0
        except ValueError as error:
            raise ConfigError(f"{word}: write {name} or {name}=0.5, with a number after the equals sign.") from error
        rows.append(preset(name.strip(), weight))
        names.append(name.strip())
    return tuple(names), np.array(rows).reshape(-1, len(ARKIT))


def preset_loop(weights: np.ndarray, fps: float = 30.0, ease: float = 0.35, hold: float = 0.5) -> Track:
    """A seamless loop: from neutral into each expression and back, one after the other.

    Args:
        weights: (P, 52) expressions.
        fps: Frames per second.
        ease: Seconds from neutral to the expression, and back.
        hold: Seconds it is held.
    Returns:
        A track whose last frame leads into its first.
    """
    period = 2 * ease + hold
    count = max(2, round(period * fps))
    phase = np.arange(count) * (period / count)
    ramp = np.minimum(phase, period - phase).clip(0, ease) / ease
    envelope = 0.5 - 0.5 * np.cos(np.pi * ramp)  # no jump of speed at either end
    rows = np.concatenate([envelope[:, None] * row for row in np.atleast_2d(weights)])
    return Track(np.arange(len(rows)) / fps, rows, name="presets")
