"""The evidence of captures: every goal stands in the table, the worst are the worst, half a run is enough."""

from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from headfield.evaluate import captures
from headfield.evaluate.captures import make_capture
from headfield.evaluate.kinds import KINDS, MISSED, POOLED, PREFIX, table_of_kinds
from headfield.evaluate.options import Options
from headfield.evaluate.pictures import Sight, signed_mm
from headfield.evaluate.protocols import PROTOCOLS
from headfield.evaluate.reading import ACTED, in_words
from headfield.evaluate.records import CaseResult, case_path, write_json
from headfield.evaluate.report import typical, worst_first
from headfield.evaluate.run import kept
from headfield.surface.nearest import Target
from headfield.types import ARKIT, Mesh

MASK = PROTOCOLS["captures-mask"]

GOALS = {
    "found": {"clean": 0.95},
    "placed": dict.fromkeys(POOLED, 0.96) | {"bust": 0.92, "phone-depth": 0.92},
    "right": {"real": 1.0},
    "captured": {"mask": 0.3, "closed": 0.3, "average": 0.3, "photogrammetry": 0.7, "bust": 0.7, "phone-depth": 1.0},
    "over": dict.fromkeys(POOLED, 0.2),
    "acted": dict.fromkeys(POOLED, 0.85) | {"with-neutral": 0.92},
    "one_sided": dict.fromkeys(POOLED, 0.85),
    "false_neutral": dict.fromkeys([*POOLED, "real"], 0.2),
    "false": dict.fromkeys(POOLED, 0.4),
    "symmetric": dict.fromkeys(POOLED, 0.15),
    "gaze": dict.fromkeys(POOLED, 10.0),
    "gaze_unseen": dict.fromkeys(POOLED, 0.05),
    "closed_read": {"closed": 0.95, "closed-neutral": 0.96},
    "open_read": dict.fromkeys(POOLED, 0.95),
    "true_scalp": {"closed": 0.97, "average": 0.97},
    "poor": dict.fromkeys([*POOLED, "real"], 0.03),
}
"""What is to be reached by which kind, once more and by hand."""


def result(name="ict-00000", error="", **values):
    return CaseResult(name, {key: {"ours": value} for key, value in values.items()}, {}, error)


def column(kind, name):
    return next(c for c in PROTOCOLS[PREFIX + kind].columns if c.name == name)


def test_every_goal_belongs_to_its_kind():
    for name, of_kind in GOALS.items():
        assert {kind: column(kind, name).reach for kind in of_kind} == of_kind, name
    assert column("mask", "over").statistic == column("mask", "captured").statistic == "median"
    assert all(column("mask", name).statistic == "p90" for name in ("false_neutral", "false", "symmetric"))


@pytest.mark.parametrize("good", [True, False])
def test_the_table_has_every_goal_and_marks_what_misses_it(good):
    def value(c):
        return (c.reach if good else 2.0 * c.reach) if not c.share else float(c.at_least is good)

    def values(kind):
        return {c.name: value(c) for c in PROTOCOLS[PREFIX + kind].columns if c.reach is not None}

    text = table_of_kinds({kind: [result(**values(kind))] for kind in KINDS})
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert head == ["what", "statistic", "goal", *KINDS, "all kinds"]
    rows = {line[0]: dict(zip(head, line)) for line in lines}
    for name, of_kind in GOALS.items():
        for kind in of_kind:
            row = next(rows[c.title] for k in KINDS for c in PROTOCOLS[PREFIX + k].columns
                       if c.name == name and c.title in rows)  # fmt: skip
            assert row["goal"] and "(1" in row[kind] and (MISSED in row[kind]) != good, (name, kind)
    assert "goal ≥ 92%" in rows[column("bust", "placed").title]["bust"]


def test_heads_of_all_kinds_are_pooled_but_those_with_help_and_real_ones():
    of = {"mask": [result(placed=1.0)] * 3, "bust": [result(placed=0.0)], "clean": [result(placed=0.0)] * 9}
    last = [line for line in table_of_kinds(of).splitlines() if line.startswith("| placed")][0].split("|")[-2]
    assert last.strip() == "-"  # their goals differ: no number is both's
    of = {"mask": [result(acted=1.0)] * 3, "bust": [result(acted=0.0)], "clean": [result(acted=0.0)] * 9}
    last = [line for line in table_of_kinds(of).splitlines() if line.startswith("| emotions")][0].split("|")[-2]
    assert "75%" in last and "(4)" in last
    assert "done" in table_of_kinds({"mask": []})


cases = st.lists(
    st.builds(
        lambda error, placed, captured: result(error=error) if error else result(placed=placed, captured=captured),
        st.sampled_from(["", "", "", "no head"]),
        st.sampled_from([0.0, 1.0, 1.0]),
        st.floats(0, 9) | st.just(float("nan")),
    ),
    max_size=12,
)


@given(cases)
def test_the_worst_are_the_worst(results):
    order = worst_first(MASK, results)
    assert sorted(order) == list(range(len(results)))

    def badness(one):
        number = one.values.get("captured", {}).get("ours", np.nan)
        astray = one.values.get("placed", {}).get("ours") == 0.0
        return bool(one.error), astray, not np.isnan(number), np.nan_to_num(number)

    ranks = [badness(results[k]) for k in order]
    assert ranks == sorted(ranks, reverse=True)
    middle = typical(MASK, results)
    right = [badness(one) for one in results if not one.error and one.values["placed"]["ours"]]
    if middle is None:
        assert not right
    else:
        assert sorted(right, reverse=True)[len(right) // 2] == badness(results[middle])


def test_half_a_run_is_read(tmp_path):
    assert kept(MASK, tmp_path / "nothing")[1:] == ([], [])
    settings = {"model": "m", "split": "dev", "resolution": 96, "samples": 7, "pca_heads": None, "weights": "x"}
    (tmp_path / "cases").mkdir()
    write_json(tmp_path / "settings.json", settings)
    for case in [("anny", 3), ("ict", 1)]:
        write_json(case_path(tmp_path, case), {"name": f"{case[0]}", "values": {"placed": {"ours": 1.0}}})
    options, found, results = kept(MASK, tmp_path)
    assert options == Options("m", "dev", 96, 7)
    assert found == [("ict", 1), ("anny", 3)] and [r.name for r in results] == ["ict", "anny"]


def test_expressions_in_words():
    def words(**channels):
        return in_words(np.array([channels.get(name, 0.0) for name in ARKIT]))

    assert words() == "nothing"
    assert words(mouthSmileLeft=0.8, mouthSmileRight=0.75, jawOpen=0.3) == "smile 0.8, jaw open 0.3"
    assert words(mouthSmileLeft=0.8) == "smile left 0.8"
    assert words(jawLeft=0.4) == "jaw left 0.4"
    assert words(browInnerUp=1.0, browOuterUpLeft=1.0, browOuterUpRight=1.0) == "brow up 1.0"
    assert words(eyeLookUpLeft=0.5, eyeLookUpRight=0.5).startswith("gaze ")


def test_signed_distances_tell_a_head_that_is_too_large():
    def ball(radius):
        solid = trimesh.creation.icosphere(3, radius)
        return Mesh(np.array(solid.vertices), np.array(solid.faces))

    taken = ball(1.0)
    unasked = np.zeros(len(taken.vertices), bool)
    unasked[3] = True
    sight = Sight(None, np.zeros(0, bool), taken, Target(taken), taken, unasked, 250.0)
    for radius in (1.02, 0.98):
        found = signed_mm(sight, ball(radius))
        assert np.isnan(found[3]) and np.isnan(found).sum() == 1
        assert np.allclose(np.delete(found, 3), 250.0 * (radius - 1.0), atol=1.0)


@pytest.fixture
def taken(monkeypatch):
    """Captures without their making: who, which pose, and the stream that makes them."""

    def capture_of(kind, split, family, index, pose, rng):
        scan = SimpleNamespace(pose=pose.name, first=rng.random())
        return SimpleNamespace(capture=SimpleNamespace(scan=scan, pose=pose, sitter=None))

    monkeypatch.setattr(captures, "capture_of", capture_of)


def test_who_acts_plays_emotions_and_visemes_and_rests_in_another_capture(taken):
    protocol = PROTOCOLS["captures-with-neutral"]
    assert protocol.rest and {name for name, _ in protocol.people} == {"ict", "anny", "vitruvian"}
    for family, index in protocol.cases("test"):
        made, rest = (make_capture("mask", "test", family, index, play).capture for play in ("acted", "rest"))
        assert made.pose.kind in ACTED and rest.pose.name == "neutral"
        assert made.scan.first != rest.scan.first


def test_the_neutral_scan_is_given_and_said_to_be_neutral(taken, monkeypatch):
    seen = {}

    def fit(scans, model, options):
        seen.update(neutral=options.neutral, poses=[scan.pose for scan in scans])
        raise StopIteration

    monkeypatch.setattr(captures, "fit", fit)
    monkeypatch.setattr(captures, "load", lambda model: None)
    with pytest.raises(StopIteration):
        captures.run_capture(PROTOCOLS["captures-with-neutral"], "ict", 0, Options(split="dev"))
    assert seen["neutral"] == (1,) and seen["poses"][1] == "neutral" != seen["poses"][0]
