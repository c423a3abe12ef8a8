"""Truth v2's hair on the sphere of directions: thin at its hairline, parted, ridged along its strands; tight caps."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator

from headfield.errors import present
from headfield.neighbours import PointTree
from headfield.parametric.topology import vertex_normals
from headfield.synth.combing import LUMP_MM, WIDTHS_MM, Flow, flow, groove, ridges
from headfield.synth.hair_shape import (
    EAR_CENTRE,
    EAR_RADII,
    FLOOR,
    azimuth_of,
    below_the_top,
    full_thickness,
    hairline,
    with_curtain,
)
from headfield.synth.hair_sphere import mesh_averaging, refine
from headfield.synth.hairstyle import HairStyle
from headfield.synth.noise import relief, smoothstep

_END = 0.006
"""Length over which combed hair ends at its hairline, model units."""

_GIRTH = 0.33
"""Radius of the head where most of the hairline lies, model units."""


def combed(
    style: HairStyle, centre: np.ndarray, directions: np.ndarray, triangles: np.ndarray, base: np.ndarray,
    shell: np.ndarray, cover: np.ndarray, rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Combed hair, finer than the sphere that it is asked for.

    Args:
        style: What to make.
        centre: (3,) of the head's sphere, model frame.
        directions, triangles: The sphere (D, 3), (F, 3).
        base: (D,) radius of the head without ears.
        shell: (D,) radius that leaves the ears free.
        cover: (D, 3) places of that skin on the reference head.
        rng: For the relief.
    Returns:
        directions (E, 3), triangles (G, 3) and radius (E,).
    """
    combing, edge = present(style.combing, "a combing"), edge_distance(style, cover)
    coarse = radius_of(style, centre, directions, base, cover, edge)
    fields = (coarse, base, *cover.T, np.minimum(shell, 9.0), edge)
    directions, triangles, (_, base, *places, shell, edge) = refine(directions, triangles, fields)
    cover = np.stack(places, axis=1)  # the hairline is sharper than the first sphere: the radius is made again
    stray = np.zeros(len(base))
    if style.ragged:
        stray = ridges(flow(combing, cover, directions, rng), WIDTHS_MM[:1], rng)[0]
    radius = radius_of(style, centre, directions, base, cover, edge, stray)
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


def radius_of(
    style: HairStyle, centre: np.ndarray, directions: np.ndarray, base: np.ndarray, cover: np.ndarray,
    edge: np.ndarray, stray: np.ndarray | float = 0.0,
) -> np.ndarray:  # fmt: skip
    """Radius (D,) of combed hair without ridges: thin at the hairline, from where it grows over its taper, or rises
    from its roots.

    Args:
        style, centre, directions, base, cover: See :func:`combed`.
        edge: (D,) signed distance from the hairline (:func:`edge_distance`).
        stray: (D,) noise of unit variance with which the hairline strays.
    """
    combing, height = present(style.combing, "a combing"), edge + style.ragged * stray
    if style.wreath:
        height = below_the_top(height, cover)
    thick = full_thickness(style, cover)
    if combing.parted:
        deep, aside = groove(combing, cover)
        fuller = smoothstep((cover[:, 1] - 0.28) / 0.1) * smoothstep((cover[:, 2] + 0.42) / 0.15)
        lean = np.sign(combing.start[0]) * np.tanh(aside / 0.06)
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
    radius = np.maximum(base + grown + dive, FLOOR * base)
    if style.curtain is not None:
        radius = with_curtain(style, centre, directions, base, radius, 1.5 * style.ragged * stray, 22.0)
    return radius


def edge_distance(style: HairStyle, cover: np.ndarray) -> np.ndarray:
    """Signed distance (D,) of places (D, 3) from the hairline on the head's unrolled side, positive above: where the
    line is steep, the height above it alone overrates the distance."""
    line = hairline(style)
    along = np.linspace(0, 180, 1500)
    way = np.cumsum(np.hypot(np.gradient(line(along), along), np.radians(_GIRTH)))
    along = np.interp(np.linspace(way[0], way[-1], 2500), way, along)  # evenly along the line itself
    samples = np.stack([_GIRTH * np.radians(along), line(along)], axis=1)
    azimuth = azimuth_of(cover)
    distance, _ = PointTree(samples).query(np.stack([_GIRTH * np.radians(azimuth), cover[:, 1]], axis=1))
    return np.copysign(distance, cover[:, 1] - line(azimuth))


def _locks(style: HairStyle, lie: Flow, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Relief (N,) of combed hair, model units: tresses, locks and strands, here stronger, there weaker."""
    tress, lock, fine = ridges(lie, (LUMP_MM, *WIDTHS_MM), rng)
    strength = np.clip(1 + 0.35 * relief(places, 60, 120, rng, 16), 0.3, 1.7)
    combed = style.relief * strength * (0.85 * lock + 0.5 * fine) + style.lumps * tress
    if style.strand:
        return combed
    return style.relief * relief(places, 12, 25, rng) + style.lumps * relief(places, 40, 90, rng)  # curls


def over_ears(
    skin: np.ndarray, anchors: np.ndarray, warp: RBFInterpolator, centre: np.ndarray, directions: np.ndarray,
    triangles: np.ndarray, base: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Radius (D,) of what is drawn tight over head and ears: smooth, and no ear sticks out of it.

    Args:
        skin, anchors: (V, 3) and (39, 3) of the head, model frame.
        warp: From there to the reference head.
        centre, directions, triangles, base: See :func:`combed`.
    """
    near = np.flatnonzero(np.abs(skin[:, 0]) > 0.5 * np.abs(anchors[:, 0]).max())
    aside = (warp(skin[near]) - EAR_CENTRE)[:, 1:] / EAR_RADII[1:]
    ear = near[(aside**2).sum(1) < 1.8]
    away = skin[ear] - centre
    reach = np.linalg.norm(away, axis=1)
    _, at = PointTree(directions).query(away / reach[:, None])
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
