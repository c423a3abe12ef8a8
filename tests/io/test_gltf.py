"""GLBs of baked heads, read by others: pygltflib, trimesh, Khronos' validator and Blender."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from headfield.frames import METRES_PER_UNIT
from headfield.io.gltf import MorphHead, linear_colours, srgb_colours
from headfield.io.gltf_animation import with_animation
from headfield.surface.baked import unwrapped
from headfield.types import ARKIT

pygltflib = pytest.importorskip("pygltflib", reason="pip install pygltflib")
pytest.importorskip("xatlas", reason="texture coordinates need the extra export: pip install 'headfield[export]'")
HERE = Path(__file__).parent
_TYPES = {5126: "<f4", 5123: "<u2", 5125: "<u4", 5121: "u1"}
_WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC2": 2, "VEC4": 4}


@pytest.fixture(scope="session")
def head(baked):
    """The baked head with texture coordinates."""
    return unwrapped(baked)


@pytest.fixture(scope="session")
def glb(head) -> bytes:
    return head.glb(METRES_PER_UNIT)


@pytest.fixture(scope="session")
def take(glb) -> bytes:
    """The GLB with half a second of a jaw that opens, a gaze to the left and a nod."""
    times = np.linspace(0, 0.5, 6)
    weights = np.zeros((6, 52))
    for name in ("jawOpen", "eyeLookOutLeft", "eyeLookInRight"):
        weights[:, ARKIT.index(name)] = np.linspace(0, 1, 6)
    from scipy.spatial.transform import Rotation

    nod = Rotation.from_euler("x", np.linspace(0, 0.3, 6)[:, None]).as_matrix()
    return with_animation(glb, times, weights, nod, pivot=(0, -0.05, -0.04), name="nod")


def opened(glb: bytes):
    return pygltflib.GLTF2.load_from_bytes(glb)


def values(gltf, index: int) -> np.ndarray:
    """An accessor's elements, sparse ones filled in, by the letter of the specification."""
    accessor, blob = gltf.accessors[index], gltf.binary_blob()

    def raw(view: int, kind: int, count: int, width: int) -> np.ndarray:
        begin = gltf.bufferViews[view].byteOffset or 0
        return np.frombuffer(blob, _TYPES[kind], count * width, begin).reshape(count, width)

    width = _WIDTH[accessor.type]
    if accessor.bufferView is None:
        full = np.zeros((accessor.count, width), "<f4")
    else:
        full = raw(accessor.bufferView, accessor.componentType, accessor.count, width).copy()
    if sparse := accessor.sparse:
        rows = raw(sparse.indices.bufferView, sparse.indices.componentType, sparse.count, 1)[:, 0]
        assert (np.diff(rows.astype(int)) > 0).all()
        full[rows] = raw(sparse.values.bufferView, accessor.componentType, sparse.count, width)
    return full


def test_names_counts_and_sparse_values_by_pygltflib(glb, head):
    gltf = opened(glb)
    mesh = gltf.meshes[0]
    primitive = mesh.primitives[0]
    assert mesh.extras["targetNames"] == list(ARKIT) and len(primitive.targets) == len(mesh.weights) == 52
    mouth = ["teethUpper", "teethLower", "gumsUpper", "gumsLower", "tongue"]
    assert [node.name for node in gltf.nodes] == ["head", "eyeLeft", "eyeRight", *mouth]
    rest = values(gltf, primitive.attributes.POSITION)
    assert rest.shape == head.neutral.shape
    lids = np.any([np.linalg.norm(head.neutral - eye.centre, axis=1) < 2 * eye.radius for eye in head.eyes], axis=0)
    free = np.flatnonzero(~lids)  # round the eyeballs room is made for them
    np.testing.assert_allclose(rest[free], head.neutral[free] * METRES_PER_UNIT, atol=1e-7)
    assert len(free) > 0.7 * len(rest)
    assert gltf.accessors[primitive.indices].count == 3 * len(head.triangles)
    for index, name in enumerate(ARKIT):
        offsets = values(gltf, primitive.targets[index]["POSITION"])
        np.testing.assert_allclose(offsets[free], head.shapes[index][free] * METRES_PER_UNIT, atol=1.1e-6, err_msg=name)
        accessor = gltf.accessors[primitive.targets[index]["POSITION"]]
        np.testing.assert_allclose(accessor.min, offsets.min(0), atol=1e-9)
        np.testing.assert_allclose(accessor.max, offsets.max(0), atol=1e-9)
    one_sided = gltf.accessors[primitive.targets[ARKIT.index("eyeBlinkLeft")]["POSITION"]]
    assert one_sided.sparse.count < 0.6 * len(rest)  # sparse is worth it
    uv = values(gltf, primitive.attributes.TEXCOORD_0)
    np.testing.assert_allclose(uv, np.stack([head.uv[:, 0], 1 - head.uv[:, 1]], 1), atol=1e-6)


def test_metres_y_up_and_eyes_in_front_by_trimesh(glb):
    import trimesh

    scene = trimesh.load(io.BytesIO(glb), file_type="glb")
    extent = scene.geometry["head"].extents
    assert 0.2 < extent[1] < 0.4 and 0.13 < extent[0] < 0.25  # a head in metres, standing
    for name, sign in (("eyeLeft", 1), ("eyeRight", -1)):
        place, shape = scene.graph[name]
        assert sign * place[0, 3] > 0.02 and place[2, 3] > 0 and shape == "eyeball"  # z out of the face
        assert 0.009 < np.linalg.norm(place[:3, 0]) < 0.015


def test_mouth_parts_are_meshes_of_their_own_with_the_targets_that_move_them(glb, head):
    gltf = opened(glb)
    found = {mesh.name: mesh for mesh in gltf.meshes}
    matter = {}
    for part in head.mouth:
        mesh = found[part.name]
        primitive = mesh.primitives[0]
        rest = values(gltf, primitive.attributes.POSITION)
        np.testing.assert_allclose(rest, part.vertices * METRES_PER_UNIT, atol=1e-7)
        assert (mesh.extras.get("targetNames") or []) == list(part.shapes)
        for target, (name, offsets) in zip(primitive.targets or (), part.shapes.items()):
            stored = values(gltf, target["POSITION"])
            np.testing.assert_allclose(stored, offsets * METRES_PER_UNIT, atol=1.1e-6, err_msg=name)
        matter[part.name] = gltf.materials[primitive.material]
    assert {kind.name for kind in matter.values()} == {"teeth", "gums", "tongue"}
    assert matter["teethUpper"] == matter["teethLower"]
    ivory, gum = (matter[name].pbrMetallicRoughness.baseColorFactor for name in ("teethUpper", "gumsUpper"))
    assert min(ivory[:3]) > gum[1]  # lighter than gums, whose red is the strongest
    assert gum[0] > 1.5 * max(gum[1:3])
    assert not found["teethUpper"].extras and not found["gumsUpper"].extras


def test_nothing_of_the_head_covers_an_open_eye_and_a_blink_covers_it(glb):
    gltf = opened(glb)
    primitive = gltf.meshes[0].primitives[0]
    rest, index = values(gltf, primitive.attributes.POSITION), values(gltf, primitive.indices).reshape(-1, 3)
    import trimesh

    for node, blink in zip(gltf.nodes[1:], ("eyeBlinkLeft", "eyeBlinkRight")):
        centre, radius = np.array(node.translation), node.scale[0]
        shut = rest + values(gltf, primitive.targets[ARKIT.index(blink)]["POSITION"])
        spread = np.random.default_rng(0).uniform(-1, 1, (400, 2)) * [0.35, 0.12]
        rays = np.column_stack([spread, np.sqrt(1 - (spread**2).sum(1))]) * radius
        covered = []
        for places in (rest, shut):
            mesh = trimesh.Trimesh(places, index, process=False)
            covered.append(mesh.ray.intersects_any(centre + 1.001 * rays, np.tile([0.0, 0.0, 1.0], (400, 1))).mean())
        assert covered[0] < 0.3 and covered[1] > 0.95, (node.name, covered)


def test_animation(take, glb):
    gltf = opened(take)
    (animation,) = gltf.animations
    assert animation.name == "nod"
    paths = {(gltf.nodes[c.target.node].name, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    turning = {(name, "rotation") for name in ("eyeLeft", "eyeRight", "head_pivot")}
    with_jaw = {(name, "weights") for name in ("teethLower", "gumsLower", "tongue")}
    assert set(paths) == {("head", "weights"), *turning, *with_jaw}
    for name, path in with_jaw:  # each by its own targets, in its own order
        targets = gltf.meshes[[node.name for node in gltf.nodes].index(name) - 1].extras["targetNames"]
        played = values(gltf, paths[name, path].output).reshape(6, len(targets))
        np.testing.assert_allclose(played[:, targets.index("jawOpen")], np.linspace(0, 1, 6), atol=1e-6)
        assert np.count_nonzero(played.any(0)) == 1
    weights = values(gltf, paths["head", "weights"].output).reshape(6, 52)
    np.testing.assert_allclose(weights[:, ARKIT.index("jawOpen")], np.linspace(0, 1, 6), atol=1e-6)
    assert np.count_nonzero(weights.any(0)) == 3
    for name in ("eyeLeft", "eyeRight"):  # both look to the subject's left, +x
        x, y, z, w = values(gltf, paths[name, "rotation"].output)[-1]
        assert y > 0.1 and abs(x) < 1e-6 and abs(np.linalg.norm([x, y, z, w]) - 1) < 1e-6
    before, after = opened(glb), gltf
    assert after.binary_blob()[: len(before.binary_blob())] == before.binary_blob()


def test_shapes_that_do_not_fit_are_refused(head):
    with pytest.raises(ValueError, match="do not fit"):
        MorphHead(head.neutral, head.triangles, None, head.shapes[:3], ARKIT)


def test_scan_colours_come_along(head):
    from headfield.surface.paint import Paint

    colours = np.where(head.neutral[:, :1] > 0, (200, 40, 30, 255), (30, 180, 60, 255)).astype(np.uint8)
    gltf = opened(head.glb(METRES_PER_UNIT, Paint(head.neutral.astype(float), colours)))
    accessor = gltf.accessors[gltf.meshes[0].primitives[0].attributes.COLOR_0]
    assert accessor.count == len(head.neutral) and accessor.componentType == 5126


def test_colours_are_linear_in_a_glb_and_come_back():
    every = np.stack([np.arange(256)] * 3 + [np.full(256, 255)], axis=1).astype(np.uint8)
    linear = linear_colours(every)
    assert linear.shape == (256, 3)
    np.testing.assert_allclose(linear[[0, 128, 255], 0], [0, 0.21586, 1], atol=1e-5)  # IEC 61966-2-1
    assert (srgb_colours(linear) == every[:, :3]).all()
    every[3, 3] = 7
    assert (srgb_colours(linear_colours(every)) == every).all()


@pytest.mark.parametrize("which", ["glb", "take"])
def test_khronos_validator_finds_no_error(khronos, request, which):
    content = request.getfixturevalue(which)
    report = khronos(content)
    assert report["issues"]["numErrors"] == 0 and report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["hasMorphTargets"]
    broken = bytearray(content)
    broken[len(broken) // 2 : len(broken) // 2 + 4000] = b"\xff" * 4000  # and it would find one
    assert khronos(bytes(broken))["issues"]["numErrors"] > 0


def test_blender_imports_shape_keys_that_move_the_right_vertices(blender, take, tmp_path):
    (tmp_path / "head.glb").write_bytes(take)
    seen = blender(HERE / "check_in_blender.py", tmp_path / "head.glb")
    assert seen["keys"] == ["Basis", *ARKIT] and seen["uv"]
    assert {name.split(".")[0] for name in seen["objects"]} >= {"head", "eyeLeft", "eyeRight"}
    # Blender's z is up and -y is forward: a head of 20 to 40 cm
    assert 0.2 < seen["high"][2] - seen["low"][2] < 0.4
    count, largest, where = seen["moved"]["jawOpen"]
    assert count > 200 and 0.008 < largest < 0.06 and where[1] < 0 and where[2] < 0
    for side, sign in (("Left", 1), ("Right", -1)):
        _, largest, where = seen["moved"][f"mouthSmile{side}"]
        assert largest > 0.003 and sign * where[0] > 0
    assert seen["moved"]["tongueOut"][0] == 0
