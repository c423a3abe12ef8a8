"""Hints that contradict each other or the scan are refused by name; names say which scans are neutral."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from stub_head import surface_of

from headfield.curate.adapters.facescape import EXPRESSIONS
from headfield.curate.adapters.folder import expression_of
from headfield.errors import ConfigError
from headfield.fit import hints, run
from headfield.fit.hints import settled
from headfield.fit.options import FitOptions
from headfield.frames import ANCHOR_NAMES, reference_anchors
from headfield.io.names import distinct_names, named_neutral
from headfield.models.prior import Prior
from headfield.types import ARKIT, Codes, Scan, Similarity

NAMES = ("nose_tip", "chin", "eye_outer_left", "eye_outer_right", "mouth_corner_left", "mouth_corner_right")
ANCHORS = reference_anchors()[[ANCHOR_NAMES.index(name) for name in NAMES]]
PRIOR = Prior.standard(2)


@pytest.fixture(scope="module")
def turned():
    """The reference anchors as a scan in millimetres whose head stands along -z, and where its landmarks are."""
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # model y -> scan -z
    placed = Similarity(turn, np.array([10.0, 900.0, -40.0]), 250.0)
    rng = np.random.default_rng(0)
    ball = 0.02 * rng.standard_normal((6000, 3)) + ANCHORS[rng.integers(0, len(ANCHORS), 6000)]
    return Scan(placed.apply(ball), name="a.ply"), placed.apply(ANCHORS)


@pytest.fixture
def marks(tmp_path):
    def write(places):
        (tmp_path / "marks.json").write_text(json.dumps(dict(zip(NAMES, places.tolist()))))
        return tmp_path / "marks.json"

    return write


def test_landmarks_and_up(turned, marks):
    scan, places = turned
    file = marks(places)
    assert settled([scan], FitOptions(landmarks=file, up="-z"), PRIOR)[2] == ()
    for up in ("z", "y", "x", "-x"):
        with pytest.raises(ConfigError, match=f"--up {up} and --landmarks disagree: .* along -z.* give --up -z"):
            settled([scan], FitOptions(landmarks=file, up=up), PRIOR)


def test_landmarks_and_the_unit(turned, marks):
    scan, places = turned
    file = marks(places)
    assert settled([scan], FitOptions(landmarks=file, units="mm"), PRIOR)[2] == ()
    with pytest.raises(ConfigError, match=r"--units m and --landmarks disagree: .* 230 m tall .* give --units mm"):
        settled([scan], FitOptions(landmarks=file, units="m"), PRIOR)
    stated = Scan(scan.points, name="a.glb", units="m")  # the file's word is worth less than the user's
    (found,), _, notes = settled([stated], FitOptions(landmarks=file), PRIOR)
    assert found.units is None and "The file says m, but" in notes[0] and "mm was used" in notes[0]


def test_landmarks_that_are_not_of_this_scan(turned, marks):
    scan, places = turned
    with pytest.raises(ConfigError, match=r"--landmarks and the scan disagree: .* Times 1000 they would lie on it"):
        settled([scan], FitOptions(landmarks=marks(places / 1000)), PRIOR)
    with pytest.raises(ConfigError, match=r"--landmarks and the scan disagree: .* made on this file\?"):
        settled([scan], FitOptions(landmarks=marks(places + [0, 400, 0])), PRIOR)


def test_a_unit_beside_a_depth_map():
    depth = Scan(np.zeros((5, 3)), name="depth.png", units="m", viewpoint=np.zeros(3))
    with pytest.raises(ConfigError, match="--units mm and the depth map's own unit, m, disagree"):
        settled([depth], FitOptions(units="mm"), PRIOR)
    assert settled([depth], FitOptions(units="m"), PRIOR)[0] == [depth]
    assert run._read(depth, FitOptions(units="mm")).units == "m", "not replaced before it can be compared"


NEUTRAL = "neutral.ply max_neutral_01.ply Neutral2.obj 02-neutral a.neutral.ply neutral_left.ply neutral_front.ply"
AT_REST = "neutral_mouth_closed.ply neutral_eyes_closed.ply neutral_eyes_open.ply closed_mouth-neutral.ply"
NO_NEUTRAL = "smile.ply non-neutral.ply neutrality.ply neutralised neutralSmile.ply nonNeutral.ply"
TWO_WORDS = "neutral_smile.ply Neutral-Surprise.ply sad_neutral_2.ply neutral_mouth_open.ply neutral_2_surprise2.ply"


@pytest.mark.parametrize("name", [*NEUTRAL.split(), *AT_REST.split()])
def test_names_that_say_neutral(name):
    assert named_neutral(name)


@pytest.mark.parametrize("name", [*NO_NEUTRAL.split(), "not neutral.ply", *TWO_WORDS.split()])
def test_names_that_do_not(name):
    assert not named_neutral(name)


def test_names_that_tell_files_apart():
    assert distinct_names(["a.ply", "x/b.ply"]) == ["a.ply", "b.ply"], "no more of the path than it takes"
    same = ["p/a/scan.ply", "p/b/scan.ply", "q/b/scan.ply", "scan.ply", Path("c.ply")]
    assert distinct_names(same) == ["a/scan.ply", "p/b/scan.ply", "q/b/scan.ply", "scan.ply", "c.ply"]
    assert distinct_names(distinct_names(same)) == distinct_names(same)
    assert distinct_names(["a.ply", "a.ply", "./a.ply"]) == ["a.ply", "a.ply (2)", "a.ply (3)"]
    assert distinct_names(["scan", ""]) == ["scan", ""]


def test_no_expression_is_neutral_beside_that_word():
    """Every ARKit channel and every expression of a data set that we read; curation reads names in the same way."""
    for name in (*ARKIT, *EXPRESSIONS[1:]):
        for told in (f"neutral_{name}", f"{name}-neutral", f"Neutral {name}"):
            assert named_neutral(told) == (name == "eye_closed"), "a neutral face may have its eyes shut"
            assert (expression_of(told) == "neutral") == (name == "eye_closed")


def test_which_scans_are_neutral():
    scans = [Scan(np.zeros((5, 3)), name=name) for name in ("smile.ply", "neutral.ply", "neutral_2.ply")]
    _, options, notes = settled(scans, FitOptions(), PRIOR)
    assert options.neutral == (1, 2) and "neutral.ply and neutral_2.ply: taken as neutral for the name" in notes[0]
    assert settled(scans, FitOptions(neutral=(0,)), PRIOR)[1].neutral == (0,), "what is said beats the names"
    assert settled(scans, FitOptions(neutral=()), PRIOR)[1:] == (FitOptions(neutral=()), ())
    assert settled(scans[1:2], FitOptions(), PRIOR)[1:] == (FitOptions(neutral=()), ()), "one scan needs no such word"
    assert settled(scans, FitOptions(expression="neutral"), PRIOR)[1].neutral == (), "all of them are held anyway"
    with pytest.raises(ConfigError, match="neutral scan 4: there are 3"):
        settled(scans, FitOptions(neutral=(3,)), PRIOR)
    with pytest.raises(ConfigError, match="--neutral-scan and --expression neutral disagree"):
        settled(scans, FitOptions(neutral=(1,), expression="neutral"), PRIOR)


def test_a_fit_asks_and_tells(stub, similarity, monkeypatch):
    """The hints are settled on the way of every fit, and what was decided is among its notes."""
    rng = np.random.default_rng(4)
    points, _ = surface_of(stub, Codes(torch.zeros(1, stub.config.identity)), 3000, 0)
    scan = Scan(similarity(rng, 250.0).apply(points), name="a.ply")
    box = np.concatenate([scan.points.min(0) - 1, scan.points.max(0) + 1])
    crowd = np.concatenate([scan.points, scan.points[:300] + [2000.0, 0, 0]])
    asked = []
    monkeypatch.setattr(hints, "_with_neutral", lambda scans, options: asked.append(options) or (options, ["told"]))
    result = run.fit(Scan(crowd, name="a.ply"), stub, crop=box, expression="neutral", refuse=False)
    assert len(asked) == 1 and result.notes[0] == "told"
    assert any("3,000 of 3,300 points were kept" in note for note in result.notes)
    with pytest.raises(ConfigError, match="a crop is for one scan"):
        run.fit([scan, scan], stub, crop=box)
    with pytest.raises(ConfigError, match="six numbers"):
        run.fit(scan, stub, crop=(1, 2))
