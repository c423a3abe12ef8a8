"""The mean head as a distance grid: what the search for a placement looks points up in.

A search tries thousands of placements, so it asks a small trilinear grid instead of the network. Distances are
re-measured from the zero level set, hence they are true distances even where the network's field is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from headfield.frames import ANCHOR_NAMES

_PAD = 0.45
"""Units added around the model's box, so that points which start far off still feel a pull towards the head."""

CUT_BELOW = 0.03
"""How far below the anchors the training heads' necks are cut, model units; see :mod:`headfield.parametric.neck`."""

_NECK_PARTS = tuple(ANCHOR_NAMES.index(name) for name in ("throat", "neck_side_left", "neck_side_right"))


@dataclass(frozen=True)
class MeanField:
    """Signed distance of a mean head on a grid, with gradients, and points on its surface.

    Attributes:
        grid: (1, 4, Z, Y, X) float32 tensor: signed distance (model units) and its gradient.
        lower: (3,) first grid corner, model frame.
        upper: (3,) last grid corner, model frame.
        surface: (M, 3) points on the level set above the neck cut, model frame, about uniform.
        normals: (M, 3) their outward unit normals.
        anchors: (39, 3) of the mean head, model frame.
        cut: (4,) neck plane n, d: heads lie where n @ x + d >= 0 (up side).
    """

    grid: torch.Tensor
    lower: np.ndarray
    upper: np.ndarray
    surface: np.ndarray
    normals: np.ndarray
    anchors: np.ndarray
    cut: np.ndarray

    def lookup(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance and gradient by trilinear interpolation.

        Args:
            points: (..., 3) float32, model frame.
        Returns:
            Distance (...,) and gradient (..., 3), model units. Outside the grid the distance goes on growing.
        """
        lower = torch.as_tensor(self.lower, dtype=points.dtype)
        upper = torch.as_tensor(self.upper, dtype=points.dtype)
        unit = (points - lower) * (2.0 / (upper - lower)) - 1.0
        sampled = torch.nn.functional.grid_sample(
            self.grid, unit.reshape(1, -1, 1, 1, 3), mode="bilinear", padding_mode="border", align_corners=True
        ).reshape(4, -1)
        beyond = (points - points.clamp(lower, upper)).reshape(-1, 3).norm(dim=-1)
        shape = points.shape[:-1]
        return (sampled[0] + beyond).reshape(shape), sampled[1:].T.reshape(*shape, 3)


def neck_plane(anchors: np.ndarray, tilt: float, above: float = 0.0) -> np.ndarray:
    """The plane at which heads are cut; what lies below it belongs to the body.

    With a tilt of 0.5 the same plane as :func:`headfield.parametric.neck.neck_plane`, by which truth v1 is cut, for
    anchors that are in the model frame already; truth v2 is cut level, with a tilt of 0.

    Args:
        anchors: (39, 3) anchors in the model frame.
        tilt: The share of the tilt of the anchors' plane that the cut takes, `neck_tilt` of a model.
        above: Units by which the plane is raised, to stay clear of the cap's rim.
    Returns:
        (4,) unit normal (pointing to the head) and offset: side = n @ x + d, positive on the head.
    """
    throat, left, right = (np.asarray(anchors, dtype=float)[part] for part in _NECK_PARTS)
    own = np.cross(right - throat, left - throat)
    own = own / max(np.linalg.norm(own), 1e-9)
    normal = tilt * own * (1.0 if own[1] >= 0 else -1.0) + np.array([0.0, 1.0 - tilt, 0.0])
    normal = normal / np.linalg.norm(normal)
    middle = 0.5 * throat + 0.25 * (left + right)
    return np.append(normal, CUT_BELOW - above - normal @ middle)


def build_mean_field(
    signed_distance: Callable[[np.ndarray], np.ndarray],
    box: np.ndarray,
    anchors: np.ndarray,
    resolution: int = 56,
    surface_points: int = 1500,
    tilt: float = 0.5,
) -> MeanField:
    """Sample a field once and re-measure its distances.

    Args:
        signed_distance: Field of the mean head, (N, 3) model units -> (N,).
        box: (2, 3) where the field is defined.
        anchors: (39, 3) anchors of the mean head.
        resolution: Grid samples along the box's longest side.
        surface_points: How many surface points to keep.
        tilt: Of the neck's cut, see :func:`neck_plane`.
    Raises:
        ValueError: The field has no zero level in the box.
    """
    box = np.asarray(box, dtype=float)
    step = float((box[1] - box[0]).max()) / (resolution - 1)
    counts = [2 * int(np.ceil((box[1][a] - box[0][a]) / (2 * step) - 1e-9)) + 1 for a in range(3)]
    inner = [box[0][a] + step * np.arange(counts[a]) for a in range(3)]
    values = _two_levels(signed_distance, inner, step)
    crossings = _zero_crossings(values, inner, step)

    margin = int(np.ceil(_PAD / step))
    axes = [box[0][a] + step * (np.arange(len(inner[a]) + 2 * margin) - margin) for a in range(3)]
    inside = np.pad(values, margin, constant_values=1.0) < 0
    # half a step: the transform measures to the nearest sample of the other side, the surface lies between
    distance = (distance_transform_edt(~inside) + distance_transform_edt(inside) - 0.5) * step
    close = np.argwhere(distance < 3.0 * step)
    distance[tuple(close.T)] = cKDTree(crossings).query(np.stack([axes[k][close[:, k]] for k in range(3)], -1))[0]
    distance = np.where(inside, -distance, distance)
    # Nearest crossings overestimate small distances by the sampling of the crossings; there the field itself is right.
    near = np.pad(np.abs(values) < 1.5 * step, margin)
    distance[near] = np.pad(values, margin)[near]

    gradient = np.stack([*np.gradient(distance, step)], -1)
    gradient /= np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-6)
    grid = np.concatenate([distance[..., None], gradient], -1).transpose(3, 2, 1, 0)[None]
    field = MeanField(
        torch.from_numpy(np.ascontiguousarray(grid, dtype=np.float32)),
        np.array([axis[0] for axis in axes]),
        np.array([axis[-1] for axis in axes]),
        np.empty((0, 3)),
        np.empty((0, 3)),
        anchors,
        neck_plane(anchors, tilt),
    )
    surface = crossings[crossings @ field.cut[:3] + field.cut[3] > 0.06]
    keep = np.random.default_rng(0).permutation(len(surface))[:surface_points]
    surface = surface[keep]
    normals = field.lookup(torch.from_numpy(surface.astype(np.float32)))[1].numpy().astype(float)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    return replace(field, surface=surface, normals=normals)


def _two_levels(signed_distance, axes: list[np.ndarray], step: float) -> np.ndarray:
    """Field on the grid: every other sample everywhere, the rest only near the surface, interpolated elsewhere."""

    def evaluate(points: np.ndarray) -> np.ndarray:
        return np.asarray(signed_distance(points.astype(np.float32)), dtype=float)

    coarse_axes = [axis[::2] for axis in axes]
    coarse = evaluate(np.stack(np.meshgrid(*coarse_axes, indexing="ij"), -1).reshape(-1, 3))
    values = _doubled(coarse.reshape([len(axis) for axis in coarse_axes]))
    near = np.abs(values) < 2.0 * step
    near[::2, ::2, ::2] = False
    where = np.argwhere(near)
    if len(where):
        values[near] = evaluate(np.stack([axes[k][where[:, k]] for k in range(3)], -1))
    return values


def _doubled(coarse: np.ndarray) -> np.ndarray:
    """Trilinear interpolation of a grid (n, m, k) to (2n - 1, 2m - 1, 2k - 1)."""
    for axis in range(3):
        coarse = np.moveaxis(coarse, axis, 0)
        fine = np.empty((2 * len(coarse) - 1, *coarse.shape[1:]))
        fine[::2], fine[1::2] = coarse, 0.5 * (coarse[1:] + coarse[:-1])
        coarse = np.moveaxis(fine, 0, axis)
    return coarse


def _zero_crossings(values: np.ndarray, axes: list[np.ndarray], step: float) -> np.ndarray:
    """Points (M, 3) where the field changes sign along a grid edge, by linear interpolation."""
    found = []
    for axis in range(3):
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = values[tuple(first)], values[tuple(second)]
        index = np.argwhere((a < 0) != (b < 0))
        if len(index) == 0:
            continue
        at, bt = a[tuple(index.T)], b[tuple(index.T)]
        points = np.stack([axes[k][index[:, k]] for k in range(3)], -1)
        points[:, axis] += step * at / (at - bt)
        found.append(points)
    if not found:
        raise ValueError("the mean head's field has no zero level inside its box")
    return np.concatenate(found)


def mean_field_of(model, hair_class: int = 0, resolution: int = 56) -> MeanField:
    """The mean field of a head model, computed once per model and kept on it.

    Args:
        model: A HeadModel with ``mean_codes``, ``signed_distance``, ``anchors`` and ``box``.
        hair_class: Which mean of the prior's mixture.
        resolution: Grid samples along the longest side; 56 is 5-7 mm, about 90,000 evaluations.
    """
    cache = model.__dict__.setdefault("_mean_fields", {})
    key = (hair_class, resolution)
    if key not in cache:
        codes = model.mean_codes(hair_class)
        with torch.no_grad():
            anchors = model.anchors(codes)[0].double().cpu().numpy()

            folded = model.condition(codes)

            def field(points: np.ndarray) -> np.ndarray:
                chunks = [
                    model.signed_distance(chunk[None], folded)[0].cpu()
                    for chunk in torch.from_numpy(points).split(8192)
                ]
                return torch.cat(chunks).numpy()

            cache[key] = build_mean_field(field, np.asarray(model.box), anchors, resolution, tilt=model.neck_tilt)
    return cache[key]


def class_fields(model, resolution: int = 44) -> list[Callable[[], MeanField]]:
    """Makers of the mean fields of the prior's components after the first (hair classes), coarser, made on demand."""
    return [partial(mean_field_of, model, index, resolution) for index in range(1, len(model.prior.means))]
