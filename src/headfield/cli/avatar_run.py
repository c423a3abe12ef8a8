"""Training, rendering, measuring and exporting an avatar."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError

from headfield.avatar import train as loop
from headfield.avatar.options import AvatarTrainConfig
from headfield.avatar.trainer import CHECKPOINT, load, start, trained_on
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


def evaluate(command, folder: Path) -> int:
    """Measure an avatar as an :class:`headfield.cli.avatar.AvatarEvaluateCommand` says, and print the table.

    Raises:
        VideoError: The video lacks the truth.
        ConfigError: The video that the run was trained on is gone.
    """
    from headfield.avatar import measure
    from headfield.avatar.rival import bake
    from headfield.cli.report import working
    from headfield.io.normal_picture import normal_colours
    from headfield.surface.sheet import contact_sheet, write_png

    video = read_video(command.video)
    avatar, template = load(command.run_folder)
    seen = command.trained_on or trained_on(command.run_folder)
    if not seen.is_dir():
        raise ConfigError(f"{seen}, the video that the run was trained on, is not there: say where with --trained-on.")
    rival = bake(template, read_video(seen))
    shown, images, labels = set(range(0, len(video), max(1, len(video) // 3))), [], []

    def picture(frame: int, *views) -> None:
        say(f"measuring frame {frame + 1} of {len(video)}")
        if frame in shown:
            images.extend([view.image for view in views] + [normal_colours(view.normals) for view in views])
            labels.extend([f"frame {frame + 1}", "avatar", "template", "normals", "avatar", "template"])

    with working("measuring") as say:
        ours, theirs = measure.measure(avatar, rival, video, picture)
    write_png(contact_sheet(images, columns=6, labels=labels), folder / "pictures.png")
    both = {"avatar": ours, "template": theirs}
    (folder / "results.json").write_text(
        json.dumps({name: [asdict(one) for one in scores] for name, scores in both.items()}), encoding="utf-8"
    )
    table = measure.table(ours, theirs)
    (folder / "table.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def export(command, path: Path) -> int:
    """Write the GLB or the page of an :class:`headfield.cli.avatar.AvatarExportCommand`."""
    from headfield.avatar.export import JAW_WIDE, bake_avatar, glb_of
    from headfield.cli.report import working
    from headfield.view.share_page import share_page, turns_of

    avatar, template = load(command.run_folder)
    with working("baking"):
        baked = bake_avatar(avatar, template, command.resolution, command.vertices)
        content = glb_of(baked)
        if command.out.suffix == ".html":
            name = command.out.stem
            content = share_page(content, title=name, file=name, turns=turns_of(baked.rig.joints, JAW_WIDE)).encode()
    path.write_bytes(content)
    rows = {
        "mesh": f"{len(baked.rig.vertices):,} vertices, {len(baked.rig.triangles):,} triangles",
        "morph targets": f"{len(baked.rig.channels)} channels and jawCorrective",
        "joints": ", ".join(baked.rig.joints),
        "size": f"{len(content) / 1e6:.1f} MB",
    }
    summary(f"avatar {command.out}", rows)
    return 0
