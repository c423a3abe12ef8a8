"""3MF: a ZIP of XML with meshes, instances of them, and colours by triangle corner (core 1.3; materials extension 1.2).

Numbers are collected as the document goes by, so that no tree of millions of elements is made.
"""

from __future__ import annotations

import zipfile
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.archives import checked_members, member
from headfield.io.gltf import linear_colours
from headfield.io.raw import RawGeometry, joined
from headfield.io.textures import Material, Pictures, settled, surface_colours
from headfield.io.xml_checked import walk

_UNITS = {
    "millimeter": ("mm", 1.0), "centimeter": ("cm", 1.0), "meter": ("m", 1.0), "inch": ("inch", 1.0),
    "micron": ("mm", 1e-3), "foot": ("inch", 12.0),
}  # fmt: skip
_WRAPS = {"wrap": "repeat", "mirror": "mirror", "clamp": "clamp", "none": "clamp"}

MOST_INSTANCES = 10_000
"""Meshes that are shown, instances counted."""

_PER_ENTRY = 200
"""Bytes that a vertex or triangle of an instance takes on its way."""

Key = tuple[str, str | None]
"""A part of the package and an id in it."""


@dataclass
class _Object:
    """A mesh, or instances of other objects."""

    points: array = field(default_factory=lambda: array("d"))
    triangles: array = field(default_factory=lambda: array("q"))
    colours: list[tuple[str | None, tuple[int, ...]]] = field(default_factory=list)
    usual: tuple[str | None, int] = (None, 0)
    components: list[tuple[Key, np.ndarray]] = field(default_factory=list)


@dataclass
class _Package:
    """What all parts of a package hold, and the instances that are to be shown."""

    objects: dict[Key, _Object] = field(default_factory=dict)
    palettes: dict[Key, list[tuple[float, float, float]]] = field(default_factory=dict)
    coordinates: dict[Key, tuple[str, list[tuple[float, float]]]] = field(default_factory=dict)
    pictures: dict[Key, Material] = field(default_factory=dict)
    shown: list[tuple[Key, np.ndarray]] = field(default_factory=list)
    unit: str = "millimeter"


def read_3mf(path: Path) -> RawGeometry:
    """A 3MF file, as its build places it, in the unit that it states.

    Raises:
        ScanError: It shows no mesh, takes more memory than it may, or names parts that are not there.
        Exception: It is damaged; for :func:`headfield.io.guard.reading` around.
    """
    with guard.opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            held = {"/" + info.filename.lstrip("/"): info for info in checked_members(path, archive, size, None)}
            lower = {name.lower(): name for name in held}

            def fetch(name: str) -> bytes:
                known = lower.get("/" + name.lstrip("/").lower())
                if known is None:
                    raise ScanError(f"{path}: names the part {guard.shown(repr(name), 80)}, which is not in it.")
                return b"".join(member(archive, held[known]))

            package = _Package()
            parts, done = [_root(path, fetch, held)], set()
            while parts:
                if (part := parts.pop()) not in done:
                    done.add(part)
                    parts += _Reader(path, part, package).read(fetch(part))
            return _assembled(path, package, size, Pictures(path, fetch))


def _root(path: Path, fetch: Callable[[str], bytes], held: dict) -> str:
    """The model of a package, by its relationships; where they are missing, the usual one."""
    found = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("Type", "").endswith("/3dmodel"):
            found.append(attributes.get("Target", ""))

    if "/_rels/.rels" in held:
        walk(path, fetch("/_rels/.rels"), start)
    found += [name for name in held if PurePosixPath(name).suffix.lower() == ".model"]
    if not found:
        raise ScanError(f"{path}: a ZIP archive without a 3D model in it; it is no 3MF file.")
    return found[0]


class _Reader:
    """Reads one part of a package."""

    _KNOWN = frozenset(
        "model object component item basematerials colorgroup base color texture2d texture2dgroup tex2coord".split()
    )

    def __init__(self, path: Path, part: str, package: _Package) -> None:
        self.path, self.part, self.package = path, "/" + part.lstrip("/"), package
        self.object = _Object()
        self.list: list = []
        self.others: list[str] = []
        self.first = not package.objects

    def read(self, content: bytes) -> list[str]:
        """Take in a part; the names of others that it needs come back."""
        walk(self.path, content, self._start)
        return self.others

    def _start(self, name: str, held: dict[str, str]) -> None:
        if name == "vertex":
            self.object.points.extend((float(held["x"]), float(held["y"]), float(held["z"])))
        elif name == "triangle":
            self.object.triangles.extend((int(held["v1"]), int(held["v2"]), int(held["v3"])))
            usual = self.object.usual
            first = held.get("p1")
            if first is None:
                self.object.colours.append((usual[0], (usual[1],) * 3))
            else:
                corners = (int(first), int(held.get("p2", first)), int(held.get("p3", first)))
                self.object.colours.append((held.get("pid", usual[0]), corners))
        elif name in self._KNOWN:
            getattr(self, f"_{name}")(held)

    def _model(self, held: dict[str, str]) -> None:
        if self.first:
            self.package.unit = held.get("unit", "millimeter")

    def _object(self, held: dict[str, str]) -> None:
        self.object = _Object(usual=(held.get("pid"), int(held.get("pindex", 0))))
        self.package.objects[self.part, held["id"]] = self.object

    def _component(self, held: dict[str, str]) -> None:
        self.object.components.append(self._instance(held))

    def _item(self, held: dict[str, str]) -> None:
        if self.first:
            self.package.shown.append(self._instance(held))

    def _instance(self, held: dict[str, str]) -> tuple[Key, np.ndarray]:
        other = next((value for name, value in held.items() if name.endswith(" path")), None)
        if other is not None:
            self.others.append(other)
        matrix = np.eye(4)
        if "transform" in held:
            matrix[:3] = np.array(held["transform"].split(), dtype=float).reshape(4, 3).T
        return ("/" + (other or self.part).lstrip("/"), held["objectid"]), matrix

    def _basematerials(self, held: dict[str, str]) -> None:
        self.list = self.package.palettes.setdefault((self.part, held["id"]), [])

    _colorgroup = _basematerials

    def _base(self, held: dict[str, str]) -> None:
        self.list.append(_colour(held["displaycolor"]))

    def _color(self, held: dict[str, str]) -> None:
        self.list.append(_colour(held["color"]))

    def _texture2d(self, held: dict[str, str]) -> None:
        across, down = (_WRAPS.get(held.get(key, "wrap"), "repeat") for key in ("tilestyleu", "tilestylev"))
        self.package.pictures[self.part, held["id"]] = Material(picture=held["path"], wrap=(across, down))

    def _texture2dgroup(self, held: dict[str, str]) -> None:
        self.list = []
        self.package.coordinates[self.part, held["id"]] = held["texid"], self.list

    def _tex2coord(self, held: dict[str, str]) -> None:
        self.list.append((float(held["u"]), 1 - float(held["v"])))  # 3MF counts upwards


def _colour(text: str) -> tuple[float, float, float]:
    """Linear light of ``#RRGGBB`` or ``#RRGGBBAA``."""
    value = np.frombuffer(bytes.fromhex(text.strip().lstrip("#")[:6]), dtype=np.uint8)
    red, green, blue = linear_colours(value[None])[0].tolist()
    return red, green, blue


def _assembled(path: Path, package: _Package, size: int, pictures: Pictures) -> RawGeometry:
    """All instances as one."""
    unit, scale = _UNITS.get(package.unit, (None, 1.0))
    shown = [*_instances(path, package)]
    count = sum(len(package.objects[key].points) // 3 + len(package.objects[key].triangles) // 3 for key, _ in shown)
    guard.check_need(path, _PER_ENTRY * count, size, f"{len(shown):,} instances of {count:,} vertices and triangles")
    meshes: dict[Key, RawGeometry] = {}
    parts = []
    for key, matrix in shown:
        if key not in meshes:
            meshes[key] = _mesh(key, package, pictures)
        parts.append(meshes[key].placed(np.diag([scale, scale, scale, 1.0]) @ matrix))
    if not parts:
        raise ScanError(f"{path}: its build shows no mesh; it is empty. Export it again.")
    return replace(joined(settled(parts)), units=unit, notes=tuple(pictures.notes.values()))


def _instances(path: Path, package: _Package):
    """Meshes that are shown, with their transforms."""
    waiting, seen = [(key, matrix, 0) for key, matrix in package.shown], 0
    while waiting:
        key, matrix, depth = waiting.pop()
        seen += 1
        if key not in package.objects:
            raise ScanError(f"{path}: shows an object {guard.shown(repr(key[1]), 40)}, which is not in it.")
        if depth > 100 or seen > MOST_INSTANCES:
            raise ScanError(f"{path}: its objects hold one another too deeply, or more than {MOST_INSTANCES:,} times.")
        found = package.objects[key]
        if len(found.points):
            yield key, matrix
        waiting += [(inner, matrix @ placed, depth + 1) for inner, placed in found.components]


def _mesh(key: Key, package: _Package, pictures: Pictures) -> RawGeometry:
    found = package.objects[key]
    points = np.array(found.points).reshape(-1, 3)
    triangles = np.array(found.triangles, dtype=np.int64).reshape(-1, 3)
    if not len(triangles):
        return RawGeometry(points)
    numbers: dict[tuple, int] = {}
    table: dict[int, Material] = {}
    materials, uv = np.full((len(triangles), 3), -1), np.full((len(triangles), 3, 2), np.nan)
    for row, (group, corners) in enumerate(found.colours):
        place = (key[0], group)
        if place in package.palettes:
            colours = package.palettes[place]
            for column, index in enumerate(corners):
                if 0 <= index < len(colours):
                    materials[row, column] = number = numbers.setdefault((place, index), len(numbers))
                    table.setdefault(number, Material(colours[index]))
        elif place in package.coordinates:
            texture, known = package.coordinates[place]
            if (material := package.pictures.get((key[0], texture))) is not None:
                materials[row] = number = numbers.setdefault((place,), len(numbers))
                table[number] = material
                uv[row] = [known[index] if 0 <= index < len(known) else (np.nan, np.nan) for index in corners]
    colours = surface_colours(len(points), triangles.ravel(), uv.reshape(-1, 2), materials.ravel(), table, pictures)
    return RawGeometry(points, triangles=triangles, colours=colours)
