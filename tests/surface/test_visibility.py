"""What can be seen from outside."""

import numpy as np
import trimesh

from headfield.surface.visibility import directions, visible_triangles
from headfield.types import Mesh


def test_directions_cover_the_sphere_at_every_prefix():
    for count in (8, 16, 64):
        spread = directions(64)[:count]
        assert np.allclose(np.linalg.norm(spread, axis=1), 1)
        assert np.linalg.norm(spread.mean(0)) < 0.3


def test_convex_shapes_are_wholly_visible():
    ball = trimesh.creation.icosphere(3)
    assert visible_triangles(Mesh(ball.vertices, ball.faces)).all()


def test_inner_ball_and_deep_bore_are_hidden():
    outer, inner = trimesh.creation.icosphere(3), trimesh.creation.icosphere(2, 0.5)
    both = Mesh(np.r_[outer.vertices, inner.vertices], np.r_[outer.faces, inner.faces + len(outer.vertices)])
    seen = visible_triangles(both)
    assert seen[: len(outer.faces)].all() and not seen[len(outer.faces) :].any()

    bored = trimesh.creation.annulus(0.05, 1.0, 2.0, sections=64).subdivide_to_size(0.15)
    seen = visible_triangles(Mesh(bored.vertices, bored.faces))
    centre = bored.triangles_center
    bore = np.hypot(centre[:, 0], centre[:, 1]) < 0.06
    deep = bore & (np.abs(centre[:, 2]) < 0.6)
    assert deep.sum() > 50 and not seen[deep].any()
    assert seen[~bore].all()
