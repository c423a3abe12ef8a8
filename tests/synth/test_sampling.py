"""Sampled truth against independent oracles: analytic spheres and libigl on the same triangles."""

from __future__ import annotations

import igl
import numpy as np
import pytest
from trimesh.creation import icosphere

from headfield.frames import BOX
from headfield.io.quantise import SDF_LIMIT, dequantise, dequantise_normals
from headfield.synth.hair_parts import Hair, StarPart
from headfield.synth.identities import IdentityKey
from headfield.synth.person import dress, make_person
from headfield.synth.sampling import canonical_points, sample_row, signed_samples
from headfield.synth.sheet import Sheet, make_sheet
from headfield.synth.solid import Solid
from headfield.types import ARKIT

QUANTUM = 1.5 / 65535


def _sheet(triangles, n_vertices):
    nothing = np.zeros(len(triangles), dtype=bool)
    return Sheet(triangles, nothing, nothing, np.ones(len(triangles)), nothing, np.zeros(n_vertices, dtype=bool))


def _sphere(radius=0.3, subdivisions=5):
    ball = icosphere(subdivisions=subdivisions, radius=radius)
    triangles = np.array(ball.faces, dtype=np.int64)
    return Solid(_sheet(triangles, len(ball.vertices)), np.array(ball.vertices)), triangles


def test_sphere_points_normals_and_distances_are_analytic():
    solid, _ = _sphere()
    row = sample_row(solid, solid, 4000, 3000, BOX, np.random.default_rng(0))
    points, normals = dequantise(row.points, BOX), dequantise_normals(row.normals)
    radius = np.linalg.norm(points, axis=1)
    assert np.abs(radius - 0.3).max() < 2e-4
    assert ((points / radius[:, None]) * normals).sum(1).min() > 0.999
    samples = dequantise(row.samples, BOX)
    truth = np.linalg.norm(samples, axis=1) - 0.3
    near = np.abs(truth) < 0.09
    assert np.abs(row.sdf.astype(float) - truth)[near].max() < 3e-4
    assert (np.sign(row.sdf[np.abs(truth) > 1e-3]) == np.sign(truth[np.abs(truth) > 1e-3])).all()
    far = np.abs(truth) > SDF_LIMIT + 1e-3
    assert far.any() and np.allclose(np.abs(row.sdf[far].astype(float)), SDF_LIMIT, atol=1e-4)
    assert (truth < 0).mean() > 0.3 and (truth > 0).mean() > 0.3


def test_sampling_is_even_by_area():
    solid, _ = _sphere()
    points = solid.sample_surface(20000, np.random.default_rng(1)).points
    for axis in range(3):  # Archimedes: uniform on a sphere is uniform along every axis
        shares = np.histogram(points[:, axis], bins=10, range=(-0.3, 0.3))[0] / len(points)
        assert np.abs(shares - 0.1).max() < 0.01
    # shuffled: any run of a row is a fair sample
    assert abs(np.histogram(points[:2000, 0], bins=2)[0][0] / 2000 - 0.5) < 0.05


def test_two_overlapping_spheres_are_one_solid():
    """The sphere beside acts as hair: its buried part is neither surface nor distance, the sign is the union's."""
    skin, _ = _sphere()
    ball = icosphere(subdivisions=5, radius=0.2)
    centre = np.array([0.3, 0.0, 0.0])
    part = StarPart(centre, np.array(ball.vertices) + centre, np.array(ball.faces, dtype=np.int64))
    solid = Solid(skin.sheet, skin.vertices, Hair((part,), skin.sheet, skin.vertices))
    surface = solid.sample_surface(6000, np.random.default_rng(0))
    to_skin = np.linalg.norm(surface.points, axis=1) - 0.3
    to_part = np.linalg.norm(surface.points - centre, axis=1) - 0.2
    assert np.minimum(to_skin, to_part).min() > -6e-4
    assert np.abs(np.where(surface.hair, to_part, to_skin)).max() < 5e-4
    # areas of the two spherical caps that stay outside
    plane = (0.3**2 + 0.3**2 - 0.2**2) / (2 * 0.3)
    left, right = 2 * np.pi * 0.3 * (0.3 + plane), 2 * np.pi * 0.2 * (0.2 + 0.3 - plane)
    assert abs(surface.hair.mean() - right / (left + right)) < 0.02
    points = np.random.default_rng(1).uniform([-0.4, -0.4, -0.4], [0.6, 0.4, 0.4], (4000, 3))
    distance, ambiguous = solid.signed_distance(points)
    assert not ambiguous.any()
    to_skin, to_part = np.linalg.norm(points, axis=1) - 0.3, np.linalg.norm(points - centre, axis=1) - 0.2
    union = np.minimum(to_skin, to_part)
    outside = union > 1e-3
    assert (np.sign(distance) == np.sign(union))[np.abs(union) > 1e-3].all()
    assert np.abs(distance - union)[outside].max() < 1e-3
    # inside, the true distance is to the outer skins or to their seam, never to a buried skin
    seam = np.sqrt(0.3**2 - plane**2)
    around = np.hypot(points[:, 0] - plane, np.hypot(points[:, 1], points[:, 2]) - seam)
    reach = np.full(len(points), np.inf)
    for middle, radius, side in ((np.zeros(3), 0.3, -1), (centre, 0.2, 1)):
        offset = points - middle
        length = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
        foot = middle + offset / length[:, None] * radius
        shown = side * (foot[:, 0] - plane) > 0
        reach = np.where(shown, np.minimum(reach, np.abs(length - radius)), reach)
    inside = union < -1e-3
    assert np.abs(-distance - np.minimum(reach, around))[inside].max() < 4e-3


@pytest.fixture(scope="module")
def toy_person(toy):
    return make_person(IdentityKey("ict", "train", 0, 1), toy, hair_share=0.0)


def test_points_lie_on_the_triangles(toy_person):
    expression = np.zeros(52)
    expression[ARKIT.index("jawOpen")] = 1.0
    solid = toy_person.solid(expression)
    surface = solid.sample_surface(3000, np.random.default_rng(0))
    squared, triangle, _ = igl.point_mesh_squared_distance(surface.points, solid.vertices, solid.sheet.triangles)
    assert np.sqrt(squared).max() < 1e-9
    assert np.allclose(np.linalg.norm(surface.normals, axis=1), 1)
    assert (surface.normals * solid.flat_normals[triangle]).sum(1).min() > 0.5
    winding = igl.winding_number(solid.vertices, solid.sheet.triangles, surface.points + 2e-3 * surface.normals)
    assert winding.max() < 0.5


def test_correspondence(toy_person):
    expression = np.zeros(52)
    expression[ARKIT.index("jawOpen")] = 1.0
    neutral, posed = toy_person.neutral, toy_person.solid(expression)
    row = sample_row(neutral, neutral, 500, 300, BOX, np.random.default_rng(0))
    assert np.array_equal(row.canonical, row.points) and row.canonical_valid.all()
    surface = posed.sample_surface(3000, np.random.default_rng(0))
    places, valid = canonical_points(surface, neutral)
    assert valid.all()
    # the toy's jaw moves points along y only, by a known amount of the direction at rest
    moved = surface.points - places
    scale = toy_person.placement.scale
    assert np.abs(moved @ toy_person.placement.rotation[:, 0]).max() < 1e-9
    assert moved[:, 1].min() < -0.015 * scale and moved[:, 1].max() < 1e-9
    squared, _, _ = igl.point_mesh_squared_distance(places, neutral.vertices, neutral.sheet.triangles)
    assert np.sqrt(squared).max() < 1e-9


def test_far_points_keep_their_sign(toy_person):
    solid = toy_person.neutral
    surface = solid.sample_surface(4000, np.random.default_rng(0))
    samples, sdf, _ = signed_samples(solid, surface, 2000, BOX, np.random.default_rng(1))
    exact, _ = solid.signed_distance(dequantise(samples, BOX))
    assert np.abs(np.clip(exact, -SDF_LIMIT, SDF_LIMIT) - sdf.astype(float)).max() < 1e-4


def test_the_closed_mouth_is_solid_and_the_opened_one_is_not(ict):
    sheet = make_sheet(ict)
    person = make_person(IdentityKey("ict", "train", 1, 1), ict, sheet, 0.0)
    jaw = np.zeros(52)
    jaw[ARKIT.index("jawOpen")] = 0.7
    neutral, opened = person.neutral, person.solid(jaw)
    assert not neutral.lips_open and opened.lips_open
    lips = person.head.landmarks68(opened.vertices)[60:68].mean(0)
    behind = lips + np.array([[0, 0, -0.08], [0, 0, -0.12], [0.02, 0, -0.1]])
    sdf_neutral, _ = neutral.signed_distance(behind)
    sdf_opened, ambiguous = opened.signed_distance(behind)
    assert (sdf_neutral < -0.03).all()
    assert (sdf_opened > 0.01).all() and not ambiguous.any()
    # the cavity's wall is surface now, and was not before
    surface = opened.sample_surface(8000, np.random.default_rng(0))
    in_bag = sheet.bag[surface.triangle]
    assert in_bag.mean() > 0.02
    _, valid = canonical_points(surface, neutral)
    assert valid[~sheet.interior[surface.triangle]].all()
    assert not valid[in_bag].all()
    assert sheet.bag[neutral.sample_surface(8000, np.random.default_rng(0)).triangle].mean() < 0.01


def test_visible_points_of_a_whole_head_see_the_outside(ict):
    person = make_person(IdentityKey("ict", "train", 2, 1), ict, None, 0.0)
    person = dress(person, "medium", "full", np.random.default_rng(0))
    solid = person.solid(None)
    surface = solid.sample_surface(6000, np.random.default_rng(0))
    buried, _ = solid.signed_distance(surface.points + 2.5e-3 * surface.normals)
    assert (buried < 0).mean() < 0.01
    assert 0.2 < surface.hair.mean() < 0.8


def test_hair_never_fills_the_mouth_nor_covers_the_face(ict):
    sheet = make_sheet(ict)
    jaw = np.zeros(52)
    jaw[ARKIT.index("jawOpen")] = 1.0
    for index, name in enumerate(("short", "medium", "neck", "bun", "receding", "fringe", "parting")):
        person = make_person(IdentityKey("ict", "train", index, 3), ict, sheet, 0.0)
        person = dress(person, name, "none", np.random.default_rng(index))
        assert person.hair_class == name
        opened = person.skin(jaw)
        wall = np.unique(sheet.triangles[sheet.bag])
        assert not person.hair.contains(opened[wall]).any()
        landmarks = person.head.landmarks68(person.skin())[17:]  # brows, nose, eyes, lips
        if name == "fringe":
            landmarks = landmarks[10:]
        assert not person.hair.contains(landmarks).any()


def test_beards_stay_off_lips_and_follow_the_jaw(ict):
    sheet = make_sheet(ict)
    bare = make_person(IdentityKey("ict", "train", 3, 3), ict, sheet, 0.0)
    jaw = np.zeros(52)
    jaw[ARKIT.index("jawOpen")] = 1.0
    for name in ("moustache", "full"):
        person = dress(bare, "bald", name, np.random.default_rng(0))
        thickness = np.linalg.norm(person.skin() - bare.skin(), axis=1)
        assert 0.015 < thickness.max() < 0.2
        lips = ict.landmark_vertices[60:68]
        assert thickness[lips].max() < 1e-6
        assert thickness[np.unique(sheet.triangles[sheet.bag])].max() < 1e-9
        posed = np.linalg.norm(person.skin(jaw) - bare.skin(jaw), axis=1)
        assert np.allclose(posed, thickness, atol=1e-9)
