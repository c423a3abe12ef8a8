"""Standard output and error that outlive whoever reads them, as ``headfield ... | head`` ends before we do."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys


class _Outliving(io.FileIO):
    """A pipe of which what is written is dropped once nobody reads it."""

    def write(self, data) -> int | None:
        """Write, or pretend to."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let standard output and error drop what is written to them once their reader is gone.

    Work that is under way goes on, and Python's last flush at its exit complains of nothing. Streams that are no pipe,
    and those that a program put in place of the process's own, are left as they are.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__") or not _is_pipe(stream):
            continue
        stream.flush()
        raw = _Outliving(stream.fileno(), "wb", closefd=False)
        outliving = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors,
            line_buffering=stream.line_buffering, write_through=stream.write_through,
        )  # fmt: skip
        setattr(sys, name, outliving)


def _is_pipe(stream) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
