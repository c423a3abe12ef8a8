"""One self-contained page about a curated store: how many were kept, the distribution of every quality number against
its limit, pictures of the stages, and who was rejected and why."""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from headfield.curate.options import QualityLimits
from headfield.curate.outcomes import WORK, ScanOutcome, SubjectOutcome, read_outcomes
from headfield.curate.quality import NUMBERS, Number
from headfield.curate.records import DONE, FAILED, REJECTED
from headfield.curate.subjects import Skipped
from headfield.io.mesh import write_bytes

REPORT = "report.html"

RUN = "run.json"
"""In the folder of records: what the last run passed over and its limits, so that the report can be made again."""

PICTURED = 60
"""At most so many scans of a kind are shown with pictures; the tables hold everybody."""

_STAGES = {"landmarks": "landmarks", "align": "placed", "complete": "completed", "register": "registered"}
_SHADES = {DONE: "kept", REJECTED: "rejected", FAILED: "failed"}

Entry = tuple[SubjectOutcome, ScanOutcome]


def write_report(out: Path, skipped: Sequence[Skipped] | None = None, limits: QualityLimits | None = None) -> Path:
    """Write ``report.html`` of a store from what its people left behind.

    Args:
        out: The store's folder.
        skipped: What the run passed over; None takes the last run's.
        limits: Those of the run; None takes the last run's.
    Returns:
        The page.
    Raises:
        OutputError: It cannot be written.
    """
    out = Path(out)
    skipped, limits = _run(out, skipped, limits)
    people = read_outcomes(out)
    entries = [(person, scan) for person in people for scan in person.scans]
    parts = [
        _summary(people, entries),
        _histograms(entries, limits),
        _reasons(people, entries),
        _gallery(out, "Rejected and failed scans", _bad(entries), "none: every scan was kept"),
        _gallery(out, "Kept scans, the largest errors first", _worst(entries), "none was kept"),
        _table(people),
        _skipped_table(skipped),
    ]
    style = (files("headfield.curate") / "report.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Curated scans</title><style>{style}</style>\n<main><h1>Curated scans</h1>\n"
        + "\n".join(parts)
        + "\n</main></html>\n"
    )
    write_bytes(out / REPORT, page.encode())
    return out / REPORT


def _run(out: Path, skipped, limits) -> tuple[list[Skipped], QualityLimits]:
    file = out / WORK / RUN
    if skipped is not None and limits is not None:
        content = {"skipped": [[item.what, item.reason] for item in skipped], "limits": vars(limits)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, json.dumps(content, ensure_ascii=False).encode())
        return list(skipped), limits
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return [Skipped(*item) for item in content["skipped"] if len(item) == 2], QualityLimits(**content["limits"])
    except (OSError, ValueError, KeyError, TypeError):
        return list(skipped or []), limits or QualityLimits()


# ---- parts ---------------------------------------------------------------------------------------------------------


def _summary(people: list[SubjectOutcome], entries: list[Entry]) -> str:
    kinds, scans = Counter(p.outcome for p in people), Counter(s.outcome for _, s in entries)
    seconds: Counter = Counter()
    for person in people:
        seconds.update(person.seconds or {})
        for scan in person.scans:
            seconds.update(scan.seconds)
    tiles = [
        ("people in the store", f"{kinds[DONE]:,}", f"of {len(people):,}"),
        ("good scans", f"{scans[DONE]:,}", f"of {len(entries):,}"),
        ("rejected scans", f"{scans[REJECTED]:,}", ""),
        ("failed scans", f"{scans[FAILED]:,}", "errors; the next run tries again"),
        ("seconds per scan", f"{sum(seconds.values()) / max(len(entries), 1):.1f}", "of one core"),
        ("memory", f"{max((p.peak_mb for p in people), default=0) / 1024:.2f} GiB", "most of a worker"),
    ]
    cells = "".join(
        f"<div class=tile><b>{_text(value)}</b><span>{_text(title)}</span><small>{_text(more)}</small></div>"
        for title, value, more in tiles
    )
    shares = "".join(
        f"<tr><td>{_text(stage)}<td class=n>{value / max(len(entries), 1):.2f} s"
        f"<td class=n>{value / max(sum(seconds.values()), 1e-9):.0%}"
        for stage, value in sorted(seconds.items(), key=lambda item: -item[1])
    )
    return (
        f"<section class=tiles>{cells}</section><details><summary>Time by stage</summary><table><tr><th>stage"
        f"<th>per scan<th>share{shares}</table></details>"
    )


def _histograms(entries: list[Entry], limits: QualityLimits) -> str:
    charts = []
    for name, number in NUMBERS.items():
        values = {
            kind: [s.facts[name] for _, s in entries if s.outcome == kind and _is_number(s.facts.get(name))]
            for kind in (DONE, REJECTED)
        }
        if sum(map(len, values.values())):
            limit = getattr(limits, number.limit) if number.limit else None
            charts.append(histogram(number, values[DONE], values[REJECTED], limit))
    key = "<p class=key><i class=kept></i>kept <i class=rejected></i>rejected <i class=limit></i>limit</p>"
    return f"<h2>Quality</h2>{key}<section class=charts>{''.join(charts)}</section>"


def histogram(number: Number, kept: list[float], rejected: list[float], limit: float | None, bins: int = 24) -> str:
    """Stacked bars of one quality number as a figure with inline SVG.

    Args:
        number: What it is.
        kept, rejected: Values.
        limit: Drawn as a dashed line, or None.
        bins: How many bars.
    """
    everything = np.array(kept + rejected, dtype=float)
    low, high = float(everything.min()), float(everything.max())
    if limit is not None and low < limit * 3 and high > limit / 6:
        low, high = min(low, limit), max(high, limit)
    low = 0.0 if 0 <= low < 0.5 * high else low
    high = high if high > low else low + max(abs(low), 1e-6)
    edges = np.linspace(low, high, bins + 1)
    good, bad = (np.histogram(values, edges)[0] for values in (kept, rejected))
    most = max(int((good + bad).max()), 1)
    width, height, left, bottom = 300, 96, 6, 16
    step, bars = (width - 2 * left) / bins, []
    for index, (g, b) in enumerate(zip(good, bad)):
        if not g + b:
            continue
        x, tall, red = left + index * step, g / most * height, b / most * height
        told = f"{number.text(edges[index], 3)} to {number.text(edges[index + 1], 3)}: {g} kept, {b} rejected"
        bars.append(
            f'<g><title>{_text(told)}</title><rect class=kept x="{x:.1f}" y="{height - tall:.1f}" '
            f'width="{step - 1:.1f}" height="{tall:.1f}"/><rect class=rejected x="{x:.1f}" '
            f'y="{height - tall - red:.1f}" width="{step - 1:.1f}" height="{red:.1f}"/></g>'
        )
    if limit is not None and low <= limit <= high:
        x = left + (limit - low) / (high - low) * (width - 2 * left)
        bars.append(f'<line class=limit x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>')
    axis = (
        f'<line class=axis x1="{left}" x2="{width - left}" y1="{height}" y2="{height}"/>'
        f'<text x="{left}" y="{height + bottom - 3}">{_text(number.text(low))}</text>'
        f'<text x="{width - left}" y="{height + bottom - 3}" text-anchor="end">{_text(number.text(high))}</text>'
    )
    middle = f"median {number.text(float(np.median(everything)))}, n = {len(everything):,}"
    judged = "" if limit is None else f", {'at least' if number.least else 'at most'} {number.text(limit)}"
    return (
        f"<figure><figcaption>{_text(number.title)}<small>{_text(middle + judged)}</small></figcaption>"
        f'<svg viewBox="0 0 {width} {height + bottom}" role="img" aria-label="{_text(number.title)}">'
        f"{''.join(bars)}{axis}</svg></figure>"
    )


def _reasons(people: list[SubjectOutcome], entries: list[Entry]) -> str:
    """How often each reason occurs, numbers and names left out."""
    found: Counter = Counter()
    for _, scan in entries:
        if scan.outcome != DONE:
            found.update((scan.outcome, kind) for kind in _kinds_of(scan))
    for person in people:
        if person.outcome != DONE and all(person.reason != scan.reason for scan in person.scans):
            found[(person.outcome, f"person: {person.reason}")] += 1
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{_SHADES[outcome]}<td>{_text(reason)}<td class=n>{count:,}"
        for (outcome, reason), count in found.most_common(30)
    )
    return f"<h2>Reasons</h2><table><tr><th>what<th>why<th>how many{rows}</table>"


def _kinds_of(scan: ScanOutcome) -> list[str]:
    """The reasons against a scan without its numbers and names."""
    judged = [
        f"{number.title}: beyond the limit"
        for number in NUMBERS.values()
        if number.complaint and all(words in scan.reason for words in number.complaint.split("{}"))
    ]
    if judged:
        return judged
    reason = scan.reason.split(f"{scan.name}: ", 1)[-1]
    return [f"at {scan.stage or 'reading'}: {reason.split('. ')[0].split(': ')[0][:100]}"]


def _bad(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry[1].outcome != DONE]


def _worst(entries: list[Entry]) -> list[Entry]:
    kept = [entry for entry in entries if entry[1].outcome == DONE and entry[0].outcome == DONE]
    return sorted(kept, key=lambda entry: -entry[1].facts.get("error_mm", 0.0))


def _gallery(out: Path, title: str, entries: list[Entry], empty: str) -> str:
    if not entries:
        return f"<h2>{_text(title)}</h2><p>{_text(empty)}</p>"
    shown = entries
    if len(entries) > PICTURED:  # half from the front, half spread over the rest
        rest = np.linspace(PICTURED // 2, len(entries) - 1, PICTURED - PICTURED // 2).round().astype(int)
        shown = entries[: PICTURED // 2] + [entries[index] for index in np.unique(rest)]
    cards = "".join(_card(out, person, scan) for person, scan in shown)
    more = f" <small>{len(shown):,} of {len(entries):,}</small>" if len(shown) < len(entries) else ""
    return f"<h2>{_text(title)}{more}</h2><section class=cards>{cards}</section>"


def _card(out: Path, person: SubjectOutcome, scan: ScanOutcome) -> str:
    folder = out / WORK / person.id / scan.folder
    pictures = []
    for stage, label in _STAGES.items():
        file = folder / f"{stage}.jpg"
        if stage in scan.seconds and file.exists():
            data = base64.b64encode(file.read_bytes()).decode()
            alt = f"{person.id}, {scan.name}: {label}"
            pictures.append(
                f'<figure><img loading="lazy" alt="{_text(alt)}" src="data:image/jpeg;base64,{data}">'
                f"<figcaption>{label}</figcaption></figure>"
            )
    facts = [
        f"{_text(number.title)} <b>{_text(number.text(scan.facts[name]))}</b>"
        for name, number in NUMBERS.items()
        if _is_number(scan.facts.get(name))
    ]
    why = f"<p class=why>{_text(scan.reason)}</p>" if scan.reason else ""
    expression = f" <small>{_text(scan.expression)}</small>" if scan.expression else ""
    return (
        f"<article><h3>{_text(person.id)} / {_text(scan.name)}{expression}</h3><div class=row>{''.join(pictures)}</div>"
        f"{why}<details><summary>numbers</summary><p>{'<br>'.join(facts) or 'none yet'}</p></details></article>"
    )


def _table(people: list[SubjectOutcome]) -> str:
    rows = []
    for person in people:
        good = [scan for scan in person.scans if scan.outcome == DONE]
        errors = [scan.facts["error_mm"] for scan in good if _is_number(scan.facts.get("error_mm"))]
        error = f"{np.median(errors):.2f} mm" if errors else ""
        told = "; ".join(filter(None, [person.reason, *person.notes]))
        rows.append(
            f"<tr><td>{_text(person.id)}<td>{_SHADES[person.outcome]}<td class=n>{len(good)} of {len(person.scans)}"
            f"<td class=n>{error}<td>{_text(told)}"
        )
    return (
        f"<h2>People</h2><details><summary>{len(people):,} people</summary><table><tr><th>id<th>outcome<th>scans kept"
        f"<th>error, median<th>notes{''.join(rows)}</table></details>"
    )


def _skipped_table(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    rows = "".join(f"<tr><td>{_text(item.what)}<td>{_text(item.reason)}" for item in skipped)
    return (
        f"<h2>Passed over</h2><details open><summary>{len(skipped):,} files or people</summary><table><tr><th>what"
        f"<th>why{rows}</table></details>"
    )


def _is_number(value) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _text(value) -> str:
    return html.escape(str(value), quote=True)
