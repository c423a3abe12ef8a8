"""Colours of an OBJ file: its material files (MTL), their pictures, and which face shows which part of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.gltf import linear_colours
from headfield.io.textures import Material, Pictures, beside, surface_colours

_FACES = re.compile(rb"^[ \t]*(?:usemtl[ \t]+([^\n]*)|f[ \t]+([^\n#]+))", re.MULTILINE)
_LIBRARIES = re.compile(rb"^[ \t]*mtllib[ \t]+([^\n]+)", re.MULTILINE)
_TEXTURE = re.compile(rb"^[ \t]*vt[ \t]+([^\s]+)(?:[ \t]+([^\s]+))?", re.MULTILINE)
_USES = re.compile(rb"^[ \t]*(?:usemtl|mtllib)[^\n]*", re.MULTILINE)
_OPTION = re.compile(r"-[a-zA-Z]+(?:[ \t]+(?:on|off|[rgbmlz]|[-+]?[\d.]+(?:[eE][-+]?\d+)?)(?=[ \t]))*[ \t]+")

MOST_MATERIALS = 10_000


def without_materials(content: bytes) -> bytes:
    """An OBJ file that is one surface: the parser makes one of each material, with all of the vertices."""
    return _USES.sub(b"", content)


def obj_colours(path: Path, content: bytes, count: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Colours of the vertices of an OBJ file by its materials.

    Args:
        path: The file; material files and pictures lie beside it.
        content: It, of triangles with indices from 1 (:func:`headfield.io.obj.plain_triangles`).
        count: How many of its vertices are wanted, N.
    Returns:
        (N, 3) uint8 sRGB or None, and notes of what is missing.
    Raises:
        ScanError: More materials than a scan may have.
    """
    if not (libraries := _LIBRARIES.findall(content)):
        return None, ()
    materials, missing = _materials(path, libraries)
    if not materials:
        return None, missing
    numbers = {name: number for number, name in enumerate(materials)}
    words, owners, owner = [], [], -1
    for used, face in _FACES.findall(content):
        if face:
            corners = face.split()[:3]
            if len(corners) == 3:
                words += corners
                owners.append(owner)
        else:
            owner = numbers.get(_name(used), -1)
    vertices, textures = _indices(words)
    pictures = Pictures(path, lambda name: beside(path, name))
    colours = surface_colours(
        count,
        vertices,
        _coordinates(content, textures),
        np.repeat(np.array(owners, dtype=np.int64), 3),
        dict(enumerate(materials.values())),
        pictures,
    )
    return colours, (*missing, *pictures.notes.values())


def _coordinates(content: bytes, textures: np.ndarray) -> np.ndarray | None:
    """(C, 2) texture coordinates of corners from the upper left; NaN where they have none; None if none has."""
    table = np.array([(u, v or b"0") for u, v in _TEXTURE.findall(content)], dtype=float).reshape(-1, 2)
    known = (textures >= 0) & (textures < len(table))
    if not known.any():
        return None
    uv = np.full((len(textures), 2), np.nan)
    uv[known] = table[textures[known]]
    uv[:, 1] = 1 - uv[:, 1]  # OBJ counts upwards
    return uv


def _indices(words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Vertex and texture coordinate of corners ``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``, from 0; -1 where none."""
    slashes = words[0].count(b"/") if words else 0
    if slashes and b"//" not in words[0] and all(word.count(b"/") == slashes and b"//" not in word for word in words):
        table = np.array(b"/".join(words).split(b"/"), dtype=np.int64).reshape(-1, slashes + 1) - 1
        return table[:, 0], table[:, 1]
    parts = [word.split(b"/") for word in words]
    vertices = np.array([int(part[0]) for part in parts], dtype=np.int64) - 1
    return vertices, np.array([int(part[1]) if len(part) > 1 and part[1] else 0 for part in parts], dtype=np.int64) - 1


def _materials(path: Path, libraries: list[bytes]) -> tuple[dict[str, Material], tuple[str, ...]]:
    """Materials by name of all material files, and a note for every file that is missing."""
    found: dict[str, Material] = {}
    missing = []
    for line in dict.fromkeys(libraries):
        whole = _name(line)
        try:
            held = [(whole, beside(path, whole))]
        except ScanError as error:  # several files in one line, or one with blanks in its name that is not there
            try:
                held = [(word, beside(path, word)) for word in whole.split()] if " " in whole else []
            except ScanError:
                held = []
            if not held:
                reason = guard.shown(str(error).removeprefix(f"{path}: "), 200)
                missing.append(
                    f"The material file {guard.shown(repr(whole), 80)} is missing, so its colours are left out: put it "
                    f"beside the scan ({reason})."
                )
        for name, content in held:
            found |= _parsed(content, path.parent / name)
    if len(found) > MOST_MATERIALS:
        raise ScanError(f"{path}: {len(found):,} materials, expected at most {MOST_MATERIALS:,}. Export it with fewer.")
    return found, tuple(missing)


def _parsed(content: bytes, path: Path) -> dict[str, Material]:
    """Materials of an MTL file: `Kd` and `map_Kd`. A picture stands for the whole colour, as Blender reads it."""
    found: dict[str, dict[str, Any]] = {}
    material: dict[str, Any] = {}
    for line in guard.decoded(content.replace(b"\r", b"\n"), path).split("\n"):
        key, _, rest = line.strip().partition(" " if " " in line.strip() else "\t")
        key, rest = key.casefold(), rest.strip()
        if key == "newmtl":
            material = found.setdefault(" ".join(rest.split()), {})
        elif key == "kd":
            try:
                value = np.clip([float(word) for word in (rest.split() * 3)[:3]], 0, 1)
            except ValueError:
                continue
            if len(value) == 3 and np.isfinite(value).all():
                material["factor"] = tuple(linear_colours(value[None] * 255)[0].tolist())
        elif key == "map_kd" and rest:
            options = ""
            while option := _OPTION.match(rest):
                options, rest = options + option[0], rest[option.end() :]
            if rest.strip():
                clamped = re.search(r"-clamp[ \t]+on\b", options)
                material |= {"picture": rest.strip(), "wrap": ("clamp",) * 2 if clamped else ("repeat",) * 2}
    for held in found.values():
        if "picture" in held:
            held["factor"] = (1.0, 1.0, 1.0)
    return {name: Material(**held) for name, held in found.items()}


def _name(line: bytes) -> str:
    return " ".join(line.decode("utf-8", "replace").split())
