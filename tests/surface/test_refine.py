"""Surfaces of two resolutions: closed, and those of the two dense grids on either side."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from headfield.surface import join as joining
from headfield.surface import refine
from headfield.surface.extract import _Sampler, dense_grid, extract
from headfield.surface.marching import grid_for, mesh_of_grid
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
    low = rng.uniform(BOX[0] - 0.1, BOX[1], (count, 3))
    return np.stack([low, low + rng.uniform(0.05, 0.9, (count, 3))], axis=1)


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
