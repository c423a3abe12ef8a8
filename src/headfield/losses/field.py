"""The losses of imHead (Eqs. 9-12) and of the default recipe, one pure function each.

All distances are in model units (1 unit = 250 mm) unless said otherwise; every function returns a scalar.
"""

from __future__ import annotations

import torch


def surface_distance(value: torch.Tensor) -> torch.Tensor:
    """First term of Eq. 9: mean |M(x)| over surface points; value (B, N)."""
    return value.abs().mean()


def normal_alignment(gradient: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Second term of Eq. 9: mean ||grad M(x) - n|| over surface points; both (B, N, 3), normals outward."""
    return safe_norm(gradient - normals).mean()


def eikonal_square(gradient: torch.Tensor) -> torch.Tensor:
    """Eq. 10: mean (||grad M|| - 1)^2; gradient (B, N, 3)."""
    return ((safe_norm(gradient) - 1.0) ** 2).mean()


def eikonal_absolute(gradient: torch.Tensor) -> torch.Tensor:
    """NPHM's variant of Eq. 10: mean | ||grad M|| - 1 |."""
    return (safe_norm(gradient) - 1.0).abs().mean()


def landmark_norm(anchors: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Eq. 11: mean ||k_j - k^_j||_2; both (B, K, 3)."""
    return safe_norm(anchors - truth).mean()


def code_symmetry(parts: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """L_sym of Eq. 12: mean ||z_j - z_j*|| over mirrored pairs; parts (B, K, d), mirror (K,) an involution."""
    difference = parts - parts[:, mirror]
    return safe_norm(difference[:, mirror != torch.arange(len(mirror), device=mirror.device)]).mean()


def code_size(codes: torch.Tensor) -> torch.Tensor:
    """L_reg of Eq. 12: mean ||z||^2; codes (B, D)."""
    return (codes**2).sum(-1).mean()


def off_surface(value: torch.Tensor, sharpness: float = 10.0) -> torch.Tensor:
    """NPHM's far-field term: mean exp(-a |f|) at points off the surface; without it phantom sheets appear."""
    return torch.exp(-sharpness * value.abs()).mean()


def signed_samples(value: torch.Tensor, truth: torch.Tensor, limit: float) -> torch.Tensor:
    """Known signed distances in free space and inside: |f - d|, and a hinge where d is clipped at +-limit.

    Args:
        value, truth: (B, S).
        limit: Truth beyond this many units is only known to be at least as far.
    """
    clipped = truth.abs() >= 0.99 * limit
    near = (value - truth).abs()
    far = torch.relu(limit - value * truth.sign())
    return torch.where(clipped, far, near).mean()


def correspondence(canonical: torch.Tensor, neutral: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """MonoNPHM's registration term: distance of warped surface points to their neutral places.

    MonoNPHM squares it. Squared, a lid that closes or a brow that rises (millimetres on a small patch) hardly counts
    beside an opening jaw, and is learned last; the plain distance pulls all alike.

    Args:
        canonical, neutral: (B, N, 3).
        valid: (B, N) False where the point is hidden on the neutral head (inside the closed mouth).
    """
    return (safe_norm(canonical - neutral) * valid).sum() / valid.sum().clamp_min(1)


def moving_correspondence(
    canonical: torch.Tensor, posed: torch.Tensor, neutral: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """The registration term of a head with every point weighted by its share of the head's whole displacement.

    Args:
        canonical, posed, neutral: (B, N, 3) warped, posed and neutral places of material points.
        valid: (B, N) False where the point is hidden on the neutral head.
    """
    way = safe_norm(neutral - posed) * valid
    return ((safe_norm(canonical - neutral) * way).sum(1) / way.sum(1).clamp_min(1e-6)).mean()


def ambient_size(ambient: torch.Tensor) -> torch.Tensor:
    """MonoNPHM's hyper term: mean |omega|; (B, N, A)."""
    return ambient.abs().mean()


def displacement_size(canonical: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Deformer regulariser: mean ||Delta x||^2, used at points away from the surface."""
    return ((canonical - points) ** 2).sum(-1).mean()


def safe_norm(vectors: torch.Tensor) -> torch.Tensor:
    """Euclidean norm over the last axis with a finite derivative at zero."""
    return (vectors.square().sum(-1) + 1e-12).sqrt()
