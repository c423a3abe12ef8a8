"""Marching cubes over a grid that never exists as a whole: slab by slab, welded, closed at the border."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from ..types import Mesh

SLAB_SAMPLES = 40_000_000
"""Samples that marching cubes sees at once (float32, 160 MB); larger grids are cut in slabs and welded."""

_NUDGE = 5e-4
"""Values nearer to zero are pushed to this share of a voxel, so that no two vertices of a cell coincide."""


@dataclass(frozen=True)
class Grid:
    """A grid of samples.

    Attributes:
        origin: (3,) position of sample (0, 0, 0).
        voxel: Distance of neighbouring samples, the same along each axis.
        shape: Samples along x, y, z.
    """

    origin: np.ndarray
    voxel: float
    shape: tuple[int, int, int]


def grid_for(box: np.ndarray, resolution: int) -> Grid:
    """The grid of cubic voxels that covers a box (2, 3), centred on it.

    Raises:
        ConfigError: The box is empty, or the resolution is not within 8..2048.
    """
    box = np.asarray(box, dtype=float)
    side = box[1] - box[0]
    if box.shape != (2, 3) or not np.isfinite(side).all() or (side <= 0).any():
        raise ConfigError(f"A box needs a lower and an upper corner (2, 3), lower < upper; this one is {box.tolist()}.")
    if not 8 <= resolution <= 2048:
        raise ConfigError(
            f"Resolution {resolution} is outside 8..2048 samples along the longest side; 256 samples a head "
            "every 1.5 mm, 512 every 0.7 mm. Memory grows with its cube: about 1 byte a sample."
        )
    voxel = float(side.max()) / resolution
    x, y, z = (int(n) for n in np.ceil(side / voxel - 1e-6).astype(int))
    origin = box.mean(0) - (np.array([x, y, z]) - 1) / 2 * voxel
    return Grid(origin, voxel, (x, y, z))


def off_zero(values: np.ndarray, voxel: float) -> np.ndarray:
    """Values (...) float32 with those that are almost zero pushed off it, to the side they are on."""
    small = np.abs(values) < _NUDGE * voxel
    return np.where(small, np.where(values < 0, -1, 1) * np.float32(_NUDGE * voxel), values).astype(np.float32)


def march(volume: np.ndarray, cells: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float32 in samples and triangles (F, 3) of a volume (n0, n1, n2) float32, not closed.

    Args:
        volume: Values off zero.
        cells: (n0-1, n1-1, n2-1) bool, the cells between samples that are wanted; default all.
    """
    from skimage.measure import marching_cubes

    mask = None if cells is None else np.pad(cells, ((1, 0),) * 3)  # a cell goes by its upper corner there
    try:
        vertices, triangles, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent", mask=mask)
    except (ValueError, RuntimeError):  # no sign change in this slab
        return np.empty((0, 3), dtype=np.float32), np.empty((0, 3), dtype=np.int64)
    return vertices, triangles.astype(np.int64)


def _close(volume: np.ndarray, low: tuple[bool, ...], high: tuple[bool, ...]) -> None:
    """Fill the outermost layer of a volume with the mirrored |value| of its neighbour: caps half a voxel out."""
    for axis in range(3):
        for at, source, wanted in ((0, 1, low[axis]), (-1, -2, high[axis])):
            if wanted:
                layers = np.moveaxis(volume, axis, 0)
                layers[at] = np.abs(layers[source])


Fill = Callable[[np.ndarray, int, int], None]


def polygonise(
    fill: Fill, grid: Grid, low: np.ndarray, high: np.ndarray, skip: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Marching cubes over samples low..high (inclusive, may reach one beyond the grid), slab by slab, welded.

    Args:
        fill: fill(volume, first, last): writes samples of planes first..last-1 into a volume of the whole y-z extent
            low..high, except those beyond the grid.
        low, high: (3,) first and last sample; -1 and shape are the layers beyond the grid that close the surface.
        skip: Cells to leave open: the first one (3,), and a block (c0, c1, c2) bool of those that are left out.
    """
    extent = high - low + 1
    planes = int(max(2, SLAB_SAMPLES // (extent[1] * extent[2])))
    all_vertices, all_triangles = [], []
    count, seam_key, seam_index = 0, np.empty(0), np.empty(0, dtype=np.int64)
    first = int(low[0])
    while first < high[0]:
        last = int(min(first + planes, high[0]))  # planes first..last inclusive; the last is shared with the next slab
        volume = np.empty((last - first + 1, extent[1], extent[2]), dtype=np.float32)
        fill(volume, first, last)
        _close(
            volume,
            (first < 0, low[1] < 0, low[2] < 0),
            (last >= grid.shape[0], high[1] >= grid.shape[1], high[2] >= grid.shape[2]),
        )
        kept = None if skip is None else ~_block_within(*skip, np.array([first, *low[1:]]), np.array(volume.shape) - 1)
        vertices, triangles = march(volume, kept)
        target = np.arange(len(vertices)) + count
        fresh = np.ones(len(vertices), dtype=bool)
        key = vertices[:, 1].astype(np.float64) * 65536 + vertices[:, 2]
        if len(seam_key):
            shared = np.nonzero(vertices[:, 0] == 0)[0]
            place = np.minimum(np.searchsorted(seam_key, key[shared]), len(seam_key) - 1)
            match = seam_key[place] == key[shared]
            fresh[shared[match]] = False
            target[fresh] = np.arange(int(fresh.sum())) + count
            target[shared[match]] = seam_index[place[match]]
        at_end = np.nonzero(vertices[:, 0] == last - first)[0]
        order = np.argsort(key[at_end])
        seam_key, seam_index = key[at_end][order], target[at_end][order]
        offset = np.array([first, low[1], low[2]])
        all_vertices.append(grid.origin + grid.voxel * (vertices[fresh].astype(np.float64) + offset))
        all_triangles.append(target[triangles])
        count += int(fresh.sum())
        first = last
    return np.concatenate(all_vertices), np.concatenate(all_triangles)


def _block_within(first: np.ndarray, block: np.ndarray, low: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The bool `block` whose corner is at `first` as part of an array of this shape whose corner is at `low`."""
    whole = np.zeros(shape, dtype=bool)
    a, b = np.maximum(first, low), np.minimum(first + block.shape, low + shape)
    if (a < b).all():
        source, target = (tuple(slice(p - q, r - q) for p, r, q in zip(a, b, at)) for at in (first, low))
        whole[target] = block[source]
    return whole


def capped(vertices: np.ndarray, grid: Grid) -> np.ndarray:
    """Vertices (V,) bool that lie beyond the outermost samples: where the surface was closed at the border."""
    low, high = grid.origin, grid.origin + grid.voxel * (np.array(grid.shape) - 1)
    return np.any((vertices < low - 1e-3 * grid.voxel) | (vertices > high + 1e-3 * grid.voxel), axis=1)


def mesh_of_grid(values: np.ndarray, grid: Grid) -> Mesh:
    """Watertight mesh of a dense grid (n0, n1, n2), closed at its border."""
    values = off_zero(np.asarray(values), grid.voxel)
    shape = np.array(values.shape)

    def fill(volume: np.ndarray, first: int, last: int) -> None:
        a, b = max(first, 0), min(last + 1, shape[0])
        volume[a - first : b - first, 1:-1, 1:-1] = values[a:b]

    vertices, triangles = polygonise(fill, grid, np.array([-1, -1, -1]), shape)
    return Mesh(vertices, triangles)
