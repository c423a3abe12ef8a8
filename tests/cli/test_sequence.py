"""A depth video through the command line: a take, a track, a GLB in which the head moves; what is refused."""

import json

import numpy as np
import pytest

from headfield.cli import main
from headfield.edit.track_files import read_track
from headfield.edit.tracks import head_rotation, resample, smooth
from headfield.fit.normal_equations import ViewState
from headfield.fit.result import Fit
from headfield.fit.scan_fit import ScanFit
from headfield.fit.track import run
from headfield.fit.track.frame import Person
from headfield.fit.track.identity import Known
from headfield.fit.track.take import Take
from headfield.io.gltf_animation import split_glb
from headfield.synth.depth_video import DepthCamera, write_video
from headfield.types import ARKIT, Similarity

FRAMES = 5
CAMERA = DepthCamera(width=96, height=72, focal=160.0, noise_mm=0.3)


def placed(number: int) -> Similarity:
    """Model frame -> camera, metres: the head turns a little to its left and goes to its left."""
    return Similarity(head_rotation([0.04 * number, 0.0, 0.0])[0], np.array([0.004 * number, -0.02, -0.55]), 0.25)


@pytest.fixture(scope="module")
def folder(bald, tmp_path_factory):
    """A video of the mean bald head, its mouth a little open; the third frame is black, the fourth file is gone."""
    from headfield.fit.normal_equations import codes_of
    from headfield.surface.mesh_head import mesh_of

    e = 0.5 * (np.array(ARKIT) == "jawOpen")
    mesh = mesh_of(bald.model, codes_of(bald.model, bald.codes.identity[0].numpy(), e), 64)
    rng = np.random.default_rng(0)
    frames = [CAMERA.depth(placed(n).apply(mesh.vertices), mesh.triangles, rng) for n in range(FRAMES)]
    frames[2][:] = 0.0
    place = write_video(tmp_path_factory.mktemp("video"), frames, CAMERA)
    (place / "frame_0004.npy").unlink()
    return place


@pytest.fixture
def known(bald, monkeypatch):
    """Who it is, found out before: a stand-in for the identity's fit, which has tests and a benchmark of its own."""

    def identity_of(frames, model, options, tell, wanted=None):
        identity = bald.codes.identity[0].double().numpy()
        free = np.array(["eye" not in name for name in ARKIT])
        prior = model.prior.component(list(model.prior.names).index("bald"))
        person = Person.of(model, identity, prior, 1 / 250.0, 250.0, free)
        start = person.sized(Similarity(scale=1000.0).after(placed(0)).inverse())
        nothing = np.zeros((1, 3))
        scan = ScanFit("a", start, "mm", 0.0, np.zeros(52), nothing, np.zeros(1), np.ones(1, bool), nothing)
        fit = Fit(model.name, identity.astype(np.float32), (scan,), weights=model.fingerprint)
        return Known(person, fit, {0: ViewState(start, np.zeros(52), free)}, "mm", ())

    monkeypatch.setattr(run, "identity_of", identity_of)


def test_a_video_becomes_a_take_and_a_glb(folder, known, tmp_path, monkeypatch, capsys):
    pytest.importorskip("igl", reason="baking needs the extra export: pip install 'headfield[export]'")
    monkeypatch.setattr("headfield.cli.fit_sequence.VERTICES", 1000)
    monkeypatch.setattr("headfield.cli.fit_sequence.SHOWN", 2)
    assert main(["fit", "--sequence", str(folder), "--fps", "25", "-o", str(tmp_path / "take")]) == 0
    said = capsys.readouterr().out
    print(said)
    names = {"fit.npz", "take.npz", "take.json", "take.csv", "take.glb", "preview.png"}
    assert {path.name for path in (tmp_path / "take").iterdir()} == names
    assert "1 of 5 frames: black" in said and "1 of 5 frames: missing" in said
    take = Take.load(tmp_path / "take")
    assert take.marks == ("", "", "black", "missing", "") and take.fps == 25
    assert np.nanmax(take.error_mm) < 1.0
    jaw = take.expression[:, ARKIT.index("jawOpen")]
    print("jawOpen 0.5:", jaw.round(2))
    assert np.abs(jaw - 0.5).max() < 0.2
    content = json.loads((tmp_path / "take" / "take.json").read_text())
    assert [frame["mark"] for frame in content["frames"]] == list(take.marks)
    assert content["frames"][2]["error_mm"] is None

    track = read_track(tmp_path / "take" / "take.csv")
    yaw = np.degrees(np.arctan2(track.rotation[:, 0, 2], track.rotation[:, 2, 2]))
    print("yaw", yaw.round(2), "x mm", (1000 * track.shift[:, 0]).round(1))
    assert np.allclose(yaw, np.degrees(0.04) * np.arange(FRAMES), atol=1.0)
    assert np.allclose(resample(track, 50).shift[::2], track.shift, atol=1e-6)
    assert np.allclose(track.mirrored().shift[:, 0], -track.shift[:, 0])
    assert smooth(track).shift.shape == track.shift.shape and track.without_motion().shift is None

    document, _ = split_glb((tmp_path / "take" / "take.glb").read_bytes())
    paths = {channel["target"]["path"] for channel in document["animations"][0]["channels"]}
    assert {"weights", "rotation", "translation"} <= paths
    again = ["animate", str(tmp_path / "take"), "--track", str(tmp_path / "take" / "take.csv")]
    assert main([*again, "--fps", "50", "-o", str(tmp_path / "again.csv")]) == 0


def test_what_is_no_video_is_refused_before_any_work(folder, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out")]
    for words, told in (
        (["--sequence", str(tmp_path / "none")], "no such folder"),
        (["--sequence", str(tmp_path)], "no camera"),
        (["--sequence", str(folder), "--intrinsics", str(tmp_path / "c.json")], "no camera"),
        (["--sequence", str(folder), "scan.ply"], "scan.ply was given beside it"),
        (["--sequence", str(folder), "--crop", "0 0 0 1 1 1"], "--crop is of scans"),
        (["--sequence", str(folder), "--units", "mm"], "--depth-unit"),
        (["--sequence", str(folder), "--fps", "0"], "frames per second"),
        (["scan.ply", "--fps", "30"], "--sequence"),
    ):
        assert main(["fit", *words, *out]) == 2
        said = capsys.readouterr().err
        assert told in " ".join(said.split()), said
    assert not (tmp_path / "out").exists()
