"""A smooth function of space from scattered values: quadratic B-splines, coarse to fine (after Lee et al. 1997).

Every level is a regularised least-squares fit of what the coarser ones left over, on a grid twice as fine. Coarse
levels carry a correction across gaps and let it fade where nothing is known; fine levels follow the data. The sum has
continuous first derivatives everywhere, and is one coefficient array: a B-spline of a coarse grid is a B-spline of the
finer one exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

_REFINE = np.array([0.25, 0.75, 0.75, 0.25])
"""Two-scale relation of quadratic B-splines: weights of the finer ones at -3/2, -1/2, 1/2, 3/2 fine steps."""


_COARSER = 4
"""Coarse levels look at one point in so many; points come in random order."""


@dataclass(frozen=True)
class Spline:
    """A function of space, zero far from data.

    Attributes:
        coefficients: (X, Y, Z) float32, one per cell of a grid.
        lower: (3,) corner of the grid.
        spacing: Size of a cell.
    """

    coefficients: np.ndarray
    lower: np.ndarray
    spacing: float

    def value(self, points: np.ndarray) -> np.ndarray:
        """Values (N,) at points (N, 3)."""
        place = (np.asarray(points, dtype=float) - self.lower) / self.spacing - 0.5
        return map_coordinates(self.coefficients, place.T, order=2, mode="constant", prefilter=False)

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """Gradients (N, 3) at points (N, 3), by central differences over half a cell: exact but for a cell's kinks."""
        points = np.asarray(points, dtype=float)
        step = 0.25 * self.spacing
        out = np.empty((len(points), 3))
        for axis in range(3):
            shift = np.zeros(3)
            shift[axis] = step
            out[:, axis] = (self.value(points + shift) - self.value(points - shift)) / (2 * step)
        return out


@dataclass(frozen=True)
class SplineOptions:
    """How a spline follows its data."""

    coarsest: float = 0.12
    """Cells of the first level, model units (30 mm): how far a correction reaches beyond the data."""
    finest: float = 0.0075
    """Cells of the last level (1.9 mm); levels halve from the first one on until the next would be finer than this."""
    ridge: float = 0.1
    """Pull of every coefficient to zero, against data of about one point per cell."""
    flat: float = 0.3
    """Weight of a zero slope along the given directions against the values."""
    gate: float = 0.5
    """What a level cannot explain to this share of its cell is left to the finer ones, or is an outlier."""
    least_gate: float = 0.004
    """The gate is at least this wide (1 mm)."""
    iterations: int = 30
    """Conjugate-gradient steps per solve."""
    rounds: int = 2
    """Solves per level, with new robust weights."""


def fit_spline(
    points: np.ndarray,
    values: np.ndarray,
    directions: np.ndarray,
    box: np.ndarray,
    options: SplineOptions,
) -> Spline:
    """The spline through values at points.

    Args:
        points: (N, 3) inside the box, in random order.
        values: (N,) what the function should be there.
        directions: (N, 3) unit; along them the function should not change.
        box: (2, 3) where the function lives.
        options: See :class:`SplineOptions`.
    """
    lower = np.asarray(box[0], dtype=float)
    cells = np.ceil((np.asarray(box[1], dtype=float) - lower) / options.coarsest).astype(int) + 2
    lower = lower - options.coarsest
    spacing = options.coarsest
    total = np.zeros(tuple(cells), dtype=np.float32)
    while True:
        # coarse cells hold hundreds of points each: a part of them says the same
        part = slice(None, None, _COARSER if spacing > 3 * options.finest else 1)
        left = values[part] - Spline(total, lower, spacing).value(points[part])
        total = total + _level(points[part], left, directions[part], total.shape, lower, spacing, options)
        if spacing / 2 < options.finest * 0.999:
            return Spline(total, lower, spacing)
        total, spacing = _refined(total), spacing / 2


def _level(points, values, directions, shape, lower, spacing: float, options: SplineOptions) -> np.ndarray:
    """Coefficients of one level."""
    from scipy.sparse import csr_array

    place = (points - lower) / spacing - 0.5
    middle = np.rint(place).astype(np.int64)
    offset = place - middle  # in [-1/2, 1/2]
    one = np.stack([0.5 * (0.5 - offset) ** 2, 0.75 - offset**2, 0.5 * (0.5 + offset) ** 2], axis=2)
    slope = np.stack([offset - 0.5, -2 * offset, offset + 0.5], axis=2)
    base = [one[:, axis] for axis in range(3)]
    basis = np.einsum("ni,nj,nk->nijk", *base).reshape(len(points), 27)
    along = np.zeros_like(basis)
    for axis in range(3):
        part = [slope[:, a] if a == axis else one[:, a] for a in range(3)]
        along += directions[:, [axis]] * np.einsum("ni,nj,nk->nijk", *part).reshape(len(points), 27)
    step = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(27, 3)
    corner = middle[:, None] + step
    flat = (corner[..., 0] * shape[1] + corner[..., 1]) * shape[2] + corner[..., 2]
    used, column = np.unique(flat, return_inverse=True)
    column = column.reshape(-1)
    pointer = np.arange(0, 27 * len(points) + 1, 27)
    rows = csr_array((basis.reshape(-1), column, pointer), shape=(len(points), len(used)))
    slopes = csr_array((along.reshape(-1), column, pointer), shape=(len(points), len(used)))
    rows_t, slopes_t = rows.T.tocsr(), slopes.T.tocsr()
    scale = max(options.gate * spacing, options.least_gate)
    ridge = options.ridge * float((rows.data**2).sum()) / len(points)
    found = np.zeros(len(used))
    left = values
    for _ in range(options.rounds):
        trust = (scale**2 / (left**2 + scale**2)) ** 2

        def apply(x, trust=trust):
            return rows_t @ (trust * (rows @ x)) + slopes_t @ (options.flat * trust * (slopes @ x)) + ridge * x

        diagonal = (rows_t**2) @ trust + options.flat * ((slopes_t**2) @ trust) + ridge
        found = _conjugate(apply, rows_t @ (trust * values), diagonal, found, options.iterations)
        left = values - rows @ found
    out = np.zeros(int(np.prod(shape)), dtype=np.float32)
    out[used] = found
    return out.reshape(shape)


def _conjugate(apply, right, diagonal, start, iterations: int) -> np.ndarray:
    """Conjugate gradients with a diagonal preconditioner."""
    x = start.copy()
    residual = right - apply(x)
    limit = 1e-4 * np.linalg.norm(right)
    z = residual / diagonal
    direction, rho = z.copy(), residual @ z
    for _ in range(iterations):
        if np.linalg.norm(residual) <= limit or rho <= 0:
            break
        image = apply(direction)
        step = rho / (direction @ image)
        x += step * direction
        residual -= step * image
        z = residual / diagonal
        rho, before = residual @ z, rho
        direction = z + (rho / before) * direction
    return x


def _refined(coefficients: np.ndarray) -> np.ndarray:
    """The same function on a grid twice as fine."""
    for axis in range(3):
        moved = np.moveaxis(coefficients, axis, 0)
        fine = np.zeros((2 * moved.shape[0] + 2, *moved.shape[1:]), dtype=np.float32)
        for number, weight in enumerate(_REFINE):
            fine[number : number + 2 * moved.shape[0] : 2] += weight * moved
        coefficients = np.moveaxis(fine[1:-1], 0, axis)
    return np.ascontiguousarray(coefficients)
