"""Small valid files of every format that is read, each with the function that reads it."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from scipy.sparse import csc_matrix

CAMERA = {"fx": 40.0, "fy": 40.0, "cx": 16.0, "cy": 12.0, "width": 32, "height": 24}


@dataclass(frozen=True)
class Seed:
    """A valid input.

    Attributes:
        kind: Name, for the tables.
        files: Contents by name (a path: a link to that file); the first is the one that is damaged.
        read: Reads the first file, given the folder that holds all of them.
    """

    kind: str
    files: dict[str, bytes | Path]
    read: Callable[[Path], object]

    @property
    def target(self) -> str:
        """The file that is damaged."""
        return next(iter(self.files))


def all_seeds() -> list[Seed]:
    """One of each kind, at most some tens of kilobytes each."""
    return [
        *scan_seeds(),
        *foreign_seeds(),
        *depth_seeds(),
        *record_seeds(),
        *track_seeds(),
        *table_seeds(),
        *model_seeds(),
    ]


def npz(**arrays) -> bytes:
    """A compressed archive of arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An array in NumPy's own format."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def glb(document: dict, binary: bytes) -> bytes:
    """A GLB of a JSON document and one buffer."""
    text = json.dumps(document).encode()
    chunks = [(text + b" " * (-len(text) % 4), b"JSON"), (binary + bytes(-len(binary) % 4), b"BIN\0")]
    body = b"".join(struct.pack("<I", len(chunk)) + kind + chunk for chunk, kind in chunks)
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def png16(width: int, height: int, row: bytes, rows: int) -> bytes:
    """A 16-bit grey PNG that states a size, of `rows` equal rows of bytes, filter byte included."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    squeezed, packer = b"", zlib.compressobj(1)
    for _ in range(rows):
        squeezed += packer.compress(row)
    squeezed += packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", squeezed) + chunk(b"IEND", b"")


def _scan(name: str):
    def read(folder: Path):
        from headfield.io.scan import read_scan

        return read_scan(folder / name)

    return read


def scan_seeds() -> list[Seed]:
    """Meshes and clouds: a ball of 162 vertices."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=100.0)
    points, normals, faces = np.array(ball.vertices), np.array(ball.vertex_normals), np.array(ball.faces)
    shape = trimesh.Trimesh(points, faces, process=False)
    shape.visual.vertex_colors = np.tile(np.array([200, 150, 120, 255], np.uint8), (len(points), 1))
    binary = points.astype("<f4").tobytes() + faces.astype("<u4").tobytes()
    lengths = (12 * len(points), 12 * len(faces))
    document = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": sum(lengths)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": lengths[0]},
            {"buffer": 0, "byteOffset": lengths[0], "byteLength": lengths[1]},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 3 * len(faces), "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "nodes": [{"mesh": 0, "translation": [0, 1, 0]}, {"mesh": 0}, {"children": [0, 1], "scale": [1, 1, 1]}],
        "scenes": [{"nodes": [2]}],
        "scene": 0,
    }
    beside = json.loads(json.dumps(document))
    beside["buffers"][0]["uri"] = "ball.bin"
    polygons = "".join(f"3 {a} {b} {c}\n" for a, b, c in faces[:-1]) + "5 0 1 2 3 4\n"
    ply = f"ply\nformat ascii 1.0\ncomment headfield\nelement vertex {len(points)}\n"
    ply += "".join(f"property float {axis}\n" for axis in "xyz")
    ply += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    ply += "".join("{:.4f} {:.4f} {:.4f}\n".format(*point) for point in points) + polygons
    obj = "# a ball\nmtllib ball.mtl\no ball\n" + "".join("v {:.4f} {:.4f} {:.4f}\n".format(*point) for point in points)
    obj += "".join("vn {:.4f} {:.4f} {:.4f}\n".format(*normal) for normal in normals) + "usemtl skin\n"
    obj += "".join("f {0}//{0} {1}//{1} {2}//{2}\n".format(*face) for face in faces[:-1] + 1) + "f -1 -2 -3 -4\n"
    material = b"newmtl skin\nKd 1 1 1\nmap_Kd skin.png\n"
    stl = shape.export(file_type="stl_ascii")
    rows = "".join("{:.4f} {:.4f} {:.4f} 200 150 120\n".format(*point) for point in points)

    def template(folder: Path):
        from headfield.io.obj import read_obj

        return read_obj(folder / "ball.obj")

    return [
        Seed("ply ascii", {"a.ply": ply.encode()}, _scan("a.ply")),
        Seed("ply binary", {"b.ply": shape.export(file_type="ply")}, _scan("b.ply")),
        Seed("obj", {"ball.obj": obj.encode(), "ball.mtl": material}, _scan("ball.obj")),
        Seed("mtl", {"ball.mtl": material, "ball.obj": obj.encode()}, _scan("ball.obj")),
        Seed("obj template", {"ball.obj": obj.encode(), "ball.mtl": material}, template),
        Seed("stl", {"ball.stl": shape.export(file_type="stl")}, _scan("ball.stl")),
        Seed("stl ascii", {"text.stl": stl.encode()}, _scan("text.stl")),
        Seed("glb", {"ball.glb": glb(document, binary)}, _scan("ball.glb")),
        Seed("gltf", {"ball.gltf": json.dumps(beside).encode(), "ball.bin": binary}, _scan("ball.gltf")),
        Seed("gltf buffer", {"ball.bin": binary, "ball.gltf": json.dumps(beside).encode()}, _scan("ball.gltf")),
        Seed("npy", {"points.npy": npy(points.astype(np.float32))}, _scan("points.npy")),
        Seed(
            "npz",
            {"ball.npz": npz(vertices=points, faces=faces, normals=normals, units="mm", colours=np.uint8(points * 0))},
            _scan("ball.npz"),
        ),
        Seed("xyz", {"points.xyz": rows.encode()}, _scan("points.xyz")),
    ]


FOREIGN = Path(__file__).parents[1] / "io" / "foreign"


def foreign_seeds() -> list[Seed]:
    """What other programs wrote, and archives and USD of it. FBX is left out: Blender takes seconds to start."""
    held = {file.name: file.read_bytes() for file in FOREIGN.iterdir()}
    packed, inner = io.BytesIO(), {name: held[name] for name in ("blender.obj", "blender.mtl", "skin.png")}
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in inner.items():
            archive.writestr(name, content)
    picture = {"skin.png": held["skin.png"]}
    rows = "x;y;z;r;g;b\n" + "".join(f"{i % 13},5;{i % 7},25;{i % 5};10;20;{i % 255}\n" for i in range(200))
    marked = "200\n" + "".join(f"{i % 13}.5 {i % 7} {i % 5} -9 10 20 {i % 255}\n" for i in range(200))
    seeds = [
        Seed("mtl picture", {"skin.png": held["skin.png"], **inner}, _scan("blender.obj")),
        Seed("textured obj", inner, _scan("blender.obj")),
        Seed("textured glb", {"a.glb": _textured(held["skin.png"])}, _scan("a.glb")),
        Seed("off", {"a.off": held["meshlab.off"]}, _scan("a.off")),
        Seed("wrl", {"a.wrl": held["meshlab.wrl"]}, _scan("a.wrl")),
        Seed("3mf", {"a.3mf": held["lib3mf_picture.3mf"]}, _scan("a.3mf")),
        Seed("3mf colours", {"a.3mf": held["lib3mf_colours.3mf"]}, _scan("a.3mf")),
        Seed("pcd", {"a.pcd": held["pypcd4.pcd"]}, _scan("a.pcd")),
        Seed("pcd text", {"a.pcd": held["pypcd4_ascii.pcd"]}, _scan("a.pcd")),
        Seed("pcd lzf", {"a.pcd": held["pypcd4_lzf.pcd"]}, _scan("a.pcd")),
        Seed("splats", {"a.ply": held["splats.ply"]}, _scan("a.ply")),
        Seed("csv", {"a.csv": rows.encode()}, _scan("a.csv")),
        Seed("pts", {"a.pts": marked.encode()}, _scan("a.pts")),
        Seed("zip", {"a.zip": packed.getvalue()}, _scan("a.zip")),
        Seed("gz", {"a.wrl.gz": gzip.compress(held["meshlab.wrl"])}, _scan("a.wrl.gz")),
    ]
    if importlib.util.find_spec("collada"):
        seeds.append(Seed("dae", {"a.dae": held["blender.dae"], **picture}, _scan("a.dae")))
    if importlib.util.find_spec("vtkmodules"):
        seeds.append(Seed("vtk", {"a.vtk": held["meshio.vtk"]}, _scan("a.vtk")))
    if importlib.util.find_spec("pxr"):
        seeds += _usd(picture)
    return seeds


def _textured(picture: bytes) -> bytes:
    """A GLB of a ball with a picture, by trimesh."""
    from PIL import Image

    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.open(io.BytesIO(picture)))
    ball.visual = trimesh.visual.TextureVisuals(uv=np.array(ball.vertices)[:, :2] * 5 + 0.5, material=material)
    return ball.export(file_type="glb")


def _usd(picture: dict[str, bytes]) -> list[Seed]:
    """A ball with a picture as text, as crate and packed."""
    import tempfile

    from pxr import Sdf, Usd, UsdGeom, UsdShade, UsdUtils

    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "skin.png").write_bytes(picture["skin.png"])
        stage = Usd.Stage.CreateNew(str(place / "a.usda"))
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        mesh = UsdGeom.Mesh.Define(stage, "/Ball")
        stage.SetDefaultPrim(mesh.GetPrim())
        mesh.CreatePointsAttr([tuple(map(float, point)) for point in ball.vertices])
        mesh.CreateFaceVertexCountsAttr([3] * len(ball.faces))
        mesh.CreateFaceVertexIndicesAttr([int(index) for index in ball.faces.ravel()])
        uv = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, "vertex")
        uv.Set([(float(5 * x + 0.5), float(5 * y + 0.5)) for x, y, _ in ball.vertices])
        material, shader, texture = (
            UsdShade.Material.Define(stage, "/Skin"),
            UsdShade.Shader.Define(stage, "/Skin/Surface"),
            UsdShade.Shader.Define(stage, "/Skin/Picture"),
        )
        shader.CreateIdAttr("UsdPreviewSurface")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set("./skin.png")
        colour = shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
        colour.ConnectToSource(texture.ConnectableAPI(), "rgb")
        material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        stage.Save()
        stage.Export(str(place / "a.usdc"))
        UsdUtils.CreateNewUsdzPackage(str(place / "a.usdc"), str(place / "a.usdz"))
        held = {name: (place / name).read_bytes() for name in ("a.usda", "a.usdc", "a.usdz")}
    return [
        Seed("usda", {"a.usda": held["a.usda"], **picture}, _scan("a.usda")),
        Seed("usdc", {"a.usdc": held["a.usdc"], **picture}, _scan("a.usdc")),
        Seed("usdz", {"a.usdz": held["a.usdz"]}, _scan("a.usdz")),
    ]


def _depth(name: str):
    def read(folder: Path):
        from headfield.io.depth import read_depth

        return read_depth(folder / name, folder / "camera.json")

    return read


def depth_seeds() -> list[Seed]:
    """A wall at 600 mm with a step in it, and its camera."""
    depth = np.full((24, 32), 600.0)
    depth[4:20, 8:24] = 560 + np.arange(16)
    camera, matrix = json.dumps(CAMERA).encode(), {"K": [[40.0, 0, 16], [0, 40.0, 12], [0, 0, 1]]}
    picture = b"".join(b"\0" + row.tobytes() for row in depth.astype(">u2"))
    image = png16(32, 24, picture, 1)
    kept = npy(depth.astype(np.float32))
    seeds = [
        Seed("depth png", {"depth.png": image, "camera.json": camera}, _depth("depth.png")),
        Seed("depth npy", {"depth.npy": kept, "camera.json": camera}, _depth("depth.npy")),
        Seed("intrinsics", {"camera.json": camera, "depth.npy": kept}, _depth("depth.npy")),
        Seed("intrinsics K", {"camera.json": json.dumps(matrix).encode(), "depth.npy": kept}, _depth("depth.npy")),
    ]
    return [*seeds, *_exr(depth, camera)]


def _exr(depth: np.ndarray, camera: bytes) -> list[Seed]:
    """Where OpenEXR is installed."""
    try:
        import OpenEXR
    except ImportError:
        return []
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "depth.exr"
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"Z": depth.astype(np.float32)}).write(str(path))
        return [Seed("depth exr", {"depth.exr": path.read_bytes(), "camera.json": camera}, _depth("depth.exr"))]


def record_seeds() -> list[Seed]:
    """A fit, a head that was edited, and heads that were drawn."""
    import tempfile

    from headfield.edit.record import SavedHead
    from headfield.fit.result import Fit, ScanFit
    from headfield.fit.verdict import Verdict
    from headfield.models.release import DEFAULT, load
    from headfield.types import Similarity

    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3))
    expression, on_head = np.zeros(52), np.ones(40, dtype=bool)
    scan = ScanFit(
        "scan.ply", Similarity(), "mm", 0.0, expression, points, rng.random(40), on_head, points, None, None, True
    )
    verdict = Verdict.of({"level": "good", "reasons": [], "advice": []})
    fit = Fit(
        DEFAULT,
        np.zeros(256),
        (scan,),
        {"total": 1.0},
        {"cost": 0.5},
        ("a note",),
        "bald",
        None,
        verdict,
        load(DEFAULT).fingerprint,
    )
    with tempfile.TemporaryDirectory() as folder:
        fit.save(Path(folder) / "fit.npz")
        saved = SavedHead.load(Path(folder) / "fit.npz").apply({"do": "symmetrise"})
        saved.save(Path(folder) / "head.npz")
        held = {name: (Path(folder) / name).read_bytes() for name in ("fit.npz", "head.npz")}
    marked = json.dumps(load(DEFAULT).fingerprint.to_dict())
    drawn = npz(identity=rng.normal(size=(3, 256)), model=DEFAULT, expression=np.zeros(52, np.float32), weights=marked)

    def head(name: str, number: str = ""):
        def read(folder: Path):
            return SavedHead.load(f"{folder / name}{number}")

        return read

    return [
        Seed("fit", {"fit.npz": held["fit.npz"]}, lambda folder: Fit.load(folder / "fit.npz")),
        Seed("head", {"head.npz": held["head.npz"]}, head("head.npz")),
        Seed("drawn heads", {"codes.npz": drawn}, head("codes.npz", "#2")),
    ]


def track_seeds() -> list[Seed]:
    """Expression tracks of every layout, and landmarks."""
    from headfield.types import ARKIT

    rng = np.random.default_rng(1)
    values = rng.random((6, 52)).round(3)
    rows = "".join(f"14:03:52:{i:02d}.1,52," + ",".join(map(str, row)) + "\n" for i, row in enumerate(values))
    live = "Timecode,BlendShapeCount," + ",".join(name[0].upper() + name[1:] for name in ARKIT) + "\n" + rows
    frames = [
        {
            "timestamp_ms": 33 * i,
            "faceBlendshapes": [{"categoryName": n, "score": float(v)} for n, v in zip(ARKIT[:9], row)],
            "facialTransformationMatrixes": [{"rows": 4, "columns": 4, "data": np.eye(4).ravel().tolist()}],
        }
        for i, row in enumerate(values)
    ]
    flame = rng.normal(size=(6, 13)).round(3)
    columns = "time," + ",".join(f"expr_{i}" for i in range(10)) + ",jaw_0,jaw_1,jaw_2\n"
    table = columns + "".join(f"{i / 30:.3f}," + ",".join(map(str, row)) + "\n" for i, row in enumerate(flame))
    places = {
        "nose_tip": [0.0, 0, 100],
        "eye_outer_left": [40.0, 40, 60],
        "eye_outer_right": [-40, 40, 60],
        "57": [0, -40, 80],
    }

    def track(name: str):
        def read(folder: Path):
            from headfield.edit.track_files import read_track

            return read_track(folder / name)

        return read

    def landmarks(folder: Path):
        from headfield.fit.landmarks import read_landmarks

        return read_landmarks(folder / "landmarks.json")

    contents = {
        "live.csv": live.encode(),
        "scores.json": json.dumps({"fps": 30, "frames": frames}).encode(),
        "flame.csv": table.encode(),
        "flame.npz": npz(expr=flame[:, :10], jaw_pose=flame[:, 10:], fps=30.0),
        "flame.npy": npy(flame),
    }
    seeds = [Seed(f"track {name}", {name: content}, track(name)) for name, content in contents.items()]
    return [*seeds, Seed("landmarks", {"landmarks.json": json.dumps(places).encode()}, landmarks)]


def table_seeds() -> list[Seed]:
    """Tables of people and of scans."""
    people = "id,age,sex,consent\n" + "".join(f"p{i},{20 + i},f,yes\n" for i in range(8))
    scans = "subject;scan;units;expression\n" + "".join(f"p{i};scans/{i}.ply;mm;neutral\n" for i in range(8))

    def metadata(folder: Path):
        from headfield.curate.table import read_metadata

        return read_metadata(folder / "people.csv")

    def scan_list(folder: Path):
        from headfield.curate.table import read_scan_list

        return read_scan_list(folder / "scans.csv")

    return [
        Seed("table", {"people.csv": people.encode()}, metadata),
        Seed("scan list", {"scans.csv": scans.encode()}, scan_list),
    ]


def model_seeds() -> list[Seed]:
    """A pickle of FLAME's keys, its landmarks, GNM's archive (of a few vertices), and a model's config.json."""
    from headfield.models.release import DEFAULT, PACKAGED

    rng = np.random.default_rng(2)
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.1)
    count = len(ball.vertices)
    regressor = np.zeros((5, count))
    regressor[:, :5] = np.eye(5)
    content = {
        "v_template": np.array(ball.vertices),
        "f": np.array(ball.faces).astype(np.uint32),
        "shapedirs": rng.normal(size=(count, 3, 302)).astype(np.float16),
        "posedirs": np.zeros((count, 3, 36), np.float16),
        "J_regressor": csc_matrix(regressor),
        "weights": np.full((count, 5), 0.2),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "bs_style": "lbs",
        "names": ["a", "b"],
    }
    embedding = npz(lmk_face_idx=np.arange(68), lmk_b_coords=np.full((68, 3), 1 / 3))
    from headfield.parametric.gnm import _WANTED

    sizes = {
        "template_joint_positions": (4, 3),
        "skinning_weights": (4, count),
        "vertex_identity_basis": (2, count, 3),
        "joint_identity_basis": (2, 4, 3),
        "expression_basis": (2, count, 3),
    }
    arrays = {name: rng.normal(size=sizes.get(name, (3,) * want.axes)) for name, want in _WANTED.items()}
    arrays["template_vertex_positions"] = np.array(ball.vertices)
    arrays["triangles"] = np.array(ball.faces)
    arrays["template_joint_positions"] = np.array([[0, -0.1, 0], [0, 0, 0], [0.03, 0, 0.08], [-0.03, 0, 0.08]])
    arrays.pop("pose_correctives_regressor")
    arrays["joint_names"] = np.array(["neck", "head", "left_eye", "right_eye"])
    arrays["joint_parent_indices"] = np.array([-1, 0, 1, 1])
    config = (PACKAGED / DEFAULT / "config.json").read_bytes()
    weights = PACKAGED / DEFAULT / "model.safetensors"

    def plain_pickle(folder: Path):
        from headfield.parametric.restricted_pickle import read_pickle

        return read_pickle(folder / "flame.pkl")

    def flame(folder: Path):
        from headfield.parametric.flame import load_flame

        return load_flame(folder / "flame.pkl")

    def gnm(folder: Path):
        from headfield.parametric.gnm import load_gnm

        return load_gnm(folder / "gnm.npz")

    def model(folder: Path):
        from headfield.models.release import load

        return load(folder)

    return [
        Seed("pickle", {"flame.pkl": pickle.dumps(content, 2)}, plain_pickle),
        Seed("pickle text", {"flame.pkl": pickle.dumps(content | {"shapedirs": np.zeros(3)}, 0)}, plain_pickle),
        Seed("flame", {"flame.pkl": pickle.dumps(content, 4), "flame_static_embedding_68_v4.npz": embedding}, flame),
        Seed("gnm", {"gnm.npz": npz(**arrays)}, gnm),
        Seed("model config", {"config.json": config, "model.safetensors": weights}, model),
        Seed("model weights", {"model.safetensors": weights.read_bytes(), "config.json": config}, model),
    ]


MAY_FAIL = ("flame", "gnm")
"""Kinds whose seed is no whole head, so that what is read of it is refused in the end."""
