"""Ended openings: nostrils are cups, necks stand level, and who does not ask for it gets today's truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import marching_cubes

from headfield.frames import BOX, MM_PER_UNIT, anchor_indices
from headfield.synth.identities import IdentityKey
from headfield.synth.openings import RIM_RADIUS, Openings, level
from headfield.synth.person import make_person
from headfield.synth.sampling import sample_row
from headfield.synth.sheet import make_sheet
from headfield.types import ARKIT

MM = 1.0 / MM_PER_UNIT


@pytest.fixture(scope="module")
def people(ict):
    sheet = make_sheet(ict)
    openings = Openings.of(ict, sheet)
    key = IdentityKey("ict", "train", 2, 1)
    person = make_person(key, ict, sheet, 0.0)
    return [person, replace(person, openings=openings, uncut=person.anchors)]


def _euler_of_nose(person) -> int:
    """Euler characteristic of the truth's own iso-surface in a box about the nostrils that ends at 16 mm."""
    solid = person.neutral
    landmarks = person.head.landmarks68(solid.vertices)
    wings = landmarks[31:36]
    low = np.array([wings[:, 0].min() - 6 * MM, wings[:, 1].mean() - 8 * MM, wings[:, 2].min() - 10 * MM])
    high = np.array([wings[:, 0].max() + 6 * MM, wings[:, 1].mean() + 15 * MM, landmarks[30, 2] + 4 * MM])
    axes = [np.arange(a, b, 0.8 * MM) for a, b in zip(low, high)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    values = np.concatenate([solid.signed_distance(part)[0] for part in np.array_split(places.reshape(-1, 3), 8)])
    values = np.pad(values.reshape(places.shape[:3]), 1, constant_values=MM)
    vertices, triangles, *_ = marching_cubes(values, 0.0)
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return len(vertices) - len(np.unique(edges, axis=0)) + len(triangles)


def test_nostrils_are_cups_without_holes(people):
    today, ended = people
    assert _euler_of_nose(ended) == 2  # one ball without handles
    assert _euler_of_nose(today) < 2  # the caves reach further than the box: two tunnels


def test_nothing_moves_but_the_bottoms_and_the_neck(people):
    today, ended = people
    how = ended.openings
    moved = np.linalg.norm(ended.skin() - today.skin(), axis=1)
    rest = np.ones(len(moved), dtype=bool)
    rest[how.bottom] = False
    assert moved[rest & (how.slides == 0)].max() == 0.0
    assert len(how.bottom) and np.allclose(how.lay.sum(1), 1.0)  # a bottom goes where its walls go


def test_the_neck_stands_on_a_level_plane_with_a_rounded_rim(people):
    _, ended = people
    how, foot = ended.openings, level(ended.anchors)
    for expression in (None, np.eye(len(ARKIT))[ARKIT.index("jawOpen")]):
        skin = ended.skin(expression)
        flat = np.setdiff1d(how.cap, how.rim)
        assert np.abs(skin[flat, 1] - foot).max() < 1e-9
        above = skin[how.rim, 1] - foot
        assert (above > 0).all() and (above < RIM_RADIUS).all()
    assert ended.skin()[:, 1].min() > foot - 1e-9
    normals = ended.neutral.flat_normals[ended.sheet.cap & ~np.isin(ended.sheet.triangles, how.rim).any(1)]
    assert normals[:, 1].max() < -1 + 1e-9


def test_samples_lie_on_the_zero_level_and_normals_follow_the_gradient(people):
    _, ended = people
    solid = ended.neutral
    surface = solid.sample_surface(4000, np.random.default_rng(0))
    assert np.abs(solid.signed_distance(surface.points)[0]).max() < 0.05 * MM
    step = 0.2 * MM
    out, _ = solid.signed_distance(surface.points + step * surface.normals)
    into, _ = solid.signed_distance(surface.points - step * surface.normals)
    rise = (out - into) / (2 * step)
    assert np.median(rise) > 0.98 and (rise > 0.5).mean() > 0.95


def test_anchors_of_the_neck_stay_on_the_skin(people):
    _, ended = people
    neck = ended.anchors[anchor_indices(["throat", "neck_side_left", "neck_side_right"])]
    assert ended.neutral.distance(neck).max() < 3 * MM


def test_without_openings_a_head_is_the_familys(people):
    today, ended = people
    skin = today.placement.apply(today.head.raw_vertices(today.identity))
    assert np.array_equal(today.skin(), skin)
    rows = [
        sample_row(today.neutral, today.neutral, 200, 100, BOX, np.random.default_rng(0)),
        sample_row(ended.neutral, ended.neutral, 200, 100, BOX, np.random.default_rng(0)),
    ]
    assert not np.array_equal(rows[0].points, rows[1].points)


def test_a_head_without_nostrils_and_cap_is_left_alone(toy):
    sheet = make_sheet(toy)
    how = Openings.of(toy, sheet)
    vertices = toy.raw_vertices(np.zeros(2))
    assert np.array_equal(how.apply(vertices, toy.anchors(vertices)), vertices)
