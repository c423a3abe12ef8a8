"""FaceScape as published (Yang et al. 2020): its topologically uniform models and its multi-view meshes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headfield.curate.adapters.folder import existing_folder, visible
from headfield.curate.subjects import Gathering, RawScan, Skipped, gathered, with_metadata
from headfield.errors import DataError
from headfield.io.formats import read_json

EXPRESSIONS = (
    "neutral smile mouth_stretch anger jaw_left jaw_right jaw_forward mouth_left mouth_right dimpler chin_raiser "
    "lip_puckerer lip_funneler sadness lip_roll grin cheek_blowing eye_closed brow_raiser brow_lower"
).split()
"""The twenty expressions, numbered from 1."""

SCALES = "Rt_scale_dict.json"
"""Scale and rigid motion from each multi-view mesh to its uniform model; in the ``toolkit/predef`` of the release."""

_FILE = re.compile(r"(\d{1,2})_(\w+)")


def is_facescape(folder: Path) -> bool:
    """Whether a folder is laid out as either part of the data set is."""
    for person, _ in _people(folder):
        if (person / "models_reg").is_dir():
            return True
        return any(_expression(file) for file in visible(person) if file.suffix.lower() in (".ply", ".obj"))
    return False


def people_in_facescape(folder: str | Path) -> Gathering:
    """People of FaceScape, read only.

    Read are ``7/models_reg/2_smile.obj`` (uniform models, millimetres, one topology: each is its own registration),
    the same files without ``models_reg``, and ``7/2_smile.ply`` (multi-view meshes, of no known unit unless
    ``Rt_scale_dict.json`` lies in the folder), also when they are still in the folders of the downloads
    (``facescape_trainset_001_100/7/...``). Where both parts are there the uniform model is used. Age and sex come from
    ``info_list*.txt``, and who may be shown from ``publishable_list*.txt``.

    Args:
        folder: The folder of people, or of the downloads' folders.
    Raises:
        DataError: No such folder, no people in it, one person twice, or a list that is damaged.
    """
    folder = existing_folder(folder)
    scales = _scales(folder)
    found: dict[str, _Person] = {}
    skipped: list[Skipped] = []
    for person, batch in _people(folder):
        entry = found.setdefault(person.name, _Person())
        _take(entry, person, batch, scales, skipped)
    people = [(name, entry.where, list(entry.scans.values())) for name, entry in found.items() if entry.scans]
    if not people:
        raise DataError(
            f"{folder}: not laid out as FaceScape; expected files such as 1/models_reg/1_neutral.obj or "
            "1/1_neutral.ply."
        )
    licence = (
        "FaceScape may be used for non-commercial research under the licence that you signed; only people of its "
        "publishable list may be shown."
    )
    notes = (licence,)
    unknown = sum(s.units is None for _, _, scans in people for s in scans)
    if unknown:
        notes += (f"{unknown} multi-view meshes are of unknown unit: put {SCALES} into {folder} to know it.",)
    facts = {name: row for name, row in _facts(folder).items() if name in found}
    return with_metadata(gathered(people, skipped, notes), facts)


@dataclass
class _Person:
    """Scans by number of the expression, and where the first was."""

    where: str = ""
    scans: dict[int, RawScan] = field(default_factory=dict)


def _people(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folders of people, directly below or inside the downloads' folders, and the latter's names."""
    for entry in visible(folder):
        if entry.is_dir() and entry.name.isdecimal():
            yield entry, ""
    for batch in visible(folder):
        if batch.is_dir() and not batch.name.isdecimal():
            for entry in visible(batch):
                if entry.is_dir() and entry.name.isdecimal():
                    yield entry, batch.name


def _take(entry: _Person, person: Path, batch: str, scales: dict, skipped: list[Skipped]) -> None:
    entry.where = entry.where or str(person)
    uniform = [file for place in (person / "models_reg", person) if place.is_dir() for file in visible(place)]
    for file in (file for file in uniform if file.suffix.lower() == ".obj"):
        number = _expression(file)
        if number is None:
            skipped.append(Skipped(f"{person.name}/{file.name}", "is none of the twenty expressions"))
        elif number in entry.scans and entry.scans[number].registration is not None:
            raise DataError(f"{file}: expression {number} of person {person.name} is in {entry.where} already.")
        else:
            entry.scans[number] = RawScan(file, EXPRESSIONS[number - 1], units="mm", up="y", registration=file)
    for file in (file for file in visible(person) if file.suffix.lower() == ".ply"):
        number = _expression(file)
        if number is None:
            skipped.append(Skipped(f"{person.name}/{file.name}", "is none of the twenty expressions"))
        elif number in entry.scans:
            skipped.append(Skipped(f"{person.name}/{file.name}", "is left aside for the uniform model"))
        else:
            scale = scales.get((int(person.name), number))
            units, factor = (None, 1.0) if scale is None else ("mm", scale)
            entry.scans[number] = RawScan(file, EXPRESSIONS[number - 1], units=units, scale=factor)


def _expression(file: Path) -> int | None:
    """Number of the expression that a file's name states, or None."""
    match = _FILE.fullmatch(file.stem)
    if match is None or not 1 <= int(match[1]) <= len(EXPRESSIONS):
        return None
    return int(match[1]) if match[2] == EXPRESSIONS[int(match[1]) - 1] else None


def _scales(folder: Path) -> dict[tuple[int, int], float]:
    """Millimetres per unit of each multi-view mesh, by person and expression."""
    file = folder / SCALES
    if not file.is_file():
        return {}
    try:
        content = read_json(file, "scales of FaceScape")
        scales = {
            (int(person), int(expression)): float(value[0])
            for person, values in content.items()
            for expression, value in values.items()
        }
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise DataError(f"{file}: expected {{person: {{expression: [scale, Rt]}}}} ({error}).") from error
    if not all(math.isfinite(scale) and scale > 0 for scale in scales.values()):
        raise DataError(f"{file}: holds a scale that is not a positive number.")
    return scales


def _facts(folder: Path) -> dict[str, dict[str, str]]:
    """Age, sex and whether a person may be shown, from the lists that come with the data."""
    facts: dict[str, dict[str, str]] = {}
    for file in sorted(folder.glob("info_list*.txt")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) < 3 or not words[0].isdecimal():
                continue
            row = facts.setdefault(words[0], {})
            sex = {"m": "male", "f": "female"}.get(words[1].casefold())
            row |= ({"sex": sex} if sex else {}) | ({"age": words[2]} if words[2].isdecimal() else {})
    for file in sorted(folder.glob("publishable_list*.txt")):
        numbers = set(re.findall(r"\d+", file.read_text(encoding="utf-8", errors="replace")))
        for person, _ in _people(folder):
            facts.setdefault(person.name, {})["publishable"] = "yes" if person.name in numbers else "no"
    return facts
