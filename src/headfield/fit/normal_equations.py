"""One view's contribution to the normal equations: residuals, weights and products of Jacobians."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from headfield.errors import present
from headfield.fit.derivatives import jacobians_of
from headfield.fit.empty_space import GATE, MARGIN
from headfield.fit.gate import MOBILE_PARTS, Gate, geman_mcclure, hair_scale, noise_of
from headfield.neighbours import PointTree
from headfield.types import Codes, Similarity

CENTRE = np.array([0.0, 0.02, -0.12])
"""Fixed point of rotation and size steps, model frame: about the middle of the head."""

POSE = 7
"""Pose unknowns: rotation vector (3), translation (3), log-scale (1), steps in the model frame about CENTRE."""

RIM = 0.01
"""Points count as the head's from this far above the neck's cut (model units)."""

EARLY_RIM = 0.13
"""While the gate is wide only points from this far above the cut (33 mm) speak: shoulders and collars may rise above
the cut at the back, and a code that believes in them bends the neck and drags the face along."""

HAIR_ABOVE = 0.06
"""Hair is looked for from this far above the cut (model units, 15 mm): below hang collars and shoulders."""

LATE, BELOW = 0.03, 0.05
"""Below this gate, points down to this far below the cut may speak (model units)."""


@dataclass(frozen=True)
class Cloud:
    """The points of one scan, ready for the solver.

    Attributes:
        points: (N, 3) float64 scan frame, in a random but seeded order, so that a prefix is a fair sample.
        tree: Tree over the points.
        spacing: Median distance between neighbours, scan units.
        empty: (M, 3) places that were seen to be empty, scan frame.
    """

    points: np.ndarray
    tree: PointTree
    spacing: float
    empty: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    @staticmethod
    def of(points: np.ndarray, seed: int = 0) -> Cloud:
        """Shuffle and index points (N, 3)."""
        points = np.asarray(points, dtype=float)
        points = points[np.random.default_rng(seed).permutation(len(points))]
        tree = PointTree(points)
        spacing = float(np.median(tree.query(points, k=2)[0][:, 1])) if len(points) > 1 else 0.0
        return Cloud(points, tree, spacing)


@dataclass(frozen=True)
class ViewState:
    """Where one view stands.

    Attributes:
        similarity: Scan -> model frame.
        expression: (E,) weights in [0, 1], or None while neutral.
        free: (E,) bool, which weights may move; None = all.
    """

    similarity: Similarity
    expression: np.ndarray | None
    free: np.ndarray | None = None

    @property
    def movable(self) -> np.ndarray:
        """Which weights (E,) may move, of a state that has an expression."""
        return np.ones(len(self.weights), dtype=bool) if self.free is None else self.free

    @property
    def weights(self) -> np.ndarray:
        """The expression (E,) of a state that has one."""
        return present(self.expression, "an expression")


@dataclass(frozen=True)
class Linearised:
    """A view at one state.

    Attributes:
        residual: (N,) signed distance, model units (of the reference scale, if there is one).
        placed: (N, 3) points in the model frame.
        gradient: (N, 3) field gradient.
        jacobian: (N, D + 7 + E) derivatives by identity, pose and expression (E absent while neutral), float32.
        slope: (N,) what raw derivatives are divided by: the length of the raw gradient, clipped, over the stretch of
            the reference scale.
        inside: The same of the places that were seen to be empty and lie inside the model, with the depth that is too
            much as the residual (negative); None when there are none.
    """

    residual: np.ndarray
    placed: np.ndarray
    gradient: np.ndarray
    jacobian: np.ndarray
    slope: np.ndarray
    inside: Linearised | None = None

    def rows(self, which) -> Linearised:
        """Some of its points."""
        return Linearised(
            self.residual[which], self.placed[which], self.gradient[which], self.jacobian[which], self.slope[which]
        )


def linearise(
    model,
    identity: np.ndarray,
    state: ViewState,
    points: np.ndarray,
    reference: float | None = None,
    empty: np.ndarray | None = None,
) -> Linearised:
    """Residuals and Jacobian of one view.

    A scan that is made smaller has smaller residuals, noise and all: measured in the model frame, every noisy scan
    would come out too small. With a reference scale residuals are lengths in the scan, times that constant.

    Args:
        model: A HeadModel.
        identity: (D,) code.
        state: Placement and expression.
        points: (N, 3) scan points.
        reference: Model units per scan unit in which residuals are measured; None = the state's own.
        empty: (M, 3) places that were seen to be empty, scan frame.
    """
    if empty is not None and len(empty):
        deep = empty[field_values(model, identity, state, empty) < MARGIN]
        count = len(points)
        both = linearise(model, identity, state, np.concatenate([points, deep]), reference)
        inside = both.rows(slice(count, None))
        inside = replace(inside, residual=np.minimum(inside.residual - MARGIN, 0.0))
        return replace(both.rows(slice(count)), inside=inside if len(deep) else None)
    placed = state.similarity.apply(points)
    codes = codes_of(model, identity, state.expression)
    lower, upper = np.asarray(model.box, dtype=float)
    inside_box = np.clip(placed, lower, upper)
    found = jacobians_of(model, model_points(model, inside_box), codes)
    value = found.value.double().cpu().numpy() + np.linalg.norm(placed - inside_box, axis=1)
    gradient = found.gradient.double().cpu().numpy()
    # a field is trained to be a distance but is not quite: divide by its slope, as one Newton step would
    slope = np.clip(np.linalg.norm(gradient, axis=1), 0.5, 2.0)
    arm = placed - CENTRE
    pose = np.concatenate([np.cross(arm, gradient), gradient, (arm * gradient).sum(1, keepdims=True)], 1)
    parts = [found.identity.float().cpu().numpy(), pose.astype(np.float32)]
    if state.expression is not None:
        parts.append(found.expression.float().cpu().numpy())
    jacobian = np.concatenate(parts, 1) / slope[:, None].astype(np.float32)
    residual = value / slope
    if reference is not None:
        stretch = reference / state.similarity.scale
        jacobian[:, len(identity) + POSE - 1] -= residual
        residual, jacobian = stretch * residual, np.float32(stretch) * jacobian
        return Linearised(residual, placed, gradient / slope[:, None], jacobian, slope / stretch)
    return Linearised(residual, placed, gradient / slope[:, None], jacobian, slope)


def field_values(model, identity: np.ndarray, state: ViewState, points: np.ndarray) -> np.ndarray:
    """The field (N,) at scan points (N, 3); outside the model's box it is positive."""
    placed = state.similarity.apply(points)
    lower, upper = np.asarray(model.box, dtype=float)
    inside_box = np.clip(placed, lower, upper)
    codes = codes_of(model, identity, state.expression)
    with torch.no_grad():
        value = model.signed_distance(model_points(model, inside_box)[None], codes)[0].double().cpu().numpy()
    return value + np.linalg.norm(placed - inside_box, axis=1)


def codes_of(model, identity: np.ndarray, expression: np.ndarray | None) -> Codes:
    """Codes of one head from arrays."""
    return Codes(
        identity=model_points(model, identity)[None],
        expression=None if expression is None else model_points(model, expression)[None],
    )


def model_points(model, array: np.ndarray) -> torch.Tensor:
    """An array as a float32 tensor where the model lives."""
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    device = parameter.device if parameter is not None else None
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)


def model_anchors(model, identity: np.ndarray) -> np.ndarray:
    """Anchors (39, 3) of an identity, model units, float64."""
    with torch.no_grad():
        return model.anchors(codes_of(model, identity, None))[0].double().cpu().numpy()


def robust_scales(
    line: Linearised,
    anchors: np.ndarray,
    cut: np.ndarray,
    state: ViewState,
    cloud: Cloud,
    scale: float,
    hair: bool,
    face: float = 0.0,
) -> np.ndarray:
    """Per-point robust scale (N,); 0 for points that belong to the body below the neck's cut.

    Args:
        line: The view at the current state.
        anchors: (39, 3) anchors of the current identity.
        cut: (4,) the plane of its neck.
        state: The current state.
        cloud: The scan.
        scale: Gate on skin, model units.
        hair: Keep the gate open outward over scalp and jaw.
        face: Least gate on the parts of the face that move, model units.
    """
    height = line.placed @ cut[:3] + cut[3]
    if hair:
        back = state.similarity.inverse().apply
        scales = hair_scale(
            line.residual,
            line.placed,
            line.gradient,
            height > HAIR_ABOVE,
            anchors,
            cloud.tree,
            back,
            scale,
            cloud.spacing,
        )
    else:
        scales = np.full(len(line.residual), scale)
    if face > scale:
        mobile = MOBILE_PARTS[PointTree(anchors).query(line.placed)[1]]
        scales = np.where(mobile, np.maximum(scales, face), scales)
    # once the gate is narrow the residual itself tells the body from the neck, which may be longer than it looked
    return np.where(height < (EARLY_RIM if scale > LATE else -BELOW), 0.0, scales)


def weigh(
    line: Linearised, scales: np.ndarray, least: np.ndarray, trust: np.ndarray, sigma: float | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights of the points in the normal equations.

    Args:
        line: The view.
        scales: (N,) robust scales, 0 to leave a point out.
        least: (N,) least standard deviation of residuals (model error), model units.
        trust: (N,) independent observations that each point counts for.
        sigma: Their standard deviation; None estimates it from the inliers.
    Returns:
        Weights (N,), the standard deviations (N,) used, and the robust cost.
    """
    safe = np.maximum(scales, 1e-9)
    _, weight = geman_mcclure(line.residual, safe)
    weight = np.where(scales > 0, weight, 0.0)
    strength = np.full(len(least), sigma) if sigma else np.maximum(least, noise_of(line.residual, trust * weight))
    return weight * (trust / strength**2), strength, robust_cost(line.residual, scales, strength, trust)


def robust_cost(residual: np.ndarray, scales: np.ndarray, strength: np.ndarray, trust: np.ndarray) -> float:
    """Negative log-likelihood of residuals under fixed scales; points left out cost a full outlier, so that a head
    gains nothing by pushing points below its neck."""
    cost, _ = geman_mcclure(residual, np.maximum(scales, 1e-9))
    outlier = float(np.median(scales[scales > 0]) ** 2) if (scales > 0).any() else 1.0
    return float(0.5 * (trust * np.where(scales > 0, cost, outlier) / strength**2).sum())


def weigh_inside(line: Linearised, strength: float) -> tuple[np.ndarray, float]:
    """Weights (M,) and robust cost of the empty places inside the model, one observation each."""
    cost, weight = geman_mcclure(line.residual, GATE)
    return weight / strength**2, float(0.5 * cost.sum() / strength**2)


__all__ = [
    "Cloud", "Gate", "Linearised", "ViewState", "field_values", "linearise", "robust_cost", "robust_scales", "weigh",
    "weigh_inside",
]  # fmt: skip
