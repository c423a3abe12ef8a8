"""ICT-FaceKit on joints: a neck and a jaw that the family itself does not have, and the same rig for every identity.

* **Jaw**: the rigid motion of the lower teeth under `jawOpen` (Kabsch; 2,204 vertices follow it to 0.08 mm in the mean,
  0.23 mm at most) is a turn of 25.33 degrees about an axis along x. Skin takes the share of it that lies along its own
  `jawOpen` offset; what is left is the pose corrective, so that the turned jaw reproduces the blendshape.
* **Neck**: the head turns about the point between the jaw's joints and the nape, shared out to the cut as
  :mod:`headfield.parametric.neck_pose` does; the cut stays on the root, which carries the shoulders.
* **Channels**: ICT's ARKit channels but `jawOpen`, which the joint replaces, and the eight of the gaze: eyeballs are
  part of the skin here and do not turn.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from headfield import frames
from headfield.parametric.ict import METRES_PER_CM, IctHead
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.rig import HeadRig
from headfield.types import ARKIT

JOINTS = ("root", "neck", "jaw")
PARENTS = np.array([-1, 0, 1])

JAW_OPEN_RADIANS = 0.44216
"""Turn of the lower teeth for a `jawOpen` of 1."""

JAW_PLACE_CM = np.array([0.0, -0.5473, 1.8191])
"""A point of the jaw's axis in ICT-FaceKit's frame, centimetres."""

CANONICAL_JAW = 0.2
"""Turn of the jaw in the canonical pose, radians (published code of IMAvatar)."""

_LEAST_SWING = 0.004
"""Skin that the turned jaw would move by less than this (1 mm) takes no share of it, model units."""

CHANNELS = tuple(name for name in ARKIT if name not in ("jawOpen", "tongueOut") and not name.startswith("eyeLook"))
"""Expression numbers of the rig, 42 ARKit weights."""


def jaw_pose(jaw_open: float | np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3) of the jaw for ARKit weights of `jawOpen` (...)."""
    return np.multiply.outer(np.asarray(jaw_open, dtype=float), [JAW_OPEN_RADIANS, 0.0, 0.0])


def ict_rig(head: IctHead, identity: np.ndarray, modes: int | None = None) -> HeadRig:
    """The rig of one identity.

    Args:
        head: ICT-FaceKit as closed solids.
        identity: (100,) weights.
        modes: Only the first of them count, None for all: what a tracker of few modes would know of the person.
    """
    identity = np.asarray(identity, dtype=float).copy()
    identity[len(identity) if modes is None else modes :] = 0.0
    raw = head.raw_vertices(identity)
    anchors = head.anchors(raw)
    placement = normalising_similarity(anchors)
    neutral = placement.apply(raw)
    offsets = {name: placement.scale * placement.rotate(_offsets(head, name)) for name in (*CHANNELS, "jawOpen")}
    neck = frames.turning_pivot(placement.apply(anchors))
    # joints are places of the model frame, the same for all: tracks of one identity fit another
    mean = normalising_similarity(head.anchors(head.raw_vertices(head.mean_identity())))
    jaw = mean.apply(JAW_PLACE_CM * METRES_PER_CM)
    root = np.array([0.0, neutral[np.unique(head.triangles[head.cap]), 1].mean(), neck[2]])
    share = _jaw_share(head.triangles, neutral, offsets["jawOpen"], jaw)
    turning = head.turning_share
    weights = np.stack([1.0 - turning, turning * (1.0 - share), turning * share], axis=1)
    shapes = np.stack([offsets[name] for name in CHANNELS], axis=1)
    return _in_canonical_pose(
        HeadRig(
            channels=CHANNELS,
            joints=JOINTS,
            parents=PARENTS,
            places=np.stack([root, neck, jaw]),
            canonical=np.zeros((3, 3)),
            vertices=neutral,
            triangles=head.triangles,
            shapes=shapes,
            correctives=_correctives(neutral, offsets["jawOpen"], weights[:, 2], jaw),
            weights=weights,
        )
    )


def _offsets(head: IctHead, channel: str) -> np.ndarray:
    """Displacement (V, 3) of a channel, metres."""
    return head.expression_offsets(np.array([name == channel for name in ARKIT], dtype=float))


def _swing(vertices: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Displacement (V, 3) of vertices that ride on the wide open jaw."""
    cosine, sine = np.cos(JAW_OPEN_RADIANS), np.sin(JAW_OPEN_RADIANS)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    return (vertices - place) @ (turn - np.eye(3)).T


def _jaw_share(triangles: np.ndarray, vertices: np.ndarray, opened: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Share (V,) of the jaw's turn that each vertex takes, smoothed over its neighbours."""
    swing = _swing(vertices, place)
    square = (swing**2).sum(1)
    share = np.clip((opened * swing).sum(1) / np.maximum(square, _LEAST_SWING**2), 0.0, 1.0)
    share[square < _LEAST_SWING**2] = 0.0
    corners = np.concatenate([triangles, triangles[:, [1, 2, 0]]])
    edges = coo_matrix(
        (np.ones(len(corners)), (corners[:, 0], corners[:, 1])), shape=(len(vertices), len(vertices))
    ).tocsr()
    edges = csr_matrix((edges + edges.T).astype(bool).astype(float))
    degree = np.maximum(np.asarray(edges.sum(1)).ravel(), 1.0)
    for _ in range(2):  # the corrective takes up what smoothing changes
        share = 0.5 * share + 0.5 * (edges @ share) / degree
    return share


def _correctives(vertices: np.ndarray, opened: np.ndarray, share: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Pose correctives (V, 18, 3): the least ones with which the wide open jaw is `jawOpen`."""
    cosine, sine = np.cos(JAW_OPEN_RADIANS), np.sin(JAW_OPEN_RADIANS)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    feature = (turn - np.eye(3)).ravel()
    blended = np.eye(3) + share[:, None, None] * (turn - np.eye(3))
    rest = opened - share[:, None] * _swing(vertices, place)
    rest = np.linalg.solve(blended, rest[:, :, None])[:, :, 0]  # correctives come before the turn
    found = np.zeros((len(vertices), 18, 3))
    found[:, 9:] = feature[None, :, None] * rest[:, None] / (feature @ feature)
    return found


def _in_canonical_pose(rig: HeadRig) -> HeadRig:
    """The rig at rest moved to the canonical pose, with blendshapes turned along."""
    canonical = np.zeros((3, 3))
    canonical[2, 0] = CANONICAL_JAW
    blended = np.tensordot(rig.weights, rig.bones(canonical), axes=1)[:, :, :3]
    return HeadRig(
        channels=rig.channels,
        joints=rig.joints,
        parents=rig.parents,
        places=rig.places,
        canonical=canonical,
        vertices=rig.posed(np.zeros(len(rig.channels)), canonical),
        triangles=rig.triangles,
        shapes=np.einsum("vab,veb->vea", blended, rig.shapes),
        correctives=np.einsum("vab,veb->vea", blended, rig.correctives),
        weights=rig.weights,
    )
