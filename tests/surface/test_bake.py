"""Baked heads: one topology, shapes that do what their names say, on the surface of the posed field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headfield.errors import ConfigError
from headfield.expressions import plain_space
from headfield.frames import MM_PER_UNIT, anchor_indices
from headfield.surface.bake import bake
from headfield.surface.baked import Baked, unwrapped
from headfield.surface.mesh_head import mesh_of
from headfield.surface.topology import face_vectors
from headfield.surface.visibility import visible_triangles
from headfield.types import ARKIT, Codes


@pytest.fixture(scope="module")
def anchors(bald):
    with torch.no_grad():
        return bald.model.anchors(bald.codes)[0].numpy().astype(float)


def shape(baked: Baked, name: str) -> np.ndarray:
    return baked.shapes[ARKIT.index(name)]


def near(baked: Baked, anchors: np.ndarray, name: str, count: int = 12) -> np.ndarray:
    """Indices of the neutral head's vertices nearest to an anchor."""
    gap = np.linalg.norm(baked.neutral - anchors[anchor_indices([name])], axis=1)
    return np.argsort(gap)[:count]


def moved(baked: Baked, weights: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Mean motion (3,) in mm of some vertices."""
    return (baked.posed(weights) - baked.neutral)[which].mean(0) * MM_PER_UNIT


def test_one_closed_topology_for_52_shapes(baked):
    count = len(baked.neutral)
    assert baked.shapes.shape == (52, count, 3) and baked.shapes.dtype == np.float32
    assert 2300 <= count <= 2700 and np.isfinite(baked.shapes).all() and np.isfinite(baked.neutral).all()
    sides = np.concatenate([baked.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    _, uses = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    assert (uses == 2).all()  # watertight
    assert np.unique(baked.triangles).size == count
    names = [name for name, _ in baked.named_meshes()]
    assert names == ["neutral", *ARKIT]


def test_vertices_stay_the_same_places_of_the_skin(baked, bald):
    """The model's own warp takes the posed vertices back to where they are in the neutral head's space."""
    for name, share in (("mouthSmileLeft", 0.9), ("browInnerUp", 0.9), ("jawOpen", 0.6)):
        weights = torch.zeros(1, 52)
        weights[0, ARKIT.index(name)] = 1.0
        posed = torch.as_tensor(baked.posed(weights[0].numpy()), dtype=torch.float32)
        with torch.no_grad():
            back = bald.model.to_canonical(posed[None], replace(bald.codes, expression=weights))[0][0].numpy()
        gap = np.linalg.norm(back - baked.canonical, axis=1) * MM_PER_UNIT
        assert (gap < 0.5).mean() > share, name


def test_channels_that_the_model_does_not_know_do_nothing(baked):
    assert not shape(baked, "tongueOut").any()
    assert baked.report["shapes"]["tongueOut"]["moved"] == 0
    still = [name for name in ARKIT if not shape(baked, name).any()]
    assert still == ["tongueOut"]


def test_jaw_lowers_the_chin_and_leaves_the_scalp(baked, anchors):
    jaw = np.eye(52)[ARKIT.index("jawOpen")]
    assert moved(baked, jaw, near(baked, anchors, "chin"))[1] < -8
    assert abs(moved(baked, jaw, near(baked, anchors, "upper_lip"))[1]) < 4
    scalp = baked.neutral[:, 1] > anchors[anchor_indices(["forehead"])][0, 1] + 0.1
    assert scalp.sum() > 100 and np.abs(shape(baked, "jawOpen")[scalp]).max() * MM_PER_UNIT < 0.5
    lips = np.linalg.norm(np.diff(baked.posed(jaw)[[near(baked, anchors, n, 1)[0] for n in ("upper_lip", "lower_lip")]],
                                  axis=0)) * MM_PER_UNIT  # fmt: skip
    assert lips > 15


@pytest.mark.parametrize(
    ("channel", "anchor", "axis"),
    [("mouthSmile", "mouth_corner", 1), ("browOuterUp", "brow", 1), ("mouthStretch", "mouth_corner", 0)],
)
def test_mirrored_channels_move_mirrored_sides(baked, anchors, channel, anchor, axis):
    found = {}
    for side in ("Left", "Right"):
        weights = np.eye(52)[ARKIT.index(channel + side)]
        for place in ("left", "right"):
            found[side, place] = moved(baked, weights, near(baked, anchors, f"{anchor}_{place}", 25))
    for side, own, other in (("Left", "left", "right"), ("Right", "right", "left")):
        size = np.linalg.norm(found[side, own])
        assert size > 0.6 and size > 2.5 * np.linalg.norm(found[side, other]), (side, found)
    flip = [-1, 1, 1]
    np.testing.assert_allclose(found["Left", "left"], found["Right", "right"] * flip, atol=2.0)
    outward = found["Left", "left"][axis]
    assert outward > 0.4


def test_baked_surface_lies_on_the_posed_level_set(baked, anchors, bald):
    import igl
    from scipy.spatial.distance import cdist

    for names in (["mouthSmileLeft", "mouthSmileRight"], ["jawOpen"], ["browInnerUp"]):
        weights = np.isin(ARKIT, names).astype(np.float32)
        codes = replace(bald.codes, expression=torch.from_numpy(weights)[None])
        vertices = baked.posed(weights)
        with torch.no_grad():
            value = bald.model.signed_distance(torch.as_tensor(vertices)[None], codes)[0].numpy() * MM_PER_UNIT
        # what is seen: behind closed lips the mouth's bag stays inside
        seen = np.zeros(len(vertices), dtype=bool)
        seen[baked.triangles[visible_triangles(baked.mesh(weights))]] = True
        slits = anchors[anchor_indices(["upper_lip", "eye_inner_left", "eye_inner_right"])]
        outside = seen & (cdist(baked.neutral, slits).min(1) > 0.15)
        assert outside.sum() > 500
        off = np.abs(value[outside])
        assert off.mean() < 0.1 and np.median(off) < 0.02
        surface = mesh_of(bald.model, codes, 112)
        gap = np.sqrt(igl.point_mesh_squared_distance(surface.vertices.astype(float), vertices.astype(float),
                                                      baked.triangles)[0]) * MM_PER_UNIT  # fmt: skip
        # the chords of 2,500 vertices are the most of it
        assert gap.mean() < 0.6, names


def test_no_shape_turns_triangles_over(baked):
    assert baked.report["neutral_flips"] < 2e-3
    facing = face_vectors(baked.neutral, baked.triangles)
    for name, facts in baked.report["shapes"].items():
        assert facts["flips"] < 3e-3, name  # of 5,000
        turned = (face_vectors(baked.neutral + shape(baked, name), baked.triangles) * facing).sum(1) < 0
        assert turned.mean() < 2e-2, name


def test_mouth_close_is_what_it_adds_to_an_open_jaw(baked, anchors, bald):
    jaw, close = (np.eye(52)[ARKIT.index(name)] for name in ("jawOpen", "mouthClose"))
    lips = [near(baked, anchors, name, 6) for name in ("upper_lip", "lower_lip")]
    gap = lambda weights: np.linalg.norm(np.subtract(*(baked.posed(weights)[i].mean(0) for i in lips))) * MM_PER_UNIT  # noqa: E731
    assert gap(jaw) > gap(jaw + close) + 5
    both = replace(bald.codes, expression=torch.as_tensor(jaw + close, dtype=torch.float32)[None])
    with torch.no_grad():
        value = bald.model.signed_distance(torch.as_tensor(baked.posed(jaw + close), dtype=torch.float32)[None], both)
    chin = near(baked, anchors, "chin", 40)
    off = np.abs(value[0].numpy()[chin]) * MM_PER_UNIT  # the sum lies on the posed surface
    assert off.mean() < 0.1 and np.percentile(off, 90) < 0.3


def test_eyeballs_lie_inside_the_head_behind_the_lids(baked, anchors, bald):
    assert [eye.name for eye in baked.eyes] == ["eyeLeft", "eyeRight"]
    for eye, side in zip(baked.eyes, ("left", "right")):
        corners = anchors[anchor_indices([f"eye_inner_{side}", f"eye_outer_{side}"])]
        assert min(corners[:, 0]) < eye.centre[0] < max(corners[:, 0])
        assert 9 < eye.radius * MM_PER_UNIT < 16.1 and eye.rms * MM_PER_UNIT < 0.3
        with torch.no_grad():
            centre = torch.as_tensor(eye.centre, dtype=torch.float32)[None, None]
            assert float(bald.model.signed_distance(centre, bald.codes)) < 0
        depth = np.linalg.norm(baked.neutral - eye.centre, axis=1).min()
        # 0.93 of the radius; the ball itself is held by the vertices that lie on it, below
        assert 0.69 * eye.radius < depth < 1.25 * eye.radius
        distance = np.linalg.norm(baked.neutral[eye.vertices] - eye.centre, axis=1)
        assert len(eye.vertices) >= 4 and np.abs(distance - eye.radius).max() * MM_PER_UNIT < 1.1


def test_unwrapping_copies_vertices_and_nothing_else(baked):
    pytest.importorskip("xatlas", reason="texture coordinates need the extra export: pip install 'headfield[export]'")
    flat = unwrapped(baked)
    assert len(flat.neutral) >= len(baked.neutral) and flat.triangles.shape == baked.triangles.shape
    assert flat.uv.shape == (len(flat.neutral), 2) and flat.uv.min() >= 0 and flat.uv.max() <= 1
    before, after = (np.sort(head.neutral[head.triangles].reshape(-1, 9), axis=0) for head in (baked, flat))
    np.testing.assert_array_equal(after, before)
    corners = flat.uv[flat.triangles].astype(float)
    (x1, y1), (x2, y2) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    area = x1 * y2 - x2 * y1
    assert (np.abs(area) > 0).mean() > 0.99


def test_posing_is_linear_and_starts_at_the_neutral(baked):
    np.testing.assert_array_equal(baked.posed(np.zeros(52)), baked.neutral)
    one, two = np.eye(52)[[3, 17]]
    sum_ = baked.posed(one) + baked.posed(two) - baked.neutral
    np.testing.assert_allclose(baked.posed(one + two), sum_, atol=1e-6)


def test_progress_is_told_and_a_batch_or_another_language_refused(bald):
    with pytest.raises(ConfigError, match="52 ARKit"):
        other = type("Model", (), {"expression_space": plain_space(103, "flame")})
        bake(other, bald.codes)
    told = []

    def stop(share, what):
        told.append((share, what))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bake(bald.model, bald.codes, 2500, stop)
    assert told == [(0.0, "topology")]
    with pytest.raises(ValueError, match="one head"):
        bake(bald.model, Codes(bald.codes.identity.repeat(2, 1)), 2500)
