"""What a hairstyle is, as numbers: hairline, thickness, curtain, bun; random ones of each class.

Places on the head are given on the reference head (model frame) by azimuth, in degrees from the middle of the face
(0) past the ear (about 75) to the middle of the nape (180), and height y. People's own heads are reached by warping.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from headfield.synth.combing import Combing
from headfield.synth.noise import smoothstep

HAIR_CLASSES = ("bald", "short", "medium", "neck", "bun", "receding", "fringe", "parting")
"""Classes of truth v1, whose shares are frozen (``frozen.json``)."""

OVERLAID = {"buzz": 0.13, "cap": 0.09}
"""Classes of truth v2 alone: share of the people with hair or beard whose hair is cropped, or who wear a tight cap
over it, whatever truth v1 gives them. They stand apart from the frozen shares, which v1's stores name."""

CLASSES_V2 = (*HAIR_CLASSES, *OVERLAID)

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
        combing: How the hair lies (truth v2), or None for the relief and the hairline's slab of truth v1.
        tip: Thickness at the hairline itself, where combed hair ends or begins, model units.
        taper: Length over which a fringe grows from there to its thickness, model units; 0 for roots, which rise.
        ragged: How far the hairline strays with the locks, rms in model units.
        snug: Whether it lies over the ears, as close as they let it: a cap.
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
    combing: Combing | None = None
    tip: float = 0.003
    taper: float = 0.0
    ragged: float = 0.004
    snug: bool = False


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
    recess = abs(rng.normal(0, 0.02))
    if name not in _DRAWN:
        raise ValueError(f"unknown hair class {name!r}")
    return _DRAWN[name](rng, recess)


def _short(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
    top = u(0.025, 0.085)
    side = min(top, u(0.018, 0.04))
    line = _hairline(rng, recess=recess, sideburn=u(-0.05, 0.06))
    quiff = u(0.02, 0.07) if rng.random() < 0.3 else 0.0
    return HairStyle(line, top, side, u(side, max(side + 0.005, 0.8 * top)), u(0.03, 0.05), quiff)


def _medium(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
    line = _hairline(rng, ear=-u(0.03, 0.12), nape=-u(0.0, 0.04))
    curtain = u(-0.34, -0.23) if rng.random() < 0.6 else None
    if rng.random() < 0.2:  # big round curls
        thick = u(0.1, 0.15)
        return HairStyle(line, thick, 0.95 * thick, thick, 0.045, ears=False, strand=0.0, lumps=0.011)
    return HairStyle(line, u(0.06, 0.12), u(0.05, 0.095), u(0.06, 0.12), u(0.03, 0.05), curtain=curtain,
                     curtain_front=u(52, 66), flare=u(-0.25, 0.0), ears=False)  # fmt: skip


def _to_the_neck(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
    tucked = rng.random() < 0.3
    line = _hairline(rng, ear=0.0 if tucked else -u(0.08, 0.14), nape=-0.03)
    style = HairStyle(line, u(0.05, 0.1), 0.03 if tucked else u(0.055, 0.095), u(0.06, 0.1), u(0.03, 0.045),
                      curtain=u(-0.43, -0.33), curtain_front=u(88, 98) if tucked else u(50, 66),
                      flare=u(-0.15, 0.08), ears=tucked, strand=0.8)  # fmt: skip
    if rng.random() < 0.35:
        style = replace(style, parting=rng.choice([-1, 1]) * u(0, 22))
    return style


def _bun(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
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


def _receding(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
    if rng.random() < 0.4:  # a wreath: the top is bare
        line = _hairline(rng, sideburn=u(-0.04, 0.05))
        line[:, 1] = np.where(line[:, 0] < 45, 1.0, line[:, 1])  # nothing grows before the temples
        thin = u(0.018, 0.036)
        return HairStyle(line, thin, thin, thin, u(0.03, 0.045), wreath=True, lumps=0.002)
    line = _hairline(rng, front=u(0.03, 0.1), recess=u(0.07, 0.13), sideburn=u(-0.04, 0.05))
    side = u(0.016, 0.03)
    return HairStyle(line, u(0.015, 0.04), side, side, u(0.035, 0.06), lumps=0.003)


def _fringe(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
    line = _hairline(rng, ear=-u(0.0, 0.1), sideburn=-1.0)
    cover = line[:, 0] < 46
    line[cover, 1] = u(0.205, 0.25) + 0.02 * (line[cover, 0] / 46.0) ** 2 * rng.choice([-1, 1])
    curtain = u(-0.42, -0.2) if rng.random() < 0.55 else None
    return HairStyle(line, u(0.05, 0.1), u(0.045, 0.085), u(0.05, 0.1), u(0.016, 0.024), curtain=curtain,
                     curtain_front=u(50, 58), flare=u(-0.15, 0.03), ears=False, strand=0.85)  # fmt: skip


def _parting(rng: np.random.Generator, recess: float) -> HairStyle:
    u = rng.uniform
    line = _hairline(rng, recess=recess, sideburn=u(-0.05, 0.04))
    side = rng.choice([-1, 1])
    return HairStyle(line, u(0.05, 0.095), u(0.02, 0.05), u(0.03, 0.06), u(0.028, 0.042), u(0.0, 0.03),
                     parting=side * u(18, 30), strand=0.85)  # fmt: skip


_DRAWN = {
    "short": _short,
    "medium": _medium,
    "neck": _to_the_neck,
    "bun": _bun,
    "receding": _receding,
    "fringe": _fringe,
    "parting": _parting,
}
"""Each class of the first truth, drawn from a generator and from how far the hairline recedes at the temples."""


def draw_combed(name: str, rng: np.random.Generator) -> HairStyle:
    """A random hairstyle of truth v2: combed, parted, with tapering fringes; buzz cuts and caps beside v1's classes.

    Args:
        name: One of CLASSES_V2, not ``bald``.
        rng: Source of randomness.
    Raises:
        ValueError: Unknown class.
    """
    if name == "cap":
        return _cap(rng)
    if name == "buzz":
        return _buzz(rng)
    style = draw_style(name, rng)
    u = rng.uniform
    if style.ears:  # no tongues before the ears
        line, burn = style.hairline.copy(), (style.hairline[:, 0] > 49) & (style.hairline[:, 0] < 62)
        line[burn, 1] = np.maximum(line[burn, 1], u(0.02, 0.09))
        style = replace(style, hairline=line)
    if len(style.buns):
        return replace(style, combing=_tied(style.buns, rng), relief=u(0.0025, 0.004), lumps=0.002, ragged=0.003)
    if name in ("short", "receding"):
        combing = _from_crown(rng, 0.03, sweep=rng.normal(0, 0.6))
        style = replace(style, combing=combing, relief=u(0.002, 0.0035), lumps=0.5 * style.lumps)
        return replace(style, tip=0.002, taper=u(0.1, 0.15), ragged=0.002) if style.wreath else style
    parted = name == "parting" or (name == "neck" and rng.random() < 0.6) or (name == "medium" and rng.random() < 0.3)
    start = (style.parting if style.parting is not None else rng.choice([-1, 1]) * u(0, 25)) if parted else None
    wavy = rng.random() < (0.2 if name in ("parting", "fringe") else 0.4)
    combing = _from_crown(rng, u(0.06, 0.12), rng.normal(0, 0.2), start, u(0.25, 0.5) if wavy else 0.0)
    style = replace(style, combing=combing, relief=u(0.003, 0.0045), lumps=0.6 * style.lumps)
    if not style.ears:  # one hem over the ears, no tongue before them
        line, hem = style.hairline.copy(), u(-0.13, -0.04)
        side = (line[:, 0] > 52) & (line[:, 0] < 110)
        line[side, 1] = hem + 0.05 * (1 - smoothstep((line[side, 0] - 52) / 20))
        style = replace(style, hairline=line)
    if name == "fringe":
        style = replace(style, top=0.75 * style.top, tip=0.006, taper=u(0.06, 0.085), ragged=u(0.004, 0.008))
    return style


def _from_crown(
    rng: np.random.Generator, half: float, sweep: float, parting: float | None = None, wave: float = 0.0
) -> Combing:
    """Hair that falls from the crown, or from a parting that starts at an azimuth (degrees) of the hairline.

    Args:
        rng: Source of randomness.
        half: Half the length of the crown's line, for hair without a parting, model units.
        sweep: See :class:`Combing`.
        parting: Azimuth, or None.
        wave: Steepness of its waves, 0 for straight hair.
    """
    end = np.array([rng.normal(0, 0.03), 0.55, rng.uniform(-0.46, -0.38)])
    start = end + [0, 0, 2 * half]
    if parting is not None:
        aside = 0.4 * np.sin(np.radians(parting))
        end[0] = 0.5 * aside
        start = np.array([aside, 0.45, 0.0])
    length = rng.uniform(0.16, 0.3)
    return Combing(start, end, np.array([0.0, 1.0, 0.0]), sweep, wave=wave * length / (2 * np.pi), wavelength=length,
                   parted=parting is not None)  # fmt: skip


def _tied(buns: np.ndarray, rng: np.random.Generator) -> Combing:
    """Hair drawn back to one knot, or parted in the middle and drawn to two."""
    azimuth, elevation = np.radians(buns[0, :2])
    axis = np.array([abs(np.sin(azimuth)) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    middle = np.array([0.0, 0.15, -0.2]) + 0.5 * axis
    helper = np.cross(axis, [1.0, 0.0, 0.0])
    line = 0.02 * helper / np.linalg.norm(helper)
    return Combing(middle + line, middle - line, axis, rng.normal(0, 0.15), wander=0.006, mirrored=len(buns) > 1)


def _buzz(rng: np.random.Generator) -> HairStyle:
    """Hair cropped to 1.5-4 mm, that fades at the natural hairline."""
    u = rng.uniform
    back = {"front": u(0.03, 0.08), "recess": u(0.05, 0.11)} if rng.random() < 0.3 else {"recess": u(0.0, 0.03)}
    thick = u(0.006, 0.016)
    side = thick * u(0.55, 1.0)
    line = _hairline(rng, sideburn=u(-0.02, 0.08), **back)
    return HairStyle(line, thick, side, side, u(0.02, 0.035), combing=_from_crown(rng, 0.03, rng.normal(0, 0.6)),
                     tip=0.3 * side, relief=0.0008, lumps=0.0, ragged=0.002)  # fmt: skip


def _cap(rng: np.random.Generator) -> HairStyle:
    """A tight cap of 1-3 mm: smooth, from the forehead to behind the ears or over them."""
    u = rng.uniform
    front, nape, thick = u(0.24, 0.34), u(-0.16, -0.06), u(0.005, 0.012)
    if rng.random() < 0.5:
        line = [(0, front), (30, front), (48, 0.24), (62, 0.185), (75, 0.18), (92, 0.15), (108, 0.03), (125, -0.06)]
    else:
        low = u(-0.16, -0.03)
        nape = low + u(-0.03, 0.03)
        line = [(0, front), (30, front - 0.02), (48, 0.16), (62, low + 0.06), (75, low), (95, low), (120, low)]
    line = np.array([*line, (150, nape), (180, nape)], dtype=float)
    over = bool(line[4, 1] < 0.0)
    return HairStyle(line, thick, thick, thick, 0.006, combing=_from_crown(rng, 0.03, 0.0), tip=thick, relief=0.0,
                     lumps=0.0, ragged=0.0, ears=not over, snug=over)  # fmt: skip
