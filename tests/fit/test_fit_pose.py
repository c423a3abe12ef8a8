"""Rotations, steps and their derivatives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from headfield.fit import pose
from headfield.fit.mean_field import build_mean_field
from headfield.frames import BOX, reference_anchors


def _sphere_field():
    return build_mean_field(lambda x: np.linalg.norm(x, axis=1) - 0.4, BOX, reference_anchors(), resolution=32)


def test_the_rotation_grid_is_uniform_and_proper():
    grid = pose.super_fibonacci(576).double()
    assert torch.allclose(grid @ grid.transpose(1, 2), torch.eye(3).double().expand(576, 3, 3), atol=1e-5)
    assert torch.linalg.det(grid).min() > 0.999
    rng = np.random.default_rng(0)
    worst = 0.0
    for probe in Rotation.random(200, random_state=rng).as_matrix():
        trace = (grid * torch.from_numpy(probe)).sum((1, 2))
        worst = max(worst, float(torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)).min())))
    assert worst < 28  # any rotation has a start this near


def test_rotation_exp_is_rodrigues():
    vectors = torch.randn(20, 3, dtype=torch.float64)
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    assert torch.allclose(pose.rotation_exp(vectors), expected, atol=1e-12)
    assert torch.allclose(pose.rotation_exp(torch.zeros(1, 3)), torch.eye(3)[None])


def _cross_matrix(vectors):
    """[v]x (N, 3, 3) of vectors (N, 3)."""
    return torch.linalg.cross(vectors[:, None], torch.eye(3, dtype=vectors.dtype).expand(len(vectors), 3, 3)).mT


@pytest.mark.parametrize("angle", [0.0, 1e-8, 9e-7, 1.1e-6, 1e-4, 0.1, 3.0])
def test_rotation_exp_is_the_matrix_exponential_in_single_precision_too(angle):
    vectors = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(2)), dim=1)
    vectors = (vectors * angle).double()
    expected = torch.linalg.matrix_exp(_cross_matrix(vectors))
    torch.testing.assert_close(pose.rotation_exp(vectors), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(pose.rotation_exp(vectors.float()).double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rotation_exp_has_its_gradient_at_exactly_zero(dtype):
    """Adam starts at no rotation: the derivative there is the cross product, not nan and not zero."""
    arm = torch.tensor([0.3, -0.5, 0.7], dtype=dtype)
    jacobian = torch.autograd.functional.jacobian(
        lambda turn: pose.rotation_exp(turn) @ arm, torch.zeros(3, dtype=dtype)
    )
    torch.testing.assert_close(jacobian, -_cross_matrix(arm[None])[0])


def test_a_mask_is_tried_where_the_mean_head_has_its_face():
    field = _sphere_field()
    low = replace(field, anchors=field.anchors - [0.1, 0.3, 0.2])
    points = torch.randn(300, 3, generator=torch.Generator().manual_seed(4))
    here, there = (
        pose.starts(points, pose.super_fibonacci(5), torch.zeros(1), one, 0.1).translation for one in (field, low)
    )
    moved = there - here
    assert torch.allclose(moved[-10:], torch.tensor([-0.1, -0.3, 0.0]).expand(10, 3), atol=1e-5)
    assert not moved[:-10].any()


def test_pose_jacobian_is_the_derivative_of_a_step():
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(5, 3, generator=generator)
    poses = pose.Poses(
        pose.super_fibonacci(3),
        torch.randn(3, 3, generator=generator),
        torch.tensor([0.1, -0.2, 0.0]),
        torch.zeros(3),
        torch.zeros(3, dtype=torch.long),
    )
    direction = torch.randn(3, generator=generator)  # a linear field, f = direction . x

    def field(step):
        return pose.stepped(poses, step).apply(points) @ direction

    placed = poses.apply(points)
    jacobian = pose.pose_jacobian(placed, direction.expand_as(placed), pose.CENTRE)
    for k in range(7):
        step = torch.zeros(3, 7)
        step[:, k] = 1e-3
        difference = (field(step) - field(-step)) / 2e-3
        assert torch.allclose(difference, jacobian[..., k], atol=2e-3), k


def test_refine_pulls_a_shifted_sphere_back():
    field = _sphere_field()
    direction = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(2)), dim=1)
    direction = direction[direction[:, 1] > -0.5]
    shift = torch.tensor([[0.08, -0.05, 0.06]])
    poses = pose.Poses(torch.eye(3)[None], shift, torch.zeros(1), torch.zeros(1), torch.zeros(1, dtype=torch.long))
    refined = pose.refine(poses, 0.4 * direction, field, [0.1] * 3 + [0.03] * 6, 0.1)
    distance, _ = field.lookup(refined.apply(0.4 * direction))
    assert distance.abs().median() < 0.004
    assert abs(float(refined.log_scale)) < 0.03


def test_size_never_leaves_three_standard_deviations():
    field = _sphere_field()
    direction = torch.nn.functional.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(3)), dim=1)
    poses = pose.Poses(
        torch.eye(3)[None], torch.zeros(1, 3), torch.zeros(1), torch.zeros(1), torch.zeros(1, dtype=torch.long)
    )
    refined = pose.refine(poses, 0.1 * direction, field, [0.2] * 12, 0.1)  # four times too small
    assert abs(float(refined.log_scale)) <= 0.3 + 1e-5


def test_distinct_drops_near_twins_and_keeps_the_cheapest():
    turn = pose.rotation_exp(torch.tensor([[0.0, 0, 0], [0, 0.05, 0], [0, 1.0, 0]]))
    zero = torch.zeros(3)
    poses = pose.Poses(turn, torch.zeros(3, 3), zero, zero, torch.zeros(3, dtype=torch.long))
    assert pose.distinct(poses, torch.tensor([0.2, 0.1, 0.3]), 3).tolist() == [1, 2]
