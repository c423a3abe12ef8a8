"""Colours of materials and pictures on points: OBJ with MTL, glTF; laws of looking up; what is missing; bombs."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from PIL import Image

from headfield.io import guard
from headfield.io.gltf import linear_colours, srgb_colours
from headfield.io.scan import read_scan
from headfield.io.textures import LARGEST_SIDE, decoded, looked_up

FOREIGN = Path(__file__).parent / "foreign"


def png(array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(subdivisions=2, radius=0.1)


# ---- looking up ----------------------------------------------------------------------------------------------------


def test_centres_of_texels_come_back_exactly_and_the_rest_is_mixed_in_linear_light():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    rows, columns = np.divmod(np.arange(35), 7)
    centres = np.column_stack([(columns + 0.5) / 7, (rows + 0.5) / 5])
    np.testing.assert_array_equal(srgb_colours(looked_up(picture, centres)), picture.reshape(-1, 3))
    black_and_white = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    assert looked_up(black_and_white, np.array([[0.5, 0.5]]))[0, 0] == pytest.approx(0.5)
    grey = np.full((1, 1, 3), 128, np.uint8)
    assert looked_up(grey, np.zeros((1, 2)))[0, 0] == pytest.approx(linear_colours(np.full((1, 3), 128))[0, 0])
    assert looked_up(grey, np.zeros((1, 2)), linear=True)[0, 0] == pytest.approx(128 / 255)


def test_coordinates_outside_repeat_mirror_or_stay_at_the_edge():
    picture = np.zeros((1, 4, 3), np.uint8)
    picture[0, :, 0] = [10, 60, 120, 200]
    uv = (np.arange(-8, 12) + 0.5)[:, None] / 4 * [1, 0] + [0, 0.5]
    expected = {
        "repeat": np.tile([10, 60, 120, 200], 5),
        "mirror": np.concatenate([[10, 60, 120, 200], [200, 120, 60, 10]] * 3)[:20],
        "clamp": np.r_[np.full(8, 10), [10, 60, 120, 200], np.full(8, 200)],
    }
    for how, values in expected.items():
        found = srgb_colours(looked_up(picture, uv, (how, "repeat")))[:, 0]
        inner = slice(1, -1) if how == "clamp" else slice(None)
        np.testing.assert_array_equal(found[inner], values[inner], err_msg=how)
    odd = looked_up(picture, np.array([[np.nan, np.inf], [1e300, -1e300]]))
    assert np.isfinite(odd).all()


# ---- OBJ -----------------------------------------------------------------------------------------------------------


def strip_obj(folder: Path, mtl: str, uses=("usemtl a", "usemtl b"), count=60) -> Path:
    """A band of squares: the left half of one material, the right half of another, texture coordinates with a seam."""
    lines = ["mtllib band.mtl"]
    for column in range(count + 1):
        lines += [f"v {column} 0 0", f"v {column} 9 0"]
    half = count // 2
    lines += [f"vt {column / half:.6f} {row}" for column in range(half + 1) for row in (0.25, 0.75)]
    for column in range(count):
        lines += [uses[0]] * (column == 0) + [uses[1]] * (column == half)
        first, place = 2 * column + 1, 2 * (column % half) + 1
        corners = [(first, place), (first + 2, place + 2), (first + 3, place + 3), (first + 1, place + 1)]
        lines.append("f " + " ".join(f"{v}/{vt}" for v, vt in corners))
    (folder / "band.obj").write_text("\n".join(lines) + "\n")
    (folder / "band.mtl").write_text(mtl)
    return folder / "band.obj"


def test_two_materials_one_picture_and_one_colour(tmp_path):
    """The picture is upright; its factor does not count, a plain material's does; seams are mixed in linear light."""
    (tmp_path / "two rows.png").write_bytes(png([[[200, 0, 0]] * 4, [[0, 0, 200]] * 4]))
    path = strip_obj(tmp_path, "newmtl a\nKd 0 0 0\nmap_Kd -s 1 1 1 two rows.png\nnewmtl b\nKd 0.2 0.4 0.6\n")
    scan = read_scan(path)
    assert len(scan.points) == 122 and not scan.notes
    left, upper = scan.points[:, 0] < 30, scan.points[:, 1] > 5
    assert (scan.colours[left & upper] == [200, 0, 0, 255]).all()
    assert (scan.colours[left & ~upper] == [0, 0, 200, 255]).all()
    assert (scan.colours[scan.points[:, 0] > 30] == [51, 102, 153, 255]).all()
    seam = scan.colours[(scan.points[:, 0] == 30) & upper][0, :3]
    one, other = linear_colours(np.array([[200, 0, 0]])), linear_colours(np.array([[51, 102, 153]]))
    mixed = [srgb_colours((number * one + (3 - number) * other) / 3)[0].tolist() for number in (1, 2)]
    assert seam.tolist() in mixed  # two triangles of one square meet there, and one of the other


def test_pictures_are_found_by_the_last_part_of_their_name(tmp_path):
    (tmp_path / "Skin.PNG").write_bytes(png([[[9, 99, 199], [90, 9, 9]]]))
    path = strip_obj(
        tmp_path, "newmtl a\nmap_Kd C:\\Users\\me\\scans\\skin.png\nnewmtl b\nmap_Kd ../textures/skin.png\n"
    )
    scan = read_scan(path)
    assert scan.colours is not None and not scan.notes


def test_what_is_missing_is_named_and_the_scan_is_read(tmp_path):
    path = strip_obj(tmp_path, "newmtl a\nmap_Kd skin.png\nnewmtl b\nKd 1 0 0\n")
    scan = read_scan(path)
    assert (scan.colours[scan.points[:, 0] < 30, :3] == 255).all() and len(scan.notes) == 1
    assert "'skin.png' is missing" in scan.notes[0] and "put it beside the scan" in scan.notes[0]
    (tmp_path / "skin.png").write_bytes(b"no picture at all")
    assert "cannot be read as a picture" in read_scan(path).notes[0]
    (tmp_path / "band.mtl").unlink()
    scan = read_scan(path)
    assert scan.colours is None and "'band.mtl' is missing" in scan.notes[0]


def test_names_of_pictures_do_not_lead_out(tmp_path):
    (tmp_path / "secret.png").write_bytes(png([[[9, 9, 9], [200, 9, 9]]]))
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png"), "file:///etc/passwd", "/dev/zero"):
        scan = read_scan(strip_obj(folder, f"newmtl a\nmap_Kd {name}\nnewmtl b\nmap_Kd {name}\n"))
        assert scan.colours is None and "is missing" in scan.notes[0], name
    (folder / "skin.png").symlink_to(tmp_path / "secret.png")
    scan = read_scan(strip_obj(folder, "newmtl a\nmap_Kd skin.png\nnewmtl b\nmap_Kd skin.png\n"))
    assert scan.colours is None and "leads out" in scan.notes[0]


def test_one_colour_all_over_is_none(tmp_path):
    assert read_scan(strip_obj(tmp_path, "newmtl a\nKd 0.8 0.8 0.8\nnewmtl b\nKd 0.8 0.8 0.8\n")).colours is None


def test_obj_of_trimesh_and_of_blender(tmp_path):
    """The same picture on the same shape; the order of vertices is the file's."""
    scan = read_scan(FOREIGN / "blender.obj")
    picture = Image.open(FOREIGN / "skin.png")
    uv = np.column_stack([scan.points[:, 0] / 0.2 + 0.5, scan.points[:, 1] / 0.24 + 0.5])
    mesh = trimesh.Trimesh(scan.points, scan.triangles, process=False)
    material = trimesh.visual.material.SimpleMaterial(image=picture)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    mesh.export(tmp_path / "t.obj")
    other = read_scan(tmp_path / "t.obj")
    np.testing.assert_allclose(other.points, scan.points, atol=1e-6)
    assert np.abs(other.colours.astype(int) - scan.colours).max() <= 2


# ---- pictures that would be large ----------------------------------------------------------------------------------


def test_a_picture_bomb_costs_its_colours_and_no_memory(tmp_path):
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "skin.png").write_bytes(bomb)
    scan = read_scan(strip_obj(tmp_path, "newmtl a\nmap_Kd skin.png\nnewmtl b\nKd 1 0 0\n"))
    assert "30,000 x 30,000 pixels" in scan.notes[0]
    half = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    (tmp_path / "skin.png").write_bytes(bomb.replace(chunk(b"IHDR", head), chunk(b"IHDR", half)))
    assert "--read-limit" in read_scan(tmp_path / "band.obj").notes[0]


def test_large_pictures_are_made_smaller():
    wide = np.zeros((2, 2 * LARGEST_SIDE, 3), np.uint8)
    wide[:, LARGEST_SIDE:] = 200
    found, pixels = decoded(png(wide), "p")
    assert found.shape == (1, LARGEST_SIDE, 3) and pixels == wide.shape[0] * wide.shape[1]
    assert (found[0, : LARGEST_SIDE // 2] == 0).all() and (found[0, LARGEST_SIDE // 2 :] == 200).all()
    assert guard.limit()


# ---- glTF ----------------------------------------------------------------------------------------------------------


PICTURE = np.zeros((4, 4, 3), np.uint8)
PICTURE[:2, :, 0] = PICTURE[2:, :, 1] = [10, 60, 120, 200]


def gltf(
    ball, *, wrap=10497, factor=(1, 1, 1, 1), transform=None, colours=None, picture=None, second=False, normal=False
):
    """A textured ball by pygltflib: u = azimuth over the whole circle twice round, v = height, down."""
    points = np.array(ball.vertices, dtype=np.float32)
    uv = np.column_stack([points[:, 0] / 0.2 * 4, 0.5 - points[:, 1] / 0.2]).astype(np.float32)
    if normal:  # normalised shorts
        uv = np.rint(np.clip(uv, 0, 1) * 65535).astype(np.uint16)
    arrays = [points, uv, np.array(ball.faces, dtype=np.uint32).ravel()]
    kinds = [(5126, "VEC3"), (5123 if normal else 5126, "VEC2"), (5125, "SCALAR")]
    if colours is not None:
        arrays.append(np.asarray(colours, dtype=np.float32))
        kinds.append((5126, "VEC3"))
    file, blob = pygltflib.GLTF2(), b""
    for array, (component, kind) in zip(arrays, kinds):
        raw = array.tobytes()
        file.bufferViews.append(pygltflib.BufferView(buffer=0, byteOffset=len(blob), byteLength=len(raw)))
        file.accessors.append(
            pygltflib.Accessor(
                bufferView=len(file.bufferViews) - 1,
                componentType=component,
                count=len(array),
                type=kind,
                normalized=normal and kind == "VEC2",
            )  # fmt: skip
        )
        blob += raw + b"\0" * (-len(raw) % 4)
    attributes = pygltflib.Attributes(POSITION=0, TEXCOORD_1=1)
    if colours is not None:
        attributes.COLOR_0 = 3
    shown = pygltflib.TextureInfo(index=0, texCoord=1)
    if transform is not None:
        shown.extensions = {"KHR_texture_transform": transform}
    rough = pygltflib.PbrMetallicRoughness(baseColorFactor=list(factor), baseColorTexture=shown)
    file.materials = [pygltflib.Material(pbrMetallicRoughness=rough)]
    parts = [pygltflib.Primitive(attributes=attributes, indices=2, material=0)]
    if second:
        plain = pygltflib.PbrMetallicRoughness(baseColorFactor=[0.5, 0.25, 1.0, 1.0])
        file.materials.append(pygltflib.Material(pbrMetallicRoughness=plain))
        parts.append(pygltflib.Primitive(attributes=pygltflib.Attributes(POSITION=0), indices=2, material=1))
    if picture is None:
        raw = png(PICTURE)
        picture = "data:image/png;base64," + base64.b64encode(raw).decode()
    file.images = [pygltflib.Image(uri=picture)]
    file.samplers = [pygltflib.Sampler(wrapS=wrap, wrapT=wrap, magFilter=9729)]
    file.textures = [pygltflib.Texture(source=0, sampler=0)]
    file.meshes = [pygltflib.Mesh(primitives=parts)]
    file.nodes, file.scenes, file.scene = [pygltflib.Node(mesh=0)], [pygltflib.Scene(nodes=[0])], 0
    file.buffers = [pygltflib.Buffer(byteLength=len(blob))]
    file.set_binary_blob(blob)
    return file


def expected(ball, wrap="repeat", transform=lambda uv: uv):
    points = np.asarray(ball.vertices, dtype=np.float32)
    uv = np.column_stack([points[:, 0] / 0.2 * 4, 0.5 - points[:, 1] / 0.2])
    return looked_up(PICTURE, transform(uv), (wrap, wrap))


def apart(scan, linear) -> int:
    """The largest difference of colours, in bytes."""
    return np.abs(scan.colours[:, :3].astype(int) - srgb_colours(linear)).max()


@pytest.mark.parametrize("code, wrap", [(10497, "repeat"), (33648, "mirror"), (33071, "clamp")])
def test_glb_pictures_with_their_wrapping(tmp_path, ball, code, wrap):
    gltf(ball, wrap=code).save(str(tmp_path / "a.glb"))
    scan = read_scan(tmp_path / "a.glb")
    np.testing.assert_allclose(scan.points, ball.vertices, atol=1e-6)
    assert apart(scan, expected(ball, wrap)) <= 1
    assert scan.units == "m" and not scan.notes


def test_glb_factor_vertex_colours_and_second_material(tmp_path, ball):
    """All are linear, and multiply; the second part has its own factor."""
    colours = np.full((len(ball.vertices), 3), 0.5)
    gltf(ball, factor=(1, 0.5, 1, 1), colours=colours, second=True).save(str(tmp_path / "a.glb"))
    scan = read_scan(tmp_path / "a.glb")
    count = len(ball.vertices)
    assert len(scan.points) == 2 * count
    # the parser keeps vertex colours as bytes
    factors = np.array([1, 0.5, 1]) * np.rint(0.5 * 255) / 255
    first = srgb_colours(expected(ball) * factors).astype(int)
    assert np.abs(scan.colours[:count, :3].astype(int) - first).max() <= 1
    assert (scan.colours[count:, :3] == srgb_colours(np.array([[0.5, 0.25, 1.0]]))).all()


def test_glb_texture_transform_and_short_coordinates(tmp_path, ball):
    """KHR_texture_transform: scaled, turned so that (1, 0) goes to (cos, -sin), moved."""
    gltf(ball, transform={"offset": [0.1, 0.2], "rotation": 0.3, "scale": [2.0, 0.5]}).save(str(tmp_path / "a.glb"))
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    moved = lambda uv: (uv * [2.0, 0.5]) @ turn.T + [0.1, 0.2]  # noqa: E731
    assert apart(read_scan(tmp_path / "a.glb"), expected(ball, transform=moved)) <= 1
    gltf(ball, wrap=33071, normal=True).save(str(tmp_path / "b.glb"))
    assert apart(read_scan(tmp_path / "b.glb"), expected(ball, "clamp")) <= 2


def test_gltf_with_its_picture_beside_it_or_missing(tmp_path, ball):
    file = gltf(ball, picture="skin%20one.png")
    raw = base64.b64encode(file.binary_blob()).decode()
    document = json.loads(file.to_json())
    document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + raw
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    scan = read_scan(tmp_path / "a.gltf")
    assert scan.colours is None and "'skin%20one.png' is missing" in scan.notes[0]
    shutil.copy(FOREIGN / "skin.png", tmp_path / "skin one.png")
    scan = read_scan(tmp_path / "a.gltf")
    assert scan.colours is not None and not scan.notes
