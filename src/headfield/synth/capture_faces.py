"""Captures of a face without its head: masks, averages, the mesh that phones record, a smile that shows teeth."""

from __future__ import annotations

import numpy as np

from headfield.errors import need
from headfield.frames import anchor_indices
from headfield.parametric.topology import directed_edges
from headfield.synth.capture_surface import (
    ALIEN,
    Body,
    Shown,
    Surface,
    blended,
    box_around,
    eyes_and_lips,
    in_mask,
    meshed,
)
from headfield.synth.noise import relief, smoothstep
from headfield.synth.sitter import Sitter

PHONE_VERTICES = 1220
"""Vertices of the face mesh that phones record."""

TEETH_MM = (8.5, 6.8, 7.6, 7.0, 7.0)
"""Widths of the upper teeth of one side, from the middle."""


def mask(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A face only, ragged at its rim, even triangles; sockets and lips smoothed over; an open mouth a hole or skin."""
    sigma, there = float(rng.uniform(0.5, 1.5)), float(rng.uniform(1.2, 3.0))
    edge, hole = float(rng.uniform(1.2, 2.2)), bool(rng.random() < 0.5)
    body = Body.of(sitter)
    face = sitter.mm_per_unit * sitter.vertices[in_mask(sitter.neutral, rng, 1.12)]
    volume = body.volume(box_around(face, 8.0), edge, max(sigma, there))
    volume = blended(volume, sigma, eyes_and_lips(sitter), there)
    surface = meshed(body, volume)
    keep = in_mask(surface.home, rng, rng.uniform(0.9, 1.04)) & ~surface.neck
    if hole and sitter.lips_open:
        keep &= ~surface.mouth
    surface = surface.kept(keep)
    surface = surface.moved(0.05 * rng.standard_normal(len(surface.vertices)))
    how = (("mouth", ("hole" if hole else "membrane") if sitter.lips_open else "as it is"), ("edge_mm", edge))
    return Shown(surface, sigma, there, lids_visible=there < 2.0, scalp_uncaptured=True, how=how)


def average(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A face with its ears, as an average of many is: very smooth, cut behind the ears, rough at the rim."""
    sigma, there = float(rng.uniform(1.2, 2.6)), float(rng.uniform(0.8, 1.6))
    body = Body.of(sitter)
    head = sitter.mm_per_unit * sitter.vertices[sitter.neutral[:, 2] > -0.42]
    volume = body.volume(box_around(head, 8.0), 1.6, max(sigma, there))
    surface = meshed(body, blended(volume, sigma, eyes_and_lips(sitter), there))
    inside = from_ear_to_ear(surface.home, rng)
    surface = surface.moved(0.6 * smoothstep(1 - inside / 0.06) * rng.standard_normal(len(inside)))
    surface = surface.kept((inside > 0) & ~surface.neck)
    return Shown(surface, sigma, there, gaze_visible=there < 1.0, scalp_uncaptured=True)


def from_ear_to_ear(home: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How far (N,) neutral places lie inside the face with its ears, model units: cut behind the ears, rising to the
    forehead's top, and under the chin."""
    x, y, z = home.T
    ragged = 0.012 * relief(home, 10, 50, rng) + 0.004 * rng.standard_normal(len(z))
    behind = z + 0.30 + rng.normal(0, 0.015) - 1.1 * np.clip(y - 0.10, 0, None)
    below = y + 0.36 - 0.45 * np.clip(0.12 - z, 0, 0.4)
    return np.minimum(behind, below) + ragged


def phone_mesh(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """The coarse face mesh that phones record: about 1,220 vertices, denser at eyes and mouth, which are holes."""
    sigma, there = float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.5, 0.9))
    body = Body.of(sitter)
    face = sitter.mm_per_unit * sitter.vertices[in_mask(sitter.neutral, rng, 1.1)]
    volume = body.volume(box_around(face, 8.0), 1.3, max(sigma, there))
    surface = meshed(body, blended(volume, sigma, eyes_and_lips(sitter), there))
    x, y, z = surface.home.T
    inside = (np.abs(x) / 0.275) ** 2.4 + (np.abs(y + 0.03) / 0.34) ** 2.4 < 1
    keep = inside & (z > -0.04) & ~surface.eye & ~surface.neck
    for eye in sitter.eyes:
        away = np.linalg.norm(surface.vertices / sitter.mm_per_unit - eye.centre, axis=1)
        keep &= away > eye.radius + 0.8 / sitter.mm_per_unit
    if sitter.lips_open:
        keep &= ~surface.mouth
    surface = coarse(body, with_smooth_rims(without_pinches(surface.kept(keep))), PHONE_VERTICES, eyes_and_lips(sitter))
    surface = surface.moved(0.15 * relief(surface.home, 20, 60, rng))
    return Shown(surface, sigma, there, scalp_uncaptured=True)


def coarse(body: Body, surface: Surface, count: int, places: list[tuple[np.ndarray, float]]) -> Surface:
    """The surface with about `count` vertices, more of them around some places (centre (3,), radius), mm."""
    igl = need("igl", "synth", "Decimating a mesh")
    blown = surface.vertices.copy()
    for centre, radius in places:
        offset = surface.vertices - centre
        blown += 1.2 * offset * np.exp(-(offset**2).sum(1, keepdims=True) / (2 * (0.7 * radius) ** 2))
    _, triangles, _, birth = igl.qslim(blown, np.ascontiguousarray(surface.triangles), 2 * count)
    return body.surface(surface.vertices[np.asarray(birth).ravel()], np.asarray(triangles, dtype=np.int64))


def with_smooth_rims(surface: Surface, rounds: int = 25) -> Surface:
    """The surface with rims that run smoothly, as a template's do."""
    edges, uses = np.unique(np.sort(directed_edges(surface.triangles), axis=1), axis=0, return_counts=True)
    rim = edges[uses == 1]
    vertices = surface.vertices.copy()
    for _ in range(rounds):
        total, number = np.zeros_like(vertices), np.zeros(len(vertices))
        for a, b in (rim.T, rim.T[::-1]):
            np.add.at(total, a, vertices[b])
            np.add.at(number, a, 1.0)
        on = number > 0
        vertices[on] = 0.5 * (vertices[on] + total[on] / number[on, None])
    return surface.moved(vertices - surface.vertices)


def without_pinches(surface: Surface) -> Surface:
    """The surface without vertices where two rims touch: what is left is a manifold with a border."""
    for _ in range(50):
        edges = np.sort(directed_edges(surface.triangles), axis=1)
        edges, uses = np.unique(edges, axis=0, return_counts=True)
        pinched = np.bincount(edges[uses == 1].ravel(), minlength=len(surface.vertices)) > 2
        if not pinched.any():
            break
        surface = surface.kept(~pinched)
    return surface


def smile(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A face with ears, an opened smile and a row of teeth behind its lips; eyes that look about."""
    sigma, there = float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.5, 0.8))
    body = Body.of(sitter, membrane=False)
    for vertices, triangles in teeth(sitter, rng):
        body = body.with_part(vertices, triangles, ALIEN)
    head = sitter.mm_per_unit * sitter.vertices[sitter.neutral[:, 2] > -0.3]
    volume = body.volume(box_around(head, 8.0), 1.35, max(sigma, there))
    surface = meshed(body, blended(volume, sigma, eyes_and_lips(sitter), there), pieces=2)
    deep = surface.mouth & (surface.home[:, 2] < 0.05)
    inside = surface.alien | ((from_ear_to_ear(surface.home, rng) > 0) & ~deep)
    surface = surface.kept(inside & ~surface.neck, largest=False)
    surface = surface.moved(0.06 * rng.standard_normal(len(surface.vertices)))
    return Shown(surface, sigma, there, gaze_visible=True, scalp_uncaptured=True, how=(("teeth", True),))


def teeth(sitter: Sitter, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both rows of teeth as closed parts (vertices mm, triangles), the lower one moved with the jaw."""
    from trimesh.creation import icosphere

    ball = icosphere(subdivisions=2)
    unit, faces = np.array(ball.vertices), np.array(ball.faces, dtype=np.int64)
    unit = np.sign(unit) * np.abs(unit) ** 0.55  # towards a box with round edges
    mm = sitter.mm_per_unit
    upper, lower = mm * sitter.anchors[anchor_indices(["upper_lip", "lower_lip"])]
    drop = mm * (sitter.moved_anchors - sitter.anchors)[anchor_indices(["chin"])[0]]
    seam = (upper + lower) / 2
    parts = []
    for top in (True, False):
        shift = np.zeros(3) if top else 0.9 * drop
        front = np.array([0.0, seam[1] + (-2.5 if top else -3.5), min(upper[2], lower[2]) - (6.5 if top else 10.5)])
        scale = 1.0 if top else 0.8
        x = 0.0
        for width in TEETH_MM:
            width *= scale
            middle, x = x + width / 2, x + width
            back = middle**2 / 34.0  # a parabola for the arch
            turn = np.arctan2(2 * middle / 34.0, 1.0)
            for side in (1.0, -1.0):
                half = np.array([0.51 * width, 7.5 if top else 4.0, 3.0])
                local = unit * half
                cos, sin = np.cos(side * turn), np.sin(side * turn)
                local = local @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
                centre = front + shift + [side * middle * np.cos(turn / 2), 7.3 if top else -4.0, -back]
                centre = centre + 0.25 * rng.standard_normal(3)
                parts.append((local + centre, faces))
    return parts
