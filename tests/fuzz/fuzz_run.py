"""Damage small files of every format and read them: nothing but headfield's own errors, 1 GB and 20 s at most.

    python tests/fuzz/fuzz_run.py --files 2000 --seed 0

Each file is read in a process of its own that is made from this one by fork, so that what one file does to memory or
time is its own, and a crash is seen as one. Exit status 1 when a file hurt; it is kept in --keep, with a number by
which `--only` reads it again.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fuzz_bombs import bombs, heavy_bombs
from fuzz_mutations import mutate
from fuzz_seeds import MAY_FAIL, Seed, all_seeds

MEMORY, SECONDS = 1000, 20
"""Most memory, MB, beyond what the process had before it read (all libraries loaded), and most time."""

READ, REFUSED, HURT = "read", "refused", "HURT"


@dataclass(frozen=True)
class Outcome:
    """How reading one file ended.

    Attributes:
        name: Which file.
        kind: Format.
        end: `READ`, `REFUSED` (by an error of ours) or `HURT`.
        text: The error.
        seconds: Processor time.
        megabytes: Memory at its highest, beyond what there was.
    """

    name: str
    kind: str
    end: str
    text: str
    seconds: float
    megabytes: float


def read_apart(name: str, seed: Seed, files: dict) -> Outcome:
    """Read a file in a forked process.

    Args:
        name: For the outcome.
        seed: What reads it.
        files: Contents by name.
    """
    with tempfile.TemporaryDirectory(prefix="headfield-fuzz-") as folder:
        for file, content in files.items():
            if isinstance(content, Path):
                os.symlink(content, Path(folder) / file)
            else:
                (Path(folder) / file).write_bytes(content)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            _child(seed, Path(folder), theirs)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            said = pipe.read()
        _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    if not said:
        how = f"signal {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else f"exit {status}"
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM):
            how = f"more than {SECONDS} s"
        return Outcome(name, seed.kind, HURT, f"no answer: {how}", spent, 0.0)
    end, text, megabytes = json.loads(said)
    if megabytes > MEMORY and end != HURT:
        end, text = HURT, f"{megabytes:.0f} MB ({text})"
    return Outcome(name, seed.kind, end, text, spent, megabytes)


def _child(seed: Seed, folder: Path, pipe: int) -> None:
    from headfield.errors import HeadfieldError

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    # waiting takes no processor time: what hangs on a pipe or a device is ended by the clock, late on a busy machine
    signal.alarm(6 * SECONDS)
    limit = 8 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    _give_back()
    begin = _memory("VmRSS")
    _forget_peak()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            seed.read(folder)
            end, text = READ, ""
        except HeadfieldError as error:
            end, text = REFUSED, f"{type(error).__name__}: {error}"
            if len(text) > 2000 or "\n" in text or not str(error).strip():
                end, text = HURT, f"a message of {len(text)} characters: {text[:300]!r}"
        except BaseException as error:
            end, text = HURT, f"{type(error).__name__}: {str(error)[:300]}"
    if end != HURT and said:
        end, text = HURT, f"a warning: {said[0].message}"
    peak = max(0.0, _memory("VmHWM") - begin)
    os.write(pipe, json.dumps([end, text.replace(str(folder), ""), peak]).encode())
    os._exit(0)


def _give_back() -> None:
    """Return memory that was freed to the system: reading that uses it again would look as if it took none."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another library than GNU's
        pass


def _memory(key: str) -> float:
    """MB of this process now (VmRSS) or at its highest (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1000
    return 0.0


def _forget_peak() -> None:
    """Count VmHWM from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not allowed everywhere: then the peak of the start counts too
        pass


def cases(count: int, seed: int, seeds: list[Seed]):
    """Name, seed and files of `count` damaged files, the formats in turn."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        chosen = seeds[number % len(seeds)]
        content = mutate(chosen.files[chosen.target], chosen.target, rng)
        yield f"{seed}/{number}", chosen, chosen.files | {chosen.target: content}


def run(files: int, seed: int, only: str | None = None, heavy: bool = True) -> list[Outcome]:
    """Read the seeds, the bombs and the damaged files.

    Args:
        files: How many damaged ones, besides the seeds and the bombs.
        seed: Of the damage.
        only: Name of the one case to run.
        heavy: Also the bombs that take long.
    """
    seeds = all_seeds()
    by_kind, outcomes = {one.kind: one for one in seeds}, []
    for one in seeds:
        if only is None or only == one.kind:
            outcome = read_apart(one.kind, one, one.files)
            if outcome.end != READ and not (one.kind in MAY_FAIL and outcome.end == REFUSED):
                outcome = Outcome(one.kind, one.kind, HURT, f"not read although whole: {outcome.text}", 0, 0)
            outcomes.append(outcome)
    for name, one, held in cases(files, seed, seeds):
        if only is None or only == name:
            outcomes.append(_told(read_apart(name, one, held), len(outcomes)))
    # last: a process that held such files forks slowly
    for name, (kind, changed) in (bombs() | (heavy_bombs() if heavy else {})).items():
        if kind in by_kind and (only is None or only == name):
            outcomes.append(_told(read_apart(name, by_kind[kind], by_kind[kind].files | changed), len(outcomes)))
    return outcomes


def _told(outcome: Outcome, number: int) -> Outcome:
    """The outcome, said at once if it hurt; a line now and then tells how far it is."""
    if outcome.end == HURT:
        print(f"{outcome.name} ({outcome.kind}): {outcome.text}", flush=True)
    if number % 200 == 199:
        print(f"{number + 1} files", file=sys.stderr, flush=True)
    return outcome


def main() -> int:
    """Print a table; 1 when a file hurt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--light", action="store_true", help="leave out the bombs that take long")
    parser.add_argument("--only", help="name of one case, as printed")
    parser.add_argument("--all", action="store_true", help="print every refusal")
    parser.add_argument("--json", type=Path, help="also write the outcomes there")
    given = parser.parse_args()
    begin = time.perf_counter()
    outcomes = run(given.files, given.seed, given.only, heavy=not given.light)
    width = max(len(outcome.kind) for outcome in outcomes)
    print(f"{'format':{width}}   read refused hurt  most s  most MB")
    for kind in dict.fromkeys(outcome.kind for outcome in outcomes):
        of = [outcome for outcome in outcomes if outcome.kind == kind]
        ends = [sum(outcome.end == end for outcome in of) for end in (READ, REFUSED, HURT)]
        worst = max(outcome.seconds for outcome in of), max(outcome.megabytes for outcome in of)
        print(f"{kind:{width}} {ends[0]:6} {ends[1]:7} {ends[2]:4} {worst[0]:7.2f} {worst[1]:8.0f}")
    slow = max(outcomes, key=lambda outcome: outcome.seconds)
    big = max(outcomes, key=lambda outcome: outcome.megabytes)
    hurt = [outcome for outcome in outcomes if outcome.end == HURT]
    print(f"slowest: {slow.name}, {slow.seconds:.2f} s; largest: {big.name}, {big.megabytes:.0f} MB")
    print(f"{len(outcomes)} files, {len(hurt)} hurt, {time.perf_counter() - begin:.0f} s")
    for outcome in outcomes if given.all else hurt:
        print(f"{outcome.end} {outcome.name} ({outcome.kind}): {outcome.text}")
    if given.json:
        given.json.write_text(json.dumps([outcome.__dict__ for outcome in outcomes], indent=1))
    return 1 if hurt else 0


if __name__ == "__main__":
    sys.exit(main())
