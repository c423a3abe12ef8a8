"""The evidence of docs/captures.md from the folders that benchmarks/captures.py leaves: pictures, and text to paste.

    python benchmarks/captures_evidence.py --runs evaluation/captures --pictures docs/images
    python benchmarks/captures_evidence.py --runs evaluation/captures --only strips --limit 69   # fits what is missing

Made of the cases that are done, be they all or few; what is pictured is chosen by its numbers, never by its looks:

* table: every goal of the captures beside what was reached (with --verdict, what benchmarks/verdict.py wrote; with the
  rows that `benchmarks/captures.py --wrap` left);
* kinds: one row a kind of the median case: scan, fit, signed distance (``captures_kinds.png``);
* worst: the five worst of each kind, and a table of them (``captures_worst_KIND.png``);
* strips: one person of each family in eight emotions and fifteen visemes, a clean scan over its fit
  (``captures_strip_FAMILY.png``). Their fits lie in --runs/strips; --limit makes so many of those that are missing;
* real: the real captures, both turns (``captures_real.png``).

The text goes to --text, by default evidence.md in --runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headfield.evaluate.captures import capture_of, stream
from headfield.evaluate.correspondence import ROWS
from headfield.evaluate.kinds import KINDS, MISSED, PREFIX, table_of_kinds
from headfield.evaluate.pictures import (
    SIGNED_MM,
    capture_pictures,
    capture_view,
    fit_of,
    head_of,
    scan_picture,
    sight_of,
    sight_of_capture,
)
from headfield.evaluate.protocols import PROTOCOLS
from headfield.evaluate.reading import ACTED, in_words
from headfield.evaluate.records import CaseResult
from headfield.evaluate.report import WORST, typical, worst_first
from headfield.evaluate.run import kept
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.nn.machine import return_freed_memory
from headfield.surface.sheet import PAPER, contact_sheet, error_legend, write_png
from headfield.surface.snapshot import render
from headfield.synth.poses import poses
from headfield.types import ARKIT

MOST_BYTES = 250_000
"""No picture is larger, so that they can be kept in the repository."""

SITTERS = {"ict": 0, "anny": 0, "vitruvian": 0}
"""Who plays the expressions of the strips: the first of each family that can."""

LEGEND, LEGEND_WIDTH = "fitted head outside (+) or inside (-) of the captured surface, mm; grey: not asked", 470


class Run:
    """One kind's folder: what was asked, and the cases that are done."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.protocol = kind, folder, PROTOCOLS[PREFIX + kind]
        self.options, self.cases, self.results = kept(self.protocol, folder)

    def pictures(self, k: int, size: int) -> tuple[list[np.ndarray], Fit | None]:
        """Scan, fit and signed distance of case number `k`; of one that could not be fitted the scan only."""
        return_freed_memory()
        sight = sight_of(self.protocol, self.options.split, self.cases[k])
        if self.results[k].error:
            return [scan_picture(sight, **capture_view(sight, size)), *[blank(size)] * 2], None
        found = fit_of(self.options, self.cases[k], self.folder)
        return capture_pictures(sight, found, size), found

    def number(self, k: int, name: str) -> float:
        """A number of a case."""
        return self.results[k].values.get(name, {}).get("ours", np.nan)

    def distance(self, k: int) -> str:
        """What is told of where a fit lies."""
        if self.results[k].error:
            return "not fitted"
        text = f"{self.number(k, 'captured'):.2f} mm"
        if self.number(k, "placed") == 0.0:
            text += f", misplaced by {self.number(k, 'anchors'):.0f} mm"
        if self.number(k, "right") == 0.0:
            text += f", wrong: turned {self.number(k, 'turned'):.0f}°, unit {self.results[k].facts.get('units')}"
        return text


def legend() -> np.ndarray:
    """The scale of the signed distances."""
    return error_legend(LEGEND_WIDTH, SIGNED_MM, LEGEND, signed=True)


def blank(size: int) -> np.ndarray:
    """An empty cell."""
    return np.full((size, size, 3), PAPER, dtype=np.uint8)


def acts(result: CaseResult) -> tuple[str, str]:
    """What a face truly did and what was read, in words; of a case that could not be fitted nothing was kept."""
    if result.error:
        return "-", "-"
    true, read = (result.facts.get(name, {}) for name in ("true", "read"))
    return tuple(in_words(np.array([named.get(name, 0.0) for name in ARKIT])) for named in (true, read))


def pose_of(result: CaseResult) -> str:
    """Name of a case's pose; the real ones are all neutral. And how much was strewn over it, which is not pictured."""
    facts = result.facts.get("capture", {})
    strewn = f", {facts['strays']:.0%} strays" if facts.get("strays") else ""
    return facts.get("pose", "-" if result.error else "neutral").replace("_", " ") + strewn


# ---- text ----------------------------------------------------------------------------------------------------------


def numbers(asked, runs: list[Run]) -> str:
    """Every goal and what was reached."""
    parts = [table_of_kinds({run.kind: run.results for run in runs})]
    parts.append("In brackets: over how many heads, and the kind's goal where it differs from the second column's; "
                 f"{MISSED} misses it. *All kinds* are the eight of captures.")  # fmt: skip
    rows = []
    path = asked.runs / "correspondence" / ROWS
    for row in json.loads(path.read_text())["rows"] if path.exists() else []:
        for name, limit in (("median", 1.2), ("p90", 2.5)):
            goal = limit if row["by"] == "wrap" else None
            what = f"correspondence between real {row['between']}, through {row['by']}: {name} of the face, mm"
            rows.append(goal_row(what, goal, False, row[name], f"{row['pairs']} pairs"))
    if asked.verdict:
        from verdict import rates

        for what, limit, more, share, count in rates(json.loads(asked.verdict.read_text())):
            rows.append(goal_row(f"verdict *poor* on {what}", limit, more, share, str(count), share=True))
    if rows:
        parts.append("\n".join(["| what | goal | reached | n |", "|---" * 4 + "|", *rows]))
    return "\n\n".join(parts)


def goal_row(what: str, goal: float | None, more: bool, value: float, count: str, share: bool = False) -> str:
    """A line of a table with one number."""
    text, limit = (f"{value:.0%}", f"{goal:.0%}") if share else (f"{value:.2f}", f"{goal}")
    missed = goal is not None and (value < goal if more else value > goal)
    limit = "" if goal is None else f"{'≥' if more else '≤'} {limit}"
    return f"| {what} | {limit} | {f'**{text} {MISSED}**' if missed else text} | {count} |"


def in_table(run: Run, chosen: list[int], verdicts: list[str]) -> str:
    """What pictures show, in words."""
    lines = ["| case | pose | truly | read | distance | verdict |", "|---" * 6 + "|"]
    for k, verdict in zip(chosen, verdicts):
        result = run.results[k]
        told = result.error.replace("|", "/").replace("\n", " ") if result.error else run.distance(k)
        lines.append("| " + " | ".join([result.name, pose_of(result), *acts(result), told, verdict]) + " |")
    return "\n".join(lines)


# ---- pictures ------------------------------------------------------------------------------------------------------


def write(image: np.ndarray, path: Path) -> str:
    """Write a picture with as many colours as its size allows; what is printed of it."""
    for colours in (256, 160, 96, 64, 40):
        write_png(image, path, colours)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"{path}: {image.shape[1]} x {image.shape[0]}, {path.stat().st_size / 1000:.0f} kB, {colours} colours")
    return path.name


def figure(name: str, caption: str) -> str:
    """A picture with its caption, in Markdown."""
    return f"![{caption}](images/{name})\n\n{caption}"


def kinds(asked, runs: list[Run]) -> Iterator[str]:
    """The median case of each kind, two kinds side by side."""
    images, labels = [], []
    for run in runs:
        k = typical(run.protocol, run.results)
        if k is None or run.kind == "real":
            continue
        pictures, found = run.pictures(k, 200)
        images += pictures
        labels += [f"{run.kind}: {run.results[k].name}\n{pose_of(run.results[k])}",
                   f"read: {acts(run.results[k])[1]}\nverdict: {found.verdict.level}",
                   f"{run.distance(k)}\nthe median of {len(run.results)}"]  # fmt: skip
    if images:
        sheet = contact_sheet(images, 6, labels, None, legend())
        name = write(sheet, asked.pictures / "captures_kinds.png")
        yield figure(name, "The median case of each kind: scan, fitted head, signed distance.")


def worst(asked, runs: list[Run]) -> Iterator[str]:
    """The worst of each kind: misplaced ones first, then by the distance from the captured face."""
    for run in (run for run in runs if run.kind != "real"):  # of those all are pictured
        images, labels, verdicts = [], [], []
        chosen = worst_first(run.protocol, run.results)[:WORST]
        for k in chosen:
            pictures, found = run.pictures(k, 190)
            result, (true, read) = run.results[k], acts(run.results[k])
            verdicts.append("-" if found is None else str(found.verdict))
            images += pictures
            labels += [f"{result.name}, {pose_of(result)}\n{true}", f"read: {read}\n",
                       f"{run.distance(k)}\nverdict: {'-' if found is None else found.verdict.level}"]  # fmt: skip
        if images:
            title = f"{run.kind}: the {len(chosen)} worst of {len(run.results)}"
            sheet = contact_sheet(images, 3, labels, title, legend())
            name = write(sheet, asked.pictures / f"captures_worst_{run.kind}.png")
            yield figure(name, f"{title}: scan, fitted head, signed distance.")
            yield in_table(run, chosen, verdicts)


def real(asked, runs: list[Run]) -> Iterator[str]:
    """Each capture once, then fit and distance of each turn."""
    run = next((run for run in runs if run.kind == "real" and run.cases), None)
    if run is None:
        return
    images, labels, size = [], [], 180
    verdicts: dict[int, str] = {}
    for name in dict.fromkeys(name for name, _ in run.cases):
        cells, texts = [blank(size)] * 5, [""] * 5
        for turn in (turn for other, turn in run.cases if other == name):
            k, place = run.cases.index((name, turn)), 1 + 2 * turn
            pictures, found = run.pictures(k, size)
            verdicts[k] = "-" if found is None else str(found.verdict)
            cells[0], cells[place : place + 2] = pictures[0], pictures[1:]
            level = "" if found is None else f", {found.verdict.level}"
            texts[0], texts[place : place + 2] = name, [f"read: {acts(run.results[k])[1]}", run.distance(k) + level]
        images, labels = images + cells, labels + texts
    picture = write(contact_sheet(images, 5, labels, None, legend()), asked.pictures / "captures_real.png")
    yield figure(picture, "The real captures: scan, then fitted head and signed distance of either turn.")
    yield in_table(run, list(verdicts), list(verdicts.values()))


# ---- expression strips ---------------------------------------------------------------------------------------------


def strips(asked, runs: list[Run]) -> Iterator[str]:
    """One person of each family that can play, in every emotion and viseme."""
    names = [name for name, pose in poses().items() if pose.kind in ACTED]
    model, left = load(asked.model), asked.limit
    for name in names:
        for family in SITTERS:
            path = strip_path(asked, family, name)
            if left > 0 and not path.exists():
                begin, left = time.perf_counter(), left - 1
                taken = played(asked.split, family, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                fit(taken.capture.scan, model, expression="auto", refuse=False).save(path)
                print(f"{path}: {time.perf_counter() - begin:.0f} s", flush=True)
    for family in SITTERS:
        done = [name for name in names if strip_path(asked, family, name).exists()]
        if done:
            picture = write(strip(asked, family, done, model), asked.pictures / f"captures_strip_{family}.png")
            caption = "the scan with what it truly does, and below it the fit with what was read."
            yield figure(picture, f"A clean head of {family} in emotions and visemes: {caption}")


def strip_path(asked, family: str, name: str) -> Path:
    """Where the fit of one picture of a strip is kept."""
    return asked.runs / "strips" / f"{asked.split}-{family}-{name}.npz"


def played(split: str, family: str, name: str):
    """The family's sitter in a pose, as a clean capture."""
    rng = stream(f"strip-{name}", split, family, SITTERS[family])
    return capture_of("clean", split, family, SITTERS[family], poses()[name], rng)


def strip(asked, family: str, names: list[str], model, columns: int = 8, size: int = 148) -> np.ndarray:
    """Rows of scans over rows of fits."""
    images, labels = [], []
    for start in range(0, len(names), columns):
        some = names[start : start + columns]
        scans, fits, true, read = [], [], [], []
        for name in some:
            taken = played(asked.split, family, name).capture
            sight, found = sight_of_capture(taken), Fit.load(strip_path(asked, family, name), model)
            view = {"frame_on": taken.sitter.anchors[_face()], "size": (size, int(1.15 * size)), "zoom": 1.08}
            scans.append(scan_picture(sight, **view))
            fits.append(render(head_of(found, sight, 192), occlusion_rays=4, **view))
            true.append(wrapped(f"{name}: {in_words(taken.sitter.expression, 3)}"))
            read.append(wrapped(in_words(found.expression, 3)))
        room = [np.full_like(scans[0], PAPER)] * (columns - len(some)) if start else []
        images += [*scans, *room, *fits, *room]
        labels += [*true, *[""] * len(room), *read, *[""] * len(room)]
    title = f"{family}: scans of emotions and visemes, each over its fit and what was read"
    return contact_sheet(images, min(columns, len(names)), labels, title)


def _face() -> np.ndarray:
    from headfield.frames import ANCHOR_NAMES

    return np.array([name.startswith(("brow_", "temple", "chin", "forehead")) for name in ANCHOR_NAMES])


def wrapped(text: str, width: int = 24) -> str:
    """Words in lines that fit a small picture."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


PARTS = {"table": numbers, "kinds": kinds, "worst": worst, "strips": strips, "real": real}


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("evaluation/captures"), help="--out of captures.py")
    parser.add_argument("--pictures", type=Path, default=Path("docs/images"))
    parser.add_argument("--text", type=Path, default=None)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--verdict", type=Path, default=None, help="rows that benchmarks/verdict.py wrote")
    parser.add_argument("--limit", type=int, default=0, help="at most so many new fits for the strips")
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="of the strips' people")
    parser.add_argument("--model", default="imhead-open-small", help="that fits the strips")
    asked = parser.parse_args()
    runs = [Run(kind, asked.runs / kind) for kind in asked.kinds]
    parts = []
    for name in asked.only:
        made = PARTS[name](asked, runs)
        parts += [made] if isinstance(made, str) else list(made)
    text = asked.text or asked.runs / "evidence.md"
    text.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"{text}: {len(parts)} parts")


if __name__ == "__main__":
    main()
