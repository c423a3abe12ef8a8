"""Softplus with its slope, the activation of every field here (DeepSDF and IGR use beta = 100)."""

from __future__ import annotations

import torch

BETA = 100.0


class _SoftplusAndSlope(torch.autograd.Function):
    """One node for both outputs: the slope is what the backward pass of the softplus needs anyway."""

    @staticmethod
    def forward(ctx, x):
        slope = torch.sigmoid(x * BETA)
        ctx.save_for_backward(slope)
        return torch.nn.functional.softplus(x, beta=BETA, threshold=40.0), slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_value, grad_slope):
        (slope,) = ctx.saved_tensors
        # d slope / dx = beta * slope * (1 - slope)
        return slope * torch.addcmul(grad_value, grad_slope, 1.0 - slope, value=BETA)


def softplus_and_slope(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """softplus(x) = log(1 + exp(beta x)) / beta and its derivative sigmoid(beta x), both differentiable once."""
    return _SoftplusAndSlope.apply(x)


def softplus(x: torch.Tensor) -> torch.Tensor:
    """softplus(x) with beta = 100."""
    return torch.nn.functional.softplus(x, beta=BETA, threshold=40.0)
