"""Readers that are programs of their own: native libraries and Blender, run apart with limits of time and memory.

What such a program crashes on, hangs on or fills the machine with ends that program, and becomes an error that names
the file. It is given the file and a place in a temporary folder, and writes there what this process then reads guarded.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from headfield.errors import ScanError
from headfield.io import guard

SECONDS = 300
"""Longest time that a program may take."""

PROCESSOR = 120
"""Seconds of processor time that it may take."""

LIBRARIES = 3 * 10**9
"""Bytes of addresses that a library and its threads take before they read anything."""

_SAID = 100_000
"""Bytes at the end of what a program prints that are looked at."""

_UNSET = ("PXR_AR_DEFAULT_SEARCH_PATH", "PYTHONSTARTUP", "PYTHONINSPECT")


def run_script(script: str, path: Path, out: Path) -> None:
    """Run one of the scripts of this folder on a file; it writes `out`.

    Args:
        script: Name of the file.
        path: The scan.
        out: What the script writes.
    Raises:
        ScanError: It found the file wanting, crashed, or took more time or memory than it may.
    """
    place = Path(__file__).with_name(script)
    run([sys.executable, "-P", str(place), str(path.absolute()), str(out)], path, cwd=path.parent)
    if not out.is_file():
        raise ScanError(f"{path}: nothing could be read of it. Export it again.")


def run(words: Sequence[str], path: Path, *, cwd: Path, seconds: float = SECONDS, home: Path | None = None) -> str:
    """Run a program with limits; what it prints comes back.

    Args:
        words: The program and its arguments.
        path: The scan, for messages.
        cwd: Folder in which it runs.
        seconds: Longest time.
        home: A folder that it may take for the user's own.
    Raises:
        ScanError: It failed, crashed, or took too long; its last line is what the error says.
    """
    if os.name == "posix":
        most = LIBRARIES + max(guard.limit(), guard.SHARE * path.stat().st_size)
        first = [sys.executable, "-P", str(Path(__file__).with_name("limited.py")), str(os.getpid())]
        words = [*first, str(most), str(PROCESSOR), *words]
    environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    if home is not None:
        environment |= {"HOME": str(home), "TMPDIR": str(home), "XDG_CONFIG_HOME": str(home)}
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(
            [*words], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=os.name == "posix",
        )  # fmt: skip
        try:
            program.wait(timeout=seconds)
        except BaseException as cause:
            _end(program)
            if isinstance(cause, subprocess.TimeoutExpired):
                raise ScanError(
                    f"{path}: reading it took more than {seconds:.0f} s and was ended. Simplify it."
                ) from None
            raise
        said.seek(max(0, said.seek(0, 2) - _SAID))
        text = said.read().decode("utf-8", "replace").strip()
    if program.returncode == 0:
        return text
    last = next((line for line in reversed(text.splitlines()) if line.startswith("headfield: ")), "")
    if last:
        raise ScanError(f"{path}: {guard.shown(last.removeprefix('headfield: '), 400)}.")
    how = f"signal {-program.returncode}" if program.returncode < 0 else f"status {program.returncode}"
    raise ScanError(
        f"{path}: the program that reads it ended with {how}: the file is damaged, or too large. Export it again, as "
        "PLY, OBJ or GLB."
    )


def _end(program: subprocess.Popen) -> None:
    """End a program and whatever it started."""
    if os.name == "posix":
        try:
            os.killpg(program.pid, signal.SIGKILL)
        except OSError:
            pass
    program.kill()
    program.wait()
