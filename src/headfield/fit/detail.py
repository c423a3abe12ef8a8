"""Observed detail: a head model's field corrected so that its surface is the scan's where the scan saw it.

The correction is a smooth function of space (:mod:`headfield.fit.spline`) that is minus the model's value at the scan's
points and does not change along the model's normals. Where nothing was seen it fades to zero within a few centimetres,
without a step or a kink: holes are filled from their rims, and the unseen back is the model's own. What the model has
in the air that the scan saw over the scalp is cut off. The surface is extracted from the corrected field, so it is
closed and cannot cut itself, whatever the correction is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headfield.fit.empty_space import SeenAir
from headfield.fit.gate import BEARD_PARTS, BEARD_REACH, HAIR_PARTS, HAIR_REACH
from headfield.fit.mean_field import mean_field_of, neck_plane
from headfield.fit.normal_equations import EARLY_RIM, RIM, model_anchors
from headfield.fit.shoulders import on_body
from headfield.fit.spline import Spline, SplineOptions, fit_spline
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import estimated_normals
from headfield.types import Codes

SLACK = 2.0
"""How much steeper than a distance the corrected field may be, for the extraction."""

DEEP, SHALLOW = 0.12, 0.02
"""The air is asked only this deep inside the corrected field and this far outside: elsewhere it changes nothing."""

_CHUNK = 16_384


@dataclass(frozen=True)
class DetailOptions:
    """Which points of a scan correct the model, and how."""

    skin: float = 0.02
    """Points farther outside than this (model units, 5 mm) are believed only where hair or a beard may grow."""
    inside: float = 0.12
    """Points deeper inside than this (30 mm) are not believed: the model is that wrong nowhere that was seen."""
    neck: float = 0.2
    """Below this height over the neck's cut (50 mm) shoulders and collars are near, and points must lie as the neck
    does."""
    neck_reach: float = 0.012
    """There, points farther outside than this (3 mm) are not believed."""
    neck_slope: float = 0.8
    """There, cosine between the model's normal and that of the scan's surface below which a point is of the body."""
    strays: float = 4.0
    """A point whose neighbours lie this many times farther away than usual is a stray."""
    spline: SplineOptions = field(default_factory=SplineOptions)
    """How the correction follows the points."""


class DetailedModel:
    """A head model plus a correction for one head, with what extraction asks of a model.

    Attributes:
        box: (2, 3) of the model.
        correction: What is added to the model's signed distance; None adds nothing.
        cut: (4,) plane of the neck's cut, see :func:`headfield.fit.mean_field.neck_plane`; nothing grows below it.
        believed: The scan's points that it follows.
        air: What the scan has seen to be empty over the scalp.
    """

    def __init__(self, model, correction: Spline | None, cut: np.ndarray, believed: Believed, air: SeenAir):
        self.model, self.correction, self.cut, self.believed, self.air = model, correction, cut, believed, air
        self.box = model.box

    def condition(self, codes: Codes):
        """What the model knows of the head once for all its points."""
        return self.model.condition(codes) if hasattr(self.model, "condition") else codes

    def signed_distance(self, points, codes):
        """The corrected field (1, N) at points (1, N, 3): zero on the surface, close to a distance near it."""
        value = self.model.signed_distance(points, codes)
        if self.correction is None:
            return value
        place = _array(points)
        corrected = value + _like(value, self.correction.value(place))
        return corrected.maximum(_like(value, self._outside(place, _array(corrected))[0]))

    def value_and_gradient(self, points, codes):
        """The corrected field (1, N) and its gradient (1, N, 3)."""
        value, gradient = self.model.value_and_gradient(points, codes)
        if self.correction is None:
            return value, gradient
        place = _array(points)
        corrected = value + _like(value, self.correction.value(place))
        gradient = gradient + _like(gradient, self.correction.gradient(place))
        outside, slope = self._outside(place, _array(corrected))
        outside = _like(value, outside)
        return corrected.maximum(outside), gradient.where((corrected >= outside)[..., None], _like(gradient, slope))

    def _outside(self, points: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is known to be no head, below the cut and in the air: a field (N,) and its gradient (N, 3)."""
        outside = -(points @ self.cut[:3] + self.cut[3])
        slope = np.tile(-self.cut[:3], (len(points), 1))
        near = np.flatnonzero((value > -DEEP) & (value < SHALLOW)) if self.air else np.zeros(0, dtype=int)
        if len(near):
            air, up = self.air.value_and_gradient(points[near])
            more = air > outside[near]
            outside[near[more]], slope[near[more]] = air[more], up[more]
        return outside, slope


def _array(points) -> np.ndarray:
    return points[0].detach().cpu().numpy()


def _like(tensor, array: np.ndarray):
    import torch

    return torch.from_numpy(np.array(array, dtype=np.float32)).to(tensor)[None]


def detailed_model(model, codes: Codes, points: np.ndarray, options: DetailOptions | None = None) -> DetailedModel:
    """The model with what a scan shows beyond it.

    Args:
        model: A head model.
        codes: One head of it, with the expression that the scan shows.
        points: (N, 3) scan points in the model frame, strays, hair, clothes and all.
        options: See :class:`DetailOptions`.
    Returns:
        A model of this one head; the plain one when hardly any point can be believed.
    """
    options = DetailOptions() if options is None else options
    believed = believed_points(model, codes, points, options)
    anchors = model_anchors(model, codes.identity[0].detach().cpu().numpy())
    cut, air = neck_plane(anchors, model.neck_tilt), SeenAir(believed.points, anchors)
    if len(believed.points) < 50:
        return DetailedModel(model, None, cut, believed, air)
    box = np.asarray(model.box, dtype=float)
    order = np.random.default_rng(0).permutation(len(believed.points))
    data = (believed.points[order], -believed.values[order], believed.normals[order])
    return DetailedModel(model, fit_spline(*data, box, options.spline), cut, believed, air)


@dataclass(frozen=True)
class Believed:
    """Scan points that speak for the head.

    Attributes:
        index: (M,) into the points that were given.
        points: (M, 3) model frame.
        values: (M,) the model's signed distance there.
        normals: (M, 3) unit gradient of the model there.
    """

    index: np.ndarray
    points: np.ndarray
    values: np.ndarray
    normals: np.ndarray


def believed_points(model, codes: Codes, points: np.ndarray, options: DetailOptions) -> Believed:
    """Which points of a scan are the head's: no strays, no shoulders, no table.

    Points over the scalp or the jaw are hair or beard as far out as those grow; on skin they must be near the model; on
    the neck they must also lie as it does, since shoulders and collars touch it.

    Args:
        model, codes, points, options: As in :func:`detailed_model`.
    """
    points = np.asarray(points, dtype=float)
    lower, upper = np.asarray(model.box, dtype=float)
    anchors = model_anchors(model, codes.identity[0].detach().cpu().numpy())
    cut = neck_plane(anchors, model.neck_tilt)
    height = points @ cut[:3] + cut[3]
    index = np.flatnonzero(((points > lower) & (points < upper)).all(1))
    index = index[~on_body(points[index], mean_field_of(model)) & (height[index] > RIM)]
    if len(index) < 50:
        return Believed(index[:0], points[:0], np.zeros(0), points[:0])
    tree = PointTree(points[index])
    company = tree.query(points[index], k=min(7, len(index)))[0][:, 1:].mean(1)
    index = index[company < options.strays * np.median(company)]
    value, normal = _field(model, codes, points[index])
    near = PointTree(anchors).query(points[index])[1]
    reach = np.where(HAIR_PARTS[near], HAIR_REACH, np.where(BEARD_PARTS[near], BEARD_REACH, options.skin))
    low = height[index] < options.neck
    reach = np.where(height[index] < EARLY_RIM, options.neck_reach, reach)
    keep = (value < reach) & (value > -options.inside)
    low &= keep
    if low.any():
        side = np.einsum("nc,nc->n", estimated_normals(points[index], points[index[low]], 16), normal[low])
        keep[np.flatnonzero(low)[np.abs(side) < options.neck_slope]] = False
    return Believed(index[keep], points[index[keep]], value[keep], normal[keep])


def _field(model, codes: Codes, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The model's signed distance (N,) and unit gradient (N, 3)."""
    import torch

    with torch.no_grad():
        state = model.condition(codes)
        source = torch.as_tensor(points.astype(np.float32), device=codes.identity.device)
        pairs = [model.value_and_gradient(chunk[None], state) for chunk in source.split(_CHUNK)]
        value = torch.cat([pair[0][0] for pair in pairs]).double().cpu().numpy()
        gradient = torch.cat([pair[1][0] for pair in pairs]).double().cpu().numpy()
    return value, gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)
