"""Bodies and heads of animals, which resemble a human head more than other things do: triangles in metres, y up.

See :mod:`headfield.synth.non_heads`.
"""

from __future__ import annotations

import numpy as np

from headfield.synth.shapes import cone, ellipsoid, meshed, ring, union, without
from headfield.types import Mesh

Random = np.random.Generator


def torso(rng: Random) -> Mesh:
    """A chest with shoulders, breasts and the stumps of arms and neck, at a third of life size."""
    wide = rng.uniform(0.9, 1.1)
    parts = [
        ellipsoid((0, 0, 0), (0.085 * wide, 0.14, 0.055)), ellipsoid((0, -0.12, 0), (0.075 * wide, 0.08, 0.055)),
        cone((0, 0.12, -0.01), (0, 0.18, 0), 0.026), ellipsoid((0.035, 0.03, 0.045), (0.03, 0.03, 0.022)),
        ellipsoid((-0.035, 0.03, 0.045), (0.03, 0.03, 0.022)),
        cone((0.09 * wide, 0.1, 0), (0.12 * wide, 0.0, 0), 0.028, 0.023),
        cone((-0.09 * wide, 0.1, 0), (-0.12 * wide, 0.0, 0), 0.028, 0.023),
    ]  # fmt: skip
    return meshed(union(*parts, melt=0.01), (-0.17, -0.2, -0.09), (0.17, 0.2, 0.1))


def hand(rng: Random) -> Mesh:
    """A hand with five spread fingers."""
    parts = [ellipsoid((0, 0, 0), (0.042, 0.05, 0.016)), cone((0, -0.09, 0), (0, -0.04, 0), 0.028, 0.026)]
    for x, length in ((-0.033, 0.06), (-0.011, 0.075), (0.011, 0.08), (0.033, 0.07)):
        knuckle = np.array([x, 0.042, 0])
        lean = np.array([1.6 * x + rng.normal(0, 0.04), 1, rng.uniform(0, 0.5)])
        middle = knuckle + 0.55 * length * lean / np.linalg.norm(lean)
        tip = middle + 0.45 * length * np.array([lean[0], 1, rng.uniform(0.2, 0.9)])
        parts += [cone(knuckle, middle, 0.0105, 0.0095), cone(middle, tip, 0.0095, 0.008)]
    parts.append(cone((-0.035, -0.02, 0.005), (-0.085, 0.03, 0.02), 0.014, 0.01))
    return meshed(union(*parts, melt=0.003), (-0.12, -0.12, -0.05), (0.08, 0.17, 0.1), 110)


def foot(rng: Random) -> Mesh:
    """A foot with an ankle, a heel and five toes."""
    parts = [
        cone((0, 0.03, -0.09), (0, 0.13, -0.09), 0.034, 0.036), ellipsoid((0, -0.005, -0.1), (0.032, 0.034, 0.036)),
        cone((0, 0.015, -0.06), (0.005, -0.01, 0.05), 0.036, 0.027),
        ellipsoid((0.005, -0.015, 0.05), (0.046, 0.02, 0.04)),
    ]  # fmt: skip
    for toe, radius in enumerate((0.014, 0.01, 0.0095, 0.009, 0.0085)):
        x = -0.03 + 0.0185 * toe
        parts.append(cone((x, -0.02, 0.08 - 0.008 * toe), (1.1 * x, -0.024, 0.115 - 0.011 * toe), radius))
    return meshed(union(*parts, melt=0.004), (-0.07, -0.05, -0.15), (0.08, 0.16, 0.14), 110)


def _animal(rng: Random, snout: float, slope: float, ears: float, spread: float, wide: float) -> Mesh:
    """The head of an animal: skull, snout, nostrils, eyes, ears and a neck."""
    size = rng.uniform(0.95, 1.1)
    tip = np.array([0, -slope, 0.08 + snout])
    parts = [
        ellipsoid((0, 0, 0), (0.075 * wide, 0.075, 0.085)), cone((0, -0.015, 0.05), tip, 0.05 * wide, 0.03 * wide),
        ellipsoid(tip + [0, 0.012, 0.022], (0.016, 0.012, 0.012)),
        cone((0, -0.04, -0.05), (0, -0.15, -0.13), 0.065, 0.07),
        cone((0, -0.05, 0.03), tip + [0, -0.022, -0.01], 0.032 * wide, 0.02 * wide),
    ]  # fmt: skip
    for side in (-1.0, 1.0):
        parts.append(ellipsoid((0.042 * wide * side, 0.03, 0.06), (0.015, 0.015, 0.015)))
        base = np.array([spread * side, 0.055, -0.02])
        parts.append(cone(base, base + [0.02 * side, ears, -0.01], 0.026, 0.006))
    return meshed(lambda p: size * union(*parts, melt=0.006)(p / size), (-0.15, -0.22, -0.22), (0.15, 0.2, 0.38), 110)


def dog(rng: Random) -> Mesh:
    """A dog's head."""
    return _animal(rng, rng.uniform(0.05, 0.09), 0.03, rng.uniform(0.03, 0.08), 0.06, 1.0)


def horse(rng: Random) -> Mesh:
    """A horse's head: a long snout that falls."""
    return _animal(rng, rng.uniform(0.15, 0.2), 0.17, 0.08, 0.045, 0.85)


def cat(rng: Random) -> Mesh:
    """A cat's head: round, with a short snout and pointed ears."""
    return _animal(rng, rng.uniform(0.005, 0.02), 0.03, rng.uniform(0.06, 0.08), 0.055, 1.1)


def ape(rng: Random) -> Mesh:
    """An ape's head: a heavy brow over deep sockets, a flat nose, a muzzle with lips; nearest to a head of all."""
    skull = union(
        ellipsoid((0, 0.02, -0.02), (0.075, 0.08, 0.095)), ellipsoid((0, -0.055, 0.065), (0.05, 0.045, 0.055)),
        cone((-0.05, 0.03, 0.062), (0.05, 0.03, 0.062), 0.019), cone((0, -0.08, -0.05), (0, -0.16, -0.07), 0.06),
        ring((0.083, 0.0, -0.01), 0.026, 0.008, axis=0), ring((-0.083, 0.0, -0.01), 0.026, 0.008, axis=0), melt=0.007,
    )  # fmt: skip
    nostrils = [ellipsoid((0.012 * side, -0.022, 0.112), (0.007, 0.005, 0.012)) for side in (-1, 1)]
    sockets = [ellipsoid((0.03 * side, 0.006, 0.085), (0.017, 0.013, 0.016)) for side in (-1, 1)]
    mouth = ellipsoid((0, -0.07, 0.12), (0.045, rng.uniform(0.002, 0.005), 0.03))
    return meshed(without(skull, *nostrils, *sockets, mouth), (-0.13, -0.2, -0.14), (0.13, 0.13, 0.15), 110)


def mannequin(rng: Random) -> Mesh:
    """A shop-window head: skull, jaw, ears and neck, and a face as smooth as an egg with a hint of a nose."""
    wide = rng.uniform(0.95, 1.05)
    parts = [
        ellipsoid((0, 0.03, -0.02), (0.075 * wide, 0.095, 0.095)),
        ellipsoid((0, -0.035, 0.015), (0.056 * wide, 0.075, 0.066)),
        cone((0, -0.06, -0.03), (0, -0.16, -0.045), 0.05 * wide, 0.055),
        cone((0, 0.015, 0.072), (0, -0.02, 0.085), 0.008),
    ]  # fmt: skip
    ears = [ellipsoid((0.076 * wide * side, 0, -0.01), (0.01, 0.03, 0.018)) for side in (-1, 1)]
    return meshed(union(*parts, *ears, melt=0.012), (-0.12, -0.17, -0.13), (0.12, 0.14, 0.13))
