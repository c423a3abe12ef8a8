"""Read ICT-FaceKit: a clone of the public repository, or an npz of its arrays. Both give the same `IctData`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from headfield.errors import DataError
from headfield.parametric.cache import cache_path, load_arrays, save_arrays

N_VERTICES = 26719
N_IDENTITY = 100

PARTS = {
    "face": (0, 9409),
    "head_neck": (9409, 11248),
    "mouth_socket": (11248, 13294),
    "eye_socket_left": (13294, 13678),
    "eye_socket_right": (13678, 14062),
    "gums_tongue": (14062, 17039),
    "teeth": (17039, 21451),
    "sclera_left": (21451, 22221),
    "iris_left": (22221, 23021),
    "sclera_right": (23021, 23791),
    "iris_right": (23791, 24591),
}
"""Vertex ranges [start, end) of the ICT-FaceKit light topology; what follows are lashes and eye overlays."""

NARROW_FACE = (0, 6706)
"""Vertex range of ICT's narrow face: the face without ears, neck and scalp."""

FOLDER_VARIABLE = "HEADFIELD_DATA"

HOW_TO_GET = (
    "clone https://github.com/USC-ICT/ICT-FaceKit (MIT) and give its folder, or set the environment variable "
    f"{FOLDER_VARIABLE} to a folder that holds the clone (ICT-FaceKit/) or ict_facekit.npz"
)


@dataclass(frozen=True)
class IctData:
    """The arrays of ICT-FaceKit light, centimetres, y up, +z out of the face.

    Attributes:
        vertices: (26719, 3) neutral mean.
        triangles: (F, 3).
        identity: (100, 26719, 3) float16 or float32 offsets, weights ~ N(0, 1).
        expression: (E, 26719, 3) offsets.
        expression_names: (E,) such as ``eyeBlink_L``.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]


def index_file(name: str) -> dict:
    """A packaged JSON file of vertex indices."""
    return json.loads(resources.files("headfield.parametric").joinpath(name).read_text())


def find_source(source: Path | str | None = None) -> Path:
    """The npz or the clone's FaceXModel folder.

    Args:
        source: A file or folder given by the user, or None to look in the folder named by HEADFIELD_DATA.
    Raises:
        DataError: Nothing usable is there.
    """
    if source is not None:
        places = [Path(source)]
    else:
        named = os.environ.get(FOLDER_VARIABLE)
        places = [Path(named)] if named else []
    for place in places:
        for candidate in (place, place / "ict_facekit.npz", place / "FaceXModel", place / "ICT-FaceKit" / "FaceXModel"):
            if candidate.is_file() and candidate.suffix == ".npz":
                return candidate
            if (candidate / "generic_neutral_mesh.obj").is_file():
                return candidate
    looked = ", ".join(map(str, places)) or f"nowhere ({FOLDER_VARIABLE} is not set)"
    raise DataError(f"ICT-FaceKit was not found; looked in {looked}. To get it: {HOW_TO_GET}.")


def read_ict(source: Path | str | None = None) -> IctData:
    """Read ICT-FaceKit from an npz or a clone (parsed once, then cached).

    Raises:
        DataError: Missing, or not as published.
    """
    path = find_source(source)
    return _read_npz(path) if path.is_file() else _read_clone(path)


def _read_npz(path: Path) -> IctData:
    arrays = load_arrays(path) or {}
    keys = ("template_vertices", "triangles", "identity_deltas", "expression_deltas", "expression_names")
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(f"{path} is no ICT-FaceKit npz: cannot read {', '.join(missing)}. To get it: {HOW_TO_GET}.")
    names = tuple(str(name) for name in arrays["expression_names"])
    template, triangles, identities, expressions = (arrays[key] for key in keys[:4])
    data = IctData(template, triangles, identities, expressions, names)
    _check(data, path)
    return data


def _read_clone(folder: Path) -> IctData:
    files = sorted(folder.glob("*.obj"))
    facts = [(file.name, file.stat().st_size) for file in files]
    cached = cache_path("ict-clone", folder.resolve(), *facts)
    if cached.is_file() and load_arrays(cached) is not None:
        return _read_npz(cached)
    vertices, triangles = read_obj(folder / "generic_neutral_mesh.obj", faces=True)
    identity = [folder / f"identity{k:03d}.obj" for k in range(N_IDENTITY)]
    missing = [file.name for file in identity if not file.is_file()]
    if missing:
        raise DataError(f"{folder}: {missing[0]} and {len(missing) - 1} more files are missing; {HOW_TO_GET}.")
    shapes = [f for f in files if not f.stem.startswith("identity") and f.stem != "generic_neutral_mesh"]
    offsets = {}
    for file in identity + shapes:
        mesh = read_obj(file)[0]
        if len(mesh) == len(vertices):
            offsets[file.stem] = (mesh - vertices).astype(np.float16)
        elif file in identity:
            raise DataError(f"{file} has {len(mesh)} vertices, expected {len(vertices)}; {HOW_TO_GET}.")
    names = [file.stem for file in shapes if file.stem in offsets]
    data = IctData(
        vertices.astype(np.float32),
        triangles,
        np.stack([offsets[file.stem] for file in identity]),
        np.stack([offsets[name] for name in names]),
        tuple(names),
    )
    _check(data, folder)
    save_arrays(
        cached,
        {
            "template_vertices": data.vertices,
            "triangles": data.triangles,
            "identity_deltas": data.identity,
            "expression_deltas": data.expression,
            "expression_names": np.array(names),
        },
    )
    return data


def read_obj(path: Path, faces: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and, when asked for, fan-triangulated faces (F, 3) of an OBJ file."""
    vertices, triangles = [], []
    with open(path) as file:
        for line in file:
            if line.startswith("v "):
                vertices.append(line.split()[1:4])
            elif faces and line.startswith("f "):
                corner = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
                triangles.extend([corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1))
    return np.array(vertices, dtype=float).reshape(-1, 3), np.array(triangles, dtype=np.int32).reshape(-1, 3)


def _check(data: IctData, path: Path) -> None:
    seen = (len(data.vertices), *data.identity.shape)
    expected = (N_VERTICES, N_IDENTITY, N_VERTICES, 3)
    if seen != expected:
        raise DataError(
            f"{path}: vertices and identity shapes {seen}, expected {expected} (the ICT-FaceKit *light* topology). "
            f"To get it: {HOW_TO_GET}."
        )
    if not {"jawOpen", "eyeBlink_L", "mouthSmile_L"} <= set(data.expression_names):
        raise DataError(f"{path}: expressions {data.expression_names[:5]}..., expected ARKit names. {HOW_TO_GET}.")
