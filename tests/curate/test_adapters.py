"""Adapters on tiny trees of the layouts that NPHM and FaceScape publish."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import trimesh

from headfield.curate.adapters.facescape import EXPRESSIONS
from headfield.curate.gather import gather
from headfield.errors import DataError, HeadfieldError


def _mesh(path, size=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.icosphere(2, size).export(path)


@pytest.fixture
def nphm(tmp_path):
    root = tmp_path / "nphm data"
    for person, expressions in (("017", ("000", "003")), ("084", ("000", "003")), ("105", ("000",))):
        for expression in expressions:
            _mesh(root / person / expression / "scan.ply", 0.5)
            _mesh(root / person / expression / "flame.ply")
            np.save(root / person / expression / "s.npy", np.ones(1))
    _mesh(root / "017" / "000" / "registration.ply", 0.5)
    (root / "200" / "000").mkdir(parents=True)
    return root


def test_nphm(nphm):
    before = {path: path.stat().st_mtime_ns for path in nphm.rglob("*")}
    (nphm / "neutrals_closed.json").write_text(json.dumps({"17": 0, "84": 3, "105": -1}))
    found = gather(nphm)
    assert [s.id for s in found.subjects] == ["017", "084", "105"]
    expressions = {s.id: [scan.expression for scan in s.scans] for s in found.subjects}
    assert expressions == {"017": ["neutral", "003"], "084": ["neutral", "000"], "105": ["000"]}
    first = found.subjects[0].scans[0]
    assert first.path.name == "scan.ply" and first.registration.name == "registration.ply"
    assert found.subjects[1].scans[0].registration is None
    scan = first.read()
    assert scan.units == "m" and np.allclose(np.linalg.norm(scan.points, axis=1), 0.125, atol=1e-3)
    assert np.allclose(np.linalg.norm(first.read_registration().vertices, axis=1), 0.125, atol=1e-3)
    assert {item.what for item in found.skipped} == {"200/000", "200"}
    assert len(found.notes) == 1 and "research" in found.notes[0]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items() if path.is_file())


def test_nphm_without_its_list_of_neutrals_says_what_it_assumes(nphm):
    found = gather(nphm)
    assert found.subjects[1].scans[0].path.parent.name == "000" and "000 was taken" in found.notes[1]


def test_nphm_with_a_damaged_list_of_neutrals(nphm):
    (nphm / "neutrals_closed.json").write_text('{"17": "first"}')
    with pytest.raises(DataError, match="number of an expression"):
        gather(nphm)
    (nphm / "neutrals_closed.json").write_text("[")
    with pytest.raises(HeadfieldError, match="not JSON"):
        gather(nphm)


def test_facescape_uniform_models(tmp_path):
    root = tmp_path / "facescape"
    for person in ("1", "122"):
        batch = "facescape_trainset_001_100" if person == "1" else "facescape_trainset_101_200"
        for number in (1, 2, 5):
            _mesh(root / batch / person / "models_reg" / f"{number}_{EXPRESSIONS[number - 1]}.obj", 100)
        (root / batch / person / "dpmap").mkdir()
        (root / batch / person / "models_reg" / "1_neutral.jpg").write_bytes(b"x")
    _mesh(root / "facescape_trainset_001_100" / "1" / "models_reg" / "21_odd.obj")
    (root / "info_list_v1.txt").write_text("1 m 23 11111\n122 f - 11111\n5 f 20 11111\n")
    (root / "publishable_list_v1.txt").write_text("122, 212")
    found = gather(root)
    assert [s.id for s in found.subjects] == ["1", "122"]
    assert [scan.expression for scan in found.subjects[0].scans] == ["neutral", "smile", "jaw_left"]
    assert all(scan.units == "mm" and scan.registration == scan.path for scan in found.subjects[0].scans)
    assert found.subjects[0].metadata == {"sex": "male", "age": "23", "publishable": "no"}
    assert found.subjects[1].metadata == {"sex": "female", "publishable": "yes"}
    assert {item.what for item in found.skipped} == {"1/21_odd.obj"}
    assert "non-commercial" in found.notes[0]


def test_facescape_multi_view_meshes(tmp_path):
    for person, name in (("1", "1_neutral"), ("1", "20_brow_lower"), ("2", "1_neutral")):
        _mesh(tmp_path / person / f"{name}.ply", 2.0)
    (tmp_path / "images" / "1" / "1_neutral").mkdir(parents=True)
    found = gather(tmp_path)
    assert [len(s.scans) for s in found.subjects] == [2, 1]
    assert found.subjects[0].scans[1].expression == "brow_lower"
    assert found.subjects[0].scans[0].units is None and "Rt_scale_dict.json" in found.notes[1]
    pose = np.eye(4)[:3].tolist()
    (tmp_path / "Rt_scale_dict.json").write_text(
        json.dumps({"1": {"1": [50.0, pose], "20": [60.0, pose]}, "2": {"1": [70.0, pose]}})
    )
    scans = gather(tmp_path).subjects[0].scans
    assert [scan.scale for scan in scans] == [50.0, 60.0] and scans[0].units == "mm"
    assert np.allclose(np.linalg.norm(scans[0].read().points, axis=1), 100.0, atol=1e-3)


def test_facescape_with_both_parts_uses_the_uniform_model(tmp_path):
    _mesh(tmp_path / "7" / "models_reg" / "1_neutral.obj", 100)
    _mesh(tmp_path / "7" / "1_neutral.ply", 2.0)
    _mesh(tmp_path / "7" / "2_smile.ply", 2.0)
    found = gather(tmp_path)
    assert [scan.path.suffix for scan in found.subjects[0].scans] == [".obj", ".ply"]
    assert [item.what for item in found.skipped] == ["7/1_neutral.ply"]


def test_facescape_refuses_one_person_in_two_downloads(tmp_path):
    for batch in ("a", "b"):
        _mesh(tmp_path / batch / "7" / "models_reg" / "1_neutral.obj", 100)
    with pytest.raises(DataError, match="already"):
        gather(tmp_path)


def test_other_layouts_that_are_asked_for_are_refused(tmp_path):
    _mesh(tmp_path / "anna" / "smile.ply")
    assert gather(tmp_path).subjects[0].id == "anna"
    for layout in ("nphm", "facescape"):
        with pytest.raises(DataError, match="not laid out as"):
            gather(tmp_path, layout=layout)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(DataError, match="permission denied"):
        gather(tmp_path / "locked")
