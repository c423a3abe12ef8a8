"""What a training run says of itself while it runs: a line of numbers every few steps."""

from __future__ import annotations

import json

import torch

from headfield.models.imhead import ImHead
from headfield.train.config import TrainConfig


def write_line(trainer, named: dict[str, float], rate: float, writer) -> None:
    """Append a line to a run's metrics.jsonl, and TensorBoard's events where they are wanted.

    Args:
        trainer: The :class:`headfield.train.loop.Trainer`.
        named: The losses of the last step by name.
        rate: The learning rate of the last step.
        writer: From :func:`tensorboard`.
    """
    line = {"step": trainer.step, "seconds": round(trainer.seconds, 2), "rate": rate}
    line |= {name: round(value, 7) for name, value in named.items()}
    line["landmark_units"] = round(living_landmark_units(trainer.model, trainer.codes.detach()[:256]), 3)
    with open(trainer.config.out / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    if writer is not None:
        for name, value in named.items():
            writer.add_scalar(name, value, trainer.step)


@torch.no_grad()
def living_landmark_units(model: ImHead, codes: torch.Tensor) -> float:
    """Share of LandmarkNet's hidden units that answer to any of the codes (N, D); once nearly all of them had died."""
    values, living = model.part_codes(codes).flatten(1), []
    for layer in model.landmarks:
        values = layer(values)
        if isinstance(layer, torch.nn.ReLU):
            living.append((values > 0).any(0))
    return float(torch.cat(living).float().mean())


def tensorboard(config: TrainConfig):
    """A writer of TensorBoard events, None where none are wanted."""
    if not config.tensorboard:
        return None
    from headfield.errors import need

    return need("torch.utils.tensorboard", "train", "Writing TensorBoard events").SummaryWriter(config.out)
