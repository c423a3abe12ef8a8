"""What came of people and their scans, kept beside the records for the report and for later runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from headfield.io.mesh import write_bytes

WORK = "curation"
"""Folder of the records in the store; nothing that trains reads it."""

SUBJECT = "subject.json"
"""What came of a person, for the report."""


@dataclass(frozen=True)
class ScanOutcome:
    """What came of one scan.

    Attributes:
        name: Its file's name.
        folder: Its folder of records, relative to the person's.
        expression: Name of its expression, or None.
        outcome: ``done``, ``rejected`` or ``failed``.
        stage: The stage that it came to.
        reason: Why it is not in the store, else empty.
        facts: Its quality record.
        seconds: Processor seconds by stage.
    """

    name: str
    folder: str
    expression: str | None
    outcome: str
    stage: str
    reason: str
    facts: dict
    seconds: dict


@dataclass(frozen=True)
class SubjectOutcome:
    """What came of a person.

    Attributes:
        id: The person.
        outcome: ``done``, ``rejected`` or ``failed``.
        reason: Why the person is not in the store, else empty.
        notes: What was noticed, one sentence each.
        scans: What came of each scan.
        record: The store's record, or None.
        fresh: Stages that were done in this run.
        seconds: Processor seconds by stage of the person.
        peak_mb: Most memory that a worker had used by the end of any of the stages, MiB.
    """

    id: str
    outcome: str
    reason: str
    notes: tuple[str, ...]
    scans: tuple[ScanOutcome, ...]
    record: dict | None = None
    fresh: int = 0
    seconds: dict | None = None
    peak_mb: float = 0.0


def write_outcome(out: Path, outcome: SubjectOutcome) -> None:
    """Keep what came of a person, unless that is what is kept already."""
    folder = out / WORK / outcome.id
    content = asdict(outcome)
    known = read_outcome(folder)
    if known is not None and _plain(asdict(known)) == _plain(content):
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / SUBJECT, json.dumps(content, indent=1, ensure_ascii=False).encode())


def read_outcome(folder: Path) -> SubjectOutcome | None:
    """What came of the person of a folder of records, or None when there is nothing that can be read."""
    try:
        content = json.loads((folder / SUBJECT).read_text(encoding="utf-8"))
        scans = tuple(ScanOutcome(**scan) for scan in content.pop("scans"))
        return SubjectOutcome(scans=scans, **(content | {"notes": tuple(content["notes"])}))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_outcomes(out: Path) -> list[SubjectOutcome]:
    """What came of everybody in a store, ordered by id."""
    found = [read_outcome(folder) for folder in sorted((out / WORK).glob("*")) if folder.is_dir()]
    return sorted((outcome for outcome in found if outcome is not None), key=lambda outcome: outcome.id)


def _plain(content: dict) -> dict:
    """Without what differs from run to run."""
    return json.loads(json.dumps({key: value for key, value in content.items() if key != "fresh"}))
