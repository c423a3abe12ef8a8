"""Random expressions of whole faces: what a face plays together, up to twenty channels, beside each channel by itself.

The sums of :mod:`headfield.synth.expressions` stay as they are: the stores of the first weights were drawn from them.
"""

from __future__ import annotations

import numpy as np

from headfield.expressions import BLINK, GAZE, OPPOSED, arkit_space
from headfield.types import ARKIT, ARKIT_MIRROR

KINDS = {"single": 0.2, "pair": 0.15, "face": 0.45, "strong": 0.2}
"""Shares of the kinds of expressions; see :func:`draw_whole_faces`."""

INTENSITY = (0.4, 2.5)
"""Range of the intensity of draws of the prior: weak faces teach little that single channels do not."""

MOST = 20
"""Channels of a strong face, without its eyes: faces that play more are as rare as one in ten."""

GAZE_SHARE = 0.5
"""Share of whole faces whose eyes do not look straight ahead."""

_GAZE = np.array([ARKIT.index(name) for name in GAZE])
_BLINK = np.array([ARKIT.index(name) for name in BLINK])
_WIDE = np.array([ARKIT.index(f"eyeWide{side}") for side in ("Left", "Right")])
_DOWN = np.array([ARKIT.index(f"eyeLookDown{side}") for side in ("Left", "Right")])
_JAW_OPEN, _MOUTH_CLOSE = ARKIT.index("jawOpen"), ARKIT.index("mouthClose")


def draw_whole_faces(rng: np.random.Generator, count: int, mask: np.ndarray) -> np.ndarray:
    """Random expressions, most of them of the whole face.

    Kinds, by the shares of `KINDS`: *single*, one channel at 0.3-1, all in turn; *pair*, a channel and its mirror image
    at 0.3-1; *face*, a draw of the expression prior; *strong*, such a draw, half of the time joined by another one,
    blown up until its strongest channel stands at 0.7-1, the others drawn after it. Half of the whole faces get a gaze,
    one direction for two eyes; a third of the strong ones has lids that are closed or half closed.

    Args:
        rng: Source of randomness.
        count: How many.
        mask: (52,) bool, the channels that the family can play.
    Returns:
        (count, 52) float32 weights in [0, 1], none neutral, each obeying :func:`possible`.
    """
    mask = np.asarray(mask, dtype=bool)
    names, shares = zip(*KINDS.items())
    deck: list[int] = []
    rows = np.zeros((count, len(ARKIT)), dtype=np.float32)
    for row, kind in zip(rows, rng.choice(len(names), count, p=shares)):
        while not row.any():
            if names[kind] in ("single", "pair"):
                deck = deck or [int(channel) for channel in rng.permutation(np.flatnonzero(mask))]
                channel = deck.pop()
                chosen = [channel] if names[kind] == "single" else [channel, ARKIT_MIRROR[channel]]
                row[chosen] = rng.uniform(0.3, 1.0)
            elif names[kind] == "strong":
                row[:] = _strong(rng)
            else:
                row[:] = _with_gaze(rng, _face(rng, rng.uniform(*INTENSITY)))
            row[:] = np.where(mask, possible(row), 0.0)
    return rows


def possible(weights: np.ndarray) -> np.ndarray:
    """The nearest expression (52,) that a face can play.

    ``mouthClose`` corrects ``jawOpen`` and never exceeds it (a lone mouthClose opens the jaw with it); of the twelve
    opposed pairs the weaker channel is at rest. All else goes together.
    """
    weights = np.clip(np.asarray(weights, dtype=float), 0.0, 1.0)
    for first, second in OPPOSED:
        first, second = ARKIT.index(first), ARKIT.index(second)
        weights[first if weights[first] < weights[second] else second] = 0.0
    if weights[_MOUTH_CLOSE] > 0 and weights[_JAW_OPEN] == 0:
        weights[_JAW_OPEN] = weights[_MOUTH_CLOSE]
    weights[_MOUTH_CLOSE] = min(weights[_MOUTH_CLOSE], weights[_JAW_OPEN])
    return weights


def _face(rng: np.random.Generator, intensity: float) -> np.ndarray:
    """A draw (52,) of the prior whose eyes look straight ahead: where they look does not grow with the intensity."""
    space = arkit_space()
    weights = space.draw(rng, intensity)
    weights[_GAZE] = 0.0
    return weights


def _strong(rng: np.random.Generator) -> np.ndarray:
    """A strong expression (52,) with lids and a gaze of its own."""
    weights = _face(rng, 1.0)
    if rng.random() < 0.5:
        weights = np.maximum(weights, _face(rng, 1.0))
    skin = np.setdiff1d(np.arange(len(ARKIT)), _BLINK)
    share = weights[skin] / max(weights[skin].max(), 1e-3)
    share = np.where(share < max(0.1, np.sort(share)[-MOST]), 0.0, share)
    weights[skin] = rng.uniform(0.7, 1.0) * share ** rng.uniform(0.4, 1.0)
    weights = _with_gaze(rng, weights)
    lids = rng.random()
    if lids < 0.35:
        closed = 1.0 if lids < 0.2 else rng.uniform(0.3, 0.9)
        weights[_BLINK], weights[_WIDE] = np.clip(closed + rng.normal(0, 0.03, 2), 0, 1), 0.0
    return weights


def _with_gaze(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """The expression (52,) with the eyes turned to one place, the lids with them when they look down."""
    weights = weights.copy()
    if rng.random() >= GAZE_SHARE:
        return weights
    aside, up = np.clip(rng.normal(0, 0.45), -1, 1), np.clip(rng.normal(0, 0.4), -1, 1)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):  # +1 is out for the left eye
        out = sign * aside + rng.normal(0, 0.03)
        weights[ARKIT.index(f"eyeLook{'Out' if out > 0 else 'In'}{side}")] = abs(out)
        weights[ARKIT.index(f"eyeLook{'Up' if up > 0 else 'Down'}{side}")] = abs(up)
    weights[_BLINK] = np.maximum(weights[_BLINK], rng.uniform(0.2, 0.5) * weights[_DOWN])
    return weights
