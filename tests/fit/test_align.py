"""Alignment: landmarks or the search, settled by the same short fit; the fit asks for a face when in doubt."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_face import FakeDetector, head_scan, random_pose

from headfield.fit.options import FitOptions
from headfield.fit.pictures.align import align, face_finder
from headfield.fit.pictures.landmarks import LandmarkOptions, find_landmarks
from headfield.fit.placement import Placement
from headfield.fit.run import find_head
from headfield.frames import reference_anchors
from headfield.models.release import load
from headfield.types import Scan, Similarity

FACE = reference_anchors()[[0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 33]]


@pytest.fixture(scope="module")
def model():
    return load("imhead-open-small")


def gap_mm(placement, pose):
    return np.linalg.norm(placement.similarity.apply(pose.apply(FACE)) - FACE, axis=1).mean() * 250


@pytest.mark.parametrize(("units", "scale"), [("mm", 250.0), ("inch", 9.84)])
def test_landmarks_place_the_head_and_tell_its_unit(model, units, scale):
    pose = random_pose(20, scale)
    scan = head_scan(pose)
    landmarks = find_landmarks(scan, LandmarkOptions(hint=pose.inverse(), close_size=128), FakeDetector(pose))
    placement = align(scan, landmarks, model)
    assert placement.units == units
    assert gap_mm(placement, pose) < 4
    assert placement.evidence["trust"] > 0.4


@pytest.fixture(scope="module")
def mask():
    """A face of 130 mm without its head, and its pose."""
    pose = random_pose(21, 1.0)
    whole = head_scan(pose, 60_000)
    model_points = pose.inverse().apply(whole.points)
    kept = np.linalg.norm((model_points - [0, -0.08, 0.15]) * [1.2, 0.9, 1], axis=1) < 0.27
    return Scan(whole.points[kept], name="mask"), pose


def test_a_face_without_its_head_is_found_alone(model, mask):
    scan, pose = mask
    placement, notes = find_head(scan, model, FitOptions(face=lambda _: pytest.fail("asked for a face")))
    assert gap_mm(placement, pose) < 6
    assert placement.evidence["face"] > 0.7
    assert not any("face" in note for note in notes)


def test_a_fit_in_doubt_is_placed_by_landmarks(model, mask, monkeypatch):
    scan, pose = mask
    asked = []

    def finder(scan):
        asked.append(scan)
        return face_finder(FakeDetector(pose))(scan)

    # in doubt: the own finder sees nothing, and the search finds the head upside down
    monkeypatch.setattr("headfield.fit.placing.propose", lambda points, seed: [])
    over = Similarity(np.diag([-1.0, -1.0, 1.0]), np.zeros(3), 1.0).after(pose.inverse())
    monkeypatch.setattr("headfield.fit.placing.place", lambda *_: [Placement(over, "m", 0.0, 0.0)])
    alone, _ = find_head(scan, model)
    helped, notes = find_head(scan, model, FitOptions(face=finder))
    assert len(asked) == 1
    assert gap_mm(alone, pose) > 20
    assert gap_mm(helped, pose) < 6
    assert any("placed by its face" in note for note in notes)


def test_a_sure_search_asks_nobody_and_a_face_that_is_not_found_changes_nothing(model):
    pose = random_pose(22, 250.0)

    def never(scan):
        raise AssertionError("asked for a face although the head was found")

    placement, notes = find_head(head_scan(pose), model, FitOptions(face=never))
    assert gap_mm(placement, pose) < 4 and not any("face" in note for note in notes)

    class Blind(FakeDetector):
        def score(self, view):
            return 0.0

    assert face_finder(Blind(pose))(head_scan(pose)) is None


def test_without_mediapipe_there_is_no_finder_and_fits_go_on(monkeypatch):
    monkeypatch.setattr("headfield.fit.pictures.align.find_spec", lambda name: None)
    assert face_finder() is None
    assert face_finder(FakeDetector(random_pose(1, 1.0))) is not None


def test_one_bad_file_of_landmarks_rejects_its_scan_only(tmp_path):
    from headfield.curate.options import CurateOptions
    from headfield.curate.placing import align_scan
    from headfield.curate.records import REJECTED, recorded
    from headfield.curate.subjects import RawScan

    marks = tmp_path / "a.landmarks.json"
    marks.write_text("{}")
    raw = RawScan(tmp_path / "a.ply", landmarks=marks)
    scan = head_scan(random_pose(20, 250.0))
    done = recorded(tmp_path, "align", "key", lambda: align_scan(scan, raw, {}, CurateOptions()))
    assert done.outcome == REJECTED and "a.landmarks.json" in done.reason
