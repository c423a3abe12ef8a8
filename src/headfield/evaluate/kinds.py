"""All kinds of captures in one table: a row a number, a column a kind, the goal beside what was reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from headfield.evaluate.protocol import Column
from headfield.evaluate.protocols import PROTOCOLS
from headfield.evaluate.records import CaseResult
from headfield.evaluate.report import reached, summary_of
from headfield.synth.captures import KINDS as MAKERS
from headfield.synth.captures import TIDY

PREFIX = "captures-"

KINDS = [name.removeprefix(PREFIX) for name in PROTOCOLS if name.startswith(PREFIX)]
"""Short names of the protocols of captures: the eight kinds, clean heads, those with a word about the face, real."""

POOLED = [kind for kind in KINDS if kind in MAKERS and kind not in TIDY]
"""The kinds that the table's last column takes together."""

MISSED = "✗"
"""Marks a number that does not reach its goal."""


def table_of_kinds(results: Mapping[str, list[CaseResult]]) -> str:
    """Markdown: what, statistic, goal, and a column for each kind; the last one over the kinds of `POOLED`.

    A cell is the number and over how many heads it is; bold and marked where it misses the goal. A kind whose goal is
    not that of the row's second column says its own.

    Args:
        results: Kind -> cases; kinds without any are left out.
    """
    results = {kind: own for kind, own in results.items() if own}
    if not results:
        return "No case of any kind is done yet."
    columns: dict[str, dict[str, Column]] = {}
    for kind in results:
        for column in PROTOCOLS[PREFIX + kind].columns:
            columns.setdefault(column.name, {})[kind] = column
    together = [kind for kind in POOLED if kind in results]
    heads = ["what", "statistic", "goal", *results, *(["all kinds"] if len(together) > 1 else [])]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for of_kind in columns.values():
        common = _common([column for column in of_kind.values() if column.reach is not None])
        cells = [_cell(results[kind], of_kind[kind], common) if kind in of_kind else "-" for kind in results]
        if len(together) > 1:
            pooled = [result for kind in together for result in results[kind]]
            own = [of_kind[kind] for kind in together if kind in of_kind]
            cells.append(_cell(pooled, own[0], own[0]) if own and len({c.reach for c in own}) == 1 else "-")
        if any(cell != "-" for cell in cells):
            first = common or next(iter(of_kind.values()))
            lines.append("| " + " | ".join([first.title, statistic_of(first), goal_of(common), *cells]) + " |")
    return "\n".join(lines)


def statistic_of(column: Column) -> str:
    """What of a column is printed: what its goal is about, else the median."""
    return "share" if column.share else "median" if column.reach is None else column.statistic


def goal_of(column: Column | None) -> str:
    """A column's goal in words, empty without one."""
    if column is None or column.reach is None:
        return ""
    limit = f"{column.reach:.0%}" if column.share else f"{column.reach:g}"
    return f"{'≥' if column.at_least else '≤'} {limit}"


def _common(columns: list[Column]) -> Column | None:
    """The column with the goal that most kinds have."""
    if not columns:
        return None
    reach = Counter(column.reach for column in columns).most_common(1)[0][0]
    return next(column for column in columns if column.reach == reach)


def _cell(results: list[CaseResult], column: Column, common: Column | None) -> str:
    row = summary_of(results, column, "ours")
    if not row["n"]:
        return "-"
    value = row["mean"] if column.share else row[statistic_of(common or column)]
    text = f"{value:.0%}" if column.share else f"{value:.2f}"
    own = ""
    if common is not None and column.reach != common.reach:
        own = ", no goal" if column.reach is None else f", goal {goal_of(column)}"
    missed = reached(column, row) is False
    return (f"**{text} {MISSED}**" if missed else text) + f" ({row['n']}{own})"
