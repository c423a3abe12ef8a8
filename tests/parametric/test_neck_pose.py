"""Turning the head on its neck: the skull is rigid, the cut stays, nothing tears."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headfield import frames
from headfield.parametric.pca import LinearPCA
from headfield.parametric.topology import signed_volume

TURNS = {"yaw": (0, 0.5, 0), "down": (0.17, 0, 0), "up": (-0.35, 0, 0), "roll": (0, 0, 0.35), "all": (0.1, -0.3, 0.15)}


def face_vectors(vertices, triangles):
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def test_no_turn_changes_nothing(family, identities):
    upright = family.raw_vertices(identities[0])
    np.testing.assert_allclose(family.raw_vertices(identities[0], pose=np.zeros(3)), upright, atol=1e-12)


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_skull_is_rigid_and_cut_stays(family, identities, turn):
    pose = np.array(turn, dtype=float)
    for identity in identities[:3]:
        upright, posed = family.raw_vertices(identity), family.raw_vertices(identity, pose=pose)
        centre = frames.turning_pivot(family.anchors(upright))
        wanted = Rotation.from_rotvec(pose).apply(upright - centre) + centre
        skull = family.turning_share == 1.0
        assert skull[family.face_mask].mean() > 0.98  # the skin under the chin bends
        np.testing.assert_allclose(posed[skull], wanted[skull], atol=1e-12)
        above = frames.anchor_indices([n for n in frames.ANCHOR_NAMES if not n.startswith(("throat", "neck_side"))])
        np.testing.assert_allclose(
            family.anchors(posed)[above], Rotation.from_rotvec(pose).apply(family.anchors(upright)[above] - centre)
            + centre, atol=0.004)  # fmt: skip
        capped = np.unique(family.triangles[family.cap])
        np.testing.assert_array_equal(posed[capped], upright[capped])


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_neck_keeps_its_girth_and_does_not_fold(family, identities, turn):
    pose = np.array(turn, dtype=float)
    for identity in identities[:3]:
        upright, posed = family.raw_vertices(identity), family.raw_vertices(identity, pose=pose)
        volumes = [signed_volume(v, family.triangles) for v in (upright, posed)]
        assert abs(volumes[1] / volumes[0] - 1) < 0.03
        # a triangle that a vertex's own turn would leave looking inwards is folded over
        share = family.turning_share[family.triangles].mean(1)
        expected = Rotation.from_rotvec(share[:, None] * pose).apply(face_vectors(upright, family.triangles))
        folded = (face_vectors(posed, family.triangles) * expected).sum(1) < 0
        assert folded.mean() < 2e-4


def test_turn_and_expression_are_independent(family, identities):
    smile = np.zeros(52)
    smile[[43, 44]] = 0.8
    pose = np.array([0.1, 0.4, 0.0])
    upright, smiling = family.raw_vertices(identities[1]), family.raw_vertices(identities[1], smile)
    moved = family.raw_vertices(identities[1], smile, pose) - family.raw_vertices(identities[1], pose=pose)
    rigid = family.turning_share == 1.0
    turn = Rotation.from_rotvec(pose)
    np.testing.assert_allclose(moved[rigid], turn.apply((smiling - upright)[rigid]), atol=1e-9)


def test_a_turn_to_the_other_side_is_the_mirror_image(family):
    mean = family.mean_identity()
    upright = family.raw_vertices(mean)
    left, right = (family.raw_vertices(mean, pose=np.array([0.1, yaw, 0.0])) for yaw in (0.4, -0.4))
    flip = np.array([-1.0, 1.0, 1.0])
    uneven = np.linalg.norm(upright[family.mirror] * flip - upright, axis=1).max()  # of the family's own mean head
    assert np.linalg.norm(left[family.mirror] * flip - right, axis=1).max() < 2 * uneven + 1e-4
    assert np.linalg.norm(left - right, axis=1).max() > 0.03


def test_pca_turns_as_its_family_does(family, identities):
    heads = np.stack([family.raw_vertices(identity) for identity in identities[:4]])
    pca = LinearPCA.fit(heads, family)
    turned = pca.raw_vertices(np.zeros(pca.n_identity), pose=np.array([0.0, 0.4, 0.0]))
    shift = np.linalg.norm(turned - pca.mean_vertices, axis=1)
    assert shift[np.unique(family.triangles[family.cap])].max() < 1e-5 and shift.max() > 0.02


@pytest.mark.parametrize("pose", [[0, 0], [0, 0, np.nan], np.zeros((3, 3))])
def test_bad_poses_are_refused(family, pose):
    with pytest.raises(ValueError, match="rotation vector of three finite numbers"):
        family.raw_vertices(family.mean_identity(), pose=np.array(pose))
