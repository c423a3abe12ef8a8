"""A whole `headfield fit` on the demo scan from a cold start: wall seconds and peak memory.

    python benchmarks/cold_start.py [--scan examples/data/scan.ply] [--model imhead-open-small] [--repeats 3]

A new process each time, so that imports, loading the weights, writing files and the preview all count. Peak memory is
the largest resident set of the process and its children (getrusage).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, default=Path("examples/data/scan.ply"))
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not options.scan.exists():
        sys.exit(f"{options.scan}: no such scan; run from the repository's root or give --scan.")
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    taken = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            begin = time.perf_counter()
            words = [sys.executable, "-m", "headfield.cli", "fit", str(options.scan), "--model", options.model]
            done = subprocess.run([*words, "--out", str(out)], env=environment, capture_output=True, text=True)
            taken.append(time.perf_counter() - begin)
            if done.returncode:
                sys.exit(f"headfield fit failed: {done.stderr.strip()}")
            stages = json.loads((out / "fit.json").read_text())["seconds"]
        print(f"{taken[-1]:.2f} s: " + ", ".join(f"{name} {value:.2f}" for name, value in stages.items()))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024**2 if sys.platform != "darwin" else 1024**3)
    print(
        f"{options.scan}, {options.threads} threads: best {min(taken):.2f} s, worst {max(taken):.2f} s of "
        f"{options.repeats}; peak memory {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
