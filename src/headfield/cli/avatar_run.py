"""Training and rendering an avatar with a progress bar."""

from __future__ import annotations

import signal
from pathlib import Path

from safetensors import SafetensorError

from headfield.avatar import train as loop
from headfield.avatar.options import AvatarTrainConfig
from headfield.avatar.trainer import CHECKPOINT, load, start
from headfield.avatar.video import read_video
from headfield.cli.report import duration, summary
from headfield.errors import ConfigError, OutputError


def train(config: AvatarTrainConfig) -> int:
    """Train to the end or until stopped; the exit status.

    Raises:
        OutputError: The disk is full.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.fields[what]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, refresh_per_second=2) as bar:
        task = bar.add_task("", total=config.pretrain_steps, what="template")
        trainer = start(config, on_pretrain=lambda step, steps: bar.update(task, completed=step, total=steps))
        first = trainer.step
        bar.update(task, total=config.steps, completed=first, what="step")

        def on_step(seen: loop.Progress) -> None:
            text = f"colour {seen.terms['colour']:.3f}  left {duration(seen.seconds_left)}"
            if console.is_terminal:
                bar.update(task, completed=seen.step, description=text)
            elif seen.step % 200 == 0:
                print(f"step {seen.step}/{seen.steps}  {text}", flush=True)

        try:
            stopped_by = loop.run(trainer, on_step=on_step, on_preview=loop.preview)
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"{config.out}: cannot be written ({getattr(error, 'strerror', None) or error}). What was saved last "
                "is whole: make room and run the same command again."
            ) from error
    rows = {
        "steps": f"{trainer.step:,} of {config.steps:,}" + (f" (from {first:,})" if first else ""),
        "trained": duration(trainer.seconds),
        "files": f"{config.out}/{CHECKPOINT}, metrics.jsonl, previews/",
    }
    stopped = trainer.step < config.steps
    summary(f"avatar {config.out}", rows, ("stopped early: run the same command again to go on.",) if stopped else ())
    return 128 + (stopped_by or signal.SIGINT) if stopped else 0


def render(command, folder: Path) -> int:
    """Write ``image/%d.png`` and ``normal/%d.png`` of an :class:`headfield.cli.avatar.AvatarRenderCommand`.

    Raises:
        ConfigError: A frame that the track does not have.
    """
    from headfield.avatar.render import render as rendered
    from headfield.surface.sheet import write_png

    track = read_video(command.track, size=(command.size, command.size))
    wrong = [number for number in command.frames if not 1 <= number <= len(track)]
    if wrong:
        raise ConfigError(f"--frames {wrong[0]}: the track has frames 1 to {len(track)}.")
    avatar, template = load(command.run_folder)
    expressions, poses = track.tracks(template.rig)
    numbers = command.frames or range(1, len(track) + 1)
    shares: dict[str, float] = {}
    for number in numbers:
        at = number - 1
        seen = rendered(avatar, template, track.cameras[at], expressions[at], poses[at])
        write_png(seen.image, folder / "image" / f"{number}.png")
        write_png(seen.normal_picture(), folder / "normal" / f"{number}.png")
        shares = {name: shares.get(name, 0.0) + value / len(numbers) for name, value in seen.shares.items()}
    rows = {"frames": f"{len(numbers)}, {command.size} x {command.size}"}
    rows |= {f"rays served: {name}": f"{share:.1%}" for name, share in shares.items()}
    summary(f"rendered {command.out}", rows)
    return 0
