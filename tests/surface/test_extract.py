"""Coarse-to-fine extraction against the dense grid, on analytic fields."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from headfield.errors import ConfigError
from headfield.surface import extract as extraction
from headfield.surface import marching
from headfield.surface.extract import dense_grid, extract, extract_full
from headfield.surface.marching import grid_for, mesh_of_grid

BOX = np.array([[-1.0, -0.8, -1.1], [1.0, 0.9, 0.7]])


def ball(points, centre=(0.0, 0.0, -0.2), radius=0.6):
    return np.linalg.norm(points - np.array(centre), axis=1) - radius


def bumpy(points):
    return ball(points) - 0.03 * np.sin(18 * points[:, 0]) * np.sin(16 * points[:, 1]) * np.sin(21 * points[:, 2])


FIELDS = {
    "bumpy": bumpy,
    "two lobes": lambda p: np.minimum(ball(p, (0.45, 0.1, 0), 0.3), ball(p, (-0.4, 0, -0.3), 0.35)),
    "touching lobes": lambda p: np.minimum(ball(p, (0.31, 0, 0), 0.3), ball(p, (-0.31, 0, 0), 0.3)),
    "thin shell": lambda p: np.abs(ball(p)) - 0.006,
    "cavity": lambda p: np.maximum(ball(p), -ball(p, radius=0.3)),
    "clipped by the box": lambda p: ball(p, (0.5, 0.5, 0.3), 0.8),
    "half the box": lambda p: 0.8 * p[:, 0] + 0.6 * p[:, 2],
    "the whole box": lambda p: np.full(len(p), -1.0),
    "flat on the samples": lambda p: np.abs(p - np.array([0, 0.05, -0.2])).max(1) - 0.5,
}


@pytest.mark.parametrize("resolution", [40, 75, 96])
@pytest.mark.parametrize("name", FIELDS)
def test_equals_the_dense_grid(name, resolution):
    found = extract_full(FIELDS[name], BOX, resolution)
    values, grid = dense_grid(FIELDS[name], BOX, resolution)
    truth = mesh_of_grid(values, grid)
    assert np.array_equal(found.mesh.triangles, truth.triangles)
    assert np.abs(found.mesh.vertices - truth.vertices).max() <= 1e-3 * grid.voxel
    solid = trimesh.Trimesh(found.mesh.vertices, found.mesh.triangles, process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume > 0


def test_no_sign_differs_from_the_dense_grid():
    grid = grid_for(BOX, 96)
    sampler = extraction._Sampler(bumpy, grid, 65_536)
    state, index, values, _ = extraction._sample_sparsely(sampler, grid, 1.3)
    dense, _ = dense_grid(bumpy, BOX, 96)
    assert np.array_equal(state < 0, dense < 0)
    large = np.abs(dense.reshape(-1)[index]) > 1e-3 * grid.voxel
    assert np.array_equal(values[large], dense.reshape(-1)[index][large])


def test_takes_a_fraction_of_the_samples():
    share = [extract_full(bumpy, BOX, n).evaluations / np.prod(grid_for(BOX, n).shape) for n in (64, 128, 256)]
    assert share[1] < 0.14 and share[2] < 0.06
    assert share[0] > share[1] > share[2]  # 0.20, 0.067, 0.040 of the dense grid's


def test_repair_is_needed_and_found_missing(monkeypatch):
    """A broken copy without the repair is not equal to the dense grid."""
    monkeypatch.setattr(extraction, "_missing", lambda state: np.empty(0, dtype=np.int64))
    found = extract_full(bumpy, BOX, 96)
    truth = mesh_of_grid(*dense_grid(bumpy, BOX, 96))
    same = found.mesh.vertices.shape == truth.vertices.shape
    assert not same or np.abs(found.mesh.vertices - truth.vertices).max() > 1e-3 * found.grid.voxel


def test_steeper_than_the_slack_is_repaired_or_asked_for():
    steep = lambda p: 4 * bumpy(p)  # noqa: E731
    truth = mesh_of_grid(*dense_grid(steep, BOX, 96))
    assert np.array_equal(extract(steep, BOX, 96, slack=5.0).triangles, truth.triangles)
    assert np.array_equal(extract(steep, BOX, 96).triangles, truth.triangles)


def test_a_field_that_jumps_is_still_closed():
    jump = lambda p: np.where(ball(p) < 0, -1.0, 1.0)  # noqa: E731
    found = extract(jump, BOX, 96)
    assert np.array_equal(found.triangles, mesh_of_grid(*dense_grid(jump, BOX, 96)).triangles)


@pytest.mark.parametrize("name", ["bumpy", "thin shell", "clipped by the box"])
def test_slabs_weld_into_the_same_surface(name, monkeypatch):
    whole = extract(FIELDS[name], BOX, 64)
    monkeypatch.setattr(marching, "SLAB_SAMPLES", 64 * 64 * 5)
    welded = extract(FIELDS[name], BOX, 64)
    assert len(welded.vertices) == len(whole.vertices)
    assert trimesh.Trimesh(welded.vertices, welded.triangles, process=False).is_watertight
    area = [trimesh.Trimesh(m.vertices, m.triangles, process=False).area for m in (whole, welded)]
    assert area[0] == pytest.approx(area[1], rel=1e-6)


def test_where_the_surface_leaves_the_box_it_is_closed_on_the_box():
    found = extract_full(FIELDS["half the box"], BOX, 80)
    vertices = found.mesh.vertices
    low, high = vertices.min(0), vertices.max(0)
    assert np.abs(low - BOX[0])[[0, 1, 2]].max() < found.grid.voxel
    assert high[1] == pytest.approx(BOX[1, 1], abs=found.grid.voxel)
    on_level = np.abs(FIELDS["half the box"](vertices)) < 1e-2 * found.grid.voxel
    # every vertex is on the level set or a cap vertex, and the mask says which
    assert np.array_equal(found.capped | on_level, np.ones(len(vertices), bool))
    assert found.capped.any() and (~found.capped).any()


def test_accuracy_of_a_ball():
    mesh = extract(ball, BOX, 128)
    solid = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=1e-3)
    assert np.abs(ball(mesh.vertices)).max() < 1e-4
    assert np.allclose(mesh.vertices.mean(0), [0, 0, -0.2], atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), resolution=st.integers(33, 70))
def test_random_unions_of_balls_equal_the_dense_grid(seed, resolution):
    rng = np.random.default_rng(seed)
    centres, radii = rng.uniform(-1, 1, (5, 3)), rng.uniform(0.05, 0.6, 5)
    field = lambda p: np.min([ball(p, c, r) for c, r in zip(centres, radii)], axis=0)  # noqa: E731
    found = extract(field, BOX, resolution)
    truth = mesh_of_grid(*dense_grid(field, BOX, resolution))
    assert np.array_equal(found.triangles, truth.triangles)
    assert trimesh.Trimesh(found.vertices, found.triangles, process=False).is_watertight


def test_field_may_answer_with_a_tensor_and_sees_small_float32_chunks():
    torch = pytest.importorskip("torch")
    sizes = []

    def field(points):
        assert points.dtype == np.float32 and points.flags["C_CONTIGUOUS"]
        sizes.append(len(points))
        return torch.from_numpy(points).norm(dim=1) - 0.5

    extract(field, BOX, 64, chunk=1000)
    assert max(sizes) == 1000


def test_no_surface_gives_an_empty_mesh():
    assert len(extract(lambda p: np.ones(len(p)), BOX, 64).vertices) == 0


def test_refuses_what_makes_no_grid():
    with pytest.raises(ConfigError, match="8..2048"):
        extract(ball, BOX, 4)
    with pytest.raises(ConfigError, match="lower < upper"):
        extract(ball, BOX[::-1], 64)
    with pytest.raises(ValueError, match="not finite"):
        extract(lambda p: np.where(p[:, 0] > 0.5, np.nan, 1.0), BOX, 64)
