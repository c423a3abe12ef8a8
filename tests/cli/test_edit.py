"""Journeys of ``headfield edit``: every edit through the command line, re-read and undone; bad input refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from headfield.edit.operations import edited_parts, in_use
from headfield.edit.record import SavedHead
from headfield.edit.regions import parts_of
from headfield.errors import ScanError
from headfield.fit.result import Fit
from headfield.types import ARKIT


@pytest.fixture(scope="session")
def donor(save_fit):
    """Another fit, with a jaw that is open."""
    return save_fit(6, "donor.npz", 0.6 * np.eye(52)[ARKIT.index("jawOpen")])


@pytest.fixture
def edit(headfield, saved, monkeypatch):
    """Run an edit of the saved fit that must do; returns the head written and what was said."""
    monkeypatch.setattr("headfield.cli.edit.MEASURED", 40)  # coarse meshes are enough here
    monkeypatch.setattr("headfield.cli.edit.PICTURED", 64)

    def run(*words, head=saved, out="c.npz") -> tuple[SavedHead, str]:
        status, told, err = headfield("edit", head, *words, "-o", out)
        assert status == 0, err
        return SavedHead.load(out), told

    return run


def _same(a: SavedHead, b: SavedHead) -> bool:
    return all(torch.equal(x, y) for x, y in zip(in_use(a.head), in_use(b.head)))


# ---- edits ---------------------------------------------------------------------------------------------------------


def test_swap_there_undo_and_reset(edit, saved, donor):
    first, second = SavedHead.load(saved), SavedHead.load(donor)
    head, told = edit("--swap", f"nose={donor}", f"left ear={donor}")
    assert "2 edits" in told and "bit for bit" in told and "nose of donor.npz" in told
    assert list(edited_parts(head.head)) == list(parts_of(["nose", "left_ear"]))
    for now, given in zip(in_use(head.head), in_use(second.head)):
        assert torch.equal(now[:, parts_of("nose")], given[:, parts_of("nose")])
    one, _ = edit("--undo", head="c.npz", out="d.npz")
    assert list(edited_parts(one.head)) == list(parts_of("nose")) and len(one.history) == 1
    none, _ = edit("--undo", "--undo", head="c.npz", out="e.npz")
    assert _same(none, first) and none.history == ()
    back, told = edit("--reset", "nose", head="c.npz", out="f.npz")
    assert list(edited_parts(back.head)) == list(parts_of("left ear")) and len(back.history) == 3
    everything, _ = edit("--reset", head="c.npz", out="g.npz")
    assert _same(everything, first) and len(everything.history) == 3


def test_swapping_back_gives_the_codes_back_bit_for_bit(edit, saved, donor):
    edit("--swap", f"mouth={donor}")
    back, _ = edit("--swap", f"mouth={saved}", head="c.npz", out="d.npz")
    assert _same(back, SavedHead.load(saved))


def test_sample_symmetrise_and_strength(edit, saved):
    plain = ("--sample", "chin", "--sd", 1.5, "--seed", 3)
    drawn, told = edit(*plain)
    assert "drew chin at 1.5 sd" in told and list(edited_parts(drawn.head)) == list(parts_of("chin"))
    assert _same(edit(*plain, out="again.npz")[0], drawn)
    assert not _same(edit(*plain[:-1], 4, out="other.npz")[0], drawn)
    half, _ = edit(*plain, "--strength", 0.5, out="half.npz")
    own, full, got = (in_use(one.head)[0] for one in (SavedHead.load(saved), drawn, half))
    assert torch.allclose(got, (own + full) / 2, atol=1e-6)
    none, told = edit(*plain, "--strength", 0, out="none.npz")
    assert _same(none, SavedHead.load(saved)) and "nothing on the neutral head" in told
    assert "extrapolates" in edit(*plain, "--strength", 1.5, out="more.npz")[1]
    even, _ = edit("--symmetrise", "eyes", out="even.npz")
    assert list(edited_parts(even.head)) == list(parts_of("eyes"))


def test_a_draw_is_kept_inside_its_region(edit, saved):
    drawn, told = edit("--sample", "nose", "--sd", 2)
    line = next(line for line in told.splitlines() if line.strip().startswith("beyond"))
    assert float(line.split()[1]) < 0.05, line
    assert list(edited_parts(drawn.head)) == list(parts_of("nose"))


def test_interpolation_expression_and_warp(edit, saved, donor):
    a, b = SavedHead.load(saved), SavedHead.load(donor)
    half, _ = edit("--interpolate", f"{donor}=0.5")
    mean = (a.head.codes.identity + b.head.codes.identity) / 2
    assert torch.allclose(half.head.codes.identity, mean, atol=1e-6)
    open_, _ = edit("--swap", f"mouth={donor}", "--refit-warp", "--expression-of", donor, out="d.npz")
    assert torch.equal(open_.head.codes.expression, b.head.codes.expression)
    assert open_.head.codes.warp_identity is not None
    assert [one["do"] for one in open_.history] == ["swap", "refit_warp", "transfer_expression"]
    assert _same(open_, edit("--swap", f"mouth={donor}", out="e.npz")[0])


# ---- what is written -----------------------------------------------------------------------------------------------


def test_mesh_and_picture_in_the_users_frame_and_unit(edit, saved, donor):
    words = ("--swap", f"nose={donor}", "--resolution", 64, "--force")
    head, _ = edit(*words, "--mesh", "c.ply", "--preview", "c.png")
    mesh = trimesh.load("c.ply", process=False)
    wanted = head.mesh(64)
    np.testing.assert_allclose(mesh.vertices, wanted.vertices, atol=1e-4)
    assert mesh.is_watertight and 20 < np.ptp(mesh.vertices, axis=0).max() < 45, "centimetres"
    edit(*words, "--mesh", "c.obj", "--unit", "mm")
    np.testing.assert_allclose(trimesh.load("c.obj", process=False).vertices, 10 * wanted.vertices, atol=1e-3)
    picture = np.asarray(Image.open("c.png").convert("RGB"), dtype=float)
    size = picture.shape[1] // 3
    before, after, moved = (picture[40 : size - 10, i * size : (i + 1) * size] for i in range(3))
    assert 5 < (np.abs(after - before).max(axis=2) > 25).sum() < 0.2 * size * size, "the nose and not the head"
    assert (np.ptp(moved, axis=2) > 60).any(), "colours where it moved"


def test_heads_go_on_to_export_and_sampled_heads_can_be_edited(edit, headfield, saved, model):
    identity = model.prior.draw(2, np.random.default_rng(0))
    facts = {"model": "imhead-open-small", "weights": json.dumps(model.fingerprint.to_dict())}
    np.savez("codes.npz", identity=identity, expression=np.zeros(52), **facts)
    head, _ = edit("--swap", f"nose={saved}", head="codes.npz#2")
    np.testing.assert_array_equal(head.head.codes.identity[0], identity[1])
    assert headfield("export", "c.npz", "-o", "c.ply", "--resolution", 40)[0] == 0
    assert np.ptp(trimesh.load("c.ply").vertices, axis=0).max() < 0.6, "metres: it was never scanned"


# ---- refusals ------------------------------------------------------------------------------------------------------

BAD = {
    (): "nothing to do",
    ("--sample", "noze"): "unknown region 'noze': perhaps nose",
    ("--sample", "eye"): "eyes",
    ("--swap", "nose"): "write region=other.npz",
    ("--swap", "nose=gone.npz"): "gone.npz: no such file",
    ("--swap", "nose=text.npz"): "text.npz: not a head",
    ("--swap", "nose=newer.npz"): "newer headfield (version 99",
    ("--swap", "nose=toy.npz"): "different models cannot be mixed: fit.npz of the model 'imhead-open-small' (weights ",
    ("--swap", "nose=codes.npz"): "it holds 2 heads",
    ("--sample", "nose", "--sd", "9"): "sd 9",
    ("--sample", "nose", "--sd", "nan"): "sd nan",
    ("--sample", "nose", "--strength", "3"): "strength 3",
    ("--interpolate", "0.5"): "write other.npz=0.3",
    ("--interpolate", "b.npz=far"): "write other.npz=0.3",
    ("--undo",): "nothing to undo",
    ("--sample", "nose", "-o", "c.ply"): "name a .npz file",
    ("--sample", "nose", "--mesh", "c.abc"): ".ply",
    ("--sample", "nose", "--preview", "c.jpg"): "name a .png file",
    ("--sample", "nose", "--resolution", "3"): "resolution",
    ("--sample", "nose", "--mesh", "mine.ply"): "mine.ply: exists already",
}


@pytest.fixture(scope="session")
def wrong_heads(saved, model, tmp_path_factory):
    """Files that are no donors: of a newer version, of another model, of several heads, of no head."""
    from headfield.models.imhead.config import imhead_tiny
    from headfield.models.imhead.model import ImHead
    from headfield.models.release import write
    from headfield.surface.head import Head
    from headfield.types import Codes

    folder = tmp_path_factory.mktemp("wrong")
    path = SavedHead.load(saved).save(folder / "newer.npz")
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"])) | {"version": 99}
    np.savez(path, **{**arrays, "header": np.array(json.dumps(header))})
    torch.manual_seed(0)
    toy = ImHead(imhead_tiny()).eval()
    write(folder / "toy", toy, "A toy.")
    SavedHead(Head(toy, Codes(torch.zeros(1, 16))), str(folder / "toy")).save(folder / "toy.npz")
    facts = {"model": "imhead-open-small", "weights": json.dumps(model.fingerprint.to_dict())}
    np.savez(folder / "codes.npz", identity=np.zeros((2, 256)), **facts)
    (folder / "text.npz").write_text("a head")
    (folder / "mine.ply").write_text("mine")
    return folder


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_refused_in_one_line(headfield, saved, wrong_heads, tmp_path, words):
    for path in wrong_heads.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    before = sorted(tmp_path.iterdir())
    status, out, err = headfield("edit", saved, *words)
    assert status == 2 and err.startswith("headfield: ") and err.count("\n") == 1, (status, out, err)
    assert BAD[words] in err
    assert sorted(tmp_path.iterdir()) == before and (wrong_heads / "mine.ply").read_text() == "mine"


def test_no_head_and_no_overwriting(headfield, saved, tmp_path):
    status, _, err = headfield("edit", "none.npz", "--sample", "nose")
    assert status == 2 and "none.npz: no such file" in err
    (tmp_path / "head.npz").write_text("mine")
    status, _, err = headfield("edit", saved, "--reset")
    assert status == 2 and "--force" in err and (tmp_path / "head.npz").read_text() == "mine"


def test_what_is_no_head_is_told_from_what_is(headfield, saved, tmp_path):
    """A mesh where a head is wanted, a fit or head where a scan is wanted: each message says what to give instead."""
    trimesh.creation.icosphere(2).export(tmp_path / "head.glb")
    for words in (("edit", "head.glb", "--sample", "nose"), ("export", "head.glb", "-o", "head.ply")):
        status, _, err = headfield(*words)
        assert status == 2 and "head.glb: a mesh or a scan, not a " in err
        assert "headfield fit head.glb --out fitted, then give fitted/fit.npz" in err
    (tmp_path / "empty").mkdir()
    status, _, err = headfield("edit", "empty", "--sample", "nose")
    assert status == 2 and "empty: a folder without fit.npz" in err
    SavedHead.load(saved).save(tmp_path / "head.npz")
    status, _, err = headfield("fit", "head.npz", "--out", "out")
    assert status == 2 and "a saved fit or head, not a scan" in err and "headfield export" in err
    with pytest.raises(ScanError, match="not a fit but a head that was edited"):
        Fit.load(tmp_path / "head.npz")


def test_doctor_says_what_a_head_is(headfield, saved, tmp_path):
    for path in (saved, saved.parent):
        status, text, err = headfield("doctor", path)
        assert status == 0 and "a fit" in text and "ScanFit(a.ply, cm" in text and "verdict" in text, err
    status, _, err = headfield("doctor", saved, "--crop", "0 0 0 1 1 1")
    assert status == 2 and "--crop is about a scan, and this is a head" in err
    SavedHead.load(saved).apply({"do": "sample_region", "regions": ["nose"], "seed": 1}).save(tmp_path / "head.npz")
    status, text, err = headfield("doctor", "head.npz")
    assert status == 0 and "edited; neutral" in text and "sample_region" in text, err
