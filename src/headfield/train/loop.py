"""The training loop: joint identity and expression, exact resume, one process or many.

Every step is a function of (seed, step) and of the checkpoint, so a run that was killed and started again continues
bit for bit (same thread count). Under ``torchrun`` each process takes its share of every step's heads and gradients
are averaged; the same command works on one CPU, one GPU or many nodes.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist

from headfield.errors import present
from headfield.nn.machine import denormals_flushed
from headfield.train import checkpoint
from headfield.train.held_out import held_out_errors
from headfield.train.log import tensorboard, write_line
from headfield.train.trainer import CHECKPOINT, WHITENING, Trainer

_GRADIENT = "a gradient"


@dataclass
class Progress:
    """What a callback sees after a step."""

    step: int
    steps: int
    losses: dict[str, float]
    rate: float
    seconds_left: float
    points_per_second: float


def run(
    trainer: Trainer,
    on_step: Callable[[Progress], None] | None = None,
    on_preview: Callable[[Trainer], None] | None = None,
) -> int | None:
    """Train to the end, saving on the way, at the end and when interrupted (Ctrl-C or SIGTERM).

    Returns:
        The signal that this process was stopped with, None when it came to the end or another process was stopped.
    """
    config, asked_to_stop = trainer.config, []
    previous = {}
    for kind in (signal.SIGINT, signal.SIGTERM):
        previous[kind] = signal.signal(kind, lambda number, _: asked_to_stop.append(number))
    config.out.mkdir(parents=True, exist_ok=True)
    last_save, writer, speed = time.monotonic(), tensorboard(config), _Speed(trainer)
    try:
        while trainer.step < config.steps and not _any(asked_to_stop, trainer):
            named = speed.timed_step()
            if trainer.rank:
                continue
            if trainer.step % 20 == 0 or trainer.step == config.steps:
                write_line(trainer, named, _rate(trainer, config.rate), writer)
            if on_step:
                on_step(speed.progress(named))
            if on_preview and trainer.step % config.preview_every == 0:
                on_preview(trainer)
            if time.monotonic() - last_save > 60.0 * config.save_minutes:
                save(trainer)
                if trainer.world == 1:  # several processes would not see the same people at the same step
                    trainer.batches.grow()
                last_save = time.monotonic()
        if trainer.rank == 0:
            save(trainer)
        if trainer.world > 1:  # leave together: a process that goes first takes the others' connection with it
            dist.barrier()
            dist.destroy_process_group()
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
        if writer is not None:
            writer.close()
    return asked_to_stop[0] if asked_to_stop else None


class _Speed:
    """Steps by the clock: how fast they are, and how long it will still take."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.points_per_second, self.done_at_start, self.started = 0.0, trainer.step, time.monotonic()

    def timed_step(self) -> dict[str, float]:
        """One step; returns its losses."""
        trainer, begun = self.trainer, time.monotonic()
        named = one_step(trainer)
        took = time.monotonic() - begun
        trainer.seconds += took
        drawing = trainer.batches.drawing
        now = trainer.config.heads * (drawing.points + drawing.samples) / took
        self.points_per_second = 0.98 * self.points_per_second + 0.02 * now if self.points_per_second else now
        return named

    def progress(self, named: dict[str, float]) -> Progress:
        """What a callback sees after a step with these losses."""
        trainer, config = self.trainer, self.trainer.config
        per_step = (time.monotonic() - self.started) / (trainer.step - self.done_at_start)
        left, rate = (config.steps - trainer.step) * per_step, _rate(trainer, config.rate)
        return Progress(trainer.step, config.steps, named, rate, left, self.points_per_second)


def one_step(trainer: Trainer) -> dict[str, float]:
    """One optimiser step on all heads of this step; returns the named losses of this process."""
    config, model = trainer.config, trainer.model
    for group in trainer.optimiser.param_groups:
        group["lr"] = _rate(trainer, config.rate) * group["share"]
    drawn = trainer.batches.draw(trainer.step, _posed_share(trainer), config.micro)[trainer.rank :: trainer.world]
    heads = sum(len(batch) for batch in drawn)
    only_warp = config.only == "deformer" and trainer.step < config.warp_share * config.steps
    loss_of = trainer.recipe.warp_loss if only_warp else trainer.recipe.total_loss
    for parameter in model.parameters():  # never None: processes must agree on what they average
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    named: dict[str, list[float]] = {}
    for batch in drawn:
        batch = _to(batch, trainer.device)
        identity = trainer.identities.take(batch.rows)
        if trainer.expressions is not None and batch.expression is not None:
            batch = replace(batch, expression=trainer.expressions.take(batch.expression_rows))
        loss, terms = loss_of(model, batch, identity, trainer.weights)
        with denormals_flushed():
            if loss.requires_grad:  # heads at rest teach a deformer nothing
                (loss * (len(batch) / heads)).backward()
        for name, value in terms.items():
            named.setdefault(name, []).append(value)
    if trainer.world > 1:
        _average(trainer)
    with trainer.whitening.coordinates(trainer.optimiser) if trainer.whitening else nullcontext():
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        trainer.optimiser.step()
    for table in trainer.tables:
        table.step(_rate(trainer, config.code_rate), trainer.world)
    trainer.step += 1
    return {name: sum(values) / len(values) for name, values in named.items()}


def _posed_share(trainer: Trainer) -> float:
    """Share of a step's heads that wear an expression."""
    config = trainer.config
    if config.only == "deformer":
        return 1.0
    return config.posed_share if trainer.step >= config.expressions_from * config.steps else 0.0


def save(trainer: Trainer) -> None:
    """Write the checkpoint of a run atomically, and what held-out expressions say of it."""
    if trainer.config.held_rows:
        errors = held_out_errors(trainer.model, trainer.codes, trainer.batches)
        line = {"step": trainer.step, "seconds": round(trainer.seconds, 2)}
        line |= {name: round(value, 4) for name, value in errors.items()}
        with open(trainer.config.out / "held_out.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
    tensors = {f"model/{name}": value for name, value in trainer.model.state_dict().items()}
    for table in trainer.tables:
        tensors |= table.tensors()
    if trainer.whitening:
        tensors[WHITENING] = trainer.whitening.root
    for name, value in checkpoint.optimiser_tensors(trainer.optimiser, trainer.names).items():
        tensors[f"adam/{name}"] = value
    meta = {
        "step": trainer.step,
        "seconds": trainer.seconds,
        "threads": torch.get_num_threads(),
        "processes": trainer.world,
        "architecture": trainer.config.model,
        "config": asdict(trainer.model.config),
        "train": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(trainer.config).items()},
        "box": trainer.model.box.tolist(),
        "identities": trainer.batches.ids,
    }
    checkpoint.save(trainer.config.out / CHECKPOINT, tensors, meta)


def _rate(trainer: Trainer, peak: float) -> float:
    """Warm-up, stable, half cosine to 2 %."""
    config, step = trainer.config, trainer.step
    begin = config.decay_from * config.steps
    if step < config.warm_up:
        return peak * (step + 1) / config.warm_up
    if step < begin:
        return peak
    share = (step - begin) / max(config.steps - begin, 1.0)
    return peak * (0.02 + 0.98 * 0.5 * (1.0 + float(torch.cos(torch.tensor(torch.pi * min(share, 1.0))))))


def _average(trainer: Trainer) -> None:
    """Average network gradients over processes."""
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    flat = torch.cat([present(p.grad, _GRADIENT).flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= trainer.world
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        present(parameter.grad, _GRADIENT).copy_(part.view_as(parameter))


def _any(asked_to_stop: list, trainer: Trainer) -> bool:
    if trainer.world == 1:
        return bool(asked_to_stop)
    flag = torch.tensor([float(bool(asked_to_stop))], device=trainer.device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def _to(batch, device: torch.device):
    if device.type == "cpu":
        return batch
    moved = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{k: None if v is None else v.to(device) for k, v in moved.items()})
