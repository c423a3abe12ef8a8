"""Places over the scalp that a scan has seen to be empty."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from headfield.fit.empty_space import AIR_SLACK, CLEAR, HEIGHTS, SCALP_PARTS, SeenAir, empty_places, outermost
from headfield.fit.normal_equations import MARGIN, ViewState, linearise
from headfield.models.release import load
from headfield.surface.head import Head
from headfield.surface.nearest import Target, sample_surface
from headfield.types import Similarity


@pytest.fixture(scope="module")
def model():
    return load("imhead-open-small")


@pytest.fixture(scope="module")
def bald(model):
    return Head(model, model.mean_codes(list(model.prior.names).index("bald"))).mesh(96)


@pytest.fixture(scope="module")
def anchors(model):
    return model.anchors(model.mean_codes(list(model.prior.names).index("bald")))[0].double().numpy()


@pytest.fixture(scope="module")
def cloud(bald):
    return sample_surface(bald, 20_000, np.random.default_rng(0)).points


def test_places_lie_outside_the_head_over_the_scalp(bald, cloud, anchors):
    places = empty_places(cloud, Similarity(), anchors)
    assert len(places) > 300
    away = Target(bald).closest(places)[0]
    assert away.min() > CLEAR * min(HEIGHTS) * 0.99
    feet = Target(bald).closest(places)[1]
    assert ((places - feet.points) * feet.normals).sum(1).min() > 0  # outside
    assert places[:, 1].min() > -0.2  # none over neck and shoulders
    assert (places[:, 2] < 0.35).all()  # none before the face


def test_places_follow_the_scan_frame(cloud, anchors):
    frame = Similarity(np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), np.array([3.0, -2, 5]), 80.0)
    here, there = empty_places(cloud, Similarity(), anchors), empty_places(frame.apply(cloud), frame.inverse(), anchors)
    np.testing.assert_allclose(frame.apply(here), there, atol=1e-6)


def test_the_scalp_is_where_the_anchors_say(cloud, anchors):
    low, bald = anchors.copy(), anchors[SCALP_PARTS]
    low[SCALP_PARTS] = bald - [0.0, 3.0, 0.0]  # of a head whose scalp is not among these points
    assert len(empty_places(cloud, Similarity(), anchors)) and not len(empty_places(cloud, Similarity(), low))


def test_what_was_scanned_there_is_not_empty(cloud, anchors):
    rng = np.random.default_rng(1)
    ball = rng.standard_normal((6000, 3))
    centre = np.array([0.0, 0.35, -0.66])
    ball = ball[ball @ (centre - [0, 0.1, -0.15]) > 0]  # its outer half
    ball = centre + 0.12 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    cloud = cloud[np.linalg.norm(cloud - centre, axis=1) > 0.12]  # the scalp under it is not seen
    with_bun = empty_places(np.concatenate([cloud, ball]), Similarity(), anchors)
    assert not (np.linalg.norm(with_bun - centre, axis=1) < 0.09).any()


def test_a_face_alone_says_nothing(cloud, anchors):
    face = cloud[(cloud[:, 2] > 0.2) & (np.abs(cloud[:, 1]) < 0.2)]
    assert len(empty_places(face, Similarity(), anchors)) == 0
    assert len(empty_places(cloud[:3], Similarity(), anchors)) == 0


def test_seen_air_begins_a_little_above_the_scan(bald, cloud, anchors):
    air = SeenAir(cloud, anchors)
    base, out = outermost(cloud, anchors, 0.012)
    for height in (0.0, 0.05, 0.2):
        value, gradient = air.value_and_gradient(base + height * out)
        assert np.median(np.abs(value - (height - AIR_SLACK))) < 0.002
        assert np.median((gradient * out).sum(1)) > 0.9
    assert (air.value_and_gradient(cloud)[0] < 0).mean() > 0.999  # what was seen is not cut off
    chin = np.array([[0.0, -0.45, 0.3]])
    assert air.value_and_gradient(chin)[0] < 0  # nor what says nothing
    assert not SeenAir(np.zeros((0, 3)), anchors)


def test_seen_air_has_the_gradient_it_says(cloud, anchors):
    air = SeenAir(cloud, anchors)
    points = np.random.default_rng(2).uniform([-0.4, 0.1, -0.8], [0.4, 0.8, 0.2], (400, 3))
    value, gradient = air.value_and_gradient(points)
    step = 1e-5
    steps = step * np.eye(3)
    ahead, behind = ([air.value_and_gradient(points + sign * one)[0] for one in steps] for sign in (1, -1))
    measured = (np.stack(ahead, 1) - np.stack(behind, 1)) / (2 * step)
    right = np.abs(measured - gradient).max(axis=1) < 1e-4  # not where another point becomes the nearest
    assert right.mean() > 0.98
    assert np.linalg.norm(gradient, axis=1).max() < 2  # SLACK of the extraction


def test_only_places_inside_the_model_speak(model, cloud):
    identity = np.zeros(int(model.config.identity))
    state = ViewState(Similarity(), None)
    out, into = np.array([[0.0, 0.3, -0.9]]), np.array([[0.05, 0.3, -0.3], [-0.1, 0.25, -0.2]])
    line = linearise(model, identity, state, cloud[:50], None, np.concatenate([out, into]))
    alone = linearise(model, identity, state, np.concatenate([cloud[:50], into]))
    np.testing.assert_allclose(line.residual, alone.residual[:50], atol=1e-6)
    np.testing.assert_allclose(line.inside.residual, alone.residual[50:] - MARGIN, atol=1e-6)
    np.testing.assert_allclose(line.inside.jacobian, alone.jacobian[50:], atol=1e-5)
    assert linearise(model, identity, state, cloud[:50], None, out).inside is None


def test_no_hair_grows_where_the_scan_shows_none(model, monkeypatch):
    """A receding head on which the points alone let tufts grow, when its strays are left in."""
    from headfield.evaluate.truth import frozen_person
    from headfield.fit.run import fit
    from headfield.synth.scanner import HeadTruth, ScanOptions, scan_head

    person = frozen_person("anny", "dev", 21, "all")
    rng = np.random.default_rng([*person.key.rng("scan").integers(0, 2**31, 2), 77])
    scan, _ = scan_head(HeadTruth.of_person(person), "full", rng, ScanOptions(points=60_000))

    monkeypatch.setattr("headfield.fit.placing.without_strays", lambda points: np.ones(len(points), dtype=bool))

    def grown(found) -> float:
        """Share of the skull's surface more than 7 mm from the scan."""
        mesh = found.mesh(96, model_frame=True)
        top = mesh.vertices[mesh.vertices[:, 1] > 0.1]
        return float((cKDTree(found.scans[0].placement.apply(scan.points)).query(top)[0] > 0.03).mean())

    seen = grown(fit(scan, model, expression="neutral"))
    blind = np.zeros((0, 3))
    monkeypatch.setattr("headfield.fit.run.empty_places", lambda *given, **named: blind)
    unseen = grown(fit(scan, model, expression="neutral"))
    print(f"hair where there is none: {seen:.2%} of the skull; without the empty places {unseen:.2%}")
    assert seen < 0.01 and seen < 0.5 * unseen
