"""The scan as a distance grid: what the search asks whether the mean head's surface was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class ScanField:
    """Unsigned distance to the nearest scan point on a grid.

    Attributes:
        grid: (1, 1, Z, Y, X) float32, scan units.
        lower: (3,) first corner.
        upper: (3,) last corner.
    """

    grid: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor

    def lookup(self, points: torch.Tensor) -> torch.Tensor:
        """Distance (...,) of points (..., 3) to the scan, trilinear; beyond the grid the way to it is added."""
        unit = (points - self.lower) * (2.0 / (self.upper - self.lower)) - 1.0
        sampled = torch.nn.functional.grid_sample(
            self.grid, unit.reshape(1, -1, 1, 1, 3), mode="bilinear", padding_mode="border", align_corners=True
        ).reshape(points.shape[:-1])
        return sampled + (points - points.clamp(self.lower, self.upper)).norm(dim=-1)


def build_scan_field(points: np.ndarray, resolution: int = 72) -> ScanField:
    """Distance grid of a cloud (P, 3); exact near the points, a distance transform elsewhere."""
    low, high = points.min(0), points.max(0)
    step = float((high - low).max()) / (resolution - 5)
    low = low - 2 * step
    shape = np.ceil((high - low) / step).astype(int) + 3
    cells = np.round((points - low) / step).astype(int)
    empty = np.ones(shape, dtype=bool)
    empty[tuple(cells.T)] = False
    distance = distance_transform_edt(empty).astype(np.float32) * step
    near = distance < 1.8 * step
    where = np.argwhere(near) * step + low
    distance[near] = cKDTree(points).query(where)[0]
    return ScanField(
        torch.from_numpy(np.ascontiguousarray(distance.transpose(2, 1, 0))[None, None]),
        torch.from_numpy(low.astype(np.float32)),
        torch.from_numpy((low + step * (shape - 1)).astype(np.float32)),
    )
