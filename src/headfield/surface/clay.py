"""Light on clay, and the way from linear light to a picture on a pale backdrop.

Lights ride with the camera (key from the upper left, cool fill from the right, rim from behind), so every view is lit
alike.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from operator import add

import numpy as np

CLAY = np.array([0.54, 0.455, 0.395])
BACK_FACE = np.array([0.24, 0.32, 0.46])
_SIDE_LIGHTS = (  # direction towards the light in camera axes (right, up, towards the camera), linear colour, wrap
    (np.array([0.75, 0.15, 0.60]), np.array([0.30, 0.34, 0.40]), 0.5),
    (np.array([0.55, 0.65, -0.75]), np.array([0.50, 0.52, 0.55]), 0.0),
    (np.array([-0.80, 0.20, -0.60]), np.array([0.28, 0.27, 0.26]), 0.0),
)
KEY = np.array([-0.55, 0.65, 0.80]) / np.linalg.norm([-0.55, 0.65, 0.80])
"""(3,) unit direction towards the key light in camera axes."""

_KEY_COLOUR = np.array([1.12, 1.06, 0.97])
_SKY, _GROUND = np.array([0.42, 0.44, 0.47]), np.array([0.24, 0.22, 0.20])


def _to_linear(srgb: np.ndarray) -> np.ndarray:
    value = srgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_LINEAR = _to_linear(np.arange(256.0))


def linear(colours: np.ndarray) -> np.ndarray:
    """Linear light (N, 3) in 0..1 of sRGB colours (N, 3|4) uint8."""
    return _LINEAR[np.asarray(colours, dtype=np.uint8)[:, :3]]


def shade(
    normals: np.ndarray, albedo: np.ndarray, open_sky: np.ndarray | float, lit: np.ndarray | float, flat: float
) -> np.ndarray:
    """Linear colours (3, N) of clay.

    Args:
        normals: (3, N) unit, camera axes.
        albedo: (3, N) linear.
        open_sky, lit: Ambient openness and visibility of the key light, (N,) in 0..1, or one for all.
        flat: 0 full light .. 1 no light.
    """
    up = 0.5 + 0.5 * normals[1]
    light = _SKY[:, None] * up
    light += _GROUND[:, None] * (1 - up)
    light *= open_sky**1.2
    light += _KEY_COLOUR[:, None] * (np.clip((KEY @ normals + 0.08) / 1.08, 0, None) * lit)
    for direction, colour, wrap in _SIDE_LIGHTS:
        cosine = np.clip(((direction / np.linalg.norm(direction)) @ normals + wrap) / (1 + wrap), 0, None)
        light += colour[:, None] * (cosine * np.sqrt(cosine) * open_sky)
    if flat:
        light = (1 - flat) * light + flat * (0.75 + 0.25 * normals[2])
    light *= 0.86 * albedo
    half = KEY + np.array([0, 0, 1.0])
    light += (1 - flat) * 0.07 * lit * np.clip((half / np.linalg.norm(half)) @ normals, 0, None) ** 28
    return light


def _to_srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, None)
    bright = light > 0.8
    light[bright] = 0.8 + 0.2 * np.tanh((light[bright] - 0.8) / 0.2)  # soft shoulder, no clipping
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def _backdrop_light(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Linear light (3, ...) behind every subject at places of the canvas, -1 to 1 downwards and to the right."""
    fall = np.clip((x**2 + 0.8 * (y + 0.2) ** 2) / 2, 0, 1)
    near, far = np.array([0.93, 0.93, 0.925]), np.array([0.80, 0.80, 0.80])
    return (np.multiply.outer(near, 1 - fall) + np.multiply.outer(far, fall)) ** 2.2


@lru_cache(maxsize=1)
def _backdrop(height: int, width: int) -> np.ndarray:
    """sRGB (3, height, width) in 0..1 of an empty canvas; read only."""
    shown = _to_srgb(_backdrop_light(np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)))
    shown.flags.writeable = False
    return shown


def developed(
    light: np.ndarray, hit: np.ndarray, canvas: tuple[int, int], samples: int, fade: np.ndarray | None = None
) -> np.ndarray:
    """A picture of what was hit, before the backdrop.

    Args:
        light: (3, N) linear colours of the samples that were hit.
        hit: (N,) which those are, counted along the canvas's rows.
        canvas: (height, width) in samples.
        samples: Side of the square of samples that is averaged into a pixel.
        fade: (N,) share in 0..1 of the backdrop's light in theirs; None for none.
    Returns:
        (H, W, 3) uint8.
    """
    shown = _backdrop(*canvas).copy()
    if fade is not None:
        y, x = np.linspace(-1, 1, canvas[0])[hit // canvas[1]], np.linspace(-1, 1, canvas[1])[hit % canvas[1]]
        light = (1 - fade) * light + fade * _backdrop_light(y, x)
    for channel, values in zip(shown.reshape(3, -1), _to_srgb(light)):
        channel[hit] = values
    # averaging in display space keeps silhouettes against the light background crisp
    rows = reduce(add, (shown[:, number::samples] for number in range(samples)))
    total = reduce(add, (rows[:, :, number::samples] for number in range(samples)))
    return np.ascontiguousarray(np.moveaxis(np.round(255 / samples**2 * total).astype(np.uint8), 0, 2))


def smoothed(
    values: np.ndarray, depth: np.ndarray, mask: np.ndarray, known: np.ndarray, step: float, radius: int
) -> np.ndarray:
    """Image terms averaged over neighbours of similar depth, against the noise of few rays.

    Args:
        values: (T, H, W) the terms, of any value where they are not known.
        depth: (H, W).
        mask: (H, W) bool, where there is something; 1 elsewhere in the result.
        known: (H, W) bool, where the terms are known, within the mask; 1 where no similar neighbour's are.
        step: Depths that differ by less are similar.
        radius: Neighbours are so many samples away at most, along each axis.
    Returns:
        (T, H, W).
    """
    wide = ((radius, radius), (radius, radius))
    deep = np.pad(np.where(mask, depth, 1e9), wide, constant_values=1e9).astype(np.float32).ravel()
    given = [np.pad(np.where(known, term, 0).astype(np.float32), wide).ravel() for term in (*values, 1.0)]
    total = [term.copy() for term in given]
    width = depth.shape[1] + 2 * radius
    for dy in range(radius + 1):
        for dx in range(-radius if dy else 1, radius + 1):
            # rows lie one after the other, with room between them: a neighbour is so far along, and we from it
            away = dy * width + dx
            gap = np.subtract(deep[away:], deep[:-away])
            near = np.less(np.abs(gap, out=gap), step).astype(np.float32)
            for term, sum_ in zip(given, total):
                sum_[away:] += np.multiply(near, term[:-away], out=gap)
                sum_[:-away] += np.multiply(near, term[away:], out=gap)
    inner = (slice(radius, -radius),) * 2
    *total, weight = (sum_.reshape(-1, width)[inner] for sum_ in total)
    some = mask & (weight > 0)
    return np.where(some, np.stack(total) / np.where(some, weight, 1), 1)
