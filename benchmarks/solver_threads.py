"""What a second thread is worth to the solver, and which of its work it shares.

    python benchmarks/solver_threads.py [--scan examples/data/scan.ply] [--threads 1 2] [--repeats 3]

Every run is a new process; thread counts take turns. The solver is what `headfield.fit` does from its stage "solve" on.
`calling thread` is the CPU time of the thread that calls torch: it does all that is not shared and its part of what is,
so it is what a solve takes on cores that are free, however busy the machine is. `all threads` shows what sharing costs.
The shared work is told from one more solve under a profiler, by the functions of torch that do it.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

CLOCKS = {"wall": time.perf_counter, "calling thread": time.thread_time, "all threads": time.process_time}
KINDS = {"products": ("torch.mm>", "torch.addmm>", ".linear>"), "activations": (".softplus>", ".sigmoid>")}
"""What shared work is called, by the ends of the names of torch's functions."""


def solved(scan: Path, profiler: cProfile.Profile | None = None) -> dict[str, float]:
    """Seconds of the solver in one fit, by each clock."""
    from headfield.fit.run import fit
    from headfield.models.release import load

    marks = {}

    def follow(stage: str, share: float) -> None:
        now = {name: clock() for name, clock in CLOCKS.items()}
        marks.setdefault(stage, now)
        if profiler is not None and stage == "solve":
            profiler.enable()

    fit(scan, load("imhead-open-small"), progress=follow)
    if profiler is not None:
        profiler.disable()
    return {name: clock() - marks["solve"][name] for name, clock in CLOCKS.items()}


def one_run(scan: Path, threads: int) -> dict[str, float]:
    """The solver's seconds with so many threads, and how many calls its shared work is, with their seconds."""
    import torch

    torch.set_num_threads(threads)
    found = solved(scan)
    profiler = cProfile.Profile(time.thread_time)
    solved(scan, profiler)
    for kind, ends in KINDS.items():
        rows = [row for (_, _, name), row in pstats.Stats(profiler).stats.items() if name.endswith(ends)]
        found |= {f"{kind}, calls": sum(row[1] for row in rows), kind: sum(row[2] for row in rows)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, default=Path("examples/data/scan.ply"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", type=int, metavar="THREADS", help="one run in this process; prints JSON")
    options = parser.parse_args()
    if not options.scan.exists():
        sys.exit(f"{options.scan}: no such scan; run from the repository's root or give --scan.")
    if options.once:
        print(json.dumps(one_run(options.scan, options.once)))
        return
    runs: dict[int, list[dict]] = {threads: [] for threads in options.threads}
    for _ in range(options.repeats):
        for threads, taken in runs.items():
            environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
            words = [sys.executable, __file__, "--scan", str(options.scan), "--once", str(threads)]
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"the fit failed: {done.stderr.strip()}")
            taken.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{options.scan}, the solver, medians of {options.repeats}:")
    for threads, taken in runs.items():
        said = {name: float(np.median([one[name] for one in taken])) for name in taken[0]}
        clocks = ", ".join(f"{name} {said[name]:.2f} s" for name in CLOCKS)
        kinds = ", ".join(f"{said[f'{kind}, calls']:,.0f} {kind} {said[kind]:.2f} s" for kind in KINDS)
        print(f"  {threads} threads: {clocks}; on the calling thread {kinds}")


if __name__ == "__main__":
    main()
