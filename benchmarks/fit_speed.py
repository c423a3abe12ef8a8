"""Speed of the solver against Adam, on the same evaluator, scans, starts and threads in one run.

    python benchmarks/fit_speed.py --model imhead-open-small --heads 6

Held-out (dev) heads are scanned at 5,000 points, neutral. Everyone starts from the same placement, off by 3 degrees,
5 mm and 3 % of size. Adam follows the papers' schedule (700 steps, 0.01 halved on the way) on all points. The error is
the mean distance of 5,000 other points of the true surface to the fitted head, in true millimetres. Printed: seconds
and error of the solver and of 700 steps; how long Adam takes to reach the solver's error, and its own flat error; and
Adam stopped at the first check (every 10 steps) where it equals the solver's error.
"""

from __future__ import annotations

import argparse
import platform
import time
from functools import partial

import numpy as np
import torch
from clock import Taken, timed
from scipy.spatial.transform import Rotation

from headfield.fit.adam import AdamSchedule, solve_adam
from headfield.fit.normal_equations import Cloud, codes_of
from headfield.fit.placement import similarity_of_size
from headfield.fit.problem import SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.models.prior import Gaussian
from headfield.models.release import load
from headfield.parametric import load_family
from headfield.synth.identities import identity_keys
from headfield.synth.person import make_person
from headfield.synth.scanner import HeadTruth, ScanOptions, scan_head
from headfield.types import Similarity

NEUTRAL = SolverOptions(expression="neutral")


def case(key, model, seed: int) -> tuple[View, np.ndarray]:
    """A view of a scanned head with a start that is off, and other points of the same surface (scan frame)."""
    person = make_person(key, load_family(key.family), hair_share=0.0)
    rng = np.random.default_rng([seed, 11])
    options = ScanOptions(points=10_000, noise_mm=0.12, shoulders=False, holes=0, strays=0.0, unit="mm")
    scan, truth = scan_head(HeadTruth.of_person(person), "full", rng, options)
    axis = rng.standard_normal(3)
    turn = Rotation.from_rotvec(np.radians(3) * axis / np.linalg.norm(axis)).as_matrix()
    start = Similarity(turn, 0.02 * rng.standard_normal(3) / np.sqrt(3), 1.03).after(truth.model_from_scan)
    expected = np.log(similarity_of_size("mm", float(model.prior.size_mean)))
    view = View(Cloud.of(scan.points[:5000]), start, float(expected), float(model.prior.size_sd))
    return view, scan.points[5000:]


def error_mm(model, solution: Solution, points: np.ndarray) -> float:
    """Mean unsigned distance of scan points (millimetres) to the fitted head."""
    placement = solution.views[0].similarity
    with torch.no_grad():
        placed = torch.from_numpy(placement.apply(points)).float()
        value = model.signed_distance(placed[None], codes_of(model, solution.identity, None))[0]
    return float(value.abs().mean()) / placement.scale


def adam_curve(model, view: View, prior: Gaussian, points: np.ndarray, every: int = 10) -> list[tuple[float, float]]:
    """(seconds, error) of one 700-step run at every tenth step; the checks themselves are not timed."""
    curve: list[tuple[float, float]] = []
    spent = [0.0]

    def check(step: int, seconds: float, solution) -> bool:
        begin = time.perf_counter()
        if step % every == 0:
            curve.append((seconds - spent[0], error_mm(model, solution(), points)))
        spent[0] += time.perf_counter() - begin
        return False

    solve_adam(model, [view], prior, NEUTRAL, schedule=AdamSchedule(batch=None), callback=check)
    return curve


def _timed_solve(model, view: View, prior: Gaussian, solutions: list[Solution]) -> Taken:
    return timed(lambda: solutions.append(solve(model, [view], prior, NEUTRAL)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--family", default="ict")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    model = load(options.model)
    prior = model.prior.component(model.prior.classes[0])
    rows = []
    for number, key in enumerate(identity_keys(options.family, "dev", options.heads)):
        view, others = case(key, model, number)
        solutions: list[Solution] = []
        solve(model, [view], prior, NEUTRAL)  # first calls compile kernels
        run = partial(_timed_solve, model, view, prior, solutions)
        taken = min((run() for _ in range(options.repeats)), key=lambda t: t.wall)
        ours = error_mm(model, solutions[-1], others)
        curve = adam_curve(model, view, prior, others)
        total, final = curve[-1]
        reached = next((seconds for seconds, error in curve if error <= ours), float("inf"))
        close = next((seconds for seconds, error in curve if error <= 1.05 * final), total)
        rows.append((taken, ours, solutions[-1].iterations, total, final, reached, close))
        print(
            f"{key.id}: solver {taken} ({solutions[-1].iterations} steps), {ours:.3f} mm | Adam 700: {total:.1f} s, "
            f"{final:.3f} mm, {total / taken.wall:.1f} x | Adam to the solver's error: "
            + (f"{reached:.1f} s, {reached / taken.wall:.1f} x" if np.isfinite(reached) else "never in 700 steps")
            + f" | Adam to within 5 % of its own end: {close:.1f} s, {close / taken.wall:.1f} x",
            flush=True,
        )
    print(
        f"\n{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    seconds = np.array([row[0].wall for row in rows])
    cpu = Taken(float(seconds.mean()), float(np.mean([row[0].cpu for row in rows])))
    print(f"solver: {cpu}; mean error {np.mean([row[1] for row in rows]):.3f} mm, {len(rows)} heads")
    print(
        f"Adam, 700 steps: {np.mean([r[3] / r[0].wall for r in rows]):.1f} x, error {np.mean([r[4] for r in rows]):.3f}"
    )
    finite = [row for row in rows if np.isfinite(row[5])]
    if finite:
        ratio = np.mean([row[5] / row[0].wall for row in finite])
        print(f"Adam stopped at equal error: {ratio:.1f} x ({len(finite)} of {len(rows)} heads reach it)")
    print(f"Adam stopped within 5 % of its own end: {np.mean([r[6] / r[0].wall for r in rows]):.1f} x")


if __name__ == "__main__":
    main()
