"""What is baked from the fields is what is ray-marched, and the GLB's joints and morphs pose it in the same way."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation
from toy_rig import toy_frames, toy_rig

from headfield.avatar.avatar import Avatar
from headfield.avatar.config import tiny
from headfield.avatar.export import JAW_WIDE, BakedAvatar, as_morphs, bake_avatar, glb_of
from headfield.avatar.render import render
from headfield.avatar.template import Template
from headfield.io.gltf_animation import split_glb
from headfield.surface.rays import RayScene
from headfield.synth.video import video_camera
from headfield.view.share_page import share_page, turns_of

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def baked():
    """A ball with blendshapes, correctives and weights that vary, and its mesh; no training is needed for the law."""
    torch.manual_seed(2)
    template = Template(toy_rig(canonical_jaw=0.1))
    avatar = Avatar(tiny(), 2, 3)
    with torch.no_grad():
        avatar.deformation.blend.weight.normal_(0, 0.02)
        avatar.geometry.mlp.last_bias[0, 0] += 0.38
    return avatar, template, bake_avatar(avatar, template, 64)


@pytest.mark.parametrize("vertices", [20_000, 1_500])
def test_the_baked_mesh_posed_is_the_ray_marched_surface(baked, vertices):
    """Also with a fifth of the vertices: what stands at them is asked of the fields, not carried over."""
    avatar, template, found = baked
    if vertices < len(found.rig.vertices):
        found = bake_avatar(avatar, template, 64, vertices)
        assert 0.9 * vertices < len(found.rig.vertices) <= 1.1 * vertices
        assert trimesh.Trimesh(found.rig.vertices, found.rig.triangles, process=False).is_watertight
    expressions, poses = toy_frames(2, seed=3)
    poses[:, 1:] *= 0.4
    camera = video_camera(24)
    for expression, pose in zip(expressions, poses):
        shown = render(avatar, template, camera, expression, pose)
        posed = found.rig.posed(expression, pose)
        hits = RayScene(posed, found.rig.triangles).first_hit(camera.origin, camera.rays())
        depth = np.where(hits.triangle >= 0, hits.distance, np.nan).reshape(camera.size)
        gap = 250 * np.abs(depth - shown.depth)[shown.mask & np.isfinite(depth)]
        edge = np.sum(shown.mask != np.isfinite(depth))
        print(f"{len(gap)} pixels: 95 % within {np.quantile(gap, 0.95):.3f} mm; {edge} seen in one alone")
        assert len(gap) > 40 and np.quantile(gap, 0.95) < 0.7 and edge < 0.15 * len(gap)
    assert found.residual < 1e-4
    assert np.allclose(found.rig.weights.sum(1), 1.0, atol=1e-5)


def test_khronos_validator_finds_no_error_in_an_avatar(khronos, baked):
    report = khronos(glb_of(baked[2]))
    assert report["issues"]["numErrors"] == 0 and report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["hasMorphTargets"] and report["info"]["hasSkins"]


def test_blender_plays_an_avatar_as_its_rig_says(blender, baked, tmp_path):
    """Morph targets and joints set in Blender move every vertex to where the rig's own equation has it."""
    rig = as_morphs(baked[2])
    (tmp_path / "avatar.glb").write_bytes(glb_of(baked[2]))
    frames, expected = [], []
    for weights, neck, jaw in (([0, 0, 0], 0.0, 0.0), ([0.7, 0.2, 0.0], 0.2, 0.0), ([0.3, 0.9, 0.8], -0.3, 0.35)):
        pose = np.zeros((3, 3))
        pose[1, 1], pose[2, 0] = neck, jaw
        turns = {name: Rotation.from_rotvec(turn).as_matrix().tolist() for name, turn in zip(rig.joints, pose)}
        frames.append({"weights": dict(zip(rig.channels, weights)), "joints": turns})
        expected.append(250 * rig.posed(np.array(weights), pose))
    (tmp_path / "frames.json").write_text(json.dumps(frames))
    seen = blender(HERE / "play_in_blender.py", tmp_path / "avatar.glb", tmp_path / "frames.json")
    assert seen["keys"] == ["Basis", *rig.channels] and set(seen["bones"]) == set(rig.joints)
    for frame, (played, ours) in enumerate(zip(seen["played"], expected)):
        error = np.linalg.norm(1e3 * np.array(played) - ours, axis=1)
        moved = np.linalg.norm(ours - expected[0], axis=1)
        print(f"frame {frame}: {error.max():.3f} mm off at most, where up to {moved.max():.1f} mm are moved")
        assert error.max() < 0.3  # offsets below 0.1 mm are left out


def test_an_avatar_plays_in_a_browser_by_morphs_and_joints(browser, tmp_path):
    """Every slider moves the picture where it should, the wires with it, and zero is the picture before."""
    page = tmp_path / "avatar.html"
    rig = toy_rig(4, canonical_jaw=0.1)
    glb = glb_of(BakedAvatar(rig, np.full((len(rig.vertices), 3), 160, dtype=np.uint8), 0.0))
    page.write_text(share_page(glb, title="toy", turns=turns_of(rig.joints, JAW_WIDE)))
    tab = browser.new_page(viewport={"width": 900, "height": 700}, reduced_motion="reduce")
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready]", timeout=180_000)

    def moved(channel: str, value: float) -> np.ndarray:
        """Shares of the pixels of the upper, middle and lower third that a slider changes."""
        pictures = []
        for to in (0.0, value):
            tab.eval_on_selector(f"#s-{channel}", f"s => {{ s.value = {to}; s.dispatchEvent(new Event('input')); }}")
            tab.wait_for_timeout(250)
            shot = Image.open(io.BytesIO(tab.locator("#view").screenshot())).convert("RGB")
            pictures.append(np.asarray(shot, dtype=float))
        tab.keyboard.press("r")
        changed = np.abs(pictures[1] - pictures[0]).max(axis=-1) > 8
        return np.array([third.mean() for third in np.array_split(changed, 3)])

    jaw, turned, nodded = moved("jawOpen", 1), moved("headTurn", -1), moved("headNod", 1)
    print("pixels moved by thirds: jaw", jaw, "turned", turned, "nodded", nodded)
    assert jaw[0] < 0.002 < jaw[1:].max() and turned.max() > 0.01 and nodded[0] > 0.01
    tab.keyboard.press("w")  # wires follow the joints: no second head stays behind
    wired = moved("jawOpen", 1)
    print("wires", wired)
    assert 4 * wired[0] < wired[1:].max() > 0.01  # thin lines flicker where nearly nothing moves
    assert tab.locator("#s-jawCorrective").count() == 0, "the jaw drives it"
    assert not complaints, complaints
    tab.close()


def read(document: dict, content: bytes, index: int) -> np.ndarray:
    """An accessor's numbers."""
    accessor = document["accessors"][index]
    kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
    result = np.zeros((accessor["count"], width), dtype=kind)

    def view(which: int, kind: str, count: int, width: int) -> np.ndarray:
        offset = document["bufferViews"][which]["byteOffset"]
        return np.frombuffer(content, kind, count * width, offset).reshape(count, width)

    if "bufferView" in accessor:
        result = view(accessor["bufferView"], kind, *result.shape)
    elif "sparse" in accessor:
        sparse = accessor["sparse"]
        indices = sparse["indices"]
        integer = {5123: "<u2", 5125: "<u4"}[indices["componentType"]]
        rows = view(indices["bufferView"], integer, sparse["count"], 1)[:, 0]
        result[rows] = view(sparse["values"]["bufferView"], kind, sparse["count"], width)
    return result


def test_the_glb_is_posed_by_joints_and_morphs_as_the_rig_is(baked):
    """glTF's own equations by hand: morph, then joints; with the jaw at JAW_WIDE the correctives are whole again."""
    _, _, found = baked
    document, content = split_glb(glb_of(found))
    mesh, skin = document["meshes"][0], document["skins"][0]
    (primitive,) = mesh["primitives"]
    names = mesh["extras"]["targetNames"]
    assert names == ["smile", "brow", "jawCorrective"]
    data = {name: read(document, content, at) for name, at in primitive["attributes"].items()}
    targets = np.stack([read(document, content, target["POSITION"]) for target in primitive["targets"]])
    inverse = read(document, content, skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    nodes = [document["nodes"][at] for at in skin["joints"]]
    assert [node["name"] for node in nodes] == list(found.rig.joints)
    places = np.cumsum([node["translation"] for node in nodes], axis=0)  # a chain
    for jaw, morphs in ((0.0, [0.6, 0.3, 0.0]), (0.44, [0.6, 0.3, 1.0])):
        pose = np.zeros((3, 3))
        pose[2, 0] = jaw
        motions = found.rig.joint_motions(pose)
        world = np.tile(np.eye(4), (3, 1, 1))
        world[:, :3, :3] = motions[:, :, :3]
        world[:, :3, 3] = np.einsum("jab,jb->ja", motions[:, :, :3], places) + 0.25 * motions[:, :, 3]
        moved = data["POSITION"] + np.tensordot(morphs, targets, axes=1)
        blended = np.einsum("vk,vkab->vab", data["WEIGHTS_0"], (world @ inverse)[data["JOINTS_0"]])
        posed = np.einsum("vab,vb->va", blended[:, :3, :3], moved) + blended[:, :3, 3]
        expected = 0.25 * found.rig.posed(np.array(morphs[:2]), pose)
        error = 1e3 * np.abs(posed - expected).max()
        print(f"jaw {jaw}: at most {error:.3f} mm off")
        assert error < 0.3  # offsets below 0.1 mm are left out
    bent = replace(found.rig, correctives=0 * found.rig.correctives).posed(np.zeros(2), pose)
    assert 250 * np.abs(bent - found.rig.posed(np.zeros(2), pose)).max() > 2.0, "correctives that matter"
