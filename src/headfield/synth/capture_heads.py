"""Captures of whole heads: closed eyes, busts, photogrammetry, and the one side that a depth camera sees."""

from __future__ import annotations

import numpy as np

from headfield.frames import anchor_indices
from headfield.synth.capture_surface import (
    ALIEN,
    NECK_CAP,
    VERY_FAR_MM,
    Body,
    Shown,
    Surface,
    blended,
    box_around,
    ears_of,
    eyes_and_lips,
    meshed,
    mixed,
    scalp,
)
from headfield.synth.noise import relief, smoothstep, strands
from headfield.synth.occlusion import Occluder
from headfield.synth.scanner import torso
from headfield.synth.sitter import Sitter
from headfield.synth.volume import Volume


def closed(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A whole head with closed eyes; ears filled or coarse; the scalp shaved, or under a tight cap."""
    sigma, there = float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.5, 1.0))
    filled, capped = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    body = Body.of(sitter)
    head = sitter.mm_per_unit * sitter.vertices
    coarse, bridge = float(rng.uniform(2.0, 3.0)), float(rng.uniform(5.0, 8.0))
    volume = body.volume(box_around(head, 10.0), 1.7, coarse)
    smooth = blended(volume, sigma, eyes_and_lips(sitter), there)
    ears = ears_of(sitter)
    if filled:
        bridged = volume.closed(bridge).smoothed(1.5)
        smooth = mixed(smooth, bridged.values, ears)
    else:
        smooth = mixed(smooth, volume.smoothed(coarse).values, ears)
    surface = meshed(body, smooth, reach=VERY_FAR_MM)
    surface = surface.kept(~surface.neck & (surface.home[:, 1] > rng.uniform(-0.55, -0.40)))
    above = scalp(surface.home)
    if capped:
        surface = surface.moved(_cap(surface.home, above, rng))
    else:
        stubble = rng.uniform(0.05, 0.25) * rng.standard_normal(len(above)) + 0.15 * relief(surface.home, 4, 10, rng)
        surface = surface.moved(stubble * smoothstep(above / 0.05))
    surface = surface.moved(0.08 * rng.standard_normal(len(surface.vertices)))
    how = (("ears", "filled" if filled else "coarse"), ("scalp", "cap" if capped else "shaved"))
    return Shown(surface, sigma, there, scalp_bare=True, how=how)


def _cap(home: np.ndarray, above: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thickness (N,) mm of a tight cap: cloth of a millimetre or two, a rim, some folds, stretched over the hair."""
    edge = smoothstep((above + 0.02 * relief(home, 60, 200, rng) + rng.uniform(0.0, 0.04)) / 0.012)
    rim = np.exp(-(((above - 0.02) / 0.012) ** 2))
    folds = np.maximum(relief(home * [1.0, 0.35, 1.0], 12, 40, rng, 12) - 1.2, 0)
    return edge * (rng.uniform(0.6, 1.6) + 0.5 * rim + 0.5 * folds + 0.4 * relief(home, 30, 90, rng))


def clean(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """The head itself, as its family makes it: what reading can reach when nothing is in the way."""
    body = Body.of(sitter, membrane=False)
    shown = body.triangles[body.seen & (body.kind != NECK_CAP)]
    surface = body.surface(body.vertices, shown).kept(np.ones(len(body.vertices), dtype=bool), largest=False)
    return Shown(surface, 0.0, 0.0, gaze_visible=True, scalp_bare=True)


def bust(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A sculpted head: blank or cut eyes, hair as relief, a nose or an ear broken off, a chest cut to a base."""
    sigma, there = float(rng.uniform(0.7, 1.8)), float(rng.uniform(0.5, 1.2))
    cut, base = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    body = blank_eyed(Body.of(sitter), sitter)
    if base:
        body = body.with_part(*_chest(sitter, rng), ALIEN)
    volume = body.volume(box_around(body.vertices, 6.0), 1.9, max(sigma, there))
    volume = blended(volume, sigma, eyes_and_lips(sitter), there)
    broken = str(rng.choice(["nothing", "nose", "ear", "chin"], p=[0.4, 0.3, 0.2, 0.1]))
    if broken != "nothing":
        volume = _broken(volume, broken, sitter, rng)
    surface = meshed(body, volume, reach=VERY_FAR_MM)
    gone = np.linalg.norm(surface.foot - surface.vertices, axis=1) > 1.0 + 1.5 * sigma
    above = np.where(surface.alien, -1.0, scalp(surface.home))
    grown = smoothstep((above + 0.02 * relief(surface.home, 40, 120, rng)) / 0.03)
    locks = strands(surface.home, np.array([0.0, 0.5, -0.2]), 10, 24, rng) + relief(surface.home, 12, 40, rng)
    surface = surface.moved(grown * np.maximum(rng.uniform(3.0, 8.0) + 1.2 * locks, 0.5))
    if cut:
        surface = surface.moved(_cut_pupils(surface, sitter))
    surface = surface.moved(0.10 * relief(surface.vertices / 250, 3, 12, rng))
    surface = surface.marked(alien=surface.alien | gone, hair=surface.hair | (grown > 0.2))
    how = (("eyes", "cut" if cut else "blank"), ("broken", broken), ("base", base))
    return Shown(surface, sigma, there, how=how)


def blank_eyed(body: Body, sitter: Sitter) -> Body:
    """The body with eyeballs that are plain spheres."""
    vertices = body.vertices.copy()
    for eye in sitter.eyes:
        centre, radius = sitter.mm_per_unit * eye.centre, sitter.mm_per_unit * eye.radius
        away = vertices[eye.vertices] - centre
        distance = np.linalg.norm(away, axis=1, keepdims=True)
        vertices[eye.vertices] = centre + away * np.minimum(1.0, radius / distance)
    return body.posed(vertices)


def _cut_pupils(surface: Surface, sitter: Sitter) -> np.ndarray:
    """Depth (N,) mm of pupils drilled into the eyeballs, with a rim for the iris."""
    depth = np.zeros(len(surface.vertices))
    for eye in sitter.eyes:
        offset = surface.vertices - sitter.mm_per_unit * eye.centre
        aside = np.hypot(offset[:, 0], offset[:, 1])
        on = surface.eye & (offset[:, 2] > 0)
        depth -= on * (2.0 * smoothstep((3.2 - aside) / 1.2) + 0.7 * np.exp(-(((aside - 5.5) / 0.9) ** 2)))
    return depth


def _chest(sitter: Sitter, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A chest as busts have it, cut below (vertices mm, triangles)."""
    mm = sitter.mm_per_unit
    neck = sitter.vertices[sitter.cap_vertices()].mean(0) * mm + [0.0, 20.0, 0.0]
    vertices, triangles = torso(1e-3 * neck, mm / 250.0, rng)
    vertices = 1e3 * vertices
    vertices[:, 1] = np.maximum(vertices[:, 1], neck[1] - rng.uniform(60, 120))
    vertices[:, 0] = neck[0] + 0.8 * (vertices[:, 0] - neck[0])
    return vertices, triangles


def _broken(volume: Volume, what: str, sitter: Sitter, rng: np.random.Generator) -> Volume:
    """The volume without what lies beyond a rough plane through the nose, an ear or the chin."""
    mm, side = sitter.mm_per_unit, float(rng.choice([-1.0, 1.0]))
    names = {"nose": "nose_tip", "chin": "chin", "ear": "ear_back_left" if side > 0 else "ear_back_right"}
    place = mm * sitter.moved_anchors[anchor_indices([names[what]])[0]]
    out = {"nose": [0.0, 0.1, 1.0], "chin": [0.0, -0.6, 1.0], "ear": [side, 0.0, 0.1]}[what]
    depth = {"nose": rng.uniform(6, 13), "chin": rng.uniform(3, 8), "ear": rng.uniform(-2, 4)}[what]
    out = np.array(out) / np.linalg.norm(out) + 0.15 * rng.standard_normal(3)
    places = volume.places()
    beyond = (places - (place - depth * out)) @ out
    beyond = beyond + 0.7 * relief(places.reshape(-1, 3) / 250, 4, 14, rng, 12).reshape(beyond.shape)
    reach = volume.near(place, 45.0 if what == "ear" else 32.0) > 0
    cut = np.where(reach, np.clip(beyond, -volume.clip, volume.clip), -volume.clip)
    return volume.with_values(np.maximum(volume.values, cut))


def photogrammetry(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """Many photographs fused: bumps, hair as a blob down over the brows, shoulders, a piece of the table."""
    sigma = float(rng.uniform(0.8, 1.6))
    body = Body.of(sitter).with_part(*_shoulders(sitter, rng), ALIEN)
    table = bool(rng.random() < 0.6)
    if table:
        body = body.with_part(*_table(body.vertices, rng), ALIEN)
    edge = float(rng.uniform(2.2, 3.0))
    surface = meshed(body, body.volume(box_around(body.vertices, 5.0), edge, sigma).smoothed(sigma), pieces=3)
    home = surface.home
    front = np.exp(-((home[:, 0] / 0.2) ** 2)) * smoothstep((home[:, 2] - 0.0) / 0.1)
    above = np.where(surface.alien, -1.0, scalp(home) + front * rng.uniform(0.0, 0.17))
    grown = smoothstep((above + 0.03 * relief(home, 30, 100, rng)) / 0.06)
    thick = np.maximum(rng.uniform(8.0, 22.0) + 5.0 * relief(home, 25, 90, rng), 2.0)
    surface = surface.moved(grown * thick)
    bumps = float(rng.uniform(0.5, 1.0))
    surface = surface.moved(bumps * relief(surface.vertices / 250, 10, 45, rng))
    surface = surface.marked(hair=surface.hair | (grown > 0.1))
    surface = surface.kept(~surface.neck & _torn(surface.vertices, rng), largest=False)
    how = (("bumps_mm", bumps), ("table", table), ("edge_mm", edge))
    return Shown(surface, sigma, sigma, how=how)


def _torn(vertices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vertices (N,) bool that were reconstructed: the bottom ends in rags, the back has holes."""
    low = vertices[:, 1].min() + rng.uniform(10, 30)
    keep = vertices[:, 1] + 8 * relief(vertices / 250, 15, 60, rng) > low
    for _ in range(int(rng.integers(0, 3))):
        back = np.flatnonzero(vertices[:, 2] < np.median(vertices[:, 2]))
        keep &= np.linalg.norm(vertices - vertices[rng.choice(back)], axis=1) > rng.uniform(8, 25)
    return keep


def _shoulders(sitter: Sitter, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shoulders and chest in cloth (vertices mm, triangles)."""
    neck = sitter.mm_per_unit * sitter.vertices[sitter.cap_vertices()].mean(0)
    vertices, triangles = torso(1e-3 * neck, sitter.mm_per_unit / 250.0, rng)
    return 1e3 * vertices, triangles


def _table(vertices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A slab that stands under or behind the shoulders (vertices mm, triangles)."""
    from trimesh.creation import box

    low = vertices.min(0)
    size = np.array([rng.uniform(150, 350), 14.0, rng.uniform(80, 200)])
    slab = box(extents=size).subdivide().subdivide().subdivide()
    middle = np.array([rng.uniform(-120, 120), low[1] + rng.uniform(20, 90), rng.uniform(60, 160)])
    return np.array(slab.vertices) + middle, np.array(slab.faces, dtype=np.int64)


def phone_depth(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """One depth picture of a phone: one side only, in steps of 1 to 3 mm, edges that fly between near and far."""
    step, spacing, sigma = float(rng.uniform(1.0, 3.0)), float(rng.uniform(1.4, 2.4)), float(rng.uniform(1.0, 2.0))
    body = Body.of(sitter)
    if rng.random() < 0.5:
        body = body.with_part(*_shoulders(sitter, rng), ALIEN)
    points, triangles = _depth_picture(body, sitter, spacing, sigma, step, rng)
    surface = body.surface(points, triangles)
    how = (("step_mm", step), ("spacing_mm", spacing))
    return Shown(surface, sigma, sigma, lids_visible=False, scalp_uncaptured=False, how=how)


def _depth_picture(body: Body, sitter: Sitter, spacing: float, sigma: float, step: float, rng) -> tuple:
    """Points (N, 3) mm and triangles of a depth picture from somewhere in front of the face."""
    from scipy import ndimage

    yaw, pitch = np.radians(rng.uniform(-40, 40)), np.radians(rng.uniform(-20, 20))
    out = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    side = np.cross([0.0, 1.0, 0.0], out)
    side /= np.linalg.norm(side)
    up = np.cross(out, side)
    target = sitter.mm_per_unit * sitter.anchors[anchor_indices(["nose_bridge"])[0]]
    away = rng.uniform(280, 450)
    eye = target + away * out
    half = 170.0
    ticks = np.arange(-half, half, spacing) / away
    x, y = np.meshgrid(ticks, -ticks)
    rays = -out + x[..., None] * side + y[..., None] * up
    shape = x.shape
    occluder = Occluder(body.vertices / 250, body.triangles[body.kind >= 0])
    flat = rays.reshape(-1, 3)
    _, depth = occluder.first_hit(np.broadcast_to(eye / 250, flat.shape), flat / 250)
    depth = depth.reshape(shape)
    seen = np.isfinite(depth) & (depth < 2 * away)
    filled = np.where(seen, depth, 0.0)
    weight = ndimage.gaussian_filter(seen.astype(float), sigma / spacing)
    depth = ndimage.gaussian_filter(filled, sigma / spacing) / np.maximum(weight, 1e-6)
    depth = depth + 0.25 * rng.standard_normal(shape) * step / 2
    depth = ndimage.gaussian_filter(step * np.rint(depth / step), 0.5)
    seen = ndimage.binary_erosion(seen | (weight > 0.45), iterations=1)
    points = eye + depth[..., None] * rays
    number = np.full(shape, -1)
    number[seen] = np.arange(seen.sum())
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    faces = faces[(faces >= 0).all(1)]
    points = points[seen]
    span = np.ptp(np.linalg.norm(points - eye, axis=1)[faces], axis=1)
    return points, faces[span < rng.uniform(8, 25)]
