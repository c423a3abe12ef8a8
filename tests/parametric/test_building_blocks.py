"""Subdivision, topology and normalisation against shapes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from headfield import frames
from headfield.parametric.normalise import log_size, normalising_similarity
from headfield.parametric.subdivide import catmull_clark
from headfield.parametric.topology import (
    boundary_loops,
    components,
    is_closed,
    mirror_pairs,
    signed_volume,
    symmetric_triangles,
    vertex_normals,
)
from headfield.parametric.visibility import open_share
from headfield.types import Similarity

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def split(quads):
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def test_cube_subdivides_as_published():
    matrix, quads, edges = catmull_clark(CUBE_QUADS, 8)
    points = matrix @ CUBE
    assert matrix.shape == (8 + 12 + 6, 8) and quads.shape == (24, 4) and len(edges) == 12
    np.testing.assert_allclose(np.asarray(matrix.sum(1)).ravel(), 1.0)
    np.testing.assert_allclose(np.abs(points[:8]), 5 / 9)  # (F + 2 R) / 3 at valence 3
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), 1), [[0, 0.75, 0.75]] * 12)
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), 1), [[0, 0, 1]] * 6)
    assert is_closed(split(quads))
    assert 0 < signed_volume(points, split(quads)) < signed_volume(CUBE, split(CUBE_QUADS)) == 8.0


def test_flat_grid_stays_flat_and_its_border_stays():
    x, y = np.meshgrid(np.arange(5.0), np.arange(4.0), indexing="ij")
    grid = np.stack([x.ravel(), y.ravel(), np.zeros(20)], 1)
    index = np.arange(20).reshape(5, 4)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    matrix, fine, _ = catmull_clark(quads, 20)
    points = matrix @ grid
    inner = [index[i, j] for i in range(1, 4) for j in range(1, 3)]
    np.testing.assert_allclose(points[inner], grid[inner], atol=1e-12)
    assert np.abs(points[:, 2]).max() == 0 and points[:, 0].max() <= 4 and points[:, 1].min() >= 0
    assert len(boundary_loops(split(fine))) == 1


def test_topology_of_a_cube_with_a_missing_side():
    triangles = split(CUBE_QUADS)
    assert is_closed(triangles) and not is_closed(triangles[:, ::-1][:-1])
    open_box = split(CUBE_QUADS[:-1])
    loops = boundary_loops(open_box)
    assert len(loops) == 1 and sorted(loops[0]) == sorted(CUBE_QUADS[-1].tolist())
    double = np.concatenate([triangles, triangles[:4] + 8])
    label = components(double)
    assert label.max() == 1 and (label == 0).sum() == 12
    assert signed_volume(CUBE, triangles[:, ::-1]) == -8.0
    normals = vertex_normals(CUBE, triangles)
    assert (np.einsum("ij,ij->i", normals, CUBE) > 0.9).all()


def test_mirror_pairs_of_a_thin_fold_go_by_the_normal():
    left = np.array([[1, 0, 0], [2, 0, 0], [1.5, 1, 0], [1, 0, -1e-5], [2, 0, -1e-5], [1.5, 1, -1e-5]], dtype=float)
    vertices = np.concatenate([left, frames.mirror_points(left)])
    shell = np.array([[0, 1, 2], [5, 4, 3]])
    bridge = np.array([[0, 2, 5], [0, 5, 3]])
    one = np.concatenate([shell, bridge])
    triangles = np.concatenate([one, one[:, ::-1] + 6])
    index, gap = mirror_pairs(vertices, triangles)
    assert (index == np.r_[np.arange(6) + 6, np.arange(6)]).all() and gap < 1e-12


def test_symmetric_triangles_split_quads_alike():
    x, y = np.meshgrid(np.arange(-2.0, 3.0), np.arange(3.0), indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(15)], 1)
    index = np.arange(15).reshape(5, 3)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    triangles = symmetric_triangles(vertices, split(quads))
    assert len(triangles) == 16
    mirror, _ = mirror_pairs(vertices, triangles)
    sets = {frozenset(t) for t in triangles.tolist()}
    assert {frozenset(t) for t in mirror[triangles].tolist()} == sets


def test_normalisation_inverts_any_similarity():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    similarity = Similarity(rotation, np.array([0.3, 1.2, -0.4]), frames.METRES_PER_UNIT * 0.8)
    anchors = similarity.apply(frames.reference_anchors())
    found = normalising_similarity(anchors)
    np.testing.assert_allclose(found.apply(anchors), frames.reference_anchors(), atol=1e-9)
    assert abs(log_size(found) - np.log(0.8)) < 1e-9  # a head of 80 % the reference's size
    with pytest.raises(ValueError, match="expected"):
        normalising_similarity(anchors[:5])


def test_open_share_tells_a_slit_from_free_skin():
    free = open_share(CUBE, split(CUBE_QUADS), np.arange(12), 256)
    np.testing.assert_allclose(free, 0.5, atol=0.05)
    lid = CUBE + np.array([2.02, 0, 0])
    both = np.concatenate([CUBE, lid])
    triangles = np.concatenate([split(CUBE_QUADS), split(CUBE_QUADS) + 8])
    share = open_share(both, triangles, np.arange(12), 256)
    facing = vertex_facing_x(CUBE, split(CUBE_QUADS))
    assert (share[facing] < 0.1).all() and facing.sum() == 2


def vertex_facing_x(vertices, triangles):
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)[:, 0] > 0.5
