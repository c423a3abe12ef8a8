"""The least-squares problem of an explicit head: residuals, their Jacobian, robust weights, normal equations.

imHead Eq. 14 and NPHM Eqs. 1 and 20-22: landmarks, and distances of scan points to the plane of the closest place on
the model, gated by distance and normal; priors on identity, expression and pose. Unknowns: identity, and per scan a
similarity (rotation vector, translation, log-scale), pose and expression. Lengths are in model units, measured at the
scale that the scan's unit lets expect, so that no scan gains by being made smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, kron, vstack
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from headfield.curate.parametric_options import ParametricOptions
from headfield.curate.parametric_target import View
from headfield.errors import present
from headfield.fit.cholesky import normal_products
from headfield.fit.gate import HAIR_PARTS, geman_mcclure, noise_of
from headfield.fit.normal_equations import CENTRE, POSE
from headfield.frames import UNITS_IN_METRES
from headfield.parametric.derivatives import on_triangles
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.protocol import ParametricHead
from headfield.surface.nearest import Target
from headfield.surface.visibility import visible_triangles
from headfield.types import Mesh, Similarity


@dataclass(frozen=True)
class ScanState:
    """Where one scan stands.

    Attributes:
        similarity: Scan -> the model's own frame and unit.
        expression: (E,).
        pose: (P,).
    """

    similarity: Similarity
    expression: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Lines:
    """One scan at one state.

    Attributes:
        residual: (N,) signed distance to the plane of the closest place, positive outside.
        direction: (N, 3) normals there, the model's frame.
        placed: (N, 3) points in the model's own frame and unit.
        corners: (N, 3) vertices of the closest triangles.
        barycentric: (N, 3).
        passed: (N,) bool, points that the normal gate lets pass and that do not lie over the cut.
        landmark: (68, 3) placed landmarks minus the model's.
    """

    residual: np.ndarray
    direction: np.ndarray
    placed: np.ndarray
    corners: np.ndarray
    barycentric: np.ndarray
    passed: np.ndarray
    landmark: np.ndarray


class ParametricProblem:
    """One head's identity, and one similarity, pose and expression per scan, to be found under priors.

    Args:
        head: The family.
        views: The scans.
        options: How.
    """

    def __init__(self, head: ParametricHead, views: list[View], options: ParametricOptions) -> None:
        self.head, self.views, self.options = head, views, options
        self.identity, self.expression, self.pose = head.identity_prior(), head.expression_prior(), head.pose_prior()
        raw = head.raw_vertices(self.identity.mean)
        mean = normalising_similarity(head.anchors(raw))
        self.unit = mean.scale
        """Model units per unit of the family's own frame."""
        back = mean.inverse()
        self.centre = back.apply(CENTRE)
        self.start = [back.after(view.placement.similarity) for view in views]
        self.log_scale = np.array([np.log(similarity.scale) for similarity in self.start])
        # of the true sizes, those of known unit are alike: deviations from their mean
        known = np.array([view.placement.units in UNITS_IN_METRES for view in views])
        self._log_unit = np.array([np.log(UNITS_IN_METRES.get(view.placement.units, 1.0)) for view in views])
        self._alike = np.diag(known.astype(float)) - np.outer(known, known) / max(1, known.sum())
        self._landmark_functionals = kron(head.landmark_rows, np.eye(3), format="csr")
        self._over_cut = np.zeros(len(head.mirror), dtype=bool)
        self._over_cut[head.triangles[head.cap]] = True
        may_wear = HAIR_PARTS[cKDTree(head.anchors(raw)).query(raw)[1]]
        self._worth = np.where(may_wear, options.scalp, 1.0)
        self._visible: list[np.ndarray] = []

    @property
    def n_shared(self) -> int:
        """Identity numbers."""
        return self.head.n_identity

    @property
    def n_view(self) -> int:
        """Similarity and pose numbers of one scan."""
        return POSE + self.head.n_pose

    def vertices(self, identity: np.ndarray, state: ScanState) -> np.ndarray:
        """The head (V, 3) in its own frame."""
        return self.head.raw_vertices(identity, state.expression, state.pose)

    def look(self, identity: np.ndarray, states: list[ScanState]) -> None:
        """Find anew which triangles can be seen; only those can be closest to a scan point."""
        meshes = [Mesh(self.vertices(identity, state), self.head.triangles) for state in states]
        self._visible = [visible_triangles(mesh, rays=32) | self.head.cap for mesh in meshes]

    def lines(self, identity: np.ndarray, states: list[ScanState]) -> list[Lines]:
        """Every scan at a state."""
        return [
            self._lines(identity, view, state, visible)
            for view, state, visible in zip(self.views, states, self._visible)
        ]

    def _lines(self, identity: np.ndarray, view: View, state: ScanState, visible: np.ndarray) -> Lines:
        vertices = self.vertices(identity, state)
        placed = state.similarity.apply(view.points)
        distance, foot = Target(Mesh(vertices, self.head.triangles), visible).closest(placed)
        corners = self.head.triangles[foot.triangle]
        residual = ((placed - foot.points) * foot.normals).sum(1)
        # beside an edge or far away the plane may be near and the surface not
        residual = np.sign(residual) * np.where(distance > 2 * np.abs(residual), distance, np.abs(residual))
        agree = (state.similarity.rotate(present(view.normals, "normals")) * foot.normals).sum(1)
        agree = agree if view.signed else np.abs(agree)
        passed = (agree > np.cos(np.radians(self.options.normal_gate))) & ~self._over_cut[corners].any(1)
        landmark = state.similarity.apply(view.landmarks) - self.head.landmarks68(vertices)
        return Lines(residual, foot.normals, placed, corners, foot.barycentric, passed, landmark)

    def stretch(self, index: int, state: ScanState) -> float:
        """Model units, at the scale expected of scan `index`, per unit of the family's frame at a state."""
        return self.unit * float(np.exp(self.log_scale[index])) / state.similarity.scale

    def weigh(self, lines: list[Lines], states: list[ScanState], scale: float) -> list[dict]:
        """Weights and noise of every scan at a robust scale (model units)."""
        held = []
        floor = 0.6 * (scale - self.options.gate.end)  # while the gate is wide, residuals are misplacement, not noise
        for index, (line, state) in enumerate(zip(lines, states)):
            residual = self.stretch(index, state) * line.residual
            weight = geman_mcclure(residual, scale)[1] * line.passed * self._worth_of(line)
            sigma = max(self.options.sigma, floor, noise_of(residual, weight)) if weight.any() else scale
            held.append({"weight": weight * (self.options.trust / sigma**2), "sigma": sigma, "scale": scale})
        return held

    def _worth_of(self, line: Lines) -> np.ndarray:
        """What points (N,) count beside their distance: little where they may be hair, which lies outside."""
        return np.where(line.residual > 0, self._worth[line.corners].min(1), 1.0)

    def cost(self, identity, states: list[ScanState], lines: list[Lines], held: list[dict]) -> float:
        """Negative log-likelihood plus priors, under the noise of `held`; points that are gated out cost as much as
        the farthest outlier."""
        total = self.identity.cost(identity)
        for index, (line, state, weights) in enumerate(zip(lines, states, held)):
            stretch = self.stretch(index, state)
            cost, _ = geman_mcclure(stretch * line.residual, weights["scale"])
            cost = np.where(line.passed, cost, weights["scale"] ** 2) * self._worth_of(line)
            total += 0.5 * self.options.trust * float(cost.sum()) / weights["sigma"] ** 2
            gap = np.linalg.norm(stretch * line.landmark, axis=1)
            robust, _ = geman_mcclure(gap, self.options.landmark_gate)
            total += 0.5 * float(self.views[index].confidence @ robust) / self.options.landmark_sigma**2
            total += self.expression.cost(state.expression) + self.pose.cost(state.pose)
        return total + self._size(states)[0]

    def _size(self, states: list[ScanState]) -> tuple[float, np.ndarray, np.ndarray]:
        """Cost of the sizes, its slope (n,) and Hessian (n, n): each near what its placement expects, and those of
        known unit alike."""
        log_scale, options = np.array([np.log(state.similarity.scale) for state in states]), self.options
        away, apart = log_scale - self.log_scale, self._alike @ (log_scale - self._log_unit)
        cost = 0.5 * float(away @ away) / options.log_scale_sd**2 + 0.5 * float(apart @ apart) / options.same_size_sd**2
        slope = away / options.log_scale_sd**2 + self._alike.T @ apart / options.same_size_sd**2
        hessian = np.eye(len(states)) / options.log_scale_sd**2 + self._alike.T @ self._alike / options.same_size_sd**2
        return cost, slope, hessian

    def equations(self, identity, states: list[ScanState], lines: list[Lines], held: list[dict]):
        """Normal equations: Hessian (n, n) and slope (n,) in the order identity, (similarity, pose) per scan,
        expression per scan."""
        shared, per, count = self.n_shared, self.n_view, len(states)
        channels = self.head.n_expression
        total = shared + count * (per + channels)
        hessian, slope = np.zeros((total, total)), np.zeros(total)
        for index, (line, state, weights) in enumerate(zip(lines, states, held)):
            at = shared + per * index + np.arange(per)
            also = shared + per * count + channels * index + np.arange(channels)
            where = np.concatenate([np.arange(shared), at, also])
            jacobian, residual, weight = self._rows(identity, index, state, line, weights["weight"])
            block, pull = normal_products(jacobian, weight, residual)
            hessian[np.ix_(where, where)] += block
            slope[where] += pull
            resting = ((at[POSE:], self.pose, state.pose), (also, self.expression, state.expression))
            for places, prior, numbers in resting:
                hessian[places, places] += prior.stiffness
                slope[places] += prior.stiffness * numbers + prior.slope
        hessian[:shared, :shared] += self.identity.precision
        slope[:shared] += self.identity.precision @ (identity - self.identity.mean)
        sizes = shared + per * np.arange(count) + POSE - 1
        _, pull, stiffness = self._size(states)
        hessian[np.ix_(sizes, sizes)] += stiffness
        slope[sizes] += pull
        return hessian, slope

    def _rows(self, identity, index: int, state: ScanState, line: Lines, weight: np.ndarray):
        """Jacobian (M, n), residuals (M,) and weights (M,) of one scan: its points that count, then its landmarks."""
        stretch = self.stretch(index, state)
        used = np.flatnonzero(weight > 1e-3 * weight.max(initial=0.0))
        n_vertices = len(self.head.mirror)
        plane = on_triangles(line.corners[used], line.barycentric[used], line.direction[used], n_vertices)
        functionals = csr_matrix(vstack([plane, self._landmark_functionals]))
        found = self.head.derivatives(functionals, identity, state.expression, state.pose)
        placed = np.concatenate([line.placed[used], (state.similarity.apply(self.views[index].landmarks)).repeat(3, 0)])
        direction = np.concatenate([line.direction[used], np.tile(np.eye(3), (68, 1))])
        arm = placed - self.centre
        residual = np.concatenate([line.residual[used], line.landmark.ravel()])
        grow = (arm * direction).sum(1) - residual  # the second: lengths are measured at the expected scale
        similarity = np.concatenate([np.cross(arm, direction), direction / self.unit, grow[:, None]], 1)
        jacobian = np.concatenate([-found.identity, similarity, -found.pose, -found.expression], 1) * stretch
        residual = residual * stretch
        gap = np.linalg.norm(stretch * line.landmark, axis=1)
        robust = geman_mcclure(gap, self.options.landmark_gate)[1] * self.views[index].confidence
        weights = np.concatenate([weight[used], np.repeat(robust, 3) / self.options.landmark_sigma**2])
        return np.ascontiguousarray(jacobian, dtype=np.float32), residual, weights

    def moved(self, similarity: Similarity, step: np.ndarray) -> Similarity:
        """A similarity after a step (7,) about the centre, in the family's frame; long steps are shortened."""
        turn = step[:3] * min(1.0, 0.3 / max(1e-12, float(np.linalg.norm(step[:3]))))
        shift = step[3:6] * min(1.0, 0.15 / max(1e-12, float(np.linalg.norm(step[3:6]))))
        rotation, grow = Rotation.from_rotvec(turn).as_matrix(), float(np.exp(np.clip(step[6], -0.1, 0.1)))
        translation = self.centre + shift / self.unit - grow * rotation @ self.centre
        return Similarity(rotation, translation, grow).after(similarity)
