"""The one way in for files that a stranger made.

Whatever is read goes through here: only regular files are opened (never a pipe, a device or a socket), a file's own
statement of how much it holds is checked before a byte of it is decoded, files that it names must lie in its folder,
and whatever a decoder raises becomes one of our errors. :mod:`headfield.io.arrays` reads NumPy's formats this way.

The budget is the memory that reading a file may take: :data:`LIMIT`, or :data:`SHARE` times the file's size if that
is more, so that a file of a kilobyte cannot fill the machine, and a large honest one can be read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import numpy as np

from headfield.errors import ConfigError, HeadfieldError, ScanError

LIMIT = 512 * 10**6
"""Bytes of memory that reading any one file may take."""

SHARE = 16
"""Times a file's own size that reading it may take."""

LARGEST = 4
"""A file itself may have this many times the limit."""

VARIABLE = "HEADFIELD_READ_LIMIT"
"""Environment variable that raises the limit, in MB; the command line's ``--read-limit`` sets it."""

_limit: ContextVar[int | None] = ContextVar("headfield_read_limit", default=None)

_packed: ContextVar[int | None] = ContextVar("headfield_packed_in", default=None)

DEEPEST = 200
"""Levels of lists and objects in a JSON file."""


def limit() -> int:
    """The limit in force, bytes: of :func:`read_limit`, else of the environment, else :data:`LIMIT`.

    Raises:
        ConfigError: The environment variable is no number of MB.
    """
    if (own := _limit.get()) is not None:
        return own
    said = os.environ.get(VARIABLE)
    return LIMIT if not said else megabytes(said)


def megabytes(text: str) -> int:
    """Bytes of a limit in MB.

    Raises:
        ConfigError: It is no number from 1 to 10 million.
    """
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 1 <= number <= 1e7:
        raise ConfigError(
            f"--read-limit {text[:40]}: expected a number of MB, such as 4000 ({LIMIT // 10**6} unless given)."
        )
    return int(number * 1e6)


@contextlib.contextmanager
def read_limit(size: int) -> Iterator[None]:
    """Within the block, reading a file may take `size` bytes of memory."""
    token = _limit.set(int(size))
    try:
        yield
    finally:
        _limit.reset(token)


@contextlib.contextmanager
def packed_in(size: int) -> Iterator[None]:
    """Within the block, files count as no larger than an archive of `size` bytes from which they were unpacked."""
    token = _packed.set(int(size) if (outer := _packed.get()) is None else min(outer, int(size)))
    try:
        yield
    finally:
        _packed.reset(token)


@contextlib.contextmanager
def reading(path: str | Path, what: str, error: type[HeadfieldError] = ScanError, advice: str = "") -> Iterator[None]:
    """Everything that is raised within the block becomes `error`, in one sentence that names the file.

    Args:
        path: The file.
        what: What it is read as: ``a depth map``.
        error: Kind of error.
        advice: What to do, a sentence; there is a general one.
    Raises:
        HeadfieldError: `error`; errors of ours go through as they are.
    """
    advice = advice or "The file is damaged, cut short, or not of this format; export it again."
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decoders: what matters of a file is said by its error, or its notes
            yield
    except HeadfieldError:
        raise
    except MemoryError as cause:
        raise error(
            f"{path}: takes more memory than there is, or is damaged. Subsample it, or export it again."
        ) from cause
    except RecursionError as cause:
        raise error(f"{path}: cannot be read as {what}: its parts are nested too deeply. {advice}") from cause
    except OSError as cause:
        raise error(f"{path}: cannot be read as {what} ({cause.strerror or shown(cause)}). {advice}") from cause
    except Exception as cause:  # decoders raise nearly anything on damaged files
        raise error(f"{path}: cannot be read as {what}: {shown(cause)}. {advice}") from cause


def shown(value: object, most: int = 160) -> str:
    """A few words of a text, or of an error, for a message of one line."""
    text = " ".join(str(value)[: 8 * most].split())
    text = text[:most].rstrip(".! ") + ("..." if len(text) > most else "")
    return text or type(value).__name__


def quoted(value: object) -> str:
    """What a file says in one place, in quotation marks, for a message: a few words of it."""
    return shown(repr(value), 60)


def opened(path: str | Path, error: type[HeadfieldError] = ScanError) -> BinaryIO:
    """A regular file, open for reading.

    Raises:
        HeadfieldError: `error`: it is missing, no regular file, or larger than :data:`LARGEST` times the limit.
    """
    try:
        held = os.stat(path)
        if not stat.S_ISREG(held.st_mode):
            raise error(f"{path}: {_kind(held.st_mode)}, expected a regular file. Save its content to a file first.")
        # should it have become a pipe since: do not wait for its other end
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as cause:
        raise error(f"{path}: cannot be opened ({cause.strerror}).") from cause
    except ValueError as cause:  # a zero byte in its name
        raise error(f"{str(path)!r}: cannot be opened ({cause}).") from cause
    file = os.fdopen(handle, "rb")
    size = os.fstat(handle).st_size
    if not stat.S_ISREG(os.fstat(handle).st_mode) or size > LARGEST * limit():
        file.close()
        raise error(
            f"{path}: {size / 1e6:,.0f} MB; files of up to {LARGEST * limit() / 1e6:,.0f} MB are read. Subsample it, "
            f"or raise the limit: --read-limit {size / LARGEST / 1e6 + 1:.0f}."
        )
    return file


def content(path: str | Path, error: type[HeadfieldError] = ScanError) -> bytes:
    """All bytes of a regular file.

    Raises:
        HeadfieldError: `error`, as :func:`opened`.
    """
    with opened(path, error) as file:
        try:
            return file.read()
        except OSError as cause:
            raise error(f"{path}: cannot be read ({cause.strerror}).") from cause


def check_need(path: str | Path, need: float, size: int, what: str, error: type[HeadfieldError] = ScanError) -> None:
    """Refuse what would take more memory than it may, before it is decoded.

    Args:
        path: For the message.
        need: Bytes that reading takes.
        size: Bytes of the file.
        what: What is there, for the message: ``a picture of 30,000 x 30,000 pixels``.
        error: Kind of error.
    Raises:
        HeadfieldError: `error`.
    """
    size = size if (packed := _packed.get()) is None else min(size, packed)
    most = max(limit(), SHARE * size)
    if need > most:
        raise error(
            f"{path}: {what}, which takes {need / 1e6:,.0f} MB to read; a file of {_size(size)} may take "
            f"{most / 1e6:,.0f} MB. If it is right, raise the limit: --read-limit {min(need / 1e6 + 1, 1e15):.0f}."
        )


def neighbour(path: str | Path, name: str, error: type[HeadfieldError] = ScanError) -> Path:
    """A file that another one names, if it lies in the folder of that one or below it.

    Args:
        path: The file that names it.
        name: As it is written there, percent signs and all.
        error: Kind of error.
    Raises:
        HeadfieldError: `error`: it leads elsewhere, also by way of a link, or names no file.
    """
    path, plain = Path(path), unquote(str(name)).replace("\\", "/").strip()
    label = shown(repr(str(name)), 80)
    if not plain or plain.startswith("/") or "\0" in plain or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", plain):
        raise error(f"{path}: names the file {label}; files are read from its own folder only. Put it there.")
    folder = Path(os.path.realpath(path.parent))
    place = Path(os.path.realpath(folder / plain))
    if folder not in place.parents:
        raise error(f"{path}: names the file {label}, which leads out of its folder. Put the file beside it.")
    return place


def text(path: str | Path, error: type[HeadfieldError] = ScanError) -> str:
    """The text of a file.

    Raises:
        HeadfieldError: As :func:`opened` and :func:`decoded`.
    """
    return decoded(content(path, error), path, error)


def decoded(raw: bytes, path: str | Path, error: type[HeadfieldError] = ScanError) -> str:
    """A text of UTF-8, or UTF-16 or UTF-32 as Windows' editors write them; a byte-order mark is taken off.

    Raises:
        HeadfieldError: `error`: it is none of these.
    """
    kind = encoding_of(raw)
    try:
        return raw.decode(kind)
    except UnicodeDecodeError as cause:
        raise error(
            f"{path}: byte {cause.start:,} ({raw[cause.start]:#04x}) is not {kind.removesuffix('-sig').upper()}. "
            "Save it as UTF-8."
        ) from cause


def encoding_of(raw: bytes) -> str:
    """Encoding of a text: by its mark, or by the zero bytes that UTF-16 has in plain English."""
    marks = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    found = next((kind for mark, kind in marks.items() if raw.startswith(mark)), None)
    if found is not None:
        return found
    begin = raw[:80]
    if len(begin) >= 4:
        for kind, empty in (("utf-16-le", begin[1::2]), ("utf-16-be", begin[::2])):
            if empty.count(0) >= 0.75 * len(empty) and begin.count(0) <= 0.6 * len(begin):
                return kind
    return "utf-8-sig"


def json_of(path: str | Path, error: type[HeadfieldError] = ScanError, raw: bytes | None = None):
    """What a JSON file holds.

    Args:
        path: The file.
        error: Kind of error.
        raw: Its bytes, if they have been read.
    Raises:
        HeadfieldError: `error`: it cannot be opened, is no JSON, nested too deeply, or of more parts than it may have.
    """
    if raw is None:
        raw = content(path, error)
    written = decoded(raw, path, error)
    # of a list, an object, a member and a text at least, by what CPython takes
    need = 72 * written.count("[") + 240 * written.count("{") + 60 * written.count(",") + 40 * written.count('"')
    check_need(path, need + 4 * len(raw), len(raw), "JSON of very many parts", error)
    try:
        found = json.loads(written)
    except ValueError as cause:
        raise error(f"{path} is not JSON ({shown(cause)}).") from cause
    except RecursionError as cause:
        raise error(f"{path} is not JSON of ours: its lists are nested too deeply.") from cause
    if not _shallow(found):
        raise error(f"{path} is not JSON of ours: its lists are nested more than {DEEPEST} levels deep.")
    return found


def check_cells(path: str | Path, written: str, delimiter: str, error: type[HeadfieldError] = ScanError) -> None:
    """Refuse a table of more cells than may be read, before it is cut into them.

    Raises:
        HeadfieldError: `error`.
    """
    cells = written.count(delimiter) + written.count("\n") + written.count("\r") + 1
    check_need(path, 90 * cells + 4 * len(written), len(written), f"a table of {cells:,} cells", error)


def _shallow(value) -> bool:
    """Whether lists and objects are nested at most `DEEPEST` levels deep."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [part for part in level if isinstance(part, (list, dict)) and part]
        if not inner:
            return True
        level = [one for part in inner for one in (part.values() if isinstance(part, dict) else part)]
    return False


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((name for test, name in kinds.items() if test(mode)), "a device")


def special(path: str | Path) -> str | None:
    """What stands at a place if that is neither a regular file nor a folder: a pipe, a socket, a device; else None."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _kind(mode)


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 10**5 else f"{size:,} bytes"
