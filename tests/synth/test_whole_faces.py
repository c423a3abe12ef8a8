"""Whole faces: what they hold, that all kinds occur, and that the frozen drawing of sums is not touched."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headfield.expressions import BLINK, OPPOSED
from headfield.synth import generate as room
from headfield.synth.config import SynthConfig
from headfield.synth.generate import generate
from headfield.synth.identities import IdentityKey
from headfield.synth.person import make_person
from headfield.synth.poses import poses
from headfield.synth.sheet import make_sheet
from headfield.synth.whole_faces import draw_whole_faces, possible
from headfield.types import ARKIT, ARKIT_MIRROR

JAW, CLOSE, TONGUE = (ARKIT.index(name) for name in ("jawOpen", "mouthClose", "tongueOut"))
MASK = np.arange(52) != TONGUE


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_rules(seed):
    rows = draw_whole_faces(np.random.default_rng(seed), 20, MASK)
    assert rows.shape == (20, 52) and rows.dtype == np.float32
    assert rows.min() >= 0 and rows.max() <= 1
    assert (rows[:, TONGUE] == 0).all() and (rows > 0).any(1).all()
    assert (rows[:, CLOSE] <= rows[:, JAW]).all()
    for first, second in OPPOSED:
        assert not ((rows[:, ARKIT.index(first)] > 0) & (rows[:, ARKIT.index(second)] > 0)).any()
    again = draw_whole_faces(np.random.default_rng(seed), 20, MASK)
    assert np.array_equal(rows, again)


def test_all_kinds_occur():
    rows = draw_whole_faces(np.random.default_rng(0), 3000, MASK)
    count = (rows > 0).sum(1)
    pairs = [(row > 0).nonzero()[0] for row in rows[count == 2]]
    assert 0.1 < (count == 1).mean() < 0.4
    assert np.mean([ARKIT_MIRROR[pair[0]] == pair[1] for pair in pairs]) > 0.5
    assert (count >= 10).mean() > 0.3 and np.median(count[count > 2]) < 25
    lids = rows[:, [ARKIT.index(name) for name in BLINK]].min(1)
    assert ((lids > 0.95) & (count > 4)).mean() > 0.02 and ((lids > 0.3) & (lids < 0.9)).mean() > 0.02
    both = (rows[:, ARKIT.index("mouthFunnel")] > 0) & (rows[:, ARKIT.index("mouthPucker")] > 0)
    assert both.any()  # speech plays them together
    alone = rows[count == 1]
    assert ((alone > 0).sum(0) > 0)[MASK & (np.arange(52) != CLOSE)].all()  # mouthClose brings jawOpen along


def test_two_eyes_look_one_way():
    rows = draw_whole_faces(np.random.default_rng(1), 2000, MASK)
    look = {name: rows[:, ARKIT.index(name)] for name in ARKIT if name.startswith("eyeLook")}
    left, right = (look[f"eyeLook{way}"] - look[f"eyeLook{back}"] for way, back in
                   (("OutLeft", "InLeft"), ("InRight", "OutRight")))  # fmt: skip
    whole = (rows > 0).sum(1) > 8
    assert (np.abs(left) > 0.2)[whole].any() and np.quantile(np.abs(left - right)[whole], 0.99) < 0.2
    assert np.allclose(look["eyeLookUpLeft"][whole], look["eyeLookUpRight"][whole])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_possible_changes_nothing_twice(seed):
    once = possible(np.random.default_rng(seed).uniform(-0.5, 1.5, 52))
    assert np.array_equal(possible(once), once)


def test_poses_that_reading_is_tested_with_are_never_drawn():
    rows = draw_whole_faces(np.random.default_rng(2), 2000, np.ones(52, dtype=bool))
    for pose in poses().values():
        if (pose.weights > 0).sum() > 2:
            assert np.abs(rows - pose.weights).max(1).min() > 0.05, pose.name


def test_mixed_rows_are_sums_and_whole_faces_in_turn(toy):
    person = make_person(IdentityKey("ict", "train", 0, 7), toy, make_sheet(toy), 0.0)
    rows = person.expressions(200, "mixed")[1:]
    sums, faces = (rows[first::2] for first in (0, 1))
    assert ((sums > 0).sum(1) <= 5).all() and ((faces > 0).sum(1) > 8).mean() > 0.25
    brow, other = (rows[:, ARKIT.index(f"browDown{side}")] for side in ("Left", "Right"))
    one_sided = [(np.abs(brow - other) > 0.3)[first::2].sum() / (brow > 0.3)[first::2].sum() for first in (0, 1)]
    print("one-sided, of the rows with a lowered left brow:", one_sided)
    assert one_sided[0] > 1.5 * one_sided[1]


def test_a_store_of_whole_faces_says_so_and_leaves_the_neutral_row_alone(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "family", lambda name: (toy, make_sheet(toy)))
    small = {"identities": 1, "family": "ict", "expressions": 2, "hair": 0.0, "points": 256, "samples": 128}
    generate(SynthConfig(**small), tmp_path / "sums", False)
    generate(SynthConfig(drawing="faces", **small), tmp_path / "faces", False)
    headers = [json.loads((tmp_path / name / "store.json").read_text())["settings"] for name in ("sums", "faces")]
    assert "drawing" not in headers[0] and headers[1]["drawing"] == "faces"
    for name in ("points", "samples", "sdf"):
        arrays = [np.load(tmp_path / kind / "ict" / "ict-train-00000" / f"{name}.npy") for kind in ("sums", "faces")]
        assert np.array_equal(arrays[0][0], arrays[1][0])
