"""Raw scans to a training store: every person is one job of an engine; the store's index is kept here, in one place.

A second run finds all records up to date and does nothing; a killed run goes on where it stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headfield.curate.content import inputs_of
from headfield.curate.engines import WorkerDied, run_local, run_ray
from headfield.curate.options import CurateOptions
from headfield.curate.outcomes import SubjectOutcome, write_outcome
from headfield.curate.person import curate_subject
from headfield.curate.records import FAILED, refuse_place
from headfield.curate.stages import Stages
from headfield.curate.subjects import Subject
from headfield.curate.work import stages
from headfield.errors import ConfigError
from headfield.io.store import Record
from headfield.io.store_writer import StoreWriter
from headfield.synth.identities import frozen

Progress = Callable[[int, int, SubjectOutcome], None]
"""Called with people finished, people in all, and what came of the one just finished."""


def curate(
    subjects: Sequence[Subject],
    out: str | Path,
    options: CurateOptions | None = None,
    *,
    engine: str = "local",
    workers: int = 0,
    force: bool = False,
    progress: Progress | None = None,
    work: Stages | None = None,
) -> list[SubjectOutcome]:
    """Curate people into a store, new or begun.

    Args:
        subjects: Who; their ids are folder names and differ from each other.
        out: The store's folder.
        options: See :class:`headfield.curate.options.CurateOptions`.
        engine: ``local`` or ``ray``.
        workers: Processes; 0 = in this process (local), as many as there are cores (ray).
        force: Do all stages again.
        progress: Called after each person.
        work: The stages, default the real ones.
    Returns:
        What came of each, in the order of `subjects`.
    Raises:
        ConfigError: An unknown engine, or a family whose file is not given or not there.
        StoreError: `out` holds something else, or a store of other sizes.
        OutputError: The disk is full, or `out` cannot be written.
    """
    options = CurateOptions() if options is None else options
    engines = {"local": run_local, "ray": run_ray}
    if engine not in engines:
        raise ConfigError(f"unknown engine {engine!r}: choose {' or '.join(engines)}.")
    if options.family == "flame" and options.family_file is None:
        raise ConfigError("--family flame needs your own file of it: give --family-file generic_model.pkl.")
    if options.family_file is not None and not options.family_file.exists():
        raise ConfigError(f"--family-file {options.family_file} does not exist.")
    out = Path(out)
    options = _absolute_options(options)
    made_with = [] if work is not None else inputs_of(options)
    try:
        return _run(subjects, out, options, engines[engine], workers, force, progress, work or stages(), made_with)
    except OSError as error:
        refuse_place(out, error)


def _run(subjects, out: Path, options, engine, workers, force, progress, work, made_with) -> list[SubjectOutcome]:
    writer = StoreWriter(
        out,
        {"made_by": "curate", "layout": 1},
        box=np.array(frozen()["box"]),
        points=options.points,
        samples=options.samples,
        families=[options.family],
    )
    subjects = [_absolute(subject) for subject in subjects]
    jobs = [(subject, str(out.resolve()), options, work, force, made_with) for subject in subjects]
    outcomes: dict[int, SubjectOutcome] = {}
    for number, outcome in engine(curate_subject, jobs, workers):
        if isinstance(outcome, WorkerDied):
            outcome = SubjectOutcome(subjects[number].id, FAILED, outcome.reason, (), ())
            write_outcome(out, outcome)
        _index(writer, outcome)
        outcomes[number] = outcome
        if progress is not None:
            progress(len(outcomes), len(jobs), outcome)
    writer.sort()
    return [outcomes[number] for number in range(len(jobs))]


def _absolute(subject: Subject) -> Subject:
    """A person with absolute paths: workers elsewhere have a folder of their own."""

    def whole(path: Path | None) -> Path | None:
        return None if path is None else Path(path).absolute()

    scans = [
        replace(scan, path=whole(scan.path), landmarks=whole(scan.landmarks), registration=whole(scan.registration))
        for scan in subject.scans
    ]
    return replace(subject, scans=tuple(scans))


def _absolute_options(options: CurateOptions) -> CurateOptions:
    if options.family_file is not None:
        options = replace(options, family_file=options.family_file.absolute())
    return replace(options, model=str(Path(options.model).absolute())) if Path(options.model).is_dir() else options


def _index(writer: StoreWriter, outcome: SubjectOutcome) -> None:
    """Make the store's index agree with what came of a person; who is no longer in it leaves no samples behind."""
    if outcome.outcome == FAILED:  # an error, which the next run may not meet: what is there stays
        return
    known = writer.finished.get(outcome.id)
    record = None if outcome.record is None else Record(**outcome.record)
    if known == record:
        return
    if known is not None:
        writer.forget(outcome.id)
        if record is None or record.folder != known.folder:
            shutil.rmtree(writer.path / known.folder, ignore_errors=True)
    if record is not None:
        writer.finish(record)
