"""Journeys of ``headfield animate`` and ``export -o head.html``: every kind of output, re-read; bad options refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from headfield.edit.track_files import read_track
from headfield.edit.tracks import Track, head_rotation
from headfield.errors import ConfigError, MissingExtra, OutputError
from headfield.io.gltf_animation import join_glb, split_glb, with_animation
from headfield.types import ARKIT, Mesh
from headfield.view.movie import find_ffmpeg, write_gif, write_mp4

JAW = ARKIT.index("jawOpen")


@dataclass(frozen=True)
class Ball:
    """Stands in for a baked head: a ball whose lower half follows jawOpen."""

    neutral: np.ndarray
    triangles: np.ndarray

    def posed(self, weights):
        vertices = self.neutral.copy()
        vertices[:, 1] -= 0.3 * weights[JAW] * (vertices[:, 1] < 0)
        return vertices

    parts = ()

    def mesh(self, weights):
        return Mesh(self.posed(weights), self.triangles)

    def glb(self, metres_per_unit, paint=None):
        return toy_glb()


def toy_glb() -> bytes:
    """One triangle with three named targets, beside two eyeball nodes."""
    triangle = np.eye(3, dtype="<f4")
    content = triangle.tobytes() * 4
    accessor = {"componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 1]}
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1, 2]}],
        "nodes": [{"mesh": 0, "name": "head"}, {"name": "eye_left", "translation": [1, 0, 0]}, {"name": "eye_right"}],
        "meshes": [
            {
                "primitives": [{"attributes": {"POSITION": 0}, "targets": [{"POSITION": i} for i in (1, 2, 3)]}],
                "extras": {"targetNames": ["eyeBlinkLeft", "jawOpen", "nothingKnown"]},
            }
        ],
        "bufferViews": [{"buffer": 0, "byteOffset": 36 * i, "byteLength": 36} for i in range(4)],
        "accessors": [{"bufferView": i, **accessor} for i in range(4)],
    }
    return join_glb(document, content)


@pytest.fixture
def baked(monkeypatch):
    """Baking, which has tests of its own, stands back for a ball."""
    from headfield.cli import shapes

    ball = trimesh.creation.icosphere(3, radius=0.5)
    one = Ball(np.array(ball.vertices), np.array(ball.faces))
    monkeypatch.setattr(shapes, "bake_head", lambda head, vertices, say: one)
    return one


@pytest.fixture
def take(tmp_path):
    """One second at 30 frames: the jaw opens and closes, the head turns to its left and back."""
    time = np.arange(30) / 30
    rows = ["Time,JawOpen,HeadYaw,HeadPitch,HeadRoll"]
    rows += [f"{t},{np.sin(np.pi * t):.6f},{0.6 * np.sin(np.pi * t):.6f},0,0" for t in time]
    path = tmp_path / "take.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


# ---- outputs -------------------------------------------------------------------------------------------------------


def test_glb(headfield, saved, baked, take):
    status, out, err = headfield("animate", saved, "--track", take, "-o", "take.glb")
    assert status == 0, err
    assert "30 frames" in out and "Missing 51 channels" in out and "head turns  yes" in out
    with open("take.glb", "rb") as file:
        document, content = split_glb(file.read())
    animation = document["animations"][0]
    paths = {channel["target"]["path"]: channel for channel in animation["channels"]}
    assert set(paths) == {"weights", "rotation"}
    values = _read(document, content, animation["samplers"][paths["weights"]["sampler"]]["output"]).reshape(30, 3)
    np.testing.assert_allclose(values[:, 1], np.sin(np.pi * np.arange(30) / 30), atol=1e-5)
    assert not values[:, [0, 2]].any()


def test_frames_and_draft(headfield, saved, baked, take):
    status, out, err = headfield("animate", saved, "--track", take, "-o", "frames", "--fps", 5, "--size", 96, "--draft")
    assert status == 0, err
    from pathlib import Path

    names = sorted(path.name for path in Path("frames").iterdir())
    assert names == [f"frame_{n:04d}.png" for n in range(1, 6)]
    pictures = [np.asarray(Image.open(f"frames/{name}"), dtype=float) for name in names]
    assert pictures[0].shape == (96, 96, 3)
    assert np.abs(pictures[2] - pictures[0]).max() > 40 and np.abs(pictures[1] - pictures[0]).max() > 40


def test_gif_mp4_png_csv_from_presets(headfield, saved, baked):
    common = (saved, "--size", 64, "--draft", "--view", "front")
    assert headfield("animate", *common, "--preset", "jawOpen", "blink=0.5", "-o", "a.gif")[0] == 0
    with Image.open("a.gif") as gif:
        frames, lasting = gif.n_frames, []
        for index in range(frames):
            gif.seek(index)
            lasting.append(gif.info["duration"])
    # 2 x 1.2 s: equal neighbours may be merged, the length stays
    assert 10 < frames <= 60 and abs(sum(lasting) - 2400) <= 40 and gif.info["loop"] == 0
    assert headfield("animate", *common, "--preset", "jawOpen=0.7", "-o", "a.png")[0] == 0
    assert Image.open("a.png").size == (64, 64)
    assert headfield("animate", *common, "--preset", "smile", "--mirror", "-o", "a.csv")[0] == 0
    assert read_track("a.csv").weights.max() == pytest.approx(0.85, abs=1e-4)
    try:
        find_ffmpeg()
    except MissingExtra as error:
        pytest.skip(str(error))
    assert headfield("animate", *common, "--preset", "jawOpen", "--fps", 10, "-o", "a.mp4")[0] == 0
    with open("a.mp4", "rb") as file:
        assert file.read(12)[4:8] == b"ftyp"


def test_smoothing_and_rates_reach_the_track(headfield, saved, baked, take):
    assert headfield("animate", saved, "--track", take, "-o", "raw.csv", "--fps", 60)[0] == 0
    strong = ("--smooth", 1, "--beta", 0)
    assert headfield("animate", saved, "--track", take, "-o", "soft.csv", "--fps", 60, *strong)[0] == 0
    raw, soft = read_track("raw.csv"), read_track("soft.csv")
    assert len(raw) == len(soft) == 59 and raw.rotation is not None
    assert soft.weights[:, JAW].max() < raw.weights[:, JAW].max() - 0.05
    assert soft.weights[:, JAW].argmax() > raw.weights[:, JAW].argmax()


def test_exact_frames_come_from_the_field(headfield, saved):
    words = ("--resolution", 40, "--size", 64, "--draft", "--view", "front", "--exact")
    assert headfield("animate", saved, "--preset", "neutral", "-o", "n.png", *words)[0] == 0
    assert headfield("animate", saved, "--preset", "open", "-o", "o.png", *words)[0] == 0
    before, after = (np.asarray(Image.open(name), dtype=float) for name in ("n.png", "o.png"))
    changed = np.abs(after - before).max(axis=-1) > 25
    assert changed[32:].sum() > 10 and changed[:20].sum() < 5, "the jaw opens; the scalp stays"


# ---- refusals ------------------------------------------------------------------------------------------------------

BAD = {
    ("--preset", "smlie"): "smile",
    ("--track", "none.csv"): "none.csv: cannot be opened",
    (): "Give either --track FILE or --preset",
    ("--preset", "smile", "--track", "take.csv"): "Give either",
    ("--preset", "smile", "-o", "a.avi"): "are written as .glb",
    ("--track", "take.csv", "-o", "a.png"): "one still of a whole track",
    ("--preset", "smile", "--size", "4"): "--size 4",
    ("--preset", "smile", "--view", "under"): "--view under",
    ("--preset", "smile", "--vertices", "3"): "--vertices 3",
    ("--preset", "smile", "--exact"): "--exact is for pictures",
    ("--track", "take.csv", "--fps", "-2"): "per second",
    ("--track", "take.csv", "--smooth", "0"): "cutoff",
    ("--track", "notes.txt"): ".csv or .json",
}


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_refused_in_one_line(headfield, saved, take, tmp_path, words):
    before = sorted(tmp_path.iterdir())
    status, out, err = headfield("animate", saved, *words)
    assert status == 2 and err.startswith("headfield: ") and err.count("\n") == 1, (status, err)
    assert BAD[words] in err
    assert sorted(tmp_path.iterdir()) == before


def test_no_head(headfield, take, tmp_path):
    for path, said in (("none.npz", "no such file"), (take, "not a head")):
        status, _, err = headfield("animate", path, "--track", take)
        assert status == 2 and said in err
    (tmp_path / "take.glb").write_text("mine")
    status, _, err = headfield("animate", "none.npz", "--track", take)
    assert status == 2 and "--force" in err and (tmp_path / "take.glb").read_text() == "mine"


def test_an_interruption_leaves_nothing(headfield, saved, baked, take, tmp_path, monkeypatch):
    before = sorted(tmp_path.iterdir())
    from headfield.surface import snapshot

    calls = []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros((64, 64, 3), np.uint8)

    monkeypatch.setattr(snapshot, "render", interrupted)
    for out in ("frames", "a.gif", "a.mp4"):
        calls.clear()
        status, _, err = headfield("animate", saved, "--track", take, "-o", out)
        assert status == 130 and "nothing half-written" in err
        assert sorted(tmp_path.iterdir()) == before


# ---- the pieces ----------------------------------------------------------------------------------------------------


def _read(document, content, accessor):
    view = document["bufferViews"][document["accessors"][accessor]["bufferView"]]
    return np.frombuffer(content, "<f4", view["byteLength"] // 4, view["byteOffset"])


def test_animation_turns_head_and_eyes_and_keeps_the_rest(tmp_path):
    import pygltflib

    rotation = head_rotation(np.column_stack([np.linspace(0, 1, 10), np.zeros(10), np.zeros(10)]))
    weights = np.zeros((10, 52))
    weights[:, ARKIT.index("eyeLookOutLeft")] = weights[:, ARKIT.index("eyeLookInRight")] = 1
    track = Track(5 + np.arange(10) / 10, weights, rotation)
    before = toy_glb()
    after = with_animation(before, track.times, track.weights, track.rotation, pivot=(0, -0.1, -0.05))
    (tmp_path / "a.glb").write_bytes(after)
    read = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    assert split_glb(after)[1].startswith(split_glb(before)[1]), "the mesh's own data are untouched"
    document, content = split_glb(after)
    time = document["accessors"][read.animations[0].samplers[0].input]
    assert (time["min"], time["max"]) == ([0.0], [pytest.approx(0.9)])
    turned = {read.nodes[c.target.node].name: _read(document, content, read.animations[0].samplers[c.sampler].output)
              for c in read.animations[0].channels if c.target.path == "rotation"}  # fmt: skip
    assert set(turned) == {"eye_left", "eye_right", "head_pivot"}
    forwards = {name: Rotation.from_quat(quat.reshape(10, 4)).apply([0, 0, 1]) for name, quat in turned.items()}
    assert (forwards["eye_left"][:, 0] > 0.4).all() and (forwards["eye_right"][:, 0] > 0.4).all(), "both look to +x"
    np.testing.assert_allclose(forwards["head_pivot"][-1], [np.sin(1), 0, np.cos(1)], atol=1e-6)
    # at rest nothing has moved: the two new nodes cancel
    nodes = {node.name: node for node in read.nodes}
    np.testing.assert_allclose(np.add(nodes["head_pivot"].translation, nodes["head_shift"].translation), 0)
    assert read.nodes[read.scenes[0].nodes[0]].name == "head_pivot" and nodes["head_shift"].children == [0, 1, 2]


def test_only_a_glb_with_named_targets_is_animated():
    document, content = split_glb(toy_glb())
    del document["meshes"][0]["extras"]
    for bad in (b"ply", join_glb(document, content)):
        with pytest.raises(ConfigError, match="GLB"):
            with_animation(bad, np.zeros(1), np.zeros((1, 52)))


def test_movies_of_odd_sizes_and_of_nothing(tmp_path):
    with pytest.raises(OutputError, match="no frame"):
        write_gif([], tmp_path / "a.gif", 10)
    try:
        count = write_mp4((np.full((33, 47, 3), 40 * i, np.uint8) for i in range(5)), tmp_path / "a.mp4", 10)
    except MissingExtra as error:
        pytest.skip(str(error))
    assert count == 5 and (tmp_path / "a.mp4").stat().st_size > 500
    said = subprocess.run([find_ffmpeg(), "-i", tmp_path / "a.mp4"], capture_output=True, text=True).stderr
    assert "46x32" in said and "h264" in said
    with pytest.raises(OutputError, match="ffmpeg failed"):
        write_mp4([np.zeros((8, 8, 3), np.uint8)], tmp_path / "no" / "a.mp4", 10)


def test_animate_help_is_light():
    code = "from headfield.cli import parse; import sys\ntry: parse(['animate','--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


# ---- models that speak FLAME ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def flame_head(tmp_path_factory):
    """A saved head of a tiny untrained model that takes 10 expression and 3 jaw numbers of FLAME."""
    import torch

    from headfield.edit.record import SavedHead
    from headfield.models.imhead.config import imhead_tiny
    from headfield.models.imhead.model import ImHead
    from headfield.models.release import write
    from headfield.surface.head import Head
    from headfield.types import Codes

    folder = tmp_path_factory.mktemp("flame")
    torch.manual_seed(1)
    model = ImHead(replace(imhead_tiny(), expression=13, expression_names="flame"))
    torch.nn.init.normal_(model.deformer.mlp.last, std=0.05)  # so that expressions show
    write(folder / "toy-flame", model, "A toy.")
    return SavedHead(Head(model, Codes(torch.zeros(1, 16))), str(folder / "toy-flame")).save(folder / "head.npz")


def test_flame_parameters_drive_a_model_that_speaks_flame(headfield, flame_head):
    from pathlib import Path

    expression = np.zeros((4, 50))
    expression[2:, 0] = 2.0
    np.savez("take.npz", expr=expression, jaw_pose=np.zeros((4, 3)), fps=10.0)
    words = ("--resolution", 48, "--size", 96, "--draft", "--view", "front")
    status, out, err = headfield("animate", flame_head, "--track", "take.npz", "-o", "frames", *words)
    assert status == 0, err
    assert "50 expression coefficients, the model takes 10" in out
    still, again, moved, _ = (np.asarray(Image.open(path), dtype=float) for path in sorted(Path("frames").iterdir()))
    np.testing.assert_array_equal(still, again)
    assert (np.abs(moved - still).max(axis=2) > 25).sum() > 20


def test_languages_of_track_and_model_must_agree(headfield, flame_head, saved, take):
    np.save("take.npy", np.zeros((3, 13)))
    for head, words, said in (
        (saved, ("--track", "take.npy", "-o", "a.glb"), "this head's model takes the 52 ARKit weights"),
        (flame_head, ("--track", take, "-o", "a.gif"), "this head's model takes FLAME's expression"),
        (flame_head, ("--preset", "smile", "-o", "a.png"), "this head's model takes FLAME's expression"),
        (flame_head, ("--track", "take.npy", "-o", "a.glb"), "a GLB carries the 52 ARKit shapes"),
        (flame_head, ("--track", "take.npy", "-o", "a.gif", "--mirror"), "no left and right"),
    ):
        status, _, err = headfield("animate", head, *words)
        assert status == 2 and said in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    "rows, said",
    [
        (["time,jawOpen"], "0 frames"),
        (["time,smile", "0,1"], "no column is an ARKit channel"),
        (["time,jawOpen", "0,nan", "1,nan"], "without a single number"),
        (["time,jawOpen", "1,0", "0,0"], "times do not increase"),
    ],
)
def test_tracks_that_are_none(headfield, saved, tmp_path, rows, said):
    (tmp_path / "bad.csv").write_text("\n".join(rows) + "\n")
    status, _, err = headfield("animate", saved, "--track", "bad.csv")
    assert status == 2 and said in err and err.count("\n") == 1, err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_missing_and_extra_columns_are_told_and_played(headfield, saved):
    with open("take.csv", "w") as file:
        file.write("time,jawOpen,wobble\n0,0,1\n0.1,,1\n0.2,1,1\n")
    status, out, err = headfield("animate", saved, "--track", "take.csv", "-o", "played.csv")
    assert status == 0, err
    assert "Missing 51 channels" in out and "wobble" in out and "bridged" in out
    np.testing.assert_allclose(read_track("played.csv").weights[:, JAW], [0, 0.5, 1], atol=1e-6)


def test_a_head_of_a_newer_version_is_refused(headfield, saved, take):
    import json

    from headfield.edit.record import SavedHead

    with np.load(SavedHead.load(saved).save("newer.npz")) as file:
        arrays = dict(file)
    arrays["header"] = np.array(json.dumps(json.loads(str(arrays["header"])) | {"version": 2}))
    np.savez("newer.npz", **arrays)
    status, _, err = headfield("animate", "newer.npz", "--track", take)
    assert status == 2 and "newer headfield (version 2" in err
