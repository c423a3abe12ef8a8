"""Random facial expressions in the 52 ARKit channels: single shapes, left-right pairs, and sums of up to five."""

from __future__ import annotations

import numpy as np

from headfield.expressions import OPPOSED
from headfield.synth.identities import frozen
from headfield.types import ARKIT

EXCLUSIVE = (*OPPOSED, ("mouthFunnel", "mouthPucker"))
"""Channels that one training face does not play at once: the weaker of the two is dropped."""

LIP_CONFLICTS = ("mouthPucker", "mouthFunnel", "mouthRollLower", "mouthRollUpper", "mouthPressLeft", "mouthPressRight")
"""Of these at most two act together, or the lips fold through each other."""

_JAW_OPEN, _MOUTH_CLOSE = ARKIT.index("jawOpen"), ARKIT.index("mouthClose")
_PAIRS = [
    (ARKIT.index(name), ARKIT.index(name[:-4] + "Right"))
    for name in ARKIT
    if name.endswith("Left") and name not in ("jawLeft", "mouthLeft")
]


def draw_expressions(rng: np.random.Generator, count: int, mask: np.ndarray) -> np.ndarray:
    """Random expressions.

    Kinds by the frozen shares: one channel at 0.5-1, a left-right pair at 0.5-1, or a sum of two to five channels at
    0.2-1. The single shapes walk through all channels in random order before any comes back.

    Args:
        rng: Source of randomness.
        count: How many.
        mask: (52,) bool, the channels that the family can play.
    Returns:
        (count, 52) float32 weights in [0, 1], none neutral, each obeying `tame`.
    """
    settings = frozen()["expressions"]
    channels = np.flatnonzero(mask)
    pairs = [pair for pair in _PAIRS if mask[pair[0]] and mask[pair[1]]]
    names, shares = zip(*settings["kinds"].items())
    kinds = rng.choice(len(names), count, p=shares)
    weights = np.zeros((count, len(ARKIT)))
    deck: list[int] = []
    for row, kind in zip(weights, kinds):
        if names[kind] == "single":
            deck = deck or list(rng.permutation(channels))
            row[deck.pop()] = rng.uniform(settings["single_low"], 1.0)
        elif names[kind] == "pair" and pairs:
            row[list(pairs[rng.integers(len(pairs))])] = rng.uniform(settings["single_low"], 1.0)
        else:
            _draw_sum(row, rng, channels, settings)
    return np.stack([tame(row) for row in weights]).astype(np.float32) if count else weights.astype(np.float32)


def _draw_sum(row: np.ndarray, rng: np.random.Generator, channels: np.ndarray, settings: dict) -> None:
    """Add up to `most_channels` channels; the other side of a face joins in three times of four while there is room.

    Every third sum opens the jaw: talking mouths are common, and opening changes the shape most.
    """
    most = int(rng.integers(2, settings["most_channels"] + 1))
    if rng.random() < settings["jaw_share"] and _JAW_OPEN in channels:
        row[_JAW_OPEN] = rng.uniform(0.1, 1.0)
    partner = dict(_PAIRS) | {right: left for left, right in _PAIRS}
    for channel in rng.permutation(channels):
        free = most - np.count_nonzero(row)
        if free <= 0:
            break
        row[channel] = row[channel] or rng.uniform(settings["sum_low"], 1.0)
        other = partner.get(channel)
        if other is not None and other in channels and free > 1 and rng.random() < 0.75:
            row[other] = np.clip(row[channel] + rng.normal(0, 0.1), settings["sum_low"], 1.0)


def tame(weights: np.ndarray) -> np.ndarray:
    """The nearest expression (52,) that a face can play.

    ``mouthClose`` corrects ``jawOpen`` and never exceeds it (a lone mouthClose opens the jaw with it); of opposed
    channels the weaker is dropped; at most two lip-folding channels stay.
    """
    weights = np.clip(np.asarray(weights, dtype=float), 0.0, 1.0)
    for first, second in EXCLUSIVE:
        first, second = ARKIT.index(first), ARKIT.index(second)
        if weights[first] > 0 and weights[second] > 0:
            weights[first if weights[first] < weights[second] else second] = 0.0
    lips = np.array([ARKIT.index(name) for name in LIP_CONFLICTS])
    weights[lips[np.argsort(-weights[lips], kind="stable")[2:]]] = 0.0
    if weights[_MOUTH_CLOSE] > 0 and weights[_JAW_OPEN] == 0:
        weights[_JAW_OPEN] = weights[_MOUTH_CLOSE]
    weights[_MOUTH_CLOSE] = min(weights[_MOUTH_CLOSE], weights[_JAW_OPEN])
    return weights
