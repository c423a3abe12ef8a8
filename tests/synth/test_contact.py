"""What lips and lids cannot do is found and taken back; the rest is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.synth.contact import FOLDING, STEPS, ContactTest
from headfield.synth.identities import IdentityKey
from headfield.synth.lips import lids_of, lips_of
from headfield.synth.person import family, make_person
from headfield.synth.whole_faces import draw_whole_faces
from headfield.types import ARKIT

JAW = ARKIT.index("jawOpen")


@pytest.fixture(scope="module", params=["ict", "anny"])
def person(request):
    if request.param == "ict":
        request.getfixturevalue("ict")
    else:
        pytest.importorskip("anny", reason="anny's heads need the extra synth")
    head, sheet = family(request.param)
    return make_person(IdentityKey(request.param, "train", 1, 0), head, sheet, 0.0, "v2")


def row(**channels):
    return np.array([channels.get(name, 0.0) for name in ARKIT], dtype=np.float32)


def test_parts_lie_on_both_sides_of_their_line(person):
    """Upper parts lie above lower ones, share no triangle, and reach as far to the sides."""
    skin = person.resting
    for pair in (lips_of(person.head, person.sheet), *lids_of(person.head, person.sheet)):
        upper, lower = (skin[part].mean(1) for part in (pair.upper, pair.lower))
        assert not set(map(tuple, pair.upper)) & set(map(tuple, pair.lower))
        assert upper[:, 1].mean() > lower[:, 1].mean()
        assert np.abs(np.ptp(upper[:, 0]) / np.ptp(lower[:, 0]) - 1.0) < 0.2


def test_rest_and_an_open_jaw_pass_and_pulled_lips_do_not(person):
    """The lower lip, lifted as a whole until it stands in the upper one, is found; so is nothing at rest."""
    jaw = row(jawOpen=1.0)
    still = person.without_contact(np.stack([0 * jaw, jaw]))
    assert still.why == ["", ""] and np.array_equal(still.rows, np.stack([0 * jaw, jaw]))
    skin, triangles = person.gazing(None), person.sheet.triangles
    test = ContactTest(skin, triangles, person.lips, ())
    found = []
    for lift in (0.0, 0.004, 0.008, 0.012):  # to 3 mm
        moved = skin.copy()
        moved[np.setdiff1d(person.lips.lower, person.lips.upper)] += [0.0, lift, 0.0]
        found.append(test.measured(moved)["lips"])
    print("mm found after a lift by 0, 1, 2, 3 mm:", np.round(found, 2))
    assert (np.diff(found) >= -1e-9).all() and found[-1] > found[0] + 1.0 and test.failures(skin) == []


def test_what_is_taken_back_passes_and_the_rest_is_untouched(person):
    rolled = row(mouthPucker=1.0, mouthRollUpper=1.0, mouthRollLower=1.0)
    pressed = row(jawOpen=0.4, mouthClose=0.4, mouthShrugUpper=1.0, mouthPressLeft=1.0, mouthPressRight=1.0)
    drawn = np.stack([rolled, row(mouthSmileLeft=0.3), pressed])
    tested = person.without_contact(drawn)
    print(list(zip(tested.why, tested.factors)))
    assert tested.factors[1] == 1.0 and tested.factors.min() < 1.0
    folding = np.isin(np.arange(len(ARKIT)), FOLDING)
    for before, after, factor, why in zip(drawn, tested.rows, tested.factors, tested.why):
        assert (after <= before).all() and after[JAW] == before[JAW]
        if not why:
            assert np.array_equal(after, before) and factor == 1.0
        elif after[~folding].sum() == before[~folding].sum():
            assert np.allclose(after[folding], before[folding] * factor) and (factor * 2**STEPS) % 1 == 0
    assert person.without_contact(tested.rows).why == [""] * len(drawn)


def test_rows_repeat_and_the_first_two_are_fixed(person):
    first = person.expressions(5, "faces")
    again = person.expressions(5, "faces")
    assert np.array_equal(first, again) and first.dtype == np.float32
    assert not first[0].any() and np.array_equal(first[1], row(jawOpen=1.0))
    drawn = draw_whole_faces(person.key.rng("expressions"), 5, np.asarray(person.head.expression_mask))
    kept = person.attenuated == 1.0
    assert len(person.attenuated) == 4 and np.array_equal(first[2:][kept], drawn[1:][kept])
    assert (first[2:] <= drawn[1:]).all()
