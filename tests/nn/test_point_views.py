"""Pictures of clouds: true normals, near hides far, sparse and dense look alike, and what points carry arrives."""

import numpy as np
import torch

from headfield.nn.point_views import view_points, window_of


def ball(count: int, radius: float = 0.7, seed: int = 0) -> torch.Tensor:
    directions = np.random.default_rng(seed).standard_normal((count, 3))
    return torch.from_numpy(radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)).float()


def test_a_balls_normals_point_away_from_its_middle():
    views = view_points(ball(60_000)[None], 64)
    places = views.places[0]
    middle = (places[:2].norm(dim=0) < 0.45) & views.surface[0]
    assert middle.sum() > 100
    expected = places[:, middle] / places[:, middle].norm(dim=0)
    normals = torch.nn.functional.avg_pool2d(views.pictures[:, :3], 2)[0][:, middle]
    cosine = (normals / normals.norm(dim=0) * expected).sum(0)
    assert float(cosine.quantile(0.05)) > 0.97
    assert float((places[:, middle].norm(dim=0) - 0.7).abs().quantile(0.95)) < 0.03  # the near side, not the far one


def test_a_sparse_ball_looks_like_a_dense_one():
    dense, sparse = (view_points(ball(count)[None], 64) for count in (60_000, 1_500))
    both = dense.surface & sparse.surface
    assert both.sum() > 0.9 * dense.surface.sum()
    gap = (dense.places[:, 2] - sparse.places[:, 2]).abs()[both]
    assert float(gap.median()) < 0.03


def test_what_points_carry_is_seen_where_they_are_and_not_through_others():
    side = torch.linspace(-0.5, 0.5, 90)
    plane = torch.stack([*torch.meshgrid(side, side, indexing="xy"), torch.zeros(90, 90)], -1).view(-1, 3)
    near, far = plane[plane[:, 0] > 0] + torch.tensor([0.0, 0.0, 0.6]), plane
    points = torch.cat([near, far])
    mark = torch.cat([torch.ones(len(near)), torch.zeros(len(far))])
    views = view_points(points[None], 64, mark[None, :, None])
    right = (views.places[0, 0] > 0.1) & views.seen[0]
    left = (views.places[0, 0] < -0.1) & views.seen[0]
    assert float(views.attributes[0, 0][right].min()) > 0.95
    assert float(views.attributes[0, 0][left].max()) < 0.05


def test_the_window_leaves_strays_out():
    points = torch.cat([ball(2000, 3.0) + 50.0, 4000 * torch.ones(20, 3)])
    middle, half = window_of(points)
    assert float((middle - 50.0).abs().max()) < 0.5
    assert 2.7 < half < 4.0


def test_a_quarter_turn_of_a_picture_is_a_picture_of_the_turned_cloud():
    cloud = ball(40_000) * torch.tensor([0.5, 1.0, 0.7]) + torch.tensor([0.1, 0.05, 0.0])
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = view_points(cloud[None], 64).quarter_turns()
    assert len(turned.pictures) == 4
    again = view_points((cloud @ quarter.T)[None], 64)
    assert float((turned.pictures[1] - again.pictures[0]).abs().mean()) < 0.01
    assert float((turned.places[1] - again.places[0]).abs()[:, again.surface[0]].mean()) < 0.01
