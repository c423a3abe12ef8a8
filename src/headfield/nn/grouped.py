"""Linear layers over rows that belong to different networks: the engine of the sparse part ensemble.

Every (point, part) pair is one row. Rows are sorted by part network and each network's rows are padded to whole
tiles, because matrix libraries compile a kernel per shape and ragged shapes thrash their caches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

TILE = 32


@dataclass(frozen=True)
class RowGroups:
    """Rows of an ensemble, sorted by network and padded to tiles.

    Attributes:
        point: (P,) index of each row's point in the flattened batch; padding rows repeat point 0.
        part: (P,) index of each row's part (K = 39).
        valid: (P,) False on padding rows.
        bounds: R + 1 row offsets; network r owns rows bounds[r]:bounds[r + 1].
    """

    point: torch.Tensor
    part: torch.Tensor
    valid: torch.Tensor
    bounds: tuple[int, ...]


def group_rows(active: torch.Tensor, part_network: torch.Tensor, networks: int) -> RowGroups:
    """Lay out the active (point, part) pairs as tiled rows.

    Args:
        active: (M, K) bool: which parts matter at which point.
        part_network: (K,) network of each part, non-decreasing in the part index (pairs are neighbours).
        networks: R.
    """
    part, point = active.T.nonzero(as_tuple=True)  # part-major, hence sorted by network
    network = part_network[part]
    counts = torch.bincount(network, minlength=networks)
    padded = (counts + TILE - 1) // TILE * TILE
    starts = torch.cumsum(padded, 0) - padded
    first = torch.cumsum(counts, 0) - counts
    slot = torch.arange(len(part), device=part.device) + (starts - first)[network]
    total = int(padded.sum())
    owner = torch.repeat_interleave(torch.arange(networks, device=part.device), padded)
    first_part = torch.searchsorted(part_network, torch.arange(networks, device=part.device))
    rows_part = first_part[owner]
    rows_point = torch.zeros(total, dtype=point.dtype, device=point.device)
    valid = torch.zeros(total, dtype=torch.bool, device=point.device)
    rows_part[slot], rows_point[slot], valid[slot] = part, point, True
    return RowGroups(rows_point, rows_part, valid, (0, *torch.cumsum(padded, 0).tolist()))


class _GroupedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, bounds):
        ctx.save_for_backward(x, weight)
        ctx.bounds = bounds
        out = x.new_empty(len(x), weight.shape[1])
        for r, (a, b) in enumerate(zip(bounds[:-1], bounds[1:])):
            if b > a:
                if bias is None:
                    torch.mm(x[a:b], weight[r].t(), out=out[a:b])
                else:
                    torch.addmm(bias[r], x[a:b], weight[r].t(), out=out[a:b])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        grad_x = torch.empty_like(x) if need_x else None
        grad_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format) if need_weight else None
        grad_bias = weight.new_zeros(weight.shape[:2]) if need_bias else None
        for r, (a, b) in enumerate(zip(ctx.bounds[:-1], ctx.bounds[1:])):
            if b > a:
                if grad_x is not None:
                    torch.mm(grad[a:b], weight[r], out=grad_x[a:b])
                if grad_weight is not None:
                    torch.mm(grad[a:b].t(), x[a:b], out=grad_weight[r])
                if grad_bias is not None:
                    grad_bias[r] = grad[a:b].sum(0)
        return grad_x, grad_weight, grad_bias, None


def grouped_linear(
    x: torch.Tensor, weight: torch.Tensor, bounds: tuple[int, ...], bias: torch.Tensor | None = None
) -> torch.Tensor:
    """y = W_r x + b_r with the weight of each row's own network.

    Args:
        x: (P, I) rows sorted by network.
        weight: (R, O, I); pass ``weight.transpose(1, 2)`` for the reverse pass.
        bounds: Row offsets (R + 1) of :class:`RowGroups`.
        bias: (R, O) or None.
    Returns:
        (P, O).
    """
    return _GroupedLinear.apply(x, weight, bias, bounds)
