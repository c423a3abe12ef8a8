"""What a run of a protocol leaves behind: a table row, every number as JSON, and pictures of the worst and of some."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from pathlib import Path

import numpy as np

from headfield.evaluate.observe import Observed
from headfield.evaluate.protocols import METHODS, Column, Protocol
from headfield.evaluate.records import case_path, write_json
from headfield.types import Mesh

WORST, TYPICAL = 5, 6
"""How many cases are pictured on each sheet."""

PICTURE_RESOLUTION = 160

ERROR_MM = 3.0
"""Dark end of the error maps."""


def summary_of(results, column: Column, method: str) -> dict[str, float]:
    """n, mean, median and p90 over heads of one number.

    A head that could not be fitted counts as infinitely wrong in median and p90, and is left out of the mean; `failed`
    says how many. Heads to which the number does not apply (no hair, say) are left out. Where more is better, p90 is
    what 90 % of the heads reach or exceed. For shares, `mean` is the share, failures counting as 0.
    """
    worst = 0.0 if column.share else (-np.inf if column.at_least else np.inf)
    failed = sum(1 for result in results if result.error)
    values = [worst if r.error else r.values.get(column.name, {}).get(method, np.nan) for r in results]
    values = np.array([value for value in values if not np.isnan(value)], dtype=float)
    if not len(values):
        return {"n": 0, "mean": np.nan, "median": np.nan, "p90": np.nan, "failed": failed}
    finite = values[np.isfinite(values)]
    # the order statistic on the bad side: interpolating between finite and infinite has no meaning
    rank = np.percentile(values, 10, method="lower") if column.at_least else np.percentile(values, 90, method="higher")
    with np.errstate(invalid="ignore"):
        middle = float(np.median(values))
    return {
        "n": len(values),
        "mean": float(finite.mean()) if len(finite) else float(worst),
        "median": middle,
        "p90": float(rank),
        "failed": failed,
    }


def reached(column: Column, summary: dict[str, float]) -> bool | None:
    """Whether the column's statistic reaches the goal; None when there is no goal or no number."""
    if column.reach is None or not summary["n"] or np.isnan(summary[column.statistic]):
        return None
    value = summary[column.statistic]
    return bool(value >= column.reach if column.at_least else value <= column.reach)


def table(protocol: Protocol, results) -> str:
    """The protocol's rows of the numbers table, in Markdown."""
    lines = [
        "| what | reach | n | " + " | ".join(f"{title}: mean / median / p90" for title in METHODS.values()) + " | |",
        "|---" * (4 + len(METHODS)) + "|",
    ]
    for column in protocol.columns:
        rows = {method: summary_of(results, column, method) for method in METHODS}
        ours = rows["ours"]
        goal = "" if column.reach is None else f"{'≥' if column.at_least else '≤'} {column.reach:g}"
        verdict = {True: "reached", False: "not reached", None: ""}[reached(column, ours)]
        if ours["failed"]:
            verdict += f" ({ours['failed']} failed)"
        cells = [_cell(column, rows[method]) for method in METHODS]
        lines.append(f"| {column.title} | {goal} | {ours['n']} | " + " | ".join(cells) + f" | {verdict} |")
    return "\n".join([f"**{protocol.name}**: {protocol.title}", "", *lines]) + "\n"


def _cell(column: Column, row: dict[str, float]) -> str:
    if not row["n"]:
        return "-"
    if column.share:
        return f"{row['mean']:.1%}"
    return f"{row['mean']:.3f} / {row['median']:.3f} / {row['p90']:.3f}"


def fingerprint(model: str) -> str:
    """The first 16 digits of the SHA-256 of a model's weights file."""
    from headfield.models.release import WEIGHTS, find

    return hashlib.sha256((find(model) / WEIGHTS).read_bytes()).hexdigest()[:16]


def machine() -> str:
    """This machine in words."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    import os

    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def write_report(protocol: Protocol, options, cases, results, out: Path, seconds: float) -> None:
    """Write ``table.md``, ``results.json`` and the pictures."""
    text = table(protocol, results)
    (out / "table.md").write_text(text, encoding="utf-8")
    facts = [result.facts for result in results if result.facts]
    content = {
        "protocol": protocol.name,
        "title": protocol.title,
        **json.loads((out / "settings.json").read_text()),
        "cases": len(results),
        "of": len(protocol.cases(options.split)),
        "failed": [result.name for result in results if result.error],
        "refused": [result.name for result in results if result.facts.get("refused")],
        "columns": {
            column.name: {
                "title": column.title,
                "reach": column.reach,
                "at_least": column.at_least,
                "statistic": column.statistic,
                **{method: summary_of(results, column, method) for method in METHODS},
            }
            for column in protocol.columns
        },
        "by_family": _by_family(protocol, cases, results),
        "by_group": _by_group(protocol, results),
        "median_fit_seconds": float(np.median([f["fit_seconds"] for f in facts])) if facts else None,
        "median_case_seconds": float(np.median([f["case_seconds"] for f in facts])) if facts else None,
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "run_seconds": seconds,
    }
    write_json(out / "results.json", _plain(content))
    order = _worst_first(protocol, results)
    _sheet(protocol, options, cases, results, order[:WORST], out / "worst.png", "the worst")
    typical = sorted(order[len(order) // 4 : len(order) // 4 + max(TYPICAL, len(order) // 2)][:: _step(len(order))])
    _sheet(protocol, options, cases, results, typical[:TYPICAL], out / "typical.png", "typical")


def _step(count: int) -> int:
    return max(1, count // 2 // TYPICAL)


def _plain(value):
    """JSON knows no infinity and no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value


def _by_family(protocol: Protocol, cases, results) -> dict:
    """Means of our numbers for each family."""
    found: dict = {}
    for name, _ in protocol.people:
        own = [result for case, result in zip(cases, results) if case[0] == name]
        if own:
            found[name] = {c.name: summary_of(own, c, "ours") for c in protocol.columns}
    return found


def _by_group(protocol: Protocol, results) -> dict:
    """Our first number by what is known about the people: age, gender, group, weight, hair."""
    column = next(c for c in protocol.columns if not c.share)
    groups: dict = {}
    for result in results:
        for what, value in result.facts.get("person", {}).items():
            if isinstance(value, str):
                groups.setdefault(what, {}).setdefault(value, []).append(result)
    return {
        what: {value: summary_of(own, column, "ours") for value, own in sorted(values.items())}
        for what, values in groups.items()
    }


def _worst_first(protocol: Protocol, results) -> list[int]:
    """Indices of the cases that were fitted, worst first by the first number that is no share."""
    column = next(c for c in protocol.columns if not c.share)
    values = [r.values.get(column.name, {}).get("ours", np.nan) for r in results]
    sign = 1.0 if column.at_least else -1.0
    known = [k for k, value in enumerate(values) if not results[k].error and not np.isnan(value)]
    return sorted(known, key=lambda k: sign * values[k])


def _sheet(protocol: Protocol, options, cases, results, chosen, path: Path, kind: str) -> None:
    """Rows of scan, truth, head and error map."""
    if not chosen:
        return
    from headfield.nn.machine import return_freed_memory
    from headfield.surface.sheet import contact_sheet, error_legend, write_png

    column = next(c for c in protocol.columns if not c.share)
    images, labels = [], []
    for k in chosen:
        value = results[k].values[column.name]["ours"]
        images += case_pictures(protocol, options, cases[k], path.parent)
        return_freed_memory()
        labels += [f"{results[k].name}: scan", "truth", "head", f"error; {column.title}: {value:.2f}"]
    legend = error_legend(4 * images[0].shape[1], ERROR_MM, "distance from the head to the true surface (mm)")
    title = f"{protocol.name}: {kind} {len(chosen)} of {len(results)}"
    write_png(contact_sheet(images, 4, labels, title, legend), path)


def case_pictures(protocol: Protocol, options, case: tuple[str, int], out: Path, size: int = 320) -> list[np.ndarray]:
    """Scan, truth, head and error map of a case that was run, seen alike."""
    from headfield.evaluate.metrics import Target
    from headfield.fit.result import Fit
    from headfield.models.release import load
    from headfield.surface.mesh_head import mesh_of
    from headfield.surface.sheet import error_colours
    from headfield.surface.snapshot import render, render_points, spacing

    model = load(options.model)
    found = Fit.load(case_path(out, case).with_suffix(".npz"), model)
    observed, shown, truth, mm = _true_head(protocol, options, case)
    target = Target(shown) if truth is None else Target(truth.mesh, truth.visible)
    head = mesh_of(model, found.codes(), PICTURE_RESOLUTION)
    head = head.transformed(observed.truth.after(found.placement.inverse()))
    colours = error_colours(target.closest(head.vertices)[0] * mm, ERROR_MM)
    points = observed.truth.apply(observed.scan.points)
    view = {"view": "three_quarter", "size": size, "frame_on": shown.vertices}
    near = np.abs(points - shown.vertices.mean(0)).max(1) < 1.2 * np.ptp(shown.vertices, axis=0).max()
    if observed.scan.triangles is None:
        scan = render_points(points[near], radius=1.7 * spacing(points), **view)
    else:
        scan = render(Mesh(points, observed.scan.triangles), occlusion_rays=4, **view)
    return [
        scan,
        render(shown, occlusion_rays=4, **view),
        render(head, occlusion_rays=4, **view),
        render(head, colours=colours, occlusion_rays=0, **view),
    ]


def _true_head(protocol: Protocol, options, case: tuple[str, int]):
    """Scan, mesh to show, truth to measure to (None: the mesh itself), millimetres per unit of the truth's frame."""
    if protocol.kind == "real":
        from headfield.evaluate.real import make_real

        real = make_real(*case)
        return real.observed, real.mesh, None, real.mm_per_scan_unit / real.observed.truth.scale
    if protocol.kind == "capture":
        from headfield.evaluate.captures import make_capture

        taken = make_capture(protocol.capture, options.split, *case, protocol.pose == "neutral").capture
        shown = taken.sitter.mesh()
        return Observed(taken.scan, taken.model_from_scan, taken.unit), shown, None, taken.sitter.mm_per_unit
    if protocol.kind == "outsiders":
        from headfield.evaluate.outsiders import make_outsider

        other = make_outsider(case[0], options.split, case[1])
        return other.observed, other.mesh, None, 10.0
    from headfield.evaluate.cases import make_case
    from headfield.evaluate.truth import millimetres, truth_of

    made = make_case(protocol, options.split, *case)
    truth = truth_of(made.person, made.solid)
    return made.observed, _whole(made.solid), truth, millimetres(made.person)


def _whole(solid) -> Mesh:
    """Skin and hair as they are, overlapping: for pictures."""
    if solid.hair is None:
        return Mesh(solid.vertices, solid.sheet.triangles)
    triangles = np.concatenate([solid.sheet.triangles, solid.hair.triangles + len(solid.vertices)])
    return Mesh(np.concatenate([solid.vertices, solid.hair.vertices]), triangles)
