"""An expression track put into a GLB: animated morph weights, a moving head, eyeballs that follow the gaze.

Works on any GLB whose mesh names its morph targets (``extras.targetNames``), so the head may come from here or from
Blender. The file's own data stay byte for byte; accessors, one animation and at most two nodes are added.
"""

from __future__ import annotations

import json
import re
import struct

import numpy as np

from headfield.errors import ConfigError
from headfield.frames import gaze_angles
from headfield.types import ARKIT


def with_animation(
    glb: bytes,
    times: np.ndarray,
    weights: np.ndarray,
    rotation: np.ndarray | None = None,
    *,
    pivot=(0.0, 0.0, 0.0),
    shift: np.ndarray | None = None,
    name: str = "take",
) -> bytes:
    """The GLB with the track as its one animation.

    Args:
        glb: Has a mesh with named morph targets, or several, which all follow. Nodes with ``eye`` and ``left`` or
            ``right`` in their names turn with the eight gaze channels.
        times: (T,) seconds, increasing; the animation begins at 0.
        weights: (T, 52) in the order of ARKIT; channels that a mesh has no target for do not move it.
        rotation: (T, 3, 3) rotations of the whole head, or None.
        pivot: (3,) point the head's rotation turns about, in metres in the GLB's frame.
        shift: (T, 3) metres, where that point goes from where it is, or None.
        name: Of the animation.
    Returns:
        The new file's bytes.
    Raises:
        ConfigError: No GLB, or no mesh with named morph targets in it.
    """
    document, content = split_glb(glb)
    named = [mesh.get("extras", {}).get("targetNames") for mesh in document.get("meshes", [])]
    found = [(index, names) for index, names in enumerate(named) if names]
    if not found:
        raise ConfigError("This GLB has no mesh with named morph targets (extras.targetNames): nothing to animate.")
    moving = [(index, dict(found)[node["mesh"]]) for index, node in enumerate(document["nodes"])
              if node.get("mesh") in dict(found)]  # fmt: skip
    writer = GlbAccessors(document, content)
    times = (np.asarray(times) - times[0]).astype("<f4")
    clock = writer.add(times, "SCALAR", min=[float(times.min())], max=[float(times.max())])
    samplers, channels = [], []

    def animate(target: int, path: str, values: np.ndarray, kind: str) -> None:
        samplers.append({"input": clock, "output": writer.add(values.astype("<f4"), kind), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": target, "path": path}})

    padded = np.column_stack([weights, np.zeros(len(weights))])  # column -1 is zero
    for node, names in moving:
        column = [ARKIT.index(each) if each in ARKIT else -1 for each in names]
        animate(node, "weights", padded[:, column].reshape(-1), "SCALAR")
    for eye, side in _eyes(document, moving[0][0]):
        animate(eye, "rotation", _gaze(weights, side, document["nodes"][eye].get("rotation")), "VEC4")
    node = -1 if rotation is None and shift is None else _pivot_node(document, pivot)
    if rotation is not None:
        from scipy.spatial.transform import Rotation

        animate(node, "rotation", _continuous(Rotation.from_matrix(rotation).as_quat()), "VEC4")
    if shift is not None:
        animate(node, "translation", np.asarray(pivot) + shift, "VEC3")
    document["animations"] = [{"name": name, "samplers": samplers, "channels": channels}]
    return join_glb(document, bytes(writer.content))


def split_glb(glb: bytes) -> tuple[dict, bytes]:
    """The JSON document and the binary chunk of a GLB.

    Raises:
        ConfigError: Not a GLB.
    """
    if len(glb) < 20 or glb[:4] != b"glTF":
        raise ConfigError("A GLB was expected; these bytes begin otherwise.")
    length = struct.unpack("<I", glb[12:16])[0]
    rest = 20 + length
    size = struct.unpack("<I", glb[rest : rest + 4])[0] if len(glb) > rest else 0
    return json.loads(glb[20:rest]), glb[rest + 8 : rest + 8 + size]


def join_glb(document: dict, content: bytes) -> bytes:
    """A GLB of a JSON document and its binary chunk (one buffer)."""
    content += b"\0" * (-len(content) % 4)
    document["buffers"] = [{"byteLength": len(content)}]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(content))
    return b"".join(
        [header, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(content), b"BIN\0"), content]
    )


class GlbAccessors:
    """Appends arrays, of floats unless told otherwise, to a document's binary chunk."""

    def __init__(self, document: dict, content: bytes):
        self.document, self.content = document, bytearray(content)

    def add(self, values: np.ndarray, kind: str, **extra) -> int:
        """Index of a new accessor with the values, of glTF type `kind`."""
        self.content += b"\0" * (-len(self.content) % 4)
        views, accessors = self.document.setdefault("bufferViews", []), self.document.setdefault("accessors", [])
        views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": values.nbytes})
        accessor = {"bufferView": len(views) - 1, "componentType": 5126, "count": len(values), "type": kind}
        accessors.append(accessor | extra)
        self.content += np.ascontiguousarray(values).tobytes()
        return len(accessors) - 1


def _eyes(document: dict, head: int):
    """Nodes that are eyeballs, with their side; of a node and its children only the topmost."""
    found = {}
    for index, node in enumerate(document["nodes"]):
        side = re.search(r"left|right", node.get("name", ""), re.I)
        if index != head and side and re.search("eye", node["name"], re.I):
            found[index] = side[0].capitalize()
    below = {child for index in found for child in document["nodes"][index].get("children", ())}
    return [(index, side) for index, side in found.items() if index not in below]


def _gaze(weights: np.ndarray, side: str, rest) -> np.ndarray:
    """Quaternions (T, 4) xyzw of one eyeball from its four gaze channels."""
    from scipy.spatial.transform import Rotation

    look = [weights[:, ARKIT.index(f"eyeLook{way}{side}")] for way in ("In", "Out", "Up", "Down")]
    yaw, pitch = gaze_angles(side, *look)
    turns = Rotation.from_euler("YX", np.column_stack([yaw, pitch]))
    if rest is not None:
        turns = Rotation.from_quat(rest) * turns
    return _continuous(turns.as_quat())


def _continuous(turns: np.ndarray) -> np.ndarray:
    """Quaternions (T, 4) with signs that do not jump: players interpolate them as they are."""
    signs = np.where((turns[1:] * turns[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    return turns * np.concatenate([[1.0], np.cumprod(signs)])[:, None]


def _pivot_node(document: dict, pivot) -> int:
    """A node at the pivot above the whole scene; what is below it stays where it is."""
    scene = document["scenes"][document.get("scene", 0)]
    pivot = [float(value) for value in pivot]
    nodes = document["nodes"]
    nodes.append({"name": "head_shift", "translation": [-value for value in pivot], "children": scene["nodes"]})
    nodes.append({"name": "head_pivot", "translation": pivot, "children": [len(nodes) - 1]})
    scene["nodes"] = [len(nodes) - 1]
    return len(nodes) - 1
