"""Teeth, gums and tongue: closed, mirror-symmetric, inside a head at rest, and moving as a jaw and a tongue do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headfield.frames import MIRROR_PART, MM_PER_UNIT, anchor_indices, mirror_points, reference_anchors
from headfield.surface.eyes import Eyeball
from headfield.surface.head import Head
from headfield.surface.inverse_warp import from_canonical
from headfield.surface.mouth_parts import (
    DEPTH_MM,
    JAW_CHANNELS,
    MATERIALS,
    WITH_JAW,
    hinge_of,
    jaw_gains,
    mouth_parts_of,
    place,
    placement_of,
)
from headfield.surface.parts import posed_mesh, with_parts
from headfield.surface.rays import RayScene
from headfield.surface.topology import components, face_vectors
from headfield.types import ARKIT, Codes, Mesh

HEADS = 8


def deep(points: np.ndarray) -> np.ndarray:
    """A field that has room everywhere."""
    return np.full(len(points), -1.0)


@pytest.fixture(scope="module")
def lopsided() -> np.ndarray:
    """Anchors of a head that is wider, longer, and not symmetric."""
    rng = np.random.default_rng(3)
    return reference_anchors() * [1.08, 1.05, 0.96] + rng.normal(0, 0.008, (39, 3))


@pytest.fixture(scope="module")
def heads(bald) -> list[tuple[Head, tuple]]:
    """Heads drawn about the means of all components, each with its parts."""
    means, drawn = bald.model.prior.means, []
    for seed in range(HEADS):
        noise = torch.randn(means.shape[1], generator=torch.Generator().manual_seed(seed))
        head = Head(bald.model, Codes((means[seed % len(means)] + 0.8 * noise)[None]))
        drawn.append((head, mouth_parts_of(head)))
    return drawn


def weights(**named: float) -> np.ndarray:
    return np.array([named.get(name, 0.0) for name in ARKIT])


def named(parts) -> dict:
    return {part.name: part for part in parts}


def from_hinge(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, 1:] - hinge_of(anchors), axis=1)


def test_every_piece_is_closed_and_faces_outwards():
    parts = place(reference_anchors(), deep)
    assert [part.name for part in parts] == list(MATERIALS)
    triangles = 0
    for part in parts:
        edges = np.concatenate([part.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
        directed, uses = np.unique(edges, axis=0, return_counts=True)
        assert (uses == 1).all(), part.name  # each edge once each way: closed and consistently oriented
        assert len(np.unique(np.sort(directed, axis=1), axis=0)) * 2 == len(directed), part.name
        mesh = Mesh(part.vertices, part.triangles)
        label = components(mesh)
        assert label.max() + 1 == (16 if part.name.startswith("teeth") else 1)
        corners = part.vertices[part.triangles]
        volume = (corners[:, 0] * face_vectors(part.vertices, part.triangles)).sum(1) / 6
        each = np.bincount(label[part.triangles[:, 0]], volume)
        assert (each > 0).all(), part.name
        triangles += len(part.triangles)
    print(f"{triangles:,} triangles")
    assert triangles < 12_000


def test_a_mirrored_head_has_mirrored_parts(lopsided):
    from scipy.spatial import cKDTree

    gains = {"jawOpen": 0.8, "jawForward": 0.9, "jawLeft": 1.1, "jawRight": 0.7}
    other = gains | {"jawLeft": gains["jawRight"], "jawRight": gains["jawLeft"]}
    parts = place(lopsided, deep, gains)
    flipped = named(place(mirror_points(lopsided)[MIRROR_PART], deep, other))
    for part in parts:
        ours, theirs = part.mirrored(), flipped[part.name]
        gap, match = cKDTree(theirs.vertices).query(ours.vertices)
        assert gap.max() * MM_PER_UNIT < 0.03, part.name  # positions are stored in hundredths of a millimetre
        for channel, offsets in ours.shapes.items():
            apart = np.abs(theirs.shapes[channel][match] - offsets).max() * MM_PER_UNIT
            assert apart < 0.1, (part.name, channel)


def test_parts_are_as_wide_as_the_head_asks_and_where_its_lips_are(lopsided):
    plain, wide = (named(place(anchors, deep)) for anchors in (reference_anchors(), lopsided))
    ratio = np.ptp(wide["teethUpper"].vertices, axis=0) / np.ptp(plain["teethUpper"].vertices, axis=0)
    np.testing.assert_allclose(ratio, placement_of(lopsided).scale, rtol=1e-6)
    assert 1.02 < ratio[0] < 1.15 and ratio[2] < 1.0
    lips = lopsided[anchor_indices(["upper_lip", "lower_lip"])].mean(0)
    edge = wide["teethUpper"].vertices[:, 1].min()  # of the incisors: a little under the line of the lips
    assert -0.03 < edge - lips[1] < 0.03
    assert wide["teethUpper"].vertices[:, 2].max() < lips[2]


def test_the_jaw_turns_about_its_hinge_and_the_upper_teeth_stay(lopsided):
    anchors = lopsided
    parts = named(place(anchors, deep))
    assert not parts["teethUpper"].shapes and not parts["gumsUpper"].shapes
    assert set(parts["teethLower"].shapes) == set(JAW_CHANNELS) == set(parts["gumsLower"].shapes)
    for name in ("teethLower", "gumsLower"):
        rest, part = parts[name].vertices, parts[name]
        opened = posed_mesh(part, weights(jawOpen=1.0)).vertices
        half = posed_mesh(part, weights(jawOpen=0.5)).vertices
        before, after, between = (from_hinge(points, anchors) for points in (rest, opened, half))
        # the chord: exact at its ends (positions are float32 and rounded), shorter by 1 - cos(12.7 degrees) amid
        assert np.abs(after - before).max() * MM_PER_UNIT < 0.01
        assert (np.abs(between - before) / before).max() < 0.026
        turned = np.linalg.norm(opened - rest, axis=1) / before
        np.testing.assert_allclose(2 * np.arcsin(turned / 2), np.radians(25.33), atol=2e-3)
        assert opened[:, 1].mean() < rest[:, 1].mean() - 0.05 and not part.shapes["jawOpen"][:, 0].any()
        forward, left, right = (parts[name].shapes[channel].mean(0) for channel in JAW_CHANNELS[1:])
        assert forward[2] > 0.02 and abs(forward[0]) < 1e-6
        assert left[0] > 0.02 and right[0] < -0.02  # the subject's left is +x
    weak = named(place(anchors, deep, {"jawOpen": 0.5}))["teethLower"]
    moved = from_hinge(posed_mesh(weak, weights(jawOpen=1.0)).vertices, anchors)
    np.testing.assert_allclose(moved, from_hinge(weak.vertices, anchors), atol=1e-5)


def test_the_jaw_goes_as_far_as_the_chin_does():
    anchors = reference_anchors()
    ours = {}
    for share in (1.0, 0.6):

        def skin(points, channel, share=share):
            from headfield.surface.mouth_parts import _asset

            return share * _asset()[f"{channel}.chin"]

        ours[share] = jaw_gains(skin, anchors)
    np.testing.assert_allclose(list(ours[1.0].values()), 1.0, atol=1e-6)
    np.testing.assert_allclose(list(ours[0.6].values()), 0.6, atol=1e-6)
    assert set(jaw_gains(lambda points, channel: np.zeros_like(points), anchors).values()) == {0.0}


def test_the_tongue_comes_out_over_the_lower_lip_and_keeps_its_root(heads):
    for head, parts in heads[:4]:
        tongue, lip = named(parts)["tongue"], head.anchors()[anchor_indices(["lower_lip"])]
        tip, root = tongue.vertices[:, 2].argmax(), tongue.vertices[:, 2].argmin()
        jaw = posed_mesh(tongue, weights(jawOpen=0.4)).vertices
        out = posed_mesh(tongue, weights(jawOpen=0.4, tongueOut=1.0)).vertices
        assert np.linalg.norm(out[root] - jaw[root]) * MM_PER_UNIT < 0.1
        assert np.linalg.norm(out[tip] - jaw[tip]) * MM_PER_UNIT > 20
        opened = head.with_expression({"jawOpen": 0.4})
        outside = opened.signed_distance(out[[tip]])[0] * MM_PER_UNIT
        lip = from_canonical(opened.model, lip, opened.codes).points[0]  # where the lower lip is now
        before, after = (points[tip, 2] * MM_PER_UNIT - lip[2] * MM_PER_UNIT for points in (jaw, out))
        print(f"tip {-before:.1f} mm behind the lower lip, then {after:.1f} mm in front of it; {outside:.1f} mm off")
        assert before < -5 and after > 3 and outside > 1


def test_at_rest_everything_lies_inside_the_head(heads):
    largest = []
    for head, parts in heads:
        assert [part.name for part in parts] == list(MATERIALS)
        largest.append(head.signed_distance(np.concatenate([part.vertices for part in parts])).max() * MM_PER_UNIT)
    print("largest signed distance of any vertex, mm:", np.round(largest, 2))
    assert max(largest) < -DEPTH_MM + 1e-3


def test_a_head_without_room_gets_no_parts_and_a_tight_one_smaller_ones():
    anchors = reference_anchors()
    assert place(anchors, lambda points: np.full(len(points), 0.1)) == ()
    free = np.concatenate([part.vertices for part in place(anchors, deep)])
    radius = np.linalg.norm(free - free.mean(0), axis=1).max() - 0.004  # a ball that the free ones stick out of by 1 mm
    room = lambda points: np.linalg.norm(points - free.mean(0), axis=1) - radius  # noqa: E731
    tight = np.concatenate([part.vertices for part in place(anchors, room)])
    assert room(free).max() > 0 and room(tight).max() < -DEPTH_MM / MM_PER_UNIT
    assert np.ptp(tight[:, 0]) < np.ptp(free[:, 0])


def test_upper_teeth_are_seen_through_an_open_mouth(heads):
    """Rays from the front reach the upper teeth of most heads, and lower parts of them all."""
    seen = []
    for head, parts in heads:
        mesh = head.with_expression({"jawOpen": 0.7}).mesh(80)
        whole, _ = with_parts(mesh, (0, 0, 0), parts, weights(jawOpen=0.7))
        corner = head.anchors()[anchor_indices(["mouth_corner_left", "mouth_corner_right"])].mean(0)
        x, y = np.meshgrid(np.linspace(-0.12, 0.12, 97), np.linspace(-0.16, 0.06, 89))
        origins = np.column_stack([x.ravel() + corner[0], y.ravel() + corner[1], np.ones(x.size)])
        hit = RayScene(whole.vertices, whole.triangles).first_hit(origins, np.tile([0, 0, -1.0], (len(origins), 1)))
        ends = np.cumsum([len(mesh.triangles), *(len(part.triangles) for part in parts)])
        seen.append(np.bincount(np.searchsorted(ends, hit.triangle, side="right"), minlength=6)[1:])
    print("rays that reach", list(MATERIALS), *seen, sep="\n")
    seen = np.array(seen)
    assert (seen[:, 0] > 0).sum() > 5 and (seen.sum(1) > 300).all()


def test_a_reflected_head_has_the_mirror_image(heads):
    head, parts = heads[0]
    for part, image in zip(parts, mouth_parts_of(head.mirrored())):
        np.testing.assert_array_equal(image.vertices, mirror_points(part.vertices))
        if part.name in WITH_JAW:
            np.testing.assert_array_equal(image.shapes["jawRight"], mirror_points(part.shapes["jawLeft"]))


def test_one_mesh_of_head_and_parts_leaves_out_what_the_head_shows_itself(lopsided):
    parts = place(lopsided, deep)
    eye = Eyeball("eyeLeft", np.zeros(3), 0.05, np.arange(3), 0.0)
    head = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    whole, colours = with_parts(head, (1, 2, 3), (eye, *parts), weights(jawOpen=1.0))
    assert len(whole.vertices) == len(colours) == 3 + sum(len(part.vertices) for part in parts)
    assert (colours[:3] == (1, 2, 3, 255)).all() and tuple(colours[3, :3]) == MATERIALS["teethUpper"].colour
    lower = named(parts)["teethLower"]
    begin = 3 + len(parts[0].vertices)
    moved = whole.vertices[begin : begin + len(lower.vertices)] - lower.vertices
    np.testing.assert_allclose(moved, lower.shapes["jawOpen"], atol=1e-6)
