"""What every number is printed beside: the mean head, and PCAs of the same training heads, global and by parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from headfield.fit.clean import thin
from headfield.fit.gate import Gate, geman_mcclure, noise_of
from headfield.fit.normal_equations import CENTRE, Cloud, codes_of
from headfield.fit.problem import SolverOptions, View
from headfield.fit.solver import solve
from headfield.frames import MIRROR_PART
from headfield.models.release import load
from headfield.nn.blending import blend
from headfield.parametric.local_pca import LocalPCA, fit_local_pca, symmetric_mean
from headfield.parametric.pca import LinearPCA
from headfield.parametric.protocol import ParametricHead
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.person import family, make_person
from headfield.types import Mesh, Scan, Similarity

COMPONENTS = 150
"""Components of the PCA: beyond ICT-FaceKit's 100 modes, nearly all variance of anny's heads."""

MEAN_GATE = 0.04
"""Last robust scale of the mean head's placement, model units (10 mm)."""

POSED_COMPONENTS = 200
"""Components of the PCA that is trained on posed heads too."""

LOCAL_NUMBERS = 16
"""Components of each part of the local PCA: a code of 39 x 16 = 624 numbers."""

LOCAL_SIGMA, LOCAL_THRESHOLD = 0.1, 0.005
"""Blend kernel of its parts, as the fields' parts have it: 25 mm, and what is below half a percent is nothing."""


def fit_mean(model, points: np.ndarray, start: Similarity, log_scale_sd: float = 0.1) -> Similarity:
    """Placement (scan -> model frame) of the mean head z = 0, by the same solver with the code held.

    Args:
        model: The head model.
        points: (N, 3) scan points.
        start: Where to start.
        log_scale_sd: Freedom of the size.
    """
    # the gate stays as wide as the mean head is wrong: narrowed to 2 mm it would keep whatever happens to agree
    options = SolverOptions(prior=1e9, expression="neutral", gate=Gate(0.1, MEAN_GATE, 10), hair=False)
    view = View(Cloud.of(points), start, float(np.log(start.scale)), log_scale_sd)
    return solve(model, [view], model.prior.component(0), options).views[0].similarity


@cache
def mean_mesh(model: str, resolution: int, expression: tuple[float, ...] | None = None) -> tuple[Mesh, np.ndarray]:
    """The model's mean head (with an expression) and its visible triangles."""
    net = load(model)
    mean = net.prior.component(0).mean
    mesh = mesh_of(net, codes_of(net, mean, None if expression is None else np.array(expression)), resolution)
    return mesh, visible_triangles(mesh)


def points_near(scan: Scan, start: Similarity, box: np.ndarray, count: int = 5000) -> np.ndarray:
    """The points (M, 3) that baselines see: those of a scan in the model's box under a placement, thinned evenly."""
    placed = start.apply(scan.points)
    inside = ((placed > box[0]) & (placed < box[1])).all(1)
    points = np.asarray(scan.points, dtype=float)[inside]
    return points[thin(points, count)]


@lru_cache(maxsize=1)
def training_heads(name: str, heads: int | None, posed: bool, truth: str) -> tuple[ParametricHead, np.ndarray]:
    """A family and the vertices (n, V, 3) float32 of its training heads, model frame; arguments as `training_pca`'s."""
    head, sheet = family(name)
    heads = frozen()["released_counts"][name]["train"] if heads is None else heads
    vertices = []
    for index in range(heads):
        person = make_person(IdentityKey(name, "train", index, frozen()["seed"]), head, sheet, 0.0, truth)
        vertices.append(person.bare().astype(np.float32))
        if posed:
            vertices.append(person.bare(person.expressions(1 + person.sealed)[-1]).astype(np.float32))
    return head, np.stack(vertices)


@cache
def training_pca(name: str, heads: int | None = None, posed: bool = False, truth: str = "v1") -> LinearPCA:
    """PCA of a family's training heads in the model frame, float32 components.

    Args:
        name: Family.
        heads: How many, None = as many as the released model is trained on.
        posed: Also one random expression of each head; else neutral heads only.
        truth: Which people; those of ``v2`` take two seconds each.
    """
    head, vertices = training_heads(name, heads, posed, truth)
    found = LinearPCA.fit(vertices, head, POSED_COMPONENTS if posed else COMPONENTS)
    return LinearPCA(found.mean_vertices, found.components.astype(np.float32), head)


@cache
def training_local_pca(name: str, heads: int | None = None, posed: bool = False, truth: str = "v1") -> LocalPCA:
    """Local PCA of the same heads, a part at each of the 39 anchors; arguments as for `training_pca`."""
    head, vertices = training_heads(name, heads, posed, truth)
    mean = symmetric_mean(vertices, head.mirror)
    found = fit_local_pca(vertices, head, anchor_weights(mean, head.anchors(mean)), MIRROR_PART, LOCAL_NUMBERS)
    return replace(found, components=found.components.astype(np.float32))


def anchor_weights(vertices: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Blend weights (K, V) of parts at anchors (K, 3) over vertices (V, 3), by the kernel of the fields' parts."""
    points, centres = (torch.as_tensor(array, dtype=torch.float64)[None] for array in (vertices, anchors))
    return blend(points, centres, "gaussian", LOCAL_SIGMA, LOCAL_THRESHOLD).weights[0].T.numpy()


@dataclass(frozen=True)
class PcaFit:
    """A PCA head fitted to a scan.

    Attributes:
        weights: (K,) in standard deviations.
        placement: Scan -> model frame.
        mesh: In the model frame.
    """

    weights: np.ndarray
    placement: Similarity
    mesh: Mesh


def fit_pca(
    pca: LinearPCA,
    points: np.ndarray,
    start: Similarity,
    *,
    steps: int = 25,
    gate: Gate | None = None,
    sigma: float = 0.0016,
    trust: float = 0.25,
    log_scale_sd: float = 0.1,
) -> PcaFit:
    """Robust point-to-plane least squares on weights and placement together, N(0, I) on the weights.

    The gate, the noise model and the trust in points are the solver's own, so that what is compared is the model.

    Args:
        pca: The model.
        points: (N, 3) scan points.
        start: Scan -> model frame.
        steps: Gauss-Newton steps, a new correspondence (closest place on the surface) in each.
        gate: Outlier gate.
        sigma: Least residual, model units.
        trust: Independent observations per point.
        log_scale_sd: Freedom of the size.
    """
    gate = Gate() if gate is None else gate
    basis = np.ascontiguousarray(pca.components.transpose(1, 2, 0))  # (V, 3, K)
    triangles, outer = np.asarray(pca.triangles), ~np.asarray(pca.cap)
    on_cap = np.zeros(len(basis), dtype=bool)
    on_cap[triangles[~outer]] = True
    weights, placement = np.zeros(pca.n_identity), start
    for step in range(steps):
        mesh = Mesh(pca.vertices(weights), triangles)
        placed = placement.apply(points)
        _, foot = Target(mesh, outer).closest(placed)
        normal = foot.normals
        residual = ((placed - foot.points) * normal).sum(1)
        _, robust = geman_mcclure(np.linalg.norm(placed - foot.points, axis=1), gate.scale(step))
        robust = robust * ~on_cap[triangles[foot.triangle]].any(1)  # beyond the cut nothing is known
        spread = max(sigma, noise_of(residual, robust))
        root = np.sqrt(robust * trust) / spread
        corners = basis[triangles[foot.triangle]]
        shape = np.einsum("nc,nckd->nkd", foot.barycentric.astype(np.float32), corners)
        shape = -np.einsum("nkd,nk->nd", shape, normal.astype(np.float32))
        arm = placed - CENTRE
        pose = np.concatenate([np.cross(arm, normal), normal, (arm * normal).sum(1, keepdims=True)], 1)
        rows = np.concatenate([pose, shape], 1) * root[:, None]
        hessian, slope = rows.T @ rows, rows.T @ (root * residual)
        hessian[np.arange(7), np.arange(7)] *= 1 + 1e-4
        hessian[6, 6] += 1 / log_scale_sd**2
        slope[6] += np.log(placement.scale / start.scale) / log_scale_sd**2
        late = np.arange(7, len(slope))
        hessian[late, late] += 1
        slope[7:] += weights
        change = -np.linalg.solve(hessian, slope)
        placement = _moved(placement, change[:7])
        weights = np.clip(weights + change[7:], -4, 4)
    return PcaFit(weights, placement, Mesh(pca.vertices(weights), triangles))


def _moved(similarity: Similarity, step: np.ndarray) -> Similarity:
    """A similarity after a step (rotation vector, translation, log-scale) in the model frame about CENTRE."""
    rotation, grow = Rotation.from_rotvec(step[:3]).as_matrix(), float(np.exp(np.clip(step[6], -0.1, 0.1)))
    return Similarity(rotation, CENTRE + step[3:6] - grow * rotation @ CENTRE, grow).after(similarity)
