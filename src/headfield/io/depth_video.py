"""Depth videos: a folder of depth maps with one camera, in the order of the numbers in their names.

Frames are read one by one when they are asked for. What cannot be seen in one is said instead of raised, so that a
video with a black or damaged frame can still be used: a frame whose number is skipped, one without measurements, one
that cannot be read.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headfield.errors import EmptyDepthError, ScanError
from headfield.io.depth import DEPTH_SUFFIXES, check_depth_unit, read_depth
from headfield.types import Scan

INTRINSICS = "intrinsics.json"
"""The camera's file in a video's folder."""

MISSING, BLACK, DAMAGED = "missing", "black", "damaged"
"""Why a frame shows nothing: its number is skipped, it holds no measurement, it cannot be read."""

_COUNTED, _MOST_SKIPPED = 0.5, 2.0
"""Numbers count frames if so many of their steps are alike and at most so many frames a file would be missing; else
they are times, or of several takes."""


@dataclass(frozen=True)
class VideoFrame:
    """One frame.

    Attributes:
        name: Of its file; of a missing one what its file would be called.
        scan: What was seen, None when nothing was.
        mark: Empty, or why nothing was seen: ``missing``, ``black`` or ``damaged``.
        told: What reading complained of, of a frame that is damaged.
    """

    name: str
    scan: Scan | None
    mark: str = ""
    told: str = ""


class Frames(Protocol):
    """Anything that gives the frames of a video by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> VideoFrame: ...


@dataclass(frozen=True)
class DepthVideo:
    """A folder of depth maps.

    Attributes:
        folder: Where it is.
        files: T files in order, None of frames that are missing.
        names: T names.
        intrinsics: The camera's file.
        depth_unit: Unit of the depth values, as of :func:`headfield.io.depth.read_depth`.
        notes: What was noticed of the names, one sentence each.
    """

    folder: Path
    files: tuple[Path | None, ...]
    names: tuple[str, ...]
    intrinsics: Path
    depth_unit: str | float = "mm"
    notes: tuple[str, ...] = ()

    @staticmethod
    def open(folder: str | Path, intrinsics: str | Path | None = None, depth_unit: str | float = "mm") -> DepthVideo:
        """Look into a folder; frames are read later.

        Args:
            folder: Depth maps (PNG, EXR or NPY, of one kind), sorted by the numbers in their names.
            intrinsics: The camera; None takes ``intrinsics.json`` in the folder.
            depth_unit: As of :func:`headfield.io.depth.read_depth`.
        Raises:
            ScanError: There is no such folder, no depth map in it, several kinds of them, or no camera.
            ConfigError: `depth_unit` is unknown.
        """
        folder = Path(folder)
        check_depth_unit(depth_unit)
        if not folder.is_dir():
            what = "a file" if folder.exists() else "there is no such folder"
            raise ScanError(f"{folder}: {what}; a depth video is a folder of depth maps (PNG, EXR or NPY).")
        camera = folder / INTRINSICS if intrinsics is None else Path(intrinsics)
        if not camera.exists():
            raise ScanError(
                f"{camera}: no camera; put {INTRINSICS} with fx, fy, cx, cy in pixels into the folder of the depth "
                "maps, or name it with --intrinsics."
            )
        found = [p for p in folder.iterdir() if p.suffix.lower() in DEPTH_SUFFIXES and not p.name.startswith(".")]
        kinds = Counter(path.suffix.lower() for path in found)
        if not kinds:
            raise ScanError(f"{folder}: no depth maps; looked for {', '.join(DEPTH_SUFFIXES)} files in it.")
        if len(kinds) > 1:
            seen = ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common())
            raise ScanError(
                f"{folder}: {seen} files; the frames of a depth video are of one kind. Move colour pictures and other "
                "things out of the folder."
            )
        files, notes = _with_gaps(sorted(found, key=_natural))
        names = tuple(name for name, _ in files)
        return DepthVideo(folder, tuple(path for _, path in files), names, camera, depth_unit, notes)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"DepthVideo({self.folder}, {len(self)} frames, {self.files.count(None)} of them missing)"

    def __getitem__(self, index: int) -> VideoFrame:
        """Read a frame; what is wrong with it is in its mark."""
        path, name = self.files[index], self.names[index]
        if path is None:
            return VideoFrame(name, None, MISSING)
        try:
            return VideoFrame(name, read_depth(path, self.intrinsics, self.depth_unit, normals=False))
        except EmptyDepthError as error:
            return VideoFrame(name, None, BLACK, str(error))
        except ScanError as error:
            return VideoFrame(name, None, DAMAGED, str(error))


def _natural(path: Path) -> list:
    """Sorts frame_2 before frame_10."""
    return [(int(part), "") if part.isdigit() else (-1, part.casefold()) for part in re.split(r"(\d+)", path.stem)]


def _with_gaps(paths: list[Path]) -> tuple[list[tuple[str, Path | None]], tuple[str, ...]]:
    """Names and files in order, with a name and None for each number that is skipped."""
    plain: list[tuple[str, Path | None]] = [(path.name, path) for path in paths]
    matches = [re.search(r"(\d+)(?=\D*$)", path.stem) for path in paths]
    found = [match for match in matches if match is not None]
    if len(paths) < 3 or len(found) < len(paths):
        return plain, ()
    around = {(path.stem[: m.start()], path.stem[m.end() :]) for path, m in zip(paths, found)}
    numbers = [int(match[1]) for match in found]
    steps = [after - before for before, after in zip(numbers, numbers[1:])]
    step, often = Counter(steps).most_common(1)[0]
    gaps = [after - 1 for after in (s // step if step > 0 and s % step == 0 else 0 for s in steps) if after > 1]
    if len(around) > 1 or step <= 0 or any(s % step for s in steps):
        return plain, ()
    if often < _COUNTED * len(steps) or sum(gaps) > _MOST_SKIPPED * len(paths):
        return plain, ("The numbers of the files do not count frames: none is taken to be missing.",)
    files, width = [], len(found[0][1])
    before, after = next(iter(around))
    for path, number, ahead in zip(paths, numbers, [*steps, step]):
        files.append((path.name, path))
        for k in range(1, ahead // step):
            files.append((f"{before}{number + k * step:0{width}d}{after}{path.suffix}", None))
    return files, ()
