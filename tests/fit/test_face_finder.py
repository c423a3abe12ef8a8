"""The face finder: right in any rotation and unit, on a face alone, silent or doubtful where there is no face."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from scipy.spatial.transform import Rotation

from headfield.fit.face_finder import propose
from headfield.fit.gate import FACE_PARTS
from headfield.frames import reference_anchors
from headfield.io.scan import read_scan
from headfield.types import Similarity

TRUTH = Similarity.from_matrix(
    np.array(
        [
            [-0.002732, 0.002245, 0.000524, 1.353077],
            [0.000264, -0.000502, 0.00353, -1.238655],
            [0.00229, 0.002737, 0.000217, -2.057687],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
)
"""Where the bundled scan's head is, as `examples/data/make_scan.py` prints it."""

FACE = reference_anchors()[FACE_PARTS]


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    return read_scan(Path(__file__).parents[2] / "examples" / "data" / "scan.ply").points


def misses(found: Similarity, truth: Similarity) -> tuple[float, float]:
    """Mean distance on the face, mm of an adult, and degrees."""
    there = found.apply(truth.inverse().apply(FACE))
    cosine = (np.trace(found.rotation @ truth.rotation.T) - 1) / 2
    return float(np.linalg.norm(there - FACE, axis=1).mean() * 250), float(np.degrees(np.arccos(min(1.0, cosine))))


@pytest.mark.parametrize("turn, scale", [((0, 0, 0), 1.0), ((170, 20, -60), 0.001), ((-40, 110, 15), 1 / 25.4)])
def test_the_bundled_scan_is_found_in_any_rotation_and_unit(scan, turn, scale):
    moved = Similarity(Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), np.array([3.0, -7.0, 2.0]), scale)
    best = propose(moved.apply(scan))[0]
    gap, angle = misses(best.similarity, TRUTH.after(moved.inverse()))
    assert gap < 10.0 and angle < 10.0
    assert best.confidence > 0.5


def test_a_face_alone_among_strays_is_found(scan):
    rng = np.random.default_rng(0)
    placed = TRUTH.apply(scan)
    face = scan[(placed[:, 2] > 0.0) & (np.abs(placed[:, 0]) < 0.26) & (np.abs(placed[:, 1] + 0.02) < 0.38)]
    face = face[rng.permutation(len(face))[:2000]]
    low, high = face.min(0) - 60.0, face.max(0) + 60.0
    turn = Similarity(Rotation.from_euler("xyz", (100, -80, 30), degrees=True).as_matrix())
    found = propose(turn.apply(np.concatenate([face, rng.uniform(low, high, (600, 3))])))
    gap, angle = min(misses(proposal.similarity, TRUTH.after(turn.inverse())) for proposal in found)
    assert gap < 12.0 and angle < 12.0


def test_proposals_differ_and_come_best_first(scan):
    found = propose(scan[::10])
    assert len(found) <= 5
    confidence = [proposal.confidence for proposal in found]
    assert confidence == sorted(confidence, reverse=True) and 0 <= confidence[-1] <= confidence[0] <= 1
    for index, first in enumerate(found):
        for second in found[:index]:
            gap, angle = misses(second.similarity, first.similarity)
            assert gap > 19.0 or angle > 14.0
    again = propose(scan[::10])
    assert [proposal.confidence for proposal in again] == confidence


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1.3, 0.8)])
def test_a_ball_has_no_face(shape):
    directions = np.random.default_rng(0).standard_normal((20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert all(proposal.confidence < 0.35 for proposal in propose(100.0 * directions * shape))


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        np.ones((5000, 3)),
        np.full((5000, 3), np.nan),
        np.random.default_rng(0).random((50, 3)),
        np.linspace(0, 1, 5000)[:, None] * np.ones(3),
    ],
    ids=["none", "one place", "nan", "few", "a line"],
)
def test_degenerate_clouds_give_no_proposals(points):
    assert propose(points) == []


def test_the_weights_are_safetensors_small_and_finite():
    path = files("headfield.fit").joinpath("face_finder.safetensors")
    assert Path(str(path)).stat().st_size < 2_000_000
    with safe_open(str(path), framework="np") as content:
        assert "people" in content.metadata()["training"]
        for name in content.keys():
            assert np.isfinite(content.get_tensor(name)).all(), name
