"""Names of regions."""

import numpy as np
import pytest

from headfield.edit.regions import parts_of, region_names
from headfield.errors import ConfigError
from headfield.frames import ANCHOR_NAMES, MIRROR_PART, REGIONS


def test_every_region_is_its_anchors():
    for name, anchors in REGIONS.items():
        assert [ANCHOR_NAMES[part] for part in parts_of(name)] == sorted(anchors, key=ANCHOR_NAMES.index)


@pytest.mark.parametrize("pair", ["eyes", "ears", "brows", "cheeks", "temples"])
def test_pairs_are_closed_under_mirroring_and_sides_are_not(pair):
    both, left = parts_of(pair), parts_of(f"left {pair[:-1]}")
    assert set(MIRROR_PART[both]) == set(both) and set(left) < set(both)
    assert not set(MIRROR_PART[left]) & set(left)


def test_several_names_and_spellings():
    assert region_names(["Left Eye", "nose", "left_eye", "eyes"]) == ("left_eye", "nose", "right_eye")
    np.testing.assert_array_equal(parts_of("jaw ".strip()), parts_of(["jaw"]))
    together = parts_of(["scalp", "forehead"])  # both hold the top of the forehead
    assert len(together) == len(set(together)) == 5 and (np.diff(together) > 0).all()


@pytest.mark.parametrize("word, advice", [("noze", "nose"), ("eye", "eyes"), ("left_eer", "left_ear"), ("xx", "chin")])
def test_unknown_names_get_advice(word, advice):
    with pytest.raises(ConfigError, match=f"{word}.*{advice}"):
        parts_of(["nose", word])


def test_no_name_at_all():
    with pytest.raises(ConfigError, match="no region"):
        parts_of([])
