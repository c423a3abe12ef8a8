"""Smooth random deformations of a head: by region of the face, and of its ears.

Fields are functions of the place on the reference head (`hair.reference_warp`), so that a region is the same region on
every head, and of space rather than of the surface: what lies close together moves together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.frames import MM_PER_UNIT, REFERENCE_ANCHORS, mirror_points
from headfield.synth.noise import relief, smoothstep

ASYMMETRY = 0.4
"""Share of a region's standard deviation by which left and right differ: about a millimetre, as on real faces."""

EAR_ASYMMETRY = 0.25
"""The same for the numbers of an ear."""

_FADE = 0.06
"""Regions fade into each other over about this many model units (15 mm)."""


@dataclass(frozen=True)
class Region:
    """A part of the head with deformations of its own.

    Attributes:
        places: (n, 3) on the reference head, left and right alike.
        deviation: Standard deviation of each coordinate, mm.
        shortest, longest: Band of wavelengths, mm.
    """

    places: np.ndarray
    deviation: float
    shortest: float
    longest: float


def _places(*names: str, more: tuple[tuple[float, float, float], ...] = ()) -> np.ndarray:
    points = [place for name, place in REFERENCE_ANCHORS.items() if name.startswith(names)]
    return np.array([*points, *more])


REGIONS = {
    "nose": Region(_places("nose"), 0.9, 22, 60),
    "brows": Region(_places("brow", more=((0.0, 0.135, 0.205),)), 0.75, 24, 70),
    "mouth": Region(_places("mouth_corner", "lower_lip", "upper_lip"), 0.7, 26, 70),
    "cheeks": Region(_places("cheek", more=((0.16, -0.16, 0.13), (-0.16, -0.16, 0.13))), 1.0, 38, 80),
    "jaw": Region(_places("chin", "jaw_angle", "jaw_below_ear"), 1.15, 32, 80),
    "forehead": Region(_places("forehead"), 0.8, 55, 100),
    "temples": Region(_places("temple"), 0.8, 55, 100),
    "skull": Region(_places("crown_front", "head_back", more=((0.0, 0.52, -0.3), (0.0, 0.0, -0.5))), 1.5, 100, 180),
    "neck": Region(_places("nape", "neck_side", "throat"), 1.0, 55, 100),
}
"""Where skin lies over bone and gristle (nose, brows, chin) shapes are finer than on cheeks, forehead and skull."""


def region_shares(place: np.ndarray) -> np.ndarray:
    """Shares (V, R) of the regions at places (V, 3) on the reference head; each row sums to one."""
    distance = []
    for region in REGIONS.values():
        gaps = np.linalg.norm(place[:, None] - region.places, axis=2)
        distance.append(-_FADE * np.log(np.exp(-gaps / _FADE).sum(1)))  # a smooth least distance
    distance = np.stack(distance, axis=1)
    share = np.exp(-(distance - distance.min(1, keepdims=True)) / _FADE)
    return share / share.sum(1, keepdims=True)


def region_field(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random displacement (V, 3), model units, of places (V, 3) on the reference head, region by region."""
    field = np.zeros(place.shape)
    for share, region in zip(region_shares(place).T, REGIONS.values()):
        strength = region.deviation / MM_PER_UNIT * np.clip(np.exp(0.3 * rng.standard_normal()), 0.5, 1.6)
        near = np.flatnonzero(share > 1e-6)
        drawn = _two_sided(place[near], region.shortest, region.longest, ASYMMETRY, rng)
        field[near] += (strength * share[near])[:, None] * drawn
    return field


def _two_sided(place: np.ndarray, shortest: float, longest: float, asymmetry: float, rng: np.random.Generator):
    """Smooth random vectors (N, 3) of unit deviation, of which the two sides share all but `asymmetry`."""
    common, own = rng.integers(0, 2**63, 2)

    def waves(points: np.ndarray, seed: int) -> np.ndarray:
        return _vectors(points, shortest, longest, np.random.default_rng(seed))

    image = mirror_points(place)
    even = (waves(place, common) + mirror_points(waves(image, common))) / np.sqrt(2)
    odd = (waves(place, own) - mirror_points(waves(image, own))) / np.sqrt(2)
    return np.sqrt(1 - asymmetry**2) * even + asymmetry * odd


def _vectors(points: np.ndarray, shortest_mm: float, longest_mm: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random vector field (N, 3) whose waves are as high as they are long: none is steeper than another."""
    count = 40
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wavelength = np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), count)) / MM_PER_UNIT
    height = rng.standard_normal((count, 3)) * wavelength[:, None]
    height *= np.sqrt(2.0 / (wavelength**2).sum())
    phase = points @ (2 * np.pi * direction / wavelength[:, None]).T + rng.uniform(0, 2 * np.pi, count)
    return np.cos(phase) @ height


EAR = np.array([0.285, 0.005, -0.185])
"""Where the left ear grows from the reference head, model units."""


def ear_field(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ears of one's own: displacement (V, 3), model units.

    Args:
        place: (V, 3) on the reference head.
        rng: Source of randomness.
    """
    common = rng.standard_normal(5)
    seed = rng.integers(0, 2**63)
    field = np.zeros(place.shape)
    for side in (1.0, -1.0):
        own = rng.standard_normal(5)
        drawn = np.clip(np.sqrt(1 - EAR_ASYMMETRY**2) * common + EAR_ASYMMETRY * own, -2.2, 2.2)
        wave, flip = np.random.default_rng(seed), np.array([side, 1.0, 1.0])
        at = place * flip
        share = _pinna(at)
        ear = np.flatnonzero(share > 0)
        field[ear] = share[ear, None] * flip * _one_ear(at[ear], drawn, wave)
    return field


def ear_share(place: np.ndarray) -> np.ndarray:
    """How far places (V, 3) on the reference head belong to either ear's shell: 0 on the skull, 1 on its rim."""
    return _pinna(place * np.where(place[:, :1] < 0, [-1.0, 1.0, 1.0], 1.0))


def _pinna(place: np.ndarray) -> np.ndarray:
    """How far places (V, 3) on the reference head belong to the left ear's shell: 0 on the skull, 1 on its rim."""
    x, y, z = place.T
    out = smoothstep((x - 0.272) / 0.05)
    behind = smoothstep((-0.165 - z) / 0.05)
    within = 1 - smoothstep((np.hypot((y - 0.02) / 0.17, (z + 0.24) / 0.17) - 0.8) / 0.4)
    return out * behind * within


def _one_ear(place: np.ndarray, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Displacement (N, 3) of the left ear's places (N, 3), by five normal numbers: size, length, tilt, turn, lobe."""
    size, length, tilt, turn, lobe = drawn * [0.055, 0.045, np.radians(6.0), np.radians(4.0), 1.3 / MM_PER_UNIT]
    offset = place - EAR
    moved = offset * (size + np.array([0.0, length, 0.0]))
    # away from the head about the line where the ear grows, never so far in that it meets the skull
    tilt = max(tilt, -np.radians(4.0))
    moved[:, 0] -= tilt * offset[:, 2]
    moved[:, 2] += tilt * offset[:, 0]
    moved[:, 1] += turn * offset[:, 2]
    moved[:, 2] -= turn * offset[:, 1]
    low = smoothstep((-0.02 - offset[:, 1]) / 0.07)
    moved[:, 1] -= lobe * low
    moved[:, 0] += 0.5 * lobe * low
    bumps = np.stack([relief(place, 24, 40, rng) for _ in range(3)], axis=1)
    return moved + 0.4 / MM_PER_UNIT * bumps
