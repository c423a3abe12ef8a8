"""Moving pictures from a stream of frames: PNG files, an animated GIF, or MP4 where an ffmpeg binary is found."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from headfield.errors import MissingExtra, OutputError, present
from headfield.surface.sheet import write_png


def write_frames(frames: Iterable[np.ndarray], folder: str | Path) -> int:
    """Write frames (H, W, 3) uint8 as ``frame_0001.png`` and so on; returns how many.

    Raises:
        OutputError: The folder cannot be written.
    """
    count = 0
    for count, frame in enumerate(frames, start=1):
        write_png(frame, Path(folder) / f"frame_{count:04d}.png")
    return count


def write_gif(frames: Iterable[np.ndarray], path: str | Path, fps: float) -> int:
    """Write frames (H, W, 3) uint8 as a looping GIF; returns how many.

    A GIF counts in hundredths of a second: single frames last 20 or more, and the whole keeps its length.

    Raises:
        OutputError: The file cannot be written, or there is no frame.
    """
    from PIL import Image

    palette, pictures = None, []
    for frame in frames:
        picture = Image.fromarray(np.ascontiguousarray(frame))
        # one palette for all, or the background flickers
        palette = palette or picture.quantize(192, method=Image.Quantize.MEDIANCUT)
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    if not pictures:
        raise OutputError(f"{path}: no frame to write.")
    ends = np.round(np.arange(1, len(pictures) + 1) * 100 / fps).astype(int) * 10
    lasting = np.maximum(np.diff(ends, prepend=0), 20)
    try:
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lasting.tolist(), loop=0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error}).") from error
    return len(pictures)


def find_ffmpeg() -> str:
    """Path of an ffmpeg binary: the one of the extra ``video``, or one on PATH.

    Raises:
        MissingExtra: There is none.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        pass
    found = shutil.which("ffmpeg")
    if found is None:
        raise MissingExtra(
            "Writing MP4 needs ffmpeg: pip install 'headfield[video]' brings one. Without it write a .gif, or a folder "
            "of PNG frames."
        )
    return found


def write_mp4(frames: Iterable[np.ndarray], path: str | Path, fps: float) -> int:
    """Write frames (H, W, 3) uint8 as H.264; returns how many. Odd sizes lose their last row or column.

    Raises:
        MissingExtra: There is no ffmpeg.
        OutputError: ffmpeg failed (its own words are told), or there is no frame.
    """
    stream: Iterator[np.ndarray] = iter(frames)
    program = find_ffmpeg()
    first = next(stream, None)
    if first is None:
        raise OutputError(f"{path}: no frame to write.")
    height, width = (side // 2 * 2 for side in first.shape[:2])
    words = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    words += ["-r", f"{fps:.6g}", "-i", "-", "-an", "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"]
    words += ["-threads", "1", "-movflags", "+faststart", str(path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    pipe, count = present(process.stdin, "ffmpeg's input"), 0
    try:
        frame: np.ndarray | None = first
        while frame is not None:
            pipe.write(np.ascontiguousarray(frame[:height, :width]).tobytes())
            count += 1
            frame = next(stream, None)
        said = process.communicate()[1]
    except BrokenPipeError:
        said = process.communicate()[1]
    except BaseException:
        process.kill()  # interrupted: no orphan, and the half file goes with its folder
        process.wait()
        raise
    if process.returncode:
        raise OutputError(f"{path}: ffmpeg failed ({said.decode(errors='replace').strip()[-300:]}).")
    return count
