"""What a hairstyle is, as numbers: hairline, thickness, curtain, bun; random ones of each class.

Places on the head are given on the reference head (model frame) by azimuth, in degrees from the middle of the face
(0) past the ear (about 75) to the middle of the nape (180), and height y. People's own heads are reached by warping.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

HAIR_CLASSES = ("bald", "short", "medium", "neck", "bun", "receding", "fringe", "parting")

HAIRLINE = (
    (0, 0.365), (18, 0.37), (30, 0.39), (38, 0.36), (44, 0.26), (48, 0.15), (51, 0.05), (54, -0.03), (57, -0.05),
    (60, -0.01), (64, 0.08), (70, 0.13), (80, 0.15), (89, 0.14), (96, 0.07), (101, -0.03), (106, -0.09), (114, -0.14),
    (140, -0.2), (180, -0.22),
)  # fmt: skip
"""Natural hairline: forehead, recess at the temple, sideburn, round the ear, nape; (azimuth, y)."""


@dataclass(frozen=True)
class HairStyle:
    """One hairstyle.

    Attributes:
        hairline: (n, 2) control points, azimuth and y.
        top, side, back: Thickness in model units.
        edge: Length over which the thickness grows from the hairline, model units.
        quiff: Extra thickness over the forehead.
        parting: Side of a parting: azimuth of its start in degrees (positive = subject's left), or None.
        curtain: y where falling hair ends, or None for hair that keeps to the scalp.
        curtain_front: Azimuth where the falling hair begins.
        flare: Widening of the falling hair with depth (negative: tapering).
        ears: Whether the ears show; their shells then stay free of hair.
        wreath: Whether the top of the head is bare inside a wreath of hair.
        buns: (m, 4) places and radii: azimuth signed, elevation (degrees), radius, share sunk in.
        strand: Share of the relief that is combed, 0-1.
        relief: Fine relief, rms in model units (0.004 = 1 mm).
        lumps: Coarse relief, rms in model units.
    """

    hairline: np.ndarray
    top: float
    side: float
    back: float
    edge: float = 0.04
    quiff: float = 0.0
    parting: float | None = None
    curtain: float | None = None
    curtain_front: float = 60.0
    flare: float = 0.0
    ears: bool = True
    wreath: bool = False
    buns: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    strand: float = 0.6
    relief: float = 0.004
    lumps: float = 0.006


def _hairline(rng: np.random.Generator, **moves: float) -> np.ndarray:
    """The natural hairline, a little different for everyone, with named parts moved (model units)."""
    line = np.array(HAIRLINE, dtype=float)
    azimuth = line[:, 0]
    line[:, 1] += rng.normal(0, 0.012) * (azimuth < 42) + rng.normal(0, 0.012) * (azimuth > 105)
    line[:, 1] += moves.get("front", 0.0) * np.exp(-((azimuth / 16.0) ** 2))
    line[:, 1] += moves.get("recess", 0.0) * np.exp(-(((azimuth - 32) / 11.0) ** 2))
    line[:, 1] += moves.get("ear", 0.0) * np.exp(-(((azimuth - 76) / 17.0) ** 2))
    line[:, 1] += moves.get("nape", 0.0) * (azimuth > 105)
    burn = (azimuth > 49) & (azimuth < 62)
    line[burn, 1] = np.maximum(line[burn, 1], moves.get("sideburn", -1.0))
    return line


def draw_style(name: str, rng: np.random.Generator) -> HairStyle:
    """A random hairstyle of a class (not ``bald``).

    Args:
        name: One of HAIR_CLASSES.
        rng: Source of randomness.
    Raises:
        ValueError: Unknown class.
    """
    u = rng.uniform
    recess = abs(rng.normal(0, 0.02))
    if name == "short":
        top = u(0.025, 0.085)
        side = min(top, u(0.018, 0.04))
        line = _hairline(rng, recess=recess, sideburn=u(-0.05, 0.06))
        quiff = u(0.02, 0.07) if rng.random() < 0.3 else 0.0
        return HairStyle(line, top, side, u(side, max(side + 0.005, 0.8 * top)), u(0.03, 0.05), quiff)
    if name == "medium":
        line = _hairline(rng, ear=-u(0.03, 0.12), nape=-u(0.0, 0.04))
        curtain = u(-0.34, -0.23) if rng.random() < 0.6 else None
        if rng.random() < 0.2:  # big round curls
            thick = u(0.1, 0.15)
            return HairStyle(line, thick, 0.95 * thick, thick, 0.045, ears=False, strand=0.0, lumps=0.011)
        return HairStyle(line, u(0.06, 0.12), u(0.05, 0.095), u(0.06, 0.12), u(0.03, 0.05), curtain=curtain,
                         curtain_front=u(52, 66), flare=u(-0.25, 0.0), ears=False)  # fmt: skip
    if name == "neck":
        tucked = rng.random() < 0.3
        line = _hairline(rng, ear=0.0 if tucked else -u(0.08, 0.14), nape=-0.03)
        style = HairStyle(line, u(0.05, 0.1), 0.03 if tucked else u(0.055, 0.095), u(0.06, 0.1), u(0.03, 0.045),
                          curtain=u(-0.43, -0.33), curtain_front=u(88, 98) if tucked else u(50, 66),
                          flare=u(-0.15, 0.08), ears=tucked, strand=0.8)  # fmt: skip
        if rng.random() < 0.35:
            style = replace(style, parting=rng.choice([-1, 1]) * u(0, 22))
        return style
    if name == "bun":
        line = _hairline(rng, sideburn=u(0.0, 0.08))
        thick = u(0.018, 0.035)
        radius = u(0.1, 0.16)
        kind = rng.random()
        if kind < 0.65:
            buns = [(180.0, u(-5, 45), radius, 0.35)]
        elif kind < 0.85:
            buns = [(180.0, u(60, 85), 0.85 * radius, 0.3)]
        else:
            where, lift = u(100, 130), u(30, 55)
            buns = [(where, lift, 0.7 * radius, 0.3), (-where, lift, 0.7 * radius, 0.3)]
        return HairStyle(line, thick, thick, thick, u(0.025, 0.035), buns=np.array(buns), strand=0.85, lumps=0.002)
    if name == "receding":
        if rng.random() < 0.4:  # a wreath: the top is bare
            line = _hairline(rng, sideburn=u(-0.04, 0.05))
            line[:, 1] = np.where(line[:, 0] < 45, 1.0, line[:, 1])  # nothing grows before the temples
            thin = u(0.018, 0.036)
            return HairStyle(line, thin, thin, thin, u(0.03, 0.045), wreath=True, lumps=0.002)
        line = _hairline(rng, front=u(0.03, 0.1), recess=u(0.07, 0.13), sideburn=u(-0.04, 0.05))
        side = u(0.016, 0.03)
        return HairStyle(line, u(0.015, 0.04), side, side, u(0.035, 0.06), lumps=0.003)
    if name == "fringe":
        line = _hairline(rng, ear=-u(0.0, 0.1), sideburn=-1.0)
        cover = line[:, 0] < 46
        line[cover, 1] = u(0.205, 0.25) + 0.02 * (line[cover, 0] / 46.0) ** 2 * rng.choice([-1, 1])
        curtain = u(-0.42, -0.2) if rng.random() < 0.55 else None
        return HairStyle(line, u(0.05, 0.1), u(0.045, 0.085), u(0.05, 0.1), u(0.016, 0.024), curtain=curtain,
                         curtain_front=u(50, 58), flare=u(-0.15, 0.03), ears=False, strand=0.85)  # fmt: skip
    if name == "parting":
        line = _hairline(rng, recess=recess, sideburn=u(-0.05, 0.04))
        side = rng.choice([-1, 1])
        return HairStyle(line, u(0.05, 0.095), u(0.02, 0.05), u(0.03, 0.06), u(0.028, 0.042), u(0.0, 0.03),
                         parting=side * u(18, 30), strand=0.85)  # fmt: skip
    raise ValueError(f"unknown hair class {name!r}")
