"""Lids meet eyeballs in a rounded join: where it is, how round, and that nothing else moves."""

import numpy as np
import pytest
from trimesh.creation import icosphere

from headfield.frames import MM_PER_UNIT
from headfield.synth.gaze import eyes_of, with_gaze
from headfield.synth.identities import identity_keys
from headfield.synth.person import family, make_person
from headfield.synth.sampling import sample_row
from headfield.synth.seal import EYE_RADIUS, EyeSeal
from headfield.synth.solid import Solid
from headfield.types import ARKIT

HEAD, HEAD_RADIUS, RADIUS = np.array([0.0, 0.0, -0.34]), 0.4, 0.05
TOWARDS = {"Left": np.array([0.28, 0.18, 0.943]), "Right": np.array([-0.28, 0.18, 0.943])}
CENTRES = {side: HEAD + np.hypot(HEAD_RADIUS, RADIUS) * way / np.linalg.norm(way) for side, way in TOWARDS.items()}
"""Where balls meet the head under a right angle."""


@pytest.fixture(scope="module")
def toy():
    """A ball for a head and two eyeballs that come out of it, fine enough for a join."""
    head, ball = icosphere(subdivisions=6, radius=HEAD_RADIUS), icosphere(subdivisions=4, radius=RADIUS)
    vertices, triangles = [np.array(head.vertices) + HEAD], [np.array(head.faces)]
    for centre in CENTRES.values():
        triangles.append(np.array(ball.faces) + sum(map(len, vertices)))
        vertices.append(np.array(ball.vertices) + centre)
    return np.concatenate(vertices), np.concatenate(triangles).astype(np.int64)


def exact(points):
    """Signed distances (N,) of two balls of the toy head: its skin, and the nearer eyeball."""
    eyes = np.min([np.linalg.norm(points - centre, axis=1) for centre in CENTRES.values()], axis=0) - RADIUS
    return np.linalg.norm(points - HEAD, axis=1) - HEAD_RADIUS, eyes


def joined(points):
    """The join of the exact balls: what a ball that touches both cannot reach. Its centres lie on a circle."""
    value = np.minimum(*exact(points))
    for centre in CENTRES.values():
        between = np.linalg.norm(centre - HEAD)
        axis, one, two = (centre - HEAD) / between, HEAD_RADIUS + EYE_RADIUS, RADIUS + EYE_RADIUS
        along = (between**2 + one**2 - two**2) / (2 * between)
        out = (points - HEAD) - ((points - HEAD) @ axis)[:, None] * axis
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        rolling = HEAD + along * axis + np.sqrt(one**2 - along**2) * out
        # between the rolling ball's centre and those of the two balls, in the plane of all three
        to_head, to_eye, to_point = HEAD - rolling, centre - rolling, points - rolling
        gram = np.array([[one**2, 0], [0, two**2]]) + (to_head * to_eye).sum(1)[:, None, None] * (1 - np.eye(2))
        against = np.stack([(to_point * to_head).sum(1), (to_point * to_eye).sum(1)], axis=1)
        held = (np.linalg.solve(gram, against[..., None])[..., 0] > 0).all(1)
        fillet = EYE_RADIUS - np.linalg.norm(to_point, axis=1)
        value = np.where(held, np.minimum(value, fillet), value)
    return value


@pytest.fixture(scope="module")
def seal(toy):
    vertices, triangles = toy
    seen = np.minimum(*exact(vertices))[triangles].max(1) > -1e-3
    return EyeSeal(vertices, triangles, seen, eyes_of(vertices, triangles), lambda p: np.minimum(*exact(p)) < 0)


@pytest.fixture(scope="module")
def places():
    """Points about the left eyeball, off its crease with the head by up to 4 mm."""
    rng = np.random.default_rng(0)
    away = rng.standard_normal((20000, 3))
    points = CENTRES["Left"] + (RADIUS + rng.uniform(-0.01, 0.01, (20000, 1))) * away / np.linalg.norm(
        away, axis=1, keepdims=True
    )
    return points[np.abs(exact(points)[0]) < 0.016]


def test_it_is_what_a_rolling_ball_cannot_reach(seal, places):
    """Against exact balls: the toy's facets are a few hundredths of a millimetre off."""
    found = seal.lower(places, np.minimum(*exact(places)))
    outside = (np.minimum(*exact(places)) > 0.0005) & (np.minimum(*exact(places)) < 0.9 * EYE_RADIUS)
    off = np.abs(found - joined(places))[outside].max() * MM_PER_UNIT
    print(f"off by at most {off:.3f} mm")
    assert off < 0.2


def test_nothing_rises_and_nothing_moves_elsewhere(seal, places):
    before = np.minimum(*exact(places))
    after = seal.lower(places, before)
    skin, eye = exact(places)
    assert (after <= before).all()
    apart = (np.maximum(skin, eye) > 1.1 * EYE_RADIUS) & (before > 0)
    assert apart.any() and np.array_equal(after[apart], before[apart])


def test_points_settle_on_the_join_and_normals_are_its_gradient(seal, places):
    skin, eye = exact(places)
    onto = places - skin[:, None] * (places - HEAD) / (skin + HEAD_RADIUS)[:, None]  # on the head's ball
    onto = onto[exact(onto)[1] > 0]
    points, normals, moved = seal.settle(onto, (onto - HEAD) / HEAD_RADIUS)
    there = (moved > 1e-4) & np.isfinite(moved)
    assert there.sum() > 100
    print(f"{there.sum()} moved, by at most {moved[there].max() * MM_PER_UNIT:.2f} mm; "
          f"off the join by {np.abs(joined(points[there])).max() * MM_PER_UNIT:.3f} mm at most")  # fmt: skip
    assert np.abs(joined(points[there])).max() * MM_PER_UNIT < 0.2
    step = 1e-4 * np.eye(3)
    slope = np.stack([joined(points[there] + s) - joined(points[there] - s) for s in step], axis=1)
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    assert np.median((slope * normals[there]).sum(1)) > 0.98
    still = ~there & np.isfinite(moved)
    assert np.allclose(points[still], onto[still], atol=1e-4)


def test_the_join_is_at_least_a_millimetre_round(seal, places):
    """Curvature along the meridian from divergence of the normal: the ball's own parallel curvature is taken off."""
    onto = places[np.abs(np.minimum(*exact(places))) < 1e-3]
    points, _, moved = seal.settle(onto, np.zeros_like(onto))
    points = points[(moved > 1e-4) & np.isfinite(moved)]
    step = 2e-4

    def unit(p):
        slope = np.stack([joined(p + s) - joined(p - s) for s in 1e-4 * np.eye(3)], axis=1)
        return slope / np.linalg.norm(slope, axis=1, keepdims=True)

    divergence = sum((unit(points + step * e)[:, k] - unit(points - step * e)[:, k]) for k, e in enumerate(np.eye(3)))
    bend = divergence / (2 * step)
    sharpest = 1.0 / -bend.min() * MM_PER_UNIT
    print(f"sharpest hollow: radius {sharpest:.2f} mm (the ball's is {EYE_RADIUS * MM_PER_UNIT:.2f} mm)")
    assert sharpest >= 1.0


def test_behind_closed_lids_there_is_no_join(toy):
    vertices, triangles = toy
    eyes = eyes_of(vertices, triangles)
    ball = np.isin(triangles, np.concatenate([eye.vertices for eye in eyes])).all(1)
    shut = EyeSeal(vertices, triangles, ~ball, eyes, lambda p: np.zeros(len(p), dtype=bool))
    points = CENTRES["Left"] + RADIUS * np.eye(3)
    assert np.array_equal(shut.lower(points, np.zeros(3)), np.zeros(3))
    assert np.array_equal(shut.settle(points, np.eye(3))[0], points)


def test_a_person_is_sealed_at_rest_and_with_half_closed_lids():
    """Samples lie on the sealed zero set, partners keep their material, and without eyes nothing changes."""
    pytest.importorskip("anny", reason="anny's heads need the extra synth")
    head, sheet = family("anny")
    person = make_person(identity_keys("anny", "train", 1, 0)[0], head, sheet, 0.0)
    eyes = eyes_of(person.skin(), sheet.triangles)
    half = np.array([0.5 if name.startswith("eyeBlink") else 0.0 for name in ARKIT])
    rest = Solid(sheet, person.skin(), None, False, eyes)
    posed = with_gaze(person.skin(), person.skin(half), sheet.triangles, half)
    solid = Solid(sheet, posed, None, False, eyes)
    surface = solid.sample_surface(8000, np.random.default_rng(0))
    near = solid.joins[0].near(surface.points)
    off = np.abs(solid.signed_distance(surface.points[near])[0]) * MM_PER_UNIT
    print(f"{near.sum()} points near the eyes, off the sealed surface by {off.max():.3f} mm at most")
    assert off.max() < 0.1
    row = sample_row(solid, rest, 4000, 4000, np.array([[-1.0] * 3, [1.0] * 3]), np.random.default_rng(1))
    assert 0.9 < row.canonical_valid.mean() < 1.0
