"""What expression numbers mean, and which of them faces play together.

An :class:`ExpressionSpace` names a model's expression numbers; its :class:`ExpressionPrior` says what faces do with
them. Everything that draws, fits or tracks expressions asks these two. Only numpy is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files

import numpy as np

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


@dataclass(frozen=True)
class ExpressionPrior:
    """How (im)probable expression numbers are, in nats: a sum of terms of which each says one thing about faces.

    * Numbers rise and fall together: ``freedom * log(1 + q / (2 freedom))`` of the quadratic form q = e' A' P A e, a
      Student's t over all of them, whose heavy tail is the intensity that they share: in a face at rest any number
      costs much, in one that laughs the next costs little.
    * Both sides move alike: ``h log(1 + d^2 / s^2)`` of a pair's difference d, a sharp peak with a heavy tail: nothing
      in between, but a wink is possible.
    * Opposed numbers are one signed value: `opposition` times their product.
    * Ties (``rows`` e is about zero: the two eyes look one way) and one-sided bounds (a mouth closes only as far as
      the jaw is open; lids follow the eyes down).
    * Nothing for nothing: `slope` for each unit of each number, and a price for each number or pair that is there at
      all (see :meth:`units`), of which `presence` says how high it is against the others'.

    Attributes:
        precision: (E, E) A' P A.
        slope: (E,) nats per unit.
        pairs: (M, 2) indices of the two sides.
        opposed: (O, 2) indices.
        ties: (T, E) rows whose product with e is about zero, each divided by its standard deviation.
        bounds: (B, E) rows whose product with e is hardly above zero, each divided by its standard deviation.
        freedom: Of the common intensity.
        presence: (E,) price of a number that is not at rest, as a share of the usual one.
        price: Nats of the presence of a number or pair with share 1.
        side: (h, s) of the difference of two sides.
        opposition: Of opposed numbers: nats times their product.
    """

    precision: np.ndarray
    slope: np.ndarray
    pairs: np.ndarray
    opposed: np.ndarray
    ties: np.ndarray
    bounds: np.ndarray
    presence: np.ndarray
    freedom: float = 8.0
    price: float = 5.0
    side: tuple[float, float] = (2.5, 0.08)
    opposition: float = 40.0

    def cost(self, e: np.ndarray) -> float:
        """Nats of expression numbers (E,), relative to the face at rest, without the price of presence."""
        e = np.asarray(e, dtype=float)
        height, width = self.side
        apart = e[self.pairs[:, 0]] - e[self.pairs[:, 1]]
        found = self.freedom * np.log1p(0.5 * float(e @ self.precision @ e) / self.freedom) + float(self.slope @ e)
        found += height * float(np.log1p((apart / width) ** 2).sum())
        found += self.opposition * float((e[self.opposed[:, 0]] * e[self.opposed[:, 1]]).sum())
        found += 0.5 * float(((self.ties @ e) ** 2).sum())
        return found + 0.5 * float((np.maximum(self.bounds @ e, 0.0) ** 2).sum())

    def quadratic(self, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hessian (E, E) and linear part (E,) of a quadratic in e that touches the cost at `e` with its slope; of the
        two heavy-tailed terms it lies above (iteratively reweighted least squares)."""
        e = np.asarray(e, dtype=float)
        height, width = self.side
        hessian = self.precision / (1.0 + 0.5 * float(e @ self.precision @ e) / self.freedom)
        left, right = self.pairs.T
        weight = 2.0 * height / (width**2 + (e[left] - e[right]) ** 2)
        np.add.at(hessian, (left, left), weight)
        np.add.at(hessian, (right, right), weight)
        np.add.at(hessian, (left, right), -weight)
        np.add.at(hessian, (right, left), -weight)
        one, other = self.opposed.T
        np.add.at(hessian, (one, other), self.opposition)
        np.add.at(hessian, (other, one), self.opposition)
        over = self.bounds[self.bounds @ e > 0]
        hessian += self.ties.T @ self.ties + over.T @ over
        return hessian, self.slope.copy()

    def relaxed(self, share: float) -> ExpressionPrior:
        """The same with a share of the terms that draw numbers to rest; what holds them together stays."""
        return replace(self, precision=share * self.precision, slope=share * self.slope)

    def units(self) -> list[np.ndarray]:
        """Numbers that are there or not together: index arrays of the pairs and of the single ones."""
        paired = set(self.pairs.ravel().tolist())
        singles = [np.array([k]) for k in range(len(self.slope)) if k not in paired]
        return [np.array(pair) for pair in self.pairs] + singles

    def draw(self, rng: np.random.Generator, space: ExpressionSpace, intensity: float | None = None) -> np.ndarray:
        """A random expression (E,) within its bounds.

        A normal draw of the numbers that rise together, scaled by an intensity that they share; small ones are at rest.
        One face in ten is one-sided. Opposed numbers: the weaker is at rest.

        Args:
            rng: Source of randomness.
            space: Whose numbers these are.
            intensity: Scale; None draws it (0.2 to 2).
        """
        count = len(self.slope)
        scale = float(np.exp(rng.uniform(np.log(0.2), np.log(2.0)))) if intensity is None else intensity
        together = self.precision + self.ties.T @ self.ties + 1e-6 * np.eye(count)
        left, right = self.pairs.T
        for a, b in ((left, right), (right, left)):
            np.add.at(together, (a, a), 400.0)
            np.add.at(together, (a, b), -400.0)
        values, vectors = np.linalg.eigh(together)
        e = scale * vectors @ (rng.standard_normal(count) / np.sqrt(values))
        e = np.where(np.abs(e) < 0.06, 0.0, e)
        if rng.random() < 0.1 and len(self.pairs):
            e[self.pairs[:, rng.integers(2)]] *= rng.uniform(0.0, 0.5)
        e = np.clip(e, space.lower, space.upper)
        for one, other in self.opposed:
            e[one if e[one] < e[other] else other] = 0.0
        return e


def plain_space(count: int, kind: str = "plain") -> ExpressionSpace:
    """Numbers in [0, 1] of which nothing is known but that each is rarely played."""
    prior = ExpressionPrior(
        precision=4.0 * np.eye(count),
        slope=np.full(count, 4.0),
        pairs=np.zeros((0, 2), dtype=int),
        opposed=np.zeros((0, 2), dtype=int),
        ties=np.zeros((0, count)),
        bounds=np.zeros((0, count)),
        presence=np.ones(count),
    )
    names = tuple(f"expression{k}" for k in range(count))
    zero = np.zeros(count)
    return ExpressionSpace(kind, names, zero, np.ones(count), np.arange(count), zero, prior)


@cache
def arkit_space() -> ExpressionSpace:
    """The 52 ARKit weights."""
    zero = np.zeros(len(ARKIT))
    masks = {name: np.isin(ARKIT, names) for name, names in (("gaze", GAZE), ("blink", BLINK))}
    one = np.ones(len(ARKIT))
    return ExpressionSpace("arkit52", tuple(ARKIT), zero, one, ARKIT_MIRROR, zero, _arkit_prior(), masks)


def space_named(kind: str, count: int) -> ExpressionSpace:
    """The space of a model's `expression_names` with so many numbers."""
    return arkit_space() if kind == "arkit52" and count == len(ARKIT) else plain_space(count, kind)


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
