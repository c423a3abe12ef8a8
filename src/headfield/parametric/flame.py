"""FLAME 2020, 2023 and 2023 Open from the user's own file: 300 identity and 100 expression numbers, neck, jaw, eyes.

Li et al. 2017, Learning a model of facial shape and expression from 4D scans. The file is never run as a pickle, see
:mod:`headfield.parametric.restricted_pickle`. The frame of FLAME is the model frame divided by four. FLAME has no ARKit
channels: its expression numbers are its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headfield import frames
from headfield.errors import DataError
from headfield.io import guard
from headfield.parametric.bounded_npz import Wanted, read_npz
from headfield.parametric.pickled_arrays import Sparse
from headfield.parametric.places import KnownLandmarks
from headfield.parametric.restricted_pickle import read_pickle
from headfield.parametric.rigged_head import RiggedHead
from headfield.parametric.skinned import SkinnedModel
from headfield.types import Similarity

JOINTS = ("root", "neck", "jaw", "left eye", "right eye")
N_IDENTITY = 300
"""Of the 400 columns of `shapedirs`, the first 300 are identity, the others expression."""

EMBEDDINGS = (
    "flame_static_embedding.pkl",
    "flame_static_embedding_68.pkl",
    "flame_static_embedding_68_v4.npz",
    "landmark_embedding.npz",
)
"""Files beside FLAME's that say where its landmarks lie: `lmk_face_idx` and `lmk_b_coords`, of all 68 or of the 51
without the jaw line."""

DEVIATION = np.radians([4.0] * 3 + [8.0, 1.5, 1.0] + [6.0] * 6)
"""Standard deviations of the rotations of neck, jaw (mostly about x) and eyes."""

_MOST_DENSE = 20_000_000
"""Numbers of a matrix that is stored without its zeros."""

LICENCE = "as of the file: 2023 Open CC-BY-4.0, others by registration at flame.is.tue.mpg.de, not for commercial use"

HOW_TO_GET = (
    "Get FLAME at https://flame.is.tue.mpg.de (2023 Open: CC-BY-4.0) and give the path of generic_model.pkl, "
    "flame2023.pkl or flame2023_Open.pkl"
)


def load_flame(path: Path | str, embedding: Path | str | None = None) -> RiggedHead:
    """Load FLAME.

    Args:
        path: The pickle.
        embedding: A file of its landmarks; None looks for the usual names beside it. Without any, landmarks are taken
            from the reference head by place, which is good to a few millimetres.
    Raises:
        DataError: Missing, refused or not as published.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist. {HOW_TO_GET}.")
    content = read_pickle(path)
    model, triangles = _model(content, path)
    known = _landmarks(path, embedding, triangles)
    stat = path.stat()
    try:
        return RiggedHead(
            "flame",
            LICENCE,
            model,
            triangles,
            known,
            Similarity(scale=frames.METRES_PER_UNIT),
            DEVIATION,
            (path.resolve(), stat.st_size, stat.st_mtime_ns),
        )
    except ValueError as error:
        raise DataError(f"{path}: the head cannot be closed ({error}). {HOW_TO_GET}.") from error


def _model(content: dict, path: Path) -> tuple[SkinnedModel, np.ndarray]:
    arrays = _arrays(content, path)
    count = len(arrays["v_template"])
    triangles = arrays["f"].astype(np.int64)
    if triangles.min() < 0 or triangles.max() >= count:
        raise DataError(f"{path}: triangles name vertex {triangles.max()} of {count}. {HOW_TO_GET}.")
    parents = arrays["kintree_table"][0].astype(np.int64).copy()
    parents[0] = -1  # written as 2^32 - 1
    if not (parents < np.arange(len(JOINTS))).all() or parents[1:].min() < 0:
        raise DataError(f"{path}: joints hang on {parents.tolist()}, expected each on one before it.")
    flat = arrays["shapedirs"].astype(np.float32).reshape(3 * count, -1)
    regressor = arrays["J_regressor"].astype(float)
    by_shape = np.einsum("js,sck->jck", regressor, arrays["shapedirs"].astype(float)).reshape(3 * len(JOINTS), -1)
    weights = arrays["weights"].astype(float)
    return SkinnedModel(
        template=arrays["v_template"].astype(float),
        identity=np.ascontiguousarray(flat[:, :N_IDENTITY]),
        expression=np.ascontiguousarray(flat[:, N_IDENTITY:]),
        joints=regressor @ arrays["v_template"].astype(float),
        joints_by_identity=by_shape[:, :N_IDENTITY],
        joints_by_expression=by_shape[:, N_IDENTITY:],
        parents=parents,
        weights=weights / np.maximum(weights.sum(1, keepdims=True), 1e-12),
        correctives=np.ascontiguousarray(arrays["posedirs"].astype(np.float32).reshape(3 * count, -1).T),
    ), triangles


def _arrays(content: dict, path: Path) -> dict[str, np.ndarray]:
    """FLAME's arrays by name, of the shapes that they must have, finite."""
    needed = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
    missing = [name for name in needed if name not in content]
    if missing:
        names = guard.shown(", ".join(map(str, content)))
        raise DataError(f"{path} has no {', '.join(missing)}; it holds {names}. {HOW_TO_GET}.")
    held = {name: content[name] for name in needed}
    arrays = {name: _dense(value, f"{path}: {name}") for name, value in held.items()}
    if min(array.ndim for array in arrays.values()) == 0:
        raise DataError(f"{path} is no FLAME model: it holds single numbers in place of arrays. {HOW_TO_GET}.")
    count = len(arrays["v_template"])
    shapes = {
        "v_template": (count, 3),
        "f": (len(arrays["f"]), 3),
        "shapedirs": (count, 3, arrays["shapedirs"].shape[-1]),
        "posedirs": (count, 3, 9 * (len(JOINTS) - 1)),
        "J_regressor": (len(JOINTS), count),
        "weights": (count, len(JOINTS)),
        "kintree_table": (2, len(JOINTS)),
    }
    wrong = [
        f"{name} {arrays[name].shape}, expected {shape}"
        for name, shape in shapes.items()
        if arrays[name].shape != shape
    ]
    if wrong:
        raise DataError(f"{path} is no FLAME model: {'; '.join(wrong)}. {HOW_TO_GET}.")
    if arrays["shapedirs"].shape[2] <= N_IDENTITY:
        raise DataError(
            f"{path}: {arrays['shapedirs'].shape[2]} shapes, expected {N_IDENTITY} of identity and those of expression."
        )
    if not all(np.isfinite(arrays[name]).all() for name in ("v_template", "shapedirs", "posedirs", "weights")):
        raise DataError(f"{path}: not all its numbers are finite. {HOW_TO_GET}.")
    return arrays


def _dense(value, name: str) -> np.ndarray:
    """A matrix of numbers with its zeros, if that is of a size that a head has."""
    if isinstance(value, Sparse):
        if value.shape[0] * value.shape[1] > _MOST_DENSE:
            raise DataError(f"{name} is a sparse matrix {value.shape}, which is too large for a head. {HOW_TO_GET}.")
        return value.toarray()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} holds {array.dtype}, expected numbers. {HOW_TO_GET}.")
    return array


def _landmarks(path: Path, embedding: Path | str | None, triangles: np.ndarray) -> KnownLandmarks | None:
    """The landmarks that a file names."""
    if embedding is None:
        embedding = next((path.parent / name for name in EMBEDDINGS if (path.parent / name).is_file()), None)
        if embedding is None:
            return None
    embedding = Path(embedding)
    if embedding.suffix == ".npz":
        found = read_npz(embedding, {"lmk_face_idx": Wanted("i", 1, 68), "lmk_b_coords": Wanted("f", 2, 204)})
    else:
        found = read_pickle(embedding)
    faces, weights = (np.asarray(found.get(name, ())) for name in ("lmk_face_idx", "lmk_b_coords"))
    if faces.shape not in ((68,), (51,)) or weights.shape != (len(faces), 3):
        raise DataError(
            f"{embedding}: lmk_face_idx {faces.shape} and lmk_b_coords {weights.shape}, expected (68,) and (68, 3), or "
            "(51,) and (51, 3) without the jaw line."
        )
    if faces.min() < 0 or faces.max() >= len(triangles):
        raise DataError(f"{embedding} names triangle {faces.max()} of {len(triangles)}: it is for another model.")
    corners, all_weights = np.full((68, 3), -1), np.zeros((68, 3))
    corners[68 - len(faces) :] = triangles[faces.astype(int)]
    all_weights[68 - len(faces) :] = weights
    return KnownLandmarks(corners, all_weights)
