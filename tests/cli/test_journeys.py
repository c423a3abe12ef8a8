"""Whole journeys through the command line: what is promised is written, readable and in the user's own frame."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from headfield.cli.scans import neutral_numbers
from headfield.errors import ConfigError
from headfield.types import Similarity

pytestmark = pytest.mark.usefixtures("light_fits")
QUICK = ("--resolution", "64", "--expression", "neutral")  # the least at which extraction goes from coarse to fine
FILES = ["fit.json", "fit.npz", "head.glb", "head.ply", "preview.png"]


def _write(path, mesh):
    trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).export(path)
    return path


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fit_and_export(headfield, head, tmp_path, fit_json):
    """Fit -> files in the scan's frame and unit -> export at another resolution, format and unit."""
    _write(tmp_path / "scan.obj", head)
    status, text, err = headfield("fit", "scan.obj", "--out", "out", "--resolution", 64)
    assert status == 0, err
    assert _names(tmp_path) == ["out", "scan.obj"] and _names(tmp_path / "out") == FILES
    assert "mm" in text and "head.ply" in text
    fit = json.loads((tmp_path / "out" / "fit.json").read_text())
    (scan,) = fit["scans"]
    assert scan["name"] == "scan.obj" and scan["units"] == "mm" and np.shape(scan["placement"]) == (4, 4)
    assert "resolution" in fit_json.keys(fit) <= fit_json.documented
    assert len(fit["identity"]) == 256 and len(scan["expression"]) == 52
    assert {"read", "align", "solve", "mesh", "total"} <= set(fit["seconds"])
    assert scan["errors"]["scan_to_head_mm"]["median"] < 1.0 and scan["errors"]["inliers"] > 0.9

    surface = cKDTree(trimesh.sample.sample_surface(trimesh.Trimesh(head.vertices, head.triangles), 100_000, seed=0)[0])
    for name in ("head.ply", "head.glb"):
        mesh = trimesh.load(tmp_path / "out" / name, force="mesh")
        assert mesh.is_watertight and mesh.volume > 0
        assert np.median(surface.query(mesh.vertices)[0]) < 1.5, name  # millimetres, in the scan's own frame
    assert b"headfield unit mm" in (tmp_path / "out" / "head.ply").read_bytes()[:120]
    raw = trimesh.load(tmp_path / "out" / "head.ply", process=False).metadata["_ply_raw"]["vertex"]["data"]
    assert set(np.unique(raw["seen"])) <= {0, 1} and np.mean(raw["seen"]) > 0.5

    status, text, err = headfield("fit", "out", "--out", "again", "--resolution", 32)
    assert status == 0 and "points that out/fit.npz holds" in " ".join(text.split()), err
    assert _names(tmp_path / "again") == FILES
    again = json.loads((tmp_path / "again" / "fit.json").read_text())
    assert again["scans"][0]["name"] == "scan.obj" and again["weights"] == fit["weights"]
    vertices = trimesh.load(tmp_path / "again" / "head.ply", force="mesh").vertices
    assert np.median(surface.query(vertices)[0]) < 3, "the same head, on a coarser grid"

    status, text, err = headfield("export", "out", "-o", "head.stl", "--resolution", 64, "--unit", "cm", "--neutral")
    assert status == 0, err
    exported = trimesh.load(tmp_path / "head.stl")
    np.testing.assert_allclose(exported.bounds * 10, mesh.bounds, atol=12)
    assert headfield("export", "out", "-o", "head.stl")[0] == 2  # exists
    status, _, err = headfield("export", "out", "-o", "head.fbx")
    assert status == 2 and ".glb" in err
    status, _, err = headfield("export", "scan.obj", "-o", "head.ply")
    assert status == 2 and "not a fit" in err
    status, _, err = headfield("export", "missing.npz", "-o", "head.ply", "--resolution", 3)
    assert status == 2 and "--resolution 3: choose between 16 and 2048" in err
    assert not (tmp_path / "head.ply").exists()


def test_depth_map(headfield, head, model, tmp_path):
    """A rendered depth map of the face -> a head whose face lies on it, in camera coordinates."""
    camera = {"fx": 500.0, "fy": 500.0, "cx": 127.5, "cy": 127.5, "width": 256, "height": 256}
    upright = head.transformed(_pose_of(head, model))
    scene = trimesh.Trimesh(upright.vertices * 250, upright.triangles)
    v, u = np.mgrid[:256, :256]
    rays = np.stack([(u - 127.5) / 500, -(v - 127.5) / 500, -np.ones_like(u, float)], axis=-1).reshape(-1, 3)
    eye = np.array([0.0, 0.0, 620.0])
    place, ray, _ = scene.ray.intersects_location(np.broadcast_to(eye, rays.shape), rays, multiple_hits=False)
    depth = np.zeros(256 * 256)
    depth[ray] = eye[2] - place[:, 2]
    np.save(tmp_path / "depth.npy", np.round(depth.reshape(256, 256)).astype(np.uint16))
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    words = ("--intrinsics", "camera.json", "--metres", "--out", "out")
    status, text, err = headfield("fit", "depth.npy", *words, *QUICK)
    assert status == 0, err
    fit = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert fit["scans"][0]["units"] == "mm" and fit["scans"][0]["errors"]["scan_to_head_mm"]["median"] < 1.5
    mesh = trimesh.load(tmp_path / "out" / "head.ply")
    glb = trimesh.load(tmp_path / "out" / "head.glb", force="mesh")
    np.testing.assert_allclose(glb.bounds * 1000, mesh.bounds, rtol=1e-4, atol=0.05)  # --metres
    nose = mesh.vertices[:, 2].max()  # towards the camera, which is at 0 and looks along -z
    assert abs(nose - (place[:, 2].max() - eye[2])) < 8


def _pose_of(head, model):
    """head -> model frame, from the fixture's own placement."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_euler("xyz", [100, -35, 60], degrees=True).as_matrix()
    return Similarity(rotation, np.array([120.0, -340.0, 80.0]), 250.0).inverse()


def test_folder_is_a_batch_that_resumes(headfield, head, tmp_path):
    """One good scan, one damaged: a table, exit 1; run again, the good one is not fitted again."""
    (tmp_path / "scans").mkdir()
    _write(tmp_path / "scans" / "good.ply", head)
    (tmp_path / "scans" / "bad.ply").write_bytes(b"ply\nno")
    status, text, err = headfield("fit", "scans", "--out", "out", *QUICK)
    assert status == 1, err
    assert _names(tmp_path / "out") == ["good", "summary.csv"] and _names(tmp_path / "out" / "good") == FILES
    lines = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert lines[0].startswith("scan,status") and lines[1].startswith("bad.ply,failed")
    assert lines[2].startswith("good.ply,done,mm") and "cannot be read as PLY" in text
    told = tmp_path / "out" / "good" / "fit.json"
    content = json.loads(told.read_text())  # as it was written before every scan had an entry of its own
    (scan,) = content["scans"]
    told.write_text(json.dumps(content | scan | {"scans": [{"name": scan["name"]}]}))
    before = os.stat(told).st_mtime_ns
    _write(tmp_path / "scans" / "bad.ply", replace(head, vertices=head.vertices * 1e-3))
    status, text, err = headfield("fit", "scans", "--out", "out", *QUICK)
    assert status == 0, (text, err)
    assert os.stat(tmp_path / "out" / "good" / "fit.json").st_mtime_ns == before
    assert "bad.ply,done,m," in (tmp_path / "out" / "summary.csv").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert headfield("fit", "scans", "--out", "mine", *QUICK)[0] == 2


def test_several_scans_of_one_person(headfield, head, tmp_path):
    for folder, points in (("a", head.vertices[::2]), ("b", head.vertices[1::2] / 10)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "scan.npy", points)
    names = ["a/scan.npy", "b/scan.npy"]  # of the same name: told apart by the folder
    status, text, err = headfield("fit", *names, "--out", "out", *QUICK)
    assert status == 0, err
    assert f"{', '.join(names)}: a head" in text
    rows = [line for line in text.splitlines() if line.lstrip().startswith(tuple(f"{name} " for name in names))]
    assert len(rows) == 2 and " mm " in rows[0] and " cm " in rows[1], "a row for each scan"
    assert _names(tmp_path / "out") == sorted([*FILES, "head_2.glb", "head_2.ply", "preview_2.png"])
    fit = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert [scan["units"] for scan in fit["scans"]] == ["mm", "cm"] and [scan["name"] for scan in fit["scans"]] == names


def test_neutral_scans_by_name_and_number():
    paths = [Path("one/a.ply"), Path("b.obj"), Path("2.ply")]
    assert neutral_numbers((), paths) is None and neutral_numbers(("none",), paths) == ()
    for word in ("b", "b.obj", "2"):
        assert neutral_numbers((word,), paths) == (1,), "a number is a number, whatever files are called"
    assert neutral_numbers(("2.ply",), paths) == (2,)
    assert neutral_numbers(("one/a.ply", "3", "a"), paths) == (0, 2)
    same = [Path("data/one/scan.ply"), Path("data/two/scan.ply")]
    for word in ("two/scan.ply", "two/scan", "data/two/scan.ply", "./data/two/scan.ply", "data/two/scan", "2"):
        assert neutral_numbers((word,), same) == (1,)
    with pytest.raises(ConfigError, match="scan is the name of several .* a path .*: 1 one/scan.ply, 2 two/scan.ply"):
        neutral_numbers(("scan",), same)


def test_sample(headfield, model, tmp_path):
    words = ("sample", "-n", 2, "--resolution", 64, "--out", "heads", "--format", "both")
    status, text, err = headfield(*words, "--expression", "jawOpen=0.5")
    assert status == 0, err
    assert _names(tmp_path / "heads") == [
        "codes.npz", "head_01.glb", "head_01.ply", "head_02.glb", "head_02.ply", "samples.png",
    ]  # fmt: skip
    with np.load(tmp_path / "heads" / "codes.npz") as codes:
        assert codes["identity"].shape == (2, 256) and codes["expression"].max() == 0.5
    mesh = trimesh.load(tmp_path / "heads" / "head_01.glb", force="mesh")
    assert mesh.is_watertight and 0.15 < np.ptp(mesh.vertices[:, 1]) < 0.4  # metres, y up
    first = (tmp_path / "heads" / "head_01.ply").read_bytes()
    assert headfield(*words, "--expression", "jawOpen=0.5", "--force")[0] == 0
    assert (tmp_path / "heads" / "head_01.ply").read_bytes() == first  # same seed, same head


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-n", 0), "between 1 and 10,000"),
        (("--sd", 9), "between 0 and 5"),
        (("--expression", "jawOpn=1"), "jawOpen"),
        (("--expression", "jawOpen=2"), "between 0 and 1"),
        (("--model", "nowhere"), "Looked in"),
        (("--resolution", 3, "--model", "nowhere"), "--resolution 3: choose between"),  # before a model is looked for
    ],
)
def test_sample_refuses(headfield, tmp_path, words, message):
    status, _, err = headfield("sample", *words)
    assert status == 2 and message in err and _names(tmp_path) == []


def test_evaluate_refuses(headfield, tmp_path):
    for words, message in (
        (("--protocol", "foo"), "full-ict"),
        (("--protocol", "full-ict", "--limit", 0), "--limit 0"),
    ):
        status, _, err = headfield("evaluate", *words)
        assert status == 2 and message in err and _names(tmp_path) == []


def test_doctor(headfield, tmp_path):
    ball = trimesh.creation.icosphere(4, radius=11.0)
    ball.export(tmp_path / "ball.ply")
    status, text, _ = headfield("doctor", "ball.ply")
    assert status == 0 and "2,562" in text and "5,120" in text and "cm is likely" in text and "closed" in text
    np.save(tmp_path / "depth.npy", np.full((120, 100), 0.6))
    (tmp_path / "camera.json").write_text(json.dumps({"fx": 300, "fy": 300, "cx": 50, "cy": 60}))
    depth = ("doctor", "depth.npy", "--intrinsics", "camera.json")
    status, _, err = headfield(*depth)
    assert status == 2 and "--depth-unit m" in err
    status, text, _ = headfield(*depth, "--depth-unit", "m")
    assert status == 0 and "12,000" in text
    np.save(tmp_path / "depth.npy", np.full((120, 100), 3000, np.uint16))
    status, text, _ = headfield(*depth, "--depth-unit", "0.0002")
    assert status == 0 and "m (as the depth was read" in text and "0.198 x " in text  # 100 pixels at 0.6 m
    status, _, err = headfield(*depth, "--depth-unit", 5000)
    assert status == 2 and "0.0002" in err
    status, _, err = headfield(*depth, "--depth-unit", "yard")
    assert status == 2 and "{mm,cm,m,inch}" in err
    status, text, _ = headfield("doctor")
    assert status == 0 and all(word in text for word in ("torch", "trimesh", "synth", "threads", "weights", "cache"))
    status, _, err = headfield("doctor", "missing.ply")
    assert status == 2 and "missing.ply" in err


def test_interrupted_fit_leaves_nothing(headfield, head, tmp_path, monkeypatch):
    import headfield.surface.mesh_head as room

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "mesh_of", stop)
    _write(tmp_path / "scan.ply", head)
    status, _, err = headfield("fit", "scan.ply", "--out", "deep/out", *QUICK)
    assert status == 130 and "nothing half-written" in err
    assert _names(tmp_path) == ["scan.ply"]


def test_synth_then_train_then_resume(headfield, tmp_path):
    """A store of two small heads -> three steps -> two more, through the command line."""
    if "HEADFIELD_DATA" not in os.environ:
        pytest.skip("HEADFIELD_DATA is not set: no ICT-FaceKit to draw heads from")
    synth = ("synth", "--family", "ict", "--identities", 2, "--expressions", 1, "--hair", 0, "--workers", 0)
    status, text, err = headfield(*synth, "--points", 600, "--samples", 200, "--out", "store")
    assert status == 0, err
    assert "ict 2" in text and len((tmp_path / "store" / "index.jsonl").read_text().splitlines()) == 2
    train = ("train", "--store", "store", "--out", "run", "--preset", "tiny", "--heads", 2, "--points", 64)
    train += ("--samples", 32, "--preview-every", 2)
    status, text, err = headfield(*train, "--steps", 3)
    assert status == 0, err
    assert {"last.safetensors", "metrics.jsonl", "previews"} <= set(_names(tmp_path / "run"))
    assert _names(tmp_path / "run" / "previews") == ["step_0000002.png"]
    status, text, err = headfield(*train, "--steps", 5)
    assert status == 0 and "from 3" in text, (text, err)
    status, _, err = headfield("train", "--store", "nowhere", "--out", "other")
    assert status == 2 and "nowhere" in err and not (tmp_path / "other").exists()
