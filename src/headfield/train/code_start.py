"""Where the identity codes start: principal components of a shape descriptor that needs no common topology.

An auto-decoder started at random codes spends most of its time sorting heads. Here each head is described by its
offsets from a reference head, measured along the reference's normals at fixed places, and by its anchors; the
principal components of these descriptors are the first codes. Training is free to move them.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from headfield import frames
from headfield.io.quantise import dequantise, dequantise_normals

PLACES = 1500
"""Number of places on the reference head where offsets are measured."""


def shape_descriptor(points: np.ndarray, anchors: np.ndarray, places: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Describe one neutral head.

    Args:
        points: (N, 3) its surface points, model units.
        anchors: (39, 3) its anchors.
        places, normals: (M, 3) places on the reference head and its normals there.
    Returns:
        (M + 117,) mean offset along the normal of the 4 nearest surface points, and anchor coordinates.
    """
    _, nearest = cKDTree(points).query(places, k=4)
    offset = ((points[nearest].mean(1) - places) * normals).sum(-1)
    return np.concatenate([offset, anchors.ravel()])


def starting_codes(arrays: list[dict], box: np.ndarray, identity: int, mirror: bool, seed: int) -> np.ndarray:
    """First codes (n or 2 n, D) of the heads in `arrays` (see :class:`headfield.train.batches.Batches`).

    The scores keep their own spread, so strong directions are long and weak ones short, as in a linear model; the
    mean squared length of a code is 1. A little noise fills directions that few heads leave empty.
    """
    reference = dequantise(arrays[0]["points"][0, :PLACES], box)
    normals = dequantise_normals(arrays[0]["normals"][0, :PLACES])
    rows = []
    for head in arrays:
        points = dequantise(head["points"][0, :8192], box)
        rows.append(shape_descriptor(points, head["anchors"], reference, normals))
    if mirror:
        for head in arrays:
            points = frames.mirror_points(dequantise(head["points"][0, :8192], box))
            anchors = frames.mirror_points(head["anchors"])[frames.MIRROR_PART]
            rows.append(shape_descriptor(points, anchors, reference, normals))
    table = np.stack(rows)
    table -= table.mean(0)
    u, singular, _ = np.linalg.svd(table, full_matrices=False)
    kept = min(identity, len(singular))
    scores = np.zeros((len(table), identity))
    scores[:, :kept] = u[:, :kept] * singular[:kept]
    scores /= np.sqrt((scores**2).sum(1).mean()) + 1e-12
    return scores + 0.002 * np.random.default_rng([seed, 1]).standard_normal(scores.shape)


def random_codes(count: int, identity: int, seed: int) -> torch.Tensor:
    """Codes (count, D) drawn from N(0, 0.01 / D), as NPHM's published code begins (the papers do not say)."""
    draws = torch.Generator().manual_seed(seed)
    return 0.1 / identity**0.5 * torch.randn(count, identity, generator=draws)
