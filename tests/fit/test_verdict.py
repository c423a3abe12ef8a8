"""The verdict: laws of its grading, and fits that must and must not be believed."""

import json

import numpy as np
import pytest

from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement
from headfield.fit.result import Fit
from headfield.fit.run import fit, fit_placed
from headfield.fit.verdict import DOUBTS, LEVELS, Verdict, verdict_of, worst
from headfield.frames import ANCHOR_NAMES, reference_anchors
from headfield.io.scan import read_scan
from headfield.models.release import load
from headfield.types import Similarity

GOOD = {
    "covered_face": 1.0, "covered_anchors": 0.9, "face_detail_mm": 1.1, "face_explained": 0.95, "face_mm": 0.2,
    "face_rejected": 0.0, "median_mm": 0.2, "inliers": 0.98, "deviation": 0.6, "size_away": 0.5, "free_size": 0.0,
    "search_landmark_residual_units": 0.01, "search_rivalry": 0.0,
}  # fmt: skip
"""Evidence of a good fit."""


@pytest.fixture(scope="module")
def demo(examples):
    """The bundled scan, the model, and its honest fit."""
    scan, model = read_scan(examples / "data" / "scan.ply"), load("imhead-open-small")
    return scan, model, fit(scan, model, expression="neutral")


@pytest.fixture(scope="module")
def examples(request):
    return request.config.rootpath / "examples"


# ---- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.key)
def test_worse_evidence_never_makes_a_better_verdict(doubt):
    most = max(6.0, 2.0 * (doubt.poor or doubt.fair))
    worse = np.linspace(0.0, most, 61) if doubt.above else np.linspace(1.5, -0.5, 61)
    levels = [LEVELS.index(verdict_of(GOOD | {doubt.key: float(value)}).level) for value in worse]
    assert (np.diff(levels) >= 0).all()
    assert levels[0] == 0
    assert levels[-1] == (1 if doubt.poor is None else 2)


def test_reasons_and_advice_come_with_every_doubt_and_only_then():
    assert verdict_of(GOOD) == Verdict("good")
    verdict = verdict_of(GOOD | {"face_mm": 1.0, "inliers": 0.5})
    assert verdict.level == "poor"
    assert len(verdict.reasons) == 2 and "50 % of the points" in verdict.reasons[0]  # the worst first
    assert verdict.advice and all(text.endswith(".") for text in verdict.advice)


def test_a_scan_without_a_face_says_so():
    back = GOOD | {"covered_face": 0.0, "face_detail_mm": 0.0, "face_explained": 0.0, "face_mm": float("inf")}
    verdict = verdict_of(back)
    assert verdict.level == "poor"
    assert verdict.reasons[0].startswith("no face is seen") and len(verdict.reasons) == 1


def test_evidence_of_older_fits_is_judged_by_what_it_holds():
    assert verdict_of({"median_mm": 0.2, "inliers": 0.98}).level == "good"
    assert verdict_of({"median_mm": 9.0, "inliers": 0.98}).level == "poor"


def test_several_scans_are_as_good_as_the_worst():
    both = worst([verdict_of(GOOD), verdict_of(GOOD | {"face_mm": 2.0})])
    assert both.level == "poor" and both.reasons[0].startswith("scan 2: ")


# ---- fits ------------------------------------------------------------------------------------------------------------


def test_a_good_scan_is_good_and_the_verdict_survives_its_files(demo, tmp_path):
    scan, model, result = demo
    assert result.verdict == Verdict("good")
    assert result.evidence["face_explained"] > 0.8
    path = result.save(tmp_path / "fit.npz")
    assert Fit.load(path, model).verdict == result.verdict
    assert json.loads(json.dumps(result.to_dict()))["verdict"] == {"level": "good", "reasons": [], "advice": []}


def test_a_fit_of_an_older_version_has_no_verdict(demo, tmp_path):
    path = demo[2].save(tmp_path / "fit.npz")
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    del header["verdict"]
    np.savez(path, **(arrays | {"header": np.array(json.dumps(header))}))
    assert Fit.load(path, demo[1]).verdict.level == "unknown"


@pytest.mark.parametrize("axis", [1, 2], ids=["back to front", "upside down"])
def test_a_head_placed_wrongly_is_poor(demo, axis):
    scan, model, right = demo
    turn = -np.eye(3)
    turn[axis, axis] = 1.0
    middle = np.array([0.0, 0.02, -0.12])
    wrong = Similarity(turn, middle - turn @ middle, 1.0).after(right.placement)
    placement = Placement(wrong, right.units, right.scans[0].size_log, 0.0)
    result = fit_placed([scan], [placement], model, FitOptions(refuse=False, expression="neutral"))
    assert result.verdict.level == "poor"
    assert result.evidence["face_explained"] < 0.5


def test_swapped_landmarks_make_a_poor_fit(demo, tmp_path):
    scan, model, right = demo
    places = right.placement.inverse().apply(reference_anchors())
    names = ["nose_tip", "chin", "eye_outer_left", "eye_outer_right"]
    file = tmp_path / "landmarks.json"
    swapped = {name: places[ANCHOR_NAMES.index(other)].tolist() for name, other in zip(names, names[1:] + names[:1])}
    file.write_text(json.dumps(swapped))
    result = fit(scan, model, landmarks=file, refuse=False, expression="neutral")
    assert result.verdict.level == "poor"
    assert any("landmarks" in reason for reason in result.verdict.reasons)
