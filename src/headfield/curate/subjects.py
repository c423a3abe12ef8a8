"""Who is to be curated: people, their raw scans, and what is known of them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from headfield.curate.records import key_of
from headfield.errors import DataError
from headfield.io import guard
from headfield.io.scan import read_scan
from headfield.types import Mesh, Scan

NEUTRAL = "neutral"
"""Expression name of a face at rest with its mouth closed."""

GIVEN = frozenset({"yes", "y", "true", "1", "given", "granted"})
REFUSED = frozenset({"no", "n", "false", "0", "none", "refused", "withdrawn", "revoked"})
"""Values of the column ``consent``: only the first let a person in, and any other word is an error."""

SPLITS = ("train", "dev", "test")
"""Values of the column ``split``."""


@dataclass(frozen=True)
class RawScan:
    """One file of one person.

    Attributes:
        path: The scan file.
        expression: ``neutral``, another name as the data set has it (``smile``, ``jaw_left``), or None when unknown.
        units: ``mm``, ``cm``, ``m``, ``inch``, or None when unknown: curation finds it.
        scale: Factor from the file's numbers to `units`, for data sets with a unit of their own (NPHM: 0.25 to metres).
        up: Axis of the file that points to the crown when known (``y``, ``-z``, ...), else None: curation finds it.
        landmarks: A file that ``headfield fit --landmarks`` would take, or None.
        registration: A mesh in dense correspondence over the data set, same frame and unit as the scan, or None.
    """

    path: Path
    expression: str | None = None
    units: str | None = None
    scale: float = 1.0
    up: str | None = None
    landmarks: Path | None = None
    registration: Path | None = None

    def read(self, max_points: int = 200_000) -> Scan:
        """The scan in `units`.

        Args:
            max_points: As in :func:`headfield.io.scan.read_scan`.
        Raises:
            ScanError: It cannot be used.
        """
        scan = read_scan(self.path, self.units, max_points)
        return scan if self.scale == 1.0 else replace(scan, points=scan.points * self.scale)

    def read_registration(self) -> Mesh | None:
        """The registration in `units`, every vertex in the file's order, or None when there is none.

        Raises:
            ScanError: It cannot be used, or is no mesh.
        """
        if self.registration is None:
            return None
        from headfield.errors import ScanError
        from headfield.io.formats import read_raw

        raw = read_raw(self.registration)
        if raw.triangles is None:
            raise ScanError(f"{self.registration}: holds points only; a registration is a mesh with triangles.")
        return Mesh(raw.points.astype(float) * self.scale, raw.triangles.astype(int))


@dataclass(frozen=True)
class Subject:
    """One person.

    Attributes:
        id: Name, fit to be a folder's name; see :func:`checked_id`.
        scans: What there is of them, the neutral ones first.
        metadata: Columns of the user's table (``age``, ``sex``, ``group``, ``consent``, ...), text as written.
    """

    id: str
    scans: tuple[RawScan, ...]
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def consents(self) -> bool:
        """False when the table says that this person does not agree to the use of their data."""
        return "consent" not in self.metadata or self.metadata["consent"].strip().casefold() in GIVEN


@dataclass(frozen=True)
class Skipped:
    """Something that lay among the scans and is not used.

    Attributes:
        what: A path or a subject.
        reason: Why, as the end of a sentence.
    """

    what: str
    reason: str


@dataclass(frozen=True)
class Gathering:
    """What was found.

    Attributes:
        subjects: Ordered by id.
        skipped: Files that are no scans, people without consent, lines of tables that match nobody.
        notes: What the user should know, one sentence each: the data set's licence, what had to be assumed.
        refused: Ids of those who do not consent: what a store holds of them has to go.
    """

    subjects: tuple[Subject, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def checked_id(identity: str, where: str) -> str:
    """An id that can name a folder on every system.

    Args:
        identity: As written; white space around it does not count.
        where: For the message.
    Returns:
        The id in Unicode's composed form.
    Raises:
        DataError: Empty, longer than 120 bytes, starts with a dot, or holds a path or control character.
    """
    name = unicodedata.normalize("NFC", identity.strip())
    bad = sorted({c for c in name if c in '/\\:*?"<>|' or unicodedata.category(c) in ("Cc", "Cs")})
    if not name or bad or name.startswith(".") or name.endswith(".") or len(name.encode()) > 120:
        why = f"holds {' '.join(map(repr, bad[:5]))}" if bad else "is empty, too long, or begins or ends with a dot"
        raise DataError(f"{where}: the subject id {guard.quoted(identity)} {why}; an id must be able to name a folder.")
    return name


def same_person(identity: str) -> str:
    """What two ids share when they would be one folder on some systems: composed form, case folded."""
    return unicodedata.normalize("NFC", identity).casefold()


def gathered(
    found: Iterable[tuple[str, str, list[RawScan]]], skipped: Iterable[Skipped] = (), notes: Iterable[str] = ()
) -> Gathering:
    """Put people together.

    Args:
        found: Id, where it was found, scans, for every person.
        skipped, notes: See :class:`Gathering`.
    Raises:
        DataError: Two people have one id, or ids that differ in upper and lower case only.
    """
    subjects: dict[str, tuple[str, Subject]] = {}
    for identity, where, scans in found:
        identity = checked_id(identity, where)
        key = same_person(identity)
        if key in subjects:
            first, other = subjects[key]
            raise DataError(
                f"Two people have one id: {other.id!r} ({first}) and {identity!r} ({where}). "
                "Rename one, or put the scans of one person into one sub-folder."
            )
        ordered = sorted(scans, key=lambda scan: (scan.expression != NEUTRAL, str(scan.path)))
        subjects[key] = (where, Subject(identity, tuple(ordered)))
    people = sorted((subject for _, subject in subjects.values()), key=lambda subject: subject.id)
    return Gathering(tuple(people), tuple(skipped), tuple(notes))


def with_metadata(gathering: Gathering, table: dict[str, dict[str, str]], name: str = "the table") -> Gathering:
    """Join people with what a table says of them; who does not consent is left out and listed.

    Args:
        gathering: The people.
        table: Columns by id, see :func:`headfield.curate.table.read_metadata`.
        name: The table's name, for the list of what was skipped.
    Raises:
        DataError: A word for consent or split that is not known, or somebody refuses who matches no scans.
    """
    for identity, row in table.items():
        _check_row(identity, row, name)
    known = {same_person(subject.id) for subject in gathering.subjects}
    rows = {same_person(identity): row for identity, row in table.items()}
    skipped = list(gathering.skipped)
    absent = [identity for identity in table if same_person(identity) not in known]
    near = {_plainest(subject.id): subject.id for subject in gathering.subjects}
    for identity in absent:
        like = near.get(_plainest(identity))
        if like is not None and table[identity].get("consent", "yes").strip().casefold() in REFUSED:
            raise DataError(
                f"{name}: {identity!r} does not consent and has no scans, but there are scans of {like!r}. If they are "
                "one person, write the id as the scans have it; else rename one."
            )
    skipped += [Skipped(identity, f"is in {name} but has no scans") for identity in absent]
    said_no = [identity for identity in absent if table[identity].get("consent", "yes").strip().casefold() in REFUSED]
    kept, refused = [], said_no
    asked = any("consent" in row for row in table.values())
    for subject in gathering.subjects:
        subject = replace(subject, metadata=subject.metadata | rows.get(same_person(subject.id), {}))
        silent = asked and same_person(subject.id) in rows and "consent" not in subject.metadata
        if subject.consents and not silent:
            kept.append(subject)
        else:
            said = "no word" if silent else repr(subject.metadata["consent"])
            skipped.append(Skipped(subject.id, f"has no consent ({said} in {name})"))
            refused.append(subject.id)
    return replace(gathering, subjects=tuple(kept), skipped=tuple(skipped), refused=tuple(refused))


def _check_row(identity: str, row: dict[str, str], name: str) -> None:
    consent, split = row.get("consent", "yes").strip().casefold(), row.get("split", "train").strip().casefold()
    if consent not in GIVEN | REFUSED:
        raise DataError(
            f"{name}: consent of {identity!r} is {guard.quoted(row['consent'])}; expected one of "
            f"{', '.join(sorted(GIVEN))} or {', '.join(sorted(REFUSED))}."
        )
    if split not in SPLITS:
        said = guard.quoted(row["split"])
        raise DataError(f"{name}: split of {identity!r} is {said}; expected {', '.join(SPLITS)}.")
    if "split" in row:
        row["split"] = split


def _plainest(identity: str) -> str:
    """An id without what tables lose: case, leading zeros, white space."""
    return same_person(identity).strip().lstrip("0")


def scan_folders(subject: Subject) -> list[str]:
    """A folder name for each scan of a person: its stem, with the hash of its path (below the folder that all of them
    share) where two stems are the same."""
    stems = [scan.path.stem.casefold() for scan in subject.scans]
    shared = os.path.commonpath([scan.path.absolute().parent for scan in subject.scans])

    def told(path: Path) -> str:
        return key_of("scan", 1, Path(os.path.relpath(path.absolute(), shared)).as_posix())[:8]

    return [
        scan.path.stem if stems.count(stem) == 1 else f"{scan.path.stem}-{told(scan.path)}"
        for stem, scan in zip(stems, subject.scans)
    ]
