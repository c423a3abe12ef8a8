"""Twice the resolution where a head is looked at: eyes, mouth and nostrils, joined to the rest without a crack.

Any set of cells of the grid may be fine: each is marched as eight cells of half the size, with the field's own values.
On the faces between fine and coarse cells the fine samples take the values that lie on straight lines between the
coarse ones. A surface then crosses such a face along a line of up to three pieces, between the very two places where
the coarse cell's surface crosses its edges; the coarse triangle is fanned to that line, so that both sides share all
vertices and edges. A face that is crossed twice could be joined in two ways: marching cubes decides by the saddle of
the bilinear function on it, which is the same on both sides.

Inside, the mesh is that of the dense grid of half the spacing with the same first sample; outside, that of the coarse
extraction (`tests/surface/test_refine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .extract import Field, Samples, _missing, _Sampler, _split, _torn, extract_full, sampled
from .join import join
from .marching import Grid, capped, grid_for, march, off_zero

START = 4
"""Fine samples along a block of the coarsest level that is asked for inside the boxes."""


@dataclass(frozen=True)
class Refined:
    """A watertight surface of two resolutions.

    Attributes:
        vertices: (V, 3) in the box's frame.
        triangles: (F, 3).
        fine: (V,) bool, vertices that only the fine grid has.
        capped: (V,) bool as in :class:`headfield.surface.extract.Extraction`.
        grid: The coarse grid.
        evaluations: Samples of the field, all levels of both grids.
        seconds_field: Spent inside the field.
        joined: Whether there are fine cells; False where there are none, or where rounding made the two sides differ,
            in which case the surface is the coarse one.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    fine: np.ndarray
    capped: np.ndarray
    grid: Grid
    evaluations: int
    seconds_field: float
    joined: bool


def extract_refined(
    field: Field, box: np.ndarray, resolution: int, boxes: np.ndarray, *, slack: float = 1.3, chunk: int = 65_536
) -> Refined:
    """Surface with half the spacing of samples inside boxes.

    Args:
        field, box, resolution, slack, chunk: As in :func:`headfield.surface.extract.extract_full`.
        boxes: (N, 2, 3) lower and upper corners, in the box's frame; what lies outside the box does not count.
    Raises:
        ConfigError: Box or resolution make no grid.
        ValueError: The field is not finite somewhere.
    """
    grid = grid_for(box, resolution)
    region = _region(grid, np.asarray(boxes, dtype=float).reshape(-1, 2, 3))
    found, spent, seconds = None, 0, 0.0
    if region is not None:
        first, cells = region
        samples = sampled(field, box, resolution, slack=slack, chunk=chunk, without=(first + 1, _surrounded(cells)))
        finer = _Sampler(field, finer_grid(grid), chunk)
        fine, fine_triangles = march(_fine_values(samples, finer, *region, slack), _doubled(cells))
        rest, rest_triangles = samples.polygons(skip=region)
        spent = samples.sampler.evaluations + finer.evaluations
        seconds = samples.sampler.seconds + finer.seconds
        places = fine.astype(np.float64) + 2 * first
        found = join((rest - grid.origin) / grid.voxel * 2, rest_triangles, places, fine_triangles)
    if found is None:
        plain = extract_full(field, box, resolution, slack=slack, chunk=chunk)
        vertices, triangles = plain.mesh.vertices, plain.mesh.triangles
        spent, seconds = spent + plain.evaluations, seconds + plain.seconds_field
        of_fine = np.zeros(len(vertices), dtype=bool)
    else:
        triangles, kept = found
        vertices = np.concatenate([rest, grid.origin + grid.voxel / 2 * places[kept]])
        of_fine = np.arange(len(vertices)) >= len(rest)
    caps = capped(vertices, grid)
    return Refined(vertices, triangles, of_fine, caps, grid, spent, seconds, found is not None)


def finer_grid(grid: Grid) -> Grid:
    """The grid of half the spacing that has all samples of this one."""
    x, y, z = (2 * n - 1 for n in grid.shape)
    return Grid(grid.origin, grid.voxel / 2, (x, y, z))


def _surrounded(cells: np.ndarray) -> np.ndarray:
    """Samples (c0 - 1, ...) between the cells all of whose eight cells are fine: only the fine grid asks for them."""
    for axis in range(3):
        along = np.moveaxis(cells, axis, 0)
        cells = np.moveaxis(along[1:] & along[:-1], 0, axis)
    return cells


def _region(grid: Grid, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """First cell (3,) of a block and which cells (c0, c1, c2) of it are fine; None if none is."""
    most = np.array(grid.shape) - 1
    low = np.floor((boxes[:, 0] - grid.origin) / grid.voxel).astype(int).clip(0)
    high = np.minimum(np.ceil((boxes[:, 1] - grid.origin) / grid.voxel).astype(int), most)
    keep = (low < high).all(1)
    if not keep.any():
        return None
    low, high = low[keep], high[keep]
    first = low.min(0) // 2 * 2  # blocks of START fine samples begin at even coarse ones
    cells = np.zeros(high.max(0) - first, dtype=bool)
    for a, b in zip(low - first, high - first):
        cells[tuple(slice(p, q) for p, q in zip(a, b))] = True
    return first, cells


def _fine_values(samples: Samples, sampler: _Sampler, first: np.ndarray, cells: np.ndarray, slack: float) -> np.ndarray:
    """Values (2 c0 + 1, 2 c1 + 1, 2 c2 + 1) float32 at half the spacing, valid in fine cells wherever the sign changes:
    the field's own within, those between the coarse values on the border."""
    inner, touched = _within(cells)
    volume = _between(samples.block(first, first + cells.shape + np.array([1, 1, 1])))
    volume = off_zero(volume, sampler.grid.voxel)
    border = touched & ~inner
    state = np.where(border, np.where(volume < 0, np.int8(-2), np.int8(2)), np.int8(0))
    sign, blocks = _sparse_signs(sampler, 2 * first, inner, slack)
    state[inner] = sign[inner]
    while len(blocks):
        values = off_zero(_ask(sampler, blocks, inner.shape, 2 * first, 1), sampler.grid.voxel)
        volume.reshape(-1)[blocks] = values
        state.reshape(-1)[blocks] = np.where(values < 0, -2, 2)
        blocks = _missing(state)
    # what has no value is in no cell where the sign changes
    clear = np.abs(state) == 1
    volume[clear] = sampler.grid.voxel * state[clear]
    return volume


def _sparse_signs(
    sampler: _Sampler, start: np.ndarray, inner: np.ndarray, slack: float
) -> tuple[np.ndarray, np.ndarray]:
    """Signs (±1) of the samples `inner` as far as coarse blocks tell them, and flat indices of those to be asked for.

    As `extract._sample_sparsely`, for some samples of a part of the grid that begins at sample `start`.
    """
    stride, wanted = START, {1: inner}
    while max(wanted) < START:
        wanted[2 * max(wanted)] = _any_of_two(wanted[max(wanted)])
    blocks = np.flatnonzero(wanted[stride])
    sign = np.zeros(wanted[stride].shape, dtype=np.int8)
    sign.reshape(-1)[blocks] = 1
    while stride > 1:
        shape = sign.shape
        values = _ask(sampler, blocks, shape, start // stride, stride)
        sign.reshape(-1)[blocks] = np.where(values <= 0, -1, 1)
        reach = slack * sampler.grid.voxel * (stride - 1) / 2 * float(np.sqrt(3))
        keep = np.zeros(sign.size, dtype=bool)
        keep[blocks[np.abs(values) < reach]] = True
        keep |= _torn(np.where(keep.reshape(shape), np.int8(0), sign)).reshape(-1)
        stride //= 2
        finer = wanted[stride]
        blocks = _split(np.flatnonzero(keep), shape, finer.shape)
        blocks = blocks[finer.reshape(-1)[blocks]]
        for axis in range(3):
            sign = sign.repeat(2, axis=axis)
        sign = np.where(finer, sign[tuple(slice(n) for n in finer.shape)], np.int8(0))
    return sign, blocks


def _ask(sampler: _Sampler, blocks: np.ndarray, shape, start: np.ndarray, stride: int) -> np.ndarray:
    """Values at the middles of blocks, by their flat index in an array of this shape that begins at block `start`."""
    whole = tuple(-(-n // stride) for n in sampler.grid.shape)
    place = np.stack(np.unravel_index(blocks, shape), axis=1) + start
    return sampler.at((place[:, 0] * whole[1] + place[:, 1]) * whole[2] + place[:, 2], whole, stride)


def _within(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples of half the spacing all of whose coarse cells are fine, and those any of whose are."""
    inner = touched = cells
    for axis in range(3):
        inner, touched = (
            _interleaved(np.moveaxis(array, axis, 0), combine, axis)
            for array, combine in ((inner, np.logical_and), (touched, np.logical_or))
        )
    return inner, touched


def _interleaved(cells: np.ndarray, combine, axis: int) -> np.ndarray:
    """Along the first axis: odd samples lie within a cell, even ones between two; none is beyond the ends."""
    padded = np.pad(cells, ((1, 1), (0, 0), (0, 0)))
    out = np.empty((2 * len(cells) + 1, *cells.shape[1:]), dtype=bool)
    out[1::2] = cells
    out[::2] = combine(padded[1:], padded[:-1])
    return np.moveaxis(out, 0, axis)


def _between(values: np.ndarray) -> np.ndarray:
    """Values (n0, n1, n2) and the means of neighbours (2 n0 - 1, 2 n1 - 1, 2 n2 - 1): linear along edges, bilinear in
    faces."""
    for axis in range(3):
        along = np.moveaxis(values, axis, 0)
        out = np.empty((2 * len(along) - 1, *along.shape[1:]), dtype=np.float32)
        out[::2] = along
        out[1::2] = (along[1:] + along[:-1]) / 2
        values = np.moveaxis(out, 0, axis)
    return np.ascontiguousarray(values)


def _any_of_two(mask: np.ndarray) -> np.ndarray:
    """Whether any of 2 x 2 x 2 is set (the last ones may be fewer)."""
    for axis in range(3):
        along = np.moveaxis(mask, axis, 0)
        along = np.pad(along, ((0, len(along) % 2), (0, 0), (0, 0)))
        mask = np.moveaxis(along[::2] | along[1::2], 0, axis)
    return np.ascontiguousarray(mask)


def _doubled(cells: np.ndarray) -> np.ndarray:
    for axis in range(3):
        cells = cells.repeat(2, axis=axis)
    return cells
