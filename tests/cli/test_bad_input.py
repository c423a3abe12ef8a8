"""Whatever a user may feed to `headfield fit`: refused with one clear message and nothing left, or used and said so."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from headfield.errors import NotAHeadError
from headfield.io.crop import as_box

pytestmark = pytest.mark.usefixtures("light_fits")
QUICK = ("--resolution", "64", "--expression", "neutral")  # the least at which extraction goes from coarse to fine


def _ply(path, points, triangles=None):
    if triangles is None:
        trimesh.PointCloud(points).export(path)
    else:
        trimesh.Trimesh(points, triangles, process=False).export(path)
    return path


# ---- files that cannot be read: no model is needed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.ply", None, "cannot be opened (No such file"),
        ("empty.ply", b"", "empty (0 bytes)"),
        ("text.ply", b"Dear Sir or Madam,\n" * 30, "cannot be read as PLY"),
        ("header.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 9", "cannot be read as PLY"),
        ("scan.docx", b"x" * 99, "scans are read from PLY OBJ STL"),
        ("noise.xyz", bytes(range(256)) * 9, "not UTF-8"),
    ],
)
def test_unreadable_files(refused, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert message in refused(name)


def test_truncated_ply(refused, tmp_path):
    data = trimesh.creation.icosphere(4).export(file_type="ply")
    (tmp_path / "cut.ply").write_bytes(data[: len(data) // 2])
    assert "damaged, cut short" in refused("cut.ply")


def test_one_triangle(refused, tmp_path):
    _ply(tmp_path / "one.ply", np.eye(3), [[0, 1, 2]])
    assert "only 3 points and 1 triangle" in refused("one.ply")


def test_mostly_nan(refused, tmp_path):
    points = np.full((1000, 3), np.nan)
    points[:300] = np.random.default_rng(0).normal(size=(300, 3))
    np.save(tmp_path / "nan.npy", points)
    assert "700 of 1,000 points are not finite" in refused("nan.npy")


def test_pickled_points_are_not_opened(refused, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    assert "pickle" in refused("a.npy") and not (tmp_path / "executed").exists()


def test_depth_map_without_camera(refused, tmp_path):
    (tmp_path / "depth.png").write_bytes(b"x")
    assert "--intrinsics" in refused("depth.png")
    assert "--intrinsics" in refused("--depth", "depth.png")


def test_a_depth_map_that_is_no_head_may_be_in_another_scale(refused, tmp_path, monkeypatch):
    def found_nothing(*_, **__):
        raise NotAHeadError("depth.npy: not a head.")

    monkeypatch.setattr("headfield.fit.run.fit", found_nothing)
    np.save(tmp_path / "depth.npy", np.full((120, 100), 6000, np.uint16))  # 0.6 m in steps of 0.1 mm
    (tmp_path / "camera.json").write_text(json.dumps({"fx": 300, "fy": 300, "cx": 50, "cy": 60}))
    said = refused("depth.npy", "--intrinsics", "camera.json")
    assert "not a head" in said and "--depth-unit mm" in said and "0.0001" in said
    _ply(tmp_path / "scan.ply", np.random.default_rng(0).standard_normal((500, 3)))
    assert "--depth-unit" not in refused("scan.ply")


def test_nothing_and_contradictions(refused, tmp_path):
    assert "nothing to fit" in refused()
    (tmp_path / "folder").mkdir()
    assert "no scans in this folder" in refused("folder")
    assert "give one folder" in refused("folder", "a.ply")
    assert "between 16 and 2048" in refused("a.ply", "--resolution", "3")
    assert "--landmarks is for one scan" in refused("a.ply", "b.ply", "--landmarks", "marks.json")
    assert "--crop is for one scan" in refused("a.ply", "b.ply", "--crop", "0 0 0 1 1 1")
    assert "--crop '0 0 0 1 1'" in refused("a.ply", "--crop", "0 0 0 1 1")
    assert "x0 < x1" in refused("a.ply", "--crop", "0 0 0 -1 1 1")
    assert "--intrinsics is the camera of a depth map" in refused("a.ply", "--intrinsics", "camera.json")
    assert "--depth-unit is for depth maps" in refused("a.ply", "--depth-unit", "m")
    several = refused("a.ply", "b.ply", "--neutral-scan", "c.ply")
    assert "--neutral-scan c.ply is no scan that was given: 1 a.ply, 2 b.ply" in several
    assert "number" in refused("one/a.ply", "two/a.ply", "--neutral-scan", "a")
    assert "--neutral-scan 3" in refused("a.ply", "b.ply", "--neutral-scan", "3")


def test_a_box_that_begins_with_a_minus(headfield, refused, tmp_path):
    """Whatever its first number is, a box is the value of its option."""
    _ply(tmp_path / "a.ply", np.random.default_rng(0).uniform(-1, 1, (1000, 3)))
    upper = "-inf 0 -inf inf inf inf"
    for words in (
        ("--crop", upper),
        (f"--crop={upper}",),
        ("--crop", upper.replace("-inf", "-9")),
        ("--crop", "-inf,0,-inf inf,inf,inf"),
    ):
        status, text, err = headfield("doctor", "a.ply", *words)
        assert status == 0 and "1,000 points were kept" in text, err
    assert "nothing lies within --crop" in refused("a.ply", "--crop", "-inf 7 -inf inf 8 inf")


def test_what_is_about_a_scan_needs_one(headfield):
    for words in (("--crop", "0 0 0 1 1 1"), ("--intrinsics", "camera.json"), ("--depth-unit", "m")):
        status, text, err = headfield("doctor", *words)
        assert status == 2 and not text and f"{words[0]} is about a scan, and none was given" in err


def test_output_is_checked_before_anything_is_read(headfield, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    status, _, err = headfield("fit", "missing.ply", "--out", "out")
    assert status == 2 and "--force" in err
    (tmp_path / "file").write_text("x")
    for out in ("file", "file/below", "/proc/headfield/out"):
        status, _, err = headfield("fit", "missing.ply", "--out", out)
        assert status == 2 and "missing.ply" not in err and err.count("\n") == 1, err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "mine.txt", "out"]


# ---- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def ball_file(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=100.0)
    return _ply(tmp_path / "ball.ply", ball.vertices, ball.faces)


def test_missing_weights_say_where_they_were_looked_for(refused, ball_file):
    message = refused(ball_file, "--model", "nowhere")
    assert "Looked in" in message


def test_bad_weights_are_refused_and_nothing_runs(refused, ball_file, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Bomb()))
    assert "never opened" in refused(ball_file, "--model", "model.pt")
    for folder in ("pickle", "disguised", "corrupt", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pickle" / "model.pth").write_bytes(pickle.dumps(Bomb()))
    config = _config(tmp_path)
    (tmp_path / "disguised" / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "disguised" / "config.json").write_text(config)
    (tmp_path / "corrupt" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      " + b"x" * 50)
    (tmp_path / "corrupt" / "config.json").write_text("{")
    (tmp_path / "other" / "config.json").write_text(json.dumps({"architecture": "nobody", "format": 1}))
    messages = {
        name: refused(ball_file, "--model", tmp_path / name) for name in ("pickle", "disguised", "corrupt", "other")
    }
    assert "safetensors" in messages["disguised"] and "'nobody'" in messages["other"], messages
    assert not (tmp_path / "executed").exists()


def _config(tmp_path) -> str:
    """config.json of a real, tiny model."""
    release = pytest.importorskip("headfield.models.release")
    from headfield.models.imhead.config import imhead_tiny
    from headfield.models.imhead.model import ImHead

    release.write(tmp_path / "tiny", ImHead(imhead_tiny()), "test")
    return (tmp_path / "tiny" / "config.json").read_text()


def test_weights_of_other_sizes(refused, ball_file, tmp_path):
    config = json.loads(_config(tmp_path))
    config["config"]["part_hidden"] *= 2
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config))
    assert "does not fit config.json" in refused(ball_file, "--model", tmp_path / "tiny")


# ---- no heads --------------------------------------------------------------------------------------------------------


def _surface(mesh, count=6000):
    return np.array(trimesh.sample.sample_surface(mesh, count, seed=0)[0])


# hands, noise and more of their kind are refused in tests/synth/test_non_heads.py
NO_HEADS = {
    "cube": lambda: _surface(trimesh.creation.box((200, 200, 200))),
    "ball": lambda: _surface(trimesh.creation.icosphere(4, radius=100)),
    "plane": lambda: np.random.default_rng(0).uniform(-150, 150, (6000, 3)) * [1, 1, 0.001],
}


@pytest.mark.parametrize("name", NO_HEADS)
def test_what_is_no_head_is_refused_with_the_evidence(refused, model, tmp_path, name):
    _ply(tmp_path / f"{name}.ply", NO_HEADS[name]())
    message = refused(f"{name}.ply")
    assert "not a head" in message and "residual" in message and "inlier share" in message, message


# ---- heads with something wrong --------------------------------------------------------------------------------------


def _fit(headfield, tmp_path, name, *words, out="out") -> tuple[dict, str]:
    status, text, err = headfield("fit", name, "--out", out, *QUICK, *words)
    assert status == 0, err
    return json.loads((tmp_path / out / "fit.json").read_text()), text


def _median(fit) -> float:
    return fit["scans"][0]["errors"]["scan_to_head_mm"]["median"]


def test_points_without_faces_nan_and_inverted_normals(headfield, head, tmp_path):
    """One journey: a cloud with spoilt points and normals that point inwards is used and what was dropped is said."""
    header = "ply\nformat ascii 1.0\nelement vertex {}\n" + "".join(
        f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz")
    )
    table = np.hstack([head.vertices, -head.normals])
    table[5:12, 1] = np.nan
    table[20, 0] = np.inf
    lines = [" ".join(f"{value:.5g}" for value in row) for row in table]
    (tmp_path / "a.ply").write_text(header.format(len(table)) + "end_header\n" + "\n".join(lines) + "\n")
    fit, text = _fit(headfield, tmp_path, "a.ply")
    assert _median(fit) < 1.0 and fit["scans"][0]["units"] == "mm"
    assert f"8 of {len(table):,} points were not finite" in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "fit.json", "fit.npz", "head.glb", "head.ply", "preview.png",
    ]  # fmt: skip


def test_two_heads_in_one_file(headfield, head, tmp_path):
    second = head.vertices[::3] * 0.97 + [600.0, 0.0, 0.0]
    _ply(tmp_path / "two.ply", np.concatenate([head.vertices, second]))
    fit, text = _fit(headfield, tmp_path, "two.ply")
    assert _median(fit) < 1.0 and "bodies" in text
    mesh = trimesh.load(tmp_path / "out" / "head.ply")
    gap = np.linalg.norm(mesh.vertices.mean(0) - head.vertices.mean(0))
    assert gap < 60, "the larger of the two is the one to fit"
    taken, box = re.findall('--crop "(.*?)"', next(line for line in text.splitlines() if "bodies" in line))
    low, high = as_box(taken)
    assert ((head.vertices >= low) & (head.vertices <= high)).all(), "where the one that was taken is"
    fit, text = _fit(headfield, tmp_path, "two.ply", "--crop", box, out="other")
    assert _median(fit) < 1.0 and f"{len(second):,} of {len(second) + len(head.vertices):,} points were kept" in text
    mesh = trimesh.load(tmp_path / "other" / "head.ply")
    assert np.linalg.norm(mesh.vertices.mean(0) - second.mean(0)) < 60
    status, text, _ = headfield("doctor", "two.ply", "--crop", box)
    assert status == 0 and f"{len(second):,}" in text and "bodies   1" in " ".join(text.split("  "))


def test_wrong_units(refused, head, tmp_path):
    _ply(tmp_path / "a.ply", head.vertices, head.triangles)
    message = refused("a.ply", "--units", "m")
    assert "--units m" in message and "mm" in message and "likely unit" in message, message


def test_wrong_up(refused, head, tmp_path):
    pose = Rotation.from_euler("xyz", [100, -35, 60], degrees=True)  # the fixture's
    _ply(tmp_path / "a.ply", pose.inv().apply(head.vertices), head.triangles)  # y is up
    message = refused("a.ply", "--up", "-y")
    assert "--up -y" in message and "stands along y" in message and "give --up y" in message, message


@pytest.mark.parametrize("count", [500_000, pytest.param(10_000_000, marks=pytest.mark.extended)])
def test_more_points_than_are_used(headfield, head, tmp_path, count):
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(head.vertices), count)
    record = np.empty(len(chosen), dtype=[("p", "<f4", 3)])
    record["p"] = head.vertices[chosen] + rng.normal(size=(len(chosen), 3), scale=0.3)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(chosen)}\n"
    header += "".join(f"property float {name}\n" for name in "xyz") + "end_header\n"
    (tmp_path / "big.ply").write_bytes(header.encode() + record.tobytes())
    fit, text = _fit(headfield, tmp_path, "big.ply")
    assert _median(fit) < 1.0 and f"{count:,} points: a random 200,000" in text


def test_scans_in_archives_and_with_pictures(headfield, tmp_path):
    """Doctor reads what a phone writes, names a missing picture, and refuses an archive of two by their names."""
    import zipfile

    from PIL import Image

    ball = trimesh.creation.icosphere(subdivisions=3, radius=100.0)
    uv = np.array(ball.vertices)[:, :2] / 200 + 0.5
    picture = Image.fromarray(np.uint8(np.arange(48).reshape(4, 4, 3) * 5))
    material = trimesh.visual.material.SimpleMaterial(image=picture, name="skin")
    ball.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    ball.export(tmp_path / "scan.obj")
    names = [file.name for file in tmp_path.iterdir()]
    for archive, kept in (("whole.zip", names), ("bare.zip", [name for name in names if not name.endswith(".png")])):
        with zipfile.ZipFile(tmp_path / archive, "w") as file:
            for name in kept:
                file.write(tmp_path / name, f"a scan/{name}")
    status, text, _ = headfield("doctor", "whole.zip")
    assert status == 0 and "642" in text and "yes" in text.split("colours")[1].split("\n")[0] and "missing" not in text
    status, text, _ = headfield("doctor", "bare.zip")
    assert status == 0 and "no" in text.split("colours")[1].split("\n")[0]
    assert "skin.png' is missing" in " ".join(text.split()) and str(tmp_path) not in text
    with zipfile.ZipFile(tmp_path / "whole.zip", "a") as file:
        file.write(tmp_path / "scan.obj", "a scan/second.obj")
    status, _, err = headfield("doctor", "whole.zip")
    assert status == 2 and "2 scans" in err and "second.obj" in err and err.count("\n") == 1
