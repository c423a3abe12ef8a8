"""Iso-surfaces of signed-distance fields, coarse to fine: the mesh of the dense grid from a twentieth of its samples.

Blocks of 2^k samples are judged by the field at their centre: where it is further from zero than anything in the block
can be, the whole block takes that sign; else it is split. A repair then evaluates every missing corner of every grid
cell in which the sign changes, until there is none left, so that marching cubes sees the same numbers as on the dense
grid wherever there is a surface (reference: bit-identical in `tests/surface/test_extract.py` against `dense_grid`).

The grid has cubic voxels with samples at their centres, `resolution` of them along the box's longest side. A surface
that leaves the box is closed on the box: the cap lies half a voxel beyond the last sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..types import Mesh
from .marching import Grid, capped, grid_for, off_zero, polygonise

Field = Callable[[np.ndarray], np.ndarray]
"""Signed distances (N,) at points (N, 3) float32; a torch tensor as answer is welcome too."""

COARSEST = 32
"""Samples along the longest side at the coarsest level: blocks of 45 mm for a head."""


@dataclass(frozen=True)
class Extraction:
    """A mesh and what it took.

    Attributes:
        mesh: Watertight, outward triangles; vertices in the box's frame.
        grid: The grid that it came from.
        capped: (V,) vertices on the box's border, where the surface was closed: the field is not zero there.
        evaluations: Samples of the field, all levels.
        repaired: Those of them that the repair asked for.
        seconds_field: Spent inside the field.
        seconds_marching: Spent in marching cubes.
        seconds: Spent altogether.
    """

    mesh: Mesh
    grid: Grid
    capped: np.ndarray
    evaluations: int
    repaired: int
    seconds_field: float
    seconds_marching: float
    seconds: float


class _Sampler:
    """Calls the field in chunks, counts, and keeps time."""

    def __init__(self, field: Field, grid: Grid, chunk: int) -> None:
        self.field, self.grid, self.chunk = field, grid, chunk
        self.evaluations, self.seconds = 0, 0.0

    def at(self, flat: np.ndarray, shape: tuple[int, ...], stride: int) -> np.ndarray:
        """Values (N,) float32 at flat block indices (N,) of a level with blocks of stride^3 samples.

        Raises:
            ValueError: The field is not finite somewhere.
        """
        values = np.empty(len(flat), dtype=np.float32)
        plane, row = shape[1] * shape[2], shape[2]
        scale = stride * self.grid.voxel
        offset = self.grid.origin + (stride - 1) / 2 * self.grid.voxel
        for start in range(0, len(flat), self.chunk):
            part = flat[start : start + self.chunk]
            x, rest = np.divmod(part, plane)
            y, z = np.divmod(rest, row)
            points = (np.stack([x, y, z], axis=1) * scale + offset).astype(np.float32)
            begin = time.perf_counter()
            answer: Any = self.field(points)  # an array, or a tensor of torch
            if hasattr(answer, "detach"):
                answer = answer.detach().cpu().numpy()
            self.seconds += time.perf_counter() - begin
            values[start : start + len(part)] = np.asarray(answer).reshape(-1)
        self.evaluations += len(flat)
        if not np.isfinite(values).all():
            raise ValueError(
                f"the field is not finite at {int((~np.isfinite(values)).sum())} of {len(values)} samples; a signed "
                "distance was expected everywhere in the box"
            )
        return values


def _torn(sign: np.ndarray) -> np.ndarray:
    """Blocks (bool) with +1 that share a face with a -1: both claim to be far from a surface that must be between them.

    Blocks marked 0 are split anyway. For a field within the slack there are none; a field that jumps has some.
    """
    torn = np.zeros(sign.shape, dtype=bool)
    for axis in range(3):
        head = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        tail = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        change = sign[head] * sign[tail] < 0
        torn[head] |= change
        torn[tail] |= change
    return torn


def _split(blocks: np.ndarray, shape: tuple[int, ...], finer: tuple[int, ...]) -> np.ndarray:
    """Flat indices of the (up to 8) children of blocks, given by flat index (N,), on the next finer level."""
    parent = np.stack(np.unravel_index(blocks, shape), axis=1)
    child = np.indices((2, 2, 2)).reshape(3, 8).T
    index = (2 * parent[:, None, :] + child).reshape(-1, 3)
    if any(f < 2 * c for f, c in zip(finer, shape)):
        index = index[(index < finer).all(1)]
    return (index[:, 0] * finer[1] + index[:, 1]) * finer[2] + index[:, 2]


def _pair(array: np.ndarray, combine, axis: int) -> np.ndarray:
    head = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    tail = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
    return combine(array[head], array[tail])


def _cells(array: np.ndarray, combine) -> np.ndarray:
    """Combine the eight corners of every cell."""
    for axis in (0, 1, 2):
        array = _pair(array, combine, axis)
    return array


def _missing(state: np.ndarray) -> np.ndarray:
    """Flat indices of samples without a value that are a corner of a cell in which the sign changes.

    `state` (n0, n1, n2) int8 is ±1 for a sign inherited from a block, ±2 for a sample with a value.
    """
    shape = state.shape
    found = []
    for start in range(0, shape[0] - 1, 64):  # slabs bound the memory of the masks
        part = state[start : start + 65]
        low, high = _cells(part, np.minimum), _cells(part, np.maximum)
        # a sign change leaves low < 0 < high; a value missing at any corner shows as -1 or 1 among the corners
        mixed = (low < 0) & (high > 0)
        cells = np.flatnonzero(mixed)
        if not len(cells):
            continue
        x, y, z = np.unravel_index(cells, mixed.shape)
        corners = np.indices((2, 2, 2)).reshape(3, 8, 1)
        flat = ((x + corners[0]) * shape[1] + y + corners[1]) * shape[2] + z + corners[2]
        absent = np.abs(part.reshape(-1)[flat]) == 1
        if absent.any():
            found.append(flat[absent] + start * shape[1] * shape[2])
    if not found:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.concatenate(found))


def _sample_sparsely(
    sampler: _Sampler, grid: Grid, slack: float, without: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """State (n0, n1, n2) int8 as in `_missing`, flat indices and values of all evaluated samples, and repairs.

    The first sample (3,) and the bool block of `without` say which samples are not wanted: their state is 0.
    """
    stride = 1
    while max(grid.shape) // (2 * stride) >= COARSEST:
        stride *= 2
    shape = tuple(-(-n // stride) for n in grid.shape)
    sign = np.ones(shape, dtype=np.int8)
    blocks = np.arange(sign.size)
    while stride > 1:
        values = sampler.at(blocks, shape, stride)
        sign.reshape(-1)[blocks] = np.where(values <= 0, -1, 1)
        # beyond this the sign of every sample in the block is certain; samples of known sign that are needed as
        # the other end of a crossing edge are left to the repair, which asks for exactly those
        reach = slack * grid.voxel * (stride - 1) / 2 * float(np.sqrt(3))
        keep = np.zeros(sign.size, dtype=bool)
        keep[blocks[np.abs(values) < reach]] = True
        keep |= _torn(np.where(keep.reshape(shape), np.int8(0), sign)).reshape(-1)
        stride //= 2
        finer = tuple(-(-n // stride) for n in grid.shape)
        blocks = _split(np.flatnonzero(keep), shape, finer)
        for axis in (2, 1, 0):
            sign = sign.repeat(2, axis=axis)
        sign = sign[: finer[0], : finer[1], : finer[2]]
        shape = finer
    state = np.ascontiguousarray(sign)
    flat_state = state.reshape(-1)
    if without is not None:
        first, block = without
        state[tuple(slice(a, a + n) for a, n in zip(first, block.shape))][block] = 0
        blocks = blocks[flat_state[blocks] != 0]
    indices, results = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
    repaired = 0
    while len(blocks):
        values = off_zero(sampler.at(blocks, shape, 1), grid.voxel)
        flat_state[blocks] = np.where(values < 0, -2, 2)
        indices.append(blocks)
        results.append(values)
        blocks = _missing(state)
        repaired += len(blocks)
    return state, np.concatenate(indices), np.concatenate(results), repaired


def extract_full(
    field: Field,
    box: np.ndarray,
    resolution: int = 256,
    *,
    slack: float = 1.3,
    chunk: int = 65_536,
    sampler: Callable[[Field, Grid, int], _Sampler] = _Sampler,
) -> Extraction:
    """`extract` with its counts and times.

    Args:
        field: Signed distances (N,) at points (N, 3) float32, negative inside.
        box: (2, 3) lower and upper corner.
        resolution: Samples along the box's longest side, 8..2048.
        slack: Bound on the steepness |df/dx| of the field between a sample and the centre of its block. One is enough
            for a true distance. Trained networks reach 3 in creases, but only where surface is near: there the repair
            completes whatever touches a sample with a value (0 wrong signs on trained heads with slack 1.0 already).
            Only a piece of surface that lies wholly within blocks judged clear would be missed. At 256, slack 2 costs
            a fifth more evaluations than 1.3.
        chunk: Points per call of the field.
        sampler: Makes what asks the field; one that remembers samples is in `regrid`.

    Raises:
        ConfigError: Box or resolution make no grid.
        ValueError: The field is not finite somewhere.
    """
    begin = time.perf_counter()
    samples = sampled(field, box, resolution, slack=slack, chunk=chunk, sampler=sampler)
    marching = time.perf_counter()
    vertices, triangles = samples.polygons()
    end = time.perf_counter()
    return Extraction(
        mesh=Mesh(vertices, triangles),
        grid=samples.grid,
        capped=capped(vertices, samples.grid),
        evaluations=samples.sampler.evaluations,
        repaired=samples.repaired,
        seconds_field=samples.sampler.seconds,
        seconds_marching=end - marching,
        seconds=end - begin,
    )


@dataclass(frozen=True)
class Samples:
    """What is known of a field on a grid: a value wherever there is a surface, elsewhere its sign.

    Attributes:
        sampler: What asked the field.
        state: (n0, n1, n2) int8: negative inside; ±2 where there is a value, ±1 where not, 0 where none was wanted.
        index: (N,) flat indices of the samples with a value.
        values: (N,) float32, off zero.
        repaired: How many of them the repair asked for.
    """

    sampler: _Sampler
    state: np.ndarray
    index: np.ndarray
    values: np.ndarray
    repaired: int

    @property
    def grid(self) -> Grid:
        """The grid of the samples."""
        return self.sampler.grid

    def block(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Values (n0, n1, n2) float32 of the samples low..high-1; one voxel's length, signed, where there is none."""
        inside = self.state[tuple(slice(a, b) for a, b in zip(low, high))] < 0
        volume = np.where(inside, np.float32(-self.grid.voxel), np.float32(self.grid.voxel))
        x, rest = np.divmod(self.index, self.grid.shape[1] * self.grid.shape[2])
        y, z = np.divmod(rest, self.grid.shape[2])
        near = (x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1]) & (z >= low[2]) & (z < high[2])
        volume[x[near] - low[0], y[near] - low[1], z[near] - low[2]] = self.values[near]
        return volume

    def polygons(self, skip: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) in the box's frame and triangles (F, 3); `skip` as in `polygonise`."""
        bounds = _extent(self.state)
        if bounds is None:
            return np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)
        low, high = bounds

        def fill(volume: np.ndarray, first: int, last: int) -> None:
            a = np.maximum([first, low[1], low[2]], 0)
            b = np.minimum([last + 1, high[1] + 1, high[2] + 1], self.grid.shape)
            core = tuple(slice(p - q, r - q) for p, r, q in zip(a, b, (first, low[1], low[2])))
            volume[core] = self.block(a, b)

        return polygonise(fill, self.grid, low, high, skip)


def sampled(
    field: Field,
    box: np.ndarray,
    resolution: int,
    *,
    slack: float,
    chunk: int,
    sampler: Callable[[Field, Grid, int], _Sampler] = _Sampler,
    without: tuple[np.ndarray, np.ndarray] | None = None,
) -> Samples:
    """The samples that marching cubes needs; arguments and errors as `extract_full`.

    `without` names samples that are not wanted, by the first one (3,) and a bool block.
    """
    asked = sampler(field, grid_for(box, resolution), chunk)
    return Samples(asked, *_sample_sparsely(asked, asked.grid, slack, without))


def _extent(state: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """First and last sample of the solid, grown by one (so up to one layer beyond the grid); None if there is none."""
    plane, column = np.zeros(state.shape[1:], dtype=bool), []
    for layer in state:
        inside = layer < 0
        plane |= inside
        column.append(inside.any())
    found = [np.nonzero(mask)[0] for mask in (np.array(column), plane.any(1), plane.any(0))]
    if not len(found[0]):
        return None
    return np.array([f[0] for f in found]) - 1, np.array([f[-1] for f in found]) + 1


def extract(field: Field, box: np.ndarray, resolution: int = 256, *, slack: float = 1.3, chunk: int = 65_536) -> Mesh:
    """Watertight mesh of a field's zero level, empty where there is none; arguments and errors as `extract_full`."""
    return extract_full(field, box, resolution, slack=slack, chunk=chunk).mesh


def dense_grid(field: Field, box: np.ndarray, resolution: int, *, chunk: int = 65_536) -> tuple[np.ndarray, Grid]:
    """Every sample of the grid (n0, n1, n2) float32: the oracle, at 20 to 40 times the cost.

    Raises:
        ConfigError: Box or resolution make no grid.
        ValueError: The field is not finite somewhere.
    """
    grid = grid_for(box, resolution)
    values = _Sampler(field, grid, chunk).at(np.arange(int(np.prod(grid.shape))), grid.shape, 1)
    return values.reshape(grid.shape), grid
