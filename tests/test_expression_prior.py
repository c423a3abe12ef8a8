"""What faces play together: laws of the prior over the 52 ARKit weights."""

import numpy as np
import pytest

from headfield.expressions import OPPOSED, arkit_space, plain_space, space_named
from headfield.types import ARKIT


@pytest.fixture(scope="module")
def space():
    return arkit_space()


def _weights(**named):
    e = np.zeros(len(ARKIT))
    for name, value in named.items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in ARKIT:
                e[ARKIT.index(full)] = value
    return e


def test_the_quadratic_touches_the_cost(space):
    """Its slope is the cost's, by central differences, and no step that it promises raises the heavy-tailed terms."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        e = 0.4 * rng.random(len(space))
        hessian, linear = space.prior.quadratic(e)
        step = 1e-5 * np.eye(len(space))
        slope = [(space.prior.cost(e + row) - space.prior.cost(e - row)) / 2e-5 for row in step]
        assert np.allclose(hessian @ e + linear, slope, atol=1e-4 * np.abs(slope).max())


def test_a_face_costs_what_its_mirror_image_costs(space):
    rng = np.random.default_rng(1)
    e = rng.random(len(space)) * (rng.random(len(space)) < 0.3)
    assert space.prior.cost(e[space.mirror]) == pytest.approx(space.prior.cost(e), rel=1e-9)
    assert (space.mirror[space.mirror] == np.arange(len(space))).all()


def test_rest_costs_nothing_and_everything_else_something(space):
    assert space.prior.cost(space.rest) == 0.0
    for k in range(len(space)):
        assert space.prior.cost(0.5 * np.eye(len(space))[k]) > 1.0


def test_what_faces_do_is_cheaper_than_what_they_do_not(space):
    cost = space.prior.cost
    smile = _weights(mouthSmile=0.8)
    one_sided = _weights(mouthSmileLeft=0.8)
    assert cost(smile) < cost(one_sided)
    # between both sides and one side lies what no face does: the peak is sharp, its tail heavy
    lopsided = [cost(_weights(eyeBlinkLeft=0.8, eyeBlinkRight=0.8 - d)) for d in (0.0, 0.2, 0.4, 0.6)]
    rises = np.diff(lopsided)
    assert rises[0] > 2.0 * rises[2] > 0
    # in concert: brows rise together, the lower lip goes with the jaw
    assert cost(_weights(browInnerUp=0.6, browOuterUp=0.6)) < cost(_weights(browInnerUp=0.6, cheekPuff=0.6))
    # intensity is shared: one more channel costs less in a face that laughs than in one at rest
    laugh = _weights(mouthSmile=0.9, cheekSquint=0.7, jawOpen=0.5)
    more = _weights(mouthUpperUp=0.3)
    assert cost(laugh + more) - cost(laugh) < cost(more)


def _alone(name):
    """A channel at a half with what always goes with it: both eyes look one way."""
    if not name.startswith("eyeLook"):
        return _weights(**{name: 0.5})
    side, other = ("Left", "Right") if name.endswith("Left") else ("Right", "Left")
    way = name.removesuffix(side)
    turned = {"eyeLookIn": "eyeLookOut", "eyeLookOut": "eyeLookIn"}.get(way, way)
    return _weights(**{name: 0.5, turned + other: 0.5})


@pytest.mark.parametrize(("one", "other"), OPPOSED)
def test_opposed_channels_are_one_value(space, one, other):
    """Both at once cost more than the two of them apart."""
    both = _alone(one) + _alone(other)
    assert space.prior.cost(both) > 1.2 * (space.prior.cost(_alone(one)) + space.prior.cost(_alone(other)))


def test_two_eyes_look_one_way(space):
    aside = _weights(eyeLookOutLeft=0.5, eyeLookInRight=0.5)
    squint = _weights(eyeLookInLeft=0.5, eyeLookInRight=0.5)
    assert space.prior.cost(aside) + 10.0 < space.prior.cost(squint)
    assert space.mask("gaze").sum() == 8 and space.mask("blink").sum() == 2 and not space.mask("ears").any()


def test_a_mouth_closes_as_far_as_the_jaw_is_open(space):
    jaw = _weights(jawOpen=0.4)
    assert space.prior.cost(jaw + _weights(mouthClose=0.6)) > space.prior.cost(jaw + _weights(mouthClose=0.4)) + 5.0


def test_draws_are_faces(space):
    """As many channels as faces play (recordings: 6, 10, 18 above 0.1), both sides alike, nothing against itself."""
    rng = np.random.default_rng(2)
    drawn = np.array([space.draw(rng) for _ in range(600)])
    count = (drawn > 0.1).sum(1)
    assert (drawn >= 0).all() and (drawn <= 1).all()
    assert 5 <= np.median(count) <= 15 and np.quantile(count, 0.9) <= 30
    for one, other in OPPOSED:
        assert not (drawn[:, ARKIT.index(one)] * drawn[:, ARKIT.index(other)]).any()
    left, right = drawn[:, ARKIT.index("mouthSmileLeft")], drawn[:, ARKIT.index("mouthSmileRight")]
    assert np.median(np.abs(left - right)[left > 0.2]) < 0.1
    apart = np.array([_side(e, "Left") - _side(e, "Right") for e in drawn])
    print(f"vergence of drawn eyes: p95 {np.quantile(np.abs(apart), 0.95):.2f}")
    assert np.quantile(np.abs(apart), 0.95) < 0.4
    assert np.array_equal(space.draw(np.random.default_rng(3)), space.draw(np.random.default_rng(3)))


def _side(e, side):
    """How far an eye turns to the subject's left."""
    out, inward = (e[ARKIT.index(f"eyeLook{way}{side}")] for way in ("Out", "In"))
    return out - inward if side == "Left" else inward - out


def test_relaxing_leaves_what_holds_numbers_together(space):
    relaxed = space.prior.relaxed(0.0)
    assert relaxed.cost(_weights(mouthSmile=0.8)) == 0.0
    assert relaxed.cost(_weights(mouthSmileLeft=0.8)) > 0


def test_numbers_of_which_nothing_is_known():
    space = plain_space(3)
    assert len(space) == 3 and not space.speaks_arkit and arkit_space().speaks_arkit
    assert space.prior.cost(np.array([0.5, 0.0, 0.0])) > 0 and len(space.prior.units()) == 3


def test_other_spaces_have_their_own_names_bounds_and_draws():
    flame, learned = space_named("flame", 53), space_named("learned", 8)
    assert flame.names[0] == "expr_0" and flame.names[-3:] == ("jaw_0", "jaw_1", "jaw_2") and len(flame) == 53
    assert learned.kind == "learned" and len(learned) == 8 and not (flame.speaks_arkit or learned.speaks_arkit)
    rng = np.random.default_rng(0)
    for space in (flame, learned):
        drawn = np.array([space.draw(rng, 1.0) for _ in range(400)])
        assert (drawn >= space.lower).all() and (drawn <= space.upper).all()
        assert (drawn.min(0) < 0).all() and (drawn.max(0) > 0).all()
        assert (space.mirror[space.mirror] == np.arange(len(space))).all() and not space.mask("gaze").any()
        assert space.prior.cost(np.zeros(len(space))) == 0.0 < space.prior.cost(drawn[0])
    assert np.abs(np.array([flame.draw(rng, 1.0)[-2:] for _ in range(400)])).std() < 0.1  # jaws hardly go sideways
