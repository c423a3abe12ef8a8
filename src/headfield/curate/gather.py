"""The way in of curation: whatever the user points at, as subjects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from headfield.curate.adapters.facescape import is_facescape, people_in_facescape
from headfield.curate.adapters.folder import existing_folder, is_scan, landmarks_beside, listed, people_in_folder
from headfield.curate.adapters.nphm import is_nphm, people_in_nphm
from headfield.curate.subjects import Gathering, RawScan, Skipped, Subject, gathered, with_metadata
from headfield.curate.table import is_scan_list, read_metadata, read_scan_list
from headfield.errors import DataError

METADATA = "subjects.csv"
"""Name of the table of people that is taken from the folder of the scans."""

Layout = Literal["auto", "folder", "nphm", "facescape"]
"""How a folder of scans is laid out; auto finds out."""


def gather(source: str | Path, metadata: str | Path | None = None, *, layout: Layout = "auto") -> Gathering:
    """Find people and their scans. Nothing is read but names, sizes and tables; nothing is written.

    Args:
        source: A folder of scans, or a CSV that names them.
        metadata: A CSV of what is known of each person; None takes ``subjects.csv`` in the folder when it is there.
        layout: How the folder is laid out: a plain folder, NPHM's or FaceScape's; ``auto`` finds out.
    Returns:
        Subjects ordered by id, and what was passed over.
    Raises:
        DataError: Nothing usable there, two people with one id, or a table that cannot be used.
    """
    source = Path(source)
    if source.suffix.lower() in (".csv", ".tsv") and source.is_file():
        found = people_in_list(source)
    else:
        folder = existing_folder(source)
        if layout == "nphm" or (layout == "auto" and is_nphm(folder)):
            found = people_in_nphm(folder)
        elif layout == "facescape" or (layout == "auto" and is_facescape(folder)):
            found = people_in_facescape(folder)
        else:
            found = people_in_folder(folder)
        beside = folder / METADATA
        if metadata is None and beside.is_file():
            metadata = beside
            found = replace(found, skipped=tuple(item for item in found.skipped if item.what != METADATA))
    if metadata is not None:
        metadata = Path(metadata)
        found = with_metadata(found, read_metadata(metadata), metadata.name)
    else:
        found = with_metadata(found, {})
    if not found.subjects:
        raise DataError(f"{source}: nobody is left to curate. {listed(list(found.skipped))}")
    return found


def people_in_list(path: Path) -> Gathering:
    """People of a CSV that names scan files; files that are missing or no scans are listed as skipped.

    Raises:
        DataError: As :func:`headfield.curate.table.read_scan_list`, or the table names no scans.
    """
    if not is_scan_list(path):
        raise DataError(
            f"{path}: has no column 'scan', 'file' or 'path'. A table of people goes to --csv; give the folder of "
            "their scans here."
        )
    skipped: list[Skipped] = []
    people: list[tuple[Subject, str]] = []
    for subject, where in read_scan_list(path):
        scans = [_with_landmarks(scan) for scan in subject.scans if is_scan(scan.path, path.parent, skipped)]
        if scans:
            people.append((Subject(subject.id, tuple(scans), subject.metadata), where))
        else:
            skipped.append(Skipped(subject.id, "has no scan that can be used"))
    if not people:
        raise DataError(f"{path}: names no scan that can be used. {listed(skipped)}")
    joined = gathered(((s.id, where, list(s.scans)) for s, where in people), skipped)
    return with_metadata(joined, {subject.id: subject.metadata for subject, _ in people}, path.name)


def _with_landmarks(scan: RawScan) -> RawScan:
    return scan if scan.landmarks is not None else replace(scan, landmarks=landmarks_beside(scan.path))
