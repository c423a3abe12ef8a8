"""Which component of the prior a head's hair belongs to: an explicit table that refuses what it does not know."""

from __future__ import annotations

import pytest

from headfield.errors import StoreError
from headfield.models.prior import BARE, BEARD
from headfield.synth.hairstyle import CLASSES_V2, OVERLAID
from headfield.train.release import COMPONENTS, hair_class


def test_every_class_has_a_component_and_there_are_few():
    assert set(CLASSES_V2) <= set(COMPONENTS)
    found = {hair_class(name, "none") for name in CLASSES_V2}
    assert found == {BARE, "short", "long"}
    assert {hair_class(name, "full") for name in CLASSES_V2} == {BEARD}
    assert [name for name in CLASSES_V2 if hair_class(name, "none") == BARE] == ["bald"]
    assert all(hair_class(name, "none") == "short" for name in OVERLAID)


@pytest.mark.parametrize("beard", ["none", "full"])
def test_an_unknown_class_is_refused(beard):
    with pytest.raises(StoreError, match="mohawk.*known are bald"):
        hair_class("mohawk", beard)
