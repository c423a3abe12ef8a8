"""Many similarities at once: uniform rotations, start translations and robust Gauss-Newton steps on a mean field.

A pose maps scan points p to the model frame, x = exp(log_scale) R p + t. Steps are taken in the model frame about a
fixed centre c: x <- c + exp(ds) exp([w]x) (x - c) + dt, so that rotation, size and translation are well scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield.fit.gate import FACE_PARTS
from headfield.fit.mean_field import MeanField
from headfield.fit.scan_field import ScanField
from headfield.types import Similarity

CENTRE = torch.tensor([0.0, 0.02, -0.12])
"""Fixed point of rotation and size steps, model frame: about the middle of the head."""

INSIDE_PENALTY = 2.0
"""Weight of points inside the head against outside ones: cloth and hair lie outside, nothing real lies inside."""


@dataclass(frozen=True)
class Poses:
    """H similarities scan -> model frame.

    Attributes:
        rotation: (H, 3, 3).
        translation: (H, 3) model units.
        log_scale: (H,) log of model units per scan unit.
        log_scale_prior: (H,) what the hypothesis' unit expects, or the start when free.
        unit: (H,) index into the caller's list of size hypotheses.
    """

    rotation: torch.Tensor
    translation: torch.Tensor
    log_scale: torch.Tensor
    log_scale_prior: torch.Tensor
    unit: torch.Tensor

    def take(self, index: torch.Tensor) -> Poses:
        """The poses at an index."""
        return Poses(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def apply(self, points: torch.Tensor) -> torch.Tensor:
        """Transform points (P, 3) by every pose: (H, P, 3)."""
        scaled = self.rotation * self.log_scale.exp()[:, None, None]
        return points @ scaled.transpose(1, 2) + self.translation[:, None]

    def similarity(self, index: int) -> Similarity:
        """One pose as a Similarity in float64, its rotation made exactly orthogonal."""
        u, _, vt = np.linalg.svd(self.rotation[index].double().numpy())
        return Similarity(
            u @ vt, self.translation[index].double().numpy().copy(), float(self.log_scale[index].double().exp())
        )


def join(several: list[Poses]) -> Poses:
    """All poses of several sets."""
    return Poses(*(torch.cat([getattr(poses, name) for poses in several]) for name in Poses.__dataclass_fields__))


def super_fibonacci(count: int) -> torch.Tensor:
    """Nearly uniform rotations (count, 3, 3) (Alexa, Super-Fibonacci Spirals, CVPR 2022)."""
    s = np.arange(count) + 0.5
    r, big_r = np.sqrt(s / count), np.sqrt(1.0 - s / count)
    alpha, beta = 2 * np.pi * s / np.sqrt(2.0), 2 * np.pi * s / 1.533751168755204288118041
    quaternion = np.stack([r * np.sin(alpha), r * np.cos(alpha), big_r * np.sin(beta), big_r * np.cos(beta)], -1)
    return quaternion_to_matrix(torch.from_numpy(quaternion)).float()


def quaternion_to_matrix(quaternion: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) of quaternions (..., 4) in the order x, y, z, w."""
    x, y, z, w = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_exp(vector: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians (Rodrigues); differentiable at zero, too."""
    # a library's conversion is as right, but loading it brings in torch's compiler: over a second before every fit
    angle = vector.norm(dim=-1, keepdim=True)
    half = 0.5 * angle
    factor = torch.where(angle > 1e-6, torch.sin(half) / angle.clamp(min=1e-12), torch.full_like(angle, 0.5))
    return quaternion_to_matrix(torch.cat([vector * factor, torch.cos(half)], -1))


def pose_jacobian(points: torch.Tensor, gradient: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Derivative (..., 7) of a field's value by rotation (3), translation (3) and log-scale (1) steps.

    Args:
        points: (..., 3) current points, model frame.
        gradient: (..., 3) field gradient there.
        centre: (3,) fixed point of rotation and scale.
    """
    arm = points - centre
    return torch.cat([torch.linalg.cross(arm, gradient), gradient, (arm * gradient).sum(-1, keepdim=True)], -1)


def stepped(poses: Poses, step: torch.Tensor) -> Poses:
    """Poses after steps (H, 7): rotation vector, translation, log-scale, all in the model frame about CENTRE."""
    turn = rotation_exp(step[:, :3])
    grow = step[:, 6].exp()
    centred = poses.translation - CENTRE
    translation = CENTRE + grow[:, None] * (turn @ centred[..., None])[..., 0] + step[:, 3:6]
    return replace(
        poses, rotation=turn @ poses.rotation, translation=translation, log_scale=poses.log_scale + step[:, 6]
    )


def starts(
    points: torch.Tensor, rotations: torch.Tensor, log_scales: torch.Tensor, field: MeanField, spread: float
) -> Poses:
    """Start poses: every rotation x size x four guesses of the translation.

    The guesses: centroid on centroid (a whole head); crown on crown with the slab below it centred (a bust); the
    same with the front of the slab on the face (the back of the head is missing); centred on the face with its front
    on the face's (a mask, which has no crown).

    Args:
        points: (P, 3) scan points, scan unit.
        rotations: (R, 3, 3).
        log_scales: (S,) log model units per scan unit.
        field: The mean head.
        spread: Every size is tried at plus and minus this log-size.
    """
    expected = log_scales.repeat_interleave(2)
    log_scales = expected + spread * torch.tensor([-1.0, 1.0]).repeat(len(log_scales))
    count_r, count_s = len(rotations), len(log_scales)
    rotation = rotations.repeat(count_s, 1, 1)
    log_scale = log_scales.repeat_interleave(count_r)
    unit = (torch.arange(count_s) // 2).repeat_interleave(count_r)
    prior = expected.repeat_interleave(count_r).repeat(4)
    turned = points @ rotation.transpose(1, 2) * log_scale.exp()[:, None, None]  # (H, P, 3)
    surface = torch.from_numpy(field.surface.astype(np.float32))
    crown = torch.quantile(surface[:, 1], 0.985)
    face = torch.quantile(surface[:, 2], 0.98)
    middle = surface.mean(0)
    height = turned[..., 1]
    top = torch.quantile(height, 0.985, dim=1)
    slab = (height > (top - 0.9)[:, None]).float()
    weight = slab / slab.sum(1, keepdim=True)
    centre = (turned * weight[..., None]).sum(1)
    depth = torch.where(slab > 0, turned[..., 2], torch.full_like(height, -1e9))
    front = depth.topk(max(2, turned.shape[1] // 40), dim=1).values[:, -1]
    by_centroid = middle - turned.mean(1)
    by_crown = middle - centre
    by_crown[:, 1] = crown - top
    by_face = by_crown.clone()
    by_face[:, 2] = face - front
    by_mask = torch.from_numpy(field.anchors[FACE_PARTS].mean(0).astype(np.float32)) - turned.mean(1)
    by_mask[:, 2] = face - turned[..., 2].topk(max(2, turned.shape[1] // 40), dim=1).values[:, -1]
    translation = torch.cat([by_centroid, by_crown, by_face, by_mask])
    return Poses(rotation.repeat(4, 1, 1), translation, log_scale.repeat(4), prior, unit.repeat(4))


def two_way_cost(
    poses: Poses, points: torch.Tensor, surface: torch.Tensor, field: MeanField, scan: ScanField, width: float
) -> torch.Tensor:
    """Cost (H,) that counts what is explained on the head's surface, not what share of the scan it is.

    A scan shrunk to nothing fits anywhere and a bust is mostly not head, so the scan's own residual is counted only
    around the head, and multiplied by how much of the head's surface the scan covers; nothing real lies inside.

    Args:
        poses: H poses.
        points: (P, 3) scan points.
        surface: (M, 3) points on the mean head.
        field: The mean head.
        scan: Distance grid of the scan.
        width: Distance (model units) at which an explanation counts half.
    """
    placed = poses.apply(points)
    distance, _ = field.lookup(placed)
    cut = torch.as_tensor(field.cut, dtype=placed.dtype)
    around = ((distance.abs() < 4 * width) & (placed @ cut[:3] + cut[3] > 0)).float()
    square = distance.square()
    good = (around * width**2 / (square + width**2)).sum(1) / around.sum(1).clamp(min=8.0)
    scale = poses.log_scale.exp()
    # the model's points in the scan's frame: R^T (x - t) / s
    back = (surface - poses.translation[:, None]) @ poses.rotation / scale[:, None, None]
    gap = scan.lookup(back) * scale[:, None]
    support = (width**2 / (gap.square() + width**2)).mean(1)
    inside = (distance < -width).float().mean(1)
    return inside - support * good


def refine(
    poses: Poses,
    points: torch.Tensor,
    field: MeanField,
    scales: list[float],
    size_sd: float,
    *,
    free_size: bool = True,
    effective: float = 150.0,
    sigma: float = 0.02,
) -> Poses:
    """Robust Gauss-Newton steps on all poses together, one per entry of `scales`.

    Args:
        poses: H poses.
        points: (P, 3) scan points.
        field: The mean head.
        scales: Geman-McClure scale of each step, model units, coarse to fine.
        size_sd: Standard deviation of log-size around each hypothesis' expectation.
        free_size: Let the size move.
        effective: Independent observations the points are worth (neighbours agree).
        sigma: Spread of true heads about the mean head, model units (0.02 is 5 mm).
    Returns:
        The refined poses.
    """
    cut = torch.as_tensor(field.cut, dtype=points.dtype)
    for scale in scales:
        moved = poses.apply(points)
        distance, gradient = field.lookup(moved)
        square = distance.square()
        weight = (scale**2 / (square + scale**2)).square()
        weight = torch.where(distance < 0, INSIDE_PENALTY * weight, weight) * (moved @ cut[:3] + cut[3] > 0)
        share = weight.sum(1, keepdim=True).clamp(min=8.0)  # however few of the points are head, they are the evidence
        weight = weight * (effective / share / sigma**2)
        jacobian = pose_jacobian(moved, gradient, CENTRE)
        weighted = jacobian * weight[..., None]
        normal = jacobian.transpose(1, 2) @ weighted
        slope = (weighted * distance[..., None]).sum(1)
        damping = 1e-3 * normal.diagonal(dim1=1, dim2=2).amax(-1, keepdim=True) + 10.0
        normal = normal + torch.diag_embed(damping.expand(-1, 7))
        prior = 1.0 / size_sd**2 if free_size else 1e8
        normal[:, 6, 6] += prior
        slope[:, 6] += prior * (poses.log_scale - poses.log_scale_prior) if free_size else 0.0
        step = -torch.linalg.solve(normal, slope)
        turn = step[:, :3].norm(dim=-1, keepdim=True)
        step = torch.cat([step[:, :3] * (0.5 / turn.clamp(min=0.5)), step[:, 3:6].clamp(-0.3, 0.3), step[:, 6:]], -1)
        away = (poses.log_scale - poses.log_scale_prior + step[:, 6]).clamp(-3 * size_sd, 3 * size_sd)
        step[:, 6] = poses.log_scale_prior + away - poses.log_scale
        poses = stepped(poses, step)
    return poses


def distinct(poses: Poses, cost: torch.Tensor, keep: int, angle: float = 0.2, shift: float = 0.08) -> torch.Tensor:
    """Indices of the `keep` cheapest poses that differ in rotation (radians), shift (model units) or size."""
    order = torch.argsort(cost, stable=True)
    chosen: list[int] = []
    for index in order.tolist():
        if chosen:
            others = torch.tensor(chosen)
            trace = (poses.rotation[others] * poses.rotation[index]).sum((1, 2))
            turn = torch.arccos(((trace - 1) / 2).clamp(-1, 1))
            # where the other pose puts the scan point that this one puts on the centre
            source = poses.rotation[index].T @ (CENTRE - poses.translation[index]) / poses.log_scale[index].exp()
            there = poses.take(others).apply(source[None])[:, 0]
            apart = (there - CENTRE).norm(dim=-1)
            size = (poses.log_scale[others] - poses.log_scale[index]).abs()
            if bool(((turn < angle) & (apart < shift) & (size < 0.15)).any()):
                continue
        chosen.append(index)
        if len(chosen) == keep:
            break
    return torch.tensor(chosen, dtype=torch.long)
