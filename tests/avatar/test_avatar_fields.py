"""Published sizes of the fields, explicit derivatives against autograd, morphing against its literal equation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_rig import toy_frames, toy_rig

from headfield.avatar.avatar import Avatar
from headfield.avatar.config import published, small, tiny
from headfield.avatar.morph import Poses, deformed_normals
from headfield.avatar.networks import Deformation, Geometry, Rows, Texture


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def linear(*widths: int) -> int:
    return sum(a * b + b for a, b in zip(widths[:-1], widths[1:]))


def test_published_sizes():
    # FLAME: 50 expressions, 36 pose features, 5 joints; 39 numbers of an encoded point, 27 of texture's
    geometry = linear(39, 512, 512, 512, 512 - 39) + linear(512, 512, 512, 512, 512, 257)
    deformation = linear(3, 128, 128, 128, 128) + linear(128, 3 * 86) + linear(128, 128, 5)
    texture = linear(53, 8) + linear(27 + 3 + 8 + 256, 512, 512, 512, 512, 3)
    found = [
        size(Geometry(published())),
        size(Deformation(published(), 50, 36, 5)),
        size(Texture(published(), 53)),
    ]
    print("parameters of geometry, deformation, texture", found)
    assert found == [geometry, deformation, texture] == [1_970_906, 100_487, 940_979]


def test_the_small_preset_is_four_layers_of_128():
    config = small()
    assert (config.geometry_layers, config.geometry_hidden) == (4, 128)
    assert (config.deformation_layers, config.deformation_hidden) == (4, 128)
    assert (config.texture_layers, config.texture_hidden) == (4, 128)


def shaken(seed: int = 0, frames: int = 3, latent: int = 0):
    """A tiny avatar in float64 whose heads do something, with frames of the toy rig and rows of points."""
    torch.manual_seed(seed)
    rig = toy_rig()
    avatar = Avatar(replace(tiny(), latent=latent, wave_gain=0.5), len(rig.channels), len(rig.joints), frames).double()
    with torch.no_grad():
        avatar.deformation.blend.weight.normal_(0, 0.1)
        avatar.deformation.blend.bias.normal_(0, 0.02)
        avatar.geometry.mlp.first[:, :, 3:].normal_(0, 0.1)
        if latent:
            avatar.codes.normal_(0, 0.3)
    poses = Poses.of(rig, *toy_frames(frames), like=torch.zeros(1, dtype=torch.float64))
    points = torch.as_tensor(np.random.default_rng(seed).uniform(-0.6, 0.6, (7 * frames, 3)))
    rows = Rows.of(torch.arange(frames).repeat_interleave(7), frames)
    return avatar, poses, points, rows


@pytest.mark.parametrize("latent", [0, 3])
def test_slopes_are_those_of_autograd(latent):
    avatar, poses, points, rows = shaken(latent=latent)
    points.requires_grad_(True)
    bound = avatar.bound(poses, torch.arange(3))
    g, _, slope = avatar.geometry(points, rows, bound.codes, slope=True)
    (expected,) = torch.autograd.grad(g.sum(), points, retain_graph=True)
    assert torch.allclose(slope, expected, atol=1e-12)
    assert torch.allclose(g, bound.g(points, rows), atol=1e-13), "the same field with and without its slope"
    morphed = bound.morph(points, rows, slope=True)
    jacobian = torch.stack(
        [torch.autograd.grad(morphed.points[:, k].sum(), points, retain_graph=True)[0] for k in range(3)], dim=1
    )
    print("largest error of the Jacobian", float((morphed.jacobian - jacobian).detach().abs().max()))
    assert torch.allclose(morphed.jacobian, jacobian, atol=1e-12)


def test_heads_contracted_first_are_the_whole_blendshapes_contracted_later():
    avatar, poses, points, rows = shaken()
    said = avatar.deformation(points, rows, avatar.deformation.contract(poses.coefficients))
    whole = avatar.deformation.basis(said.hidden)
    expected = torch.einsum("pn,pna->pa", poses.coefficients[rows.frame], whole)
    assert torch.allclose(said.offset, expected, atol=1e-13)
    assert torch.allclose(said.weights.sum(1), torch.ones(len(points), dtype=torch.float64))


def test_morphing_is_the_rig_s_own_equation():
    """Eq. 5 with the network's E, P and W handed to the rig's own skinning in numpy: an oracle of other code."""
    avatar, poses, points, rows = shaken()
    rig, (expressions, thetas) = toy_rig(), toy_frames(3)
    morphed = avatar.bound(poses).morph(points, rows)
    whole = avatar.deformation.basis(morphed.deformed.hidden).detach().numpy()
    for frame in range(3):
        mine = (rows.frame == frame).numpy()
        own = replace(
            rig,
            vertices=points[mine].numpy(),
            shapes=whole[mine, 18:],
            correctives=whole[mine, :18],
            weights=morphed.deformed.weights[mine].detach().numpy(),
        )
        expected = own.posed(expressions[frame], thetas[frame])
        assert np.allclose(morphed.points[mine].detach().numpy(), expected, atol=1e-12)


def test_nothing_moves_in_the_canonical_pose():
    avatar, _, points, rows = shaken()
    rig = toy_rig()
    rest = Poses.of(rig, np.zeros((3, 2)), np.repeat(rig.canonical[None], 3, 0), like=points)
    assert torch.allclose(avatar.bound(rest).morph(points, rows).points, points, atol=1e-13)
    assert np.allclose(rig.posed(np.zeros(2), rig.canonical), rig.vertices, atol=1e-13)


def test_deformed_normals_are_those_of_the_posed_level_set():
    """Against finite differences of g after the warp's inverse, which Newton finds (Eq. 6)."""
    avatar, poses, points, rows = shaken()
    bound = avatar.bound(poses)
    with torch.no_grad():
        shaded = bound.shade(points, rows)
        target, step, slope = shaded.morphed.points, 1e-5, torch.empty_like(points)
        for axis in range(3):
            values = []
            for sign in (1.0, -1.0):
                x, aim = points.clone(), target + sign * step * torch.eye(3, dtype=torch.float64)[axis]
                for _ in range(8):
                    there = bound.morph(x, rows, slope=True)
                    x = x - torch.linalg.solve(there.jacobian, there.points - aim)
                values.append(bound.g(x, rows))
            slope[:, axis] = (values[0] - values[1]) / (2 * step)
    expected = torch.nn.functional.normalize(slope, dim=1)
    positive = torch.linalg.det(shaded.morphed.jacobian) > 0
    error = (shaded.normals - expected)[positive].abs().max()
    print("largest error of deformed normals", float(error), "of", int(positive.sum()), "points")
    assert int(positive.sum()) > 15 and float(error) < 1e-6
    with torch.no_grad():  # a rotation turns normals with it
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
        turn = turn * torch.linalg.det(turn)
    one = torch.tensor([[0.0, 0.6, 0.8]], dtype=torch.float64)
    assert torch.allclose(deformed_normals(one, turn[None]), one @ turn.T)
