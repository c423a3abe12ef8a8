"""Normals, components and rays against trimesh and by hand."""

import numpy as np
import trimesh

from headfield.surface.rays import RayScene
from headfield.surface.topology import component_areas, components, face_areas, keep_vertices, vertex_normals
from headfield.types import Mesh


def test_normals_and_areas_of_a_ball():
    ball = trimesh.creation.icosphere(3)
    normals = vertex_normals(ball.vertices, ball.faces)
    assert (normals * ball.vertices).sum(1).min() > 0.999
    assert np.allclose(face_areas(ball.vertices, ball.faces), ball.area_faces)


def test_components_are_told_apart_and_taken_out():
    a, b = trimesh.creation.icosphere(2), trimesh.creation.icosphere(1, radius=0.5)
    vertices = np.concatenate([a.vertices, b.vertices + 3])
    triangles = np.concatenate([a.faces, b.faces + len(a.vertices)])
    mesh = Mesh(vertices, triangles, normals=vertices, attributes={"seen": np.arange(len(vertices))})
    label = components(mesh)
    assert len(np.unique(label)) == 2
    assert np.allclose(component_areas(mesh, label), [a.area, b.area])
    small = keep_vertices(mesh, label == label[-1])
    assert np.allclose(small.vertices, b.vertices + 3) and np.array_equal(small.triangles, b.faces)
    assert small.attributes["seen"][0] == len(a.vertices) and small.normals.shape == small.vertices.shape


def test_rays_in_any_unit():
    for scale, shift in ((1.0, 0.0), (1e-3, 5.0), (250.0, -4000.0)):
        box = trimesh.creation.box((2, 2, 2))
        scene = RayScene(box.vertices * scale + shift, box.faces)
        origins = np.array([[0.3, 0.2, 5.0], [3.0, 0, 5.0]]) * scale + shift
        directions = np.tile([0, 0, -2.0], (2, 1)) * scale
        hits = scene.first_hit(origins, directions)
        assert hits.triangle[1] == -1 and np.isinf(hits.distance[1])
        assert np.isclose(hits.distance[0], 2.0, rtol=1e-5)  # in lengths of the direction
        corner = (box.vertices * scale + shift)[box.faces[hits.triangle[0]]]
        expected = np.array([0.3, 0.2, 1.0]) * scale + shift
        assert np.allclose(hits.barycentric[0] @ corner, expected, atol=1e-4 * scale)
        assert scene.occluded(origins, directions).tolist() == [True, False]
        # two origins with three directions each, and one origin for both directions
        spread = directions[:, None] * np.array([[1], [2], [-1]])
        assert scene.occluded(origins[:, None], spread).tolist() == [[True, True, False], [False] * 3]
        far = scene.distance(origins[:, None], spread)
        assert np.allclose(far[0, :2], [2.0, 1.0], rtol=1e-5) and (far.ravel()[2:] > 1e6).all()
        assert (scene.first_hit(origins[0], directions).triangle == hits.triangle[0]).all()
