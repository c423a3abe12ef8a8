"""The field and the demo scan's fit with torch's pool started outside and inside the block that flushes denormals.

    python benchmarks/flushed_pool.py [--scan examples/data/scan.ply] [--threads 2] [--repeats 2] [--no-fit]

Threads of the pool take over the setting of the thread that starts them (`headfield.nn.machine.denormals_flushed`). On
CPUs that do denormal numbers in microcode (Intel's), a pool that keeps them makes two threads slower than one. Every
run is a new process; the sides take turns. Both must find the same values, code and vertices. `kept` is the share of
denormals that torch's threads keep.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from clock import timed

SIDES = ("outside", "inside")


def one_side(scan: Path, side: str, resolution: int, fits: bool) -> dict:
    """The field at 16,384 points and a fit, once in this process: seconds, and a hash of what came out."""
    import torch

    from headfield.fit.run import fit
    from headfield.models.release import load
    from headfield.nn import machine

    if side == "outside":
        machine._start_pool = lambda threads: None
    tiny = torch.full((2**20,), 1e-39)
    tiny * 0.5  # torch at work before any model, as in a user's program
    model = load("imhead-open-small")
    points = 0.5 * (torch.rand(1, 16_384, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    condition = model.condition(model.mean_codes())
    with torch.no_grad():
        taken = [timed(lambda: model.value_and_gradient(points, condition)) for _ in range(10)]
        value, gradient = model.value_and_gradient(points, condition)
    found = {"field": min(taken).wall}
    made = value.numpy().tobytes() + gradient.numpy().tobytes()
    if fits:
        result = fit(scan, model)
        mesh = result.mesh(resolution)
        found |= {stage: result.seconds[stage] for stage in ("align", "solve", "mesh")}
        made += result.identity.astype(np.float32).tobytes() + mesh.vertices.astype(np.float32).tobytes()
    found |= {"made": hashlib.sha256(made).hexdigest()[:12]}
    return found | {"kept": float(((tiny * 0.5).view(torch.int32) > 0).float().mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, default=Path("examples/data/scan.ply"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--no-fit", action="store_true", help="only the field, which takes seconds")
    parser.add_argument("--side", choices=SIDES, help="one run of one side in this process; prints JSON")
    options = parser.parse_args()
    if not options.scan.exists():
        sys.exit(f"{options.scan}: no such scan; run from the repository's root or give --scan.")
    if options.side:
        print(json.dumps(one_side(options.scan, options.side, options.resolution, not options.no_fit)))
        return
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(options.threads))
    runs = {side: [] for side in SIDES}
    for _ in range(options.repeats):
        for side in SIDES:
            words = ["--side", side, "--scan", str(options.scan), "--resolution", str(options.resolution)]
            words += ["--no-fit"] if options.no_fit else []
            done = subprocess.run([sys.executable, __file__, *words], env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"the fit failed: {done.stderr.strip()}")
            runs[side].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"pool started {side}: {done.stdout.strip()}", flush=True)
    made = {run["made"] for side in SIDES for run in runs[side]}
    print(f"{options.threads} threads, best of {options.repeats} of each:")
    for stage in ("field", *(() if options.no_fit else ("align", "solve", "mesh"))):
        outside, inside = (min(run[stage] for run in runs[side]) for side in SIDES)
        print(f"  {stage}: outside {outside:.3f} s, inside {inside:.3f} s, {outside / inside:.2f} x")
    print("the same on both sides, byte for byte" if len(made) == 1 else f"DIFFERENT: {', '.join(sorted(made))}")


if __name__ == "__main__":
    main()
