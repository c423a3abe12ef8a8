"""Reading expressions: what a head of the model plays is found again, what is said to be neutral stays so."""

import numpy as np
import pytest

from headfield.expressions import arkit_space, plain_space
from headfield.fit.expression import sparse_minimum
from headfield.fit.eyes_seen import EyesSeen, eyes_seen
from headfield.fit.normal_equations import Cloud, codes_of
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement, size_log_of
from headfield.fit.problem import Problem, SolverOptions, View
from headfield.fit.run import fit_placed, movable
from headfield.frames import reference_anchors
from headfield.models.prior import Gaussian
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import sample_surface
from headfield.types import ARKIT, Scan, Similarity

PLAYED = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}


@pytest.fixture(scope="module")
def model():
    return load("imhead-open-small")


def scan_of(model, played: dict[str, float]) -> tuple[Scan, Placement]:
    """A scan in mm of a bald head of the model with an expression, and where it is."""
    component = model.prior.names.index("bald")
    identity = model.prior.draw(1, np.random.default_rng(3), 0.6, component)[0]
    expression = np.array([played.get(name, 0.0) for name in ARKIT])
    mesh = mesh_of(model, codes_of(model, identity, expression), 160)
    # as dense as scans are: in a third of these points lids that are shut are too smooth to be seen
    points = 250.0 * sample_surface(mesh, 60_000, np.random.default_rng(4)).points
    similarity = Similarity(scale=1 / 250.0)
    return Scan(points, name="played", units="mm"), Placement(similarity, "mm", size_log_of(1 / 250.0, "mm"), 0.0)


@pytest.fixture(scope="module")
def smiling(model):
    """A head that smiles with its eyes shut."""
    return scan_of(model, PLAYED)


@pytest.fixture(scope="module")
def read(model, smiling):
    scan, placement = smiling
    return fit_placed([scan], [placement], model, FitOptions(refuse=False)).expression


def test_what_is_played_is_read_on_both_sides(read):
    for name, weight in PLAYED.items():
        assert read[ARKIT.index(name)] >= 0.5 * weight, (name, read[ARKIT.index(name)])
    for name in ("mouthSmile", "eyeBlink"):
        assert abs(read[ARKIT.index(name + "Left")] - read[ARKIT.index(name + "Right")]) < 0.2
    print("false", sum(weight for name, weight in zip(ARKIT, read) if name not in PLAYED))


def test_a_face_said_to_be_neutral_moves_only_its_lids_and_eyes(model, smiling):
    blinking = scan_of(model, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    space, options = arkit_space(), FitOptions(refuse=False, neutral=(0,))
    for scan, placement in (smiling, blinking):
        found = fit_placed([scan], [placement], model, options).expression
        assert not found[~(space.mask("blink") | space.mask("gaze"))].any()
    print("shut eyes of a still face are read as", found[space.mask("blink")])
    assert (found[space.mask("blink")] > 0.6).all()


@pytest.mark.parametrize("neutral", [False, True])
def test_only_what_is_seen_of_the_eyes_is_read(neutral):
    space = arkit_space()
    blink, gaze = space.mask("blink"), space.mask("gaze")
    for seen in (EyesSeen(), EyesSeen(True), EyesSeen(True, True)):
        free = movable(space, seen, neutral)
        assert free[blink].all() == free[blink].any() == seen.lids
        assert free[gaze].all() == free[gaze].any() == seen.gaze
        assert free[~blink & ~gaze].all() == (not neutral)
    assert movable(plain_space(3), EyesSeen(), False).all()


def test_smooth_sockets_show_no_eyes(smiling):
    """A ball about the eyes shows neither lids nor gaze; the model's head shows lids."""
    scan, placement = smiling
    anchors = reference_anchors()
    directions = np.random.default_rng(5).standard_normal((60_000, 3))
    ball = 0.4 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    ball += np.array([0.0, 0.08, 0.13 - 0.4])
    assert eyes_seen(ball, anchors, 250.0) == EyesSeen(False, False)
    assert eyes_seen(placement.similarity.apply(scan.points), anchors, 250.0).lids
    assert eyes_seen(np.zeros((0, 3)), anchors, 250.0) == EyesSeen(False, False)


def test_channels_go_that_are_not_worth_their_presence(stub):
    """The quadratic's own minimum is kept where every channel is worth its price, and rest where none is."""
    view = View(Cloud.of(np.random.default_rng(6).standard_normal((200, 3)) * 0.2), Similarity(), 0.0)
    problem = Problem(stub, [view], Gaussian.of(np.zeros(stub.config.identity)), SolverOptions())
    truth, free = np.array([0.8, 0.0, 0.3]), np.ones(3, dtype=bool)
    for strength, kept in ((1e4, [True, False, True]), (1e2, [True, False, False]), (1.0, [False, False, False])):
        hessian = strength * np.eye(3)
        found = sparse_minimum(problem, hessian, -hessian @ truth, np.zeros(3), free, 10.0)
        assert (found > 1e-3).tolist() == kept
    held = sparse_minimum(problem, 1e4 * np.eye(3), -1e4 * truth, np.zeros(3), np.array([False, True, True]), 10.0)
    assert held[0] == 0.0 and held[2] > 0.25
