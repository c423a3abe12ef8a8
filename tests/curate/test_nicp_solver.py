"""The linear step of non-rigid ICP against a direct solution, and against trimesh's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import trimesh

from headfield.curate.affine_solver import AffineSolver, Pull
from headfield.curate.stiffness import edge_weights, edges_of, laplacian


def _direct(vertices, edges, lengths, alpha, weights, targets, landmarks=None, beta=None, wanted=None):
    """Eq. 12 written down as it stands and solved densely: stiffness, data and landmarks one below the other."""
    count = len(vertices)
    incidence = np.zeros((len(edges), count))
    incidence[np.arange(len(edges)), edges[:, 0]] = 1 / lengths
    incidence[np.arange(len(edges)), edges[:, 1]] = -1 / lengths
    data = np.zeros((count, 4 * count))
    for i, vertex in enumerate(vertices):
        data[i, 4 * i : 4 * i + 4] = [*vertex, 1.0]
    rows = [alpha * np.kron(incidence, np.eye(4)), weights[:, None] * data]
    right = [np.zeros((4 * len(edges), 3)), weights[:, None] * targets]
    if landmarks is not None:
        rows.append(beta * landmarks.toarray() @ data)
        right.append(beta * wanted)
    solution = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    return data @ solution


@pytest.fixture
def bumpy():
    """A sphere of 162 vertices and what it is pulled to: bumps, with a third of the vertices free."""
    sphere = trimesh.creation.icosphere(2)
    rng = np.random.default_rng(4)
    vertices = np.array(sphere.vertices)
    targets = vertices * (1.1 + 0.1 * np.sin(4 * vertices[:, [1, 2, 0]])) + 0.02 * rng.standard_normal(vertices.shape)
    weights = np.where(vertices[:, 0] > -0.3, 0.5 + 0.5 * rng.random(len(vertices)), 0.0)
    return vertices, np.array(sphere.faces), targets, weights


def _solver(vertices, triangles):
    edges = edges_of(triangles)
    weights = edge_weights(vertices, edges)
    return edges, weights, AffineSolver(vertices, laplacian(len(vertices), edges, weights))


@pytest.mark.parametrize("alpha", [1.0, 0.03])
@pytest.mark.parametrize("with_landmarks", [False, True])
def test_one_step_is_the_least_squares_solution(bumpy, alpha, with_landmarks):
    vertices, triangles, targets, weights = bumpy
    edges, edge_weight, solver = _solver(vertices, triangles)
    rows = wanted = beta = None
    if with_landmarks:  # two places inside triangles, one far outside the data
        corners = triangles[[5, 100, 200]]
        share = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.4, 0.3, 0.3]])
        rows = sparse.csr_matrix((share.ravel(), (np.repeat(np.arange(3), 3), corners.ravel())), shape=(3, 162))
        wanted, beta = rows @ vertices * 1.4, 2.0
    pull = Pull(weights**2, targets, rows, None if rows is None else np.full(3, beta**2), wanted)
    maps = solver.solve(alpha**2, pull, solver.identity(), tolerance=1e-9)
    expected = _direct(vertices, edges, edge_weight**-0.5, alpha, weights, targets, rows, beta, wanted)
    assert np.abs(solver.positions(maps) - expected).max() < 1e-5  # the ridge moves the answer by 1e-6


def test_a_kept_factor_gives_the_answer_of_a_new_one(bumpy):
    vertices, triangles, targets, weights = bumpy
    edges, edge_weight, solver = _solver(vertices, triangles)
    first = solver.solve(0.1, Pull(weights**2, targets), solver.identity())
    changed = np.where(vertices[:, 1] > 0.9, 0.0, weights)
    again = solver.solve(0.09, Pull(changed**2, targets), first, tolerance=1e-6)
    assert solver.factors == 1 and solver.iterations > 2
    expected = _direct(vertices, edges, edge_weight**-0.5, 0.09**0.5, changed, targets)
    assert np.abs(solver.positions(again) - expected).max() < 1e-5


def test_stiffness_that_changes_a_thousandfold_gets_a_factor_of_its_own(bumpy):
    vertices, triangles, targets, weights = bumpy
    _, _, solver = _solver(vertices, triangles)
    maps = solver.solve(1.0, Pull(weights**2, targets), solver.identity())
    solver.solve(1e-4, Pull(weights**2, targets), maps, tolerance=1e-8)
    assert solver.factors == 2


def test_one_step_of_trimesh():
    """The same correspondences and weights give the step of trimesh's `nricp_amberg`."""
    pytest.importorskip("rtree", reason="trimesh's closest points need rtree")
    from trimesh.registration import nricp_amberg

    sphere = trimesh.creation.icosphere(2)
    target = trimesh.creation.icosphere(3, radius=1.2)
    target.vertices *= [1.0, 1.1, 0.95]
    source = sphere.copy()
    options = {"steps": [[0.1, 0.0, 0.0, 1]], "distance_threshold": 10, "return_records": True}
    records = nricp_amberg(source, target.copy(), **options)
    centre, scale = sphere.centroid, sphere.scale
    vertices = (np.array(sphere.vertices) - centre) / scale
    scaled = trimesh.Trimesh((target.vertices - centre) / scale, target.faces, process=False)
    closest = trimesh.proximity.closest_point(scaled, vertices)[0]
    edges = edges_of(sphere.faces)
    twice = 2 * edge_weights(vertices, edges)  # trimesh lists each edge once for each of its triangles
    solver = AffineSolver(vertices, laplacian(len(vertices), edges, twice))
    maps = solver.solve(0.1**2, Pull(np.ones(len(vertices)), closest), solver.identity(), tolerance=1e-9)
    theirs = (records[1] - centre) / scale if np.abs(records[1]).max() > 1 else records[1]
    assert np.abs(solver.positions(maps) - theirs).max() < 2e-6  # trimesh keeps its right-hand side in float32


def test_nothing_moves_without_data(bumpy):
    vertices, triangles, targets, _ = bumpy
    _, _, solver = _solver(vertices, triangles)
    maps = solver.solve(1.0, Pull(np.zeros(len(vertices)), np.full_like(targets, np.nan)), solver.identity())
    assert np.allclose(solver.positions(maps), vertices, atol=1e-9)


def test_edges_and_their_weights_by_hand():
    edges = edges_of(np.array([[0, 1, 2], [2, 1, 3]]))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    square = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [1, 2, 0]])
    weights = edge_weights(square, edges)
    assert np.allclose(weights, [1, 1 / 4, 1 / 5, 1 / 4, 1])
    matrix = laplacian(4, edges, weights).toarray()
    values = np.array([1.0, 3.0, -2.0, 0.5])
    by_hand = sum(w * (values[i] - values[j]) ** 2 for (i, j), w in zip(edges, weights))
    assert np.isclose(values @ matrix @ values, by_hand)
