"""What faces do with expression numbers: the cost that fits and tracks add, and the distribution that is drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


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

    def draw(
        self, rng: np.random.Generator, lower: np.ndarray, upper: np.ndarray, intensity: float | None = None
    ) -> np.ndarray:
        """A random expression (E,) within bounds.

        A normal draw of the numbers that rise together, scaled by an intensity that they share. Small ones
        are at rest, where being there at all has a price.
        One face in ten is one-sided. Opposed numbers: the weaker is at rest.

        Args:
            rng: Source of randomness.
            lower, upper: (E,) bounds.
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
        e = np.where((np.abs(e) < 0.06) & (self.presence > 0), 0.0, e)
        if rng.random() < 0.1 and len(self.pairs):
            e[self.pairs[:, rng.integers(2)]] *= rng.uniform(0.0, 0.5)
        e = np.clip(e, lower, upper)
        for one, other in self.opposed:
            e[one if e[one] < e[other] else other] = 0.0
        return e
