"""Beards and moustaches: the skin itself, pushed out along smoothed normals, so that they follow the jaw.

The thickness is a fixed number per vertex of one head: a posed head wears the same beard, and every point keeps its
place on the neutral head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.sparse import csr_matrix

from headfield.parametric.topology import vertex_normals
from headfield.synth.hair import reference_warp
from headfield.synth.hair_sphere import mesh_averaging
from headfield.synth.identities import frozen
from headfield.synth.noise import relief, smoothstep
from headfield.synth.sheet import Sheet

BEARD_CLASSES = ("none", "moustache", "full")

CHEEK_LINE = (
    (0, -0.25), (10, -0.25), (14, -0.21), (18, -0.165), (26, -0.145), (36, -0.135), (46, -0.1), (53, -0.02), (57, 0.03),
    (61, 0.0), (66, -0.12), (72, -0.2), (80, -0.4), (180, -0.6),
)  # fmt: skip
"""Upper edge of a full beard on the reference head: azimuth in degrees about the skull's axis, height y."""

LIPS = np.array([0.0, -0.203])
LIP_RADII = np.array([0.106, 0.048])
"""Half width and half height of the lips on the reference head, with a rim of bare skin."""

_AXIS_Z = -0.2
_JAW_CENTRE = np.array([0.0, -0.18, -0.02])


@dataclass(frozen=True)
class Beard:
    """A beard on one head.

    Attributes:
        thickness: (V,) model units, zero where there is none.
        outward: (n, 3) unit, away from the middle of the jaw, of the vertices that wear it.
        wearing: (n,) those vertices.
        triangles: (F, 3) of the skin.
        averaging: (V, V) mean over neighbours.
    """

    thickness: np.ndarray
    outward: np.ndarray
    wearing: np.ndarray
    triangles: np.ndarray
    averaging: csr_matrix

    def apply(self, vertices: np.ndarray) -> np.ndarray:
        """Put the beard on posed skin (V, 3), model frame; returns new vertices (V, 3)."""
        normals = vertex_normals(vertices, self.triangles)
        for _ in range(8):
            normals = self.averaging @ normals
        # leaning on the jaw's middle keeps the underside of the chin from running into the throat
        direction = normals[self.wearing] + 0.6 * self.outward
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        worn = np.array(vertices, dtype=float)
        worn[self.wearing] += self.thickness[self.wearing, None] * direction
        return worn


def draw_beard_class(rng: np.random.Generator, describe: dict, hair_class: str) -> str:
    """A beard class: only for those whom the family calls adult men, or says nothing of.

    Args:
        rng: Source of randomness.
        describe: What the family says (``age_years``, ``gender``: male or female), may be empty.
        hair_class: A bald head among those with hair or beard always wears a beard.
    """
    names, weights = zip(*frozen()["hair"]["beards"].items())
    weights = np.array(weights, dtype=float)
    if hair_class == "bald":
        weights[names.index("none")] = 0.0
    name = str(rng.choice(names, p=weights / weights.sum()))  # drawn always: same stream for all
    return name if may_wear_beard(describe, hair_class) else "none"


def may_wear_beard(describe: dict, hair_class: str) -> bool:
    """Whether a beard is plausible."""
    if hair_class in ("neck", "bun", "fringe") and not describe:
        return False  # an unknown person with long hair: more often a woman
    gender, years = describe.get("gender"), describe.get("age_years")
    return gender in (None, "male") and (years is None or years >= 18)


def make_beard(
    name: str, sheet: Sheet, skin: np.ndarray, anchors: np.ndarray, rng: np.random.Generator
) -> Beard | None:
    """A random beard of a class for a neutral head.

    Args:
        name: One of BEARD_CLASSES.
        sheet, skin: Topology and bare neutral vertices (V, 3), model frame.
        anchors: (39, 3) of that head.
        rng: Source of randomness.
    """
    if name == "none":
        return None
    low = anchors[:, 1].min() - 0.2
    near = np.flatnonzero((skin[:, 1] < 0.15) & (skin[:, 1] > low) & (skin[:, 2] > -0.25))
    place = np.full(skin.shape, 9.0)
    place[near] = reference_warp(anchors)(skin[near])
    shape = _moustache(place, rng, long=rng.uniform(0.15, 0.17) if name == "full" else rng.uniform(0.1, 0.14))
    if name == "full":
        shape = np.maximum(shape, _full(place, rng))
    interior = np.zeros(len(skin), dtype=bool)
    interior[sheet.triangles[sheet.bag]] = True
    averaging = mesh_averaging(sheet.triangles, len(skin))
    thickness = np.where(interior, 0.0, shape)
    for _ in range(3):
        thickness = np.where(interior, 0.0, 0.5 * thickness + 0.5 * (averaging @ thickness))
    cover = smoothstep((thickness - 0.004) / 0.02)
    waves = 0.004 * relief(skin, 8, 20, rng) + 0.05 * thickness * relief(skin, 30, 60, rng)
    thickness = thickness + np.maximum(cover * waves, -0.6 * thickness)
    thickness[thickness < 5e-4] = 0.0
    wearing = np.flatnonzero(thickness)
    outward = skin[wearing] - (_JAW_CENTRE + skin[near].mean(0) * [1, 0, 0])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    return Beard(thickness, outward, wearing, sheet.triangles, averaging)


def _lip_distance(place: np.ndarray) -> np.ndarray:
    """Distance from the lips' outline in units of their radii minus one: negative on the lips."""
    return np.linalg.norm((place[:, :2] - LIPS) / LIP_RADII, axis=1) - 1.0


def _moustache(place: np.ndarray, rng: np.random.Generator, long: float) -> np.ndarray:
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    thick = rng.uniform(0.018, 0.042)
    droop = rng.uniform(0.0, 0.05)
    middle = -0.138 - droop * (x / 0.12) ** 2
    half = 0.034
    across = 1 - smoothstep((np.abs(y - middle) / half - 0.35) / 0.65)
    along = 1 - smoothstep((x - 0.7 * long) / (0.3 * long))
    philtrum = 1 - 0.35 * np.exp(-((x / 0.018) ** 2))
    bare = smoothstep(_lip_distance(place) / 0.25)
    return thick * across * along * philtrum * bare * (z > 0.05)


def _full(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y, z = place.T
    azimuth = np.degrees(np.arctan2(np.abs(x), z - _AXIS_Z))
    line = PchipInterpolator(*np.array(CHEEK_LINE, dtype=float).T)
    lift = rng.normal(0, 0.012)
    below = line(azimuth) + lift - y
    cheek = rng.uniform(0.012, 0.03)
    chin = max(cheek, rng.uniform(0.02, 0.11))
    long = np.exp(-((x / 0.14) ** 2)) * smoothstep((-0.2 - y) / 0.13)
    thick = cheek + (chin - cheek) * long
    grown = 1 - np.exp(-np.maximum(below, 0) / 0.022)
    # under the jaw: ends on a line that rises from the throat towards the jaw's angle
    throat = 1 - smoothstep((-0.345 - 0.35 * np.minimum(z - 0.09, 0.0) - y) / 0.06 - 0.2)
    under = np.where(z < 0.09, throat, 1.0)
    around_mouth = smoothstep((_lip_distance(place) - 0.02) / 0.4)
    behind = 1 - smoothstep((azimuth - 62) / 12)
    return thick * grown * under * around_mouth * behind
