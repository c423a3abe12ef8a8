"""One training step at 16 heads x 1,000 points: ours against plain double backward, in one run, on one thread.

    python benchmarks/train_step.py --preset paper --model imhead-open-small

Loss on both sides: |f| + |grad f - n| + (|grad f| - 1)^2, backward to all weights and to the codes; no optimiser. The
plain side evaluates all 39 parts (benchmarks/published.py) and differentiates twice by autograd; it is measured on ONE
head and scaled by the number of heads (a batch of 16 would not fit in small memories and would be no faster: the
products are large already), with and without our settings of the machine, one of which is a thread's own: hence the
single thread. Ours is measured on all heads, in micro-batches of 4 as the trainer does it.
Points lie on the surface of a trained model's mean head, where the number of active parts is what it is in training.
"""

from __future__ import annotations

import argparse

import numpy as np
import published
import torch
from clock import best, timed

from headfield.losses.field import eikonal_square, normal_alignment, surface_distance
from headfield.models.imhead.config import PRESETS
from headfield.models.imhead.model import ImHead
from headfield.models.release import load
from headfield.nn.machine import denormals_flushed
from headfield.surface.mesh_head import mesh_of
from headfield.types import ARKIT, Codes

MICRO = 4


def loss_of(value: torch.Tensor, gradient: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """The recipe's three main terms; (B, N) and (B, N, 3)."""
    return surface_distance(value) + normal_alignment(gradient, normals) + eikonal_square(gradient)


def batch(model: ImHead, heads: int, points: int, posed: bool, like_heads: np.ndarray):
    """Random codes, points near the surface of a head, and unit normals."""
    generator = torch.Generator().manual_seed(0)
    identity = 0.1 * torch.randn(heads, model.config.identity, generator=generator)
    expression = torch.rand(heads, len(ARKIT), generator=generator) if posed else None
    chosen = torch.randint(len(like_heads), (heads, points), generator=generator)
    x = torch.from_numpy(like_heads.astype(np.float32))[chosen]
    normals = torch.nn.functional.normalize(torch.randn(heads, points, 3, generator=generator), dim=-1)
    return identity, expression, x, normals


def ours(model: ImHead, identity, expression, x, normals) -> None:
    """Forward and backward over all heads."""
    for first in range(0, len(x), MICRO):
        part = slice(first, first + MICRO)
        codes = Codes(identity[part].requires_grad_(), None if expression is None else expression[part])
        value, gradient = model.value_and_gradient(x[part], codes)
        share = len(x[part]) / len(x)
        with denormals_flushed():  # as the trainer does
            (share * loss_of(value, gradient, normals[part])).backward()


def plain(model: ImHead, identity, expression, x, normals) -> None:
    """Forward, gradient and second backward of head 0."""
    points = x[0].clone().requires_grad_()
    codes = Codes(identity[:1].requires_grad_(), None if expression is None else expression[:1])
    value = published.signed_distance(model, points, codes)
    (gradient,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    loss_of(value[None], gradient[None], normals[:1]).backward()


def agreement(model: ImHead, data) -> float:
    """Largest difference of the two sides' weight gradients on one head, relative to each tensor's largest."""
    identity, expression, x, normals = data
    one = (identity[:1].clone(), None if expression is None else expression[:1], x[:1], normals[:1])
    found = []
    for run in (ours, plain):
        model.zero_grad(set_to_none=True)
        run(model, *one)
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    shared = [name for name in found[0] if name in found[1]]
    return max(float((found[0][n] - found[1][n]).abs().max() / found[1][n].abs().max().clamp_min(1e-8)) for n in shared)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="paper")
    parser.add_argument("--model", default="imhead-open-small", help="whose mean head the points lie on")
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ImHead(PRESETS[options.preset]())
    with torch.no_grad():
        model.fusion.first[:, :, 3:].normal_(std=0.05)
    trained = load(options.model)
    cloud = mesh_of(trained, trained.mean_codes(), 96, normals=False).vertices
    active = model.ensemble.weights(torch.from_numpy(cloud.astype(np.float32))[None], model.mean_anchors[None]).weights
    print(f"{float((active > 0).sum(-1).float().mean()):.2f} of 39 parts active on average")
    print(f"{options.preset}, {options.heads} heads x {options.points:,} points, 1 thread")
    for posed in (False, True):
        data = batch(model, options.heads, options.points, posed, cloud)
        print(f"{'posed' if posed else 'neutral'}: weight gradients agree to {agreement(model, data):.1e}")
        mine: list = []
        theirs: dict[str, list] = {name: [] for _, name in published.settings()}
        for _ in range(options.repeats):  # in turn, so that a busy machine is unfair to none
            mine.append(_time(ours, model, data))
            for setting, name in published.settings():
                with setting():
                    theirs[name].append(_time(plain, model, data) * options.heads)
        mine = best(mine)
        print(f"  ours                                                {mine}")
        for name, taken in theirs.items():
            print(f"  plain double backward, {name:28s} {best(taken)} (one head x {options.heads})")
            print(f"    ratio {best(taken).over(mine)}", flush=True)


def _time(side, model, data):
    model.zero_grad(set_to_none=True)
    identity, expression, x, normals = data
    identity = identity.clone()
    return timed(lambda: side(model, identity, expression, x, normals))


if __name__ == "__main__":
    main()
