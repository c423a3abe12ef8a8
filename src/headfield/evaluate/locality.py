"""How local a region edit is: displacement by distance, the border's smoothness, and how likely the result is.

Distances are from the nearest of the edited parts' anchors on the source's own surface; displacements are along its
normals, in millimetres of the average adult.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield.edit.change import Change, change_between
from headfield.edit.operations import in_use
from headfield.frames import MM_PER_UNIT
from headfield.models.protocol import HeadModel, Local, PartCondition, require
from headfield.surface.head import Head
from headfield.surface.topology import vertex_normals
from headfield.types import Mesh

BANDS_MM = (0.0, 10.0, 25.0, 65.0, np.inf)
"""Bands of distance; what is nearer than the second-last but one counts as inside."""

INSIDE_MM, OUTSIDE_MM = 25.0, 65.0
"""Inside is nearer than the first; the band that leakage is measured in ends at the second."""

MOVED_MM = 0.05
"""A vertex that moved more than this was touched; less is not seen."""


@dataclass(frozen=True)
class Locality:
    """One edit measured.

    Attributes:
        mean_mm: Mean displacement in each band of :data:`BANDS_MM`.
        p99_mm: 99th percentile in each band.
        inside_mm: Mean displacement inside.
        leakage: 99th percentile in the outer band over the mean inside.
        reached: Share of vertices at which an edited part has any weight.
        touched: Share of vertices that moved visibly.
        border_mm: 99th percentile of the second difference of the displacement at vertices 10 to 30 mm away: how far
            a vertex moved beyond the mean of its neighbours, per (2 mm)^2. A crease or a step shows here.
        exact: The field is the same, bit for bit, wherever no edited part has weight.
        unlikely: Root mean square of the standard deviations of the nearest head of the prior, before and after.
        lost: Vertices whose surface was not found (share).
    """

    mean_mm: tuple[float, ...]
    p99_mm: tuple[float, ...]
    inside_mm: float
    leakage: float
    reached: float
    touched: float
    border_mm: float
    exact: bool
    unlikely: tuple[float, float]
    lost: float


def free_edit(head: Head, edited: Head) -> PartCondition:
    """The same part codes with nothing held: LandmarkNet moves all anchors, blend weights follow (NPHM's way)."""
    with torch.no_grad():
        parts = in_use(edited)[0]
        condition = head.model.condition(replace(head.codes, parts=parts, anchors=None, expression=None))
        return replace(condition, blend_anchors=condition.origins)


def measure(head: Head, edited: Head, mesh: Mesh, parts: np.ndarray, after: PartCondition | None = None) -> Locality:
    """Measure an edit.

    Args:
        head: The source, neutral, not mirrored.
        edited: The edited head.
        mesh: The source's surface, model frame, with normals.
        parts: (P,) the edited parts.
        after: What to evaluate in place of `edited`, such as :func:`free_edit`.
    """
    model = head.model
    with torch.no_grad():
        before = model.condition(head.codes)
        now: PartCondition = model.condition(edited.codes) if after is None else after
    change = change_between(model, before, now, mesh, parts)
    moved = np.abs(change.displacement_mm)
    bands = [(change.distance_mm >= low) & (change.distance_mm < high) for low, high in zip(BANDS_MM, BANDS_MM[1:])]
    inside = float(np.nanmean(moved[change.distance_mm < INSIDE_MM]))
    outer = (change.distance_mm >= INSIDE_MM) & (change.distance_mm < OUTSIDE_MM)
    return Locality(
        mean_mm=tuple(float(np.nanmean(moved[band])) for band in bands),
        p99_mm=tuple(float(np.nanpercentile(moved[band], 99)) for band in bands),
        inside_mm=inside,
        leakage=float(np.nanpercentile(moved[outer], 99)) / max(inside, 1e-9),
        reached=float((change.weight > 0).mean()),
        touched=float((moved > MOVED_MM).mean()),
        border_mm=border(change, mesh),
        exact=unchanged(model, before, now, parts),
        unlikely=(unlikeliness(model, before.parts, head.codes.identity),
                  unlikeliness(model, now.parts, head.codes.identity)),
        lost=float(np.isnan(moved).mean()),
    )  # fmt: skip


def border(change: Change, mesh: Mesh) -> float:
    """99th percentile of the displacement's second difference 10 to 30 mm from the anchors, mm per (2 mm)^2."""
    moved, count = change.displacement_mm, len(mesh.vertices)
    edges = np.concatenate([mesh.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    total, degree, square = np.zeros(count), np.zeros(count), np.zeros(count)
    length = np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1) * MM_PER_UNIT
    np.add.at(total, edges[:, 0], moved[edges[:, 1]])
    np.add.at(square, edges[:, 0], length**2)
    np.add.at(degree, edges[:, 0], 1)
    second = np.abs(total / np.maximum(degree, 1) - moved) / np.maximum(square / np.maximum(degree, 1), 0.1) * 4.0
    # where normals turn within an edge (nostrils, the slit of the mouth) the displacement is not one function
    even = (np.asarray(mesh.normals) * vertex_normals(mesh.vertices, mesh.triangles)).sum(axis=1) > 0.95
    near = (change.distance_mm > 10) & (change.distance_mm < 30) & even & np.isfinite(second)
    return float(np.percentile(second[near], 99))


@torch.no_grad()
def unchanged(
    model: HeadModel, before: PartCondition, after: PartCondition, parts: np.ndarray, points: int = 20_000
) -> bool:
    """Whether the field is the same, bit for bit, at random places where no edited part has weight."""
    low, high = np.asarray(model.box)
    places = torch.as_tensor(np.random.default_rng(0).uniform(low, high, (points, 3)), dtype=torch.float32)[None]
    places = places.to(before.blend_anchors)
    weights = require(model, Local, "Measuring an edit").blend_weights(places, before)[0]
    free = (weights[:, parts] == 0).all(dim=1)
    one, other = (model.signed_distance(places, condition)[0] for condition in (before, after))
    return bool(torch.equal(one[free], other[free]))


@torch.no_grad()
def unlikeliness(model: HeadModel, parts: torch.Tensor, identity: torch.Tensor) -> float:
    """Root mean square deviation, in standard deviations of the hair class, of the nearest head of the prior.

    Args:
        model: The model.
        parts: (1, K, d) part codes; their least-squares preimage under DecNet is the nearest head.
        identity: (1, D) the head's own identity, which tells the hair class.
    """
    local = require(model, Local, "Measuring an edit")
    weight = local.part_spread().flatten(0, 1).double().cpu().numpy()
    wanted = (parts - local.part_codes(torch.zeros_like(identity))).flatten().double().cpu().numpy()
    nearest = np.linalg.lstsq(weight, wanted, rcond=None)[0]
    component = model.prior.component(model.prior.likeliest(identity[0].cpu().numpy()))
    return float(np.sqrt(2.0 * component.cost(nearest) / len(nearest)))
