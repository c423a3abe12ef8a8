"""Confined edits: part codes that do what was asked inside a region and nothing beyond its border.

A part rules its whole cell of the head, which reaches well past the feature that it is named for: a drawn chin would
bring its own throat along. Within the part's 32 numbers and its origin there is room for both, and the prior says what
is likely. So the codes asked for are corrected as little as possible, in the prior's own measure, such that the field
follows the asked one inside a window about the region's anchors and stays the source's own outside it:

    min_u  sum_x ((f_u(x) - f_0(x) - m(x) (f_1(x) - f_0(x))) / s(x))^2 + (u - u_1)^T C^-1 (u - u_1)

with u the codes and origins of the edited parts, u_0 the source's, u_1 the asked ones, m the window and C the prior's
covariance of u within the head's hair class. For codes drawn from the prior this is conditioning of the draw on what
lies around the region (Matheron's rule), linearised again in every Gauss-Newton step. Nothing but the codes and origins
of the edited parts changes, so confined edits are exactly local as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield.frames import MM_PER_UNIT
from headfield.models.imhead import Condition, ImHead
from headfield.types import Codes

DRAWS = 2000
"""Draws from the prior that the covariance of codes and origins is taken from."""


@dataclass(frozen=True)
class Confinement:
    """How hard an edit is kept inside its region.

    Attributes:
        full_mm: Up to this distance from the region's anchors the asked surface is wanted, average adult.
        end_mm: From this distance on the source's own surface is wanted.
        inside_mm: Standard deviation of the field from what is wanted inside.
        outside_mm: The same outside.
        points: Places on and near the surface that are looked at.
        near_mm: Reach of those beside the surface.
        steps: Gauss-Newton steps at most.
        stretch: The prior's spread is taken so many times as wide: how far a correction may leave what is likely.
    """

    full_mm: float = 14.0
    end_mm: float = 25.0
    inside_mm: float = 0.5
    outside_mm: float = 0.05
    points: int = 2500
    near_mm: float = 6.0
    steps: int = 8
    stretch: float = 2.0


def confined(
    model: ImHead,
    identity: torch.Tensor,
    source: tuple[torch.Tensor, torch.Tensor],
    asked: tuple[torch.Tensor, torch.Tensor],
    parts: np.ndarray,
    options: Confinement | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and origins near the asked ones whose effect ends where the region does.

    Args:
        model: The head's model.
        identity: (1, D) unedited identity: its anchors give the blend weights.
        source: Part codes (1, K, d) and origins (1, K, 3) of the head.
        asked: The same after the plain edit; they differ in `parts` only.
        parts: (P,) indices of the edited parts.
        options: How hard.
    Returns:
        Part codes (1, K, d) and origins (1, K, 3), the source's own outside `parts`.
    """
    options = options or Confinement()
    u_0, u_1 = _vector(source, parts), _vector(asked, parts)
    if np.array_equal(u_0, u_1):
        return source
    at_source, at_asked = _condition(model, identity, source), _condition(model, identity, asked)
    places = _places(model, at_source, parts, options)
    if not len(places):
        return asked
    anchors = at_source.blend_anchors[0, parts].cpu().numpy()
    distance = np.linalg.norm(places[:, None] - anchors, axis=2).min(axis=1) * MM_PER_UNIT
    window = _window(distance, options)
    own = _value(model, places, at_source)
    wanted = own + window * (_value(model, places, at_asked) - own)
    sigma = options.outside_mm * (options.inside_mm / options.outside_mm) ** window / MM_PER_UNIT
    spread = options.stretch * np.linalg.cholesky(_covariance(model, identity, parts))
    u = _solve(model, identity, source, parts, places, (wanted, sigma), spread, (u_0, u_1), options.steps)
    return _codes(source, parts, u)


def _solve(model, identity, source, parts, places, wanted, spread, ends, steps: int) -> np.ndarray:
    """Gauss-Newton on v, u = u_1 + L v, with steps halved until the cost falls."""
    (target, sigma), (u_0, u_1) = wanted, ends

    def residual(v: np.ndarray, slopes: bool):
        condition = _condition(model, identity, _codes(source, parts, u_1 + spread @ v))
        if not slopes:
            return (_value(model, places, condition) - target) / sigma, None
        value, on_parts, on_origins = _slopes(model, places, condition, parts)
        jacobian = np.concatenate([on_parts.reshape(len(places), -1), on_origins.reshape(len(places), -1)], axis=1)
        return (value - target) / sigma, (jacobian / sigma[:, None]) @ spread

    def cost(r: np.ndarray, v: np.ndarray) -> float:
        return float(r @ r + v @ v)

    # half the way is a better start than either end: what is asked may be far outside what a linear step can mend
    v = np.linalg.solve(spread, 0.5 * (u_0 - u_1))
    r, jacobian = residual(v, True)
    for _ in range(steps):
        now = cost(r, v)
        normal = jacobian.T @ jacobian + np.eye(len(v))
        step = np.linalg.solve(normal, -(jacobian.T @ r + v))
        scale = 1.0
        while scale > 0.1:
            trial, _ = residual(v + scale * step, False)
            if cost(trial, v + scale * step) < now:
                break
            scale /= 2
        else:
            break
        v = v + scale * step
        if now - cost(trial, v) < 1e-3 * now:
            break
        r, jacobian = residual(v, True)
    return u_1 + spread @ v


def _vector(codes: tuple[torch.Tensor, torch.Tensor], parts: np.ndarray) -> np.ndarray:
    return np.concatenate([tensor[0, parts].reshape(-1).cpu().numpy() for tensor in codes]).astype(float)


def _codes(source: tuple[torch.Tensor, torch.Tensor], parts: np.ndarray, vector: np.ndarray):
    codes, origins = source[0].clone(), source[1].clone()
    split = len(parts) * codes.shape[2]
    codes[0, parts] = torch.as_tensor(vector[:split].reshape(len(parts), -1)).to(codes)
    origins[0, parts] = torch.as_tensor(vector[split:].reshape(len(parts), 3)).to(origins)
    return codes, origins


def _condition(model: ImHead, identity: torch.Tensor, codes: tuple[torch.Tensor, torch.Tensor]) -> Condition:
    with torch.no_grad():
        return model.condition(Codes(identity, None, *codes))


def _covariance(model: ImHead, identity: torch.Tensor, parts: np.ndarray) -> np.ndarray:
    """Covariance (n, n) of codes and origins of the parts within the head's hair class, from draws of the prior."""
    prior = model.prior
    component = prior.likeliest(identity[0].cpu().numpy())
    drawn = torch.as_tensor(prior.draw(DRAWS, np.random.default_rng(0), component=component)).to(identity)
    with torch.no_grad():
        codes = model.part_codes(drawn)
        rows = torch.cat([codes[:, parts].flatten(1), model.anchors_of_parts(codes)[:, parts].flatten(1)], dim=1)
    covariance = np.cov(rows.double().cpu().numpy(), rowvar=False)
    return covariance + 1e-3 * np.diag(np.diag(covariance)) + 1e-10 * np.eye(len(covariance))


def _places(model: ImHead, condition: Condition, parts: np.ndarray, options: Confinement) -> np.ndarray:
    """Points (N, 3) that the edited parts reach: half on the surface, half beside it."""
    rng = np.random.default_rng(0)
    anchors = condition.blend_anchors[0, parts].cpu().numpy()
    low, high = np.asarray(model.box, dtype=float)
    reach = 90.0 / MM_PER_UNIT  # beyond it a part may still matter, where no other is near
    found: list[np.ndarray] = []
    for _ in range(4):
        count = 6 * options.points
        points = anchors[rng.integers(len(anchors), size=count)] + rng.uniform(-reach, reach, (count, 3))
        points = points[((points > low) & (points < high)).all(axis=1)]
        points = points[_matters(model, condition, points, parts)]
        near = np.abs(_value(model, points, condition)) < 0.1
        points = _on_surface(model, condition, points[near])
        found.append(points[_matters(model, condition, points, parts)])
        if sum(map(len, found)) >= options.points:
            break
    points = np.concatenate(found)[: options.points]
    _, gradient = _value_and_gradient(model, points, condition)
    away = rng.uniform(-options.near_mm, options.near_mm, len(points)) / MM_PER_UNIT
    away[::2] = 0.0
    return points + away[:, None] * gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)


def _on_surface(model: ImHead, condition: Condition, points: np.ndarray) -> np.ndarray:
    for _ in range(4):
        value, gradient = _value_and_gradient(model, points, condition)
        step = -value[:, None] * gradient / np.maximum((gradient**2).sum(axis=1, keepdims=True), 0.1)
        points = points + step * np.minimum(1.0, 0.05 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9))
    return points[np.abs(_value(model, points, condition)) < 2e-3]


def _matters(model: ImHead, condition: Condition, points: np.ndarray, parts: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        weights = model.ensemble.weights(_tensor(points, condition)[None], condition.blend_anchors).weights
    return (weights[0][:, parts] > 0).any(dim=1).cpu().numpy()


def _tensor(points: np.ndarray, condition: Condition) -> torch.Tensor:
    return torch.as_tensor(points).to(condition.blend_anchors)


def _value(model: ImHead, points: np.ndarray, condition: Condition) -> np.ndarray:
    with torch.no_grad():
        return model.signed_distance(_tensor(points, condition)[None], condition)[0].double().cpu().numpy()


def _value_and_gradient(model: ImHead, points: np.ndarray, condition: Condition):
    with torch.no_grad():
        value, gradient = model.value_and_gradient(_tensor(points, condition)[None], condition)
    return value[0].double().cpu().numpy(), gradient[0].double().cpu().numpy()


def _slopes(model: ImHead, points: np.ndarray, condition: Condition, parts: np.ndarray):
    value, _, on_parts, on_origins = model.part_jacobian(_tensor(points, condition), condition)
    return tuple(item.double().cpu().numpy() for item in (value, on_parts[:, parts], on_origins[:, parts]))


def _window(distance: np.ndarray, options: Confinement) -> np.ndarray:
    """1 near the anchors, 0 from the end on, smooth between."""
    level = np.clip((options.end_mm - distance) / (options.end_mm - options.full_mm), 0.0, 1.0)
    return level * level * (3.0 - 2.0 * level)
