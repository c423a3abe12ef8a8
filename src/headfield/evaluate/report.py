"""What a run of a protocol leaves behind: a table row, every number as JSON, and pictures of the worst and of some."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from pathlib import Path

import numpy as np

from headfield.evaluate.protocol import METHODS, Column, Protocol
from headfield.evaluate.records import write_json

WORST, TYPICAL = 5, 6
"""How many cases are pictured on each sheet."""

RIGHT = ("placed", "right")
"""Columns that say whether the head was found where it is."""


def summary_of(results, column: Column, method: str) -> dict[str, float]:
    """n, mean, median and p90 over heads of one number.

    A head that could not be fitted counts as infinitely wrong in median and p90, and is left out of the mean; `failed`
    says how many. Heads to which the number does not apply (no hair, say) are left out. Where more is better, p90 is
    what 90 % of the heads reach or exceed. For shares, `mean` is the share, failures counting as 0; shares that are
    to be small are of heads that were fitted.
    """
    worst = -np.inf if column.at_least else np.inf
    if column.share:
        worst = 0.0 if column.at_least else np.nan
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
    order = [k for k in worst_first(protocol, results) if not results[k].error]
    _sheet(protocol, options, cases, results, order[:WORST], out / "worst.png", "the worst")
    middle = sorted(order[len(order) // 4 : len(order) // 4 + max(TYPICAL, len(order) // 2)][:: _step(len(order))])
    _sheet(protocol, options, cases, results, middle[:TYPICAL], out / "typical.png", "typical")


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


def worst_first(protocol: Protocol, results) -> list[int]:
    """Indices of the cases, worst first: not fitted at all, fitted in the wrong place, then by the first number.

    The first number is the first that is no share; cases in which it is unknown come last.
    """
    column = next(c for c in protocol.columns if not c.share)
    sign = 1.0 if column.at_least else -1.0

    def rank(k: int) -> tuple:
        def value(name: str) -> float:
            return results[k].values.get(name, {}).get("ours", np.nan)

        astray = any(value(name) == 0.0 for name in RIGHT)
        number = value(column.name)
        return not results[k].error, not astray, np.isnan(number), sign * np.nan_to_num(number)

    return sorted(range(len(results)), key=rank)


def typical(protocol: Protocol, results) -> int | None:
    """Index of the median case by the first number, of those that were fitted where the head is; None without any."""
    order = [
        k
        for k in worst_first(protocol, results)
        if not results[k].error and all(results[k].values.get(name, {}).get("ours") != 0.0 for name in RIGHT)
    ]
    return order[len(order) // 2] if order else None


def _sheet(protocol: Protocol, options, cases, results, chosen, path: Path, kind: str) -> None:
    """Rows of scan, truth, head and error map."""
    if not chosen or not protocol.pictured:
        return
    from headfield.evaluate.pictures import ERROR_MM, case_pictures
    from headfield.nn.machine import return_freed_memory
    from headfield.surface.sheet import contact_sheet, error_legend, write_png

    column = next(c for c in protocol.columns if not c.share)
    images, labels = [], []
    for k in chosen:
        value = results[k].values.get(column.name, {}).get("ours", np.nan)
        images += case_pictures(protocol, options, cases[k], path.parent)
        return_freed_memory()
        labels += [f"{results[k].name}: scan", "truth", "head", f"error; {column.title}: {value:.2f}"]
    legend = error_legend(4 * images[0].shape[1], ERROR_MM, "distance from the head to the true surface (mm)")
    title = f"{protocol.name}: {kind} {len(chosen)} of {len(results)}"
    write_png(contact_sheet(images, 4, labels, title, legend), path)
