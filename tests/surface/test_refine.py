"""Surfaces of two resolutions: closed, and those of the two dense grids on either side."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from headfield.surface import join as joining
from headfield.surface import refine
from headfield.surface.extract import _Sampler, dense_grid, extract
from headfield.surface.marching import mesh_of_grid
from headfield.surface.refine import extract_refined, finer_grid

BOX = np.array([[-1.0, -0.8, -1.1], [1.0, 0.9, 0.7]])


def ball(points, centre=(0.0, 0.0, -0.2), radius=0.6):
    return np.linalg.norm(points - np.array(centre), axis=1) - radius


def torus(points, large=0.45, small=0.14):
    ring = np.hypot(points[:, 0], points[:, 1]) - large
    return np.hypot(ring, points[:, 2] + 0.2) - small


def lids(points):
    """A ball with a slit a third of a coarse voxel wide at its middle, as between almost closed lids."""
    slit = np.abs(points[:, 1]) - 0.008 - 0.02 * points[:, 0] ** 2
    return np.maximum(ball(points), -np.maximum(slit, 0.25 - points[:, 2]))


def waves(seed, strength=1.0):
    """A smooth random field, at most about as steep as a distance."""
    rng = np.random.default_rng(seed)
    turn, phase, height = rng.normal(0, 9, (12, 3)), rng.uniform(0, 7, 12), rng.normal(size=12)
    height /= np.abs(height * np.linalg.norm(turn, axis=1)).sum() / 2.5 / strength
    return lambda p: np.sin(p @ turn.T + phase) @ height


FIELDS = {
    "ball": ball,
    "torus": torus,
    "lids": lids,
    "two close balls": lambda p: np.minimum(ball(p, (0.305, 0, 0), 0.3), ball(p, (-0.305, 0, 0), 0.3)),
    "thin sheet": lambda p: np.abs(ball(p)) - 0.007,
}


def random_boxes(seed, count):
    rng = np.random.default_rng(seed)
    low = rng.uniform(BOX[0] - 0.1, BOX[1] - 0.25, (count, 3))
    return np.stack([low, low + rng.uniform(0.2, 0.9, (count, 3))], axis=1)


def facts(found):
    """Open edges, edges of more than two triangles, inconsistent edges, repeated triangles and Euler's number."""
    mesh = trimesh.Trimesh(found.vertices, found.triangles, process=False)
    edges = np.concatenate([found.triangles[:, [0, 1]], found.triangles[:, [1, 2]], found.triangles[:, [2, 0]]])
    _, directed = np.unique(edges, axis=0, return_counts=True)
    _, both = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    used = len(np.unique(found.triangles))
    return {
        "open": int((both < 2).sum()),
        "crowded": int((both > 2).sum()),
        "inconsistent": int((directed > 1).sum()),
        "loose": len(found.vertices) - used,
        "euler": used - len(both) + len(found.triangles),
        "volume": float(mesh.volume),
    }


SOUND = ("open", "crowded", "inconsistent", "loose")


def assert_sound(found):
    seen = facts(found)
    assert {name: seen[name] for name in SOUND} == dict.fromkeys(SOUND, 0), seen
    return seen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", FIELDS)
def test_closed_wherever_the_boxes_are(name, seed):
    found = extract_refined(FIELDS[name], BOX, 56, random_boxes(seed, 1 + seed))
    assert found.joined
    seen = assert_sound(found)
    assert seen["volume"] > 0
    if name in ("ball", "torus"):
        assert seen["euler"] == {"ball": 2, "torus": 0}[name]


def test_the_seams_of_fields_full_of_double_crossings_are_closed():
    """120 rough random fields with random boxes; many faces between fine and coarse cells are crossed twice."""
    twice = 0
    for seed in range(120):
        field, boxes = waves(seed, 4.0), random_boxes(seed, 1 + seed % 3)
        found = extract_refined(field, BOX, 14, boxes)
        assert found.joined
        assert_sound(found)
        values, grid = dense_grid(field, BOX, 14)
        twice += faces_crossed_twice(values < 0, grid, boxes)
    print(f"{twice} faces crossed twice")
    assert twice > 100


def faces_crossed_twice(inside, grid, boxes):
    """How many faces between a fine and a coarse cell have corners inside and outside by turns."""
    first, cells = refine._region(grid, boxes)
    fine = np.zeros(np.array(grid.shape) - 1, dtype=bool)
    fine[tuple(slice(a, a + n) for a, n in zip(first, cells.shape))] = cells
    count = 0
    for axis in range(3):
        c, s = np.moveaxis(fine, axis, 0), np.moveaxis(inside, axis, 0)[1:-1]
        turns = (s[:, :-1, :-1] == s[:, 1:, 1:]) & (s[:, 1:, :-1] == s[:, :-1, 1:])
        turns &= s[:, :-1, :-1] != s[:, 1:, :-1]
        count += int((turns & (c[1:] != c[:-1])).sum())
    return count


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), resolution=st.integers(12, 40), count=st.integers(1, 4))
def test_smooth_fields_with_boxes_anywhere_are_closed(seed, resolution, count):
    found = extract_refined(waves(seed), BOX, resolution, random_boxes(seed, count))
    assert found.joined
    assert_sound(found)


def part(mesh, chosen):
    """Places of the vertices of triangles all of whose corners are chosen (V,), and how many those are."""
    triangles = mesh.triangles[chosen[mesh.triangles].all(1)]
    return mesh.vertices[np.unique(triangles)], len(triangles)


@pytest.mark.parametrize("name", [*FIELDS, "waves"])
def test_inside_it_is_the_dense_grid_and_outside_the_coarse_one(name):
    field = waves(7) if name == "waves" else FIELDS[name]
    box = np.array([[[-0.35, -0.3, -0.45], [0.6, 0.35, 0.65]]])
    found = extract_refined(field, BOX, 48, box)
    coarse, half = extract(field, BOX, 48), finer_grid(found.grid)
    count = int(np.prod(half.shape))
    values = _Sampler(field, half, 65_536).at(np.arange(count), half.shape, 1).reshape(half.shape)
    inner = box[0] + np.array([[1.01], [-1.01]]) * found.grid.voxel
    outer = box[0] + np.array([[-2.01], [2.01]]) * found.grid.voxel
    within, beyond = [
        [part(mesh, test(mesh.vertices)) for mesh in (found, other)]
        for test, other in (
            (lambda v: ((v > inner[0]) & (v < inner[1])).all(1), mesh_of_grid(values, half)),
            (lambda v: ((v < outer[0]) | (v > outer[1])).any(1), coarse),
        )
    ]
    (ours, triangles), (theirs, same) = within
    gap = max(cKDTree(one).query(other)[0].max() for one, other in ((ours, theirs), (theirs, ours))) / half.voxel
    print(f"{name}: {len(ours)} vertices within, {gap:.1e} fine voxels from the dense grid's")
    assert len(ours) == len(theirs) > 50 and triangles == same and gap < 1e-3
    (ours, triangles), (theirs, same) = beyond
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])  # bit for bit
    assert triangles == same > 50


def test_fewer_samples_than_the_finer_grid_everywhere():
    box = np.array([[[-0.2, -0.2, 0.1], [0.2, 0.2, 0.6]]])
    with_box, plain = extract_refined(ball, BOX, 96, box), extract_refined(ball, BOX, 96, np.empty((0, 2, 3)))
    assert not plain.joined and np.array_equal(plain.vertices, extract(ball, BOX, 96).vertices)
    whole = extract_refined(ball, BOX, 192, np.empty((0, 2, 3)))
    print(f"samples: {plain.evaluations:,} plain, {with_box.evaluations:,} with a box, {whole.evaluations:,} at twice")
    assert plain.evaluations < with_box.evaluations < 0.6 * whole.evaluations


def test_borders_that_do_not_fit_leave_the_coarse_surface(monkeypatch):
    monkeypatch.setattr(refine, "join", lambda *arguments: None)
    found = extract_refined(ball, BOX, 40, random_boxes(3, 2))
    assert not found.joined and not found.fine.any()
    assert np.array_equal(found.triangles, extract(ball, BOX, 40).triangles)


def test_without_the_straight_border_the_borders_do_not_fit(monkeypatch):
    """A broken copy, whose border samples are something else, is refused: no crack is ever handed out."""
    box = np.array([[[-0.3, -0.3, 0.1], [0.3, 0.3, 0.6]]])
    assert extract_refined(waves(1), BOX, 24, box).joined

    def noise(values):
        return np.random.default_rng(0).normal(size=2 * np.array(values.shape) - 1).astype(np.float32)

    monkeypatch.setattr(refine, "_between", noise)
    assert not extract_refined(waves(1), BOX, 24, box).joined


def test_a_fan_keeps_the_way_round_and_the_area():
    corners = np.array([[0.0, 0, 0], [2, 0, 0], [1, 2, 0]])
    fan = joining._fanned(np.array([[0, 1, 2]]), np.array([0]), {(0, 1): [7, 8], (1, 2): [9]}, np.arange(10) - 4)
    places = np.concatenate([corners, [[0.6, 0, 0], [1.4, 0, 0], [1.5, 1, 0]]])
    area = np.cross(places[fan[:, 1]] - places[fan[:, 0]], places[fan[:, 2]] - places[fan[:, 0]])[:, 2]
    assert len(fan) == 4 and (area > 0).all() and area.sum() == pytest.approx(4.0)
