"""Normals as pictures: what synthetic videos keep of the truth, and what people look at."""

from __future__ import annotations

import numpy as np


def normal_colours(normals: np.ndarray) -> np.ndarray:
    """Normals (H, W, 3) as colours (H, W, 3) uint8: +x red, +y green, +z blue; NaN, where there is none, is white."""
    return np.round(255 * np.where(np.isfinite(normals), 0.5 + 0.5 * normals, 1.0)).astype(np.uint8)


def coloured_normals(colours: np.ndarray) -> np.ndarray:
    """The way back: unit normals (H, W, 3), NaN where a picture (H, W, 3) uint8 is white; about 0.2 degrees off."""
    found = colours[:, :, :3] / 127.5 - 1.0
    found[(colours[:, :, :3] == 255).all(2)] = np.nan
    return found / np.linalg.norm(found, axis=2, keepdims=True)
