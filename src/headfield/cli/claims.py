"""Output places belong to one command at a time, and what a killed command left beside them goes.

A claim is a lock on the folder itself (flock): no file tells of it, so none is left, and it ends with its process
however that ends. Where a system or file system has no such locks, nothing is claimed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headfield.errors import OutputError

_LEFT = re.compile(r"\..+\.(\d+|[0-9a-f]{8})(\.old)?\.(part|tmp)|\.[0-9a-f]{8}\.probe")
"""Hidden names under which files and folders are written before they are renamed."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Have a folder to oneself for as long as the block runs.

    Raises:
        OutputError: Another command has it.
    """
    lock = _lock(folder)
    if lock is None:
        raise OutputError(_taken(folder))
    try:
        yield
    finally:
        if lock >= 0:
            os.close(lock)


@contextmanager
def claimed_beside(temporary: Path, place: Path) -> Iterator[None]:
    """Claim a place for as long as the block runs by a temporary folder beside it.

    Temporary folders of the same place whose command is dead are removed first.

    Args:
        temporary: The folder, just made, named ``.NAME.XXXXXXXX.part``.
        place: The file or folder NAME that it will become.
    Raises:
        OutputError: Another command is writing to the place.
    """
    lock = _lock(temporary)
    try:
        # made and locked before the others are looked at: of two that begin at once, one at least sees the other
        others = [_alive(other) for other in _siblings(place) if other != temporary]
        if lock is None or any(others) or not temporary.is_dir():  # gone: another took it for a dead command's
            raise OutputError(_taken(place))
        yield
    finally:
        if lock is not None and lock >= 0:
            os.close(lock)


def sweep(folder: Path) -> None:
    """Remove what killed commands left anywhere below a folder; the caller has claimed it."""
    for root, folders, files in os.walk(folder):
        for name in [name for name in folders if _LEFT.fullmatch(name)]:
            folders.remove(name)
            shutil.rmtree(Path(root, name), ignore_errors=True)
        for name in files:
            if _LEFT.fullmatch(name):
                Path(root, name).unlink(missing_ok=True)


def _siblings(place: Path) -> list[Path]:
    name = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{8}}\.part")
    try:
        return [entry for entry in place.parent.iterdir() if name.fullmatch(entry.name)]
    except OSError:  # a folder may be written to and not read
        return []


def _alive(temporary: Path) -> bool:
    """Whether a command is filling a temporary folder; one of a dead command is removed."""
    lock = _lock(temporary)
    if lock is None:
        return True
    if lock >= 0:  # without locks nobody can tell, and what may be another's is left alone
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)
    return False


def _lock(folder: Path) -> int | None:
    """A file descriptor that holds a folder's lock: None when another process holds it, -1 where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        return -1
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:  # some network file systems
        os.close(lock)
        return -1
    return lock


def _taken(place: Path) -> str:
    return f"{place}: another headfield command is at work there. Wait until it is done, or choose another place."
