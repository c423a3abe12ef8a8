"""Exported heads with eyeballs of their own: lids meet the ball, and nothing is seen of the socket behind it."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.frames import MM_PER_UNIT
from headfield.io import gltf_sockets
from headfield.surface.rays import RayScene
from headfield.types import ARKIT

POSES = ({}, {"eyeBlink": 0.5}, {"eyeWide": 1.0}, {"eyeSquint": 1.0}, {"eyeLookDown": 1.0}, {"eyeLookOut": 1.0},
         {"eyeLookUp": 0.7, "eyeLookIn": 0.7})  # fmt: skip


def weights_of(pose, side):
    return np.array([pose.get(name.removesuffix(side), 0.0) if name.endswith(side) else 0.0 for name in ARKIT])


def seen(baked, vertices, shapes, eye, pose):
    """Rays from the front at an eye: how far behind the fused skin they meet the head (mm), where they meet that and
    not a ball, and how many of them meet it inside the ball."""
    weights = weights_of(pose, eye.name.removeprefix("eye"))
    data, ball = eye.vertex_data()
    posed = vertices + np.tensordot(weights, shapes, axes=1)
    whole = RayScene(
        np.concatenate([posed, eye.centre + eye.radius * data["POSITION"]]),
        np.concatenate([baked.triangles, ball + len(posed)]),
    )
    spread = np.stack(np.meshgrid(np.arange(-1.1, 1.1, 0.013), np.arange(-0.8, 0.8, 0.013)), -1).reshape(-1, 2)
    origins = np.column_stack([eye.centre[:2] + spread * eye.radius, np.full(len(spread), eye.centre[2] + 1)])
    along = np.broadcast_to([0.0, 0.0, -1.0], origins.shape)
    hits = whole.first_hit(origins, along)
    fused = RayScene(baked.posed(weights), baked.triangles).first_hit(origins, along)
    skin = (hits.triangle >= 0) & (hits.triangle < len(baked.triangles))
    places = origins[skin] + hits.distance[skin, None] * along[skin]
    inside = np.linalg.norm(places - eye.centre, axis=1) < 0.985 * eye.radius
    return (hits.distance - fused.distance)[skin] * MM_PER_UNIT, int(inside.sum())


@pytest.mark.parametrize("eye", [0, 1])
def test_no_ray_passes_between_lid_and_ball_and_the_join_is_kept(baked, eye, monkeypatch):
    ball = baked.eyes[eye]
    arguments = (baked.neutral.astype(float), baked.triangles, baked.shapes.astype(float), ARKIT, baked.eyes)
    sealed = gltf_sockets.with_sockets(*arguments)
    monkeypatch.setattr(gltf_sockets, "SEAL", gltf_sockets.SOCKET)  # the rim drawn back like the rest of the socket
    monkeypatch.setattr(gltf_sockets, "LID", gltf_sockets.LIFT)  # and lids lifted
    open_ = gltf_sockets.with_sockets(*arguments)
    rows = []
    for pose in POSES:
        behind, inside = seen(baked, *sealed, ball, pose)
        before, _ = seen(baked, *open_, ball, pose)
        assert inside == 0, (pose, inside)
        rows.append([(np.abs(depth) > 0.25).sum() for depth in (behind, before)])
    total = np.sum(rows, axis=0)
    print(f"{ball.name}: rays that meet skin off the fused surface by over 0.25 mm: {rows}, {total}")
    assert total[0] < total[1]


def test_copies_along_seams_stay_together(baked):
    """A head cut along all its edges, as an atlas cuts it along some, moves as the whole does."""
    arguments = (baked.shapes.astype(float), ARKIT, baked.eyes)
    vertices, shapes = gltf_sockets.with_sockets(baked.neutral.astype(float), baked.triangles, *arguments)
    # every triangle has corners of its own
    loose = baked.triangles.ravel()
    apart = [type(eye)(eye.name, eye.centre, eye.radius, np.flatnonzero(np.isin(loose, eye.vertices)), eye.rms)
             for eye in baked.eyes]  # fmt: skip
    again, moved = gltf_sockets.with_sockets(
        baked.neutral.astype(float)[loose], np.arange(len(loose)).reshape(-1, 3), arguments[0][:, loose], ARKIT, apart
    )
    np.testing.assert_allclose(again, vertices[loose], atol=1e-12)
    np.testing.assert_allclose(moved, shapes[:, loose], atol=1e-6)
