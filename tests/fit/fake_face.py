"""A head with a known face mesh, and a detector that knows it: landmarks without MediaPipe."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from headfield.fit.pictures.face_map import face_map
from headfield.fit.pictures.views import View, project
from headfield.types import Mesh, Scan, Similarity


@cache
def mean_head() -> Mesh:
    """The released model's mean bald head, model frame."""
    from headfield.models.release import load
    from headfield.surface.mesh_head import mesh_of
    from headfield.types import Codes

    model = load("imhead-open-small")
    mean = model.prior.means[list(model.prior.names).index("bald")]
    return mesh_of(model, Codes(mean[None].clone()), 112)


def random_pose(seed: int, scale: float) -> Similarity:
    """Model frame -> a scan's frame, any rotation, `scale` scan units per model unit."""
    rng = np.random.default_rng(seed)
    quaternion = rng.standard_normal(4)
    return Similarity(Rotation.from_quat(quaternion).as_matrix(), rng.normal(0, 3 * scale, 3), scale)


def head_scan(pose: Similarity, cloud: int = 0) -> Scan:
    """The mean head as a scan, as a mesh or as a cloud of so many points without normals."""
    mesh = mean_head()
    if cloud:
        from headfield.surface.nearest import sample_surface

        return Scan(pose.apply(sample_surface(mesh, cloud, np.random.default_rng(0)).points), name="cloud")
    return Scan(pose.apply(mesh.vertices), triangles=mesh.triangles, name="mesh")


class FakeDetector:
    """Sees the mean face mesh at a known pose, as real ones do: within 50 degrees of the front, roughly upright.

    Attributes:
        pose: Model frame -> scan frame.
        looked: How often a mesh was asked for.
    """

    def __init__(self, pose: Similarity, bend=lambda points: points, hollow: bool = False) -> None:
        """`bend` is applied to the mesh points; `hollow` sees the face from behind, as through a missing back."""
        self.pose, self.mesh_points, self.hollow = pose, pose.apply(bend(face_map().mesh)), hollow
        self.looked = 0

    def score(self, view: View) -> float:
        """The better the more frontal and upright."""
        front = (self.pose.rotation @ [0, 0, 1.0]) @ view.camera.axes[2] * (-1 if self.hollow else 1)
        up = (self.pose.rotation @ [0, 1.0, 0]) @ view.camera.axes[1]
        pixels, depth = project(view.camera, self.mesh_points, len(view.picture))
        whole = ((pixels > 0) & (pixels < len(view.picture))).all() and (depth > 0).all()
        large = np.ptp(pixels[:, 0]) > 0.1 * len(view.picture)
        return 0.5 * (front + up) if front > 0.6 and up > 0.6 and whole and large else 0.0

    def mesh(self, view: View):
        """The mesh's pixels when the face would be seen."""
        self.looked += 1
        return project(view.camera, self.mesh_points, len(view.picture))[0] if self.score(view) > 0 else None
