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
from scipy.spatial import cKDTree

from headfield import frames
from headfield.parametric.topology import vertex_normals
from headfield.synth.combing import LUMP_MM, WIDTHS_MM, Flow, flow, groove, ridges
from headfield.synth.hair_parts import StarPart
from headfield.synth.hairstyle import OVERLAID, HairStyle, draw_combed, draw_style
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

_END = 0.006
"""Length over which combed hair ends at its hairline, model units."""

_GIRTH = 0.33
"""Radius of the head where most of the hairline lies, model units."""


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
    if style.snug:
        base = _over_ears(skin, anchors, warp, centre, directions, triangles, base)
    if style.curtain is not None:  # falling hair ends well above the neck's cut
        neck = anchors[frames.anchor_indices(["throat", "neck_side_left", "neck_side_right"]), 1].mean()
        style = replace(style, curtain=max(style.curtain, neck + 0.06))
    if style.combing is not None:
        directions, triangles, radius = _combed(style, centre, directions, triangles, base, shell, cover, rng)
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
    directions, triangles, (radius, base) = _refine(directions, triangles, (radius, base))
    places = centre + base[:, None] * directions
    fine = style.strand * strands(places, centre + [0, 0.35, -0.08], 9, 20, rng)
    fine = fine + np.sqrt(1 - style.strand**2) * relief(places, 9, 20, rng)
    coarse = relief(places, 40, 90, rng)
    thick = radius - base
    waves = smoothstep((thick - 0.003) / 0.025) * (style.relief * fine + style.lumps * coarse)
    return directions, triangles, radius + np.maximum(waves, -0.6 * np.maximum(thick, 0))  # never down to the skin


def _combed(style, centre, directions, triangles, base, shell, cover, rng):
    """Directions, triangles and radius of truth v2's hair: ridges along its flow, which end at the hairline."""
    combing = style.combing
    edge = _edge_distance(style, cover)
    coarse = _radius(style, centre, directions, base, cover, edge)
    fields = (coarse, base, *cover.T, np.minimum(shell, 9.0), edge)
    directions, triangles, (_, base, *cover, shell, edge) = _refine(directions, triangles, fields)
    cover = np.stack(cover, axis=1)  # the hairline is sharper than the first sphere: the radius is made again
    stray = np.zeros(len(base))
    if style.ragged:
        stray = ridges(flow(combing, cover, directions, rng), WIDTHS_MM[:1], rng)[0]
    radius = _radius(style, centre, directions, base, cover, edge, stray)
    if style.ears:
        radius = np.minimum(radius, shell)
    if not style.relief:
        return directions, triangles, radius
    thick = radius - base
    places = cover + np.maximum(thick, 0)[:, None] * directions
    normals = vertex_normals(centre + radius[:, None] * directions, triangles)
    lie = flow(combing, places, normals, rng)
    waves = _locks(style, lie, places, rng) * smoothstep(thick / max(0.04, 8 * style.relief))
    if combing.parted:
        waves = waves * (1 - groove(combing, cover)[0])
    return directions, triangles, radius + np.maximum(waves, -0.6 * np.maximum(thick, 0))


def _locks(style: HairStyle, lie: Flow, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Relief (N,) of combed hair, model units: tresses, locks and strands, here stronger, there weaker."""
    tress, lock, fine = ridges(lie, (LUMP_MM, *WIDTHS_MM), rng)
    strength = np.clip(1 + 0.35 * relief(places, 60, 120, rng, 16), 0.3, 1.7)
    combed = style.relief * strength * (0.85 * lock + 0.5 * fine) + style.lumps * tress
    if style.strand:
        return combed
    return style.relief * relief(places, 12, 25, rng) + style.lumps * relief(places, 40, 90, rng)  # curls


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


def _over_ears(skin, anchors, warp, centre, directions, triangles, base) -> np.ndarray:
    """Radius (D,) of what is drawn tight over head and ears: the smoothest that no ear sticks out of."""
    near = np.flatnonzero(np.abs(skin[:, 0]) > 0.5 * np.abs(anchors[:, 0]).max())
    aside = (warp(skin[near]) - EAR_CENTRE)[:, 1:] / EAR_RADII[1:]
    ear = near[(aside**2).sum(1) < 1.8]
    away = skin[ear] - centre
    reach = np.linalg.norm(away, axis=1)
    _, at = cKDTree(directions).query(away / reach[:, None])
    held = base.copy()
    np.maximum.at(held, at, reach)
    corners = held[triangles].max(1)  # no triangle may cut the ear between its corners
    for k in range(3):
        np.maximum.at(held, triangles[:, k], np.where(corners > base[triangles].max(1), corners, 0.0))
    neighbours = mesh_averaging(triangles, len(directions))
    held = np.where(held > base, held + 0.006, base)  # room for what the last turns take off
    drawn = held.copy()
    for turn in range(80):
        drawn = 0.5 * drawn + 0.5 * (neighbours @ drawn)
        if turn < 70:
            drawn = np.maximum(held, drawn)
    return np.maximum(drawn, base)


def mesh_averaging(triangles: np.ndarray, count: int) -> csr_matrix:
    """Sparse (count, count) mean over the neighbours along edges."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    return (diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1.0)) @ graph).tocsr()


def _azimuth(cover: np.ndarray) -> np.ndarray:
    """Unsigned azimuth (D,) of places (D, 3) on the reference head, degrees."""
    return np.degrees(np.arctan2(np.abs(cover[:, 0]), cover[:, 2] - CENTRE[2]))


def _radius(style: HairStyle, centre, directions, base, cover, edge_distance=None, stray=0.0) -> np.ndarray:
    """Radius (D,) of the hair without relief. Combed hair asks for the signed distance (D,) from its hairline, which
    strays with a noise (D,) of unit variance."""
    azimuth = _azimuth(cover)
    side = np.where(cover[:, 0] >= 0, 1.0, -1.0)
    line = PchipInterpolator(style.hairline[:, 0], style.hairline[:, 1])
    y = cover[:, 1]
    across = np.maximum(np.hypot(cover[:, 0], cover[:, 2] - CENTRE[2]), 0.05)
    slope = np.degrees(line.derivative()(azimuth)) / across  # dy per unit length around the head
    height = (y - line(azimuth)) / np.sqrt(1 + np.minimum(slope**2, 9.0))
    if edge_distance is not None:
        height = edge_distance + style.ragged * stray

    if style.wreath:
        brim = 0.34 - 0.1 * smoothstep((azimuth - 80) / 90) - y
        height = -0.03 * np.logaddexp(-height / 0.03, -0.7 * brim / 0.03)

    up = smoothstep((y - 0.18) / 0.3)
    behind = smoothstep((azimuth - 70) / 70)
    thick = up * style.top + (1 - up) * (behind * style.back + (1 - behind) * style.side)
    before = smoothstep((cover[:, 2] - CENTRE[2]) / 0.2)
    thick = thick + style.quiff * np.exp(-((azimuth / 38) ** 2)) * smoothstep((y - 0.3) / 0.12) * before
    if style.combing is not None:
        return _tapered(style, centre, directions, base, cover, height, thick, stray)
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


def _edge_distance(style: HairStyle, cover: np.ndarray) -> np.ndarray:
    """Signed distance (D,) of places (D, 3) from the hairline on the head's unrolled side, positive above: where the
    line is steep, the height above it alone overrates the distance."""
    line = PchipInterpolator(style.hairline[:, 0], style.hairline[:, 1])
    along = np.linspace(0, 180, 1500)
    way = np.cumsum(np.hypot(np.gradient(line(along), along), np.radians(_GIRTH)))
    along = np.interp(np.linspace(way[0], way[-1], 2500), way, along)  # evenly along the line itself
    samples = np.stack([_GIRTH * np.radians(along), line(along)], axis=1)
    azimuth = _azimuth(cover)
    distance, _ = cKDTree(samples).query(np.stack([_GIRTH * np.radians(azimuth), cover[:, 1]], axis=1))
    return np.copysign(distance, cover[:, 1] - line(azimuth))


def _tapered(style: HairStyle, centre, directions, base, cover, height, thick, stray) -> np.ndarray:
    """Radius (D,) of combed hair: thin at the hairline, from where it grows over its taper, or rises from its roots."""
    if style.combing.parted:
        deep, aside = groove(style.combing, cover)
        fuller = smoothstep((cover[:, 1] - 0.28) / 0.1) * smoothstep((cover[:, 2] + 0.42) / 0.15)
        lean = np.sign(style.combing.start[0]) * np.tanh(aside / 0.06)
        thick = thick * (1 - 0.85 * deep) * (1 + 0.2 * fuller * lean)
    if style.taper:  # hair that lies on the forehead is thin
        low = smoothstep((0.46 - cover[:, 1]) / 0.2) * smoothstep(cover[:, 2] / 0.12)
        thick = thick * (1 - 0.45 * low)
    above = np.maximum(height, 0)
    end = 1 - np.exp(-above / _END)
    if style.taper:
        grown = smoothstep(above / style.taper)
    else:
        grown = 1 - np.exp(-above / np.maximum(style.edge, 0.8 * thick))
    tip = np.minimum(style.tip, thick)
    grown = tip * end + (thick - tip) * grown
    dive = np.minimum(height, 0.0)
    dive = np.maximum(tip / _END, 0.4) * dive - 0.1 * (dive / 0.04) ** 2
    radius = np.maximum(base + grown + dive, _FLOOR * base)
    if style.curtain is not None:
        radius = _with_curtain(style, centre, directions, base, radius, 1.5 * style.ragged * stray, 22.0)
    return radius


def _parting(start: float, cover: np.ndarray, signed_azimuth: np.ndarray) -> np.ndarray:
    """Factor (D,) on the thickness: a groove from the hairline back to the crown, one side fuller."""
    x0 = 0.4 * np.sin(np.radians(start))
    aside = (cover[:, 0] - x0) * np.sign(start if start else 1.0)
    over = smoothstep((cover[:, 1] - 0.28) / 0.1) * smoothstep((cover[:, 2] + 0.42) / 0.15)
    groove = 0.75 * np.exp(-((aside / 0.028) ** 2))
    fuller = 0.28 * np.tanh(-aside / 0.06)
    return 1 - over * groove + over * fuller


def _with_curtain(style: HairStyle, centre, directions, base, radius, hem=0.0, ramp=9.0) -> np.ndarray:
    """Let the hair fall from where it is widest, down to the style's end, which strays by `hem` (D,); it begins in
    front over a `ramp` in degrees."""
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
    fall = centre[1] - style.curtain + hem
    spread = down if style.combing is None else np.maximum(-sine, 0) ** 2 / (np.maximum(-sine, 0) + 0.2)  # no crease
    wall = wide / np.maximum(cosine - style.flare * wide * spread / fall, 0.2)
    floor = fall / down
    blend = 0.04
    hung = -blend * np.logaddexp(-wall / blend, -floor / blend)
    corner = np.arctan2(fall, wide * (1 + style.flare))
    steep = np.arcsin(np.clip(-sine, -1, 1))
    # the rim's floor runs on inwards to the neck (else a narrow wedge of air stays between them), but never so steeply
    # that it would fill the mouth
    window = 1 - smoothstep((steep - np.maximum(corner, np.radians(62))) / np.radians(6))
    window *= smoothstep((0.28 - sine) / 0.26) if style.combing is None else smoothstep((0.45 - sine) / 0.43)
    reference = np.degrees(np.abs(azimuth))
    window *= smoothstep((reference - style.curtain_front) / ramp)
    inner = np.minimum(radius, 0.8 * base)
    hung = window * hung + (1 - window) * inner
    soft = 0.02
    if style.combing is not None:
        hung = hung - soft * np.log(2)  # where it leaves the head it is no thicker, or a ledge shows
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
    name: str, sheet: Sheet, skin: np.ndarray, anchors: np.ndarray, rng: np.random.Generator, combed: bool = False
) -> tuple[StarPart, ...]:
    """Random hair of a class for a head (see `make_hair`); `combed` for that of truth v2."""
    style = (draw_combed if combed else draw_style)(name, rng)
    return make_hair(style, sheet, skin, anchors, rng)
