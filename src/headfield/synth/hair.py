"""Hair as closed solids that are star-shaped about a place in the middle of the skull.

A hair volume is a radius for every direction: the skin's own radius plus a thickness that is positive behind the
hairline and dives into the head before it. Its union with the head is closed by construction, ears come through where
hair is thin, and whether a point lies inside is one ray. Falling hair is a curtain of revolution about the vertical
axis, ended by a rounded rim; buns are further star-shaped solids. Hair rides on the skull: it does not move with the
expression.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator, RBFInterpolator
from scipy.sparse import coo_matrix, csr_matrix, diags

from headfield import frames
from headfield.synth.hair_parts import StarPart
from headfield.synth.hairstyle import HairStyle, draw_style
from headfield.synth.identities import frozen
from headfield.synth.noise import relief, smoothstep, strands
from headfield.synth.occlusion import Occluder
from headfield.synth.sheet import Sheet

CENTRE = np.array([0.0, 0.15, -0.2])
"""Middle of the skull on the reference head."""

EAR_CENTRE = np.array([0.29, 0.015, -0.12])
EAR_RADII = np.array([0.16, 0.19, 0.15])
"""Around the ear the hair's inner radius is that of a head without ears (reference head, left ear)."""

SHELL_CENTRE = np.array([0.0, 0.02, -0.145])
SHELL_RADII = np.array([1.0, 0.115, 0.085])
"""Where the ear's shell opens, seen from the side."""

_FLOOR = 0.3


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


def reference_warp(anchors: np.ndarray) -> RBFInterpolator:
    """Smooth map from a head's places to the reference head's, exact on the 39 anchors (39, 3)."""
    return RBFInterpolator(anchors, frames.reference_anchors(), kernel="linear", degree=1, smoothing=1e-4)


@cache
def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (10242, 3) and triangles (20480, 3)."""
    from trimesh.creation import icosphere

    sphere = icosphere(subdivisions=5)
    return np.array(sphere.vertices), np.array(sphere.faces, dtype=np.int64)


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
    directions, triangles = _sphere()
    base, shell, cover = _bare_radius(sheet, skin, centre, directions, triangles, warp)
    if style.curtain is not None:  # falling hair ends well above the neck's cut
        neck = anchors[frames.anchor_indices(["throat", "neck_side_left", "neck_side_right"]), 1].mean()
        style = replace(style, curtain=max(style.curtain, neck + 0.06))
    radius = _radius(style, centre, directions, base, cover)
    if style.ears:
        radius = np.minimum(radius, shell)
    directions, triangles, (radius, base) = _refine(directions, triangles, (radius, base))
    places = centre + base[:, None] * directions
    fine = style.strand * strands(places, centre + [0, 0.35, -0.08], 9, 20, rng)
    fine = fine + np.sqrt(1 - style.strand**2) * relief(places, 9, 20, rng)
    coarse = relief(places, 40, 90, rng)
    thick = radius - base
    waves = smoothstep((thick - 0.003) / 0.025) * (style.relief * fine + style.lumps * coarse)
    radius = radius + np.maximum(waves, -0.6 * np.maximum(thick, 0))  # never down to the skin: no bare specks
    parts = [StarPart(centre, centre + radius[:, None] * directions, triangles)]
    for azimuth, elevation, size, sunk in style.buns:
        parts.append(_bun(centre, directions, radius, azimuth, elevation, size, sunk, rng))
    return tuple(parts)


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


def mesh_averaging(triangles: np.ndarray, count: int) -> csr_matrix:
    """Sparse (count, count) mean over the neighbours along edges."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    return (diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1.0)) @ graph).tocsr()


def _radius(style: HairStyle, centre, directions, base, cover) -> np.ndarray:
    """Radius (D,) of the hair without relief."""
    azimuth = np.degrees(np.arctan2(np.abs(cover[:, 0]), cover[:, 2] - CENTRE[2]))
    side = np.where(cover[:, 0] >= 0, 1.0, -1.0)
    line = PchipInterpolator(style.hairline[:, 0], style.hairline[:, 1])
    y = cover[:, 1]
    across = np.maximum(np.hypot(cover[:, 0], cover[:, 2] - CENTRE[2]), 0.05)
    slope = np.degrees(line.derivative()(azimuth)) / across  # dy per unit length around the head
    height = (y - line(azimuth)) / np.sqrt(1 + np.minimum(slope**2, 9.0))

    if style.wreath:
        brim = 0.34 - 0.1 * smoothstep((azimuth - 80) / 90) - y
        height = -0.03 * np.logaddexp(-height / 0.03, -0.7 * brim / 0.03)

    up = smoothstep((y - 0.18) / 0.3)
    behind = smoothstep((azimuth - 70) / 70)
    thick = up * style.top + (1 - up) * (behind * style.back + (1 - behind) * style.side)
    before = smoothstep((cover[:, 2] - CENTRE[2]) / 0.2)
    thick = thick + style.quiff * np.exp(-((azimuth / 38) ** 2)) * smoothstep((y - 0.3) / 0.12) * before
    if style.parting is not None:
        thick = thick * _parting(style.parting, cover, azimuth * side)
    edge = style.edge
    grown = np.where(height > 0, thick * (1 - np.exp(-np.maximum(height, 0) / edge)), 0.0)
    dive = np.minimum(height, 0.0)
    dive = np.maximum(thick, 0.012) / edge * dive - 0.1 * (dive / 0.04) ** 2
    radius = np.maximum(base + grown + dive, _FLOOR * base)
    if style.curtain is not None:
        radius = _with_curtain(style, centre, directions, base, radius)
    return radius


def _parting(start: float, cover: np.ndarray, signed_azimuth: np.ndarray) -> np.ndarray:
    """Factor (D,) on the thickness: a groove from the hairline back to the crown, one side fuller."""
    x0 = 0.4 * np.sin(np.radians(start))
    aside = (cover[:, 0] - x0) * np.sign(start if start else 1.0)
    over = smoothstep((cover[:, 1] - 0.28) / 0.1) * smoothstep((cover[:, 2] + 0.42) / 0.15)
    groove = 0.75 * np.exp(-((aside / 0.028) ** 2))
    fuller = 0.28 * np.tanh(-aside / 0.06)
    return 1 - over * groove + over * fuller


def _with_curtain(style: HairStyle, centre, directions, base, radius) -> np.ndarray:
    """Let the hair fall from where it is widest, down to the style's end."""
    azimuth = np.arctan2(directions[:, 0], directions[:, 2])
    sine = directions[:, 1]
    cosine = np.sqrt(np.maximum(1 - sine**2, 1e-9))
    belt = np.abs(sine - 0.02) < 0.15
    bins = np.linspace(-np.pi, np.pi, 49)
    middle = 0.5 * (bins[1:] + bins[:-1])
    at = np.clip(np.digitize(azimuth[belt], bins) - 1, 0, 47)
    reach = np.bincount(at, (radius * cosine)[belt], 48) / np.maximum(np.bincount(at, minlength=48), 1)
    reach = np.convolve(np.r_[reach[-3:], reach, reach[:3]], [1, 2, 3, 4, 3, 2, 1], "valid") / 16
    wide = np.interp(azimuth, np.r_[middle - 2 * np.pi, middle, middle + 2 * np.pi], np.tile(reach, 3))
    down = np.maximum(-sine, 1e-3)
    fall = centre[1] - style.curtain
    wall = wide / np.maximum(cosine - style.flare * wide * down / fall, 0.2)
    floor = fall / down
    blend = 0.04
    hung = -blend * np.logaddexp(-wall / blend, -floor / blend)
    corner = np.arctan2(fall, wide * (1 + style.flare))
    steep = np.arcsin(np.clip(-sine, -1, 1))
    # the rim's floor runs on inwards to the neck (else a narrow wedge of air stays between them), but never so steeply
    # that it would fill the mouth
    window = 1 - smoothstep((steep - np.maximum(corner, np.radians(62))) / np.radians(6))
    window *= smoothstep((0.28 - sine) / 0.26)
    reference = np.degrees(np.abs(azimuth))
    window *= smoothstep((reference - style.curtain_front) / 9.0)
    inner = np.minimum(radius, 0.8 * base)
    hung = window * hung + (1 - window) * inner
    soft = 0.02
    return soft * np.logaddexp(radius / soft, hung / soft)


def _refine(directions, triangles, fields):
    """Split the triangles that lie on the outside (radius near or over the skin), conforming; fields are averaged."""
    radius, base = fields[0], fields[1]
    outside = radius > base - 0.03
    split = outside[triangles].any(1)
    edges = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2), axis=2)  # (F, 3 edges, 2)
    code = edges[:, :, 0] * len(directions) + edges[:, :, 1]
    marked = np.unique(code[split])
    first, second = marked // len(directions), marked % len(directions)
    middle = directions[first] + directions[second]
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    grown = [np.concatenate([f, 0.5 * (f[first] + f[second])]) for f in fields]
    place = np.searchsorted(marked, code)
    place = np.where(marked[np.minimum(place, len(marked) - 1)] == code, place + len(directions), -1)
    kept = []
    for triangle, middles in zip(triangles[~split].tolist(), place[~split].tolist()):
        kept.extend(_split_some(triangle, middles))
    a, b, c = triangles[split].T
    ab, bc, ca = place[split].T
    quarter = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return np.concatenate([directions, middle]), np.concatenate([quarter, np.array(kept, dtype=np.int64)]), grown


def _split_some(triangle: list[int], middles: list[int]) -> list[list[int]]:
    """Split one triangle whose marked edges (middle >= 0 after corner k) are fewer than four cases."""
    polygon = []
    for corner, middle in zip(triangle, middles):
        polygon.append(corner)
        if middle >= 0:
            polygon.append(middle)
    if len(polygon) == 3:
        return [polygon]
    start = next(k for k, middle in enumerate(middles) if middle >= 0)
    hub = middles[start]
    at = polygon.index(hub)
    ring = polygon[at + 1 :] + polygon[:at]
    return [[hub, first, second] for first, second in zip(ring, ring[1:])]


def _bun(centre, directions, radius, azimuth, elevation, size, sunk, rng) -> StarPart:
    """A knot of hair: a flattened ball, wound, sunk into the volume."""
    azimuth, elevation = np.radians(azimuth), np.radians(elevation)
    out = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    surface = radius[np.argmax(directions @ out)]
    middle = centre + (surface + (0.8 - 2 * sunk) * size) * out
    ball, triangles = _sphere()
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
    name: str, sheet: Sheet, skin: np.ndarray, anchors: np.ndarray, rng: np.random.Generator
) -> tuple[StarPart, ...]:
    """Random hair of a class for a head (see `make_hair`)."""
    return make_hair(draw_style(name, rng), sheet, skin, anchors, rng)
