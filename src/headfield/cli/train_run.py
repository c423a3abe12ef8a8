"""Running a training with a progress bar and pictures."""

from __future__ import annotations

import signal

import numpy as np
import torch

from headfield.cli.report import duration, summary
from headfield.train import loop
from headfield.train.config import TrainConfig
from headfield.train.trainer import CHECKPOINT, Trainer, start
from headfield.types import Codes


def run(config: TrainConfig) -> int:
    """Train to the end or until stopped; the exit status."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    trainer = start(config)
    first = trainer.step
    lead = trainer.rank == 0
    columns = (TextColumn("step"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not lead, refresh_per_second=2) as bar:
        task = bar.add_task("", total=config.steps, completed=first)

        def on_step(seen: loop.Progress) -> None:
            if console.is_terminal:
                surface, speed = seen.losses.get("surface", float("nan")), seen.points_per_second / 1000
                text = f"|f| {surface:.5f}  {speed:.0f} k points/s  left {duration(seen.seconds_left)}"
                bar.update(task, completed=seen.step, description=text)
            elif seen.step % 500 == 0:
                surface = seen.losses.get("surface", float("nan"))
                print(
                    f"step {seen.step}/{seen.steps}  |f| {surface:.5f}  left {duration(seen.seconds_left)}", flush=True
                )

        stopped_by = loop.run(trainer, on_step=on_step, on_preview=preview)
    if lead:
        rows = {
            "steps": f"{trainer.step:,} of {config.steps:,}" + (f" (from {first:,})" if first else ""),
            "trained": duration(trainer.seconds),
            "files": f"{config.out}/{CHECKPOINT}, metrics.jsonl, previews/",
        }
        stopped = trainer.step < config.steps
        notes = ("stopped early: run the same command again to go on.",) if stopped else ()
        summary(f"run {config.out}", rows, notes)
    return 0 if trainer.step >= config.steps else 128 + (stopped_by or signal.SIGINT)


def release(command) -> None:
    """Write the release folder of a complete run (the process of rank 0 only)."""
    import os

    from headfield.train.release import release_run

    if int(os.environ.get("RANK", 0)) == 0:
        release_run(command.out, command.store, command.release)
        print(f"release written: {command.release}")


def preview(trainer: Trainer) -> None:
    """Write previews/step_*.png: the mean head and four training heads, neutral and, once trained, posed."""
    from headfield.errors import HeadfieldError
    from headfield.surface.mesh_head import mesh_of
    from headfield.surface.sheet import contact_sheet, write_png
    from headfield.surface.snapshot import render
    from headfield.types import ARKIT

    config, codes = trainer.config, trainer.codes
    rows = torch.linspace(0, len(codes) - 1, 4).long().to(codes.device)
    identities = torch.cat([codes.mean(0, keepdim=True), codes[rows]])
    labels = ["mean", *(f"head {int(row)}" for row in rows)]
    expressions: list[tuple[str, torch.Tensor | None]] = [("", None)]
    if trainer.model.expression_space.speaks_arkit and trainer.step >= config.expressions_from * config.steps:
        smile = torch.zeros(1, len(ARKIT), device=codes.device)
        for name, weight in (("jawOpen", 0.6), ("mouthSmileLeft", 0.8), ("mouthSmileRight", 0.8), ("eyeBlinkLeft", 1)):
            smile[0, ARKIT.index(name)] = weight
        expressions.append((" posed", smile))
    images, names = [], []
    for suffix, expression in expressions:
        for identity, label in zip(identities, labels):
            try:
                mesh = mesh_of(trainer.model, Codes(identity[None], expression), 96)
                images.append(render(mesh, view="three_quarter", size=256, frame_on=np.asarray(trainer.model.box)))
            except HeadfieldError:  # an untrained field may have no surface yet
                images.append(np.full((256, 256, 3), 235, np.uint8))
            names.append(label + suffix)
    sheet = contact_sheet(images, columns=len(labels), labels=names, title=f"step {trainer.step:,}")
    write_png(sheet, config.out / "previews" / f"step_{trainer.step:07d}.png")
