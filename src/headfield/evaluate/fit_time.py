"""What a fit costs (imHead's 40 s against NPHM's 138 s for posed scans): the same scans and start, each model's time.

Seconds are of the CPU, of all threads together, since the wall clock of a shared machine tells about the others on it.
The solver is run with 2, 4, 6, ... steps a phase, each run is timed and its error measured: a curve of error against
time. Where models end at different errors their times cannot be compared as they are; the curve tells when each was as
good as the other one ends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import t as student

from headfield.errors import present
from headfield.evaluate.baselines import points_near
from headfield.evaluate.measured import by_column, scan_of, told_of
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.records import CaseResult
from headfield.evaluate.specificity import bald_component
from headfield.evaluate.truth import frozen_person, millimetres, truth_of
from headfield.fit.normal_equations import Cloud, codes_of
from headfield.fit.placement import similarity_of_size
from headfield.fit.problem import SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.models.protocol import HeadModel
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target, sample_surface
from headfield.synth.identities import IdentityKey, frozen
from headfield.types import Mesh, Similarity

STEPS = (2, 4, 6, 9, 18)
"""Most steps of each of the solver's phases; the last is its default."""

CHECKED = 10_000
"""Points of the true surface whose distance to the fitted head is the error."""

CURVE = "curve"
"""Where a case's facts keep the curve: rows of (CPU seconds of the solver, error in mm)."""


def start_of(truth: Similarity, rng: np.random.Generator) -> Similarity:
    """A placement (scan -> model frame) off by 3 degrees, about 5 mm and 3 % of size, the same for every model."""
    axis = rng.standard_normal(3)
    turn = Rotation.from_rotvec(np.radians(3) * axis / np.linalg.norm(axis)).as_matrix()
    return Similarity(turn, 0.02 * rng.standard_normal(3) / np.sqrt(3), 1.03).after(truth)


def run_timed(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Time and measure the fits of one scan.

    Args:
        protocol: ``fit-time`` or one like it: `expression` says whether the fit looks for one.
        family: Of the person.
        index: In the split.
        settings: Of the run; their resolution is that of the meshes, whose making is timed, too.
    """
    model = load(settings.model)
    person = frozen_person(family, settings.split, index, protocol.hair, settings.truth)
    key = IdentityKey(family, settings.split, index, frozen()["seed"])
    expression = None if protocol.pose == "neutral" else person.expressions(20)[1 + index % 20]
    observed = scan_of(protocol, key, person, expression, protocol.scan[0])
    solid = person.neutral if expression is None else person.solid(expression)
    truth = truth_of(person, solid)
    rng = np.random.default_rng([index, 11])
    shown = present(truth.visible, "what is seen of a true head") & ~truth.cap_or_none()
    places = sample_surface(truth.mesh, CHECKED, rng, shown).points
    points = points_near(observed.scan, observed.truth, model.box)
    view = _view(model, points, start_of(observed.truth, rng), observed.unit)
    _warmed(settings.model, protocol.expression)
    curve, mesh, cost, wall = [], None, 0.0, 0.0
    for steps in STEPS:
        seconds, wall, solved = timed_solve(model, view, protocol.expression, steps)
        mesh, cost = _timed_mesh(model, solved, settings.resolution)
        back = observed.truth.after(solved.views[0].similarity.inverse())
        curve.append((seconds, _error(mesh.transformed(back), places) * millimetres(person)))
    seconds, error = curve[-1]
    found = {"solve": seconds, "mesh": cost, "total": seconds + cost, "error": error, "wall": wall}
    facts = {"fit_seconds": seconds, CURVE: curve, "threads": torch.get_num_threads(), "person": told_of(person)}
    return Outcome(by_column(protocol, {"ours": found}), None, facts)


def _view(model: HeadModel, points: np.ndarray, start: Similarity, unit: str) -> View:
    size = np.log(similarity_of_size(unit, float(model.prior.size_mean)))
    return View(Cloud.of(points), start, float(size), float(model.prior.size_sd))


def timed_solve(model: HeadModel, view: View, expression: str, steps: int) -> tuple[float, float, Solution]:
    """CPU seconds, seconds on the wall, and what the solver finds with so many steps a phase, of bald heads."""
    options = SolverOptions(iterations=steps, expression=expression)
    prior = model.prior.component(bald_component(model) or 0)
    spent, begin = time.process_time(), time.perf_counter()
    solved = solve(model, [view], prior, options)
    return time.process_time() - spent, time.perf_counter() - begin, solved


def _timed_mesh(model: HeadModel, solved: Solution, resolution: int) -> tuple[Mesh, float]:
    spent = time.process_time()
    mesh = mesh_of(model, codes_of(model, solved.identity, solved.views[0].expression), resolution)
    return mesh, time.process_time() - spent


@cache
def _warmed(name: str, expression: str) -> None:
    """First calls choose kernels and sizes of chunks; that is not the first scan's to pay."""
    model = load(name)
    mean = model.prior.component(bald_component(model) or 0).mean
    mesh = mesh_of(model, codes_of(model, mean, None), 64)
    view = View(Cloud.of(mesh.vertices[::20]), Similarity(), 0.0, 0.1)
    timed_solve(model, view, expression, 2)


def _error(mesh: Mesh, places: np.ndarray) -> float:
    """Mean distance of places (N, 3) of the true surface to a head in the true head's frame, model units."""
    return float(Target(mesh).closest(places)[0].mean())


def ratio(ours: Sequence[float], first: Sequence[float], confidence: float = 0.95) -> dict[str, float]:
    """How many times a row of numbers is another of the same heads: the geometric mean, and Student's interval.

    Args:
        ours: (n,) positive, NaN where a head has none.
        first: (n,) of the first model.
        confidence: Of the interval; with fewer than two heads it is infinite.
    Returns:
        ``n``, ``ratio``, ``low``, ``high``.
    """
    gap = np.log(np.asarray(ours, dtype=float)) - np.log(np.asarray(first, dtype=float))
    gap = gap[np.isfinite(gap)]
    count = len(gap)
    if count < 2:
        return {"n": count, "ratio": float(np.exp(gap.mean())) if count else np.nan, "low": 0.0, "high": np.inf}
    reach = float(student.ppf(0.5 + confidence / 2, count - 1) * gap.std(ddof=1) / np.sqrt(count))
    low, middle, high = np.exp([gap.mean() - reach, gap.mean(), gap.mean() + reach])
    return {"n": count, "ratio": float(middle), "low": float(low), "high": float(high)}


def reached_at(curve: Sequence[Sequence[float]], error: float) -> float:
    """The time (s) at which a curve of (seconds, mm) first is as good as an error; NaN where it never is."""
    return min((seconds for seconds, found in curve if found <= error), default=float("nan"))


def equal_error(ours: Sequence[CaseResult], others: Sequence[CaseResult]) -> dict[str, float]:
    """When a model is as good as another one ends, over heads of both.

    Returns:
        ``heads`` that both fitted, ``reached`` by how many, and over these the median ``seconds`` of CPU.
    """
    theirs = {result.name: result for result in others if not result.error}
    times = [
        reached_at(result.facts[CURVE], theirs[result.name].facts[CURVE][-1][1])
        for result in ours
        if not result.error and result.name in theirs
    ]
    here = [seconds for seconds in times if np.isfinite(seconds)]
    return {"heads": len(times), "reached": len(here), "seconds": float(np.median(here)) if here else float("nan")}


def told(results: dict[str, list[CaseResult]]) -> tuple[list[str], list[dict]]:
    """Ratios to the first model and times at equal error, as lines of Markdown and as rows of plain values."""
    first, *others = results
    lines, rows = [], []
    for name in others:
        for column in ("solve", "mesh", "total"):
            pair = _both(results[name], results[first], column)
            row = {"model": name, "column": column} | ratio(*pair)
            rows.append(row)
            lines.append(
                f"| {name}: CPU seconds, {column} | {row['ratio']:.2f} x those of {first} "
                f"({row['low']:.2f} to {row['high']:.2f}, n = {row['n']}) |"
            )
        for ours, theirs in ((name, first), (first, name)):
            row = {"model": ours, "as_good_as": theirs} | equal_error(results[ours], results[theirs])
            rows.append(row)
            when = f"after {row['seconds']:.2f} s of CPU (median)" if row["reached"] else "never"
            lines.append(
                f"| {ours}: as good as {theirs} ends | {when}, {row['reached']} of {row['heads']} heads get there |"
            )
    threads = sorted({result.facts["threads"] for each in results.values() for result in each if not result.error})
    lines = ["| what | found |", "|---|---|", *lines, "", f"Threads: {', '.join(map(str, threads)) or 'unknown'}."]
    return lines, rows


def _both(ours: Sequence[CaseResult], first: Sequence[CaseResult], column: str) -> tuple[list[float], list[float]]:
    """A column's numbers of the heads that both have, head by head."""
    values = [
        {result.name: result.values.get(column, {}).get("ours", np.nan) for result in each} for each in (ours, first)
    ]
    names = [name for name in values[0] if name in values[1]]
    return [values[0][name] for name in names], [values[1][name] for name in names]
