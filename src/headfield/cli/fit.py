"""``headfield fit``: scans, a depth map, a depth video or a folder to complete heads.

Everything is written under a temporary name first.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from headfield.cli.fit_batch import fit_batch
from headfield.cli.fit_sequence import fit_sequence
from headfield.cli.output import check_resolution, output_folder
from headfield.cli.report import summary, table, working
from headfield.cli.scans import DepthUnit, is_depth_map, neutral_numbers, read_any
from headfield.errors import ConfigError, NotAHeadError
from headfield.expressions import in_words
from headfield.fit.saved_file import fit_at
from headfield.frames import UNITS_IN_METRES
from headfield.io.names import distinct_names
from headfield.models import DEFAULT

if TYPE_CHECKING:
    from headfield.fit.options import FitOptions
    from headfield.fit.result import Fit
    from headfield.types import Scan

Unit = Literal["mm", "cm", "m", "inch"]

SCALP_SEEN = 0.3
"""Share of the scalp's places below which nothing is said of hair."""


@dataclass(frozen=True)
class FitCommand:
    """Fit a complete head to a scan, to several scans of one person, to a depth map, to each scan in a folder, or to a
    depth video.

    Writes head.ply and head.glb (in the scan's own frame and unit), fit.npz, fit.json and preview.png; of a video
    take.glb, take.csv, take.npz, take.json, fit.npz and preview.png.
    """

    scans: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCAN...")] = ()
    """Scan files (PLY, OBJ, GLB, USDZ and more: docs/formats.md), or a depth map (PNG, EXR, NPY) with --intrinsics.
    Several files are several scans of one person; a folder is a batch of unrelated scans, which resumes when run again.
    A saved fit (its fit.npz, or the folder that holds it) is fitted again to the points that it keeps."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out")
    """Output folder."""
    force: bool = False
    """Replace files in an output folder that exists; in a batch, fit again what is done already."""
    units: Unit | None = None
    """Unit of the scan; found by itself when not given."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Axis of the scan that points to the top of the head; found by itself when not given."""
    landmarks: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Landmarks that place the head: a JSON object of anchor name -> [x, y, z] in the scan's frame and unit, at least
    three (for example nose_tip, eye_outer_left, eye_outer_right, chin)."""
    depth: Annotated[Path | None, tyro.conf.arg(metavar="IMAGE")] = None
    """A depth map to fit: 16-bit PNG, EXR or NPY. The same as giving it as the scan."""
    sequence: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A depth video to track: a folder of depth maps whose names count frames, and the camera in intrinsics.json or
    --intrinsics. One identity, and a head pose and an expression for every frame (docs/tracking.md)."""
    fps: float | None = None
    """Frames per second of the depth video; 30 when not given."""
    intrinsics: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """The depth camera: a JSON object with fx, fy, cx, cy in pixels."""
    depth_unit: DepthUnit = "mm"
    """Unit of the depth values: its name, or metres per count such as 0.0001 (steps of 0.1 mm) or 0.0002 (1/5000 m);
    the head is then written in metres."""
    crop: Annotated[str | None, tyro.conf.arg(metavar='"X0 Y0 Z0 X1 Y1 Z1"')] = None
    """A box in the scan's own frame and unit (`headfield doctor` tells the scan's); only what lies within is used. For
    a file with two heads, or with a room around the head. -inf or inf leaves a side open."""
    expression: Literal["auto", "neutral"] = "auto"
    """auto estimates the 52 expression weights with the identity; neutral holds them at zero."""
    neutral_scan: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME-OR-NUMBER")] = ()
    """Which of several scans is neutral, by its file's name or path or its number from 1; may be given again for
    another. Not given, a name such as neutral.ply says so; none says that none is."""
    neutral: bool = False
    """Write the head without its expression, mouth closed."""
    detail: bool = False
    """What the scan shows beyond the model is added to the seen surface; not if --neutral takes off an expression."""
    clay: bool = False
    """The preview shows scan and head as clay, even if the scan has colours."""
    metres: bool = False
    """Write head.glb in metres, as viewers of glTF expect, not in the scan's own unit; not if its unit is unknown."""
    resolution: int = 256
    """Samples along the longest side of the model's box: 256 is 1.5 mm, 512 is 0.7 mm."""
    model: str = DEFAULT
    """Model: a released name, a folder, or a hub id."""
    seed: int = 0
    """Seed of whatever is random; the same scan and seed give the same head."""

    def run(self) -> int:
        """Fit and write; returns the exit status."""
        paths = [*self.scans, *([self.depth] if self.depth is not None else [])]
        if self.sequence is not None:
            return fit_sequence(self, paths)
        if self.fps is not None:
            raise ConfigError("--fps is the rate of a depth video: give it with --sequence FOLDER.")
        if not paths:
            raise ConfigError("nothing to fit: give a scan, such as `headfield fit scan.ply --out out/`.")
        if self.depth is not None and self.intrinsics is None:
            raise ConfigError("--depth needs the camera: --intrinsics camera.json with fx, fy, cx, cy in pixels.")
        check_resolution(self.resolution)
        for option, given in (("--landmarks", self.landmarks), ("--crop", self.crop)):
            if given is not None and len(paths) > 1:
                raise ConfigError(f"{option} is for one scan; the scans given are several.")
        paths = [fit_at(path) or path for path in paths]
        if len(paths) > 1 and any(fit_at(path) for path in paths):
            raise ConfigError("one saved fit is fitted again by itself, with all its scans: give it alone, or scans.")
        if any(path.is_dir() for path in paths):
            if len(paths) > 1:
                raise ConfigError("give one folder, or files: several files are several scans of one person.")
            return fit_batch(self, paths[0], _fit_into)
        _check_camera(self, paths)
        if fit_at(paths[0]) is None:
            neutral_numbers(self.neutral_scan, paths)  # told before the work
        with output_folder(self.out, force=self.force) as folder, working(f"Reading {paths[0].name}") as say:
            fit = _fit_into(self, paths, folder, say)
            files = sorted(path.name for path in folder.iterdir())
        _print(self, fit, files)
        return 0


def _fit_into(command: FitCommand, paths: list[Path], folder: Path, say, model=None):
    """Fit one head to one scan or several of one person and write its files."""
    from headfield.fit.refit import scans_of
    from headfield.fit.result import Fit

    begin = time.perf_counter()
    old = None if fit_at(paths[0]) is None else Fit.load(paths[0])
    if old is None:
        scans = [replace(_read(command, path), name=name) for path, name in zip(paths, distinct_names(paths))]
    else:
        scans = scans_of(old)
    read = time.perf_counter() - begin
    say("Loading the model")
    from headfield.models.release import lasting_name, load

    options = _options(command, paths, None if old is None else scans)
    model = load(command.model) if model is None else model
    loaded = time.perf_counter()
    say(f"Fitting {paths[0].name}")
    given = paths[0] if old is not None else scans[0] if len(scans) == 1 else scans
    result = _solved(command, paths, given, model, options, say)
    result.model_name = lasting_name(command.model)
    say(f"Making the mesh at {command.resolution}")
    _write_heads(command, scans, result, folder)
    result.save(folder / "fit.npz")
    total = time.perf_counter() - begin
    result.seconds.update(read=read, load=loaded - begin - read, total=total)
    content = result.to_dict() | {"resolution": command.resolution}
    (folder / "fit.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return result


def _options(command: FitCommand, paths: list[Path], refitted: list[Scan] | None) -> FitOptions:
    """What the words of the command say of a fit; of one that is made again, its scans are the `refitted`."""
    from headfield.fit.options import FitOptions
    from headfield.fit.pictures.align import face_finder

    return FitOptions(
        units=None if is_depth_map(paths[0], command.intrinsics) else command.units,
        up=command.up,
        landmarks=command.landmarks,
        face=face_finder(),
        crop=None if refitted is None else command.crop,  # of a scan it was done in reading; a fit refuses it
        neutral=neutral_numbers(command.neutral_scan, [Path(scan.name) for scan in refitted] if refitted else paths),
        expression=command.expression,
        seed=command.seed,
    )


def _solved(command: FitCommand, paths: list[Path], given, model, options: FitOptions, say) -> Fit:
    """The fit of what is given; a head that is none may be a depth camera's wrong scale."""
    from headfield.fit.run import fit

    stages = {"read": "Reading", "align": "Finding the head in", "solve": "Fitting"}
    try:
        return fit(
            given,
            model,
            options,
            progress=lambda stage, share: say(f"{stages.get(stage, stage)} {paths[0].name} ({share:.0%})"),
        )
    except NotAHeadError as error:
        if not any(is_depth_map(path, command.intrinsics) for path in paths):
            raise
        # the wrong scale makes a giant, and no error before this one notices a factor of five or ten
        raise NotAHeadError(
            f"{error} Check the depth camera's scale, too: the values were read as --depth-unit {command.depth_unit}; "
            "many cameras count in steps of 0.0001 or 0.0002 (metres per count)."
        ) from error


def _read(command: FitCommand, path: Path):
    options = {"units": command.units, "intrinsics": command.intrinsics, "depth_unit": command.depth_unit}
    return read_any(path, crop=command.crop, **options)


def _check_camera(command: FitCommand, paths: list[Path]) -> None:
    """Refuse what is said of a depth map where none is given."""
    if any(is_depth_map(path, command.intrinsics) for path in paths):
        return
    named = ", ".join(path.name for path in paths)
    if command.intrinsics is not None:
        raise ConfigError(f"--intrinsics is the camera of a depth map (PNG, EXR, NPY), and {named} is none.")
    if command.depth_unit != "mm":
        raise ConfigError(f"--depth-unit is for depth maps, and {named} is none; a scan's unit is --units.")


def _write_heads(command: FitCommand, scans, fit, folder: Path) -> None:
    """head.ply, head.glb and preview.png; of further scans of the person head_2.ply and so on."""
    import numpy as np

    from headfield.cli.preview import fit_preview
    from headfield.io.mesh import write_mesh
    from headfield.surface.sheet import write_png

    for index, (scan, found) in enumerate(zip(scans, fit.scans)):
        suffix = "" if index == 0 else f"_{index + 1}"
        options = {"neutral": command.neutral, "detail": command.detail, "scan": index}
        head = fit.mesh(command.resolution, model_frame=True, **options)
        placed = head.transformed(found.placement.inverse())
        # both files stay in the scan's own frame and unit; only a PLY names it
        unit = found.units if found.units in UNITS_IN_METRES else None
        write_mesh(placed, folder / f"head{suffix}.ply", unit=unit)
        write_mesh(placed, folder / f"head{suffix}.glb", unit=unit if command.metres else None)
        normals = None if scan.normals is None else found.placement.rotate(scan.normals)
        in_model = replace(scan, points=found.placement.apply(scan.points), normals=normals)
        if command.neutral and found.expression.any():
            head = fit.mesh(min(command.resolution, 160), model_frame=True, scan=index)  # what the errors are about
        errors = np.where(found.on_head, found.residual_mm, np.nan)
        points = found.placement.apply(found.points)
        told = {"title": fit.verdict.headline, "clay": command.clay}
        picture = fit_preview(in_model, head, errors, error_points=points, **told)
        write_png(picture, folder / f"preview{suffix}.png")


def _print(command: FitCommand, fit, files: list[str]) -> None:
    import math

    rows = {"verdict": fit.verdict.in_full}
    if len(fit.scans) == 1:
        scan, error = fit.scans[0], fit.errors
        distance = error["scan_to_head_mm"]
        rows["unit"] = fit.units if fit.units != "free" else "none fits: the size is free"
        if fit.units != "free":
            rows["size"] = f"{math.exp(scan.size_log):.2f} of an average adult's head"
        rows["distance"] = (
            f"median {distance['median']:.2f} mm, p90 {distance['p90']:.2f} mm; {error['inliers']:.0%} of the scan "
            "within 5 mm"
        )
        rows["expression"] = _acts(scan)
    if fit.hair != "all":
        seen = fit.evidence.get("covered_scalp", 1.0) >= SCALP_SEEN
        rows["hair"] = fit.hair if seen else f"not seen; {fit.hair} was assumed"
    rows["seconds"] = ", ".join(f"{name} {value:.1f}" for name, value in fit.seconds.items())
    rows["files"] = f"{command.out}: " + ", ".join(files)
    summary(f"{', '.join(scan.name for scan in fit.scans)}: a head", rows, tuple(dict.fromkeys(fit.notes)))
    if len(fit.scans) > 1:
        table(["scan", "unit", "median mm", "p90 mm", "within 5 mm", "expression"], [_row(one) for one in fit.scans])


def _row(scan) -> list[str]:
    """What is told of one of several scans."""
    error = scan.errors()
    distance = error["scan_to_head_mm"]
    numbers = [f"{distance['median']:.2f}", f"{distance['p90']:.2f}", f"{error['inliers']:.0%}"]
    return [scan.name, scan.units, *numbers, _acts(scan)]


def _acts(scan) -> str:
    """A scan's expression in words, and what of the eyes could not be seen."""
    told = in_words(scan.expression)
    if scan.eyes is None or scan.eyes.gaze:
        return told
    return told + (" (gaze not seen)" if scan.eyes.lids else " (lids and gaze not seen)")
