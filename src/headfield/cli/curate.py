"""``headfield curate``: raw scans of people into a training store."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from headfield.curate.gather import Layout
from headfield.curate.options import CurateOptions
from headfield.errors import ConfigError

if TYPE_CHECKING:
    from headfield.curate.outcomes import SubjectOutcome
    from headfield.curate.subjects import Skipped


@dataclass(frozen=True)
class CurateCommand:
    """Turn raw scans of people into a training store: find the head, fit, complete, register, sample, judge.

    Run it again to resume: what is finished is kept, and only what depends on a changed scan or option is done again.
    Writes report.html beside the store. Exit status 1: an error that nobody foresaw, or nobody was good enough.
    """

    scans: Annotated[Path, tyro.conf.Positional]
    """Folder of scans, one sub-folder a person or one person per file; or a CSV of scan files."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("store")
    """Store folder; one that was interrupted is continued."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="CSV")] = None
    """What is known of each person: a column id, then age, sex, group, consent, split or what you like; subjects.csv in
    the folder is taken by itself."""
    layout: Layout = "auto"
    """How the folder is laid out."""
    engine: Literal["local", "ray"] = "local"
    """local: worker processes here; ray: a Ray cluster (RAY_ADDRESS), scans and store at the same paths everywhere."""
    workers: int | None = None
    """Worker processes, up to 3 GiB each; default one per core as far as the memory goes, 0 works in this process."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID...")] = ()
    """Only these people."""
    force: bool = False
    """Do every stage again."""
    config: Annotated[CurateOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=CurateOptions)

    def run(self) -> int:
        """Curate, showing progress; returns the exit status."""
        from headfield.cli.output import resumable_folder
        from headfield.cli.report import duration, summary
        from headfield.curate.gather import gather
        from headfield.curate.pipeline import curate
        from headfield.curate.records import DONE, FAILED, REJECTED
        from headfield.curate.report import REPORT, write_report

        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"--workers {self.workers}: give 0 or more.")
        found = gather(self.scans, self.csv, layout=self.layout)
        subjects = _chosen(found.subjects, self.only)
        default = 0 if self.engine == "ray" else _local_workers()
        workers = default if self.workers is None else self.workers
        begin = time.perf_counter()
        with resumable_folder(self.out, began="curation/*/*"), _progress(len(subjects)) as tell:
            outcomes = curate(
                subjects,
                self.out,
                self.config,
                engine=self.engine,
                workers=workers,
                force=self.force,
                progress=tell,
            )
            fresh = sum(outcome.fresh for outcome in outcomes)
            gone = _withdrawn(self.out, found.refused)
            write_report(self.out, found.skipped, self.config.limits)
        kinds = Counter(outcome.outcome for outcome in outcomes)
        scans = Counter(scan.outcome for outcome in outcomes for scan in outcome.scans)
        rows = {
            "people": f"{kinds[DONE]:,} in the store, {kinds[REJECTED]:,} rejected, {kinds[FAILED]:,} failed",
            "scans": f"{scans[DONE]:,} good, {scans[REJECTED]:,} rejected, {scans[FAILED]:,} failed",
            "stages": f"{fresh:,} done now" if fresh else "nothing to do: all is up to date",
            "seconds": duration(time.perf_counter() - begin),
            "report": str(self.out / REPORT),
        }
        if found.skipped:
            rows["skipped"] = f"{len(found.skipped):,} files or people, listed in the report"
        summary(f"store {self.out}", rows, _notes(gone, found.skipped, outcomes))
        return 1 if kinds[FAILED] or not kinds[DONE] else 0


def _notes(gone: list[str], skipped: Sequence[Skipped], outcomes: Sequence[SubjectOutcome]) -> tuple[str, ...]:
    """Who was deleted, and the first of what was skipped and of who is not in the store."""
    from headfield.curate.records import DONE

    notes = [f"{name} does not consent (any more): all that the store held of them was deleted." for name in gone]
    notes += [f"{item.what} {item.reason}" for item in skipped[:5]]
    for outcome in outcomes:
        if outcome.outcome != DONE and len(notes) < 15:
            notes.append(f"{outcome.id} {outcome.outcome}: {outcome.reason}")
    return tuple(notes)


def _withdrawn(out: Path, refused: tuple[str, ...]) -> list[str]:
    """Delete what the store holds of people who do not consent; returns their names."""
    from headfield.io.store_remove import known_people, remove_person

    gone = sorted(set(refused) & set(known_people(out)))
    for name in gone:
        remove_person(out, name)
    return gone


def _local_workers() -> int:
    """One worker per core, as far as three quarters of the memory go."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not POSIX
        return os.cpu_count() or 1
    from headfield.curate.engines import WORKER_BYTES

    return max(1, min(os.cpu_count() or 1, int(0.75 * memory / WORKER_BYTES)))


def _chosen(subjects, only: tuple[str, ...]):
    from headfield.curate.subjects import same_person

    if not only:
        return subjects
    wanted = {same_person(name): name for name in only}
    chosen = [subject for subject in subjects if same_person(subject.id) in wanted]
    missing = set(wanted) - {same_person(subject.id) for subject in chosen}
    if missing:
        raise ConfigError(f"--only {wanted[min(missing)]}: no such person; there are {_some(subjects)}.")
    return chosen


def _some(subjects) -> str:
    names = [subject.id for subject in subjects[:5]]
    return ", ".join(names) + (f" and {len(subjects) - 5} more" if len(subjects) > 5 else "")


@contextmanager
def _progress(total: int) -> Iterator:
    """A bar with the time left on a terminal, else one line per person; yields what the pipeline calls."""
    from rich.console import Console

    from headfield.cli.report import duration

    console, begin, worked = Console(stderr=True), time.perf_counter(), [0]

    def left(done: int) -> str:
        # people who were up to date took no time: they say nothing of those who are left
        spent = (time.perf_counter() - begin) / max(worked[0], 1)
        return duration(spent * (total - done))

    if not console.is_terminal:

        def line(done: int, _: int, outcome) -> None:
            worked[0] += outcome.fresh > 0
            if outcome.fresh:
                why = f": {outcome.reason}" if outcome.reason else ""
                text = f"{done}/{total} {outcome.id} {outcome.outcome}{why}; left {left(done)}"
                print(text, file=sys.stderr, flush=True)

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("people"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=console
    ) as bar:
        task = bar.add_task("", total=total)
        kinds: Counter = Counter()

        def move(done: int, _: int, outcome) -> None:
            worked[0] += outcome.fresh > 0
            kinds[outcome.outcome] += 1
            told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            bar.update(task, completed=done, description=f"left {left(done)}  {told}")

        yield move
