"""Reading on clean heads of the training families: what helps, and why a miss is a miss.

    python benchmarks/reading.py --split dev --limit 20

The cases are those of the protocol captures-clean, each placed by its truth, so that only reading is asked. The
ablation fits them four times: with the joint prior of expressions or one that takes channels for independent, and with
the face's own patches, noise and gate and a code that is held back, or without. Printed for each: the share of active
groups found, false weights, left against right, seconds.

For each case in which a group is missed the objective where the fit ended is compared with that at the true weights,
identity and placement solved anew (nats; a positive difference says that the truth explains the scan worse, by the
model's own errors or by the priors, and no search can find it).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from headfield.evaluate.captures import make_capture
from headfield.evaluate.reading import read_weights
from headfield.expression_prior import ExpressionPrior
from headfield.expressions import plain_space
from headfield.fit.clean import thin, without_strays
from headfield.fit.normal_equations import Cloud
from headfield.fit.placing import surface_points
from headfield.fit.problem import Problem, SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.models.release import load
from headfield.synth.captures import people


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--limit", type=int, default=20, help="cases, families in turn")
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--no-ablation", action="store_true", help="only the settings in use")
    asked = parser.parse_args()
    model = load(asked.model)
    space = model.expression_space
    apart = replace(space, prior=independent(space))
    both, plain = (
        SolverOptions(hair=False),
        replace(SolverOptions(hair=False).evenly(), reading=1.0, expression_keep=0.0),
    )
    variants = {
        "neither": (apart, plain),
        "prior only": (space, plain),
        "data only": (apart, both),
        "both": (space, both),
    }
    cases = [make_capture("clean", asked.split, *who) for who in clean_people(asked.split)[: asked.limit]]
    for name in ["both"] if asked.no_ablation else list(variants):
        model.expression_space, options = variants[name]
        run(name, model, cases, options)
    model.expression_space = space
    shares(model, cases, both)


def clean_people(split: str) -> list[tuple[str, int]]:
    """(family, index), families in turn."""
    counts = people("clean", split)
    rows = max(counts.values())
    return [(family, index) for index in range(rows) for family, count in counts.items() if index < count]


def independent(space) -> ExpressionPrior:
    """A prior that knows nothing of what faces do, as strict."""
    return plain_space(len(space)).prior


def view_of_case(case, model) -> View:
    """The case's points, placed by its truth."""
    taken = case.capture
    points = surface_points(taken.scan)
    points = points[without_strays(points)]
    placed = taken.model_from_scan.apply(points)
    points = points[((placed > model.box[0]) & (placed < model.box[1])).all(1)]
    cloud = Cloud.of(points[thin(points, 5000)])
    return View(cloud, taken.model_from_scan, float(np.log(taken.model_from_scan.scale)), float(model.prior.size_sd))


def prior_of(model):
    """Clean heads are bald."""
    return model.prior.component(model.prior.names.index("bald"))


def read(case, found: Solution) -> tuple[dict[str, float], np.ndarray]:
    """Numbers of a reading, and its weights (E,)."""
    expression = found.views[0].expression
    weights = np.zeros(len(case.capture.sitter.expression)) if expression is None else expression
    return read_weights(case.capture.pose, case.capture.sitter.expression, case.actions, weights, True), weights


def run(name: str, model, cases, options: SolverOptions) -> None:
    """Fit all and print a line."""
    values, begin = [], time.process_time()
    for case in cases:
        values.append(read(case, solve(model, [view_of_case(case, model)], prior_of(model), options))[0])
    seconds = (time.process_time() - begin) / len(cases)

    def of(key: str) -> np.ndarray:
        column = np.array([value.get(key, np.nan) for value in values])
        return column[~np.isnan(column)]

    found = np.concatenate([of("acted"), of("single"), of("one_sided")])
    print(
        f"{name:10s} groups found {found.mean():.0%} (n = {len(found)}); neutral faces' false sum, p90 "
        f"{quantile(of('false_neutral')):.2f} (n = {len(of('false_neutral'))}); others' {np.median(of('false')):.2f} "
        f"median, {quantile(of('false')):.2f} p90; left against right p90 {quantile(of('symmetric')):.2f}; "
        f"{seconds:.1f} CPU s a fit",
        flush=True,
    )


def quantile(values: np.ndarray) -> float:
    """The 90th percentile."""
    return float(np.quantile(values, 0.9)) if len(values) else np.nan


def shares(model, cases, options: SolverOptions) -> None:
    """Why misses are misses."""
    print("misses: nats at the true weights less those where the fit ended (data, identity, expression)")
    totals = []
    for case in cases:
        view, truth = view_of_case(case, model), np.asarray(case.capture.sitter.expression, dtype=float)
        ended = solve(model, [view], prior_of(model), options)
        values, weights = read(case, ended)
        shown = [value for value in (values["acted"], values["single"], values["one_sided"]) if not np.isnan(value)]
        if not shown or min(shown) == 1.0:
            continue
        held = replace(view, free=np.zeros(len(truth), dtype=bool))
        at_truth = solve(model, [held], prior_of(model), options, expressions=[truth])
        parts = objective(model, view, options, at_truth) - objective(model, view, options, ended)
        totals.append(parts)
        print(f"  {case.capture.scan.name:28s} {case.capture.pose.name:16s} data {parts[0]:+7.0f} identity "
              f"{parts[1]:+7.0f} expression {parts[2]:+7.0f} = {parts.sum():+7.0f}", flush=True)  # fmt: skip
    if totals:
        total = np.array(totals)
        dearer, against = (total.sum(1) > 0).sum(), (total[:, 0] > 0).sum()
        print(f"  {len(total)} misses; the truth costs more in {dearer}, the data alone speak against it in {against}")
        print(f"  medians: data, identity, expression {np.median(total, axis=0).round(0).tolist()}")


def objective(model, view: View, options: SolverOptions, solution: Solution) -> np.ndarray:
    """Nats of data, identity and expression (3,) at a solution, at one noise for all."""
    problem = Problem(model, [view], prior_of(model), options)
    states = list(solution.views)
    lines = problem.linearised(solution.identity, states)
    held = problem.assemble(
        solution.identity, states, lines, options.gate.end, products=False, hold=False, sigma=options.face_sigma
    )
    identity = options.prior * prior_of(model).cost(solution.identity)
    expression = states[0].expression
    acted = 0.0 if expression is None else options.expression_prior * problem.space.prior.cost(expression)
    return np.array([held["cost"] - identity - acted, identity, acted])


if __name__ == "__main__":
    main()
