"""Laws of both families: closed, outward, cut by the head's own plane, symmetric, expressions where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from headfield import frames
from headfield.parametric import ParametricHead
from headfield.parametric.neck import NECK_ANCHORS, neck_plane
from headfield.parametric.normalise import log_size, normalising_similarity
from headfield.parametric.topology import components, is_closed, signed_volume
from headfield.types import ARKIT, ARKIT_MIRROR


def play(**weights) -> np.ndarray:
    """Expression weights (52,) by channel name."""
    expression = np.zeros(len(ARKIT))
    for name, weight in weights.items():
        expression[ARKIT.index(name)] = weight
    return expression


def normals_of(vertices, triangles):
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def test_protocol_shapes(family):
    assert isinstance(family, ParametricHead)
    vertices = family.raw_vertices(family.mean_identity())
    n, f = len(vertices), len(family.triangles)
    assert vertices.dtype == np.float64 and np.isfinite(vertices).all()
    assert family.interior.shape == family.cap.shape == (f,)
    assert family.face_mask.shape == family.mirror.shape == (n,)
    assert family.triangles.min() == 0 and family.triangles.max() == n - 1
    assert len(np.unique(family.triangles)) == n  # no loose vertices
    assert family.anchors(vertices).shape == (39, 3)
    assert family.landmarks68(vertices).shape == (68, 3)
    assert family.licence and family.draw_identity(np.random.default_rng(0)).shape == (family.n_identity,)


def test_head_and_two_eyeballs_each_closed_and_outward(family, identities):
    label = components(family.triangles)
    assert label.max() == 2
    for k in range(3):
        assert is_closed(family.triangles[label == k])
    for identity in identities[:4]:
        vertices = family.raw_vertices(identity)
        volumes = [1e6 * signed_volume(vertices, family.triangles[label == k]) for k in range(3)]
        assert 1500 < volumes[0] < 9000  # cm3: a child's to a large man's head and neck
        assert all(2 < volume < 30 for volume in volumes[1:])


def test_winding_number_is_one_inside_and_zero_outside(family, identities):
    igl = pytest.importorskip("igl", reason="needs libigl")
    vertices = family.raw_vertices(identities[0])
    rng = np.random.default_rng(5)
    visible = rng.choice(np.flatnonzero(~family.interior), 2000, replace=False)
    triangles = family.triangles[visible]
    normals = normals_of(vertices, triangles)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    centres = vertices[triangles].mean(1)
    faces = family.triangles.astype(np.int32)
    outside = igl.fast_winding_number(vertices, faces, centres + 3e-4 * normals)
    inside = igl.fast_winding_number(vertices, faces, centres - 3e-4 * normals)
    assert np.mean(np.abs(outside) < 0.2) > 0.997
    assert np.mean(np.abs(inside - 1) < 0.2) > 0.995


def test_cap_is_planar_on_the_heads_own_plane_and_faces_down(family, identities):
    cap = family.triangles[family.cap]
    for identity in identities:
        vertices = family.raw_vertices(identity)
        anchors = family.plan.anchors @ family.source_vertices(identity)
        normal, offset = neck_plane(anchors)
        assert np.abs(vertices[np.unique(cap)] @ normal - offset).max() < 1e-9
        assert (normals_of(vertices, cap) @ normal < 0).all()


def test_nothing_of_the_neck_hangs_below_the_cut(family, identities):
    cap = np.unique(family.triangles[family.cap])
    for identity in identities[:6]:
        vertices = family.raw_vertices(identity)
        anchors = family.plan.anchors @ family.source_vertices(identity)
        normal, offset = neck_plane(anchors)
        laid = np.setdiff1d(np.arange(family.plan.n_linear, family.n_vertices), cap)
        assert (vertices[laid] @ normal - offset).min() > -0.004


def test_neck_anchors_stay_on_their_meridians(family, identities):
    for identity in identities:
        vertices = family.raw_vertices(identity)
        own = family.plan.anchors @ family.source_vertices(identity)
        moved = np.linalg.norm(family.anchors(vertices) - own, axis=1)
        assert np.delete(moved, NECK_ANCHORS).max() < 1e-9
        assert moved.max() < 0.012


def test_mean_anchors_agree_with_the_reference_within_10_mm(family):
    anchors = family.anchors(family.raw_vertices(family.mean_identity()))
    placed = normalising_similarity(anchors).apply(anchors)
    gap = frames.MM_PER_UNIT * np.linalg.norm(placed - frames.reference_anchors(), axis=1)
    assert gap.max() < 10.0, dict(zip(frames.ANCHOR_NAMES, gap.round(1)))
    assert gap.mean() < 5.0


def test_families_agree_with_each_other(ict, anny):
    placed = []
    for head in (ict, anny):
        vertices = head.raw_vertices(head.mean_identity())
        similarity = normalising_similarity(head.anchors(vertices))
        assert abs(log_size(similarity)) < 0.06
        placed.append((similarity.apply(head.anchors(vertices)), similarity.apply(head.landmarks68(vertices))))
    for first, second in zip(*placed):
        assert frames.MM_PER_UNIT * np.linalg.norm(first - second, axis=1).max() < 10.0


def test_mirror_is_an_involution_and_fits(family):
    vertices = family.raw_vertices(family.mean_identity())
    assert (family.mirror[family.mirror] == np.arange(len(vertices))).all()
    assert np.abs(frames.mirror_points(vertices[family.mirror]) - vertices).max() < 2e-4
    pairs = family.anchor_vertices[frames.MIRROR_PART]
    assert (family.mirror[family.anchor_vertices] == pairs).all()
    assert (family.face_mask == family.face_mask[family.mirror]).mean() > 0.999
    # the cut's triangles mirror too
    assert (family.cap.sum() % 2) == 0


def test_left_and_right_channels_mirror(family):
    vertices = family.raw_vertices(family.mean_identity())
    for channel, other in enumerate(ARKIT_MIRROR):
        if not family.expression_mask[channel]:
            continue
        offsets = [family.expression_offsets(np.eye(len(ARKIT))[k]) for k in (channel, other)]
        size = np.abs(offsets[0]).max()
        gap = np.abs(frames.mirror_points(offsets[0][family.mirror]) - offsets[1]).max()
        assert gap < max(0.3 * size, 5e-4), ARKIT[channel]
    assert np.isfinite(vertices).all()


def test_zero_expression_is_neutral_and_weights_are_linear(family, identities):
    neutral = family.raw_vertices(identities[0])
    assert (family.raw_vertices(identities[0], np.zeros(52)) == neutral).all()
    both = family.raw_vertices(identities[0], play(jawOpen=0.5, mouthSmileLeft=0.7)) - neutral
    one = family.raw_vertices(identities[0], play(jawOpen=1.0)) - neutral
    two = family.raw_vertices(identities[0], play(mouthSmileLeft=1.0)) - neutral
    np.testing.assert_allclose(both, 0.5 * one + 0.7 * two, atol=1e-9)


def test_a_returned_head_may_be_changed_without_harm(family, identities):
    first = family.raw_vertices(identities[0])
    first += 1.0
    assert np.abs(family.raw_vertices(identities[0]) - first).min() > 0.99


def test_neck_rests_in_every_expression(family, identities):
    expression = np.where(family.expression_mask, 1.0, 0.0)
    moved = np.abs(family.raw_vertices(identities[1], expression) - family.raw_vertices(identities[1])).max(1)
    assert moved[family.plan.n_linear :].max() == 0.0
    assert moved.max() > 0.02


def test_only_tongue_out_is_missing(family):
    assert [name for name, played in zip(ARKIT, family.expression_mask) if not played] == ["tongueOut"]


def test_jaw_open_parts_the_lips(family, identities):
    upper, lower = 62, 66  # inner lip landmarks
    for identity in identities[:5]:
        gap = []
        for weight in (0.0, 0.5, 1.0):
            points = family.landmarks68(family.raw_vertices(identity, play(jawOpen=weight)))
            gap.append(points[upper, 1] - points[lower, 1])
        assert gap[0] < 0.006 and gap[1] > gap[0] + 0.01 and gap[2] > gap[0] + 0.02


def test_blink_closes_the_lids(family):
    identity = family.mean_identity()
    before = family.landmarks68(family.raw_vertices(identity))
    after = family.landmarks68(family.raw_vertices(identity, play(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)))
    for upper, lower in ((43, 47), (44, 46), (37, 41), (38, 40)):
        assert abs(after[upper, 1] - after[lower, 1]) < 0.4 * (before[upper, 1] - before[lower, 1])


def test_amplitudes_are_equal_on_the_anchors(ict, anny):
    def reach(head, anchor, **weights):
        neutral = head.anchors(head.raw_vertices(head.mean_identity()))
        posed = head.anchors(head.raw_vertices(head.mean_identity(), play(**weights)))
        index = frames.anchor_indices([anchor])[0]
        return normalising_similarity(neutral).scale * np.linalg.norm(posed[index] - neutral[index])

    for anchor, weights, slack in (
        ("chin", {"jawOpen": 1.0}, 0.05),
        ("lower_lip", {"jawOpen": 1.0}, 0.05),
        ("mouth_corner_left", {"mouthSmileLeft": 1.0}, 0.06),
        ("mouth_corner_right", {"mouthSmileRight": 1.0}, 0.06),
    ):
        assert abs(reach(anny, anchor, **weights) / reach(ict, anchor, **weights) - 1) < slack, anchor


def test_interior_covers_the_mouth_but_not_the_open_skin(family):
    vertices = family.raw_vertices(family.mean_identity())
    anchors = family.anchors(vertices)
    inner = np.zeros(len(vertices), dtype=bool)
    inner[family.triangles[family.interior]] = True
    visible = ["cheek_left", "forehead", "chin", "head_back_left", "crown_front_right", "nose_tip", "temple_left"]
    for name in visible:
        assert not inner[family.anchor_vertices[frames.anchor_indices([name])[0]]], name
    eyeballs = components(family.triangles) > 0
    assert family.interior[eyeballs].mean() > 0.95
    # deep behind the lips, between the mouth's corners, everything is interior
    corners = anchors[frames.anchor_indices(["mouth_corner_left", "mouth_corner_right"])]
    centre = family.triangles[~eyeballs & ~family.cap]
    middle = vertices[centre].mean(1)
    behind = corners[:, 2].mean() - 0.012
    bag = (
        (np.abs(middle[:, 0]) < 0.02)
        & (np.abs(middle[:, 1] - corners[:, 1].mean()) < 0.03)
        & (middle[:, 2] < behind)
        & (middle[:, 2] > behind - 0.05)
    )
    assert bag.sum() > 20 and family.interior[~eyeballs & ~family.cap][bag].all()


def test_sizes_are_plausible(family):
    rng = np.random.default_rng(3)
    sizes = []
    for _ in range(40):
        anchors = family.anchors(family.raw_vertices(family.draw_identity(rng)))
        sizes.append(log_size(normalising_similarity(anchors)))
    assert -0.35 < min(sizes) and max(sizes) < 0.3
    assert np.std(sizes) > 0.02


def test_wrong_lengths_are_refused(family):
    with pytest.raises(ValueError, match="identity of shape"):
        family.raw_vertices(np.zeros(3))
    with pytest.raises(ValueError, match="expression of shape"):
        family.raw_vertices(family.mean_identity(), np.zeros(51))


def test_fast_enough_for_ten_thousand_heads(family, identities):
    import time

    expression = play(jawOpen=0.5, mouthSmileLeft=0.3)
    family.raw_vertices(identities[0], expression)
    best = np.inf
    for identity in identities:
        start = time.process_time()
        family.raw_vertices(identity, expression)
        best = min(best, time.process_time() - start)
    assert best < 0.03  # 2-3 ms on one free core
