"""One person's way from raw scans to a folder of the store, stage by stage, in a worker.

Beside the store's own folders lies ``curation/<subject>/`` with the records of the person's fit and samples, and in it
one folder per scan. What an earlier run finished from the same scans and options is taken as it is.
"""

from __future__ import annotations

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
    RejectedError,
    content_hash,
    key_of,
    recorded,
)
from headfield.curate.stages import Stages, placement_of
from headfield.curate.subjects import NEUTRAL, RawScan, Subject
from headfield.errors import StoreError
from headfield.io.store import Record, write_identity
from headfield.types import ARKIT, Mesh

SAMPLE_VERSION = 1


def curate_subject(
    subject: Subject, out: str, options: CurateOptions, work: Stages, force: bool = False
) -> SubjectOutcome:
    """All stages of one person; what earlier runs finished is kept.

    Args:
        subject: Who.
        out: The store's folder.
        options: See :class:`headfield.curate.options.CurateOptions`.
        work: What is done in each stage.
        force: Do all stages again.
    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    run = _Person(subject, Path(out), options, work, force)
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

    def read(self, options: CurateOptions):
        raw = self.raw if self.raw.units is not None else replace(self.raw, units=options.units)
        return raw.read()


class _Person:
    """One person's way through the stages."""

    def __init__(self, subject: Subject, out: Path, options: CurateOptions, work: Stages, force: bool):
        self.subject, self.out, self.options, self.work, self.force = subject, out, options, work, force
        self.folder = out / WORK / subject.id
        self.fresh = 0
        self.notes: list[str] = []
        names = scan_folders(subject)
        self.scans = [_Scan(raw, self.folder / name, {}) for raw, name in zip(subject.scans, names)]
        self.own: dict[str, Recorded] = {}

    def curate(self) -> SubjectOutcome:
        """The whole way."""
        for scan in self.scans:
            self._align(scan)
        found = self._alive()
        if not found:
            return self._nobody("no scan of this person could be placed")
        fit = self._do_own("parametric", self._fit_key(found), lambda: self._fit(found))
        if not fit.done:
            for scan in found:
                scan.outcome, scan.reason = fit.outcome, fit.reason
            return self._told(fit.outcome, fit.reason)
        fitted = fit.arrays()
        for number, scan in enumerate(found):
            self._register(scan, number, fit, fitted)
        kept = [(number, scan) for number, scan in enumerate(found) if scan.outcome == DONE]
        if not kept:
            return self._nobody("no scan of this person is good enough")
        neutral = self._neutral(kept, fitted)
        if neutral is None and self.options.no_neutral == "reject":
            return self._told(REJECTED, "no neutral scan of this person, and --no-neutral is reject")
        made = self._sample(kept, neutral, fit, fitted)
        if not made.done:
            return self._told(made.outcome, made.reason)
        return self._told(DONE, "", made.facts["record"])

    # ---- stages

    def _align(self, scan: _Scan) -> None:
        try:
            content = content_hash(scan.raw.path)
            marks = None if scan.raw.landmarks is None else content_hash(scan.raw.landmarks)
        except OSError as error:
            scan.outcome, scan.reason = FAILED, f"{scan.raw.path.name}: cannot be read ({error.strerror})"
            return
        told = [scan.raw.units or self.options.units, scan.raw.scale, scan.raw.up, scan.raw.expression]
        key = key_of("align", self.work.versions[0], content, marks, told, self.options.model, self.options.seed)
        self._do(scan, "align", key, lambda: self.work.align(scan.read(self.options), scan.raw, self.options))

    def _fit_key(self, found: list[_Scan]) -> str:
        options = [self.options.family, self.options.model, self.options.seed]
        return key_of("parametric", self.work.versions[1], options, [scan.records["align"].key for scan in found])

    def _fit(self, found: list[_Scan]) -> Made:
        placed = [scan.records["align"] for scan in found]
        placements = [(placement_of(record.arrays()), record.facts["units"]) for record in placed]
        return self.work.parametric([scan.read(self.options) for scan in found], placements, self.options)

    def _register(self, scan: _Scan, number: int, fit: Recorded, fitted: dict) -> None:
        key = key_of("complete", self.work.versions[2], fit.key, number, self.options.resolution)
        done = self._do(
            scan, "complete", key, lambda: self.work.complete(scan.read(self.options), fitted, number, self.options)
        )
        if not done.done:
            return
        key = key_of("register", self.work.versions[3], key)
        units = fit.facts["units"][number]
        done = self._do(
            scan,
            "register",
            key,
            lambda: self.work.register(scan.read(self.options), fitted, number, completed(scan), units, self.options),
        )
        if done.done:
            against = reasons_against(done.facts, self.options.limits)
            if against:
                scan.outcome, scan.reason = REJECTED, "; ".join(against)

    def _neutral(self, kept: list[tuple[int, _Scan]], fitted: dict) -> int | None:
        """Position in `kept` of the scan at rest: named so, or unnamed with hardly any expression in its fit."""
        for position, (_, scan) in enumerate(kept):
            if scan.raw.expression == NEUTRAL:
                return position
        strength = [
            np.inf if scan.raw.expression is not None and len(self.scans) > 1 else fitted["expressions"][number].max()
            for number, scan in kept
        ]
        best = int(np.argmin(strength))
        return best if strength[best] <= self.options.limits.neutral else None

    def _sample(self, kept, neutral: int | None, fit: Recorded, fitted: dict) -> Recorded:
        order = list(range(len(kept)))
        if neutral is not None:
            order.remove(neutral)
            order.insert(0, neutral)
        else:
            self.notes.append("No neutral scan: the neutral head is that of the fit.")
        chosen = [kept[position] for position in order]
        sizes = [self.options.points, self.options.samples, self.options.seed, self.options.family]
        keys = [scan.records["register"].key for _, scan in chosen]
        facts = [neutral is not None, self.subject.metadata, self.subject.id]
        key = key_of("sample", SAMPLE_VERSION, fit.key, keys, sizes, facts)
        place = self.out / self.options.family / self.subject.id
        return self._do_own(
            "sample",
            key,
            lambda: self._samples(chosen, neutral is not None, fit, fitted),
            force=not (place / "sdf.npy").exists(),
        )

    def _samples(self, chosen, has_neutral: bool, fit: Recorded, fitted: dict) -> Made:
        from headfield.curate.sampling import CuratedHead, normalising, person_arrays
        from headfield.fit.placement import size_log_of

        heads = []
        for position, (number, scan) in enumerate(chosen):
            expression = fitted["expressions"][number]
            at_rest = has_neutral and position == 0
            vertices = scan.records["register"].arrays()["vertices"]
            heads.append(CuratedHead(completed(scan), vertices, np.zeros(len(ARKIT)) if at_rest else expression))
        if not has_neutral:
            rest = Mesh(fitted["neutral"], fitted["triangles"])
            heads.insert(0, CuratedHead(rest, fitted["neutral"], np.zeros(len(ARKIT))))
        anchors = fitted["anchors"]
        rng = np.random.default_rng([self.options.seed, int(key_of("rng", 1, self.subject.id)[:8], 16)])
        try:
            arrays = person_arrays(
                heads, fitted["triangles"], anchors, self.options.points, self.options.samples, rng, self.subject.id
            )
        except StoreError as error:
            raise RejectedError(str(error)) from error
        number = chosen[0][0]
        total = normalising(anchors).after(placement_of(fitted, number))
        record = Record(
            id=self.subject.id,
            family=self.options.family,
            split=self.subject.metadata.get("split", "train"),
            hair=fit.facts.get("hair", "bald"),
            log_size=size_log_of(total.scale, fit.facts["units"][number]),
            expressions=len(heads),
            describe=dict(self.subject.metadata),
            folder=f"{self.options.family}/{self.subject.id}",
        )
        write_identity(self.out, record, arrays)
        return Made(facts={"record": asdict(record)})

    # ---- bookkeeping

    def _do(self, scan: _Scan, stage: str, key: str, work: Callable[[], Made]) -> Recorded:
        done = recorded(scan.folder, stage, key, work, force=self.force)
        scan.records[stage] = done
        self.fresh += done.fresh
        if not done.done:
            scan.outcome, scan.reason = done.outcome, done.reason
        return done

    def _do_own(self, stage: str, key: str, work: Callable[[], Made], force: bool = False) -> Recorded:
        done = recorded(self.folder, stage, key, work, force=self.force or force)
        self.own[stage] = done
        self.fresh += done.fresh
        return done

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
                {stage: done.seconds for stage, done in scan.records.items()},
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
            {stage: done.seconds for stage, done in self.own.items()},
            max((done.peak_mb for done in everything), default=0.0),
        )


def scan_folders(subject: Subject) -> list[str]:
    """A folder name for each scan of a person: its stem, with the hash of its path where two stems are the same."""
    stems = [scan.path.stem.casefold() for scan in subject.scans]
    return [
        scan.path.stem if stems.count(stem) == 1 else f"{scan.path.stem}-{key_of('scan', 1, str(scan.path))[:8]}"
        for stem, scan in zip(stems, subject.scans)
    ]


def completed(scan: _Scan) -> Mesh:
    """The completed mesh of a scan, model frame."""
    arrays = scan.records["complete"].arrays()
    return Mesh(arrays["vertices"].astype(float), arrays["triangles"].astype(np.int64))

