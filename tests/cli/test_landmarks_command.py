"""``headfield landmarks``: what it writes is what ``headfield fit --landmarks`` reads."""

import json

import numpy as np
import pytest

from headfield.fit.landmarks import read_landmarks
from headfield.fit.pictures.landmarks import FaceLandmarks, NoFaceError
from headfield.frames import ANCHOR_NAMES
from headfield.types import Scan, Similarity


@pytest.fixture
def scan_file(tmp_path):
    path = tmp_path / "a scan.npy"
    np.save(path, np.random.default_rng(0).standard_normal((500, 3)))
    return path


def stub(scan: Scan):
    rng = np.random.default_rng(1)
    points, anchors = rng.standard_normal((68, 3)), np.full((39, 3), np.nan)
    anchors[ANCHOR_NAMES.index("nose_tip")] = [1.0, 2.0, 3.0]
    points[5] = np.nan
    sure = np.ones(68)
    sure[7] = 0.01
    return FaceLandmarks(points, sure, anchors, np.ones(39), 0.1, np.zeros((8, 8, 3), np.uint8), Similarity())


def test_the_file_is_read_by_fit_and_leaves_out_what_is_unknown_or_unsure(headfield, scan_file, monkeypatch, tmp_path):
    monkeypatch.setattr("headfield.fit.pictures.landmarks.find_landmarks", stub)
    status, out, err = headfield("landmarks", scan_file, "-o", "marks.json", "--picture", "marks.png")
    assert status == 0, err
    content = json.loads((tmp_path / "marks.json").read_text())
    assert set(content) == {str(index) for index in range(68)} - {"5", "7"} | {"nose_tip"}
    assert content["nose_tip"] == [1.0, 2.0, 3.0]
    scan, head = read_landmarks(tmp_path / "marks.json")
    assert len(scan) == len(head) == 67
    assert (tmp_path / "marks.png").read_bytes()[:4] == b"\x89PNG"
    status, _, err = headfield("landmarks", scan_file, "-o", "marks.json")
    assert status == 2 and "exists already" in err


def test_no_face_leaves_a_picture_of_what_was_tried_and_no_file(headfield, scan_file, monkeypatch, tmp_path):
    def none(scan):
        raise NoFaceError(f"{scan.name}: no face found.", np.zeros((8, 8, 3), np.uint8))

    monkeypatch.setattr("headfield.fit.pictures.landmarks.find_landmarks", none)
    status, _, err = headfield("landmarks", scan_file, "-o", "marks.json", "--picture", "tried.png")
    assert status == 2 and "no face found" in err
    assert not (tmp_path / "marks.json").exists() and (tmp_path / "tried.png").exists()
    status, _, err = headfield("landmarks", "nowhere.ply")
    assert status == 2 and "nowhere.ply" in err
