"""Captures: the table of poses obeys its rules, smoothing is what it says, a case is the same when made again."""

import numpy as np
import pytest
from trimesh.creation import box, icosphere

from headfield.expressions import OPPOSED
from headfield.io.scan import robust_extent
from headfield.synth.captures import KINDS, draw_expression, draw_pose, frozen_captures, people
from headfield.synth.poses import GAZE, groups, poses
from headfield.synth.volume import Volume, relaxed
from headfield.types import ARKIT, ARKIT_MIRROR


def test_the_table_holds_what_was_asked_for():
    kinds = [pose.kind for pose in poses().values()]
    assert kinds.count("emotion") == 8 and kinds.count("viseme") == 15 and kinds.count("neutral") == 1
    for side in ("left", "right"):
        assert {f"wink_{side}", f"smirk_{side}", f"one_brow_{side}", f"jaw_{side}", f"contempt_{side}"} <= set(poses())


@pytest.mark.parametrize("name", list(poses()))
def test_a_pose_plays_no_channel_against_its_opposite(name):
    weights = poses()[name].weights
    assert (weights >= 0).all() and (weights <= 1).all()
    for first, second in OPPOSED:
        assert min(weights[ARKIT.index(first)], weights[ARKIT.index(second)]) <= 0.05
    assert weights[ARKIT.index("mouthClose")] <= weights[ARKIT.index("jawOpen")] + 0.02


def test_symmetric_poses_are_and_one_sided_ones_come_in_pairs():
    for pose in poses().values():
        if pose.symmetric:
            assert np.array_equal(pose.weights, pose.weights[ARKIT_MIRROR])
        if pose.kind == "one-sided":
            side = "left" if pose.name.endswith("left") else "right"
            other = poses()[pose.name.replace(side, "right" if side == "left" else "left")]
            assert np.array_equal(pose.weights, other.weights[ARKIT_MIRROR]) and (pose.weights != other.weights).any()


def test_groups_are_mirrored_and_cover_every_channel_but_the_gaze():
    covered = np.zeros(len(ARKIT), dtype=bool)
    for group in groups().values():
        mirror = groups()[group.mirror]
        assert groups()[mirror.mirror] is group
        assert set(ARKIT_MIRROR[group.channels]) == set(mirror.channels)
        covered[group.channels] = True
    assert np.array_equal(covered, ~GAZE)


def test_kinds_have_poses_people_and_a_maker():
    assert set(KINDS) == set(frozen_captures()["poses"])
    for kind in KINDS:
        assert sum(people(kind, "test").values()) == 50
        assert sum(frozen_captures()["poses"][kind].values()) == pytest.approx(1)
        drawn = [draw_pose(kind, np.random.default_rng(k)) for k in range(5)]
        for pose in drawn:
            weights = draw_expression(kind, pose, np.random.default_rng(0))
            assert (weights >= 0).all() and (weights <= 1).all()
            closed = weights[[ARKIT.index("eyeBlinkLeft"), ARKIT.index("eyeBlinkRight")]]
            assert (closed == 1).all() == (kind == "closed") or pose.name == "eyeBlink"


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_smoothing_takes_a_wave_down_as_its_sigma_says(sigma):
    length, height = 16.0, 0.8
    slab = box(extents=(80, 80, 30))
    for _ in range(5):
        slab = slab.subdivide()
    vertices = np.array(slab.vertices)
    top = vertices[:, 2] > 14.9
    vertices[top, 2] += height * np.cos(2 * np.pi * vertices[top, 0] / length)
    shown = np.ones(len(slab.faces), dtype=bool)
    around = np.stack([vertices.min(0) - 5, vertices.max(0) + 5])
    volume = Volume.of(vertices, np.array(slab.faces), shown, around, 1.0, 8.0).smoothed(sigma)
    points = volume.mesh()[0]
    inner = points[(np.abs(points[:, :2]) < 25).all(1) & (points[:, 2] > 10)]
    wave = np.cos(2 * np.pi * inner[:, 0] / length)
    got = (wave * (inner[:, 2] - inner[:, 2].mean())).mean() / (wave**2).mean()
    assert got == pytest.approx(height * np.exp(-2 * (np.pi * sigma / length) ** 2), rel=0.08)


def test_a_volume_is_the_union_of_its_parts_and_meshes_outwards():
    ball = icosphere(subdivisions=3, radius=10.0)
    vertices = np.concatenate([np.array(ball.vertices), np.array(ball.vertices) + [12.0, 0, 0]])
    triangles = np.concatenate([np.array(ball.faces), np.array(ball.faces) + len(ball.vertices)])
    around = np.stack([vertices.min(0) - 4, vertices.max(0) + 4])
    volume = Volume.of(vertices, triangles, np.ones(len(triangles), dtype=bool), around, 1.0, 3.0)
    points, faces = volume.mesh()
    from headfield.parametric.topology import signed_volume

    both = 2 * 4 / 3 * np.pi * 1000 - np.pi * (4 * 10 + 12) * (20 - 12) ** 2 / 12
    assert signed_volume(relaxed(points, faces), faces) == pytest.approx(both, rel=0.06)
    distance = np.minimum(np.linalg.norm(points, axis=1), np.linalg.norm(points - [12.0, 0, 0], axis=1))
    assert np.abs(distance - 10).max() < 1.0


def test_closing_fills_what_is_narrow_and_leaves_what_is_wide():
    slab = box(extents=(40, 40, 20))
    vertices, faces = np.array(slab.vertices), np.array(slab.faces)
    around = np.stack([vertices.min(0) - 8, vertices.max(0) + 8])
    volume = Volume.of(vertices, faces, np.ones(len(faces), dtype=bool), around, 1.0, 7.0)
    slot = volume.places()
    cut = np.minimum(1.5 - np.abs(slot[..., 0]), slot[..., 2])
    slotted = volume.with_values(np.maximum(volume.values, np.clip(cut, -7, 7)))
    inside = slotted.closed(4.0)
    where = tuple(np.rint((np.array([0.0, 0, 5]) - volume.origin) / volume.step).astype(int))
    assert slotted.values[where] > 0 and inside.values[where] < 0
    corner = tuple(np.rint((np.array([0.0, 0, 14]) - volume.origin) / volume.step).astype(int))
    assert inside.values[corner] > 0


def test_the_fit_is_given_the_triangles_that_a_capture_has(ict):
    from headfield.evaluate.captures import make_capture

    taken = make_capture("clean", "dev", "ict", 0).capture
    scan, shown = taken.scan, taken.shown.surface
    assert taken.facts["triangles"] and scan.triangles is not None

    def areas(points, triangles):
        corner = points[triangles]
        return np.sort(np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1))

    back = taken.model_from_scan.apply(scan.points) * taken.sitter.mm_per_unit
    assert np.allclose(areas(back, scan.triangles), areas(shown.vertices, shown.triangles), atol=1e-6)


def test_a_capture_is_the_same_when_made_again_and_its_secret_is_true(ict):
    from headfield.evaluate.captures import make_capture

    first, again = (make_capture("phone-depth", "dev", "ict", 1).capture for _ in range(2))
    assert np.array_equal(first.scan.points, again.scan.points) and first.facts == again.facts
    assert first.scan.units is None
    back = first.model_from_scan.apply(first.scan.points) * first.sitter.mm_per_unit
    from scipy.spatial import cKDTree

    gap = cKDTree(back).query(first.shown.surface.vertices)[0]
    assert gap.max() < 1e-6
    assert 120 < robust_extent(first.shown.surface.vertices) < 420
    if first.unit != "none":
        from headfield.frames import UNITS_IN_METRES

        unit = 1000 * UNITS_IN_METRES[first.unit]
        assert first.model_from_scan.scale * first.sitter.mm_per_unit == pytest.approx(unit)
