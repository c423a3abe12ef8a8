"""What no quadric explains may be a head; balls, eggs, tubes and planes are not."""

import numpy as np
import pytest

from headfield import frames
from headfield.fit.evidence import LIMITS, quadric_relief

RNG = np.random.default_rng(0)
UNIT = RNG.standard_normal((2000, 3))
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)
NOISE = 0.5 * RNG.standard_normal((2000, 3))


@pytest.mark.parametrize(
    "points",
    [
        100 * UNIT,
        UNIT * [70, 110, 95] + [30, -500, 4],
        np.c_[80 * UNIT[:, :2] / np.linalg.norm(UNIT[:, :2], axis=1, keepdims=True), 200 * RNG.random(2000)],
        np.c_[300 * RNG.random((2000, 2)), np.zeros(2000)],
    ],
    ids=["ball", "egg", "tube", "plane"],
)
def test_quadrics_have_no_relief(points):
    assert quadric_relief(points) < 0.5
    assert quadric_relief(points + NOISE) < LIMITS["relief_mm"]


def test_relief_is_in_the_points_unit_and_survives_strays():
    bumpy = 100 * UNIT * (1 + 0.1 * np.sin(8 * UNIT[:, :1]))
    relief = quadric_relief(bumpy)
    assert relief > LIMITS["relief_mm"]
    assert quadric_relief(bumpy / 250) == pytest.approx(relief / 250, rel=1e-6)
    ball = 100 * UNIT.copy()
    ball[:60] *= 1.5
    assert quadric_relief(ball) < 0.5


def test_a_face_has_relief():
    assert quadric_relief(250 * frames.reference_anchors()) > 2 * LIMITS["relief_mm"]
