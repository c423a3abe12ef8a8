"""Non-rigid ICP: laws on small shapes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation
from seeded import seeded

from headfield.curate.flips import FlipTest
from headfield.curate.nicp import STAGES, NicpOptions, Stage, register
from headfield.curate.template_parts import prepare
from headfield.errors import ConfigError, ScanError
from headfield.surface.nearest import Target
from headfield.types import Mesh, Similarity

MM = 100.0  # shapes here are a unit, 100 mm, large
QUICK = NicpOptions(stages=(STAGES[0], Stage(40, 0.5, 3, 40, 0.2), Stage(15, 0.1, 3, 30), Stage(5, 0.02, 3, 20)))


def ball(subdivisions: int, stretch=(1.0, 1.0, 1.0), bumps: float = 0.0) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions)
    vertices = np.array(sphere.vertices)
    radius = 1 + bumps * np.sin(3 * vertices[:, 0]) * np.cos(4 * vertices[:, 1])
    return Mesh(vertices * radius[:, None] * stretch, np.array(sphere.faces))


TEMPLATE = ball(3)
TARGET = ball(4, (0.9, 1.2, 1.0), 0.08)


def without(mesh: Mesh, gone: np.ndarray) -> Mesh:
    """The mesh without triangles that touch the vertices `gone` (V,) bool; the vertices stay where they are."""
    return Mesh(mesh.vertices, mesh.triangles[~gone[mesh.triangles].any(1)])


def off_surface(vertices: np.ndarray, surface: Mesh) -> np.ndarray:
    return Target(surface).closest(vertices)[0] * MM


@pytest.fixture(scope="module")
def plain():
    return register(TEMPLATE, TARGET, options=QUICK, mm_per_unit=MM)


def test_a_ball_takes_the_shape_of_another(plain):
    before, distance = off_surface(TEMPLATE.vertices, TARGET), off_surface(plain.vertices, TARGET)
    assert before.mean() > 5 and distance.mean() < 0.02 * before.mean() and distance.max() < 1.0
    assert plain.matched.all() and plain.flipped == 0
    assert np.allclose(plain.error, distance, atol=1e-6)


def test_a_softer_template_comes_nearer():
    means = []
    for count in (1, 2, 4):
        result = register(TEMPLATE, TARGET, options=NicpOptions(stages=QUICK.stages[:count]), mm_per_unit=MM)
        means.append(off_surface(result.vertices, TARGET).mean())
    assert means[0] > 1.3 * means[1] > 13 * means[2]


def test_frame_and_unit_do_not_matter(plain):
    move = Similarity(Rotation.from_rotvec([0.4, -1.0, 2.0]).as_matrix(), np.array([70.0, -3.0, 11.0]), 0.025)
    moved = register(TEMPLATE.transformed(move), TARGET.transformed(move), options=QUICK, mm_per_unit=MM / 0.025)
    away = np.linalg.norm(move.inverse().apply(moved.vertices) - plain.vertices, axis=1) * MM
    assert away.mean() < 0.05 and away.max() < 0.3  # the solver's tolerance, along a surface that hardly holds a ball


def test_a_cloud_is_as_good_as_its_mesh(plain):
    fine = ball(5, (0.9, 1.2, 1.0), 0.08)
    shape = trimesh.Trimesh(fine.vertices, fine.triangles)
    for normals in (shape.vertex_normals, -shape.vertex_normals, None):
        cloud = Mesh(fine.vertices, np.zeros((0, 3), int), None if normals is None else np.array(normals))
        result = register(TEMPLATE, cloud, options=QUICK, mm_per_unit=MM)
        assert off_surface(result.vertices, fine).mean() < 1.4 * off_surface(plain.vertices, fine).mean()
        assert np.linalg.norm(result.vertices - plain.vertices, axis=1).mean() * MM < 1.0


def test_a_mesh_turned_inside_out_is_the_same_scan(plain):
    inverted = register(TEMPLATE, Mesh(TARGET.vertices, TARGET.triangles[:, ::-1]), options=QUICK, mm_per_unit=MM)
    assert np.abs(inverted.vertices - plain.vertices).max() * MM < 0.5
    backwards = register(Mesh(TEMPLATE.vertices, TEMPLATE.triangles[:, ::-1]), TARGET, options=QUICK, mm_per_unit=MM)
    assert np.abs(backwards.vertices - plain.vertices).max() * MM < 1e-6


def test_landmarks_turn_a_ball_that_the_surface_cannot_turn():
    turned = Rotation.from_rotvec([0, 0, 0.25]).apply(TEMPLATE.vertices)
    chosen = np.random.default_rng(seeded(0)).choice(len(turned), 30, replace=False)
    options = NicpOptions(stages=(Stage(100, 10.0, 6, 60, 0.2), Stage(30, 1.0, 3, 40)))
    free = register(TEMPLATE, TEMPLATE, options=options, mm_per_unit=MM)
    led = register(TEMPLATE, TEMPLATE, landmarks=(chosen, turned[chosen]), options=options, mm_per_unit=MM)
    assert np.linalg.norm(free.vertices - TEMPLATE.vertices, axis=1).max() * MM < 0.1
    assert np.linalg.norm(led.vertices - turned, axis=1).mean() * MM < 1.0
    assert np.isfinite(led.landmark_error).all() and np.median(led.landmark_error) < 1.0


def test_landmarks_inside_triangles_and_unknown_ones():
    turned = Rotation.from_rotvec([0, 0, 0.25]).apply(TEMPLATE.vertices)
    triangle = np.arange(0, 1280, 40)
    share = np.tile([0.2, 0.3, 0.5], (len(triangle), 1))
    points = np.einsum("lk,lkc->lc", share, turned[TEMPLATE.triangles[triangle]])
    points[::5] = np.nan
    options = NicpOptions(stages=(Stage(100, 10.0, 6, 60, 0.2), Stage(30, 1.0, 3, 40)))
    led = register(TEMPLATE, TEMPLATE, landmarks=((triangle, share), points), options=options, mm_per_unit=MM)
    assert np.linalg.norm(led.vertices - turned, axis=1).mean() * MM < 1.0
    assert np.isnan(led.landmark_error[::5]).all() and np.isfinite(led.landmark_error[1::5]).all()


@pytest.mark.parametrize("as_cloud", [False, True])
def test_what_was_not_scanned_does_not_drag_the_template(plain, as_cloud):
    """A scan that ends half way: beyond its rim the template keeps its shape, and is not drawn to the rim."""
    fine = ball(5, (0.9, 1.2, 1.0), 0.08)
    front = without(fine, fine.vertices[:, 2] < 0.2)
    if as_cloud:
        normals = np.array(trimesh.Trimesh(fine.vertices, fine.triangles, process=False).vertex_normals)
        keep = fine.vertices[:, 2] >= 0.2
        front = Mesh(fine.vertices[keep], np.zeros((0, 3), int), normals[keep])
    gated = register(TEMPLATE, front, options=QUICK, mm_per_unit=MM)
    free = NicpOptions(stages=QUICK.stages, rim_gate=False)
    dragged = register(TEMPLATE, front, options=free, mm_per_unit=MM)
    unseen = TEMPLATE.vertices[:, 2] < 0.0
    assert not gated.matched[unseen].any()
    assert gated.matched[TEMPLATE.vertices[:, 2] > 0.4].mean() > 0.95
    assert gated.error[gated.matched].mean() < 0.2
    low = np.array([result.vertices[unseen, 2].min() for result in (plain, gated, dragged)])
    assert low[1] < -0.7 and low[2] > low[1] + 0.1, low  # where the back of the ball ends up


def test_a_support_takes_over_where_the_scan_ends(plain):
    front = without(TARGET, TARGET.vertices[:, 2] < 0.2)
    alone = register(TEMPLATE, front, options=QUICK, mm_per_unit=MM)
    supported = register(TEMPLATE, front, options=QUICK, support=ball(4, (0.9, 1.2, 1.0)), mm_per_unit=MM)
    back = TEMPLATE.vertices[:, 2] < -0.2
    assert off_surface(supported.vertices[back], ball(4, (0.9, 1.2, 1.0))).mean() < 0.5
    assert off_surface(alone.vertices[back], ball(4, (0.9, 1.2, 1.0))).mean() > 2
    assert not supported.matched[back].any(), "the support is no scan"
    assert supported.error[supported.matched].mean() < 0.2


def test_doubled_vertices_stay_together_and_small_parts_ride_along():
    """A texture seam (its vertices doubled) does not open; an eyeball keeps its shape and its place."""
    left = TEMPLATE.vertices[TEMPLATE.triangles].mean(1)[:, 0] < 0
    doubled = TEMPLATE.triangles.copy()
    doubled[left] += len(TEMPLATE.vertices)
    eye = trimesh.creation.icosphere(2, radius=0.12)
    both = np.concatenate([TEMPLATE.vertices, TEMPLATE.vertices, eye.vertices + [0.0, 0.0, 0.92]])
    triangles = np.concatenate([doubled, eye.faces + 2 * len(TEMPLATE.vertices)])
    grown = ball(4, (1.2, 1.2, 1.2))
    result = register(Mesh(both, triangles), grown, options=QUICK, mm_per_unit=MM)
    count = len(TEMPLATE.vertices)
    assert np.array_equal(result.vertices[:count], result.vertices[count : 2 * count])
    moved = result.vertices[2 * count :]
    radius = np.linalg.norm(moved - moved.mean(0), axis=1)
    assert radius.std() < 1e-9 and np.isclose(radius.mean(), 0.144, rtol=0.05)
    assert np.allclose(moved.mean(0), [0, 0, 1.2 * 0.92], atol=0.03)
    assert np.isnan(result.error[2 * count :]).all()


def test_hidden_skin_is_bent_but_not_matched():
    inner = ball(3)
    both = Mesh(
        np.concatenate([TEMPLATE.vertices, 0.8 * inner.vertices]),
        np.concatenate([TEMPLATE.triangles, inner.triangles[:, ::-1] + len(inner.vertices)]),
    )
    parts = prepare(both)
    seen = parts.seen[parts.of_original]
    assert seen[: len(inner.vertices)].all() and not seen[len(inner.vertices) :].any()


def test_flips_are_told_from_turns():
    test = FlipTest(TEMPLATE.vertices, TEMPLATE.triangles)
    turn = Rotation.from_rotvec([2.0, 1.0, -1.5])
    assert not test.flipped(turn.apply(TEMPLATE.vertices) * 3 + 5).any()
    assert not test.flipped(TARGET.vertices[: len(TEMPLATE.vertices)]).any()  # the same vertices, stretched
    pushed = TEMPLATE.vertices.copy()
    apex = int(TEMPLATE.triangles[0, 0])
    fan = TEMPLATE.triangles[(TEMPLATE.triangles == apex).any(1)]
    far = fan[0][fan[0] != apex]
    pushed[apex] += 2.5 * (pushed[far].mean(0) - pushed[apex])  # over the opposite edge
    flagged = test.flipped(turn.apply(pushed))
    assert flagged.any() and (TEMPLATE.triangles[flagged] == apex).any(1).all()
    assert np.array_equal(flagged, test.flipped(pushed))


def test_landmarks_that_cross_do_not_fold_the_template():
    """Two neighbours are told to change places: the template gives way rather than turn triangles over."""
    i, j = TEMPLATE.triangles[100][:2]
    crossed = TEMPLATE.vertices[[j, i]] * 1.0
    options = NicpOptions(stages=(*QUICK.stages[:3], Stage(3, 20.0, 3, 20)))
    folded = register(TEMPLATE, TEMPLATE, landmarks=(np.array([i, j]), crossed), options=options, mm_per_unit=MM)
    assert folded.flipped == 0


def test_progress_counts_to_one():
    shares: list[float] = []
    register(TEMPLATE, TARGET, options=QUICK, mm_per_unit=MM, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_what_cannot_be_registered_says_so():
    with pytest.raises(ScanError, match="do not overlap"):
        register(TEMPLATE, Mesh(TARGET.vertices + 50.0, TARGET.triangles), options=QUICK, mm_per_unit=MM)
    with pytest.raises(ScanError, match="no faces"):
        register(Mesh(TEMPLATE.vertices, np.zeros((0, 3), int)), TARGET, mm_per_unit=MM)
    with pytest.raises(ScanError, match="empty"):
        register(TEMPLATE, Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)), mm_per_unit=MM)
    with pytest.raises(ScanError, match="not finite"):
        register(Mesh(TEMPLATE.vertices * np.nan, TEMPLATE.triangles), TARGET, mm_per_unit=MM)
    with pytest.raises(ConfigError, match="as many points"):
        register(TEMPLATE, TARGET, landmarks=(np.arange(3), np.zeros((4, 3))), mm_per_unit=MM)
    with pytest.raises(ConfigError, match="index 99999"):
        register(TEMPLATE, TARGET, landmarks=(np.array([99999]), np.zeros((1, 3))), mm_per_unit=MM)
    with pytest.raises(ConfigError, match="at least one stage"):
        register(TEMPLATE, TARGET, options=NicpOptions(stages=()), mm_per_unit=MM)
