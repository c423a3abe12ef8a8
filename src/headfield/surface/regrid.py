"""Meshes of a head that is being edited: only what an edit can reach is evaluated again.

An edit of part codes or local origins changes the field only where the blend weight of an edited part is not zero
(exactly: the blend weights keep the anchors of the source, and so does the expression's warp). So the samples of the
last extraction are kept, with the parts that matter at each, and the same coarse-to-fine extraction runs again over a
field that answers from memory wherever no changed part has a weight. The answers are those of a fresh extraction
because the questions are the same; what changed is found by comparing codes, never taken on trust.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import HeadfieldError, present
from ..frames import N_ANCHORS
from ..models.protocol import Local, Warped, lacks, require
from ..types import Codes, Mesh
from .extract import _Sampler, extract_full
from .mesh_head import FLOATING, _without_crumbs
from .project import project, without_folds
from .topology import vertex_normals

if TYPE_CHECKING:
    from ..models.protocol import HeadModel, PartCondition

CHUNK = 16_384

_LAST = "the head that is remembered"


@dataclass
class _Level:
    """Samples of one level in ascending order of their flat index; `bits` of parts that matter, or None so far."""

    flat: np.ndarray
    values: np.ndarray
    bits: np.ndarray | None = None


@dataclass
class Remembered:
    """The last extraction of a head at one resolution: its samples, and its vertices before and after projection.

    Attributes:
        asked: Samples that the last mesh needed.
        evaluated: Those of them that the network was asked for.
    """

    condition: PartCondition | None = None
    around: torch.Tensor | None = None
    base: tuple | None = None
    levels: dict[int, _Level] = field(default_factory=dict)
    raw: np.ndarray | None = None
    moved: np.ndarray | None = None
    normals: np.ndarray | None = None
    raw_bits: np.ndarray | None = None
    pending: int = 0  # parts that changed since the vertices were remembered: a mesh may have been interrupted
    asked: int = 0
    evaluated: int = 0


def remesh(
    model: HeadModel,
    codes: Codes,
    resolution: int,
    memory: Remembered | None = None,
    *,
    normals: bool = True,
    interrupt: Callable[[], None] = lambda: None,
) -> Mesh:
    """The mesh that `mesh_of` makes without finer boxes, from what `memory` holds where that is still true.

    Args:
        model: The head model.
        codes: One head (B = 1).
        resolution: Samples along the longest side of the model's box.
        memory: Updated in place; None, another identity, expression or resolution starts afresh.
        normals: Project vertices onto the level set and take normals from the gradient, else from the triangles.
        interrupt: Called before every chunk of samples; what it raises ends the work and leaves the memory usable.

    Raises:
        HeadfieldError: The codes give no surface.
    """
    memory = Remembered() if memory is None else memory
    with torch.no_grad():
        condition = model.condition(codes)
        changed = _prepare(memory, model, condition, codes, resolution)
        memory.pending |= changed
        _forget(memory, model, changed)
        memory.asked = memory.evaluated = 0
        asked = _Asked(model, condition, interrupt)
        found = extract_full(
            asked.signed_distance,
            np.asarray(model.box),
            resolution,
            chunk=CHUNK,
            sampler=lambda *arguments: _MemorySampler(memory, *arguments),
        )
        if not len(found.mesh.triangles):
            raise HeadfieldError(
                "These codes give no surface inside the model's box. Codes within about 3 standard deviations of the "
                "mean were expected: undo the last edit, or lower its strength."
            )
        mesh = replace(found.mesh, attributes={"_capped": found.capped})
        mesh = _without_crumbs(mesh, FLOATING)[0]
        frozen = mesh.attributes["_capped"]
        mesh = replace(mesh, attributes={})
        if not normals:
            return replace(mesh, normals=vertex_normals(mesh.vertices, mesh.triangles))
        return _projected(memory, asked.value_and_gradient, mesh, frozen, found.grid.voxel, model)


@dataclass(frozen=True)
class _Asked:
    """The field of one head for arrays of points (N, 3) float32; an interruption is looked for before each answer."""

    model: HeadModel
    condition: PartCondition
    interrupt: Callable[[], None]

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """(N,)."""
        self.interrupt()
        return self.model.signed_distance(torch.from_numpy(points)[None], self.condition)[0].numpy()

    def value_and_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) and (N, 3)."""
        self.interrupt()
        value, gradient = self.model.value_and_gradient(torch.from_numpy(points)[None], self.condition)
        return value[0].numpy(), gradient[0].numpy()


class _MemorySampler(_Sampler):
    """Answers from memory, asks the field for the rest."""

    def __init__(self, memory: Remembered, field_, grid, chunk: int) -> None:
        super().__init__(field_, grid, chunk)
        self.memory = memory

    def at(self, flat: np.ndarray, shape: tuple[int, ...], stride: int) -> np.ndarray:
        """As `_Sampler.at`."""
        level = self.memory.levels.get(stride)
        self.memory.asked += len(flat)
        values = np.empty(len(flat), dtype=np.float32)
        missing = np.ones(len(flat), dtype=bool)
        if level is not None and len(level.flat):
            place = np.minimum(np.searchsorted(level.flat, flat), len(level.flat) - 1)
            known = level.flat[place] == flat
            values[known], missing = level.values[place[known]], ~known
        if missing.any():
            fresh = np.sort(flat[missing])
            answers = super().at(fresh, shape, stride)
            values[missing] = answers[np.searchsorted(fresh, flat[missing])]
            self.memory.evaluated += len(fresh)
            self.memory.levels[stride] = _merged(level, fresh, answers)
        return values


def _merged(level: _Level | None, flat: np.ndarray, values: np.ndarray) -> _Level:
    if level is None:
        return _Level(flat, values)
    place = np.searchsorted(level.flat, flat)
    bits = None
    if level.bits is not None:
        bits = np.insert(level.bits, place, -1)  # -1: not known yet
    return _Level(np.insert(level.flat, place, flat), np.insert(level.values, place, values), bits)


def _prepare(memory: Remembered, model: HeadModel, condition: PartCondition, codes: Codes, resolution: int) -> int:
    """Bits of the parts that differ from what the memory holds; a memory of something else is emptied."""
    expression = warp = b""
    if getattr(condition, "expressed", codes.expression) is not None:
        expression = present(codes.expression, "an expression").numpy().tobytes()
        warp = b"" if codes.warp_identity is None else codes.warp_identity.numpy().tobytes()
    base = (id(model), resolution, codes.identity.numpy().tobytes(), expression, warp)
    if memory.base != base or memory.condition is None:
        memory.levels, memory.raw, memory.raw_bits, memory.pending = {}, None, None, 0
        memory.base, memory.condition, memory.around = base, condition, _around(model, condition, codes)
        return 0
    if lacks(model, Local):  # the identity is the same, and no part of it can have changed
        return 0
    before, memory.condition = memory.condition, condition
    same = (before.parts == condition.parts).all(-1) & (before.origins == condition.origins).all(-1)
    around, memory.around = memory.around, _around(model, condition, codes)
    same = same & (around == memory.around)
    return int(sum(1 << part for part in np.flatnonzero(~same[0].numpy())))


def _around(model: HeadModel, condition: PartCondition, codes: Codes) -> torch.Tensor:
    """(1, K) where edited parts act; -1 where they act without a border, 0 where a part is the head's own."""
    if codes.parts is None:
        return torch.zeros(1, N_ANCHORS, dtype=torch.int64)
    around = torch.full((1, N_ANCHORS), -1) if codes.around is None else codes.around
    local = require(model, Local, "Remembering samples")
    own = (condition.parts == local.part_codes(codes.identity)).all(-1)
    own = own & (condition.origins == condition.blend_anchors).all(-1)
    return torch.where(own, 0, around)


def _forget(memory: Remembered, model: HeadModel, changed: int) -> None:
    """Drop the samples where a changed part has a weight."""
    if not changed:
        return
    from .marching import grid_for

    grid = grid_for(model.box, present(memory.base, _LAST)[1])
    for stride, level in memory.levels.items():
        bits = np.full(len(level.flat), -1) if level.bits is None else level.bits
        unknown = bits < 0
        if unknown.any():
            shape = tuple(-(-n // stride) for n in grid.shape)
            index = np.stack(np.unravel_index(level.flat[unknown], shape), axis=1)
            points = index * (stride * grid.voxel) + grid.origin + (stride - 1) / 2 * grid.voxel
            bits[unknown] = parts_at(model, present(memory.condition, _LAST), points)
        keep = (bits & changed) == 0
        memory.levels[stride] = _Level(level.flat[keep], level.values[keep], bits[keep])


def parts_at(model: HeadModel, condition: PartCondition, points: np.ndarray) -> np.ndarray:
    """Bit j of (N,) int64 is set where part j has a blend weight above zero at points (N, 3), expression included."""
    warp, local = require(model, Warped, "Remembering samples"), require(model, Local, "Remembering samples")
    powers = torch.ones(1, dtype=torch.int64) << torch.arange(condition.parts.shape[1])
    found = []
    for start in range(0, len(points), CHUNK):
        part = torch.from_numpy(np.ascontiguousarray(points[start : start + CHUNK], dtype=np.float32))[None]
        canonical, _ = warp.to_canonical(part, condition)
        weights = local.blend_weights(canonical, condition)[0]
        found.append(((weights > 0) * powers).sum(-1).numpy())
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _projected(memory, value_and_gradient, mesh: Mesh, frozen, voxel: float, model) -> Mesh:
    """The mesh on the level set with the field's normals; vertices that no changed part reaches are remembered."""
    raw = mesh.vertices
    old = _same_place(memory.raw, raw)
    changed = memory.pending
    if memory.raw is not None and changed:
        bits = memory.raw_bits
        if bits is None:
            bits = parts_at(model, memory.condition, memory.raw) | parts_at(model, memory.condition, memory.moved)
        memory.raw_bits = bits
        reached = (bits & changed) != 0
        old[(old >= 0) & reached[np.maximum(old, 0)]] = -1
    known = old >= 0
    vertices, normals = raw.copy(), np.empty_like(raw)
    if known.any():
        vertices[known], normals[known] = memory.moved[old[known]], memory.normals[old[known]]
    if not known.all():
        moved = project(value_and_gradient, raw[~known], limit=0.5 * voxel, frozen=frozen[~known], chunk=CHUNK)
        vertices[~known], normals[~known] = moved.vertices, moved.normals
    if frozen.any():
        normals[frozen] = vertex_normals(without_folds(raw, vertices, mesh.triangles), mesh.triangles)[frozen]
    bits = None
    if memory.raw_bits is not None:
        bits = np.empty(len(raw), dtype=np.int64)
        bits[known] = memory.raw_bits[old[known]]
        for_new = parts_at(model, memory.condition, raw[~known]) | parts_at(model, memory.condition, vertices[~known])
        bits[~known] = for_new
    memory.raw, memory.moved, memory.normals, memory.raw_bits = raw, vertices, normals, bits
    memory.pending = 0
    return replace(mesh, vertices=without_folds(raw, vertices, mesh.triangles), normals=normals)


def _same_place(old: np.ndarray | None, new: np.ndarray) -> np.ndarray:
    """Index (V,) into old (U, 3) of the vertex at exactly the same place, -1 where there is none."""
    if old is None or not len(old):
        return np.full(len(new), -1)
    turn = np.array([1.0, np.pi, np.e * np.sqrt(2)])  # distinct places meet on this line by chance only: checked below
    keys = old @ turn
    order = np.argsort(keys)
    place = order[np.minimum(np.searchsorted(keys[order], new @ turn), len(old) - 1)]
    return np.where((old[place] == new).all(1), place, -1)
