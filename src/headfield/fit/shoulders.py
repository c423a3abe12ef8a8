"""Shoulders, collars and cloth in a scan: what rises beside the neck above its cut and is no part of the head.

Heads end at a plane through the throat, but shoulders seen from behind rise up to 60 mm above it. A code that is asked
to explain them bends the neck, and they would stay in the completed head as a rag. They are told by how their surface
lies: it looks up, where that of the neck looks sideways and that of the jaw and of hair down. The nape of a head that
was cut flares out as well, but there the surface ends, where shoulders go on.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headfield.fit.mean_field import MeanField
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import thinnest

TOP = 0.27
"""Shoulders are looked for up to this height over the mean head's neck cut (model units, 68 mm)."""

LEAN = 0.5
"""Cosine between a surface's normal and that of the neck's cut above which it is taken for the body's."""

NEAR = 0.1
"""So near the mean head (25 mm) its gradient tells the outer side of a surface; farther away either side counts."""

BELOW, WIDE, SHARE = 0.06, 0.45, 0.03
"""There are shoulders when so large a share of the points down here leans and lies so far below the cut or so far to a
side (15 mm, 113 mm): of heads that were cut it is less than a hundredth, with shoulders a fifth."""

BESIDE = 0.024
"""Whatever lies within this distance of the body (6 mm) is of the fold between it and the neck."""

LINK = 0.04
"""What leans is the body's only if it hangs together, over gaps of up to this length (10 mm), with what lies far below
the cut or far to a side: the upper side of a chin, or of a beard, leans as well."""

SECTORS = 24
"""The fold's height is found in so many directions round the neck."""

_NEIGHBOURS = 24


def on_body(points: np.ndarray, field: MeanField) -> np.ndarray:
    """Which points of a scan are shoulders or clothes near the neck.

    Args:
        points: (N, 3) scan points around the head, model frame (roughly: 10 mm and some degrees are no matter).
        field: The mean head.
    Returns:
        (N,) bool.
    """
    placed = np.asarray(points, dtype=float)
    height = placed @ field.cut[:3] + field.cut[3]
    body = np.zeros(len(placed), dtype=bool)
    low = np.flatnonzero(height < TOP)
    if len(low) <= _NEIGHBOURS:
        return body
    band = placed[low]
    near = PointTree(band).query(band, k=_NEIGHBOURS)[1]
    leans = _lean(band, near, field) > LEAN
    far = (height[low] < -BELOW) | (np.abs(band[:, 0]) > WIDE)
    if (leans & far).mean() < SHARE:
        return body
    leans = leans[near].mean(1) > 0.5  # one fold of cloth, or one wrinkle of skin, counts for nothing
    leans[leans] = _linked(band[leans], far[leans])
    if leans.any():
        close = PointTree(band[leans]).query(band)[0] < BESIDE
        body[low] = close | (height[low] < _fold(band, height[low], leans, field))
    return body


def _linked(points: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Which points (N,) hang together with some that are far."""
    if not far.any():
        return far
    _, cell = np.unique(np.floor(points / (0.5 * LINK)).astype(np.int64), axis=0, return_inverse=True)
    cell = cell.ravel()
    count = np.bincount(cell)
    centres = np.stack([np.bincount(cell, points[:, axis]) / count for axis in range(3)], axis=1)
    pairs = PointTree(centres).query_pairs(LINK, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(count), len(count)))
    piece = connected_components(graph, directed=False)[1][cell]
    return np.isin(piece, np.unique(piece[far]))


def _fold(band: np.ndarray, height: np.ndarray, leans: np.ndarray, field: MeanField) -> np.ndarray:
    """Height (N,) up to which the body reaches on a point's side of the neck; below it, there is no neck to be seen."""
    axis = field.surface[np.abs(field.surface @ field.cut[:3] + field.cut[3]) < 0.1].mean(0)
    turn = np.arctan2(band[:, 0] - axis[0], band[:, 2] - axis[2]) / (2.0 * np.pi) + 0.5
    sector = np.floor(turn * SECTORS).astype(int) % SECTORS
    top = np.full(SECTORS, -np.inf)
    for one in range(SECTORS):
        own = height[leans & (sector == one)]
        if len(own) > _NEIGHBOURS:
            top[one] = np.percentile(own, 90)
    return top[sector]


def _lean(band: np.ndarray, near: np.ndarray, field: MeanField) -> np.ndarray:
    """How much the surface through the neighbours (N, K) of points (N, 3) looks up: the cosine (N,)."""
    normal = thinnest(band[near])
    value, gradient = field.lookup(torch.from_numpy(band.astype(np.float32)))
    up = normal @ field.cut[:3]
    side = np.sign((normal * gradient.numpy()).sum(1))
    return np.where(value.numpy() < NEAR, side * up, np.abs(up))
