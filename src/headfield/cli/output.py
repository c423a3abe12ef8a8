"""Output places: found fit before the work starts, filled under a temporary name, renamed when complete."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from headfield.cli.claims import claimed, claimed_beside, sweep
from headfield.errors import ConfigError, OutputError
from headfield.io.guard import special


def check_resolution(resolution: int) -> None:
    """Refuse a resolution that makes no head, or no end, before a model is loaded for it.

    Raises:
        ConfigError: It is not within 16..2048.
    """
    if not 16 <= resolution <= 2048:
        raise ConfigError(f"--resolution {resolution}: choose between 16 and 2048.")


@contextmanager
def output_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary sibling folder to fill; it becomes `out` when the block ends well and vanishes when it does not.

    Args:
        out: The folder wanted. With `force` an existing one keeps its other files; files of the same names are
            replaced one by one, each whole.
        force: Allow `out` to exist with something in it.
    Raises:
        OutputError: `out` exists and `force` was not given, it cannot be written, or another command is writing to it.
            Raised before the block runs.
    """
    out = Path(os.path.realpath(out))
    check_folder(out, force=force)
    with claimed(out) if out.is_dir() else nullcontext(), _temporary_sibling(out) as temporary:
        yield temporary
        try:
            if not out.exists() or not any(out.iterdir()):
                os.replace(temporary, out)
            else:
                _merge(temporary, out)
        except OSError as error:
            raise OutputError(f"{out}: cannot be put in place ({error.strerror}).") from error


@contextmanager
def output_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary name with the same suffix, in a temporary sibling folder; it becomes `path` at the end.

    Raises:
        OutputError: `path` exists and `force` was not given, it cannot be written, or another command is writing to it.
            Raised before the block runs.
    """
    path = Path(os.path.realpath(path))
    _refuse_special(path)
    if path.is_dir():
        raise OutputError(f"{path}: a folder; give the name of a file.")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already. Pass --force to replace it, or choose another name.")
    with _temporary_sibling(path) as folder:
        yield folder / path.name
        try:
            os.replace(folder / path.name, path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be put in place ({error.strerror}).") from error


def check_folder(out: Path, *, force: bool = False) -> None:
    """Check an output folder without making it.

    Raises:
        OutputError: It exists and may not be touched, or is a file.
    """
    _refuse_special(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: a file of this name exists; choose another --out.")
    try:
        occupied = out.is_dir() and any(out.iterdir())
    except OSError as error:
        raise OutputError(f"{out}: cannot be read ({error.strerror}); choose another --out.") from error
    if occupied and not force:
        raise OutputError(
            f"{out}: exists already and is not empty. Pass --force to replace its files, or choose another --out."
        )
    if out.is_dir() and not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: cannot be written (permission denied); choose another --out.")


def _refuse_special(place: Path) -> None:
    """Refuse what can hold no output before any work is done for it.

    Raises:
        OutputError: A pipe, a socket or a device stands there, or links that lead to one another.
    """
    if (kind := special(place)) is not None:
        raise OutputError(f"{place}: {kind} stands there; give the name of a file or a folder.")
    if os.path.lexists(place) and not place.exists():
        raise OutputError(f"{place}: a link that leads round to itself; remove it, or choose another --out.")


@contextmanager
def resumable_folder(out: Path, *, began: str, alone: bool = True) -> Iterator[Path]:
    """A folder that a resumable verb fills piece by piece; checked to be writable before the block runs.

    What a killed run left under temporary names is removed.

    Args:
        out: The folder; made when missing.
        began: Glob of files that show that work worth keeping was done. A new folder without any is removed when the
            block fails.
        alone: Whether this process claims the folder; of several that work together only the first does.
    Raises:
        OutputError: It cannot be written, or another command is at work there.
    """
    _refuse_special(Path(os.path.realpath(out)))
    new = not out.exists()
    made = [parent for parent in (out, *out.parents) if not parent.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".{uuid.uuid4().hex[:8]}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        _remove_empty(made)
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another --out.") from error
    with claimed(out) if alone else nullcontext():
        if alone:
            sweep(out)
        try:
            yield out
        except BaseException:
            if new and not any(out.glob(began)):
                shutil.rmtree(out, ignore_errors=True)
                _remove_empty(made[1:])
            raise


@contextmanager
def _temporary_sibling(place: Path) -> Iterator[Path]:
    """An empty folder beside `place`, gone afterwards; parents that had to be made go too if the block fails."""
    made = [parent for parent in place.parents if not parent.exists()]
    temporary = place.parent / f".{place.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        _remove_empty(made)
        raise OutputError(
            f"{place}: cannot be written ({error.strerror}: {error.filename}). Choose another output place."
        ) from error
    try:
        with claimed_beside(temporary, place):
            yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(made)
        raise
    shutil.rmtree(temporary, ignore_errors=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _merge(source: Path, target: Path) -> None:
    """Move every file of a tree into another, replacing files of the same name."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            os.replace(path, place)
