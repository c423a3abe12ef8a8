"""The kinds of captures, each a function of a sitter: what it shows of a head, and how it blurs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.frames import ANCHOR_NAMES, anchor_indices
from headfield.synth.capture_surface import Skin, Surface, blended, box_around, in_mask, meshed, scalp
from headfield.synth.noise import relief, smoothstep
from headfield.synth.sitter import Sitter


@dataclass(frozen=True)
class Shown:
    """What a capture shows.

    Attributes:
        surface: Millimetres.
        sigma_mm: Standard deviation of the smoothing.
        sigma_eyes_mm: The same around eyes and lips.
        gaze_visible: Eyeballs with their corneas are there to be seen.
        lids_visible: Lids are: whether an eye is open can be seen.
        scalp_bare: A scalp without hair was captured.
        scalp_uncaptured: No scalp was captured.
        how: Further facts, plain values.
    """

    surface: Surface
    sigma_mm: float
    sigma_eyes_mm: float
    gaze_visible: bool = False
    lids_visible: bool = True
    scalp_bare: bool = False
    scalp_uncaptured: bool = False
    how: tuple[tuple[str, object], ...] = ()

    def facts(self) -> dict:
        """Everything but the surface."""
        return {
            "sigma_mm": self.sigma_mm,
            "sigma_eyes_mm": self.sigma_eyes_mm,
            "gaze_visible": self.gaze_visible,
            "lids_visible": self.lids_visible,
            "scalp_bare": self.scalp_bare,
            "scalp_uncaptured": self.scalp_uncaptured,
        } | dict(self.how)


def mask(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A face only, ragged at its rim, even triangles; sockets and lips smoothed over; an open mouth a hole or skin."""
    sigma, there = float(rng.uniform(0.5, 1.5)), float(rng.uniform(1.2, 3.0))
    edge, hole = float(rng.uniform(1.2, 2.2)), bool(rng.random() < 0.5)
    skin = Skin.of(sitter)
    face = sitter.mm_per_unit * sitter.vertices[in_mask(sitter.neutral, rng, 1.12)]
    volume = skin.volume(box_around(face, 8.0), edge, max(sigma, there))
    volume = blended(volume, sigma, eyes_and_lips(sitter), there)
    surface = meshed(skin, volume)
    keep = in_mask(surface.home, rng, rng.uniform(0.9, 1.04)) & ~surface.neck
    if hole and sitter.lips_open:
        keep &= ~surface.mouth
    surface = surface.kept(keep)
    surface = surface.moved(0.05 * rng.standard_normal(len(surface.vertices)))
    how = (("mouth", ("hole" if hole else "membrane") if sitter.lips_open else "as it is"), ("edge_mm", edge))
    return Shown(surface, sigma, there, lids_visible=there < 2.0, scalp_uncaptured=True, how=how)


def closed(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A whole head with closed eyes; ears filled or coarse; the scalp shaved, or under a tight cap."""
    sigma, there = float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.5, 1.0))
    filled, capped = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    skin = Skin.of(sitter)
    head = sitter.mm_per_unit * sitter.vertices
    coarse, bridge = float(rng.uniform(2.0, 3.0)), float(rng.uniform(5.0, 8.0))
    volume = skin.volume(box_around(head, 10.0), 1.7, coarse)
    smooth = blended(volume, sigma, eyes_and_lips(sitter), there)
    ears = ears_of(sitter)
    if filled:
        bridged = volume.closed(bridge).smoothed(1.5)
        smooth = mixed(smooth, bridged.values, ears)
    else:
        smooth = mixed(smooth, volume.smoothed(coarse).values, ears)
    surface = meshed(skin, smooth)
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


def average(sitter: Sitter, rng: np.random.Generator) -> Shown:
    """A face with its ears, as an average of many is: very smooth, cut behind the ears, rough at the rim."""
    sigma, there = float(rng.uniform(1.2, 2.6)), float(rng.uniform(0.8, 1.6))
    skin = Skin.of(sitter)
    head = sitter.mm_per_unit * sitter.vertices[sitter.neutral[:, 2] > -0.42]
    volume = skin.volume(box_around(head, 8.0), 1.6, max(sigma, there))
    surface = meshed(skin, blended(volume, sigma, eyes_and_lips(sitter), there))
    x, y, z = surface.home.T
    ragged = 0.012 * relief(surface.home, 10, 50, rng) + 0.004 * rng.standard_normal(len(z))
    back = -0.20 + rng.normal(0, 0.02) + 0.28 * np.clip(y - 0.08, 0, None) / 0.3
    keep = (z + ragged > back) & (y + ragged > -0.40 + 0.30 * np.clip(0.05 - z, 0, 0.2)) & (y + ragged < 0.45)
    surface = surface.kept(keep & ~surface.neck)
    rim = np.minimum(surface.home[:, 2] - back[keep & ~surface.neck][: len(surface.home)].min(), 0.05)
    rough = np.clip(1 - rim / 0.05, 0, 1) * 0.6 * rng.standard_normal(len(rim))
    surface = surface.moved(rough)
    return Shown(surface, sigma, there, scalp_uncaptured=True)


def eyes_and_lips(sitter: Sitter) -> list[tuple[np.ndarray, float]]:
    """Centres (3,) and radii, mm, of the places that smoothing hits hardest."""
    at, mm = sitter.moved_anchors, sitter.mm_per_unit
    places = []
    for side in ("left", "right"):
        inner, outer = at[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])]
        places.append((mm * (inner + outer) / 2, 26.0))
    lips = at[anchor_indices(["lower_lip", "upper_lip", "mouth_corner_left", "mouth_corner_right"])]
    places.append((mm * lips.mean(0), 34.0))
    return places


def ears_of(sitter: Sitter) -> list[tuple[np.ndarray, float]]:
    """Centres (3,) and radii, mm, of the ears."""
    at = sitter.anchors[[ANCHOR_NAMES.index(f"ear_back_{side}") for side in ("left", "right")]]
    return [(sitter.mm_per_unit * (ear + [0.0, -0.01, 0.05]), 48.0) for ear in at]


def mixed(volume, values: np.ndarray, places: list[tuple[np.ndarray, float]]):
    """The volume with other values (X, Y, Z) around some places."""
    weight = np.zeros(values.shape, dtype=np.float32)
    for centre, radius in places:
        weight = np.maximum(weight, smoothstep(2.5 * volume.near(centre, radius)))
    return volume.with_values(volume.values + weight * (values - volume.values))
