"""Kill commands at random moments, run them again, and compare what they leave with what an unbroken run leaves.

    python tests/kills/kill_run.py --kills 50

Every verb works in a process that is forked from this one, which has imported everything already, so that the moments
fall into the work and not into the start of Python. A kill is a SIGKILL of the process and of all that it started; then
the same words run again to the end. Printed: how often the process was hit at work, what was lost (a result that
differs from the unbroken run's, byte for byte where a file holds no times) and what was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "train"), str(TESTS / "curate")]

from headfield.cli import main  # noqa: E402
from headfield.io.store import Store  # noqa: E402
from headfield.models import DEFAULT  # noqa: E402

THERE = 2
"""Exit status of a verb that is asked to replace a file: the kill came after the work, and the file must be whole."""


@dataclass(frozen=True)
class Verb:
    """A command that is killed.

    Attributes:
        prepare: Makes what it reads, in the folder given.
        run: Runs it in that folder; the exit status.
        result: What it made there, by name.
    """

    prepare: Callable[[Path], None]
    run: Callable[[], int]
    result: Callable[[Path], dict[str, str]]


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file below a path, by its name; of a file alone that one."""
    files = [out] if out.is_file() else sorted(file for file in out.rglob("*") if file.is_file())
    return {str(file.relative_to(out.parent)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _head(folder: Path) -> None:
    import torch

    from headfield.edit.record import SavedHead
    from headfield.models.release import load
    from headfield.surface import bake as room
    from headfield.surface.head import Head
    from headfield.types import Codes

    model = load(DEFAULT)
    code = model.prior.draw(1, np.random.default_rng(3), 0.8)
    codes = Codes(torch.as_tensor(code).float())
    SavedHead(Head(model, codes), DEFAULT).save(folder / "head.npz")
    # baking writes no file: done once beforehand, so that the kills meet the reading and the writing
    baked = room.bake(model, codes, 800, resolution=64)
    room.bake = lambda *given, **named: baked


def _toy_store(folder: Path) -> None:
    from test_loop import POINTS, ROWS, SAMPLES, toy_head

    from headfield.io.store import Record
    from headfield.io.store_writer import StoreWriter

    writer = StoreWriter(folder / "store", {"toy": 1}, points=POINTS, samples=SAMPLES, families=["toy"])
    rng = np.random.default_rng(0)
    for index in range(6):
        record = Record(id=f"toy-{index}", family="toy", split="train", expressions=ROWS, folder=f"toy/{index}")
        writer.add(record, toy_head(0.8 + 0.08 * index, rng))


def _checkpoint(folder: Path) -> dict[str, str]:
    """The weights and codes of a run, and how far its log goes: bytes would hold seconds."""
    from headfield.train.checkpoint import read

    tensors, meta = read(folder / "run" / "last.safetensors")
    found = {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors.items()}
    return found | {"step": str(meta["step"])}


def _train() -> int:
    words = "train --store store --out run --preset tiny --steps 40 --heads 4 --points 64 --samples 32 --threads 1"
    return main([*words.split(), "--save-minutes", "0.003", "--device", "cpu"])


def _scans(folder: Path) -> None:
    from toy_stages import write_scan

    for number, size in enumerate((0.9, 1.0, 1.1)):
        write_scan(folder / "raw" / f"p{number}" / "neutral.npz", size)
        write_scan(folder / "raw" / f"p{number}" / "open.npz", size, 0.5)


def _curate() -> int:
    from toy_stages import STAGES

    from headfield.cli.output import resumable_folder
    from headfield.curate.gather import gather
    from headfield.curate.options import CurateOptions
    from headfield.curate.pipeline import curate

    options = CurateOptions(model=os.path.abspath("stages.log"), points=200, samples=96)
    with resumable_folder(Path("store"), began="curation/*/*"):  # as the command line does, which tidies up
        curate(gather(Path("raw")).subjects, Path("store"), options, workers=0, work=STAGES)
    return 0


def _stored(folder: Path) -> dict[str, str]:
    """The arrays of a store's identities, and which there are; the pipeline's own notes hold times."""
    store = Store(folder / "store")
    found = {}
    for record in store.records:
        for name, array in sorted(store.open(record).items()):
            found[f"{record.id}/{name}"] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return found


def _words(text: str) -> Callable[[], int]:
    return lambda: main(text.split())


VERBS = {
    "export": Verb(
        _head,
        _words("export head.npz --shapes --vertices 800 -o out.glb"),
        lambda folder: digests(folder / "out.glb"),
    ),
    "animate": Verb(
        _head,
        _words("animate head.npz --preset blink jawOpen=0.5 --vertices 800 -o take.glb"),
        lambda folder: digests(folder / "take.glb"),
    ),
    "sample": Verb(
        lambda folder: None,
        _words("sample -n 2 --resolution 32 --out drawn"),
        lambda folder: digests(folder / "drawn"),
    ),
    "train": Verb(_toy_store, _train, _checkpoint),
    "curate": Verb(_scans, _curate, _stored),
    "synth": Verb(
        lambda folder: None,
        _words("synth -o store --family anny --identities 3 --expressions 1 --points 512 --samples 256 --workers 0"),
        _stored,
    ),
}


def begin(verb: Verb, folder: Path) -> int:
    """Run a verb in a forked process of its own group, quietly; its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    status = 70
    try:
        os.chdir(folder)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        status = verb.run()
    finally:
        os._exit(status)


def end(child: int) -> int:
    """Wait for a process; its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(verb: Verb, folder: Path, seconds: float) -> bool:
    """Run a verb and kill it after so many seconds; whether it was still at work."""
    child = begin(verb, folder)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return end(child) == -signal.SIGKILL


def strange(folder: Path, expected: set[str]) -> set[str]:
    """What lies in a folder and does not in the unbroken run's; locks of stores and logs of toys are no leftovers."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - expected


def tried(name: str, kills: int, rng: np.random.Generator) -> tuple[int, list[str]]:
    """Kills of one verb: how many hit it at work, and what went wrong."""
    verb, wrong, hits = VERBS[name], [], 0
    with tempfile.TemporaryDirectory() as folder:
        ready, whole = Path(folder) / "ready", Path(folder) / "whole"
        ready.mkdir()
        verb.prepare(ready)
        shutil.copytree(ready, whole)
        begun = time.monotonic()
        assert end(begin(verb, whole)) == 0, f"{name} fails without being killed"
        took = time.monotonic() - begun
        expected, truth = {str(path.relative_to(whole)) for path in whole.rglob("*")}, verb.result(whole)
        for number in range(kills):
            work = Path(folder) / f"work{number}"
            shutil.copytree(ready, work)
            moment = float(rng.uniform(0.0, took))
            hits += killed(verb, work, moment)
            status = end(begin(verb, work))
            found = verb.result(work) if status in (0, THERE) else {}
            left = strange(work, expected)
            if found != truth or left:
                differ = sorted(key for key in truth.keys() | found.keys() if truth.get(key) != found.get(key))
                wrong.append(f"{name}, killed after {moment:.2f} s: status {status}, differ {differ[:4]}, left {left}")
            shutil.rmtree(work)
            if number % 10 == 9:
                print(f"{name}: {number + 1} kills, {len(wrong)} wrong", file=sys.stderr, flush=True)
    print(f"{name}: {kills} kills in runs of {took:.1f} s, {hits} of them at work, {len(wrong)} wrong", flush=True)
    return hits, wrong


def run(argv: list[str] | None = None) -> int:
    """Kill what was asked for; 1 if anything was lost or left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("verbs", nargs="*", default=list(VERBS), help=f"of {', '.join(VERBS)}; all")
    asked = parser.parse_args(argv)
    wrong = []
    for name in asked.verbs:
        wrong += tried(name, asked.kills, np.random.default_rng([asked.seed, len(name)]))[1]
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(run())
