"""A skin put into a GLB: joints that its head follows, after its morph targets (glTF 2.0, 3.7.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headfield.errors import ConfigError
from headfield.io.gltf_animation import GlbAccessors, join_glb, split_glb

INFLUENCES = 4
"""Joints that move a vertex at most: what every engine reads."""


def with_skin(
    glb: bytes,
    joints: Sequence[str],
    parents: np.ndarray,
    places: np.ndarray,
    bound: np.ndarray,
    weights: np.ndarray,
) -> bytes:
    """The GLB with its first mesh on joints; it is shown with no joint turned.

    Args:
        glb: Whose first node holds the mesh of V vertices.
        joints: (J,) names, the root first.
        parents: (J,) index of each joint's parent, -1 for the root.
        places: (J, 3) of joints that are not turned, metres.
        bound: (J, 3, 4) motions of the joints, from not turned to the pose that the vertices are given in, metres.
        weights: (V, J), rows sum to one.
    Returns:
        The new file's bytes.
    Raises:
        ConfigError: No GLB, or numbers of other joints.
    """
    if len(bound) != len(joints) or weights.shape[1] != len(joints):
        raise ConfigError(f"{len(joints)} joints, but {len(bound)} motions and weights of {weights.shape[1]}.")
    document, content = split_glb(glb)
    writer = GlbAccessors(document, content)
    first = len(document["nodes"])
    for joint, (name, parent, place) in enumerate(zip(joints, parents, places)):
        offset = place - (places[parent] if parent >= 0 else 0.0)
        children = [first + int(child) for child in np.flatnonzero(np.asarray(parents) == joint)]
        node = {"name": name, "translation": [float(value) for value in offset]}
        document["nodes"].append(node | ({"children": children} if children else {}))
    order = np.argsort(-weights, axis=1)[:, :INFLUENCES]
    kept = np.take_along_axis(weights, order, axis=1)
    kept = np.pad(kept / kept.sum(1, keepdims=True), ((0, 0), (0, INFLUENCES - order.shape[1])))
    order = np.where(kept > 0, np.pad(order, ((0, 0), (0, INFLUENCES - order.shape[1]))), 0)
    attributes = {
        "JOINTS_0": writer.add(order.astype("<u2"), "VEC4", componentType=5123),
        "WEIGHTS_0": writer.add(kept.astype("<f4"), "VEC4"),
    }
    for primitive in document["meshes"][document["nodes"][0]["mesh"]]["primitives"]:
        primitive["attributes"] |= attributes
    inverse = writer.add(_inverse_binds(places, bound).astype("<f4"), "MAT4")
    skins = document.setdefault("skins", [])
    skins.append({"joints": [first + joint for joint in range(len(joints))], "inverseBindMatrices": inverse})
    skins[-1]["skeleton"] = first
    document["nodes"][0]["skin"] = len(skins) - 1
    document["scenes"][document.get("scene", 0)]["nodes"].append(first)
    return join_glb(document, bytes(writer.content))


def _inverse_binds(places: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """(J, 16) column by column: from the pose that vertices are given in to the joint's own axes."""
    found = np.zeros((len(places), 4, 4))
    for joint, (place, motion) in enumerate(zip(places, bound)):
        turn = motion[:, :3].T
        found[joint, :3, :3] = turn
        found[joint, :3, 3] = -turn @ motion[:, 3] - place
        found[joint, 3, 3] = 1.0
    return found.transpose(0, 2, 1).reshape(-1, 16)
