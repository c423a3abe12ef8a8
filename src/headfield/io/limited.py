"""A program of its own, which sets limits of memory and time and then becomes another program. Nothing of headfield.

    python -P limited.py PARENT BYTES SECONDS PROGRAM ARGUMENT...

Limits are inherited. On Linux the program also ends with the process that started it, should that be killed.
"""

from __future__ import annotations

import os
import sys


def main(parent: str, most: str, seconds: str, *words: str) -> None:
    """Set what the system can, and become the program."""
    import resource

    for kind, value in (
        (resource.RLIMIT_AS, int(most)),
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # not allowed, or not known to this system
            pass
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
        if os.getppid() != int(parent):  # it was killed already
            sys.exit(1)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(*sys.argv[1:])
