"""Eyeballs turn about their own centres, all of a piece, and lids stay outside of them."""

import numpy as np
import pytest
from trimesh.creation import icosphere

from headfield.frames import GAZE_PITCH, GAZE_RADIANS
from headfield.synth.gaze import direction_of, eyes_of, turn_of, with_gaze
from headfield.types import ARKIT, ARKIT_MIRROR

CENTRES = {"Left": np.array([0.12, 0.08, 0.07]), "Right": np.array([-0.12, 0.08, 0.07])}
RADIUS = 0.05


def weights(**channels):
    return np.array([channels.get(name, 0.0) for name in ARKIT])


@pytest.fixture(scope="module")
def toy():
    """A ball for a head, and two eyeballs before it."""
    head, ball = icosphere(subdivisions=4, radius=0.4), icosphere(subdivisions=3, radius=RADIUS)
    vertices, triangles = [np.array(head.vertices) + [0, 0, -0.34]], [np.array(head.faces)]
    for centre in CENTRES.values():
        triangles.append(np.array(ball.faces) + sum(map(len, vertices)))
        vertices.append(np.array(ball.vertices) + centre)
    return np.concatenate(vertices), np.concatenate(triangles).astype(np.int64)


def test_eyes_are_found_where_they_are(toy):
    eyes = {eye.side: eye for eye in eyes_of(*toy)}
    assert set(eyes) == {"Left", "Right"}
    for side, eye in eyes.items():
        assert np.allclose(eye.centre, CENTRES[side], atol=1e-3) and eye.radius == pytest.approx(RADIUS, rel=0.02)


@pytest.mark.parametrize(
    "channel, axis, sign, share",
    [("eyeLookOutLeft", 0, 1, 1.0), ("eyeLookInLeft", 0, -1, 1.0), ("eyeLookUpLeft", 1, 1, GAZE_PITCH)],
)
def test_a_unit_of_gaze_turns_one_eye_rigidly_about_its_centre(toy, channel, axis, sign, share):
    vertices, triangles = toy
    rest = with_gaze(vertices, vertices, triangles, weights())
    turned = with_gaze(vertices, vertices, triangles, weights(**{channel: 1.0}))
    left, right = eyes_of(vertices, triangles)
    before, after = rest[left.vertices] - left.centre, turned[left.vertices] - left.centre
    rotation = np.linalg.lstsq(before, after, rcond=None)[0].T
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert np.allclose(before @ rotation.T, after, atol=1e-9)
    angle = np.arccos((np.trace(rotation) - 1) / 2)
    assert np.degrees(angle) == pytest.approx(28.0 * share, abs=1e-6)
    assert sign * (rotation @ [0, 0, 1])[axis] > 0
    assert np.array_equal(turned[right.vertices], rest[right.vertices])


def test_flat_eyeballs_get_a_cornea_and_keep_it_when_they_turn(toy):
    vertices, triangles = toy
    out = with_gaze(vertices, vertices, triangles, weights(eyeLookOutLeft=1.0))
    left = eyes_of(vertices, triangles)[0]
    away = out[left.vertices] - left.centre
    reach = np.linalg.norm(away, axis=1)
    highest = away[reach.argmax()] / reach.max()
    assert reach.max() - RADIUS > 0.003
    cosine = highest @ direction_of("Left", weights(eyeLookOutLeft=1.0))
    assert np.degrees(np.arccos(min(cosine, 1.0))) < 6


def test_looking_is_mirrored():
    rng = np.random.default_rng(0)
    expression = rng.random(len(ARKIT))
    mirrored = expression[ARKIT_MIRROR]
    left, right = direction_of("Left", expression), direction_of("Right", mirrored)
    assert np.allclose(left * [-1, 1, 1], right)


def test_the_exporter_turns_by_the_same_angles():
    from headfield.io.gltf_animation import _gaze

    expression = weights(eyeLookOutRight=0.7, eyeLookDownRight=0.4)
    assert np.allclose(np.abs(_gaze(expression[None], "Right", None)[0] @ turn_of("Right", expression).as_quat()), 1)
    assert GAZE_RADIANS == pytest.approx(np.radians(28))


def test_a_cornea_does_not_come_through_closed_lids(ict):
    from headfield.parametric.normalise import normalising_similarity
    from headfield.synth.occlusion import Occluder

    raw = ict.raw_vertices(ict.mean_identity())
    place = normalising_similarity(ict.anchors(raw))
    neutral = place.apply(raw)

    def eyeball_shows(expression):
        posed = place.apply(ict.raw_vertices(ict.mean_identity(), expression))
        posed = with_gaze(neutral, posed, ict.triangles, expression)
        shares = []
        for eye in eyes_of(neutral, ict.triangles):
            x, y = np.meshgrid(np.linspace(-0.02, 0.02, 15), np.linspace(-0.02, 0.02, 15))
            origins = eye.centre + np.stack([x, y, np.full_like(x, 0.5)], axis=-1).reshape(-1, 3)
            first, _ = Occluder(posed, ict.triangles).first_hit(origins, np.tile([0.0, 0, -1.0], (len(origins), 1)))
            shares.append(np.isin(ict.triangles[first, 0], eye.vertices).mean())
        return max(shares)

    assert eyeball_shows(weights()) > 0.5
    assert eyeball_shows(weights(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)) < 0.05
    aside = weights(eyeBlinkLeft=1.0, eyeBlinkRight=1.0, eyeLookOutLeft=1.0, eyeLookInRight=1.0)
    assert eyeball_shows(aside) < 0.05


def test_without_a_new_cornea_a_head_at_rest_stays_as_it_is(toy):
    vertices, triangles = toy
    rest = with_gaze(vertices, vertices, triangles, weights(), cornea=False)
    assert np.allclose(rest, vertices, atol=1e-12)
