"""What expression numbers mean, and which of them faces play together.

An :class:`ExpressionSpace` names a model's expression numbers; its :class:`ExpressionPrior` says what faces do with
them. Everything that draws, fits or tracks expressions asks these two. Only numpy is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import numpy as np

from headfield.expression_prior import ExpressionPrior
from headfield.types import ARKIT, ARKIT_MIRROR

OPPOSED = (
    ("mouthSmileLeft", "mouthFrownLeft"),
    ("mouthSmileRight", "mouthFrownRight"),
    ("browOuterUpLeft", "browDownLeft"),
    ("browOuterUpRight", "browDownRight"),
    ("eyeLookUpLeft", "eyeLookDownLeft"),
    ("eyeLookUpRight", "eyeLookDownRight"),
    ("eyeLookInLeft", "eyeLookOutLeft"),
    ("eyeLookInRight", "eyeLookOutRight"),
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
    ("eyeWideLeft", "eyeBlinkLeft"),
    ("eyeWideRight", "eyeBlinkRight"),
)
"""Channels of which a phone never reports both: one signed value each."""

GAZE = tuple(name for name in ARKIT if name.startswith("eyeLook"))
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")

_WIDEN, _LEAST_SPREAD, _TRUST = 1.3, 0.22, 0.7
"""The recordings are of few people: their spreads are widened to at least this, their correlations shrunk by this."""

_BLINK_SPREAD, _BLINK_SLOPE, _BLINK_PRESENCE = 0.6, 0.5, 0.25
"""Who is scanned keeps the eyes shut as often as not: closed lids are no surprise, unlike in recordings. The last is a
share of what the presence of other channels costs."""

_VERGENCE = 0.06 * 2**0.5
"""Spread of each of the two rows that say that the eyes turn alike: together 0.06."""


ACTIVE = 0.05
"""Weights below this are not told."""


def in_words(weights: np.ndarray, names: Sequence[str] = ARKIT) -> str:
    """The four strongest channels (E,) of an expression, as ``jawOpen 0.62, mouthSmileLeft 0.31``; else ``neutral``."""
    strongest = np.argsort(-np.asarray(weights), kind="stable")[:4]
    return ", ".join(f"{names[i]} {weights[i]:.2f}" for i in strongest if weights[i] >= ACTIVE) or "neutral"


@dataclass(frozen=True)
class ExpressionSpace:
    """The expression numbers of a model.

    Attributes:
        kind: What they are: ``arkit52``, or a name of the model's own.
        names: (E,) their names.
        lower, upper: (E,) bounds.
        mirror: (E,) index of each number's mirror image, an involution.
        rest: (E,) the numbers of the face at rest.
        masks: Groups (E,) bool by name: ``gaze`` turns the eyeballs, ``blink`` closes the lids; what moves neither
            skin nor anything else that is seen of a face without eyeballs is in ``gaze``.
        prior: What faces do with them.
    """

    kind: str
    names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    mirror: np.ndarray
    rest: np.ndarray
    prior: ExpressionPrior
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def speaks_arkit(self) -> bool:
        """Whether these are the 52 ARKit weights, which tracks, blendshapes and sliders are made of."""
        return self.names == tuple(ARKIT)

    def mask(self, name: str) -> np.ndarray:
        """A group (E,) bool; nothing where the space does not know it."""
        return self.masks.get(name, np.zeros(len(self), dtype=bool))

    def draw(self, rng: np.random.Generator, intensity: float | None = None) -> np.ndarray:
        """A random expression (E,), see :meth:`headfield.expression_prior.ExpressionPrior.draw`."""
        return self.prior.draw(rng, self.lower, self.upper, intensity)


def plain_space(count: int, kind: str = "plain") -> ExpressionSpace:
    """Numbers in [0, 1] of which nothing is known but that each is rarely played."""
    names = tuple(f"expression{k}" for k in range(count))
    prior = _independent(np.full(count, 0.5), slope=4.0, presence=1.0)
    return _own_numbers(kind, names, np.zeros(count), np.ones(count), prior)


def learned_space(count: int) -> ExpressionSpace:
    """A code that a model learned for itself: N(0, 1) each, within four standard deviations, none of them rare."""
    names = tuple(f"learned_{k}" for k in range(count))
    bound = np.full(count, 4.0)
    return _own_numbers("learned", names, -bound, bound, _independent(np.ones(count)))


JAW = 3
"""Numbers of FLAME's jaw, radians about x, y and z: the last ones of its space."""

_JAW_LOWER, _JAW_UPPER, _JAW_SPREAD = (-0.1, -0.3, -0.3), (0.7, 0.3, 0.3), (0.2, 0.05, 0.05)


def flame_names(count: int) -> tuple[str, ...]:
    """Names of so many of FLAME's numbers: expr_0, ... and jaw_0 to jaw_2."""
    return (*(f"expr_{k}" for k in range(count - JAW)), *(f"jaw_{k}" for k in range(JAW)))


def flame_space(count: int) -> ExpressionSpace:
    """FLAME's expression coefficients, standard deviations each, and its jaw, three radians about x, y and z.

    Which coefficients mirror which is not known: a coefficient counts as its own mirror image.

    Args:
        count: Of all numbers, the jaw's included.
    """
    expressions, names = count - JAW, flame_names(count)
    bound = np.full(expressions, 4.0)
    prior = _independent(np.concatenate([np.ones(expressions), _JAW_SPREAD]))
    return _own_numbers("flame", names, np.append(-bound, _JAW_LOWER), np.append(bound, _JAW_UPPER), prior)


def _independent(spread: np.ndarray, slope: float = 0.0, presence: float = 0.0) -> ExpressionPrior:
    """Numbers that know nothing of one another, with standard deviations (E,)."""
    count, none = len(spread), np.zeros((0, 2), dtype=int)
    ties = np.zeros((0, count))
    precision, slopes = np.diag(1.0 / np.square(spread)), np.full(count, slope)
    return ExpressionPrior(precision, slopes, none, none, ties, ties, np.full(count, presence))


def _own_numbers(kind: str, names: tuple[str, ...], lower, upper, prior: ExpressionPrior) -> ExpressionSpace:
    """A space whose numbers rest at 0 and mirror themselves."""
    count = len(names)
    return ExpressionSpace(kind, names, lower, upper, np.arange(count), np.zeros(count), prior)


@cache
def arkit_space() -> ExpressionSpace:
    """The 52 ARKit weights."""
    zero = np.zeros(len(ARKIT))
    masks = {name: np.isin(ARKIT, names) for name, names in (("gaze", GAZE), ("blink", BLINK))}
    one = np.ones(len(ARKIT))
    return ExpressionSpace("arkit52", tuple(ARKIT), zero, one, ARKIT_MIRROR, zero, _arkit_prior(), masks)


def space_named(kind: str, count: int) -> ExpressionSpace:
    """The space of a model's `expression_names` with so many numbers; an unknown name is a plain one."""
    if kind == "arkit52" and count == len(ARKIT):
        return arkit_space()
    if kind == "flame" and count > JAW:
        return flame_space(count)
    return learned_space(count) if kind == "learned" else plain_space(count, kind)


def _arkit_prior() -> ExpressionPrior:
    """From the statistics of recordings (6 takes of trained actors, 2,557 frames; ``expression_statistics.json``).

    Facts behind the terms: ten channels at once at the median and eighteen at the 90th percentile, left and right
    correlate at 0.93-1.00 with differences of 0.00-0.04 at the median and up to 0.76 (winks) at the 99th percentile,
    twenty components hold 99 % of the variance, twelve pairs are never above 0.05 together, mouthClose exceeds jawOpen
    by at most 0.02, the eyes' vergence has a standard deviation of 0.04, lids follow the eyes down with slope 0.24.
    """
    pairs = _sides()
    means = _symmetric_coordinates(pairs)
    seen = json.loads((files("headfield") / "expression_statistics.json").read_text(encoding="utf-8"))
    order = [seen["channels"].index(name) for name in ARKIT]
    mean, covariance = np.array(seen["mean"])[order], np.array(seen["covariance"])[np.ix_(order, order)]
    moment = covariance + np.outer(mean, mean)
    moment = means @ (0.5 * (moment + moment[np.ix_(ARKIT_MIRROR, ARKIT_MIRROR)])) @ means.T  # no side is special
    spread = np.sqrt(np.diag(moment))
    correlation = moment / np.outer(spread, spread)
    correlation = _TRUST * correlation + (1.0 - _TRUST) * np.eye(len(spread))
    wide = np.maximum(_WIDEN * spread, _LEAST_SPREAD)
    blink = np.isin(ARKIT, BLINK)
    wide[means[:, blink].any(1)] = _BLINK_SPREAD
    precision = means.T @ np.linalg.inv(correlation * np.outer(wide, wide)) @ means
    slope = np.full(len(ARKIT), 3.0)
    slope[pairs.ravel()] = 1.5
    slope[blink] = _BLINK_SLOPE
    presence = np.where(blink, _BLINK_PRESENCE, 1.0)
    index = ARKIT.index
    opposed = np.array([(index(one), index(other)) for one, other in OPPOSED])
    looks = np.array([[index(f"eyeLook{way}{side}") for side in ("Left", "Right")] for way in ("In", "Out")])
    even = np.array([pair for pair in pairs if pair[0] not in looks])
    return ExpressionPrior(precision, slope, even, opposed, _gaze_ties(), _one_sided_bounds(), presence)


def _sides() -> np.ndarray:
    """Index pairs (M, 2) of channels with a left and a right side."""
    left = [name for name in ARKIT if name.endswith("Left") and name not in ("jawLeft", "mouthLeft")]
    return np.array([(ARKIT.index(name), ARKIT.index(name[:-4] + "Right")) for name in left])


def _symmetric_coordinates(pairs: np.ndarray) -> np.ndarray:
    """Rows (U, 52) that give the mean of each pair, and each single channel."""
    single = [k for k in range(len(ARKIT)) if k not in pairs]
    rows = np.zeros((len(pairs) + len(single), len(ARKIT)))
    for row, (left, right) in zip(rows, pairs):
        row[[left, right]] = 0.5
    rows[np.arange(len(pairs), len(rows)), single] = 1.0
    return rows


def _row(**weights: float) -> np.ndarray:
    row = np.zeros(len(ARKIT))
    for name, weight in weights.items():
        row[ARKIT.index(name)] = weight
    return row


def _gaze_ties() -> np.ndarray:
    """Two eyes look one way: vergence 0.06, height 0.03; and not far to a side: 0.4.

    Vergence takes two rows, each of half its weight: the difference of the two turns, and that of their amounts:
    without it one eye could look out and in at once, as far as it likes, and nothing would say so.
    """
    across = {"eyeLookOutLeft": 1.0, "eyeLookInLeft": -1.0}, {"eyeLookInRight": 1.0, "eyeLookOutRight": -1.0}
    amount = _row(eyeLookOutLeft=1.0, eyeLookInLeft=1.0, eyeLookInRight=-1.0, eyeLookOutRight=-1.0)
    rows = [_row(**across[0]) - _row(**across[1]), amount, _row(**across[0]) + _row(**across[1])]
    height = {"eyeLookUpLeft": 1.0, "eyeLookDownLeft": -1.0, "eyeLookUpRight": -1.0, "eyeLookDownRight": 1.0}
    return np.stack([rows[0] / _VERGENCE, rows[1] / _VERGENCE, rows[2] / 0.8, _row(**height) / 0.03])


def _one_sided_bounds() -> np.ndarray:
    """mouthClose - jawOpen is hardly above zero, nor is 0.24 eyeLookDown - eyeBlink."""
    rows = [_row(mouthClose=1.0, jawOpen=-1.0) / 0.01]
    rows += [_row(**{f"eyeLookDown{side}": 0.24, f"eyeBlink{side}": -1.0}) / 0.1 for side in ("Left", "Right")]
    return np.stack(rows)
