"""Eyes without holes: what a head's field leaves open between eyeball and lids is closed before the surface is taken.

A lid's rim lies on the eyeball, a fold of skin a tenth of a millimetre deep. A network that was trained on hundreds of
heads blurs it: for an unusual head the lower lid comes off the ball, or a pit opens in the corner of the eye, ragged
and with a view of the skull's inside. No eye has such a hole, so two things that are true of every eye are added to the
field in the boxes round the eyes:

* *the eyeball is whole*: the ball that fits what is seen of it (:mod:`headfield.surface.eyes`), a little sunken, is
  solid where the lids part;
* *no slit is narrower than two millimetres*: a morphological closing, the surface on which a ball of 1 mm radius rolls.
  A join of lid and ball that is rounded as real, moist ones are stays as it is.

Both only add material. The field is changed by less than `BLEND` wherever it is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frames import MM_PER_UNIT, anchor_indices
from ..types import Codes
from .eyes import Eyeball, fit_eyeballs
from .focus import eye_boxes
from .topology import vertex_normals

if TYPE_CHECKING:
    from ..models.protocol import Extractable

Field = Callable[[np.ndarray], np.ndarray]
FieldAndGradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

RADIUS = 1.0 / MM_PER_UNIT
"""Of the ball that rolls over the surface."""

SUNKEN = 0.25 / MM_PER_UNIT
"""How deep the eyeball that is added lies under the one that is fitted: what is sound stays the field's own."""

DEEPER = 1.0 / MM_PER_UNIT
"""The same where the eyeball is not seen, but expected: two standard deviations of where it then is."""

LIKELY_DEPTH = 0.5 / MM_PER_UNIT
"""The same where it is the mirror image of the other one: two standard deviations again."""

SIDES = ("left", "right")
"""The subject's, in the order of the boxes."""

_ORBIT = np.array([[-1.493, 0.373, 0.613], [2.091, 0.157, 0.110], [-5.579, -0.379, -0.283], [9.477, 0.439, 0.045]])
"""An eyeball's centre (x outward, y, z), from the middle between the corners of its lids, and its radius, by: 1 mm,
half the distance of the corners, and how much farther to the front the outer one lies. Least squares over 40 eyes of
the synthetic development heads; residuals 0.73, 0.60, 1.06 and 0.57 mm."""

_UNSURE = np.array([2.2, 1.8, 1.5]) / MM_PER_UNIT
"""A ball whose foremost place is farther from the expected one was fitted to something else."""

BLEND = 0.1 / MM_PER_UNIT
"""Width of the smooth step from the field to what closes it."""

STEP = 0.75 / MM_PER_UNIT
"""Spacing of the samples from which the closing is worked out."""

_MARGIN = 3.0 / MM_PER_UNIT
"""How far samples reach beyond a box: 2 * RADIUS, within which a place beyond could matter, and 1 mm of fading."""

_STEEP = 3.0
"""Outside its box the seal fades out so fast (units of distance per unit)."""

_FAR = 1.0
"""Distance that stands for no seal, model units."""


@dataclass(frozen=True)
class Seal:
    """The closed field of one eye on a grid.

    Attributes:
        origin: (3,) position of the first sample.
        values: (X, Y, Z) signed distance of the closed head, `STEP` apart.
        slopes: (3, X, Y, Z) its gradient.
    """

    origin: np.ndarray
    values: np.ndarray
    slopes: np.ndarray

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Whether points (N, 3) lie in the grid: bool (N,)."""
        place = (points - self.origin) / STEP
        return np.all((place >= 0) & (place <= np.array(self.values.shape) - 1), axis=1)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (N,) and gradients (N, 3) at points (N, 3) in the grid."""
        from scipy.ndimage import map_coordinates

        place = ((points - self.origin) / STEP).T
        read = [map_coordinates(each, place, order=1, mode="nearest") for each in (self.values, *self.slopes)]
        return read[0], np.stack(read[1:], axis=1)


class SealedField:
    """A head's field with its eyes closed up.

    Args:
        field, value_and_gradient: The head's own, of points (N, 3) float32.
        seals: One for each eye.
    """

    def __init__(self, field: Field, value_and_gradient: FieldAndGradient, seals: Sequence[Seal]) -> None:
        self._field, self._value_and_gradient, self._seals = field, value_and_gradient, tuple(seals)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Signed distances (N,) at points (N, 3)."""
        return self._joined(points, np.asarray(self._field(points)), None)[0]

    def value_and_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distances (N,) and gradients (N, 3) at points (N, 3)."""
        return self._joined(points, *self._value_and_gradient(points))

    def _joined(self, points: np.ndarray, values: np.ndarray, slopes: np.ndarray | None) -> tuple[np.ndarray, Any]:
        values, slopes = values.copy(), None if slopes is None else slopes.copy()
        for seal in self._seals:
            which = np.flatnonzero(seal.holds(points))
            if not len(which):
                continue
            own = values[which]
            closed, closed_slope = seal.at(points[which].astype(float))
            closed = closed + BLEND
            overlap = np.clip(1 - np.abs(own - closed) / BLEND, 0, None)  # polynomial smooth minimum
            values[which] = np.minimum(own, closed) - 0.25 * BLEND * overlap**2
            if slopes is not None:
                share = np.where(closed < own, 1 - overlap / 2, overlap / 2)[:, None]
                slopes[which] = (1 - share) * slopes[which] + share * closed_slope
        return values, slopes


def sealed(
    model: Extractable, codes: Codes, functions: Callable[[Codes], tuple[Field, FieldAndGradient]]
) -> SealedField | None:
    """One posed head's field with its eyes closed up; None for a model without named anchors.

    Args:
        model: A head model, or one corrected for one head that has it as ``model``.
        codes: One head (B = 1), with or without an expression.
        functions: The field, and value and gradient, of codes.
    """
    boxes = eye_boxes(model, codes)
    if not len(boxes):
        return None
    field, value_and_gradient = functions(codes)
    grids = _grids(field, boxes)
    whole: Any = getattr(model, "model", model)
    anchors = whole.anchors(codes)[0].detach().cpu().numpy().astype(float)
    resting = replace(codes, expression=None)
    posed = codes.expression is not None and bool(codes.expression.any())
    still = _grids(functions(resting)[0], eye_boxes(model, resting)) if posed else grids
    balls = eyeballs(still, anchors)
    return SealedField(field, value_and_gradient, [_seal(grid, balls, anchors) for grid in grids])


@dataclass(frozen=True)
class _Grid:
    """Samples round one eye: its box (2, 3), where they are (X, Y, Z, 3), and the field there (X, Y, Z)."""

    box: np.ndarray
    places: np.ndarray
    values: np.ndarray


def _grids(field: Field, boxes: np.ndarray) -> list[_Grid]:
    """One for each of boxes (N, 2, 3)."""
    placed = [(box, _places(box[0] - _MARGIN, box[1] + _MARGIN)) for box in boxes]
    return [_Grid(box, places, _sampled(field, places)) for box, places in placed]


def eyeballs(grids: Sequence[_Grid], anchors: np.ndarray) -> tuple[Eyeball, ...]:
    """Sunken eyeballs of a head at rest, one for each grid: those that are seen, where they are where eyes can be;
    else, deeper, the mirror image of the other one, or what the corners of the lids (anchors (39, 3)) let expect."""
    seen = {side: ball for side, grid in zip(SIDES, grids) if (ball := _seen(grid, side, anchors)) is not None}
    balls = []
    for side, _ in zip(SIDES, grids):
        if side in seen:
            balls.append(replace(seen[side], radius=seen[side].radius - SUNKEN))
        elif seen:
            (ball,) = seen.values()
            ball = _mirrored(ball, side, anchors)
            balls.append(replace(ball, radius=ball.radius - LIKELY_DEPTH))
        else:
            ball = _expected(side, anchors)
            balls.append(replace(ball, radius=ball.radius - DEEPER))
    return tuple(balls)


def _seen(grid: _Grid, side: str, anchors: np.ndarray) -> Eyeball | None:
    """The eyeball that is fitted to what shows of it; None where that is none, or lies where none can be."""
    from skimage.measure import marching_cubes

    expected = _expected(side, anchors)
    if not grid.values.min() < 0 < grid.values.max():
        return None
    vertices, triangles, _, _ = marching_cubes(grid.values, 0.0)
    vertices = vertices * STEP + grid.places[0, 0, 0]
    for ball in fit_eyeballs(vertices, vertex_normals(vertices, triangles), anchors):
        if ball.name == expected.name and (np.abs(_front(ball) - _front(expected)) < _UNSURE).all():
            return ball
    return None


def _mirrored(ball: Eyeball, side: str, anchors: np.ndarray) -> Eyeball:
    """The eyeball of a side by the other one: as it lies to the corners of its lids, mirrored."""
    other = next(each for each in SIDES if each != side)
    here, there = (_between_corners(each, anchors) for each in (side, other))
    centre = here + (ball.centre - there) * [-1.0, 1.0, 1.0]
    return Eyeball(f"eye{side.title()}", centre, ball.radius, np.empty(0, dtype=int), 0.0)


def _between_corners(side: str, anchors: np.ndarray) -> np.ndarray:
    """The middle (3,) between the corners of an eye's lids."""
    return anchors[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])].mean(0)


def _expected(side: str, anchors: np.ndarray) -> Eyeball:
    """The eyeball that the corners of the lids let expect."""
    inner, outer = anchors[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])]
    known = np.array([1 / MM_PER_UNIT, np.linalg.norm(outer - inner) / 2, (outer - inner)[2]])
    x, y, z, radius = _ORBIT @ known
    outward = np.sign((outer - inner)[0])
    centre = (inner + outer) / 2 + np.array([outward * x, y, z])
    return Eyeball(f"eye{side.title()}", centre, float(radius), np.empty(0, dtype=int), 0.0)


def _front(ball: Eyeball) -> np.ndarray:
    """The foremost place (3,) of an eyeball."""
    return ball.centre + np.array([0, 0, ball.radius])


def _seal(grid: _Grid, balls: Sequence[Eyeball], anchors: np.ndarray) -> Seal:
    """The seal of one eye."""
    shape, flat, values = grid.values.shape, grid.places.reshape(-1, 3), grid.values.reshape(-1)
    for ball in balls:
        values = np.minimum(values, _whole(ball, anchors, flat))
    closed = _closed(flat, values.reshape(shape)).reshape(-1)
    outside = np.maximum(np.maximum(grid.box[0] - flat, flat - grid.box[1]), 0).max(1)
    closed = closed + np.where(outside < _MARGIN - 2 * RADIUS, _STEEP * outside, _FAR)
    closed = closed.reshape(shape)
    return Seal(grid.places[0, 0, 0], closed, np.array(np.gradient(closed, STEP)))


def _places(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Samples (X, Y, Z, 3), `STEP` apart, from `low` to at least `high`; X, Y and Z are odd."""
    counts = 2 * np.ceil((high - low) / (2 * STEP)).astype(int) + 1
    axes = [a + STEP * np.arange(n) for a, n in zip(low, counts)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _sampled(field: Field, places: np.ndarray) -> np.ndarray:
    """The field (X, Y, Z) at samples: its own near the surface and where the closing looks, between those of every
    second sample elsewhere."""
    from scipy.ndimage import zoom

    coarse = places[::2, ::2, ::2]
    values = field(coarse.reshape(-1, 3).astype(np.float32)).reshape(coarse.shape[:3])
    values = zoom(values.astype(float), np.array(places.shape[:3]) / values.shape, order=1, grid_mode=False)
    near = (values > -2 * STEP) & (values < RADIUS + 2 * STEP)
    values[near] = field(places[near].astype(np.float32))
    return values


def _whole(ball: Eyeball, anchors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Distance (N,) to an eyeball at places (N, 3), which rises beyond the opening of its lids."""
    side = ball.name.removeprefix("eye").lower()
    inner, outer = anchors[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])]
    half = np.linalg.norm(outer - inner) / 2
    across = (places - (inner + outer) / 2)[:, :2] / (half * np.array([1.15, 0.75]))
    beyond = np.maximum(np.linalg.norm(across, axis=1) - 1, 0) * half
    return np.linalg.norm(places - ball.centre, axis=1) - ball.radius + beyond


def _closed(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The closing (X, Y, Z) of what has these values: the head grown by `RADIUS`, and shrunk again by as much.

    Both by distances to the surface itself: a network's values are distances only roughly.
    """
    away, band = values.copy(), (values > -2 * RADIUS) & (values < 2 * RADIUS)
    away[band] = np.sign(values[band]) * _to_level(values, 0.0, places, band.reshape(-1))
    grown, closed = (away < RADIUS) & band, values.copy()
    closed[grown] = RADIUS - _to_level(away, RADIUS, places, grown.reshape(-1))
    return closed


def _to_level(values: np.ndarray, level: float, places: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Distance from those places (N, 3) that `which` (N,) names to where values (X, Y, Z) cross a level."""
    from skimage.measure import marching_cubes

    from ..neighbours import PointTree

    if not values.min() < level < values.max():
        return np.abs(values.reshape(-1)[which] - level)
    vertices, triangles, _, _ = marching_cubes(values, level)
    surface = np.concatenate([vertices, vertices[triangles].mean(1)]) * STEP + places[0]
    return PointTree(surface).query(places[which])[0]
