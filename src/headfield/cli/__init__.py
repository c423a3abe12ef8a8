"""The command line: one file per verb, options from dataclasses, rooms imported only when a verb runs.

Exit status: 0 done, 1 some scans of a batch failed, 2 an error that the user can mend (one message, no traceback),
130 interrupted (SIGINT), 143 terminated (SIGTERM). A reader of the output that goes away, as with ``| head``,
ends nothing: what is printed from then on is dropped, the work is done, and the status is that of the work.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def main(args: list[str] | None = None) -> int:
    """Run one verb.

    Args:
        args: Words after ``headfield``; None takes the process's own.
    Returns:
        The exit status.
    """
    from headfield.cli.pipes import outlive_readers
    from headfield.cli.stopping import Terminated, raise_when_terminated
    from headfield.errors import HeadfieldError

    outlive_readers()
    raise_when_terminated()
    try:
        words, limit = _read_limit(sys.argv[1:] if args is None else args)
        command = parse(words)
        # before torch is loaded: on a machine that others use too, threads that spin while they wait cost tenfold
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        with _limited(limit):
            return command.run() or 0
    except HeadfieldError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt as stop:
        # an interrupt that came by way of exec() of a string (dataclasses are made so) is remembered by Python, which
        # would die of it after all at its exit; the next exec() forgets it
        exec("")
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        return _say("stopped; nothing half-written was left behind.", 128 + number)
    except MemoryError:
        return _say("out of memory: try a lower --resolution, or a smaller scan.", 2)


def parse(args: list[str] | None = None):
    """The verb's dataclass, filled in from words; exits with help or a usage message as argument parsers do."""
    from headfield.cli.verbs import command_of

    return command_of(_beside_their_options(sys.argv[1:] if args is None else args))


def _read_limit(words: list[str]) -> tuple[list[str], str | None]:
    """The words without ``--read-limit`` and its value, and that value; it is the same for all verbs."""
    left, limit, option = [], None, "--read-limit"
    for number, word in enumerate(words):
        if word == "--":
            return [*left, *words[number:]], limit
        if limit == "" and words[number - 1] == option:
            limit = word
        elif word == option:
            limit = ""
        elif word.startswith(f"{option}="):
            limit = word.partition("=")[2]
        else:
            left.append(word)
    return left, limit


@contextmanager
def _limited(limit: str | None) -> Iterator[None]:
    """The limit within the block, for processes that it starts, too.

    Raises:
        ConfigError: It is no number of MB.
    """
    if limit is None:
        yield
        return
    from headfield.io.guard import VARIABLE, megabytes

    megabytes(limit)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = limit
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def _beside_their_options(words: list[str]) -> list[str]:
    """Words of which one such as "-inf 0 0 inf 1 1" is tied to the option before it: it is a value, since no option
    holds white space, and the parser would take it for an option."""
    tied: list[str] = []
    for word in words:
        value = word.startswith("-") and not word.startswith("--") and len(word.split()) > 1
        if value and tied and tied[-1].startswith("--") and "=" not in tied[-1]:
            tied[-1] += f"={word}"
        else:
            tied.append(word)
    return tied


def _say(message: str, status: int) -> int:
    print(f"headfield: {' '.join(message.split())}", file=sys.stderr)  # always one line
    return status
