"""How hair is combed: the lines along which it lies on the head, and ridges that run along them.

Hair comes out of a crown, or out of a parting, and falls to all sides. Seen along the hair's axis (upright for hair
that falls, towards the knot for hair that is tied) its lines are the hyperbolas of confocal coordinates whose foci are
the two ends of the parting: they leave it at right angles to both sides and spread like rays further out. Without a
parting the foci meet and the lines are those rays. One coordinate is constant along every line, and noise in that
coordinate is a ridge along the strands. Places are those of the reference head, model units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headfield.frames import MM_PER_UNIT
from headfield.synth.noise import relief, smoothstep

WIDTHS_MM = (15.0, 9.0)
"""Typical width of locks and of the strands in them, mm."""

LUMP_MM = 38.0
"""Typical width of the tresses that locks belong to, mm."""

_ALONG_MM = 110.0
"""Length over which a ridge becomes another, mm."""

_SPREAD = 0.4
"""How far ridges' widths spread about the typical one, natural log."""

_CYCLES = (5.0, 260.0)
_WAVES = 44


@dataclass(frozen=True)
class Combing:
    """The flow of one head of hair.

    Attributes:
        start, end: (3,) ends of the parting, reference head: at the hairline and at the crown. Hair without a parting
            has them close together at the crown.
        axis: (3,) unit vector along which the lines are confocal: up for falling hair, towards the knot for tied hair.
        sweep: Turn of the lines on their way from the crown, radians: combed to one side, a whorl.
        wander: How far strands wander from their line, rms in model units.
        wave: Half width of the waves of wavy hair, model units.
        wavelength: Length of these waves, model units.
        mirrored: Whether the right half is combed as the left one is, about the plane x = 0: two knots.
        parted: Whether a groove runs from start to end.
    """

    start: np.ndarray
    end: np.ndarray
    axis: np.ndarray
    sweep: float = 0.0
    wander: float = 0.012
    wave: float = 0.0
    wavelength: float = 0.2
    mirrored: bool = False
    parted: bool = False

    def flat(self, places: np.ndarray) -> tuple[NDArray[np.complex128], np.ndarray, float, np.ndarray]:
        """Places (N, 3) seen along the axis, about the middle of the parting and turned into its direction.

        Returns:
            Complex (N,) places; depth (N,) along the axis below the middle; half the parting's length; and the two
            unit vectors (2, 3) of the real and the imaginary direction.
        """
        line = self.start - self.end
        line = line - self.axis * (line @ self.axis)
        length = max(float(np.linalg.norm(line)), 1e-3)
        first = line / length
        second = np.cross(self.axis, first)
        offset = places - 0.5 * (self.start + self.end)
        return offset @ first + 1j * (offset @ second), -(offset @ self.axis), 0.5 * length, np.stack([first, second])


@dataclass(frozen=True)
class Flow:
    """Coordinates of places in combed hair.

    Attributes:
        strand: (N,) radians, of period 2 pi, constant along a strand.
        along: (N,) way from crown or parting, model units.
        spacing: (N,) distance on the hair's surface that one radian of `strand` takes, model units.
    """

    strand: np.ndarray
    along: np.ndarray
    spacing: np.ndarray


def flow(combing: Combing, places: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> Flow:
    """The flow of combed hair at places on its surface.

    Args:
        combing: How it is combed.
        places, normals: (N, 3) on the reference head; unit normals of the hair's surface.
        rng: For how strands wander.
    """
    side = np.where(places[:, 0] < 0, -1.0, 1.0) if combing.mirrored else np.ones(len(places))
    mirror = np.stack([side, np.ones_like(side), np.ones_like(side)], axis=1)
    flat, depth, focus, directions = combing.flat(places * mirror)
    wide = np.sqrt(flat - focus) * np.sqrt(flat + focus)  # cut along the parting only
    wide = np.where(np.abs(wide) < 1e-4, 1e-4, wide)
    strand = np.angle((flat + wide) / focus)
    slope = 1 / wide  # of the complex coordinate; that of its imaginary part follows
    gradient = slope.imag[:, None] * directions[0] + slope.real[:, None] * directions[1]
    upright = (gradient * (normals * mirror)).sum(1)
    spacing = 1 / np.sqrt(np.maximum((gradient**2).sum(1) - upright**2, 1e-4))
    aside = np.hypot(np.maximum(np.abs(flat.real) - focus, 0), flat.imag)
    along = aside + np.maximum(depth, 0)
    moved = combing.wander * relief(places, 60, 150, rng, 16)
    if combing.wave:
        beat = rng.uniform(0, 2 * np.pi) + 0.8 * relief(places, 120, 250, rng, 8)
        moved = moved + combing.wave * np.sin(2 * np.pi * along / combing.wavelength + beat)
    strand = strand + combing.sweep * smoothstep(along / 0.7) + moved / np.maximum(spacing, 0.12)
    return Flow(strand + 2.0 * (side < 0), along, spacing)  # the right half of mirrored hair has ridges of its own


def ridges(flow: Flow, widths_mm: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Ridges along strands, about as wide everywhere: where lines spread, ridges branch.

    Args:
        flow: Where.
        widths_mm: Typical widths W of each row of the result.
        rng: Source of randomness.
    Returns:
        (W, N) values of mean about 0 and variance about 1; the valleys are narrower than the ridges.
    """
    cycles = np.rint(np.exp(rng.uniform(*np.log(_CYCLES), size=_WAVES)))  # whole, or a seam shows
    drift = rng.normal(0, 2 * np.pi * MM_PER_UNIT / _ALONG_MM, _WAVES)
    phase = np.outer(flow.strand, cycles) + np.outer(flow.along, drift) + rng.uniform(0, 2 * np.pi, _WAVES)
    waves = np.cos(phase)
    width = np.log(2 * np.pi * MM_PER_UNIT * flow.spacing[:, None] / cycles)
    rows = []
    for typical in widths_mm:
        weight = np.exp(-(((width - np.log(typical)) / _SPREAD) ** 2))
        power = (weight**2).sum(1)
        row = (weight * waves).sum(1) * np.sqrt(2 / np.maximum(power, 1e-12))
        row = row * np.minimum(power / 0.3, 1.0)  # at the crown itself no wave is wide enough: smooth
        rows.append((row - 0.25 * (row**2 - 1)) / 1.06)
    return np.stack(rows)


def groove(combing: Combing, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A parting in the hair's thickness.

    Args:
        combing: Its line from `start` to `end`.
        places: (N, 3) skin of the reference head.
    Returns:
        How deep the groove is (N,), 0 to 1 in its middle, fading towards the crown; and the distance (N,) from the
        line, positive on the left of one who looks from the crown to the forehead.
    """
    flat, _, focus, _ = combing.flat(places)
    inside = np.clip(flat.real, -focus, focus + 0.25)  # the groove reaches through the hairline
    away = np.hypot(flat.real - inside, flat.imag)
    over = smoothstep((places[:, 1] - 0.25) / 0.1) * smoothstep((flat.real + focus) / 0.14)
    return over * np.exp(-((away / 0.024) ** 2)), flat.imag
