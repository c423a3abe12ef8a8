"""The NPHM data set as published (Giebenhain et al. 2023): ``017/000/scan.ply`` with its registration beside it."""

from __future__ import annotations

import re
from pathlib import Path

from headfield.curate.adapters.folder import existing_folder, visible
from headfield.curate.subjects import NEUTRAL, Gathering, RawScan, Skipped, gathered
from headfield.errors import DataError
from headfield.frames import METRES_PER_UNIT
from headfield.io.formats import read_json

SCANS = ("scan.ply", "scan.obj")
REGISTRATION = "registration.ply"
NEUTRALS = "neutrals_closed.json"
"""Which expression of each person is neutral with a closed mouth; in the ``dataset`` folder of the code release."""

_NUMBER = re.compile(r"\d{1,5}")


def is_nphm(folder: Path) -> bool:
    """Whether a folder is laid out as the data set is: number / number / scan."""
    people = [entry for entry in visible(folder) if _NUMBER.fullmatch(entry.name) and entry.is_dir()]
    return any(_scan_in(expression) for person in people[:20] for expression in visible(person)[:3])


def people_in_nphm(folder: str | Path) -> Gathering:
    """People of the NPHM data set, read only.

    The scans are in FLAME's frame times four, true to size: 0.25 m a unit, +y up. Expressions are named by their
    number; ``neutral`` is the one that ``neutrals_closed.json`` (in this folder, in its ``dataset`` folder or beside
    it) names, else 000, which it is for nineteen people in twenty.

    Args:
        folder: The folder that holds ``017``, ``018``, ...
    Raises:
        DataError: No such folder, no people in it, or the list of neutral scans is damaged.
    """
    folder = existing_folder(folder)
    neutral, notes = _neutrals(folder)
    found, skipped = [], []
    for person in visible(folder):
        if not (person.is_dir() and _NUMBER.fullmatch(person.name)):
            if person.name not in (NEUTRALS, "subjects.csv", "dataset"):
                skipped.append(Skipped(person.name, "is no person of the data set"))
            continue
        rest = neutral.get(int(person.name), 0)
        scans = []
        for expression in visible(person):
            if not (expression.is_dir() and _NUMBER.fullmatch(expression.name)):
                continue
            scan = _scan_in(expression)
            if scan is None:
                skipped.append(Skipped(f"{person.name}/{expression.name}", "has no scan.ply"))
                continue
            registration = expression / REGISTRATION
            scans.append(
                RawScan(
                    scan,
                    NEUTRAL if int(expression.name) == rest else expression.name,
                    units="m",
                    scale=METRES_PER_UNIT,
                    up="y",
                    registration=registration if registration.is_file() else None,
                )
            )
        if scans:
            found.append((person.name, str(person), scans))
        else:
            skipped.append(Skipped(person.name, "has no scans"))
    if not found:
        raise DataError(f"{folder}: not laid out as the NPHM data set; expected folders such as 017/000/scan.ply.")
    licence = (
        "The NPHM data set may be used for research under the terms that you signed; neither it nor what is derived "
        "from it may be passed on where those terms forbid it."
    )
    return gathered(found, skipped, (licence, *notes))


def _scan_in(expression: Path) -> Path | None:
    return next((expression / name for name in SCANS if (expression / name).is_file()), None)


def _neutrals(folder: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """Number of each person's neutral expression, -1 for none."""
    places = (folder / NEUTRALS, folder / "dataset" / NEUTRALS, folder.parent / NEUTRALS)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return {}, (f"No {NEUTRALS} here: expression 000 was taken as the neutral one of everybody.",)
    content = read_json(file, "neutral scans of NPHM")
    try:
        return {int(person): int(expression) for person, expression in content.items()}, ()
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: expected {{person: number of an expression}} ({error}).") from error
