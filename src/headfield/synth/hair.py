"""Hair as closed solids that are star-shaped about a place in the middle of the skull.

A hair volume is a radius for every direction: the skin's own radius plus a thickness that is positive behind the
hairline and dives into the head before it. Its union with the head is closed by construction, ears come through where
hair is thin, and whether a point lies inside is one ray. Falling hair is a curtain of revolution about the vertical
axis, ended by a rounded rim; buns are further star-shaped solids. Hair rides on the skull: it does not move with the
expression.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import RBFInterpolator

from headfield import frames
from headfield.synth.hair_combed import combed, over_ears
from headfield.synth.hair_parts import StarPart
from headfield.synth.hair_shape import (
    CENTRE,
    EAR_CENTRE,
    EAR_RADII,
    FLOOR,
    azimuth_of,
    below_the_top,
    full_thickness,
    height_above,
    with_curtain,
)
from headfield.synth.hair_sphere import mesh_averaging, refine, sphere
from headfield.synth.hairstyle import OVERLAID, HairStyle, draw_combed, draw_style
from headfield.synth.identities import frozen
from headfield.synth.noise import relief, smoothstep, strands
from headfield.synth.occlusion import Occluder
from headfield.synth.sheet import Sheet

SHELL_CENTRE = np.array([0.0, 0.02, -0.145])
SHELL_RADII = np.array([1.0, 0.115, 0.085])
"""Where the ear's shell opens, seen from the side."""


def draw_hair_class(rng: np.random.Generator, share: float) -> tuple[str, bool]:
    """A hair class, and whether the person belongs to those with hair or beard at all.

    Args:
        rng: Source of randomness.
        share: Share of people with hair or beard.
    """
    worn = bool(rng.random() < share)
    names, weights = zip(*frozen()["hair"]["classes"].items())
    name = str(rng.choice(names, p=np.array(weights) / np.sum(weights)))  # drawn always: same stream for all
    return (name if worn else "bald"), worn


def overlaid_class(rng: np.random.Generator, hair_class: str) -> str:
    """What truth v2 puts over the hair class of someone with hair or beard: a buzz cut, a cap, or mostly nothing."""
    places = np.cumsum([*OVERLAID.values()])
    at = int(np.searchsorted(places, rng.random(), side="right"))
    return (*OVERLAID, hair_class)[at]


def reference_warp(anchors: np.ndarray) -> RBFInterpolator:
    """Smooth map from a head's places to the reference head's, exact on the 39 anchors (39, 3)."""
    return RBFInterpolator(anchors, frames.reference_anchors(), kernel="linear", degree=1, smoothing=1e-4)


def make_hair(
    style: HairStyle, sheet: Sheet, skin: np.ndarray, anchors: np.ndarray, rng: np.random.Generator
) -> tuple[StarPart, ...]:
    """The hair of one head.

    Args:
        style: What to make.
        sheet, skin: Topology and neutral vertices (V, 3), model frame.
        anchors: (39, 3) of that head.
        rng: For the relief.
    Returns:
        The closed parts: the volume, and the buns if any.
    """
    warp = reference_warp(anchors)
    back = RBFInterpolator(frames.reference_anchors(), anchors, kernel="linear", degree=1, smoothing=1e-4)
    centre = back(CENTRE[None])[0]
    directions, triangles = sphere()
    base, shell, cover = _bare_radius(sheet, skin, centre, directions, triangles, warp)
    if style.snug:
        base = over_ears(skin, anchors, warp, centre, directions, triangles, base)
    if style.curtain is not None:  # falling hair ends well above the neck's cut
        neck = anchors[frames.anchor_indices(["throat", "neck_side_left", "neck_side_right"]), 1].mean()
        style = replace(style, curtain=max(style.curtain, neck + 0.06))
    if style.combing is not None:
        directions, triangles, radius = combed(style, centre, directions, triangles, base, shell, cover, rng)
    else:
        directions, triangles, radius = _bumpy(style, centre, directions, triangles, base, shell, cover, rng)
    parts = [StarPart(centre, centre + radius[:, None] * directions, triangles)]
    for azimuth, elevation, size, sunk in style.buns:
        parts.append(_bun(centre, directions, radius, azimuth, elevation, size, sunk, rng))
    return tuple(parts)


def _bumpy(style, centre, directions, triangles, base, shell, cover, rng):
    """Directions, triangles and radius of truth v1's hair: bumps, and strands from a pole."""
    radius = _radius(style, centre, directions, base, cover)
    if style.ears:
        radius = np.minimum(radius, shell)
    directions, triangles, (radius, base) = refine(directions, triangles, (radius, base))
    places = centre + base[:, None] * directions
    fine = style.strand * strands(places, centre + [0, 0.35, -0.08], 9, 20, rng)
    fine = fine + np.sqrt(1 - style.strand**2) * relief(places, 9, 20, rng)
    coarse = relief(places, 40, 90, rng)
    thick = radius - base
    waves = smoothstep((thick - 0.003) / 0.025) * (style.relief * fine + style.lumps * coarse)
    return directions, triangles, radius + np.maximum(waves, -0.6 * np.maximum(thick, 0))  # never down to the skin


def _bare_radius(sheet, skin, centre, directions, triangles, warp) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radius (D,) of the head without ears, the radius (D,) that leaves the ears' shells free, infinite elsewhere, and
    the places (D, 3) of that skin on the reference head."""
    outer = Occluder(skin, sheet.triangles[~sheet.interior])
    _, radius = outer.first_hit(np.broadcast_to(centre, directions.shape), directions)
    known = np.isfinite(radius)
    cover = warp(centre + np.where(known, radius, 0.4)[:, None] * directions)
    offset = (np.abs(cover) * [1, 0, 0] + cover * [0, 1, 1] - EAR_CENTRE) / EAR_RADII
    known &= (offset**2).sum(1) > 1
    neighbours = mesh_averaging(triangles, len(directions))
    radius = np.where(known, radius, np.median(radius[known]))
    filled = radius.copy()
    for _ in range(400):  # harmonic fill under the ears and over the eyes
        filled = np.where(known, radius, neighbours @ filled)
    for _ in range(6):
        filled = 0.5 * filled + 0.5 * (neighbours @ filled)
    far = known & ((offset**2).sum(1) > 2.5)
    filled = np.where(far, np.maximum(filled, radius), filled)
    cover = warp(centre + filled[:, None] * directions)
    _, first = Occluder(skin, sheet.triangles).first_hit(np.broadcast_to(centre, directions.shape), directions)
    aside = (cover * [0, 1, 1] - SHELL_CENTRE) / SHELL_RADII
    shell = np.where(np.abs(cover[:, 0]) > 0.15, (aside**2).sum(1), 9.0)
    free = np.where(shell < 4, first - 0.014 + 0.05 * np.maximum(shell - 1, 0), np.inf)
    for _ in range(2):  # the least of the neighbourhood: no triangle may reach across the shell
        least = free.copy()
        for k in range(3):
            np.minimum.at(least, triangles[:, k], free[triangles].min(1))
        free = least
    return filled, free, cover


def _radius(style: HairStyle, centre, directions, base, cover) -> np.ndarray:
    """Radius (D,) of truth v1's hair without relief."""
    height = height_above(style, cover)
    if style.wreath:
        height = below_the_top(height, cover)
    thick = full_thickness(style, cover)
    if style.parting is not None:
        thick = thick * _parting(style.parting, cover, azimuth_of(cover) * np.where(cover[:, 0] >= 0, 1.0, -1.0))
    edge = style.edge
    grown = np.where(height > 0, thick * (1 - np.exp(-np.maximum(height, 0) / edge)), 0.0)
    dive = np.minimum(height, 0.0)
    dive = np.maximum(thick, 0.012) / edge * dive - 0.1 * (dive / 0.04) ** 2
    radius = np.maximum(base + grown + dive, FLOOR * base)
    if style.curtain is not None:
        radius = with_curtain(style, centre, directions, base, radius)
    return radius


def _parting(start: float, cover: np.ndarray, signed_azimuth: np.ndarray) -> np.ndarray:
    """Factor (D,) on the thickness: a groove from the hairline back to the crown, one side fuller."""
    x0 = 0.4 * np.sin(np.radians(start))
    aside = (cover[:, 0] - x0) * np.sign(start if start else 1.0)
    over = smoothstep((cover[:, 1] - 0.28) / 0.1) * smoothstep((cover[:, 2] + 0.42) / 0.15)
    groove = 0.75 * np.exp(-((aside / 0.028) ** 2))
    fuller = 0.28 * np.tanh(-aside / 0.06)
    return 1 - over * groove + over * fuller


def _bun(centre, directions, radius, azimuth, elevation, size, sunk, rng) -> StarPart:
    """A knot of hair: a flattened ball, wound, sunk into the volume."""
    azimuth, elevation = np.radians(azimuth), np.radians(elevation)
    out = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    surface = radius[np.argmax(directions @ out)]
    middle = centre + (surface + (0.8 - 2 * sunk) * size) * out
    ball, triangles = sphere()
    along = ball @ out
    flat = 1.0 / np.sqrt(along**2 / 0.8**2 + (1 - along**2))
    places = size * flat[:, None] * ball
    helper = np.cross(out, [0.3, 1.0, 0.2])
    helper /= np.linalg.norm(helper)
    angle = np.arctan2(places @ np.cross(out, helper), places @ helper)
    wound = np.cos(3 * angle + 9 * along + rng.uniform(0, 6)) * (1 - along**2)
    bumps = 0.05 * size * wound + 0.003 * relief(places, 9, 20, rng)
    return StarPart(middle, middle + places + bumps[:, None] * ball, triangles)


def draw_hair(
    name: str, sheet: Sheet, skin: np.ndarray, anchors: np.ndarray, rng: np.random.Generator, truth: str = "v1"
) -> tuple[StarPart, ...]:
    """Random hair of a class for a head of a truth (see `make_hair`)."""
    style = (draw_style if truth == "v1" else draw_combed)(name, rng)
    return make_hair(style, sheet, skin, anchors, rng)
