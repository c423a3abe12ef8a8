"""A program of its own: what a USD file shows, as arrays for :mod:`headfield.io.usd`. It imports nothing of headfield.

    python -P usd_apart.py SCAN OUT.npz

Layers that lie outside of the file's folder are refused before anything is composed. A sentence that begins with
``headfield: `` is why it ended with status 3.
"""

# pyright: reportAttributeAccessIssue=false
# (USD's modules are written in C++; nothing tells a type checker what is in them)

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

import numpy as np

MOST_LAYERS, MOST_PRIMS = 1000, 100_000
_WRAPS = {"repeat": "repeat", "mirror": "mirror", "clamp": "clamp", "black": "clamp"}


def refuse(text: str) -> NoReturn:
    """End, and say why."""
    print(f"\nheadfield: {' '.join(text.split())}", flush=True)
    sys.exit(3)


def check_layers(path: str, folder: str) -> list[str]:
    """Refuse a file whose layers lead out of its folder; notes of those that are missing."""
    from pxr import Sdf

    waiting, done, notes = [path], set(), []
    while waiting:
        place = waiting.pop()
        if place in done:
            continue
        done.add(place)
        if len(done) > MOST_LAYERS:
            refuse(f"names more than {MOST_LAYERS:,} layers. Flatten it (usdcat --flatten)")
        layer = Sdf.Layer.FindOrOpen(place)
        if layer is None:
            refuse(
                "cannot be read as USD: it is damaged, cut short, or no USD"
                if place == path
                else f"its layer {place!r} cannot be read"
            )
        clips = []
        layer.Traverse(Sdf.Path.absoluteRootPath, lambda one, layer=layer, clips=clips: _clips(layer, one, clips))
        if clips:
            refuse("its values come from other files by value clips, which are not read. Flatten it (usdcat --flatten)")
        for name in layer.GetCompositionAssetDependencies():
            if not name:
                continue
            found = Sdf.ComputeAssetPathRelativeToLayer(layer, name)
            plain = found.partition("[")[0]
            if "`" in name or ":" in plain or not _inside(plain, folder):
                refuse(
                    f"names the layer {name[:80]!r}, which leads out of its folder; layers are read from there only. "
                    "Flatten it (usdcat --flatten)"
                )
            if not os.path.isfile(plain):
                notes.append(
                    f"The layer {name[:80]!r} is missing, so what it holds is left out: put it beside the scan."
                )
                continue
            waiting.append(found)
    return notes


def _clips(layer, path, found: list) -> None:
    if path.IsPrimPath() or path.IsPrimVariantSelectionPath():
        spec = layer.GetPrimAtPath(path)
        if spec is not None and (spec.HasInfo("clips") or spec.HasInfo("clipAssetPaths")):
            found.append(path)


def _inside(place: str, folder: str) -> bool:
    real = os.path.realpath(place if os.path.isabs(place) else os.path.join(folder, place))
    return real.startswith(folder + os.sep)


class Found:
    """What is collected of all meshes: lists of arrays by name."""

    def __init__(self, stage, folder: str, time) -> None:
        self.stage, self.folder, self.time = stage, folder, time
        self.parts: dict[str, list[np.ndarray]] = {
            name: [] for name in ("points", "counts", "corners", "uv", "colours", "flips", "materials")
        }
        self.materials: list[dict] = []
        self.numbers: dict[str, int] = {}
        self.points = 0

    def add_mesh(self, prim, matrix: np.ndarray) -> None:
        """A mesh with its polygons; the corners have texture coordinates and colours, NaN where there are none."""
        from pxr import UsdGeom

        mesh, time = UsdGeom.Mesh(prim), self.time
        points = _array(mesh.GetPointsAttr().Get(time), 3)
        counts = _array(mesh.GetFaceVertexCountsAttr().Get(time), 0).astype(np.int64)
        corners = _array(mesh.GetFaceVertexIndicesAttr().Get(time), 0).astype(np.int64)
        if not len(points):
            return
        if len(counts) and (counts.min() < 0 or counts.sum() != len(corners)):
            refuse(
                f"the mesh {prim.GetPath()} states {counts.sum():,} corners and has {len(corners):,}. Export it again"
            )
        left = mesh.GetOrientationAttr().Get(time) == UsdGeom.Tokens.leftHanded
        flip = left != (np.linalg.det(matrix[:3, :3]) < 0)
        face_materials = self._bound(prim, mesh, len(counts))
        uv = np.full((len(corners), 2), np.nan)
        owner = np.repeat(face_materials, counts)
        for number in np.unique(face_materials[face_materials >= 0]):
            material = self.materials[number]
            if material["picture"] is not None:
                found = self._corners(prim, material["primvar"], counts, corners, len(points), 2)
                if found is not None:
                    found = found * material["scale"]
                    angle = np.radians(material["rotation"])
                    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                    uv[owner == number] = (found @ turn.T + material["translation"])[owner == number]
        colours = self._corners(prim, "displayColor", counts, corners, len(points), 3)
        held = {
            "points": points @ matrix[:3, :3].T + matrix[:3, 3], "counts": counts, "corners": corners + self.points,
            "uv": uv, "colours": np.full((len(corners), 3), np.nan) if colours is None else colours,
            "flips": np.full(len(counts), flip), "materials": face_materials,
        }  # fmt: skip
        for name, array in held.items():
            self.parts[name].append(array)
        self.points += len(points)

    def add_points(self, prim, matrix: np.ndarray) -> None:
        """A cloud."""
        from pxr import UsdGeom

        points = _array(UsdGeom.Points(prim).GetPointsAttr().Get(self.time), 3)
        self.parts["points"].append(points @ matrix[:3, :3].T + matrix[:3, 3])
        self.points += len(points)

    def _corners(self, prim, name: str, counts, corners, count: int, width: int) -> np.ndarray | None:
        """Values (C, width) of a primvar at corners; None where there is none that fits."""
        from pxr import UsdGeom

        primvar = UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance(name)
        if not primvar or not primvar.HasValue():
            return None
        values = _array(primvar.ComputeFlattened(self.time), width)
        inside = np.clip(corners, 0, count - 1)
        kind = primvar.GetInterpolation()
        if kind == "constant" and len(values) >= 1:
            return np.repeat(values[:1], len(corners), axis=0)
        if kind == "uniform" and len(values) == len(counts):
            return np.repeat(values, counts, axis=0)
        if kind in ("vertex", "varying") and len(values) == count:
            return values[inside]
        return values if kind == "faceVarying" and len(values) == len(corners) else None

    def _bound(self, prim, mesh, count: int) -> np.ndarray:
        """The material's number of each face; -1 where there is none."""
        from pxr import UsdGeom, UsdShade

        found = np.full(count, self._number(UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]))
        for subset in UsdGeom.Subset.GetAllGeomSubsets(mesh):
            index = _array(subset.GetIndicesAttr().Get(self.time), 0).astype(np.int64)
            index = index[(index >= 0) & (index < count)]
            number = self._number(UsdShade.MaterialBindingAPI(subset.GetPrim()).ComputeBoundMaterial()[0])
            if number >= 0:
                found[index] = number
        return found

    def _number(self, material) -> int:
        if not material:
            return -1
        path = str(material.GetPath())
        if path not in self.numbers:
            self.numbers[path] = len(self.materials)
            self.materials.append(self._material(material))
        return self.numbers[path]

    def _material(self, material) -> dict:
        """Colour and picture of a UsdPreviewSurface."""
        held = {
            "factor": [1.0, 1.0, 1.0], "picture": None, "wrap": ["repeat", "repeat"], "linear": False,
            "primvar": "st", "scale": [1.0, 1.0], "rotation": 0.0, "translation": [0.0, 0.0],
        }  # fmt: skip
        surface = material.ComputeSurfaceSource()[0]
        attribute = _producer(surface.GetInput("diffuseColor")) if surface else None
        if attribute is None:
            return held
        texture = _shader(attribute)
        if texture is None:
            value = attribute.Get(self.time)
            if value is not None:
                held["factor"] = [float(part) for part in value]
            return held
        if texture.GetIdAttr().Get() != "UsdUVTexture":
            return held
        asset = self._value(texture, "file")
        if asset is not None:
            held["picture"] = self._picture(asset)
        for place, name in enumerate(("wrapS", "wrapT")):
            held["wrap"][place] = _WRAPS.get(str(self._value(texture, name)), "repeat")
        held["linear"] = str(self._value(texture, "sourceColorSpace")) == "raw"
        scale = self._value(texture, "scale")
        if scale is not None:
            held["factor"] = [float(part) for part in scale][:3]
        self._coordinates(texture, held)
        return held

    def _coordinates(self, texture, held: dict) -> None:
        """Which primvar holds the texture coordinates, and how they are moved."""
        attribute = _producer(texture.GetInput("st"))
        reader = None if attribute is None else _shader(attribute)
        if reader is not None and reader.GetIdAttr().Get() == "UsdTransform2d":
            for name in ("scale", "rotation", "translation"):
                value = self._value(reader, name)
                if value is not None:
                    held[name] = float(value) if name == "rotation" else [float(part) for part in value]
            attribute = _producer(reader.GetInput("in"))
            reader = None if attribute is None else _shader(attribute)
        if reader is not None:
            held["primvar"] = str(self._value(reader, "varname") or "st")

    def _picture(self, asset) -> str:
        """A picture's place from the folder, or what the file calls it."""
        found = asset.resolvedPath
        if found and _inside(found, self.folder) and "[" not in found:
            return os.path.relpath(os.path.realpath(found), self.folder).replace(os.sep, "/").replace("%", "%25")
        return asset.path

    def _value(self, shader, name: str):
        attribute = _producer(shader.GetInput(name))
        return None if attribute is None else attribute.Get(self.time)


def _producer(given):
    """The attribute from which an input has its value; None where there is none."""
    if not given:
        return None
    return next(iter(given.GetValueProducingAttributes()), None)


def _shader(attribute):
    """The shader whose output an attribute is; None for a plain value."""
    from pxr import UsdShade

    return UsdShade.Shader(attribute.GetPrim()) if attribute.GetName().startswith("outputs:") else None


def _array(value, width: int) -> np.ndarray:
    """(N, width) numbers, or (N,) for width 0."""
    if value is None:
        return np.zeros((0, width) if width else 0)
    array = np.array(value, dtype=np.float64 if width else None)
    return array.reshape(-1, width) if width else array.reshape(-1)


def main(path: str, out: str) -> None:
    """Write the arrays."""
    os.environ["PXR_WORK_THREAD_LIMIT"] = "1"
    from pxr import Usd, UsdGeom

    folder = os.path.realpath(os.path.dirname(path))
    notes = check_layers(path, folder)
    stage = Usd.Stage.Open(path, Usd.Stage.LoadAll)
    if not stage:
        refuse("cannot be read as USD: it is damaged, cut short, or no USD")
    time = Usd.TimeCode.EarliestTime()
    found, cache, count = Found(stage, folder, time), UsdGeom.XformCache(time), 0
    for prim in Usd.PrimRange.Stage(stage, Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)):
        count += 1
        if count > MOST_PRIMS:
            refuse(f"more than {MOST_PRIMS:,} prims. Export the scan alone")
        if prim.IsA(UsdGeom.PointInstancer):
            notes.append("A point instancer in it is not read.")
        if not prim.IsA(UsdGeom.Mesh) and not prim.IsA(UsdGeom.Points):
            continue
        shown = UsdGeom.Imageable(prim)
        if shown.ComputeVisibility(time) == "invisible" or shown.ComputePurpose() not in ("default", "render"):
            continue
        matrix = np.array(cache.GetLocalToWorldTransform(prim)).T  # USD's act on rows
        (found.add_mesh if prim.IsA(UsdGeom.Mesh) else found.add_points)(prim, matrix)
    if not found.points:
        refuse("shows no mesh and no points: it is empty, or all of it is hidden")
    shapes = {"uv": (0, 2), "colours": (0, 3), "points": (0, 3)}
    arrays: dict[str, Any] = {
        name: np.concatenate(held) if held else np.zeros(shapes.get(name, 0)) for name, held in found.parts.items()
    }
    header = {"metres": UsdGeom.GetStageMetersPerUnit(stage) if stage.HasAuthoredMetadata("metersPerUnit") else None}
    header |= {"materials": found.materials, "notes": list(dict.fromkeys(notes))}
    np.savez(out, header=np.array(json.dumps(header)), **arrays)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except Exception as cause:  # of USD's, with the place in its sources
        said = [line.strip() for line in str(cause).splitlines() if line.strip()]
        words = said[-2] if len(said) > 1 and len(said[-1]) < 3 else said[-1] if said else type(cause).__name__
        refuse(f"cannot be read as USD: {words.rpartition(' : ')[2].replace(sys.argv[1], '')[:200]}")
