"""SIGTERM as an exception, so that a run that is stopped tidies up as it does after Ctrl-C."""

from __future__ import annotations

import signal


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM; whatever tidies up after Ctrl-C does so after it, too."""


def raise_when_terminated() -> None:
    """Let SIGTERM raise :class:`Terminated` in the main thread."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
    except ValueError:
        pass  # not the main thread: signals are the caller's business


def _terminate(number, frame):
    raise Terminated
