"""Confined edits: part codes that do what was asked inside a region and nothing beyond its border.

A part rules its whole cell of the head, which reaches well past the feature that it is named for: a drawn chin would
bring its own throat along. Within the part's 32 numbers and its origin there is room for both, and the prior says what
is likely. So codes are looked for with which the field follows the donor's own, f_1, inside a window m about the
region's anchors, and stays the source's own, f_0, outside of it:

    min_u  sum_x ((f_u(x) - f_0(x) - m(x) (f_1(x + t) - f_0(x))) / s(x))^2 + (u - u_1)^T C^-1 (u - u_1)

with u the codes and origins of the edited parts, u_1 the donor's, C the prior's covariance of u within the head's hair
class, and t what puts the donor's surroundings of the region onto the head's. The second term chooses what the surface
does not tell, such as how the inside of the mouth goes on. Solved by Gauss-Newton with exact derivatives. Nothing but
the codes and origins of the edited parts changes, so confined edits are exactly local as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield.frames import MM_PER_UNIT
from headfield.models.imhead import Condition, ImHead
from headfield.types import Codes

DRAWS = 2000
"""Draws from the prior that the covariance of codes and origins is taken from."""

_AROUND = 0.2
"""Model units (50 mm): how far around a region its surroundings are looked at to place a donor's."""


@dataclass(frozen=True)
class Confinement:
    """How hard an edit is kept inside its region.

    Harder settings leak less and look worse: with five times the prior's spread and more rounds the outside holds still
    to a tenth of a millimetre, and noses sink and chins grow lumps. These keep to codes that make sound faces.

    Attributes:
        full_mm: Up to this distance from the region's anchors the asked surface is wanted, average adult.
        end_mm: From this distance on the source's own surface is wanted.
        inside_mm: Standard deviation of the field from what is wanted inside.
        outside_mm: The same outside.
        points: Places on and near the surface that are looked at.
        near_mm: Reach of those beside the surface.
        steps: Steps at most in a round.
        stretch: The prior's spread is taken so many times as wide: how far a correction may leave what is likely.
        rounds: More solutions after the first, each with more weight on what still moves outside.
    """

    full_mm: float = 10.0
    end_mm: float = 30.0
    inside_mm: float = 0.6
    outside_mm: float = 0.06
    points: int = 2000
    near_mm: float = 6.0
    steps: int = 6
    stretch: float = 2.0
    rounds: int = 1


def confined(
    model: ImHead,
    source: Codes,
    donor: Codes,
    parts: np.ndarray,
    options: Confinement | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and origins with which the donor's surface takes the region's place and nothing moves beyond its border.

    Args:
        model: The model of both.
        source: The head to change (B = 1); its expression does not matter.
        donor: The head whose region is wanted.
        parts: (P,) indices of the parts to edit.
        options: How hard.
    Returns:
        Part codes (1, K, d) and origins (1, K, 3), the source's own outside `parts`.
    """
    options = options or Confinement()
    with torch.no_grad():
        at_source, at_donor = (model.condition(replace(codes, expression=None)) for codes in (source, donor))
    own, given = (at_source.parts, at_source.origins), (at_donor.parts, at_donor.origins)
    shift = _shift(at_source, at_donor, parts)
    u_0, u_1 = _vector(own, parts), _vector((given[0], given[1] - torch.as_tensor(shift).to(given[1])), parts)
    if np.array_equal(_vector(own, parts), _vector(given, parts)):
        return own
    places = _places(model, at_source, parts, options)
    if not len(places):
        return own
    anchors = at_source.blend_anchors[0, parts].cpu().numpy()
    window = _window(np.linalg.norm(places[:, None] - anchors, axis=2).min(axis=1) * MM_PER_UNIT, options)
    before = _value(model, places, at_source)
    wanted = before + window * (_value(model, places + shift, at_donor) - before)
    sigma = options.outside_mm * (options.inside_mm / options.outside_mm) ** window / MM_PER_UNIT
    spread = options.stretch * np.linalg.cholesky(_covariance(model, source.identity, parts))
    v = np.linalg.solve(spread, u_0 - u_1)
    for round_ in range(1 + options.rounds):
        v, left = _solve(model, (at_source, own, parts), places, (wanted, sigma), (u_1, spread), v, options.steps)
        if round_ < options.rounds:  # what still moves most outside is minded most in the next round
            outside = window < 0.02
            typical = max(float(np.sqrt((left[outside] ** 2).mean())), 1e-6) if outside.any() else 1.0
            sigma = np.where(outside, sigma / np.clip(np.abs(left) / typical, 1.0, 3.0), sigma)
    return _codes(own, parts, u_1 + spread @ v)


def _shift(source: Condition, donor: Condition, parts: np.ndarray) -> np.ndarray:
    """How much farther (3,) the donor's face lies about the region: from the anchors around it, near ones most.

    The region itself does not count: a long chin is long because it is far from the mouth.
    """
    here, there = (condition.blend_anchors[0].double().cpu().numpy() for condition in (source, donor))
    around = np.setdiff1d(np.arange(len(here)), parts)
    if not len(around):
        return np.zeros(3)
    distance = np.linalg.norm(here[around, None] - here[parts], axis=2).min(axis=1)
    weight = np.exp(-((distance / _AROUND) ** 2))
    return weight @ (there - here)[around] / weight.sum()


def _solve(model, head, places, wanted, prior, v: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton on v, u = u_1 + L v, with steps halved until the cost falls; v and what is left at the places."""
    (at_source, own, parts), (target, sigma), (u_1, spread) = head, wanted, prior

    def condition(v: np.ndarray) -> Condition:
        codes, origins = _codes(own, parts, u_1 + spread @ v)
        return replace(at_source, parts=codes, origins=origins, ensemble=model.ensemble.fold(codes))

    def residual(v: np.ndarray) -> np.ndarray:
        return (_value(model, places, condition(v)) - target) / sigma

    r = residual(v)
    now, scale = float(r @ r + v @ v), 1.0
    for _ in range(steps):
        _, on_parts, on_origins = _slopes(model, places, condition(v), parts)
        jacobian = np.concatenate([on_parts.reshape(len(places), -1), on_origins.reshape(len(places), -1)], axis=1)
        jacobian = (jacobian / sigma[:, None]) @ spread
        step = np.linalg.solve(jacobian.T @ jacobian + np.eye(len(v)), -(jacobian.T @ r + v))
        for _ in range(4):
            trial, there = residual(v + scale * step), v + scale * step
            cost = float(trial @ trial + there @ there)
            if cost < now:
                break
            scale *= 0.5
        else:
            break
        v, r, gain, now, scale = there, trial, now - cost, cost, min(1.0, 2.0 * scale)
        if gain < 2e-3 * now:
            break
    return v, r * sigma


def _vector(codes: tuple[torch.Tensor, torch.Tensor], parts: np.ndarray) -> np.ndarray:
    return np.concatenate([tensor[0, parts].reshape(-1).cpu().numpy() for tensor in codes]).astype(float)


def _codes(source: tuple[torch.Tensor, torch.Tensor], parts: np.ndarray, vector: np.ndarray):
    codes, origins = source[0].clone(), source[1].clone()
    split = len(parts) * codes.shape[2]
    codes[0, parts] = torch.as_tensor(vector[:split].reshape(len(parts), -1)).to(codes)
    origins[0, parts] = torch.as_tensor(vector[split:].reshape(len(parts), 3)).to(origins)
    return codes, origins


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
