"""What a cold `headfield fit` spends beside the fit: words, imports, reading the scan and the preview.

    python benchmarks/overhead.py [--scan examples/data/scan.ply] [--against OTHER/CHECKOUT] [--repeats 5]

Every run is a new process; with --against the two checkouts take turns, and both draw the preview of one head, fitted
once beforehand. `import torch` is told beside the four and is none of them: it is timed first. `headfield --help` is
a process of its own, from start to end. Seconds are medians, on the wall and of the CPU over all threads.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from clock import ZERO, Taken, timed

STAGES = ("parse words", "imports", "read the scan", "preview")
ROOMS = (
    "headfield.fit.run", "headfield.fit.options", "headfield.fit.pictures.align", "headfield.models.release",
    "headfield.surface.mesh_head", "headfield.cli.preview", "headfield.cli.report", "headfield.io.mesh",
)  # fmt: skip
"""What `headfield fit` imports once its words are known."""


def prepare(scan: Path, folder: Path) -> None:
    """Fit the scan and keep what its preview is made from."""
    from headfield.fit.run import fit
    from headfield.models.release import load

    found = fit(scan, load("imhead-open-small"))
    head, one = found.mesh(256, model_frame=True), found.scans[0]
    np.savez(
        folder / "head.npz", vertices=head.vertices, triangles=head.triangles, normals=head.normals,
        seen=head.attributes["seen"], points=one.placement.apply(one.points),
        errors=np.where(one.on_head, one.residual_mm, np.nan), turn=one.placement.rotation,
        shift=one.placement.translation, scale=one.placement.scale,
    )  # fmt: skip


def once(scan: Path, folder: Path) -> dict[str, Taken]:
    """The stages in this process, each once."""
    taken = {"import torch": timed(lambda: importlib.import_module("torch"))}

    def parse() -> None:
        importlib.import_module("headfield.cli").parse(["fit", str(scan), "--out", str(folder / "out")])

    taken["parse words"] = timed(parse)
    taken["imports"] = timed(lambda: [importlib.import_module(room) for room in ROOMS])
    from dataclasses import replace

    from headfield.cli.preview import fit_preview
    from headfield.io.scan import read_scan
    from headfield.surface.sheet import write_png
    from headfield.types import Mesh, Similarity

    read = []
    taken["read the scan"] = timed(lambda: read.append(read_scan(scan)))
    kept = np.load(folder / "head.npz")
    head = Mesh(kept["vertices"], kept["triangles"], kept["normals"], attributes={"seen": kept["seen"]})
    placement = Similarity(kept["turn"], kept["shift"], float(kept["scale"]))
    normals = None if read[0].normals is None else placement.rotate(read[0].normals)
    placed = replace(read[0], points=placement.apply(read[0].points), normals=normals)

    def preview() -> None:
        picture = fit_preview(placed, head, kept["errors"], error_points=kept["points"], title="overhead")
        write_png(picture, folder / "preview.png")

    taken["preview"] = timed(preview)
    return taken


def helped(environment: dict[str, str]) -> Taken:
    """`headfield --help` as a process."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, "-m", "headfield.cli", "--help"]
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def run(words: list[str], environment: dict[str, str]) -> str:
    """What this file prints as a new process."""
    done = subprocess.run([sys.executable, __file__, *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"a run failed: {done.stderr.strip()}")
    return done.stdout


def median(runs: list[Taken]) -> Taken:
    """Of each of the two clocks by itself."""
    return Taken(*(float(np.median([getattr(one, clock) for one in runs])) for clock in ("wall", "cpu")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, default=Path("examples/data/scan.ply"))
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS; the preview takes two of its own")
    parser.add_argument("--prepare", type=Path, help="one fit in this process, kept in this folder")
    parser.add_argument("--once", type=Path, help="the stages in this process, with what this folder keeps; JSON")
    options = parser.parse_args()
    if not options.scan.exists():
        sys.exit(f"{options.scan}: no such scan; run from the repository's root or give --scan.")
    if options.prepare:
        return prepare(options.scan, options.prepare)
    if options.once:
        print(json.dumps({name: (one.wall, one.cpu) for name, one in once(options.scan, options.once).items()}))
        return None
    roots = {"here": Path(__file__).resolve().parents[1]}
    if options.against:
        roots["there"] = options.against.resolve()
    if missing := [root for root in roots.values() if not (root / "src" / "headfield").is_dir()]:
        sys.exit(f"{missing[0]}: no checkout of headfield; it should hold src/headfield.")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))
    sides = {side: os.environ | threads | {"PYTHONPATH": str(root / "src")} for side, root in roots.items()}
    runs = {side: {name: [] for name in ("import torch", *STAGES, "headfield --help")} for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        run(["--prepare", folder, "--scan", str(options.scan)], sides["here"])
        for number in range(options.repeats + 1):
            for side, environment in sides.items():
                said = json.loads(run(["--once", folder, "--scan", str(options.scan)], environment).splitlines()[-1])
                help_taken = helped(environment)
                if number:  # the first run compiles modules and fills the page cache
                    for name, (wall, cpu) in said.items():
                        runs[side][name].append(Taken(wall, cpu))
                    runs[side]["headfield --help"].append(help_taken)
    report(runs, options)


def report(runs: dict[str, dict[str, list[Taken]]], options: argparse.Namespace) -> None:
    """Print the medians, and the ratios where there are two sides."""
    found = {side: {name: median(taken) for name, taken in stages.items()} for side, stages in runs.items()}
    for stages in found.values():
        stages["the four"] = sum((stages[name] for name in STAGES), ZERO)
    print(f"{options.scan}, {options.threads} threads, medians of {options.repeats}:")
    for name in ("import torch", *STAGES, "the four", "headfield --help"):
        here = found["here"][name]
        line = f"  {name}: {here}"
        if "there" in found:
            there = found["there"][name]
            line += f"; there {there}: {there.over(here)}"
        print(line)


if __name__ == "__main__":
    main()
