"""What a training run says of itself while it runs: a line of numbers every few steps."""

from __future__ import annotations

import json

from headfield.train.config import TrainConfig


def write_line(trainer, named: dict[str, float], rate: float, writer) -> None:
    """Append a line to a run's metrics.jsonl, and TensorBoard's events where they are wanted.

    Args:
        trainer: The :class:`headfield.train.trainer.Trainer`.
        named: The losses of the last step by name.
        rate: The learning rate of the last step.
        writer: From :func:`tensorboard`.
    """
    line = {"step": trainer.step, "seconds": round(trainer.seconds, 2), "rate": rate}
    line |= {name: round(value, 7) for name, value in named.items()}
    watched = trainer.recipe.watch(trainer.model, trainer.codes[:256])
    line |= {name: round(value, 3) for name, value in watched.items()}
    with open(trainer.config.out / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    if writer is not None:
        for name, value in named.items():
            writer.add_scalar(name, value, trainer.step)


def tensorboard(config: TrainConfig):
    """A writer of TensorBoard events, None where none are wanted."""
    if not config.tensorboard:
        return None
    from headfield.errors import need

    return need("torch.utils.tensorboard", "train", "Writing TensorBoard events").SummaryWriter(config.out)
