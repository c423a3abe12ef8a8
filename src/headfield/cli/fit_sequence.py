"""A depth video to a take: its files, its picture and what is told of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.cli.output import output_folder
from headfield.cli.report import duration, summary, working
from headfield.errors import ConfigError, present

SHOWN = 6
"""Frames in the picture."""

VERTICES = 10_000
"""Of the head in the take's GLB."""

_STAGES = {"identity": "Finding out who it is", "frames": "Tracking", "smoothing": "Smoothing all frames together"}


def fit_sequence(command, paths: list[Path]) -> int:
    """Track a depth video and write the take.

    Args:
        command: The verb's options, see :class:`headfield.cli.fit.FitCommand`.
        paths: Scans that were given beside the video; there may be none.
    Returns:
        The exit status.
    Raises:
        ConfigError: An option is not for videos.
        HeadfieldError: As :func:`headfield.fit.track.run.track`.
    """
    _check(command, paths)
    from headfield.fit.track.options import TrackOptions, checked
    from headfield.io.depth_video import DepthVideo

    fps = 30.0 if command.fps is None else command.fps
    options = checked(TrackOptions(fps=fps, seed=command.seed))
    video = DepthVideo.open(command.sequence, command.intrinsics, command.depth_unit)
    with output_folder(command.out, force=command.force) as folder, working("Loading the model") as say:
        take, notes = _tracked(command, video, options, folder, say)
        files = sorted(path.name for path in folder.iterdir())
    _print(command, take, files, notes)
    return 0


def _check(command, paths: list[Path]) -> None:
    """Refuse what is not for videos."""
    if paths:
        raise ConfigError(f"--sequence is tracked by itself, and {paths[0].name} was given beside it: leave it out.")
    given = {
        "--landmarks": command.landmarks is not None,
        "--crop": command.crop is not None,
        "--neutral-scan": bool(command.neutral_scan),
        "--expression neutral": command.expression == "neutral",
        "--units": command.units is not None,
        "--detail": command.detail,
    }
    wrong = next((option for option, there in given.items() if there), None)
    if wrong == "--units":
        raise ConfigError("--units is of scans; the unit of a video's depth values is --depth-unit.")
    if wrong is not None:
        raise ConfigError(f"{wrong} is of scans, not of a depth video.")


def _tracked(command, video, options, folder: Path, say):
    """Track and write; returns the take and notes of what could not be written."""
    from headfield.fit.options import FitOptions
    from headfield.fit.pictures.align import face_finder
    from headfield.fit.track.run import track
    from headfield.models.release import lasting_name, load

    model = load(command.model)
    begin = time.perf_counter()
    began = {}

    def progress(stage: str, share: float) -> None:
        start, first = began.setdefault(stage, (time.perf_counter(), share))
        spent, done = time.perf_counter() - start, share - first
        left = f"; about {duration(spent * (1 - share) / done)} left" if stage == "frames" and done > 0 else ""
        count = f"frame {round(share * len(video))} of {len(video)}" if stage == "frames" else f"{share:.0%}"
        say(f"{_STAGES[stage]} ({count}{left})")

    known = FitOptions(up=command.up, face=face_finder(), seed=command.seed)
    take, who = track(video, model, options, known=known, progress=progress)
    fit = present(who.fit, "a fit of the person")
    take.model_name = fit.model_name = lasting_name(command.model)
    take.seconds["total"] = time.perf_counter() - begin
    fit.save(folder / "fit.npz")
    take.save(folder / "take.npz")
    (folder / "take.json").write_text(json.dumps(take.to_dict(), indent=1) + "\n", encoding="utf-8")
    notes, baked = _written_track(take, folder, model, say)
    say("Drawing the preview")
    from headfield.surface.sheet import write_png

    write_png(preview(take, video, model, baked), folder / "preview.png")
    return take, notes


def _written_track(take, folder: Path, model, say):
    """``take.csv`` and ``take.glb`` where the model's numbers are those of tracks; notes, and the baked head."""
    from headfield.cli.shapes import bake_head
    from headfield.edit.record import SavedHead
    from headfield.edit.take_track import track_of
    from headfield.edit.track_files import write_track
    from headfield.errors import MissingExtra, TrackError
    from headfield.io.gltf_animation import with_animation
    from headfield.io.mesh import write_bytes

    saved = SavedHead.load(folder / "fit.npz", take.model_name)
    pivot = saved.head.pivot()
    try:
        track = track_of(take, pivot)
    except TrackError as error:
        return [f"No take.csv and no take.glb: {error}"], None
    write_track(track, folder / "take.csv")
    if track.channels != "arkit52":
        return ["No take.glb: a GLB carries the 52 ARKit shapes."], None
    try:
        baked = bake_head(saved, VERTICES, say)
    except MissingExtra as error:
        return [f"No take.glb: {error}"], None
    metres = saved.mm_per_unit / 1000.0
    moves = {"pivot": pivot * metres, "shift": track.shift, "name": "take"}
    write_bytes(
        folder / "take.glb", with_animation(baked.glb(metres), track.times, track.weights, track.rotation, **moves)
    )
    return [], baked


def preview(take, video, model, baked=None, size: int = 260) -> np.ndarray:
    """A picture (H, W, 3) of some frames: above what the camera saw, below the head, both from the camera's side."""
    from headfield.fit.normal_equations import codes_of
    from headfield.surface.mesh_head import mesh_of
    from headfield.surface.point_pictures import PointPictures
    from headfield.surface.sheet import contact_sheet
    from headfield.surface.snapshot import render, spacing

    chosen = np.unique(np.linspace(0, len(take) - 1, min(SHOWN, len(take))).round().astype(int))
    above, below, labels = [], [], []
    for index in chosen:
        placement, weights = take.placements[index], take.expression[index]
        mesh = mesh_of(model, codes_of(model, take.identity, weights), 80) if baked is None else baked.mesh(weights)
        turned = mesh.vertices @ placement.rotation
        frame_on = turned.mean(0) + 0.62 * np.array([[-1, -1, 0], [1, 1, 0], [0, 0, 0.5]])
        below.append(render(replace(mesh, vertices=turned, normals=None), size=size, frame_on=frame_on, samples=1,
                            occlusion_rays=0))  # fmt: skip
        scan = video[int(index)].scan
        points = np.zeros((0, 3)) if scan is None else placement.apply(scan.points) @ placement.rotation
        points = points[np.abs(points - turned.mean(0)).max(1) < 0.9] if len(points) else points
        radius = 1.5 * spacing(points) if len(points) > 10 else 0.01
        above.append(PointPictures(points, radius=radius).picture(size=size, frame_on=frame_on, samples=1))
        mark = take.marks[index] or f"{take.error_mm[index]:.2f} mm"
        labels.append(f"{take.names[index]}: {mark}")
    return contact_sheet([*above, *below], len(chosen), [*labels, *[""] * len(chosen)], str(take.name))


def _print(command, take, files: list[str], notes: list[str]) -> None:
    seen = int(take.seen.sum())
    error = take.error_mm[take.seen]
    spent = take.seconds
    rows = {
        "frames": f"{len(take)} at {take.fps:g} per second; the face was seen in {seen}",
        "distance": f"median {np.nanmedian(error):.2f} mm, worst frame {np.nanmax(error):.2f} mm (points of the face)",
        "unit": take.units if take.units != "free" else "none fits: the size is free",
        "seconds": ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
        + f"; {len(take) / sum(v for k, v in spent.items() if k != 'total'):.2f} frames per second",
        "files": f"{command.out}: " + ", ".join(files),
    }
    summary(f"{command.sequence}: a take", rows, (*take.notes, *notes))
