"""A head: codes bound to a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield import frames
from headfield.expressions import in_words
from headfield.models.protocol import HeadModel
from headfield.types import Codes, Mesh


@dataclass(frozen=True)
class Head:
    """One head (B = 1) in the model frame.

    Attributes:
        model: The model that gives the codes their meaning.
        codes: Its codes.
        reflected: Evaluate at mirrored points: the exact mirror image, whatever the networks learned.
    """

    model: HeadModel
    codes: Codes
    reflected: bool = False

    def __repr__(self) -> str:
        codes, words = self.codes, "neutral"
        if codes.expression is not None:
            space = self.model.expression_space
            weights = codes.expression[0].detach().cpu().numpy()
            words = in_words(weights[space.mirror] if self.reflected else weights, space.names)
        edited = [codes.parts, codes.anchors, codes.warp_identity] != [None] * 3
        kind = ", ".join([self.model.name, *["edited"] * edited, *["mirrored"] * self.reflected])
        return f"Head({kind}; {words})"

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (N,) in model units at points (N, 3) in the model frame, negative inside."""
        points = frames.mirror_points(points) if self.reflected else np.asarray(points)
        with torch.no_grad():
            query = torch.as_tensor(points).to(self.codes.identity)[None]
            return self.model.signed_distance(query, self.codes)[0].cpu().numpy()

    def anchors(self) -> np.ndarray:
        """The 39 anchors (39, 3), model units, in the order of :data:`headfield.frames.ANCHOR_NAMES`."""
        with torch.no_grad():
            anchors = self.model.anchors(self.codes)[0].cpu().numpy()
        return frames.mirror_points(anchors)[frames.MIRROR_PART] if self.reflected else anchors

    def pivot(self) -> np.ndarray:
        """The point (3,) that the head turns about, model units; see :func:`headfield.frames.turning_pivot`."""
        return frames.turning_pivot(self.anchors())

    def neutral(self) -> Head:
        """The same person without an expression."""
        return replace(self, codes=replace(self.codes, expression=None))

    def with_expression(self, weights: np.ndarray | dict[str, float]) -> Head:
        """The same person with these expression weights: 52 in ARKit order, or a few by name."""
        from headfield.models.head_codes import expression_vector

        space = self.model.expression_space
        vector = expression_vector(weights, space)
        if self.reflected:
            vector = vector[space.mirror]  # the query is mirrored, so left is asked for on the right
        expression = torch.as_tensor(vector).to(self.codes.identity)[None]
        return replace(self, codes=replace(self.codes, expression=expression))

    def mirrored(self) -> Head:
        """The exact mirror image: reflects the query, so mirroring twice gives the head back."""
        return replace(self, reflected=not self.reflected)

    def mesh(self, resolution: int = 256) -> Mesh:
        """A watertight mesh in the model frame; see :func:`headfield.surface.mesh_head.mesh_of`."""
        from headfield.surface.mesh_head import mesh_of

        mesh = mesh_of(self.model, self.codes, resolution=resolution)
        if not self.reflected:
            return mesh
        normals = None if mesh.normals is None else frames.mirror_points(mesh.normals)
        return replace(
            mesh,
            vertices=frames.mirror_points(mesh.vertices),
            triangles=mesh.triangles[:, ::-1].copy(),
            normals=normals,
        )
