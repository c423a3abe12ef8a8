"""Colours of a glTF file's materials: base colour factors and pictures, onto vertices.

The parser behind reads geometry and accessors; so that it need not open pictures, every surface hands its texture
coordinates through it as an attribute whose name holds the number of its material.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.gltf_check import Gltf
from headfield.io.textures import Material, Pictures, beside

_MARK = "_HEADFIELD"
_WRAPS = {33071: "clamp", 33648: "mirror", 10497: "repeat"}
_WHITE = Material()


class GltfColours:
    """What the materials of a checked glTF file say of colours.

    Args:
        path: The file.
        gltf: Its checked content.
    Raises:
        ScanError: Its materials, textures or pictures are no lists of objects.
    """

    def __init__(self, path: Path, gltf: Gltf) -> None:
        self.path, self.gltf, self.document = path, gltf, gltf.document
        self.pictures = Pictures(path, self._picture, self._called)
        self.transforms: dict[int, dict] = {}
        for key in ("materials", "textures", "images", "samplers"):
            entries = self.document.get(key, [])
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise ScanError(f"{path}: '{key}' is no list of objects, as glTF has it. Export it again.")
        self.materials = [_material(self.document, entry) for entry in self.document.get("materials", [])]
        used = {self._number(part) for part in self._parts()}
        factors = {self._at(number).factor for number in used}
        self.tells = len(factors) > 1 or any(self._at(number).picture is not None for number in used)

    def _parts(self):
        for mesh in self.document.get("meshes", []):
            for part in mesh.get("primitives", []):
                if isinstance(part, dict) and isinstance(part.get("attributes"), dict):
                    yield part

    def _number(self, part: dict) -> int:
        number = part.get("material")
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(self.materials):
            return number
        return -1

    def _at(self, number: int) -> Material:
        return self.materials[number] if number >= 0 else _WHITE

    def content(self) -> bytes:
        """The file for the parser: its surfaces name their materials and texture coordinates."""
        if not self.tells:
            return self.gltf.content
        for part in self._parts():
            attributes, number = part["attributes"], self._number(part)
            texture = _base(self.document, number) if number >= 0 else {}
            transform = _dict(_dict(texture.get("extensions")).get("KHR_texture_transform"))
            channel = transform.get("texCoord", texture.get("texCoord", 0))
            uv = attributes.get(f"TEXCOORD_{channel}")
            # without coordinates the positions stand in: three numbers, not two
            attributes[f"{_MARK}_{number + 1}"] = attributes.get("POSITION") if uv is None else uv
        text = json.dumps(self.document).encode()
        content = self.gltf.content
        if not content.startswith(b"glTF"):
            return text
        text += b" " * (-len(text) % 4)
        rest = content[20 + int.from_bytes(content[12:16], "little") :]
        return (
            struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
            + struct.pack("<I4s", len(text), b"JSON")
            + text
            + rest
        )

    def of(self, geometry, linear: np.ndarray | None) -> np.ndarray | None:
        """Colours of a surface that the parser made.

        Args:
            geometry: Of trimesh.
            linear: (N, 3 or 4) its vertex colours, linear light, bytes or in [0, 1]; or None.
        Returns:
            (N, 3) in linear light; None where the file's materials tell nothing.
        """
        if not self.tells:
            return None
        marks = [name for name in getattr(geometry, "vertex_attributes", {}) if name.startswith(_MARK)]
        number = int(marks[0].rpartition("_")[2]) - 1 if marks else -1
        material = self._at(number)
        uv = np.asarray(geometry.vertex_attributes[marks[0]]) if marks else np.zeros((0, 3))
        found = None
        if uv.ndim == 2 and uv.shape[1] == 2 and len(uv) == len(geometry.vertices):
            found = self.pictures.colours(material, _transformed(uv, _base(self.document, number)))
        if found is None:
            found = np.tile(np.asarray(material.factor, dtype=float), (len(geometry.vertices), 1))
        if linear is not None:
            linear = np.asarray(linear)
            found = found * (linear[:, :3] / (255.0 if linear.dtype.kind in "ui" else 1.0))
        return found

    def _picture(self, name: str) -> bytes:
        """The bytes of ``images[name]``."""
        image = self.document["images"][int(name.removeprefix("image "))]
        if "bufferView" in image:
            return self._view(image["bufferView"])
        uri = image.get("uri")
        if not isinstance(uri, str):
            raise ScanError(f"{self.path}: it has neither 'uri' nor 'bufferView'")
        if not uri.startswith("data:"):
            return beside(self.path, uri)
        return _data(uri)

    def _called(self, name: str) -> str:
        """What a picture is called, if it has a name of its own."""
        image = self.document["images"][int(name.removeprefix("image "))]
        uri = image.get("uri")
        own = uri if isinstance(uri, str) and not uri.startswith("data:") else image.get("name")
        return own if isinstance(own, str) and own else name

    def _view(self, index) -> bytes:
        views, buffers = self.document.get("bufferViews", []), self.document.get("buffers", [])
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(views):
            raise ScanError(f"{self.path}: its 'bufferView' is not there")
        view = views[index]  # lengths were checked
        buffer = buffers[view["buffer"]]
        uri = buffer.get("uri")
        if uri is None:
            content = self.gltf.content
            begin = 28 + int.from_bytes(content[12:16], "little")
        else:
            content, begin = (
                _data(uri) if uri.startswith("data:") else guard.content(guard.neighbour(self.path, uri)),
                0,
            )
        begin += int(view.get("byteOffset", 0))
        return content[begin : begin + int(view["byteLength"])]


def _data(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}


def _base(document: dict, number: int) -> dict:
    """The base colour's texture of a material; {} where it has none."""
    material = document["materials"][number]
    glossy = _dict(_dict(material.get("extensions")).get("KHR_materials_pbrSpecularGlossiness"))
    rough = _dict(material.get("pbrMetallicRoughness"))
    return _dict(rough.get("baseColorTexture")) or _dict(glossy.get("diffuseTexture"))


def _material(document: dict, entry: dict) -> Material:
    glossy = _dict(_dict(entry.get("extensions")).get("KHR_materials_pbrSpecularGlossiness"))
    rough = _dict(entry.get("pbrMetallicRoughness"))
    texture = _dict(rough.get("baseColorTexture")) or _dict(glossy.get("diffuseTexture"))
    factor = rough.get("baseColorFactor", glossy.get("diffuseFactor", [1, 1, 1, 1]))
    good = isinstance(factor, list) and len(factor) >= 3 and all(isinstance(f, (int, float)) for f in factor)
    factor = tuple(np.clip(np.nan_to_num(factor[:3]), 0, 1).astype(float).tolist()) if good else (1.0, 1.0, 1.0)
    return Material(factor, *_texture(document, texture.get("index")))


def _texture(document: dict, index) -> tuple[str | None, tuple[str, str]]:
    """Name and wrapping of a texture's picture."""

    def entry(key: str, number) -> dict:
        entries = document.get(key, [])
        known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(entries)
        return entries[number] if known else {}

    texture = entry("textures", index)
    source = texture.get("source")
    for extension in ("EXT_texture_webp", "KHR_texture_basisu"):
        held = _dict(_dict(texture.get("extensions")).get(extension)).get("source")
        source = held if source is None else source
    sampler = entry("samplers", texture.get("sampler"))
    across, down = (
        _WRAPS.get(how, "repeat") if isinstance(how, int) else "repeat"
        for how in (sampler.get("wrapS"), sampler.get("wrapT"))
    )
    return (f"image {source}" if entry("images", source) else None), (across, down)


def _transformed(uv: np.ndarray, texture: dict) -> np.ndarray:
    """Texture coordinates as numbers from 0 to 1, after KHR_texture_transform."""
    if uv.dtype.kind == "u":
        uv = uv / np.iinfo(uv.dtype).max  # normalised integers
    transform = _dict(_dict(texture.get("extensions")).get("KHR_texture_transform"))
    if not transform:
        return uv
    offset, scale, angle = (
        transform.get(key, usual) for key, usual in (("offset", [0, 0]), ("scale", [1, 1]), ("rotation", 0))
    )
    cos, sin = np.cos(float(angle)), np.sin(float(angle))
    turned = np.array([[cos, sin], [-sin, cos]]) * np.asarray(scale, dtype=float)[None]
    return uv @ turned.T + np.asarray(offset, dtype=float)
