"""Meshes of head models, with an analytic stand-in and with a small untrained network."""

import numpy as np
import pytest
import torch
import trimesh

from headfield.errors import HeadfieldError
from headfield.surface.mesh_head import mesh_of, mesh_with_report
from headfield.types import Codes


class Balls:
    """A unit of the model protocol: balls of given centre and radius; the code is the first one's radius."""

    box = np.array([[-0.65, -0.62, -0.95], [0.65, 0.85, 0.50]])

    def __init__(self, *others, sign=1.0):
        self.others, self.sign, self.conditioned = others, sign, 0

    def condition(self, codes):
        self.conditioned += 1
        return codes

    def value_and_gradient(self, points, codes):
        assert not torch.is_grad_enabled() and points.shape[0] == 1
        places = [((0.0, 0.1, -0.2), float(codes.identity[0, 0])), *self.others]
        offsets = torch.stack([points - torch.tensor(c) for c, _ in places])
        distance = offsets.norm(dim=-1)
        value, which = (distance - torch.tensor([r for _, r in places])[:, None, None]).min(0)
        gradient = offsets / distance[..., None].clamp_min(1e-9)
        return value, gradient.gather(0, which[None, ..., None].expand(1, *which.shape, 3))[0]

    def signed_distance(self, points, codes):
        return self.value_and_gradient(points, codes)[0]


def codes(radius):
    return Codes(torch.tensor([[radius]]))


def test_watertight_outward_exact():
    model = Balls()
    mesh, report = mesh_with_report(model, codes(0.4), 100)
    solid = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)
    assert solid.is_watertight and solid.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=2e-3)
    direction = mesh.vertices - np.array([0, 0.1, -0.2])
    assert np.abs(np.linalg.norm(direction, axis=1) - 0.4).max() < 1.1e-2 * 1.47 / 100
    assert ((direction / 0.4) * mesh.normals).sum(1).min() > 0.999
    assert model.conditioned == 1
    assert report.residual_voxels <= 0.011 and report.components == 1 and report.dropped == ()


def test_crumbs_are_dropped_and_reported_but_parts_are_kept():
    model = Balls(((0.55, 0.7, 0.4), 0.01), ((-0.5, 0.7, 0.35), 0.1))
    mesh, report = mesh_with_report(model, codes(0.4), 128)
    assert report.components == 2 and len(report.dropped) == 1 and report.dropped[0] < 1e-3
    assert trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).is_watertight
    assert mesh.vertices[:, 0].max() < 0.5
    everything, _ = mesh_with_report(model, codes(0.4), 128, drop_floating=0)
    assert everything.vertices[:, 0].max() > 0.5


def test_caps_on_the_box_stay_flat_with_flat_normals():
    mesh = mesh_of(Balls(), codes(0.74), 96)
    solid = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)
    assert solid.is_watertight
    voxel = 1.47 / 96
    bottom = np.abs(mesh.vertices[:, 1] - mesh.vertices[:, 1].min()) < 1e-9
    inner = bottom & (np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 2] + 0.2) < 0.1)
    assert inner.sum() > 10 and mesh.vertices[bottom, 1].max() == pytest.approx(-0.62, abs=voxel)
    assert np.allclose(mesh.normals[inner], [0, -1, 0], atol=1e-6)


def test_without_normals_vertices_are_left_where_they_are():
    mesh, report = mesh_with_report(Balls(), codes(0.4), 64, normals=False)
    assert mesh.normals is None and report.gradients == 0


def test_refuses_batches_and_empty_space():
    with pytest.raises(ValueError, match="one head"):
        mesh_of(Balls(), Codes(torch.ones(2, 1)), 64)
    with pytest.raises(HeadfieldError, match="no surface"):
        mesh_of(Balls(), codes(-0.5), 64)


def test_a_real_network_gives_a_closed_surface():
    from headfield.models.imhead.config import imhead_tiny
    from headfield.models.imhead.model import ImHead

    torch.manual_seed(0)
    model = ImHead(imhead_tiny()).eval()
    mesh, report = mesh_with_report(model, model.mean_codes(), 64)
    assert trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).is_watertight
    assert report.residual_voxels < 0.05
