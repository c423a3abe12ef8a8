"""The training loop of an avatar: steps, checkpoints, previews, and a stop that loses nothing."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headfield.avatar.render import render
from headfield.avatar.trainer import AvatarTrainer, one_step, save
from headfield.io.normal_picture import normal_colours
from headfield.io.video_camera import VideoCamera
from headfield.surface.sheet import contact_sheet, write_png

PREVIEW_PIXELS = 96
"""Side of a preview's pictures."""

PREVIEW_FRAMES = 3


@dataclass
class Progress:
    """What a callback sees after a step."""

    step: int
    steps: int
    terms: dict[str, float]
    seconds_left: float


def run(
    trainer: AvatarTrainer,
    on_step: Callable[[Progress], None] | None = None,
    on_preview: Callable[[AvatarTrainer], None] | None = None,
) -> int | None:
    """Train to the end; saves on the way, at the end, and when interrupted (Ctrl-C or SIGTERM).

    Every step is a function of seed, step and the checkpoint: a run that was killed goes on bit for bit.

    Args:
        trainer: From :func:`headfield.avatar.trainer.start`.
        on_step: Told after every step.
        on_preview: Told every few minutes, and at the end.
    Returns:
        The signal that it was stopped with, None when it came to the end.
    """
    config, asked_to_stop, previous = trainer.config, [], {}
    for kind in (signal.SIGINT, signal.SIGTERM):
        previous[kind] = signal.signal(kind, lambda number, _: asked_to_stop.append(number))
    config.out.mkdir(parents=True, exist_ok=True)
    begun, first = time.monotonic(), trainer.step
    saved = shown = begun
    try:
        while trainer.step < config.steps and not asked_to_stop:
            before = time.monotonic()
            terms = one_step(trainer)
            now = time.monotonic()
            trainer.seconds += now - before
            if trainer.step % 20 == 0 or trainer.step == config.steps:
                _write_line(trainer, terms)
            if on_step:
                each = (now - begun) / (trainer.step - first)
                on_step(Progress(trainer.step, config.steps, terms, each * (config.steps - trainer.step)))
            if now - saved > 60 * config.save_minutes:
                save(trainer)
                saved = now
            if on_preview and (now - shown > 60 * config.preview_minutes or trainer.step == config.steps):
                on_preview(trainer)
                shown = time.monotonic()
        save(trainer)
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
    return asked_to_stop[0] if asked_to_stop else None


def _write_line(trainer: AvatarTrainer, terms: dict[str, float]) -> None:
    line = {"step": trainer.step, "seconds": round(trainer.seconds, 2)}
    line |= {name: round(value, 6) for name, value in terms.items()}
    with open(trainer.config.out / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")


def preview(trainer: AvatarTrainer) -> None:
    """Write ``previews/step_*.png``: truth, rendering and normals of a few frames."""
    batches, images, labels = trainer.batches, [], []
    frames = np.unique(np.linspace(0, len(batches.video) - 1, PREVIEW_FRAMES).round().astype(int))
    for frame in frames:
        seen = batches.video.cameras[frame]
        side = min(PREVIEW_PIXELS, *seen.size)
        camera = VideoCamera(seen.world, seen.intrinsics, (side, side * seen.size[1] // seen.size[0]))
        shown = render(trainer.avatar, trainer.template, camera, batches.expressions[frame], batches.poses[frame])
        images += [batches.images[frame], shown.image, normal_colours(shown.normals)]
        labels += [f"frame {frame + 1}", "avatar", "normals"]
    sheet = contact_sheet(images, columns=3, labels=labels, title=f"step {trainer.step:,}")
    write_png(sheet, trainer.config.out / "previews" / f"step_{trainer.step:07d}.png")
