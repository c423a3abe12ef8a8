"""``headfield export --shapes`` and pages, through the command line; the bake itself is shared with other tests."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from headfield.types import ARKIT

pytest.importorskip("xatlas", reason="texture coordinates need the extra export: pip install 'headfield[export]'")


@pytest.fixture
def saved(bald, baked, tmp_path, monkeypatch):
    """A head file in an empty folder, whose bake is at hand."""
    from headfield.cli import shapes
    from headfield.edit.record import SavedHead
    from headfield.surface.head import Head

    asked = []
    monkeypatch.setattr(shapes, "bake_head", lambda head, vertices, say: asked.append(vertices) or baked)
    path = SavedHead(Head(bald.model, bald.codes), "imhead-open-small").save(tmp_path / "head.npz")
    return path, asked


def test_glb_with_shapes(headfield, saved, tmp_path):
    status, out, err = headfield("export", saved[0], "--shapes", "--vertices", 2500, "-o", "shapes.glb")
    assert status == 0, err
    assert saved[1] == [2500] and "52 ARKit channels, 51 of them move" in out and "metres" in out
    assert trimesh.load(tmp_path / "shapes.glb").geometry["head"].extents.max() < 0.5
    status, _, err = headfield("export", saved[0], "--shapes", "-o", "shapes.glb")
    assert status != 0 and "exists" in err and "--force" in err
    assert headfield("export", saved[0], "--shapes", "-o", "shapes.glb", "--force")[0] == 0


def test_a_folder_of_obj_files_of_one_topology(headfield, saved, baked, tmp_path):
    status, out, err = headfield("export", saved[0], "--shapes", "-o", "shapes", "--unit", "cm")
    assert status == 0, err
    files = sorted(path.stem for path in (tmp_path / "shapes").iterdir() if path.is_file())
    assert files == sorted(["neutral", *ARKIT])
    folders = {path.name for path in (tmp_path / "shapes").iterdir() if path.is_dir()}
    assert folders == {"teethUpper", "teethLower", "gumsUpper", "gumsLower", "tongue"}
    assert (tmp_path / "shapes" / "tongue" / "tongueOut.obj").exists()
    rest, jaw = (trimesh.load(tmp_path / "shapes" / f"{n}.obj", process=False) for n in ("neutral", "jawOpen"))
    np.testing.assert_array_equal(rest.faces, jaw.faces)
    np.testing.assert_allclose(rest.vertices, baked.neutral * 25.0, atol=1e-3)  # cm
    shift = baked.shapes[ARKIT.index("jawOpen")] * 25.0
    np.testing.assert_allclose(jaw.vertices - rest.vertices, shift, atol=2e-3)


def test_a_page(headfield, saved, tmp_path):
    status, out, err = headfield("export", saved[0], "-o", "head.html", "--vertices", 2500)
    assert status == 0 and "52 expressions" in out, err
    text = (tmp_path / "head.html").read_text()
    assert text.startswith("<!") and 'id="glb"' in text and len(text) < 12e6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shapes", "-o", "a.ply"), "52 shapes fit into a .glb"),
        (("--shapes", "-o", "a.glb", "--unit", "mm"), "in metres by definition"),
        (("--shapes", "-o", "a.glb", "--vertices", 10), "choose between 500"),
        (("-o", "a.html", "--vertices", 10**7), "choose between 500"),
    ],
)
def test_bad_requests_are_refused_before_any_work(headfield, saved, tmp_path, words, said):
    before = sorted(tmp_path.iterdir())
    status, _, err = headfield("export", saved[0], *words)
    assert status == 2 and said in err and "Traceback" not in err, err
    assert saved[1] == [] and sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("out", ["a.glb", "a.html", "folder"])
def test_unknown_and_foreign_files_are_refused_and_leave_nothing(headfield, saved, tmp_path, out):
    shapes = () if out.endswith("html") else ("--shapes",)
    (tmp_path / "text.npz").write_text("not a head")
    before = sorted(tmp_path.iterdir())
    for source, said in (("nowhere.npz", "no such file"), ("text.npz", "not a head")):
        status, _, err = headfield("export", source, *shapes, "-o", out)
        assert status == 2 and said in err and err.count("\n") == 1, err
    assert sorted(tmp_path.iterdir()) == before
