"""A rig without data: an egg with a jaw, a neck and two expressions; small enough for every test."""

from __future__ import annotations

import numpy as np
from trimesh.creation import icosphere

from headfield.parametric.rig import HeadRig


def toy_rig(subdivisions: int = 3, canonical_jaw: float = 0.2) -> HeadRig:
    """An ellipsoid of a head's size whose lower front turns with the jaw; the upper part with the neck."""
    ball = icosphere(subdivisions=subdivisions)
    directions = np.array(ball.vertices)
    vertices = directions * [0.35, 0.5, 0.42] + [0.0, 0.05, -0.1]
    low = 1.0 / (1.0 + np.exp((vertices[:, 1] + 0.15) / 0.04)) / (1.0 + np.exp(-(vertices[:, 2]) / 0.05))
    up = 1.0 / (1.0 + np.exp(-(vertices[:, 1] + 0.3) / 0.05))
    weights = np.stack([1.0 - up, up * (1.0 - low), up * low], axis=1)
    weights /= weights.sum(1, keepdims=True)
    shapes = np.zeros((len(vertices), 2, 3))
    shapes[:, 0, 0] = (
        0.06 * np.tanh(vertices[:, 0] / 0.1) * np.exp(-(((vertices - [0.0, -0.1, 0.25]) / 0.2) ** 2).sum(1))
    )
    shapes[:, 1, 1] = 0.08 * np.exp(-(((vertices - [0.0, 0.25, 0.25]) / 0.2) ** 2).sum(1))
    correctives = np.zeros((len(vertices), 18, 3))
    correctives[:, 14, 2] = 0.05 * low
    canonical = np.zeros((3, 3))
    canonical[2, 0] = canonical_jaw
    return HeadRig(
        channels=("smile", "brow"),
        joints=("root", "neck", "jaw"),
        parents=np.array([-1, 0, 1]),
        places=np.array([[0.0, -0.4, -0.1], [0.0, -0.2, -0.2], [0.0, -0.05, -0.05]]),
        canonical=canonical,
        vertices=vertices,
        triangles=np.array(ball.faces, dtype=np.int64),
        shapes=shapes,
        correctives=correctives,
        weights=weights,
    )


def toy_frames(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Expressions (F, 2) and poses (F, 3, 3)."""
    rng = np.random.default_rng(seed)
    poses = np.zeros((count, 3, 3))
    poses[:, 1] = rng.uniform(-0.3, 0.3, (count, 3))
    poses[:, 2, 0] = rng.uniform(0.0, 0.5, count)
    return rng.uniform(0.0, 1.0, (count, 2)), poses
