"""What a stage leaves behind: its arrays, pictures and a record that names the hash of all it was made from.

A stage's record is written last, so what a record names is complete; one whose key differs from the key wanted now is
out of date. The key is a hash over the content of the scan, the stage's name, version and options, and the key of the
stage before: a change anywhere redoes what follows from it and nothing else.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import numpy as np

from headfield.errors import HeadfieldError, OutputError, ScanError
from headfield.io.arrays import save_npz
from headfield.io.mesh import write_bytes

DONE, REJECTED, FAILED = "done", "rejected", "failed"
"""How a stage can end. What failed (an error that nobody foresaw) is tried again in the next run."""


class RejectedError(ScanError):
    """A scan that must not enter the training set; the message is the reason, `picture` shows why, if anything does."""

    def __init__(self, reason: str, picture: np.ndarray | None = None):
        super().__init__(reason)
        self.picture = picture


@dataclass(frozen=True)
class Made:
    """What a stage makes.

    Attributes:
        arrays: Arrays by name, kept as ``<stage>.npz``.
        facts: Plain numbers, strings and lists, kept in the record.
        picture: (H, W, 3) uint8 thumbnail, kept as ``<stage>.jpg``, or None.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    picture: np.ndarray | None = None


@dataclass(frozen=True)
class Recorded:
    """A stage's record.

    Attributes:
        stage: Its name.
        key: Hash of all it was made from.
        outcome: `DONE`, `REJECTED` or `FAILED`.
        reason: Why not done, else empty.
        facts: See :class:`Made`.
        seconds: It took.
        cpu: Processor seconds that it took, which busy neighbours disturb less.
        peak_mb: The most memory that the worker had used by its end, MiB.
        folder: Where its files are.
        fresh: Whether this run made it.
    """

    stage: str
    key: str
    outcome: str
    reason: str
    facts: dict
    seconds: float
    cpu: float
    peak_mb: float
    folder: Path
    fresh: bool = False

    @property
    def done(self) -> bool:
        """Whether the stage went well."""
        return self.outcome == DONE

    def arrays(self) -> dict[str, np.ndarray]:
        """The stage's arrays by name; empty when it made none."""
        file = self.folder / f"{self.stage}.npz"
        if not file.exists():
            return {}
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def key_of(stage: str, version: int, *parts) -> str:
    """Hash (32 digits) of a stage's name, version and of everything it depends on, JSON-able."""
    text = json.dumps([stage, version, *parts], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def content_hash(path: Path) -> str:
    """Hash (32 digits) of a file's bytes, of a glTF with those of the files that it names.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    if Path(path).suffix.lower() != ".gltf":
        return found
    try:
        buffers = json.loads(Path(path).read_bytes()).get("buffers", [])
        names = [buffer["uri"] for buffer in buffers if not buffer.get("uri", "data:").startswith("data:")]
    except (ValueError, AttributeError, TypeError):
        return found  # no glTF: reading it will say so
    named = [Path(path).parent / unquote(name) for name in names]
    return key_of("gltf", 1, found, [content_hash(file) for file in named if file.is_file()])


def forget_others(folder: Path, names: set[str]) -> None:
    """Delete what the stages left of scans that a person's folder no longer holds, so that a scan that was taken away
    leaves no picture or mesh behind."""
    for other in folder.iterdir():
        if other.is_dir() and other.name not in names and (other / "landmarks.json").exists():
            shutil.rmtree(other)


def read_record(folder: Path, stage: str) -> Recorded | None:
    """A stage's record in a folder, or None when there is none that can be read."""
    try:
        content = json.loads((folder / f"{stage}.json").read_text(encoding="utf-8"))
        return Recorded(
            stage,
            content["key"],
            content["outcome"],
            content["reason"],
            content["facts"],
            float(content["seconds"]),
            float(content["cpu"]),
            float(content["peak_mb"]),
            Path(folder),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def recorded(folder: Path, stage: str, key: str, work: Callable[[], Made], *, force: bool = False) -> Recorded:
    """Do a stage, or take what it left behind when that was made from the same.

    Args:
        folder: The stage's folder, made when missing.
        stage: Its name; its files are called after it.
        key: See `key_of`.
        work: Does it; raises a :class:`ScanError` to reject the scan.
        force: Do it in any case.
    Returns:
        The record; `fresh` when the work was done now.
    Raises:
        OutputError: The disk is full, or the folder cannot be written. Nothing half-written counts.
        HeadfieldError: What is missing or contradicts itself, and would for every scan.
    """
    known = read_record(folder, stage)
    if known is not None and known.key == key and known.outcome != FAILED and not force:
        return known
    begin, before = time.perf_counter(), time.process_time()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stage}.json").unlink(missing_ok=True)  # before its files: a record never names those of another
        made, outcome, reason = _outcome(work)
        wall, cpu = time.perf_counter() - begin, time.process_time() - before
        spent = {"seconds": round(wall, 3), "cpu": round(cpu, 3), "peak_mb": _peak_mb()}
        _write(folder, stage, made)
        content = {"key": key, "outcome": outcome, "reason": reason, "facts": made.facts, **spent}
        write_bytes(folder / f"{stage}.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        refuse_place(folder, error)
    except OutputError as error:
        if isinstance(error.__cause__, OSError) and is_full(error.__cause__):
            refuse_place(folder, error.__cause__)
        raise
    facts = json.loads(json.dumps(made.facts))  # as a later run reads them
    return Recorded(stage, key, outcome, reason, facts, **spent, folder=folder, fresh=True)


def _outcome(work: Callable[[], Made]) -> tuple[Made, str, str]:
    """What work makes, how it ended, and why."""
    try:
        return work(), DONE, ""
    except ScanError as error:
        return Made(picture=getattr(error, "picture", getattr(error, "tried", None))), REJECTED, str(error)
    except HeadfieldError:
        raise  # what is missing or contradicts itself stops the run: it would hold for every scan
    except (OSError, MemoryError) as error:
        if is_full(error):
            raise
        return Made(), FAILED, f"{type(error).__name__}: {error}"
    except (ArithmeticError, ValueError, LookupError, TypeError, RuntimeError, AttributeError) as error:
        # one odd scan among thousands must not stop the others; the next run tries it again
        return Made(), FAILED, f"{type(error).__name__}: {error}"


def _peak_mb() -> float:
    """The most memory that this process had used, MiB; 0 where the system does not say."""
    # Linux hands ru_maxrss on to the processes that one starts: a worker would be charged with its parent's memory
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024, 1)
    try:
        import resource
    except ImportError:  # not POSIX
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that the disk or the quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def refuse_place(place: Path, error: OSError) -> NoReturn:
    """Tell the user that a place cannot be written: the disk is full, or what else it is.

    Raises:
        OutputError: Always.
    """
    if is_full(error):
        raise OutputError(
            f"{place}: the disk is full ({error.strerror}). What is finished is kept: free some space and run the same "
            "command again to go on."
        ) from error
    raise OutputError(f"{place}: cannot be written ({error.strerror or error}); choose another --out.") from error


def _write(folder: Path, stage: str, made: Made) -> None:
    """The stage's files, each whole or absent; files of an earlier run that are not made again go."""
    npz, jpg = folder / f"{stage}.npz", folder / f"{stage}.jpg"
    for file, wanted in ((npz, bool(made.arrays)), (jpg, made.picture is not None)):
        if not wanted:
            file.unlink(missing_ok=True)
    if made.arrays:
        buffer = io.BytesIO()
        save_npz(buffer, made.arrays)
        write_bytes(npz, buffer.getvalue())
    if made.picture is not None:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(made.picture[..., :3])).save(buffer, "JPEG", quality=88)
        write_bytes(jpg, buffer.getvalue())
