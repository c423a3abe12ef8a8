"""Several models on the same heads: paired differences with intervals, beside what the papers print.

Models are compared head by head: a difference between means says little where heads differ more than models do. The
interval is Student's over the heads' differences; it says how far the mean difference would move for other heads of the
same kind, not for another training of the same model.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from headfield.errors import ConfigError, WeightsError
from headfield.evaluate.cost import multiply_adds
from headfield.evaluate.fit_time import told
from headfield.evaluate.options import Options
from headfield.evaluate.papers import PRINTED
from headfield.evaluate.plots import PLOT, plot_comparison, try_plot
from headfield.evaluate.protocol import METHODS, Protocol
from headfield.evaluate.protocols import protocol_named
from headfield.evaluate.records import CaseResult, values_of, write_json
from headfield.evaluate.report import fingerprint, machine
from headfield.evaluate.run import evaluate
from headfield.models.architectures import ARCHITECTURES
from headfield.models.release import load

CONFIDENCE = 0.95

_HOW_TO_TRAIN = (
    "A model of your own is made by `headfield synth --truth v2 --drawing faces -o store` (640 people: about 1.3 hours "
    f"on a core) and `headfield train --model NAME --preset small --store store --out run --release FOLDER` with "
    f"{', '.join(ARCHITECTURES)}; --steps 15000 of the small sizes take one to two core-hours."
)

Progress = Callable[[str, int, int, str], None]
"""Called with (model, done, total, the case just done)."""


@dataclass(frozen=True)
class Difference:
    """How a model's number differs from the first model's, over the heads that both have.

    Attributes:
        n: Heads.
        mean: Of the differences, model less first.
        low, high: Interval of the mean.
    """

    n: int
    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired(ours: ArrayLike, first: ArrayLike, confidence: float = CONFIDENCE) -> Difference:
    """The mean difference of two rows of numbers (n,) of the same heads, NaN where a head has none.

    With fewer than two heads the interval is infinite.
    """
    gap = np.asarray(ours, dtype=float) - np.asarray(first, dtype=float)
    gap = gap[np.isfinite(gap)]
    count = len(gap)
    if not count:
        return Difference(0, np.nan, -np.inf, np.inf)
    mean = float(gap.mean())
    if count < 2:
        return Difference(count, mean, -np.inf, np.inf)
    reach = float(student.ppf(0.5 + confidence / 2, count - 1) * gap.std(ddof=1) / np.sqrt(count))
    return Difference(count, mean, mean - reach, mean + reach)


def compare_models(
    protocol: str | Protocol,
    models: Sequence[str],
    out: Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> dict[str, list[CaseResult]]:
    """Run a protocol with every model and write ``comparison.md``, ``.csv``, ``.tex``, ``.json`` and ``plot.svg``.

    Args:
        protocol: Name, see :func:`headfield.evaluate.protocols.protocol_named`.
        models: Names, folders or hub ids; the others are compared with the first. Each has a folder of its own in
            `out`, which is continued where it was interrupted.
        out: Folder.
        options: How; its `model` does not count.
        progress: Called after each case.
    Raises:
        ConfigError: Fewer than two models, or one of them twice.
        WeightsError: A model is not here; nothing was run.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    options = Options() if options is None else options
    names = [Path(model).name for model in models]
    if len(models) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"--models {' '.join(models)}: give at least two, of different names.")
    facts = [_facts(model) for model in models]  # a model that is missing is found out before the first case
    results = {}
    for model, name in zip(models, names):
        own = replace(options, model=str(model), baselines=options.baselines and model == models[0])

        def tell(done: int, total: int, case: str, name: str = name) -> None:
            if progress is not None:
                progress(name, done, total, case)

        results[name] = evaluate(protocol, out / name, own, tell)
    _write(protocol, options, dict(zip(names, facts)), results, out)
    return results


def _facts(model: str) -> dict:
    """Sizes of a model."""
    try:
        net = load(model)
    except WeightsError as error:
        raise WeightsError(f"{error} {_HOW_TO_TRAIN}") from error
    return {
        "weights": fingerprint(model),
        "architecture": getattr(net, "architecture", "?"),
        "identity": int(net.prior.means.shape[1]),
        "expression": len(net.expression_space),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "multiply_adds_a_point": multiply_adds(net),
    }


def rows_of(protocol: Protocol, results: dict[str, list[CaseResult]]) -> list[dict]:
    """A row for each number and model, and for each baseline, which the first model's cases hold.

    Returns:
        Rows with mean, median, p90 (the bad side), and the difference to the first model.
    """
    rows, first = [], next(iter(results))
    listed = [(name, own, "ours") for name, own in results.items()]
    listed += [(METHODS[method], results[first], method) for method in METHODS if method != "ours"]
    for column in protocol.columns:
        base = values_of(results[first], column)
        for name, own, method in listed:
            values = values_of(own, column, method)
            here = values[np.isfinite(values)]
            if not len(here):
                continue
            bad = np.percentile(here, 10 if column.at_least else 90)
            row = {"number": column.title, "column": column.name, "model": name, "n": len(here)}
            row |= {"mean": float(here.mean()), "median": float(np.median(here)), "p90": float(bad)}
            row["failed"] = sum(bool(result.error) for result in own)
            if name != first:
                gap = paired(values, base)
                row |= {"difference": gap.mean, "low": gap.low, "high": gap.high, "sure": gap.sure}
            rows.append(row)
    return rows


def markdown(protocol: Protocol, rows: list[dict], first: str) -> str:
    """The table for people; the papers' own numbers stand below it, since their data are others."""
    lines = [f"**{protocol.name}**: {protocol.title}", ""]
    lines += [f"| what | model | n | mean / median / p90 | less {first}, paired, 95 % |", "|---|---|---|---|---|"]
    for row in rows:
        numbers = " / ".join(_number(row[key]) for key in ("mean", "median", "p90"))
        gap = _gap(row) if "difference" in row else ""
        failed = f" ({row['failed']} failed)" if row["failed"] else ""
        lines.append(f"| {row['number']} | {row['model']} | {row['n']}{failed} | {numbers} | {gap} |")
    lines += ["", "An interval in bold leaves out zero. p90 is the bad side: what nine heads of ten do better than."]
    if protocol.name in PRINTED:
        lines += ["", "What the papers print, **on other data**:", "", "| what | model | | |", "|---|---|---|---|"]
        titles = {column.name: column.title for column in protocol.columns}
        for one in PRINTED[protocol.name]:
            for name, value in one.values.items():
                lines.append(f"| {titles[name]} | {one.model} | {_number(value)} | {one.where} |")
    return "\n".join(lines) + "\n"


def _gap(row: dict) -> str:
    text = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    return f"**{text}**" if row["sure"] else text


def _number(value: float) -> str:
    return f"{value:.3f}"


def as_csv(rows: list[dict]) -> str:
    """The same rows, comma-separated."""
    columns = ["column", "model", "n", "failed", "mean", "median", "p90", "difference", "low", "high"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_latex(protocol: Protocol, rows: list[dict]) -> str:
    """The means as a LaTeX table: a row a model, a column a number; the best of each in bold."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = [column for column in protocol.columns if any(row["column"] == column.name for row in rows)]
    found = {(row["model"], row["column"]): row["mean"] for row in rows}
    arrows = {True: r"$\uparrow$", False: r"$\downarrow$"}
    head = " & ".join(["model", *(f"{column.title} {arrows[column.at_least]}" for column in columns)])
    lines = [
        r"\begin{tabular}{l" + "r" * len(columns) + "}",
        r"\toprule",
        head.replace("%", r"\%") + r" \\",
        r"\midrule",
    ]
    for model in models:
        cells = [model.replace("_", r"\_")]
        for column in columns:
            values = [found.get((other, column.name), np.nan) for other in models]
            best = np.nanmax(values) if column.at_least else np.nanmin(values)
            value = found.get((model, column.name), np.nan)
            cells.append("--" if np.isnan(value) else rf"\textbf{{{value:.3f}}}" if value == best else f"{value:.3f}")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _write(protocol: Protocol, options: Options, facts: dict[str, dict], results, out: Path) -> None:
    rows, first = rows_of(protocol, results), next(iter(results))
    sizes = ["| model | architecture | identity | expression | parameters | multiply-adds a point |", "|---" * 6 + "|"]
    sizes += [
        f"| {name} | {one['architecture']} | {one['identity']:,} | {one['expression']} | {one['parameters']:,} "
        f"| {one['multiply_adds_a_point']:,} |"
        for name, one in facts.items()
    ]
    text, times = [markdown(protocol, rows, first), "\n".join(sizes) + "\n"], []
    if protocol.kind == "timed":
        lines, times = told(results)
        text.insert(1, "\n".join([*lines, f"Machine: {machine()}."]) + "\n")
    missing = try_plot(lambda: plot_comparison(protocol, results, out / PLOT))
    text.append(f"{missing or f'![{protocol.name}]({PLOT})'}\n")
    (out / "comparison.md").write_text("\n".join(text), "utf-8")
    (out / "comparison.csv").write_text(as_csv(rows), "utf-8")
    (out / "comparison.tex").write_text(as_latex(protocol, rows), "utf-8")
    content = {"protocol": protocol.name, "split": options.split, "truth": options.truth, "machine": machine()}
    content |= {"models": facts, "rows": _json(rows)} | ({"times": _json(times)} if times else {})
    write_json(out / "comparison.json", content)


def _json(rows: list[dict]) -> list[dict]:
    """JSON knows no infinity."""
    finite = lambda value: value if not isinstance(value, float) or np.isfinite(value) else None  # noqa: E731
    return [{key: finite(value) for key, value in row.items()} for row in rows]
