"""Positional encoding of coordinates and its reverse pass (NeRF; imHead §3.3 applies it to x - k_j)."""

from __future__ import annotations

import math

import torch


def encoded_size(frequencies: int) -> int:
    """Numbers per 3-D point: 3 coordinates + sine and cosine at each frequency (45 for the paper's 7)."""
    return 3 + 6 * frequencies


def encode(x: torch.Tensor, frequencies: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """gamma_L(x) = (x, sin(2^l pi x), cos(2^l pi x)), l = 0 .. L-1.

    Args:
        x: (P, 3) coordinates, model units.
        frequencies: L; 0 leaves x as it is.
    Returns:
        The encoding (P, 3 + 6 L) ordered x, all sines, all cosines; and what :func:`encode_reverse` needs,
        the derivative's factors (P, 2, 3 L).
    """
    if frequencies == 0:
        return x, None
    scale = _scales(x, frequencies)
    angles = (x[:, :, None] * scale).flatten(1)
    sine, cosine = torch.sin(angles), torch.cos(angles)
    return torch.cat([x, sine, cosine], dim=1), torch.stack([cosine, -sine], dim=1)


def encode_reverse(cotangent: torch.Tensor, slopes: torch.Tensor | None, frequencies: int) -> torch.Tensor:
    """Pull a cotangent of the encoding (P, 3 + 6 L) back to the coordinates (P, 3)."""
    if slopes is None:
        return cotangent
    waves = cotangent[:, 3:].unflatten(1, (2, 3 * frequencies))
    waves = (waves * slopes).sum(1).unflatten(1, (3, frequencies))
    return cotangent[:, :3] + waves @ _scales(cotangent, frequencies)


def _scales(like: torch.Tensor, frequencies: int) -> torch.Tensor:
    return math.pi * 2.0 ** torch.arange(frequencies, dtype=like.dtype, device=like.device)
