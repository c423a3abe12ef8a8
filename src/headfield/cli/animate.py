"""``headfield animate``: a saved head driven by a recorded face or by named expressions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

KINDS = (".glb", ".gif", ".mp4", ".png", ".csv")


@dataclass(frozen=True)
class AnimateCommand:
    """Drive a head with a track: animated GLB, pictures, GIF or MP4."""

    head: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="HEAD.NPZ")]
    """The fit.npz that `headfield fit` wrote, or the folder that holds it, or a head that `headfield edit` wrote."""
    track: Annotated[Path | None, tyro.conf.arg(metavar="TAKE.CSV")] = None
    """Track: CSV of Live Link Face, MediaPipe blendshape scores (CSV or JSON), or time and ARKit columns. For a model
    that speaks FLAME: .npz, .npy or CSV of its expression and jaw parameters (pictures only)."""
    preset: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME[=WEIGHT]...")] = ()
    """Named expressions or ARKit channels instead of a track: a loop through them, or one still for a .png."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER")] = Path("take.glb")
    """.glb (morph animation), .gif, .mp4 (needs ffmpeg), .png (a still), .csv (the track as played), or a folder of PNG
    frames."""
    fps: float | None = None
    """Frames per second to resample to; the track's own when not given (at most 25 in a GIF)."""
    track_fps: float | None = None
    """Frames per second of a track that counts frames or timecodes; found out when not given."""
    smooth: float | None = None
    """Smooth with a one-euro filter of this cutoff at rest, hertz: 3 is light, 1 is strong."""
    beta: float = 1.0
    """How fast the filter's cutoff rises with speed; higher follows quick movements sooner."""
    mirror: bool = False
    """Exchange left and right."""
    flip: tuple[Literal["yaw", "pitch", "roll"], ...] = ()
    """Reverse these angles of the head: recorders disagree on signs, and on a device held sideways."""
    centre: bool = False
    """Turn the head so that it faces forwards on average: takes out how the camera was held."""
    no_rotation: bool = False
    """Leave out the head's rotation, and where it goes: the head stays where it is."""
    vertices: int = 20_000
    """Vertices of the baked head."""
    exact: bool = False
    """Pictures only: extract every frame from the field at --resolution instead of posing a baked mesh (slow)."""
    resolution: int = 128
    """Samples along the longest side of the model's box for --exact."""
    size: int = 480
    """Pixels of a picture's side."""
    view: str = "three_quarter"
    """Camera: front, left, right, three_quarter, three_quarter_right, top, below, back."""
    draft: bool = False
    """Pictures without soft shadows and with rougher edges: nine times as fast."""
    model: str | None = None
    """Weights to open the head with, a released name, a folder or a hub id, in place of those that its file names."""
    force: bool = False
    """Replace the file if it exists."""

    def run(self) -> int:
        """Read, resample, smooth; bake; write."""
        from headfield.cli.output import check_resolution, output_file, output_folder
        from headfield.cli.report import duration, summary, working
        from headfield.errors import ConfigError

        kind = self._check()
        check_resolution(self.resolution)
        track = self._track(still=kind == ".png")
        if kind == ".mp4":
            from headfield.view.movie import find_ffmpeg

            find_ffmpeg()  # told before the work
        begin = time.perf_counter()
        place = output_folder if kind == "frames" else output_file
        with place(self.out, force=self.force) as temporary, working("Opening the head") as say:
            if kind == ".csv":
                from headfield.edit.track_files import write_track

                write_track(track, temporary)
            else:
                from headfield.cli.shapes import open_head
                from headfield.edit.flame_tracks import for_space

                head = open_head(self.head, self.model, channels=("arkit52", "flame"))
                track = for_space(track, head.head.model.expression_space)
                if kind == ".glb" and track.channels != "arkit52":
                    raise ConfigError(
                        f"{self.out}: a GLB carries the 52 ARKit shapes, and this head's model speaks "
                        f"{track.channels!r}: write .gif, .mp4 or a folder of frames."
                    )
                write = self._write_glb if kind == ".glb" else self._write_pictures
                write(head, track, temporary, say, kind)
        rows = {
            "track": f"{track.name}: {len(track)} frame{'s' if len(track) > 1 else ''}, {track.seconds:.1f} s "
            f"at {track.fps:.3g} frames per second",
            "head turns": "yes" if track.rotation is not None else "no",
            "seconds": f"{time.perf_counter() - begin:.1f}",
        }
        if kind == "frames":
            rows["files"] = f"{self.out}/frame_0001.png to frame_{len(track):04d}.png"
        rows["seconds"] = duration(time.perf_counter() - begin)
        summary(f"{self.out}", rows, track.notes)
        return 0

    def _check(self) -> str:
        """The kind of output, after every option was looked at."""
        from headfield.cli.shapes import check_vertices
        from headfield.errors import ConfigError
        from headfield.surface.snapshot import VIEWS

        suffix = self.out.suffix.lower()
        if suffix and suffix not in KINDS:
            raise ConfigError(f"{self.out}: animations are written as {', '.join(KINDS)}, or as a folder of frames.")
        if (self.track is None) == (not self.preset):
            raise ConfigError("Give either --track FILE or --preset NAME..., such as --preset smile blink=0.5.")
        if suffix == ".png" and self.track is not None:
            raise ConfigError(f"{self.out}: one still of a whole track? Give a folder, .gif or .mp4, or use --preset.")
        if self.view not in VIEWS:
            raise ConfigError(f"--view {self.view}: choose one of {', '.join(VIEWS)}.")
        if not 32 <= self.size <= 4096:
            raise ConfigError(f"--size {self.size}: choose between 32 and 4096 pixels.")
        check_vertices(self.vertices)
        if self.exact and suffix == ".glb":
            raise ConfigError("--exact is for pictures: a GLB is one mesh with morph targets, so it is always baked.")
        return suffix or "frames"

    def _track(self, *, still: bool):
        from dataclasses import replace

        import numpy as np

        from headfield.edit.presets import parse_presets, preset_loop
        from headfield.edit.track_files import read_track
        from headfield.edit.tracks import Track, centred, flipped, resample, smooth

        if self.track is not None:
            track = read_track(self.track, self.track_fps)
        else:
            names, weights = parse_presets(self.preset)
            label = ", ".join(names)
            if still:
                return Track(np.zeros(1), weights.sum(axis=0, keepdims=True).clip(0, 1), name=label)
            track = replace(preset_loop(weights, self.fps or 30.0), name=label)
        track = flipped(track, self.flip)
        if self.centre:
            track = centred(track)
        if self.smooth is not None:
            track = smooth(track, self.smooth, self.beta)  # before resampling: more frames, less delay
        fps = self.fps
        if fps is None and self.out.suffix.lower() == ".gif" and track.fps > 25.5:
            fps = 25.0
        if fps is None and len(track) > 1:
            fps = round(track.fps * 100) / 100
        if fps is not None:
            track = resample(track, fps)
        if self.mirror:
            track = track.mirrored()
        return track.without_motion() if self.no_rotation else track

    def _write_glb(self, head, track, path: Path, say, kind: str) -> None:
        from headfield.cli.shapes import bake_head
        from headfield.io.gltf_animation import with_animation
        from headfield.io.mesh import write_bytes

        metres = head.mm_per_unit / 1000.0
        glb = bake_head(head, self.vertices, say).glb(metres, head.paint)
        say("Writing the animation")
        pivot = head.head.pivot() * metres
        name = self.track.stem if self.track is not None else "presets"
        moves = {"pivot": pivot, "shift": track.shift, "name": name}
        write_bytes(path, with_animation(glb, track.times, track.weights, track.rotation, **moves))

    def _write_pictures(self, head, track, path: Path, say, kind: str) -> None:
        from headfield.surface.sheet import write_png
        from headfield.view.movie import write_frames, write_gif, write_mp4

        frames = self._frames(head, track, say)
        if kind == ".png":
            write_png(next(frames), path)
        elif kind == "frames":
            write_frames(frames, path)
        else:
            (write_gif if kind == ".gif" else write_mp4)(frames, path, track.fps)

    def _frames(self, head, track, say):
        """Pictures (size, size, 3) of every frame, all with one camera."""
        from dataclasses import replace

        import numpy as np

        from headfield.cli.report import duration
        from headfield.surface.snapshot import render

        posed = self._poser(head, say)
        pivot = head.head.pivot()
        frame_on = posed(np.zeros(track.weights.shape[1]))[0].vertices
        if track.rotation is not None:  # room for the turning head
            reach = np.linalg.norm(frame_on - pivot, axis=1).max()
            frame_on = np.concatenate([frame_on, pivot + 0.75 * reach * np.array([[1, 0, 1], [-1, 0, 1.0]])])
        look = {"samples": 1, "occlusion_rays": 0} if self.draft else {"samples": 2, "occlusion_rays": 3}
        begin = time.perf_counter()
        for index, weights in enumerate(track.weights):
            mesh, colours = posed(weights)
            if track.rotation is not None:
                turn = track.rotation[index]
                mesh = replace(mesh, vertices=(mesh.vertices - pivot) @ turn.T + pivot, normals=mesh.normals @ turn.T)
            yield render(mesh, view=self.view, size=self.size, frame_on=frame_on, colours=colours, flat=0.0, **look)
            each = (time.perf_counter() - begin) / (index + 1)
            left = each * (len(track) - index - 1)
            say(f"Frame {index + 1} of {len(track)}; about {duration(left)} left")

    def _poser(self, head, say):
        """Expression weights (E,) -> the head with its mouth parts as a mesh, model frame, and its colours (V, 4)."""
        from headfield.io.gltf import srgb_colours
        from headfield.surface.mouth_parts import mouth_parts_of
        from headfield.surface.parts import with_parts
        from headfield.surface.snapshot import CLAY

        clay = srgb_colours(CLAY[None])[0]
        if not self.exact and head.head.model.expression_space.speaks_arkit:
            from headfield.cli.shapes import bake_head

            baked = bake_head(head, self.vertices, say)
            return lambda weights: with_parts(baked.mesh(weights), clay, baked.parts, weights)
        parts = mouth_parts_of(head.head.neutral())

        def extracted(weights):
            mesh = head.head.with_expression(weights).mesh(self.resolution)
            return with_parts(mesh, clay, parts, weights)

        return extracted
