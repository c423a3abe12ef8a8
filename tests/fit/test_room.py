"""``headfield.fit(...)``: the room is callable, with the finder of faces that is installed."""

import pytest

import headfield
from headfield.fit.options import FitOptions


@pytest.fixture
def asked(monkeypatch):
    """The keyword arguments that reach the fit."""
    seen = []
    monkeypatch.setattr(
        "headfield.fit.run.fit", lambda scan, model, options, **changes: seen.append((options, changes))
    )
    monkeypatch.setattr("headfield.fit.pictures.align.face_finder", lambda: "the finder")
    return seen


def test_options_do_not_switch_the_face_finder_off(asked):
    headfield.fit("scan.ply")
    headfield.fit("scan.ply", options=FitOptions(units="mm"))
    headfield.fit("scan.ply", "imhead-open-small", FitOptions(units="mm"))
    headfield.fit("scan.ply", units="mm")
    assert [changes["face"] for _, changes in asked] == ["the finder"] * 4


def test_a_finder_of_one_s_own_and_none_at_all_are_kept(asked):
    headfield.fit("scan.ply", options=FitOptions(face=print))
    headfield.fit("scan.ply", face=None)
    headfield.fit("scan.ply", options=FitOptions(face=print), face=None)
    assert "face" not in asked[0][1] and asked[0][0].face is print
    assert asked[1][1]["face"] is None and asked[2][1]["face"] is None
