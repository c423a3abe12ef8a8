"""Lengths in words."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.frames import length_text
from headfield.io.raw import RawGeometry
from headfield.io.scan import clean


@pytest.mark.parametrize(
    ("metres", "text"),
    [(0.213, "213 mm"), (1.8, "1.8 m"), (0.9996, "1 m"), (256.4, "256 m"), (999.6, "1 km"), (2.564e5, "256 km"),
     (6e-7, "less than 1 mm"), (1e300, "over a million km")],
)  # fmt: skip
def test_lengths_are_read_without_exponents(metres, text):
    assert length_text(metres) == text


def test_a_giant_in_a_format_with_a_unit_is_told_plainly():
    points = np.random.default_rng(0).standard_normal((500, 3)) * 2e4
    scan = clean(RawGeometry(points, units="m"), "giant.glb")
    assert scan.units is None and " km large" in scan.notes[-1] and "e+" not in scan.notes[-1]
