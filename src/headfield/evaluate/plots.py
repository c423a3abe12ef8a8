"""Plots of comparisons: a curve of every test with an axis, boxes of the others; matplotlib, of the extra ``eval``.

A box ends at the quartiles and its whiskers at the tenth and the ninetieth percentile of the heads, the line in it is
the median. Diamonds and curves are means, and what stands about them is Student's 95 % interval of the mean over heads.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from scipy.stats import t as student

from headfield.errors import MissingExtra, need
from headfield.evaluate.fit_time import CURVE
from headfield.evaluate.papers import AXES
from headfield.evaluate.protocol import METHODS, Column, Protocol
from headfield.evaluate.records import CaseResult, values_of

PLOT = "plot.svg"
"""Name of the plot beside a comparison."""

Results = dict[str, list[CaseResult]]
"""Cases by the model's name."""

Panel = Callable[[Any], None]
"""Draws into matplotlib's axes."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Told apart by the colour-blind, too (Okabe and Ito)."""

_BOXES = "boxes: quartiles and median; whiskers: 10 to 90 %; diamonds: mean, its 95 % interval"
_CURVES = "means over heads and their 95 % intervals"

_MARKERS, _GREYS = "osD^vP", {"mean": "#999999", "pca": "#444444", "local_pca": "#6e6e6e"}
_ACROSS, _SIZE = 3, (4.4, 2.9)
_STYLE = {"svg.hashsalt": "headfield", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def try_plot(draw: Callable[[], None]) -> str:
    """Draw, or say what is missing: a table that took hours is not lost for want of a plot.

    Returns:
        Empty, or one line that says how to get the plot.
    """
    try:
        draw()
    except MissingExtra as error:
        return f"No plot: {error} The same command then draws it, and runs nothing again."
    return ""


def plot_comparison(protocol: Protocol, results: Results, path: Path) -> None:
    """Draw one test of several models: its own curve, if it has one, and a panel of boxes for each number.

    Args:
        protocol: The test.
        results: Of each model; those of the first hold the baselines.
        path: Where to; the suffix says what kind of picture.
    Raises:
        MissingExtra: matplotlib is not installed.
    """
    panels = [_time_panel(results)] if protocol.kind == "timed" else []
    panels += [_way_panel(results)] if protocol.name == "interpolation" else []
    panels += [
        _box_panel(column, results) for column in protocol.columns if not column.share and _rows(column, results)
    ]
    counts = sorted({len(own) for own in results.values()})
    title = f"{protocol.name}: {protocol.title} (n = {' to '.join(map(str, counts))})"
    _save(panels, f"{title}\n{_BOXES}", path)


def plot_sweep(name: str, tests: Sequence[tuple[Protocol, Results]], path: Path) -> None:
    """Draw tests that are one curve: a panel for each number, a line for each model and baseline.

    Args:
        name: Of the sweep, see :data:`headfield.evaluate.papers.SWEEPS`.
        tests: Each with the results of all models.
        path: Where to; the suffix says what kind of picture.
    Raises:
        MissingExtra: matplotlib is not installed.
    """
    columns = [column for column in tests[0][0].columns if any(_rows(column, results) for _, results in tests)]
    counts = sorted({len(own) for _, results in tests for own in results.values()})
    title = f"{name} (n = {' to '.join(map(str, counts))} at each level)\n{_CURVES}"
    _save([_level_panel(name, column, tests) for column in columns], title, path)


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The mean of numbers (n,) and how far Student's interval reaches to either side; 0 of a single one."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (float(values.mean()) if len(values) else float("nan")), 0.0
    spread = float(values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()), float(student.ppf(0.5 + confidence / 2, len(values) - 1)) * spread


def _rows(column: Column, results: Results) -> list[tuple[str, str, np.ndarray]]:
    """(label, colour, numbers) of a column: every model, then the baselines of the first."""
    found = [(name, _colour(k), values_of(own, column)) for k, (name, own) in enumerate(results.items())]
    first = next(iter(results.values()))
    found += [(METHODS[method], grey, values_of(first, column, method)) for method, grey in _GREYS.items()]
    return [
        (label, colour, values[np.isfinite(values)]) for label, colour, values in found if np.isfinite(values).any()
    ]


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _box_panel(column: Column, results: Results) -> Panel:
    def draw(axes: Any) -> None:
        rows = _rows(column, results)
        for place, (_, colour, values) in enumerate(rows):
            kept = dict(positions=[-place], widths=0.6, showfliers=False, whis=(10, 90), patch_artist=True)
            box = axes.boxplot([values], orientation="horizontal", medianprops={"color": "black"}, **kept)
            box["boxes"][0].set(facecolor=colour, alpha=0.45)
            mean, reach = mean_interval(values)
            axes.errorbar(mean, -place, xerr=reach, fmt="D", color="black", markersize=4, capsize=3, zorder=3)
        axes.set_yticks([-place for place in range(len(rows))], [label for label, _, _ in rows])
        axes.set_xlabel(_title(column, 44))
        axes.grid(axis="x", alpha=0.3)

    return draw


def _level_panel(sweep: str, column: Column, tests: Sequence[tuple[Protocol, Results]]) -> Panel:
    def draw(axes: Any) -> None:
        lines: dict[str, list[tuple[float, float, float]]] = {}
        colours = {}
        for protocol, results in tests:
            for label, colour, values in _rows(column, results):
                lines.setdefault(label, []).append((protocol.level, *mean_interval(values)))
                colours[label] = colour
        for number, (label, points) in enumerate(lines.items()):
            level, mean, reach = np.array(points).T
            style = "--" if label in METHODS.values() else "-"
            axes.plot(level, mean, style, marker=_MARKERS[number % 6], ms=4, color=colours[label], label=label)
            axes.fill_between(level, mean - reach, mean + reach, color=colours[label], alpha=0.18, lw=0)
        if all(mean >= 0 for points in lines.values() for _, mean, _ in points):
            axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))  # of few heads an interval reaches below what can be
        levels = [protocol.level for protocol, _ in tests]
        if min(levels) > 0 and max(levels) > 20 * min(levels):
            axes.set_xscale("log")
        axes.set_xticks(levels, [f"{level:,g}" if level < 1000 else f"{level:,.0f}" for level in levels])
        axes.minorticks_off()
        axes.set_xlabel(AXES[sweep])
        axes.set_ylabel(_title(column, 32))
        axes.grid(alpha=0.3)

    return draw


def _time_panel(results: Results) -> Panel:
    """Error against CPU seconds: the models' means over heads at every number of steps, single heads pale behind."""

    def draw(axes: Any) -> None:
        for number, (name, own) in enumerate(results.items()):
            curves = [np.asarray(result.facts[CURVE], dtype=float) for result in own if not result.error]
            if not curves:
                continue
            for curve in curves:
                axes.plot(*curve.T, color=_colour(number), alpha=0.2, lw=0.7)
            seconds = np.exp(np.mean([np.log(curve[:, 0]) for curve in curves], axis=0))
            found = [mean_interval(np.array([curve[k, 1] for curve in curves])) for k in range(len(seconds))]
            mean, reach = np.array(found).T
            marked = dict(marker=_MARKERS[number % 6], ms=4, capsize=2, color=_colour(number), label=name)
            axes.errorbar(seconds, mean, yerr=reach, **marked)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, place: f"{x:g}" if f"{x:g}"[-1] in "25" else "")
        axes.set_xlabel("solver, CPU seconds")
        axes.set_ylabel("true surface to head, mean mm")
        axes.grid(alpha=0.3, which="both")

    return draw


def _way_panel(results: Results) -> Panel:
    """How long each step from head to head is, over the mean of its way's steps."""

    def draw(axes: Any) -> None:
        for number, (name, own) in enumerate(results.items()):
            steps = [np.asarray(result.facts["steps_mm"]) for result in own if "steps_mm" in result.facts]
            if not steps:
                continue
            shares = np.array([step / step.mean() for step in steps])
            place = (np.arange(shares.shape[1]) + 0.5) / shares.shape[1]
            mean, reach = np.array([mean_interval(column) for column in shares.T]).T
            marked = dict(marker=_MARKERS[number % 6], ms=4, capsize=2, color=_colour(number), label=name)
            axes.errorbar(place, mean, yerr=reach, **marked)
        axes.axhline(1.0, color="black", lw=0.7, ls=":")
        axes.set_xlabel("way from one head's code to the other's")
        axes.set_ylabel("step of the surface over the mean step")
        axes.grid(alpha=0.3)

    return draw


def _title(column: Column, width: int) -> str:
    """What a number is, in lines of so many letters."""
    words = fill(column.title, width)
    return f"{words}\n(more is better)" if column.at_least else words


def _save(panels: list[Panel], title: str, path: Path) -> None:
    """Panels in rows under a title, with one legend, as a file that is there whole or not at all."""
    from headfield.io.mesh import write_bytes

    matplotlib = need("matplotlib", "eval", "Drawing a plot")
    figures = need("matplotlib.figure", "eval", "Drawing a plot")
    across = min(_ACROSS, max(1, len(panels)))
    down = -(-max(1, len(panels)) // across)
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure((_SIZE[0] * across, _SIZE[1] * down + 0.7), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, panel in zip(grid, panels):
            panel(axes)
        for axes in grid[len(panels) :]:
            axes.remove()
        figure.suptitle("\n".join(fill(line, 58 * across) for line in title.split("\n")), fontsize=10)
        lines = {}
        for axes in figure.axes:
            lines |= {label: line for line, label in zip(*axes.get_legend_handles_labels())}
        if lines:
            figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=min(4, len(lines)))
        buffer = io.BytesIO()
        kind = path.suffix.lstrip(".")
        stamp = {"metadata": {"Date": None}} if kind == "svg" else {}
        figure.savefig(buffer, format=kind, dpi=110, **stamp)
    write_bytes(path, buffer.getvalue())
