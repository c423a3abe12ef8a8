"""Things that are no head, each made by a function from a random generator: triangles in metres, y up.

Most are about as large as a head, so that their size does not give them away. See :mod:`headfield.synth.non_heads`.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from headfield.synth.shapes import (
    box,
    cone,
    ellipsoid,
    meshed,
    revolved,
    ring,
    rough,
    shell,
    turned,
    union,
    within,
    without,
)
from headfield.types import Mesh

Random = np.random.Generator


def _tilt(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return Rotation.from_euler("xyz", [x, y, z], degrees=True).as_matrix()


def ball(rng: Random) -> Mesh:
    """A ball of 85 to 110 mm radius."""
    radius = rng.uniform(0.085, 0.11)
    return meshed(ellipsoid((0, 0, 0), (radius,) * 3), (-0.12,) * 3, (0.12,) * 3)


def egg(rng: Random) -> Mesh:
    """An ellipsoid of a head's three radii."""
    return meshed(ellipsoid((0, 0, 0), rng.uniform(0.9, 1.1, 3) * [0.075, 0.115, 0.095]), (-0.13,) * 3, (0.13,) * 3)


def vase(rng: Random) -> Mesh:
    """A hollow body of revolution with a belly and a lip."""
    wide = rng.uniform(0.06, 0.1, 2)
    outer = revolved([0, 0.05, 0.14, 0.22, 0.27], [0.05, wide[0], wide[1], 0.04, 0.06])
    inner = revolved([0.02, 0.05, 0.14, 0.22, 0.28], [0.04, wide[0] - 0.01, wide[1] - 0.01, 0.03, 0.05])
    return meshed(without(outer, inner), (-0.12, 0, -0.12), (0.12, 0.28, 0.12))


def cup(rng: Random) -> Mesh:
    """A beaker with a handle, three times as large as life."""
    wide = rng.uniform(0.08, 0.1)
    wall = without(revolved([0, 0.2], [0.9 * wide, wide]), revolved([0.012, 0.21], [0.9 * wide - 0.01, wide - 0.01]))
    handle = without(ring((wide + 0.02, 0.1, 0), 0.055, 0.013), box((0, 0.1, 0), (0.9 * wide, 0.1, 0.1)))
    return meshed(union(wall, handle), (-0.12, 0, -0.12), (0.2, 0.2, 0.12))


def bowl(rng: Random) -> Mesh:
    """Half a hollow ball."""
    radius = rng.uniform(0.09, 0.12)
    half = within(shell(ellipsoid((0, 0, 0), (radius,) * 3), 0.008), box((0, -0.1, 0), (0.2, 0.1, 0.2)))
    return meshed(half, (-0.13,) * 3, (0.13, 0.01, 0.13))


def parcel(rng: Random) -> Mesh:
    """A box with rounded edges."""
    return meshed(box((0, 0, 0), rng.uniform(0.06, 0.13, 3), 0.008), (-0.14,) * 3, (0.14,) * 3)


def bottle(rng: Random) -> Mesh:
    """A bottle with shoulders and a neck."""
    wide = rng.uniform(0.05, 0.08)
    return meshed(
        revolved([0, 0.02, 0.2, 0.26, 0.34, 0.36], [0.9 * wide, wide, wide, 0.022, 0.02, 0.025]),
        (-0.1, 0, -0.1), (0.1, 0.36, 0.1),
    )  # fmt: skip


def helmet(rng: Random) -> Mesh:
    """A motorcycle helmet with an opened visor."""
    wall = shell(ellipsoid((0, 0, 0), (0.125, 0.13, 0.15)), rng.uniform(0.012, 0.03))
    opening = ellipsoid((0, 0.01, 0.13), (0.1, 0.04, 0.1))
    return meshed(without(wall, opening, box((0, -0.2, 0), (0.3, 0.1, 0.3))), (-0.15,) * 3, (0.15, 0.15, 0.17))


def chair(rng: Random) -> Mesh:
    """A chair with four legs and a back."""
    legs = [box((x, 0.2, z), (0.02, 0.22, 0.02)) for x in (-0.2, 0.2) for z in (-0.2, 0.2)]
    back = [
        box((0, 0.7, -0.2), (0.22, rng.uniform(0.1, 0.2), 0.015), 0.01), box((0, 0.43, 0), (0.22, 0.02, 0.22), 0.01)
    ]  # fmt: skip
    posts = [box((x, 0.65, -0.2), (0.015, 0.25, 0.015)) for x in (-0.2, 0.2)]
    return meshed(union(*legs, *back, *posts), (-0.25, 0, -0.25), (0.25, 0.95, 0.25), 110)


def table(rng: Random) -> Mesh:
    """A table with things on it."""
    legs = [box((x, 0.35, z), (0.03, 0.36, 0.03)) for x in (-0.5, 0.5) for z in (-0.3, 0.3)]
    things = [
        ellipsoid((*rng.uniform(-0.4, 0.4, 1), 0.78, *rng.uniform(-0.25, 0.25, 1)), rng.uniform(0.04, 0.1, 3))
        for _ in range(4)
    ]
    return meshed(union(box((0, 0.72, 0), (0.6, 0.02, 0.4)), *legs, *things), (-0.65, 0, -0.45), (0.65, 0.9, 0.45), 110)


def _sheet(height: np.ndarray, width: float) -> Mesh:
    """A height field (n, n) as triangles over a square of a width."""
    n = len(height)
    x, z = np.meshgrid(np.linspace(-width / 2, width / 2, n), np.linspace(-width / 2, width / 2, n), indexing="ij")
    vertices = np.stack([x, height, z], axis=-1).reshape(-1, 3)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    return Mesh(
        vertices,
        np.concatenate([
            np.stack([corner, corner + 1, corner + n], 1), np.stack([corner + 1, corner + n + 1, corner + n], 1)
        ]),
    )  # fmt: skip


def terrain(rng: Random) -> Mesh:
    """Hills: noise of all lengths, 300 mm wide like a model of a landscape."""
    height = sum(s * gaussian_filter(rng.standard_normal((140, 140)), s) for s in (2.0, 4.0, 8.0, 16.0, 24.0))
    return _sheet(0.05 * height / np.abs(height).max(), 0.3)


def crumpled(rng: Random) -> Mesh:
    """Crumpled paper: creases of random directions, thrown into a ball's half."""
    n = 140
    x, z = np.meshgrid(np.linspace(-0.12, 0.12, n), np.linspace(-0.12, 0.12, n), indexing="ij")
    height = np.sqrt(np.maximum(0.14**2 - x**2 - z**2, 1e-4))
    for _ in range(40):
        direction, shift = rng.standard_normal(2), rng.uniform(-0.1, 0.1)
        away = (direction[0] * x + direction[1] * z) / np.linalg.norm(direction) - shift
        height += rng.normal(0, 0.05) * np.abs(away) * np.exp(-np.abs(away) / 0.03)
    return _sheet(gaussian_filter(height, 1.0), 0.24)


def text(rng: Random) -> Mesh:
    """Letters in relief on a plate."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (160, 160))
    word = "".join(rng.choice(list("ABEGHKMNPRSXZ"), 4))
    drawing = ImageDraw.Draw(image)
    drawing.text((80, 48), word[:2], fill=255, font=ImageFont.load_default(70), anchor="mm")
    drawing.text((80, 114), word[2:], fill=255, font=ImageFont.load_default(70), anchor="mm")
    return _sheet(0.02 * gaussian_filter(np.asarray(image, float) / 255, 0.8), 0.22)


def plant(rng: Random) -> Mesh:
    """A pot with leaves on stems."""
    parts = [revolved([0, 0.1], [0.045, 0.06])]
    for angle in rng.uniform(0, 2 * np.pi, 12):
        lean, high = rng.uniform(0.04, 0.13), rng.uniform(0.16, 0.3)
        tip = np.array([lean * np.cos(angle), high, lean * np.sin(angle)])
        leaf = turned(ellipsoid(tip, (0.035, 0.004, 0.02)), _tilt(*rng.uniform(-60, 60, 3)), tip)
        parts += [cone((0, 0.1, 0), tip, 0.004), leaf]
    return meshed(union(*parts), (-0.19, 0, -0.19), (0.19, 0.35, 0.19), 120)


def car(rng: Random) -> Mesh:
    """A toy car."""
    body = union(
        box((0, 0.05, 0), (0.06, 0.025, 0.15), 0.015), box((0, 0.09, rng.uniform(-0.03, 0)), (0.05, 0.03, 0.07), 0.02),
        melt=0.004,
    )  # fmt: skip
    wheels = [
        within(ellipsoid((x, 0.03, z), (0.2, 0.03, 0.03)), box((x, 0.03, z), (0.012, 0.05, 0.05)))
        for x in (-0.058, 0.058)
        for z in (-0.09, 0.09)
    ]
    return meshed(union(body, *wheels), (-0.08, -0.01, -0.17), (0.08, 0.14, 0.17), 110)


def stairs(rng: Random) -> Mesh:
    """Steps between two walls."""
    count = int(rng.integers(5, 9))
    rises = 0.1 * np.arange(count) / count
    steps = [box((0, rise, 2 * rise - 0.1), (0.1, rise + 0.02, 0.1 / count)) for rise in rises]
    wall = box((0.11, 0.1, 0), (0.01, 0.13, 0.12))
    return meshed(union(*steps, wall), (-0.12, -0.05, -0.13), (0.13, 0.25, 0.13), 110)


def room(rng: Random) -> Mesh:
    """The inside of a corridor with a door and a pillar, like a model at 1 : 10."""
    hall = without(box((0, 0, 0), (0.16, 0.13, 0.2)), box((0, 0.01, 0.03), (0.14, 0.11, 0.21)))
    pillar = revolved([-0.1, 0.12], [0.02, 0.02])
    door = box((0.15, -0.03, rng.uniform(-0.1, 0.1)), (0.04, 0.07, 0.03))
    return meshed(without(union(hall, pillar), door), (-0.18, -0.15, -0.21), (0.18, 0.15, 0.21), 110)


def noise(rng: Random) -> Mesh:
    """Points all over a cube; no triangles."""
    return Mesh(rng.uniform(-0.13, 0.13, (8000, 3)), np.zeros((0, 3), np.int64))


def blobs(rng: Random) -> Mesh:
    """A heap of melted balls."""
    parts = [ellipsoid(rng.normal(0, 0.05, 3), rng.uniform(0.02, 0.07, 3)) for _ in range(14)]
    return meshed(union(*parts, melt=0.008), (-0.22,) * 3, (0.22,) * 3, 100)


def gear(rng: Random) -> Mesh:
    """A cogwheel."""
    count = int(rng.integers(9, 16))

    def value(p: np.ndarray) -> np.ndarray:
        radius, angle = np.hypot(p[:, 0], p[:, 1]), np.arctan2(p[:, 1], p[:, 0])
        rim = radius - 0.1 - 0.012 * np.tanh(4 * np.sin(count * angle))
        return np.maximum.reduce([rim, np.abs(p[:, 2]) - 0.025, 0.03 - radius])

    return meshed(value, (-0.12, -0.12, -0.03), (0.12, 0.12, 0.03), 110)


def pipes(rng: Random) -> Mesh:
    """Pipes with corners and flanges."""
    at, parts = np.zeros(3), []
    for _ in range(9):
        there = at.copy()
        there[rng.integers(3)] += rng.choice([-1, 1]) * rng.uniform(0.06, 0.12)
        there = np.clip(there, -0.13, 0.13)
        parts += [cone(at, there, 0.016), ellipsoid(there, (0.024,) * 3)]
        at = there
    return meshed(union(*parts), (-0.16,) * 3, (0.16,) * 3, 100)


def teapot(rng: Random) -> Mesh:
    """A belly, a lid with a knob, a spout and a handle."""
    wide = rng.uniform(0.9, 1.1)
    parts = [
        ellipsoid((0, 0, 0), (0.085 * wide, 0.07, 0.085 * wide)), ellipsoid((0, 0.06, 0), (0.045, 0.02, 0.045)),
        ellipsoid((0, 0.085, 0), (0.012,) * 3), cone((0.07, -0.02, 0), (0.14, 0.06, 0), 0.024, 0.01),
        ring((-0.09, 0.01, 0), 0.042, 0.01),
    ]  # fmt: skip
    return meshed(union(*parts, melt=0.003), (-0.16, -0.09, -0.11), (0.17, 0.11, 0.11), 110)


def shoe(rng: Random) -> Mesh:
    """A shoe with a heel and an opening."""
    upper = union(
        cone((0, 0.02, -0.06), (0, 0.0, 0.08), 0.04, 0.03), ellipsoid((0, -0.005, 0.08), (0.045, 0.03, 0.05)),
        cone((0, 0.03, -0.07), (0, 0.08, -0.075), 0.04, 0.038), melt=0.008,
    )  # fmt: skip
    hollow = cone((0, 0.05, -0.07), (0, 0.14, -0.075), 0.03, 0.031)
    sole = box((0, -0.035, 0.0), (0.045, 0.008, 0.13), 0.006)
    return meshed(
        union(without(upper, hollow), sole, box((0, -0.05, -0.08), (0.035, rng.uniform(0.01, 0.03), 0.03))),
        (-0.08, -0.09, -0.15), (0.08, 0.13, 0.15), 110,
    )  # fmt: skip


def stone(rng: Random) -> Mesh:
    """A pebble of a head's size with bumps and hollows."""
    egg_like = ellipsoid((0, 0, 0), rng.uniform(0.07, 0.12, 3))
    return meshed(rough(egg_like, rng, rng.uniform(0.003, 0.008), rng.uniform(0.05, 0.12)), (-0.15,) * 3, (0.15,) * 3)
