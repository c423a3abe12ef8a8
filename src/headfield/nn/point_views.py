"""Small pictures of point clouds: depth, normals and mask as seen along many directions, without any mesh.

A view is given by points in its *window frame*: x to the right, y up, z towards the camera, the window from -1 to 1.
Nearby points hide those behind them; gaps between points are filled from coarser levels of a pyramid (push-pull,
Grossman and Dally 1998), so that 1,200 points and 100,000 give alike pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

CHANNELS = 6
"""Of a picture: the normal (3), depth about its mean, what is surface, and where points were seen."""

_HIDING = ((12, 0.45), (24, 0.25))
"""A point is hidden when another one in its cell (of so many across) stands so much nearer to the camera (window
units): more than a slope within a cell makes, less than what is between the two sides of a head."""

_FRONT = 6.0
"""Of what is left in a pixel the nearer points count more: their share grows e-fold every sixth of a window unit."""

_STEEPEST = 4.0
"""Slopes of the surface are cut here (76 degrees): beyond are jumps of depth."""


def window_of(points: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Middle (3,) and half width of the window that shows a whole cloud (N, 3), strays left out."""
    middle = points.median(0).values
    reach = (points - middle).norm(dim=1)
    return middle, max(float(torch.quantile(reach, 0.97)) * 1.05, 1e-12)


@dataclass(frozen=True)
class PointViews:
    """Pictures of V views.

    Attributes:
        pictures: (V, 6, S, S), rows from the top.
        places: (V, 3, S/2, S/2) window coordinates of the surface in each cell of 2 x 2 pixels.
        surface: (V, S/2, S/2) bool, cells that hold surface.
        attributes: (V, A, S/2, S/2) means of the points' own attributes over each cell, 0 where none was seen.
        seen: (V, S/2, S/2) bool, cells in which a point was seen.
    """

    pictures: torch.Tensor
    places: torch.Tensor
    surface: torch.Tensor
    attributes: torch.Tensor
    seen: torch.Tensor

    def take(self, index: torch.Tensor) -> PointViews:
        """The views at an index."""
        return PointViews(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def quarter_turns(self) -> PointViews:
        """The views (4 V: all unturned, then all turned by 90, 180, 270 degrees counter-clockwise in the picture)."""
        turned: list[PointViews] = [self]
        for _ in range(3):
            turned.append(turned[-1]._quarter_turn())
        return PointViews(*(torch.cat([getattr(one, name) for one in turned]) for name in self.__dataclass_fields__))

    def _quarter_turn(self) -> PointViews:
        pictures, places = (torch.rot90(maps, 1, (2, 3)) for maps in (self.pictures, self.places))
        return PointViews(
            torch.cat([-pictures[:, 1:2], pictures[:, :1], pictures[:, 2:]], 1),
            torch.cat([-places[:, 1:2], places[:, :1], places[:, 2:]], 1),
            torch.rot90(self.surface, 1, (1, 2)),
            torch.rot90(self.attributes, 1, (2, 3)),
            torch.rot90(self.seen, 1, (1, 2)),
        )


def view_points(points: torch.Tensor, size: int, attributes: torch.Tensor | None = None) -> PointViews:
    """Pictures of clouds in their window frames.

    Args:
        points: (V, N, 3) float32; those outside the window are not seen.
        size: Pixels S along a side, a multiple of 8.
        attributes: (V, N, A) numbers that points carry, or None.
    """
    views = len(points)
    height = points[..., 2]
    visible = (points[..., :2].abs() < 1.0).all(-1)
    nearest = height
    for cells, depth in _HIDING:
        cell = _cells(points, cells)
        front = torch.full((views, cells * cells), -1e9)
        front.scatter_reduce_(1, cell, torch.where(visible, height, -1e9), "amax")
        nearest = front.gather(1, cell)
        visible = visible & (height > nearest - depth)
    weight = visible * (_FRONT * (height - nearest).clamp(max=0.0)).exp()
    pixel = _cells(points, size)
    total = torch.zeros(views, size * size).scatter_add_(1, pixel, weight)
    depth = torch.zeros(views, size * size).scatter_add_(1, pixel, weight * height) / total.clamp(min=1e-9)
    seen = (total > 0).float().view(views, 1, size, size)
    depth, surface = _fill(depth.view(views, 1, size, size) * seen, seen)
    pictures = _pictures(depth, surface, seen)
    half = size // 2
    share = functional.avg_pool2d(surface, 2)
    place = functional.avg_pool2d(depth * surface, 2) / share.clamp(min=1e-6)
    grid = (torch.arange(half) + 0.5) / half * 2 - 1
    across = grid[None, :].expand(half, half)
    places = torch.cat([across.expand(views, 1, half, half), -across.T.expand(views, 1, half, half), place], 1)
    carried, found = _carried(points, weight, attributes, half)
    return PointViews(pictures, places, share[:, 0] > 0.4, carried, found)


def _cells(points: torch.Tensor, count: int) -> torch.Tensor:
    """Flat cell index (V, N) of points on a grid of `count` across, the first row at the top."""
    column = ((points[..., 0] + 1) * (0.5 * count)).long().clamp(0, count - 1)
    row = ((1 - points[..., 1]) * (0.5 * count)).long().clamp(0, count - 1)
    return row * count + column


def _fill(depth: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth and surface (V, 1, S, S) with the gaps between points filled from two coarser levels.

    What is filled beyond the outline is taken away again (a closing: grown by blocks, shrunk by two pixels).
    """
    levels = [(depth, seen)]
    for _ in range(2):
        value, mask = levels[-1]
        share = functional.avg_pool2d(mask, 2)
        levels.append((functional.avg_pool2d(value * mask, 2) / share.clamp(min=1e-6), (share > 0.2).float()))
    value, mask = levels.pop()
    while levels:
        finer, there = levels.pop()
        up = functional.interpolate(value * mask, scale_factor=2, mode="bilinear", align_corners=False)
        share = functional.interpolate(mask, scale_factor=2, mode="bilinear", align_corners=False)
        value = torch.where(there > 0, finer, up / share.clamp(min=1e-6))
        mask = torch.maximum(there, (share > 0.49).float())
    shrunk = -functional.max_pool2d(-mask, 5, 1, 2)
    mask = torch.maximum(seen, shrunk)
    return value * mask, mask


def _pictures(depth: torch.Tensor, surface: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """The six channels (V, 6, S, S) of a picture."""
    size = depth.shape[-1]
    count = surface.sum((2, 3), keepdim=True).clamp(min=1.0)
    mean = (depth * surface).sum((2, 3), keepdim=True) / count
    level = (depth - mean) * surface
    slopes = []
    for axis, sign in ((3, 1.0), (2, -1.0)):
        ahead, back = torch.roll(depth, -1, axis), torch.roll(depth, 1, axis)
        has_ahead, has_back = torch.roll(surface, -1, axis), torch.roll(surface, 1, axis)
        step = (ahead - depth) * has_ahead + (depth - back) * has_back
        slope = step / (has_ahead + has_back).clamp(min=1.0) * (0.5 * size)
        slopes.append((sign * slope).clamp(-_STEEPEST, _STEEPEST))
    normal = torch.cat([-slopes[0], -slopes[1], torch.ones_like(depth)], 1)
    normal = normal / normal.norm(dim=1, keepdim=True) * surface
    return torch.cat([normal, level, surface, seen], 1)


def _carried(
    points: torch.Tensor, weight: torch.Tensor, attributes: torch.Tensor | None, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted means (V, A, size, size) of attributes over cells, and where there are any."""
    views = len(points)
    cell = _cells(points, size)
    total = torch.zeros(views, size * size).scatter_add_(1, cell, weight)
    found = (total > 0).view(views, size, size)
    if attributes is None:
        return torch.zeros(views, 0, size, size), found
    count = attributes.shape[-1]
    index = cell[..., None].expand(-1, -1, count)
    summed = torch.zeros(views, size * size, count).scatter_add_(1, index, weight[..., None] * attributes)
    means = summed / total.clamp(min=1e-9)[..., None]
    return means.transpose(1, 2).reshape(views, count, size, size), found
