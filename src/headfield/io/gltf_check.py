"""What a glTF file says of itself, checked before it is read: lengths, sizes, counts of instances, trees of nodes.

The parser behind allocates what an accessor states and draws a mesh once for every node that shows it, so that a few
hundred bytes could ask for any amount; and of what it does not know it reads nothing, in silence.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from headfield.errors import ScanError
from headfield.io import guard

_FAN = 6
_COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")

_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_PARTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}

_PER_ENTRY = 100
"""Bytes that a vertex or an index of one instance takes on its way: numbers of eight bytes, and copies of them."""

_PER_NODE = 10_000
"""Bytes, and with them time, that a node takes in the parser's graph."""

DEEPEST = 500
"""Levels of nodes."""


class Gltf(NamedTuple):
    """A glTF file whose statements hold.

    Attributes:
        content: All its bytes.
        document: Its JSON.
        size: Bytes of it and of the buffers beside it.
    """

    content: bytes
    document: dict
    size: int


def checked_gltf(path: Path) -> Gltf:
    """The content of a ``.glb`` or ``.gltf`` file, if it can be read without harm.

    Raises:
        ScanError: It is cut short, no glTF, larger than it may be, names files elsewhere, or its geometry is of a kind
            that is not read.
    """
    content = guard.content(path)
    text, binary = _chunks(path, content) if content.startswith(b"glTF") else (content, b"")
    document = guard.json_of(path, raw=text)
    if not isinstance(document, dict) or "asset" not in document:
        raise ScanError(f"{path}: no glTF document (an object with 'asset'). Export it again.")
    for key in ("buffers", "bufferViews", "accessors", "meshes", "nodes", "scenes"):
        entries = document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ScanError(f"{path}: '{key}' is no list of objects, as glTF has it. Export it again.")
    _refuse_unread(path, document)
    size = len(content) + _beside(path, document, len(binary))
    _check_accessors(path, document, size)
    _check_nodes(path, document, size)
    return Gltf(content, document, size)


def _chunks(path: Path, content: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk of a GLB (glTF 2.0, 4.4)."""
    stated = int.from_bytes(content[8:12], "little")
    if len(content) < 20 or stated > len(content):
        raise ScanError(f"{path}: its header states {stated:,} bytes, the file has {len(content):,}: it is cut short.")
    found, place = [], 12
    while place + 8 <= len(content) and len(found) < 2:
        length = int.from_bytes(content[place : place + 4], "little")
        if length > len(content) - place - 8:
            raise ScanError(
                f"{path}: a part of it states {length:,} bytes, and {len(content) - place - 8:,} follow: it is "
                "damaged, or cut short. Export it again."
            )
        found.append(content[place + 8 : place + 8 + length])
        place += 8 + length
    return found[0], found[1] if len(found) > 1 else b""


def _refuse_unread(path: Path, document: dict) -> None:
    """Refuse by name what the parser would pass over in silence, or read as zeros."""
    parts = [part for mesh in document.get("meshes", ()) for part in mesh.get("primitives", ())]
    if _FAN in [part.get("mode") for part in parts]:
        raise ScanError(
            f"{path}: a part of it is a triangle fan (glTF mode {_FAN}), which is not read: triangles and triangle "
            "strips are. Export it as triangles."
        )
    known = ("KHR_draco_mesh_compression",) if importlib.util.find_spec("DracoPy") else ()
    for name in (name for name in document.get("extensionsRequired", ()) if name in _COMPRESSED and name not in known):
        raise ScanError(f"{path}: its geometry is compressed ({name}), which is not read. Export it uncompressed.")


def _beside(path: Path, document: dict, binary: int) -> int:
    """Bytes of the files that it names, all of them there; and buffers of the lengths that they state."""
    total = 0
    for number, buffer in enumerate(document.get("buffers", [])):
        uri, length = buffer.get("uri"), _whole(path, buffer.get("byteLength"), "byteLength")
        if uri is None:
            held = binary if number == 0 else 0
        elif str(uri).startswith("data:"):
            held = 3 * len(uri) // 4
        else:
            with guard.opened(guard.neighbour(path, uri)) as file:
                held = file.seek(0, 2)
            total += held
        if length > held:
            raise ScanError(
                f"{path}: buffer {number} states {length:,} bytes, and there are {held:,}: it is cut short."
            )
    return total


def _check_accessors(path: Path, document: dict, size: int) -> None:
    views, need = document.get("bufferViews", []), 0
    lengths = [_whole(path, buffer.get("byteLength"), "byteLength") for buffer in document.get("buffers", [])]
    for view in views:
        begin, length = (_whole(path, view.get(key, 0), key) for key in ("byteOffset", "byteLength"))
        if begin + length > lengths[_index(path, view.get("buffer"), lengths, "buffer")]:
            raise ScanError(f"{path}: a view reaches beyond the end of its buffer. Export it again.")
    for accessor in document.get("accessors", []):
        count = _whole(path, accessor.get("count"), "count")
        kind, parts = accessor.get("componentType"), accessor.get("type")
        if kind not in _BYTES or parts not in _PARTS:
            raise ScanError(f"{path}: an accessor of type {_said(parts)}, {_said(kind)}, which glTF does not have.")
        width = _BYTES[kind] * _PARTS[parts]
        need += count * width
        if "bufferView" not in accessor:
            continue
        view = views[_index(path, accessor["bufferView"], views, "bufferView")]
        stride = _whole(path, view.get("byteStride", width), "byteStride")
        begin = _whole(path, accessor.get("byteOffset", 0), "byteOffset")
        if count and begin + (count - 1) * stride + width > _whole(path, view.get("byteLength"), "byteLength"):
            raise ScanError(f"{path}: an accessor of {count:,} entries reaches beyond its view. Export it again.")
    guard.check_need(path, 3 * need, size, "accessors of very many entries")


def _check_nodes(path: Path, document: dict, size: int) -> None:
    """Nodes are a forest (glTF 2.0, 3.5.2), and what they show of meshes is of a size that may be read."""
    nodes, accessors = document.get("nodes", []), document.get("accessors", [])
    parent = [-1] * len(nodes)
    for number, node in enumerate(nodes):
        children = node.get("children", [])
        for child in children if isinstance(children, list) else [None]:
            child = _index(path, child, nodes, "children")
            if parent[child] >= 0 or child == number:
                raise ScanError(f"{path}: node {child} hangs on two others; nodes must be a tree. Export it again.")
            parent[child] = number
    depth, level = 0, [number for number in range(len(nodes)) if parent[number] < 0]
    seen = len(level)
    while level and depth <= DEEPEST:
        level = [child for number in level for child in nodes[number].get("children", [])]
        depth, seen = depth + 1, seen + len(level)
    if level or seen < len(nodes):
        how = f"more than {DEEPEST} levels deep" if level else "in a circle"
        raise ScanError(f"{path}: its nodes hang on one another {how}. Export it again, or apply the transforms.")
    sizes = []
    for mesh in document.get("meshes", []):
        total = 0
        for part in mesh.get("primitives", ()):
            named = [part.get("indices"), *part.get("attributes", {}).values()]
            for index in (index for index in named if index is not None):
                accessor = accessors[_index(path, index, accessors, "accessor")]
                total += max(accessor["count"], 1)
        sizes.append(total)
    shown = [sizes[_index(path, node["mesh"], sizes, "mesh")] for node in nodes if node.get("mesh") is not None]
    need = _PER_ENTRY * sum(shown) + _PER_NODE * len(nodes)
    guard.check_need(path, need, size, f"{len(nodes):,} nodes that show {sum(shown):,} vertices and corners")


def _whole(path: Path, value, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ScanError(f"{path}: '{name}' is {_said(value)}, expected a whole number. Export it again.")
    return value


def _said(value) -> str:
    """A value of JSON for a message."""
    if isinstance(value, (list, dict)):
        return f"a {'list' if isinstance(value, list) else 'object'} of {len(value):,}"
    return guard.shown(repr(value)[:200], 40)


def _index(path: Path, value, entries: list, name: str) -> int:
    value = _whole(path, value, name)
    if value >= len(entries):
        raise ScanError(f"{path}: '{name}' names number {value:,}, and there are {len(entries):,}. Export it again.")
    return value
