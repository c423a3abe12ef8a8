"""VRML 2 (and what VRML 1 shares with it): faces and points with colours, by the format's own text.

Only what shapes need is understood: nodes and their fields, DEF and USE. Prototypes, scripts and files that are named
(but for pictures) are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.gltf import linear_colours, srgb_colours
from headfield.io.point_text import bytes_of
from headfield.io.polygons import triangulate, unstrip
from headfield.io.raw import RawGeometry, joined
from headfield.io.textures import Material, Pictures, beside, settled, surface_colours

DEEPEST = 100
"""Levels of nodes."""

MOST_NODES = 100_000
"""Nodes that are gone through, as often as they are used."""

_PER_ENTRY = 200
_NUMBERS = re.compile(r"\[([-+0-9.eE,\s]*)\]")
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([][{}])|([^\s,\[\]{}"]+)')
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|#[^\n]*')


@dataclass
class _Node:
    """A node: its kind and its fields, each a list of nodes, numbers (an array), texts or words."""

    kind: str
    fields: dict[str, list] = field(default_factory=dict)
    children: list[_Node] = field(default_factory=list)

    def node(self, name: str) -> _Node | None:
        return next((one for one in self.fields.get(name, []) if isinstance(one, _Node)), None)

    def numbers(self, name: str) -> np.ndarray:
        """All numbers of a field, one after the other."""
        found = []
        for one in self.fields.get(name, []):
            if isinstance(one, np.ndarray):
                found.append(one)
            elif isinstance(one, str):
                try:
                    found.append(np.array([float(one)]))
                except ValueError:
                    continue
        return np.concatenate(found) if found else np.zeros(0)

    def word(self, name: str, usual: str) -> str:
        return next((one for one in self.fields.get(name, []) if isinstance(one, str)), usual).upper()


def read_wrl(path: Path) -> RawGeometry:
    """The faces and points of a VRML file as its nodes place them; VRML has no unit of its own but metres, seldom kept.

    Raises:
        ScanError: It is too large or too deep, or shows nothing.
        ValueError: It is no VRML.
    """
    written = guard.text(path)
    if not written.lstrip().startswith("#VRML"):
        raise ValueError("its first line is not '#VRML V2.0 utf8'")
    guard.check_need(path, 40 * written.count(" ") + 12 * len(written), len(written), "a text of many numbers")
    nodes = _Parser(path, written).nodes()
    pictures = Pictures(path, lambda name: beside(path, name))
    parts, entries = [], 0
    for node, matrix, shape in _shapes(path, nodes):
        for part in _geometry(node, shape, pictures):
            entries += len(part.points) + (0 if part.triangles is None else len(part.triangles))
            guard.check_need(
                path, _PER_ENTRY * entries, len(written), f"instances of {entries:,} vertices and triangles"
            )
            parts.append(part.placed(matrix))
    if not parts:
        raise ScanError(f"{path}: no IndexedFaceSet, IndexedTriangleStripSet or PointSet in it: it shows no surface.")
    return replace(joined(settled(parts)), notes=tuple(pictures.notes.values()))


class _Parser:
    """Nodes of a text; lists of plain numbers are taken out beforehand, as arrays."""

    def __init__(self, path: Path, written: str) -> None:
        self.path, self.arrays, self.known = path, [], {}
        plain = _COMMENT.sub(lambda found: found[1] or "", written)
        plain = _NUMBERS.sub(self._array, plain)
        guard.check_need(path, 150 * len(re.findall(r"\S+", plain)), len(written), "a text of many words")
        self.tokens = [found.groups() for found in _TOKEN.finditer(plain)]
        self.place = 0

    def _array(self, found: re.Match) -> str:
        words = found[1].replace(",", " ").split()
        self.arrays.append(np.array(words, dtype=float))
        return f" \0{len(self.arrays) - 1} "

    def nodes(self) -> list[_Node]:
        """All nodes of the outermost level."""
        found = []
        while self.place < len(self.tokens):
            value = self._value(0)
            if isinstance(value, _Node):
                found.append(value)
        return found

    def _value(self, depth: int):
        """The next value: a node, an array, a text, a word, a list, or None at a closing bracket."""
        if depth > DEEPEST:
            raise ScanError(f"{self.path}: its nodes are more than {DEEPEST} levels deep. Export it as one mesh.")
        if self.place >= len(self.tokens):
            raise ValueError("it is cut short: a bracket is not closed")
        text, sign, word = self.tokens[self.place]
        self.place += 1
        if sign in ("]", "}"):
            return None
        if sign == "[":
            found = []
            while (value := self._value(depth + 1)) is not None:
                found.append(value)
            return found
        if sign == "{":  # a body that belongs to nothing known
            self.place -= 1
            return self._node("", depth)
        if word is None:
            return text
        if word.startswith("\0"):
            return self.arrays[int(word[1:])]
        if word == "DEF":
            name = self._word()
            self.known[name] = node = self._value(depth)
            return node
        if word == "USE":
            name = self._word()
            return self.known.get(name, "")
        if self._follows("{"):
            return self._node(word, depth)
        return word

    def _word(self) -> str:
        if self.place >= len(self.tokens):
            raise ValueError("it is cut short")
        self.place += 1
        return self.tokens[self.place - 1][2] or ""

    def _follows(self, sign: str) -> bool:
        return self.place < len(self.tokens) and self.tokens[self.place][1] == sign

    def _node(self, kind: str, depth: int) -> _Node:
        self.place += 1  # the bracket
        node, name = _Node(kind), ""
        while (value := self._value(depth + 1)) is not None:
            if isinstance(value, str) and self.tokens[self.place - 1][2] is not None and not _is_value(value):
                name = value
                node.fields.setdefault(name, [])
                continue
            values = value if isinstance(value, list) else [value]
            node.fields.setdefault(name, []).extend(values)
            node.children += [one for one in values if isinstance(one, _Node)]
        return node


def _is_value(word: str) -> bool:
    """Whether a word is no name of a field: a number, or TRUE and the like."""
    return word.isupper() or word[:1] in "+-.0123456789"


def _shapes(path: Path, nodes: list[_Node]):
    """Geometry nodes with their transforms and the shapes around them (VRML 1: the nodes before them)."""
    waiting, seen = [(node, np.eye(4), _Node("")) for node in reversed(nodes)], 0
    depths = [0] * len(waiting)
    while waiting:
        (node, matrix, shape), depth = waiting.pop(), depths.pop()
        seen += 1
        if seen > MOST_NODES or depth > DEEPEST:
            raise ScanError(
                f"{path}: more than {MOST_NODES:,} nodes, or {DEEPEST} levels of them. Export it as one mesh."
            )
        if node.kind in ("IndexedFaceSet", "IndexedTriangleSet", "IndexedTriangleStripSet", "PointSet"):
            yield node, matrix, shape
            continue
        if node.kind in ("Transform", "MatrixTransform"):
            matrix = matrix @ _matrix(node)
        if node.kind in ("Shape", "Separator", "Group"):
            shape = node
        if node.kind in ("Switch", "LOD"):  # one of its choices
            children = node.children[:1]
        else:
            children = node.children
        waiting += [(child, matrix, shape) for child in reversed(children)]
        depths += [depth + 1] * len(children)


def _matrix(node: _Node) -> np.ndarray:
    """T C R SR S -SR -C (VRML97, 6.52)."""

    def moved(name: str) -> np.ndarray:
        matrix, value = np.eye(4), node.numbers(name)
        if len(value) == 3:
            matrix[:3, 3] = value
        return matrix

    def turned(name: str) -> np.ndarray:
        matrix, value = np.eye(4), node.numbers(name)
        if len(value) == 4 and np.linalg.norm(value[:3]) > 0:
            x, y, z = value[:3] / np.linalg.norm(value[:3])
            cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            matrix[:3, :3] += np.sin(value[3]) * cross + (1 - np.cos(value[3])) * cross @ cross
        return matrix

    scale, value = np.eye(4), node.numbers("scale")
    scale[:3, :3] = np.diag(value) if len(value) == 3 else np.eye(3)
    centre, askew = moved("center"), turned("scaleOrientation")
    around = centre @ turned("rotation") @ askew @ scale @ np.linalg.inv(askew) @ np.linalg.inv(centre)
    return moved("translation") @ around


def _geometry(node: _Node, shape: _Node, pictures: Pictures):
    """The part of one node; none where it has no points."""
    coordinates = node.node("coord") or _beside_node(shape, "Coordinate3")
    points = np.zeros((0, 3)) if coordinates is None else coordinates.numbers("point")
    points = points[: len(points) // 3 * 3].reshape(-1, 3)
    if not len(points):
        return
    colour = node.node("color")
    table = np.zeros((0, 3)) if colour is None else colour.numbers("color")
    table = table[: len(table) // 3 * 3].reshape(-1, 3)
    if node.kind == "PointSet":
        yield RawGeometry(points, colours=bytes_of(table) if len(table) == len(points) else None)
        return
    index = node.numbers("coordIndex") if "coordIndex" in node.fields else node.numbers("index")
    index = np.where(np.isfinite(index), index, -1).astype(np.int64)
    if node.kind == "IndexedTriangleStripSet":
        triangles = unstrip(index)
        yield RawGeometry(points, triangles=triangles, colours=bytes_of(table) if len(table) == len(points) else None)
        return
    if node.kind == "IndexedTriangleSet":
        index = np.insert(index[: len(index) // 3 * 3], np.arange(3, len(index) // 3 * 3 + 1, 3), -1)
    corners, counts, kept = _polygons(index)
    cut = triangulate(points, corners, counts)
    if node.word("ccw", "TRUE") == "FALSE":
        cut = cut[:, ::-1]
    colours = _face_colours(node, table, points, corners, counts, kept)
    if colours is None:
        colours = _picture_colours(node, shape, pictures, len(points), corners, kept)
    yield RawGeometry(points, triangles=corners[cut] if len(cut) else None, colours=colours)


def _polygons(index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (C,), corners of each polygon (P,), and where in the list the corners stand; -1 ends a polygon."""
    kept = np.flatnonzero(index >= 0)
    ends = np.flatnonzero(index < 0)
    number = np.searchsorted(ends, kept)
    return index[kept], np.bincount(number, minlength=len(ends)) if len(kept) else np.zeros(0, np.int64), kept


def _face_colours(node, table, points, corners, counts, kept) -> np.ndarray | None:
    """Colours of vertices by the Color node: for vertices, or for faces (VRML97, 6.23)."""
    if not len(table):
        return None
    index = node.numbers("colorIndex").astype(np.int64)
    if node.word("colorPerVertex", "TRUE") == "FALSE":
        face = np.repeat(np.arange(len(counts)), counts)
        chosen = index[face] if len(index) >= len(counts) else face
    elif len(index):
        chosen = index[kept] if len(index) > (kept[-1] if len(kept) else 0) else np.full(len(corners), -1)
    else:
        chosen = corners
    good = (chosen >= 0) & (chosen < len(table)) & (corners < len(points))
    found = np.zeros((len(points), 3))
    found[corners[good]] = np.clip(table[chosen[good]], 0, 1)
    return bytes_of(found) if good.any() else None


def _picture_colours(node, shape, pictures, count, corners, kept) -> np.ndarray:
    """Colours of vertices by the picture or the diffuse colour of the shape's appearance."""
    appearance = shape.node("appearance") or shape
    plain = (appearance.node("material") or _beside_node(shape, "Material") or _Node("")).numbers("diffuseColor")
    factor = linear_colours(np.clip(plain[None, :3], 0, 1) * 255)[0] if len(plain) >= 3 else np.ones(3)
    flat = srgb_colours(np.repeat(factor[None], count, axis=0))
    texture = appearance.node("texture") or _beside_node(shape, "Texture2")
    if texture is None:
        return flat
    urls = [
        one for one in (*texture.fields.get("url", ()), *texture.fields.get("filename", ())) if isinstance(one, str)
    ]
    coordinates = node.node("texCoord") or _beside_node(shape, "TextureCoordinate2")
    if not urls or coordinates is None:
        return flat
    uv = coordinates.numbers("point")
    uv = uv[: len(uv) // 2 * 2].reshape(-1, 2)
    index = node.numbers("texCoordIndex") if "texCoordIndex" in node.fields else node.numbers("textureCoordIndex")
    index = index.astype(np.int64)
    chosen = index[kept] if len(index) and len(index) > (kept[-1] if len(kept) else 0) else corners
    good = (chosen >= 0) & (chosen < len(uv))
    places = np.full((len(corners), 2), np.nan)
    places[good] = uv[chosen[good]] * [1, -1] + [0, 1]  # VRML counts upwards
    across, down = ("clamp" if texture.word(name, "TRUE") == "FALSE" else "repeat" for name in ("repeatS", "repeatT"))
    material = Material(picture=urls[0], wrap=(across, down))
    return surface_colours(count, corners, places, np.zeros(len(corners), np.int64), {0: material}, pictures)


def _beside_node(shape: _Node, kind: str) -> _Node | None:
    """VRML 1 keeps what belongs to a surface in nodes beside it."""
    return next((child for child in shape.children if child.kind == kind), None)
