"""Placement from nothing, on a head in closed form."""

import json

import numpy as np
import pytest
from stub_head import surface_of

from headfield.errors import ConfigError, ScanError
from headfield.fit.landmarks import place_by_landmarks, reference_landmarks68
from headfield.fit.mean_field import mean_field_of
from headfield.fit.placement import (
    PlacementOptions,
    millimetres_per_unit,
    similarity_of_size,
    size_log_of,
)
from headfield.fit.search import place, units_for_extent
from headfield.frames import ANCHOR_NAMES, UNITS_IN_METRES, reference_anchors
from headfield.types import Scan, Similarity


def _scale(units, size_log=0.0):
    """File units per model unit."""
    return 1.0 / similarity_of_size(units, size_log)


def _error_mm(placement, truth: Similarity) -> float:
    anchors = reference_anchors()[:20]
    back = placement.similarity.after(truth).apply(anchors)
    return float(np.linalg.norm(back - anchors, axis=1).mean() * 250)


@pytest.mark.parametrize(
    ("units", "size", "view"), [("mm", 0.05, None), ("inch", -0.15, (0.2, 0.1, 1.0)), ("m", 0.0, (-0.8, 0.0, 0.6))]
)
def test_any_pose_unit_and_side(stub, similarity, units, size, view):
    rng = np.random.default_rng(list(units.encode()))
    points, normals = surface_of(stub, stub.mean_codes(), 6000)
    if view is not None:
        direction = np.array(view) / np.linalg.norm(view)
        points = points[normals @ direction > 0.1]
    truth = similarity(rng, _scale(units, size))
    scan = Scan(truth.apply(points + rng.normal(0, 0.002, points.shape)))
    best = place(scan, mean_field_of(stub))[0]
    assert best.units == units
    assert best.size_log == pytest.approx(size, abs=0.06)
    assert _error_mm(best, truth) < 12


def test_shoulders_and_strays_are_no_harm(stub, similarity):
    rng = np.random.default_rng(5)
    points, _ = surface_of(stub, stub.mean_codes(), 5000)
    body = rng.standard_normal((6000, 3))
    body = body / np.linalg.norm(body, axis=1, keepdims=True) * [0.85, 0.4, 0.4] + [0, -0.98, -0.25]
    strays = rng.uniform(-1.5, 1.5, (150, 3))
    truth = similarity(rng, _scale("cm"))
    scan = Scan(truth.apply(np.concatenate([points, body, strays])))
    best = place(scan, mean_field_of(stub))[0]
    assert best.units == "cm"
    assert _error_mm(best, truth) < 12


def test_a_size_that_no_unit_explains_is_left_free(stub, similarity):
    rng = np.random.default_rng(6)
    points, _ = surface_of(stub, stub.mean_codes(), 5000)
    truth = similarity(rng, 4.0)  # a head of about 4 file units: 4 m, 4 cm, 4 mm or 10 cm
    best = place(Scan(truth.apply(points)), mean_field_of(stub))[0]
    assert best.units == "free"
    assert best.size_log == 0.0
    assert _error_mm(best, truth) < 15


def test_a_known_unit_and_up_axis_are_kept(stub):
    points, _ = surface_of(stub, stub.mean_codes(), 4000)
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # up becomes z
    truth = Similarity(turn, np.array([1.0, 2.0, 3.0]), _scale("cm"))
    options = PlacementOptions(units="cm", up="z")
    best = place(Scan(truth.apply(points)), mean_field_of(stub), options)[0]
    assert best.units == "cm"
    assert _error_mm(best, truth) < 10


def test_the_same_scan_gives_the_same_placement(stub, similarity):
    points, _ = surface_of(stub, stub.mean_codes(), 4000)
    scan = Scan(similarity(np.random.default_rng(7), 250.0).apply(points))
    first, second = (place(scan, mean_field_of(stub))[0] for _ in range(2))
    assert (first.similarity.matrix() == second.similarity.matrix()).all()


def test_too_few_points_and_unknown_words_are_refused(stub):
    field = mean_field_of(stub)
    with pytest.raises(ScanError, match="distinct points"):
        place(Scan(np.zeros((500, 3))), field)
    scan = Scan(np.random.default_rng(0).standard_normal((500, 3)))
    with pytest.raises(ConfigError, match="unit"):
        place(scan, field, PlacementOptions(units="furlong"))
    with pytest.raises(ConfigError, match="axis"):
        place(scan, field, PlacementOptions(up="w"))


def test_sizes_and_units_invert_each_other():
    for units in UNITS_IN_METRES:
        assert size_log_of(similarity_of_size(units, -0.2), units) == pytest.approx(-0.2)
        # a child's head: one model unit is fewer true millimetres
        assert millimetres_per_unit(similarity_of_size(units, -0.2), units) == pytest.approx(250 * np.exp(-0.2))
    assert units_for_extent(500.0) == ["mm"]
    assert "cm" in units_for_extent(35.0) and "mm" not in units_for_extent(35.0)
    assert units_for_extent(4.5) == []


# ---- landmarks -------------------------------------------------------------------------------------------------------


def test_landmarks_by_name_and_by_index(tmp_path, similarity):
    truth = similarity(np.random.default_rng(8), _scale("mm", 0.1))
    anchors, landmarks = dict(zip(ANCHOR_NAMES, reference_anchors())), reference_landmarks68()
    content = {name: truth.apply(anchors[name]).tolist() for name in ("nose_tip", "chin", "eye_outer_left")}
    content |= {str(k): truth.apply(landmarks[k]).tolist() for k in (36, 45, 48)}
    file = tmp_path / "landmarks.json"
    file.write_text(json.dumps(content))
    found = place_by_landmarks(file, None, 0.0, 0.1)
    assert found.units == "mm"
    assert found.size_log == pytest.approx(0.1, abs=1e-6)
    assert _error_mm(found, truth) < 1e-6


def test_the_68_landmarks_agree_with_the_anchors():
    anchors, landmarks = dict(zip(ANCHOR_NAMES, reference_anchors())), reference_landmarks68()
    for name, index in {"nose_tip": 30, "chin": 8, "eye_outer_right": 36, "eye_outer_left": 45}.items():
        assert np.linalg.norm(anchors[name] - landmarks[index]) < 0.03, name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "JSON"),
        ('{"nose_tip": [0, 0, 0], "chin": [0, 1, 0]}', "at least three"),
        ('{"nose": [0, 0, 0]}', "unknown landmark"),
        ('{"nose_tip": [0, 0]}', "not a point"),
        ('{"nose_tip": [0,0,0], "chin": [0,1,0], "forehead": [0,2,0]}', "one line"),
        ("3", "expected an object"),
    ],
)
def test_bad_landmarks_say_why(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        place_by_landmarks(file, None, 0.0, 0.1)


def test_landmarks_that_cannot_be_opened(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json does not exist\.$"):
        place_by_landmarks(tmp_path / "nowhere.json", None, 0.0, 0.1)
    with pytest.raises(ConfigError, match="a folder, expected a regular file"):
        place_by_landmarks(tmp_path, None, 0.0, 0.1)
