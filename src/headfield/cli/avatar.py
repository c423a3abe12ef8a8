"""``headfield avatar``: a personal avatar from a video: film a synthetic subject, train, render, measure, export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from headfield.avatar.options import AvatarTrainConfig
from headfield.errors import ConfigError


@dataclass(frozen=True)
class AvatarTrainCommand(AvatarTrainConfig):
    """Train an avatar (IMAvatar) on a video. Run the same command again to resume exactly where it stopped."""

    video: tyro.conf.Positional[Path]
    """Folder with flame_params.json, image/ and mask/, in IMAvatar's published layout."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of the run: checkpoint, metrics.jsonl, previews. An existing run is resumed."""

    def run(self) -> int:
        """Train, showing progress; returns 130 or 143 when stopped before the end."""
        from headfield.avatar.video import read_video
        from headfield.cli.output import resumable_folder

        read_video(self.video)  # a wrong folder is found out before anything is made
        with resumable_folder(self.out, began="*"):
            from headfield.cli import avatar_run

            return avatar_run.train(self)


@dataclass(frozen=True)
class AvatarRenderCommand:
    """Render a trained avatar along a track: the cameras, poses and channels of a flame_params.json."""

    run_folder: tyro.conf.Positional[Path]
    """Folder of a run, or its avatar.safetensors."""
    track: Path
    """Folder with flame_params.json; its pictures are not needed."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("rendered")
    """Folder for image/ and normal/."""
    size: int = 256
    """Pixels along a side."""
    frames: tuple[int, ...] = ()
    """Which frames, from 1 on; all unless given."""
    force: bool = False
    """Replace files of an existing folder."""

    def run(self) -> int:
        """Render."""
        from headfield.cli.output import output_folder

        if not 16 <= self.size <= 4096:
            raise ConfigError(f"--size {self.size}: choose between 16 and 4096.")
        with output_folder(self.out, force=self.force) as folder:
            from headfield.cli import avatar_run

            return avatar_run.render(self, folder)


@dataclass(frozen=True)
class AvatarEvaluateCommand:
    """Measure an avatar on frames with known truth, beside its tracked template posed with baked vertex colours.

    Prints and writes table.md, results.json (every frame) and pictures.png (truth, avatar, template).
    """

    run_folder: tyro.conf.Positional[Path]
    """Folder of a run, or its avatar.safetensors."""
    video: tyro.conf.Positional[Path]
    """Folder of a take that it has not seen, as `film` writes it."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("avatar_evaluation")
    """Folder for the results."""
    trained_on: Path | None = None
    """The video that the run was trained on, of which the template's colours are; the run knows where it was."""
    force: bool = False
    """Replace files of an existing folder."""

    def run(self) -> int:
        """Measure."""
        from headfield.cli.output import output_folder

        with output_folder(self.out, force=self.force) as folder:
            from headfield.cli import avatar_run

            return avatar_run.evaluate(self, folder)


@dataclass(frozen=True)
class AvatarExportCommand:
    """Write a trained avatar as a GLB on joints (.glb), or as a page that opens in any browser (.html).

    Its expressions are morph targets, its colours stand at the vertices; the page has sliders for them, jaw and neck.
    """

    run_folder: tyro.conf.Positional[Path]
    """Folder of a run, or its avatar.safetensors."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("avatar.glb")
    """The file."""
    resolution: int = 192
    """Samples along the longest side of the box in which the surface is looked for."""
    vertices: int = 20_000
    """Vertices of the mesh, about; densest at eyes and mouth."""
    force: bool = False
    """Replace an existing file."""

    def run(self) -> int:
        """Export."""
        from headfield.cli.output import check_resolution, output_file
        from headfield.cli.shapes import check_vertices

        check_resolution(self.resolution)
        check_vertices(self.vertices)
        if self.out.suffix not in (".glb", ".html"):
            raise ConfigError(f"{self.out}: avatars are written as .glb or .html.")
        with output_file(self.out, force=self.force) as temporary:
            from headfield.cli import avatar_run

            return avatar_run.export(self, temporary)


@dataclass(frozen=True)
class AvatarFilmCommand:
    """Film a synthetic subject of ICT-FaceKit in IMAvatar's layout, with known tracks: train/, dev/ and test/."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("video")
    """Folder of the subject."""
    seed: int = 0
    """Who, and what they say."""
    size: int = 128
    """Pixels along a side."""
    train: int = 300
    """Frames of mild speech."""
    dev: int = 20
    """Frames of stronger expressions to tune on."""
    test: int = 100
    """Frames of stronger expressions for the end."""
    force: bool = False
    """Replace files of an existing folder."""

    def run(self) -> int:
        """Film."""
        from headfield.cli.output import output_folder
        from headfield.cli.report import summary, working
        from headfield.synth.video import VideoConfig, make_video

        if not 16 <= self.size <= 2048 or min(self.train, self.dev, self.test) < 0:
            raise ConfigError("--size takes 16 to 2048 pixels, --train, --dev and --test numbers of frames.")
        if not self.train + self.dev + self.test:
            raise ConfigError("nothing to film: --train, --dev and --test are all 0.")
        config = VideoConfig(self.seed, self.size, self.train, self.dev, self.test)
        with output_folder(self.out, force=self.force) as folder, working("filming"):
            subject = make_video(config, folder)
        mean, high = subject.template_distance()
        rows = {
            "frames": f"{self.train} train, {self.dev} dev, {self.test} test, {self.size} x {self.size}",
            "template off by": f"{mean:.1f} mm mean, {high:.1f} mm 95th percentile in the face",
        }
        summary(f"video {self.out}: {subject.name}", rows)
        return 0


@dataclass(frozen=True)
class AvatarCommand:
    """A personal avatar (IMAvatar) from a video: film a synthetic subject, train, render, measure, export."""

    do: tyro.conf.OmitArgPrefixes[
        Annotated[AvatarTrainCommand, tyro.conf.subcommand("train", prefix_name=False)]
        | Annotated[AvatarRenderCommand, tyro.conf.subcommand("render", prefix_name=False)]
        | Annotated[AvatarEvaluateCommand, tyro.conf.subcommand("evaluate", prefix_name=False)]
        | Annotated[AvatarExportCommand, tyro.conf.subcommand("export", prefix_name=False)]
        | Annotated[AvatarFilmCommand, tyro.conf.subcommand("film", prefix_name=False)]
    ]
    """What to do."""

    def run(self) -> int:
        """Do it."""
        return self.do.run()
