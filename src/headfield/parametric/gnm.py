"""GNM Head v3 (Google, Apache-2.0) from the user's own file or, when asked for, from the hub.

253 identity numbers (head, eyes, teeth) and 383 expression numbers (around each eye, lower face, tongue, pupils), all
N(0, 1); joints neck, head and eyes, no jaw: the mouth opens by expression. GNM has no ARKit channels. The neck is the
root and stays: where a head stands and looks is its placement. Teeth and tongue are no part of the closed head.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from headfield.errors import DataError, need
from headfield.frames import METRES_PER_UNIT, UNITS_IN_METRES
from headfield.io import guard
from headfield.parametric.bounded_npz import Wanted, read_npz
from headfield.parametric.places import KnownLandmarks, reference_landmarks68
from headfield.parametric.rigged_head import RiggedHead
from headfield.parametric.skinned import SkinnedModel
from headfield.types import Similarity

LICENCE = "Apache-2.0 (Google, GNM Head v3)"

HUB, HUB_FILE = "google/gnm-v3", "v3_0/gnm_head.npz"
"""Where the file is published."""

LANDMARKS = ("head_sparse_68.txt", "gnm_head_sparse_68.txt")
"""Files beside the model that say where its 68 landmarks lie."""

JOINTS = ("neck", "head", "left eye", "right eye")

DEVIATION = np.radians([4.0] * 3 + [6.0] * 6)
"""Standard deviations of the rotations of head and eyes."""

HOW_TO_GET = f"Get gnm_head.npz from https://huggingface.co/{HUB} ({HUB_FILE}), about 53 MB"

_MOST = 200_000
_WANTED = {
    "template_vertex_positions": Wanted("f", 2, 3 * _MOST),
    "template_joint_positions": Wanted("f", 2, 60),
    "vertex_identity_basis": Wanted("f", 3),
    "joint_identity_basis": Wanted("f", 3, 100_000),
    "expression_basis": Wanted("f", 3),
    "joint_names": Wanted("U", 1, 20),
    "joint_parent_indices": Wanted("i", 1, 20),
    "skinning_weights": Wanted("f", 2, 20 * _MOST),
    "triangles": Wanted("i", 2, 6 * _MOST),
    "pose_correctives_regressor": Wanted("f", 2, needed=False),
}


def fetch_gnm(revision: str | None = None) -> Path:
    """Fetch the file from the hub with the user's own connection; it is kept in the hub's cache.

    Args:
        revision: Branch, tag or commit. None takes what was fetched before, so that heads stay what they are whatever
            is published later; the newest if nothing was.
    Raises:
        DataError: The hub cannot be reached, or the file is not there.
    """
    hub = need("huggingface_hub", "", "Fetching GNM Head")
    try:
        known = None if revision else hub.try_to_load_from_cache(HUB, HUB_FILE)
        return Path(known if isinstance(known, str) else hub.hf_hub_download(HUB, HUB_FILE, revision=revision))
    except Exception as error:  # the hub's client raises many kinds, and those of its transport
        raise DataError(
            f"GNM Head could not be fetched ({type(error).__name__}: {error}). {HOW_TO_GET}, and give its path."
        ) from error


def load_gnm(path: Path | str, landmarks: Path | str | None = None) -> RiggedHead:
    """Load GNM Head.

    Args:
        path: ``gnm_head.npz``.
        landmarks: Text file of its 68 landmarks, three (index, weight) a line; None looks for the usual names beside
            it. Without any they are taken from the reference head by place, which is good to a few millimetres.
    Raises:
        DataError: Missing, damaged or not as published.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist. {HOW_TO_GET}.")
    content = read_npz(path, _WANTED)
    model, triangles = _model(content, path)
    known = _landmarks(path, landmarks, model.template)
    eyes = model.joints[2:].mean(0)
    # without landmarks: axes as everywhere, and the eyes where the reference head's are, 12 mm behind its lids
    shift = eyes - METRES_PER_UNIT * reference_landmarks68()[36:48].mean(0) + [0.0, 0.0, 0.012]
    stat = path.stat()
    try:
        return RiggedHead(
            "gnm",
            LICENCE,
            model,
            triangles,
            known,
            Similarity(translation=shift, scale=METRES_PER_UNIT),
            DEVIATION,
            (path.resolve(), stat.st_size, stat.st_mtime_ns),
        )
    except ValueError as error:
        raise DataError(f"{path}: the head cannot be closed ({error}). {HOW_TO_GET}.") from error


def _model(content: dict[str, np.ndarray], path: Path) -> tuple[SkinnedModel, np.ndarray]:
    _check_shapes(content, path)
    count, joints = len(content["template_vertex_positions"]), len(JOINTS)
    n_identity, n_expression = len(content["vertex_identity_basis"]), len(content["expression_basis"])
    triangles = content["triangles"].astype(np.int64)
    if triangles.min() < 0 or triangles.max() >= count:
        raise DataError(f"{path}: triangles name vertex {triangles.max()} of {count}. {HOW_TO_GET}.")
    parents = content["joint_parent_indices"].astype(np.int64)
    if not (parents < np.arange(joints)).all() or parents[0] != -1 or parents[1:].min() < 0:
        raise DataError(f"{path}: joints hang on {parents.tolist()}, expected each on one before it.")
    metres = _unit(content["template_joint_positions"], path)
    weights = content["skinning_weights"].T.astype(float)
    by_identity = np.moveaxis(content["joint_identity_basis"], 0, -1).reshape(3 * joints, n_identity)
    return SkinnedModel(
        template=metres * content["template_vertex_positions"].astype(float),
        identity=_columns(content["vertex_identity_basis"], metres),
        expression=_columns(content["expression_basis"], metres),
        joints=metres * content["template_joint_positions"].astype(float),
        joints_by_identity=metres * by_identity.astype(float),
        joints_by_expression=np.zeros((3 * joints, n_expression)),
        parents=parents,
        weights=weights / np.maximum(weights.sum(1, keepdims=True), 1e-12),
    ), triangles


def _check_shapes(content: dict[str, np.ndarray], path: Path) -> None:
    """Refuse arrays that are not GNM Head's, or not finite."""
    count, joints = len(content["template_vertex_positions"]), len(JOINTS)
    n_identity, n_expression = len(content["vertex_identity_basis"]), len(content["expression_basis"])
    shapes = {
        "template_vertex_positions": (count, 3),
        "template_joint_positions": (joints, 3),
        "vertex_identity_basis": (n_identity, count, 3),
        "joint_identity_basis": (n_identity, joints, 3),
        "expression_basis": (n_expression, count, 3),
        "joint_names": (joints,),
        "joint_parent_indices": (joints,),
        "skinning_weights": (joints, count),
        "triangles": (len(content["triangles"]), 3),
    }
    wrong = [
        f"{name} {content[name].shape}, expected {shape}"
        for name, shape in shapes.items()
        if content[name].shape != shape
    ]
    if wrong:
        raise DataError(f"{path} is no GNM Head v3: {'; '.join(wrong)}. {HOW_TO_GET}.")
    names = [str(name).lower().replace("_", " ") for name in content["joint_names"]]
    if not all(word in name for word, name in zip(("neck", "head", "left", "right"), names)):
        raise DataError(f"{path}: joints {guard.shown(', '.join(names))}, expected {', '.join(JOINTS)}.")
    if np.any(content.get("pose_correctives_regressor", 0.0)):
        raise DataError(f"{path} has pose correctives that are not zero; only GNM Head 3.0, where they are, is known.")
    floats = [value for value in content.values() if value.dtype.kind == "f"]
    if not all(np.isfinite(value).all() for value in floats):
        raise DataError(f"{path}: not all its numbers are finite. {HOW_TO_GET}.")


def _columns(basis: np.ndarray, metres: float) -> np.ndarray:
    """A basis (n, V, 3) as float32 (3V, n), metres."""
    return np.ascontiguousarray((np.float32(metres) * basis.astype(np.float32)).reshape(len(basis), -1).T)


def _unit(joints: np.ndarray, path: Path) -> float:
    """Metres per unit of the file, which does not say: eyes are 50 to 80 mm apart."""
    apart = float(np.linalg.norm(joints[2] - joints[3]))
    for metres in UNITS_IN_METRES.values():
        if 0.050 <= apart * metres <= 0.080:
            return metres
    raise DataError(f"{path}: the eyes are {apart:.4g} apart, which no unit of length explains (50 to 80 mm).")


def _landmarks(path: Path, landmarks: Path | str | None, template: np.ndarray) -> KnownLandmarks | None:
    """The landmarks that a file names, the jaw line in the order from the subject's right to left."""
    if landmarks is None:
        landmarks = next((path.parent / name for name in LANDMARKS if (path.parent / name).is_file()), None)
        if landmarks is None:
            return None
    with guard.reading(landmarks, "a file of landmarks", DataError):
        table = np.loadtxt(io.StringIO(guard.text(landmarks, DataError)), dtype=float, ndmin=2)
    if table.shape != (68, 6):
        raise DataError(f"{landmarks} holds a table {table.shape}, expected 68 lines of three (index, weight).")
    corners, weights = table[:, ::2].astype(int), table[:, 1::2]
    if corners.min() < 0 or corners.max() >= len(template):
        raise DataError(f"{landmarks} names vertex {corners.max()} of {len(template)}: it is for another model.")
    weights = weights / weights.sum(1, keepdims=True)
    # the published file's jaw line is not in the order that detectors use
    points = np.einsum("nk,nkc->nc", weights, template[corners])
    away = points[:17] - points[27:36].mean(0)
    angle = np.arctan2(-away[:, 1], -away[:, 0])
    order = np.concatenate([np.argsort(np.where(angle < -np.pi / 2, angle + 2 * np.pi, angle)), np.arange(17, 68)])
    return KnownLandmarks(corners[order], weights[order])
