"""Smooth random relief: sums of plane waves, isotropic or combed into strands."""

from __future__ import annotations

from typing import overload

import numpy as np

from headfield.frames import MM_PER_UNIT


def relief(
    points: np.ndarray, shortest_mm: float, longest_mm: float, rng: np.random.Generator, waves: int = 48
) -> np.ndarray:
    """A Gaussian-like random field of unit variance at points (N, 3) in model units.

    Args:
        points: (N, 3) model units.
        shortest_mm, longest_mm: Band of wavelengths.
        rng: Source of randomness.
        waves: Plane waves summed.
    Returns:
        (N,) values with mean about 0 and variance about 1.
    """
    direction = rng.standard_normal((waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wavelength = rng.uniform(shortest_mm, longest_mm, waves) / MM_PER_UNIT
    phase = points @ (2 * np.pi * direction / wavelength[:, None]).T + rng.uniform(0, 2 * np.pi, waves)
    return np.cos(phase).sum(1) * np.sqrt(2.0 / waves)


def strands(
    points: np.ndarray, pole: np.ndarray, shortest_mm: float, longest_mm: float, rng: np.random.Generator,
    waves: int = 24,
) -> np.ndarray:  # fmt: skip
    """Ridges that run down from a pole like combed hair, of unit variance, fading towards the pole itself.

    The ridges' width is measured where the head is widest; they wander slowly on their way.

    Args:
        points: (N, 3) model units.
        pole: (3,) where the ridges meet, near the crown.
        shortest_mm, longest_mm: Band of widths.
        rng: Source of randomness.
        waves: Waves summed.
    """
    offset = points - pole
    across = np.hypot(offset[:, 0], offset[:, 2])
    azimuth = np.arctan2(offset[:, 0], offset[:, 2])
    widest = np.quantile(across, 0.9)
    around = 2 * np.pi * widest * MM_PER_UNIT
    cycles = np.rint(around / rng.uniform(shortest_mm, longest_mm, waves))  # whole, or a seam shows behind
    drift = rng.normal(0, 6.0, waves)
    phase = azimuth[:, None] * cycles + offset[:, 1:2] * drift + rng.uniform(0, 2 * np.pi, waves)
    fade = np.clip(across / (0.75 * widest), 0, 1) ** 2
    return np.cos(phase).sum(1) * np.sqrt(2.0 / waves) * fade


@overload
def smoothstep(x: float) -> float: ...
@overload
def smoothstep(x: np.ndarray) -> np.ndarray: ...
def smoothstep(x):
    """0 below 0, 1 above 1, smooth between; of one number or of an array."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
