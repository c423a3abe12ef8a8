"""A head model's codes -> a watertight mesh in the model frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HeadfieldError
from ..types import Codes, Mesh
from .focus import focus_boxes
from .project import project, without_folds
from .refine import extract_refined
from .seal import sealed
from .topology import component_areas, components, keep_vertices, vertex_normals

if TYPE_CHECKING:
    from ..models.protocol import Extractable

Field = Callable[[np.ndarray], np.ndarray]
FieldAndGradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

FLOATING = 0.05
"""Pieces with less than this share of a head's area are no part of it: buns and beards hang together with the head."""


FINER = range(128, 513)
"""Resolutions at which eyes, mouth and nostrils are sampled twice as densely: below, heads are previews; above, lids
have all the samples they need."""


@dataclass(frozen=True)
class MeshReport:
    """What making a mesh took and what was left out.

    Attributes:
        evaluations: Field samples of the extraction.
        gradients: Points with value and gradient, for projection and normals.
        components: Connected components kept.
        dropped: Areas of the floating components that were dropped, as shares of the whole area.
        residual_voxels: Largest |f| that the projection left at a vertex off the caps, in voxels.
        seconds: Extraction altogether (`seconds_field` of it inside the network).
        seconds_field: See `seconds`.
        seconds_project: Projection and normals.
    """

    evaluations: int
    gradients: int
    components: int
    dropped: tuple[float, ...]
    residual_voxels: float
    seconds: float
    seconds_field: float
    seconds_project: float


def mesh_of(
    model: Extractable,
    codes: Codes,
    resolution: int = 256,
    normals: bool = True,
    **options,
) -> Mesh:
    """Watertight, outward mesh of one head; the arguments and errors of `mesh_with_report`."""
    return mesh_with_report(model, codes, resolution, normals, **options)[0]


def mesh_with_report(
    model: Extractable,
    codes: Codes,
    resolution: int = 256,
    normals: bool = True,
    *,
    drop_floating: float = FLOATING,
    slack: float = 1.3,
    chunk: int | None = None,
    finer: np.ndarray | None = None,
    sealed_eyes: bool | None = None,
) -> tuple[Mesh, MeshReport]:
    """Mesh of one head and how it came about.

    Args:
        model: Anything with `box` (2, 3), `signed_distance(points (1, N, 3), codes)` and `value_and_gradient`;
            `condition(codes)` is called once when it exists, and its answer takes the place of the codes.
        codes: One head (B = 1).
        resolution: Samples along the longest side of the model's box: 256 is 1.5 mm, 512 is 0.75 mm.
        normals: Project the vertices onto the level set and take their normals from the gradient; without it vertices
            are where marching cubes put them and carry no normals.
        drop_floating: Components with less than this share of the whole area are dropped (a head is one solid, but a
            network may leave crumbs and sheets in empty space); 0 keeps everything. Cavities inside the
            head are components too.
        slack: See `extract_full`.
        chunk: Points per call of the network; default 16,384 on a CPU (its caches) and 262,144 on a GPU.
        finer: (N, 2, 3) boxes with twice the resolution, model frame; default round eyes, mouth and nostrils, where the
            model names its anchors and `FINER` holds the resolution. An empty array has none.
        sealed_eyes: Close what the field leaves open between lids and eyeballs, see :mod:`headfield.surface.seal`;
            default where the resolution is no preview's.

    Returns:
        The mesh in the model frame, and its report.

    Raises:
        HeadfieldError: There is no surface in the box.
        ConfigError: The resolution makes no grid.
        ValueError: The codes are of more than one head, or the field is not finite somewhere.
    """
    if codes.identity.shape[0] != 1:
        raise ValueError(f"mesh_of takes the codes of one head, got a batch of {codes.identity.shape[0]}")
    chunk = chunk or (16_384 if codes.identity.device.type == "cpu" else 262_144)
    field, value_and_gradient = functions_of(
        model, codes, FINER.start <= resolution if sealed_eyes is None else sealed_eyes
    )
    if finer is None:
        finer = focus_boxes(model, codes) if resolution in FINER else np.empty((0, 2, 3))
    begin = time.perf_counter()
    found = extract_refined(field, np.asarray(model.box), resolution, finer, slack=slack, chunk=chunk)
    extracted = time.perf_counter()
    if not len(found.triangles):
        raise HeadfieldError(
            "The model has no surface inside its box for these codes. A code within about 3 standard deviations of "
            "the mean and a trained model were expected: check the weights and the code."
        )
    marked = Mesh(found.vertices, found.triangles, attributes={"capped": found.capped, "fine": found.fine})
    marked, kept, dropped = _without_crumbs(marked, drop_floating)
    mesh, gradients, residual = replace(marked, attributes={}), 0, float("nan")
    if normals:
        mesh, gradients, residual = _settled(value_and_gradient, marked, found.grid.voxel, chunk)
    return mesh, MeshReport(
        evaluations=found.evaluations,
        gradients=gradients,
        components=kept,
        dropped=dropped,
        residual_voxels=residual,
        seconds=extracted - begin,
        seconds_field=found.seconds_field,
        seconds_project=time.perf_counter() - extracted,
    )


def functions_of(model: Extractable, codes: Codes, sealed_eyes: bool = False) -> tuple[Field, FieldAndGradient]:
    """The field of one head at points (N, 3), and the field with its gradient, of arrays and without autograd.

    Args:
        model: As in :func:`mesh_with_report`.
        codes: One head (B = 1).
        sealed_eyes: See there; a model without named anchors has no eyes to seal.
    """
    if sealed_eyes:
        whole = sealed(model, codes, lambda of: functions_of(model, of))
        if whole is not None:
            return whole, whole.value_and_gradient
    return _own_functions(model, codes)


def _own_functions(model: Extractable, codes: Codes) -> tuple[Field, FieldAndGradient]:
    import torch

    device = codes.identity.device
    with torch.no_grad():
        state = model.condition(codes) if hasattr(model, "condition") else codes

    @torch.no_grad()
    def field(points: np.ndarray) -> np.ndarray:
        return model.signed_distance(torch.from_numpy(points).to(device)[None], state)[0].cpu().numpy()

    @torch.no_grad()
    def value_and_gradient(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = model.value_and_gradient(torch.from_numpy(points).to(device)[None], state)
        return value[0].cpu().numpy(), gradient[0].cpu().numpy()

    return field, value_and_gradient


def _settled(value_and_gradient: FieldAndGradient, mesh: Mesh, voxel: float, chunk: int) -> tuple[Mesh, int, float]:
    """The mesh with its vertices on the level set and their normals, the points that took, and what is left (voxels).

    Args:
        value_and_gradient: The field.
        mesh: From the extraction, with the attributes ``capped`` (vertices of the caps stay) and ``fine`` (sampled
            twice as densely).
        voxel: Of the coarse grid.
        chunk: Points per call of the network.
    """
    capped = mesh.attributes["capped"]
    limit = np.where(mesh.attributes["fine"], 0.25, 0.5) * voxel
    moved = project(value_and_gradient, mesh.vertices, limit=limit, frozen=capped, chunk=chunk)
    residual = float(np.abs(moved.values[~capped]).max(initial=0)) / voxel
    outward, placed = moved.normals, without_folds(mesh.vertices, moved.vertices, mesh.triangles)
    if capped.any():
        outward[capped] = vertex_normals(placed, mesh.triangles)[capped]
    return Mesh(placed, mesh.triangles, normals=outward), moved.evaluations, residual


def _without_crumbs(mesh: Mesh, share: float) -> tuple[Mesh, int, tuple[float, ...]]:
    """The mesh without tiny components, how many are left, and the area shares of those that went."""
    label = components(mesh)
    area = component_areas(mesh, label)
    part = area / area.sum()
    keep = part >= share
    if keep.all():
        return mesh, len(area), ()
    dropped = tuple(sorted(part[~keep].tolist(), reverse=True))
    return keep_vertices(mesh, keep[label]), int(keep.sum()), dropped
