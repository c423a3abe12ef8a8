"""One person's way from raw scans to a folder of the store, stage by stage, in a worker.

Beside the store's own folders lies ``curation/<subject>/`` with the records of the person's fit and samples, and in it
one folder per scan. What an earlier run finished from the same scans and options is taken as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from headfield.curate.options import CurateOptions
from headfield.curate.outcomes import WORK, ScanOutcome, SubjectOutcome, write_outcome
from headfield.curate.quality import reasons_against
from headfield.curate.records import (
    DONE,
    FAILED,
    REJECTED,
    Made,
    Recorded,
    content_hash,
    forget_others,
    key_of,
    recorded,
)
from headfield.curate.stages import Stages, placement_of
from headfield.curate.subjects import NEUTRAL, RawScan, Subject, scan_folders
from headfield.io.store import Record
from headfield.io.store_writer import write_identity
from headfield.types import Mesh, Scan


def curate_subject(
    subject: Subject,
    out: str,
    options: CurateOptions,
    work: Stages,
    force: bool = False,
    made_with: list[str] | None = None,
) -> SubjectOutcome:
    """All stages of one person; what earlier runs finished is kept.

    Args:
        subject: Who.
        out: The store's folder.
        options: See :class:`headfield.curate.options.CurateOptions`.
        work: What is done in each stage.
        force: Do all stages again.
        made_with: Hashes of the files of model and family, see :func:`headfield.curate.content.inputs_of`.
    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    run = _Person(subject, Path(out), options, work, force, made_with or [])
    outcome = run.curate()
    write_outcome(Path(out), outcome)
    return outcome


@dataclass
class _Scan:
    """A scan on its way."""

    raw: RawScan
    folder: Path
    records: dict[str, Recorded]
    reason: str = ""
    outcome: str = DONE
    number: int = -1
    content: Scan | None = None

    def read(self, options: CurateOptions) -> Scan:
        """The scan; the file is read once, and only when a stage has work to do."""
        if self.content is None:
            raw = self.raw if self.raw.units is not None else replace(self.raw, units=options.units)
            self.content = raw.read()
        return self.content


@dataclass(frozen=True)
class _Fitted:
    """Both fits of a person: arrays of the template's and of the model's, units of the scans, key and facts."""

    template: dict
    model: dict
    units: list[str]
    key: str
    facts: dict


class _Ended(Exception):
    """A stage of the person did not end well."""

    def __init__(self, record: Recorded):
        super().__init__(record.reason)
        self.record = record


class _Person:
    """One person's way through the stages."""

    def __init__(self, subject: Subject, out: Path, options: CurateOptions, work: Stages, force: bool, made_with: list):
        self.subject, self.out, self.options, self.work, self.force = subject, out, options, work, force
        self.made_with = made_with
        self.folder = out / WORK / subject.id
        self.fresh = 0
        self.notes: list[str] = []
        names = scan_folders(subject)
        self.scans = [_Scan(raw, self.folder / name, {}) for raw, name in zip(subject.scans, names)]
        self.own: dict[str, Recorded] = {}

    def curate(self) -> SubjectOutcome:
        """The whole way."""
        for scan in self.scans:
            self._place(scan)
        unread = [scan for scan in self.scans if scan.outcome == FAILED and not scan.records]
        if unread:  # a disk that is away for a moment: a fit without these scans would be made again
            return self._told(FAILED, unread[0].reason)
        found = self._alive()
        if not found:
            return self._nobody("no scan of this person could be placed")
        try:
            fitted = self._fits(found)
        except _Ended as end:
            for scan in found:
                scan.outcome, scan.reason = end.record.outcome, end.record.reason
            return self._told(end.record.outcome, end.record.reason)
        for number, scan in enumerate(found):
            scan.number = number
            self._complete(scan, fitted)
        rest = self._registered_neutral(found, fitted)
        for scan in found:
            if scan is not rest and scan.outcome == DONE:
                self._register(scan, fitted, rest)
        kept = self._alive()
        if not kept:
            return self._nobody("no scan of this person is good enough")
        if rest is None and self.options.no_neutral == "reject":
            return self._told(REJECTED, "no neutral scan of this person, and --no-neutral is reject")
        if rest is None:
            self.notes.append("No neutral scan: its neutral head is the registered one without the fitted expression.")
        made = self._sample(kept, rest, fitted)
        if not made.done:
            return self._told(made.outcome, made.reason)
        forget_others(self.folder, {scan.folder.name for scan in self.scans})
        return self._told(DONE, "", made.facts["record"])

    # ---- stages

    def _place(self, scan: _Scan) -> None:
        """Landmarks and alignment."""
        options, raw = self.options, scan.raw
        try:
            content = content_hash(raw.path)
            marks = None if raw.landmarks is None else content_hash(raw.landmarks)
        except OSError as error:
            name = Path(error.filename or raw.path).name
            scan.outcome, scan.reason = FAILED, f"{name}: cannot be read ({error.strerror})"
            return
        key = self._key("landmarks", content, marks, raw.scale, options.landmarks)
        found = self._do(scan, "landmarks", key, lambda: self.work.landmarks(scan.read(options), raw, options))
        if not found.done:
            return
        told = [raw.units or options.units, raw.up, raw.expression]
        key = self._key("align", key, told, options.model, options.seed, self.made_with)
        self._do(scan, "align", key, lambda: self.work.align(scan.read(options), raw, found.arrays(), options))

    def _fits(self, found: list[_Scan]) -> _Fitted:
        """Both fits of the person.

        Raises:
            _Ended: One did not end well.
        """
        options = self.options

        def template() -> Made:
            placements = [placed(scan.records["align"]) for scan in found]
            marks = [scan.records["landmarks"].arrays() for scan in found]
            names = [scan.raw.expression for scan in found]
            return self.work.parametric([scan.read(options) for scan in found], names, marks, placements, options)

        aligned = [scan.records["align"].key for scan in found]
        key = self._key("parametric", aligned, options.family, options.seed)
        first = self._do_own("parametric", key, template)
        units = first.facts.get("units", [])
        arrays = first.arrays()

        def model() -> Made:
            return self.work.model([scan.read(options) for scan in found], arrays, units, options)

        second = self._do_own("model", self._key("model", key, options.model), model)
        found_by_model = second.arrays()
        arrays = {name: found_by_model[name] for name in ("expressions",) if name in found_by_model} | arrays
        return _Fitted(arrays, found_by_model, units, second.key, second.facts)

    def _complete(self, scan: _Scan, fitted: _Fitted) -> None:
        options, number, units = self.options, scan.number, fitted.units[scan.number]

        def work() -> Made:
            return self.work.complete(scan.read(options), fitted.template, fitted.model, number, units, options)

        self._do(scan, "complete", self._key("complete", fitted.key, number, options.resolution), work)

    def _register(self, scan: _Scan, fitted: _Fitted, rest: _Scan | None) -> None:
        """Registration, and what its quality record says."""
        options, number, units = self.options, scan.number, fitted.units[scan.number]

        def work() -> Made:
            marks = scan.records["landmarks"].arrays()
            neutral = None if rest is None else rest.records["register"].arrays()["vertices"]
            return self.work.register(
                scan.read(options), marks, fitted.template, number, units, completed(scan), neutral, options
            )

        start = None if rest is None else rest.records["register"].key
        done = self._do(scan, "register", self._key("register", scan.records["complete"].key, start), work)
        against = reasons_against(done.facts, options.limits) if done.done else []
        if against:
            scan.outcome, scan.reason = REJECTED, "; ".join(against)

    def _registered_neutral(self, found: list[_Scan], fitted: _Fitted) -> _Scan | None:
        """The scan at rest, registered and good enough: one named so, or unnamed with hardly any expression."""
        strength = fitted.template["expressions"].max(1)
        named = [scan for scan in found if scan.raw.expression == NEUTRAL]
        unnamed = [scan for scan in found if scan.raw.expression is None or len(self.scans) == 1]
        quiet = [scan for scan in unnamed if strength[scan.number] <= self.options.limits.neutral]
        for scan in named or sorted(quiet, key=lambda scan: strength[scan.number]):
            if scan.outcome == DONE:
                self._register(scan, fitted, None)
            if scan.outcome == DONE:
                return scan
        return None

    def _sample(self, kept: list[_Scan], rest: _Scan | None, fitted: _Fitted) -> Recorded:
        chosen = kept if rest is None else [rest, *(scan for scan in kept if scan is not rest)]
        options = self.options
        keys = [scan.records["register"].key for scan in chosen]
        facts = [rest is not None, self.subject.metadata, self.subject.id]
        key = self._key("sample", keys, options.points, options.samples, options.seed, options.family, facts)
        place = self.out / options.family / self.subject.id

        def work() -> Made:
            from headfield.curate.sampling import sample_person

            heads = [(scan.number, completed(scan), scan.records["register"].arrays()["vertices"]) for scan in chosen]
            arrays, log_size = sample_person(
                heads, rest is not None, fitted.template, fitted.units, options, self.subject.id
            )
            record = Record(
                id=self.subject.id,
                family=options.family,
                split=self.subject.metadata.get("split", "train"),
                hair=fitted.facts.get("hair", "unknown"),
                log_size=log_size,
                expressions=len(arrays["expressions"]),
                describe=dict(self.subject.metadata),
                folder=f"{options.family}/{self.subject.id}",
            )
            write_identity(self.out, record, arrays)
            return Made(facts={"record": asdict(record)})

        return self._do_own("sample", key, work, force=not (place / "sdf.npy").exists())

    def _key(self, stage: str, *parts) -> str:
        return key_of(stage, self.work.version(stage), *parts)

    # ---- bookkeeping

    def _do(self, scan: _Scan, stage: str, key: str, work: Callable[[], Made]) -> Recorded:
        done = recorded(scan.folder, stage, key, work, force=self.force)
        scan.records[stage] = done
        self._count(done)
        if not done.done:
            scan.outcome, scan.reason = done.outcome, done.reason
        return done

    def _do_own(self, stage: str, key: str, work: Callable[[], Made], force: bool = False) -> Recorded:
        done = recorded(self.folder, stage, key, work, force=self.force or force)
        self.own[stage] = done
        self._count(done)
        if not done.done and stage != "sample":
            raise _Ended(done)
        return done

    def _count(self, done: Recorded) -> None:
        self.fresh += done.fresh
        if done.fresh and "torch" in sys.modules:
            from headfield.nn.machine import return_freed_memory

            return_freed_memory()

    def _alive(self) -> list[_Scan]:
        return [scan for scan in self.scans if scan.outcome == DONE]

    def _nobody(self, reason: str) -> SubjectOutcome:
        """No scan is left: for reasons of quality, or because of errors, which the next run may not meet."""
        failed = any(scan.outcome == FAILED for scan in self.scans)
        if len(self.scans) == 1 and self.scans[0].reason:
            reason = self.scans[0].reason
        return self._told(FAILED if failed else REJECTED, reason)

    def _told(self, outcome: str, reason: str, record: dict | None = None) -> SubjectOutcome:
        scans = tuple(
            ScanOutcome(
                scan.raw.path.name,
                scan.folder.name,
                scan.raw.expression,
                scan.outcome,
                next(reversed(scan.records), ""),
                scan.reason,
                {key: value for done in scan.records.values() for key, value in done.facts.items()},
                {stage: done.cpu for stage, done in scan.records.items()},
            )
            for scan in self.scans
        )
        everything = [*self.own.values(), *(done for scan in self.scans for done in scan.records.values())]
        return SubjectOutcome(
            self.subject.id,
            outcome,
            reason,
            tuple(self.notes),
            scans,
            record,
            self.fresh,
            {stage: done.cpu for stage, done in self.own.items()},
            max((done.peak_mb for done in everything), default=0.0),
        )


def placed(record: Recorded):
    """The placement that the alignment left behind, a :class:`headfield.fit.placement.Placement`."""
    from headfield.fit.placement import Placement, size_log_of

    similarity, units = placement_of(record.arrays()), record.facts["units"]
    return Placement(similarity, units, size_log_of(similarity.scale, units), 0.0)


def completed(scan: _Scan) -> Mesh:
    """The completed mesh of a scan, model frame."""
    arrays = scan.records["complete"].arrays()
    return Mesh(arrays["vertices"].astype(float), arrays["triangles"].astype(np.int64))
