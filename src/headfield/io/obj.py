"""An OBJ file whose vertices are moved and whose everything else stays: texture coordinates, groups, materials, quads.

The file is kept line by line. Only `v` lines get new numbers, and `vn` lines normals that turn with the faces that use
them; every other line, and so the order and the indices of everything, comes out byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.polygons import triangulate
from headfield.types import Mesh

_SHOWN = 60

_LONGEST = 100_000
"""Characters of a line that goes on in the next ones."""


@dataclass(frozen=True)
class ObjFile:
    """An OBJ file.

    Attributes:
        name: For messages.
        lines: All lines with their ends.
        vertices: (V, 3).
        triangles: (F, 3) of its polygons.
        polygons: How many faces the file has.
        corner_normals: (F, 3) index of the normal of each corner, -1 where a face names none.
        normals: (N, 3) as written, or (0, 3).
        textured: Whether faces name texture coordinates.
        materials: Names of the material files that it asks for.
        vertex_lines, normal_lines: Which lines hold them.
    """

    name: str
    lines: tuple[bytes, ...]
    vertices: np.ndarray
    triangles: np.ndarray
    polygons: int
    corner_normals: np.ndarray
    normals: np.ndarray
    textured: bool
    materials: tuple[str, ...]
    vertex_lines: np.ndarray
    normal_lines: np.ndarray

    def mesh(self) -> Mesh:
        """Its triangles."""
        return Mesh(self.vertices, self.triangles)

    def moved(self, vertices: np.ndarray) -> bytes:
        """The file with other vertices (V, 3).

        Raises:
            ValueError: Not as many as the file has, or not finite.
        """
        vertices = np.asarray(vertices, dtype=float)
        if vertices.shape != self.vertices.shape or not np.isfinite(vertices).all():
            raise ValueError(f"expected {self.vertices.shape} finite coordinates, got {vertices.shape}")
        lines = list(self.lines)
        for number, place in zip(self.vertex_lines, vertices):
            lines[number] = _rewritten(lines[number], place)
        if len(self.normals):
            for number, normal in zip(self.normal_lines, self._turned_normals(vertices)):
                lines[number] = _rewritten(lines[number], normal)
        return b"".join(lines)

    def _turned_normals(self, vertices: np.ndarray) -> np.ndarray:
        """Each normal turned as the faces that use it; kept where none does, or where they disagree to nothing."""
        used = self.corner_normals.ravel() >= 0
        index = self.corner_normals.ravel()[used]
        before, after = _frames(self.vertices, self.triangles), _frames(vertices, self.triangles)
        turn = np.einsum("fci,fdi->fcd", after, before)
        area = np.linalg.norm(_face_vectors(self.vertices, self.triangles), axis=1)
        triangle = np.repeat(np.arange(len(self.triangles)), 3)[used]
        turned = np.einsum("ncd,nd->nc", turn[triangle], self.normals[index]) * area[triangle][:, None]
        total = np.stack([np.bincount(index, turned[:, c], len(self.normals)) for c in range(3)], axis=1)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.where(length > 0, total / np.where(length > 0, length, 1), self.normals)


def read_obj(path: str | Path) -> ObjFile:
    """Read an OBJ file of polygons.

    Raises:
        ScanError: It is missing, not an OBJ file, damaged (with the line), or has no faces.
    """
    path = Path(path)
    if path.suffix.lower() != ".obj":
        raise ScanError(
            f"{path}: a template is an OBJ file, whose texture coordinates, groups and vertex order can be kept, not "
            f"'{path.suffix or 'a file without suffix'}'. Export it as OBJ."
        )
    content = guard.content(path)
    if not content.strip():
        raise ScanError(f"{path}: the file is empty.")
    if (encoding := guard.encoding_of(content)) != "utf-8-sig":
        raise ScanError(f"{path}: a text of {encoding.upper()}; OBJ is plain text. Save it as UTF-8.")
    if b"\0" in content[:4096]:
        raise ScanError(f"{path}: named .obj but its content is binary, not the text of an OBJ file.")
    if _COMMAS.search(content):
        raise ScanError(f"{path}: its numbers have decimal commas ('1,5'), which OBJ has not. Export it with points.")
    with guard.reading(path, "OBJ"):
        return _parsed(path.name, content)


@dataclass
class _Statements:
    """What the lines of a file say, in their order: `corners`, `corner_normals` and `counts` of its faces."""

    vertices: list[list[float]] = field(default_factory=list)
    normals: list[list[float]] = field(default_factory=list)
    vertex_lines: list[int] = field(default_factory=list)
    normal_lines: list[int] = field(default_factory=list)
    corners: list[int] = field(default_factory=list)
    corner_normals: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    textured: bool = False
    materials: list[str] = field(default_factory=list)

    def take(self, words: list[bytes], number: int) -> None:
        """One statement, which ends in a line of this number.

        Raises:
            ValueError, IndexError: It is damaged.
        """
        if words[0] in (b"v", b"vn"):
            normal = words[0] == b"vn"
            places, lines = (self.normals, self.normal_lines) if normal else (self.vertices, self.vertex_lines)
            places.append([float(word) for word in words[1:4]])
            lines.append(number)
            if len(words) < 4:
                raise ValueError("three coordinates were expected")
        elif words[0] == b"f":
            face = [_corner(word, len(self.vertices), len(self.normals)) for word in words[1:]]
            if len(face) < 3:
                raise ValueError("a face needs three corners or more")
            self.counts.append(len(face))
            self.textured |= any(has_texture for _, _, has_texture in face)
            self.corners += [corner[0] for corner in face]
            self.corner_normals += [corner[1] for corner in face]
        elif words[0] == b"mtllib":
            self.materials.append(b" ".join(words[1:]).decode("utf-8", "replace"))


def _statements(name: str, lines: list[bytes]) -> Iterator[tuple[int, int, list[bytes]]]:
    """First and last line of each statement, and its words; comments are left out."""
    pending, start = b"", 0
    for number, line in enumerate(lines):
        if len(pending) > _LONGEST:
            raise ScanError(f"{name}: line {start + 1} goes on over more than {_LONGEST:,} characters.")
        if not pending and line.lstrip().startswith(b"#"):  # also one that ends in a backslash
            continue
        start = number if not pending else start
        words = (pending + line.strip()).split()
        if words and words[-1].endswith(b"\\"):  # goes on in the next line
            pending = pending + line.strip()[:-1] + b" "
            continue
        pending = b""
        if words and not words[0].startswith(b"#"):
            yield start, number, words


def _parsed(name: str, content: bytes) -> ObjFile:
    lines, said = content.splitlines(keepends=True), _Statements()
    for start, number, words in _statements(name, lines):
        try:
            if start != number and words[0] in (b"v", b"vn"):
                raise ValueError("a vertex that goes on in the next line; write it on one line")
            said.take(words, number)
        except (ValueError, IndexError) as error:
            shown = lines[start].strip()[:_SHOWN].decode("utf-8", "replace")
            raise ScanError(f"{name}: line {start + 1} ({shown!r}) is not OBJ: {error}.") from error
    places, corners, corner_normals = _checked(name, said)
    cut = triangulate(places, corners, np.array(said.counts))
    return ObjFile(
        name,
        tuple(lines),
        places,
        corners[cut],
        len(said.counts),
        corner_normals[cut],
        np.array(said.normals, dtype=float).reshape(-1, 3),
        said.textured,
        tuple(said.materials),
        np.array(said.vertex_lines),
        np.array(said.normal_lines, dtype=np.int64),
    )


def _checked(name: str, said: _Statements) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), and the vertex and the normal (C,) of each face's corners; they exist and are finite."""
    count = len(said.vertices)
    if not count:
        raise ScanError(f"{name}: holds no vertices ('v x y z'); it is no OBJ file, or an empty one.")
    if not said.corners:
        raise ScanError(
            f"{name}: holds {count:,} vertices but no faces ('f ...'); a template is a surface of polygons."
        )
    corners, corner_normals = np.array(said.corners, dtype=np.int64), np.array(said.corner_normals)
    if corners.min() < 0 or corners.max() >= count:
        wrong = int(corners.max() if corners.max() >= count else corners.min())
        raise ScanError(f"{name}: a face names vertex {wrong + 1}, but there are {count:,} vertices.")
    if corner_normals.max() >= len(said.normals):
        raise ScanError(f"{name}: a face names normal {corner_normals.max() + 1}, but there are {len(said.normals):,}.")
    places = np.array(said.vertices, dtype=float)
    if not np.isfinite(places).all():
        raise ScanError(f"{name}: {(~np.isfinite(places).all(1)).sum():,} vertices are not finite numbers.")
    return places, corners, corner_normals


def _corner(word: bytes, vertices: int, normals: int) -> tuple[int, int, bool]:
    """A corner ``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``: indices from 0 (no normal: -1), and whether it has a vt."""
    parts = word.split(b"/")
    vertex = int(parts[0])
    normal = int(parts[2]) if len(parts) > 2 and parts[2] else 0
    if vertex == 0:
        raise ValueError("indices count from 1")
    vertex = vertex - 1 if vertex > 0 else vertices + vertex  # negative ones count back from here
    normal = normal - 1 if normal >= 0 else normals + normal
    return vertex, normal, len(parts) > 1 and bool(parts[1])


_FACE = re.compile(rb"^[ \t]*f(?=[^\n]*-|(?:[ \t]+\S+){4})((?:[ \t]+\S+){3,})[ \t]*\r?$", re.MULTILINE)
"""A face with more than three corners, or with indices that count back."""

_PLACES = {name: re.compile(rb"^[ \t]*" + name + rb"[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.M) for name in (b"v", b"vn")}


_COMMAS = re.compile(rb"^[ \t]*v[ \t]+[-+]?\d+,\d+[ \t]+[-+]?\d+,\d+[ \t]+[-+]?\d+,\d+(?:[ \t]|\r|$)", re.MULTILINE)
"""A vertex as programs write it whose system has decimal commas."""


_NUMBERS = re.compile(rb"^[ \t]*v[nt]?[ \t][^\n]*", re.MULTILINE)
"""A line of numbers."""


def plain_text(content: bytes) -> bytes:
    """An OBJ file as UTF-8 with line ends of Unix and decimal points.

    UTF-16, the line ends of old Macs, and decimal commas in `v`, `vn` and `vt` lines are what exporters on some systems
    write.

    Raises:
        UnicodeDecodeError: It is marked as UTF-16 and is not.
    """
    if (encoding := guard.encoding_of(content)) != "utf-8-sig":
        content = content.decode(encoding).encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if _COMMAS.search(content):
        content = _NUMBERS.sub(lambda line: line[0].replace(b",", b"."), content)
    return content


def plain_triangles(content: bytes) -> bytes:
    """An OBJ file whose faces are triangles with indices from 1, as trimesh understands them.

    Polygons become triangles that cover them, also where they are concave; indices that count back become plain ones,
    without texture coordinates. All else stays as it is, what cannot be understood too: the parser will refuse it.
    """
    faces = list(_FACE.finditer(content))
    if not faces:
        return content
    vertices, normals = ([match for match in pattern.finditer(content)] for pattern in _PLACES.values())
    begins = np.array([match.start() for match in faces])
    before = [np.searchsorted([match.start() for match in found], begins) for found in (vertices, normals)]
    words, corners, counts = [], [], []
    try:
        points = np.array([match.groups() for match in vertices], dtype=float)
        for match, *there in zip(faces, *before):
            face = match.group(1).split()
            if b"-" in match.group(1):
                found = [_corner(word, *there)[:2] for word in face]
                face = [b"%d" % (v + 1) if n < 0 else b"%d//%d" % (v + 1, n + 1) for v, n in found]
            words += face
            corners += [int(word.split(b"/")[0]) - 1 for word in face]
            counts.append(len(face))
    except (ValueError, IndexError):
        return content
    cut, pieces, last, used = triangulate(points, np.array(corners), np.array(counts)), [], 0, 0
    for match, count in zip(faces, counts):
        pieces.append(content[last : match.start()])
        pieces.append(b"\n".join(b"f " + b" ".join(words[i] for i in row) for row in cut[used : used + count - 2]))
        last, used = match.end(), used + count - 2
    return b"".join([*pieces, content[last:]])


def _rewritten(line: bytes, numbers: np.ndarray) -> bytes:
    """A `v` or `vn` line with other numbers; what follows them (colours) and the line's end stay."""
    end = line[len(line.rstrip(b"\r\n")) :]
    words = line.split()
    place = " ".join(f"{number:.9g}" for number in numbers).encode("ascii")
    return b" ".join([words[0], place, *words[4:]]) + end


def _face_vectors(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = vertices[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _frames(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Orthonormal frames (F, 3, 3) of triangles, columns: first edge, across, normal."""
    normal = _face_vectors(vertices, triangles)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    edge = vertices[triangles[:, 1]] - vertices[triangles[:, 0]]
    edge = edge / np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-300)
    return np.stack([edge, np.cross(normal, edge), normal], axis=2)
