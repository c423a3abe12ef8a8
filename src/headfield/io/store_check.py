"""Is a training store whole, and who is in it?"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headfield.errors import StoreError
from headfield.io.store import HASHES, Record, Store, sha256
from headfield.io.store_remove import unfinished_removal

AGE_BANDS = ((0, 3), (3, 13), (13, 20), (20, 30), (30, 40), (40, 50), (50, 60), (60, 70), (70, 200))
"""Years, from the first up to but not including the second."""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """Something that a check found wrong.

    Attributes:
        identity: Whose; empty when it is the store's own.
        file: Which file or folder, relative to the store.
        problem: What is wrong, as the end of a sentence.
    """

    identity: str
    file: str
    problem: str


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        identities: How many were looked at.
        files: Files whose hash was right.
        without_hashes: Ids of those that were written before hashes were kept: only their shapes were checked.
        damaged: What is wrong.
        leftovers: Folders that the index does not name: an unfinished write, which is redone or may be deleted.
    """

    identities: int
    files: int
    without_hashes: tuple[str, ...]
    damaged: tuple[Finding, ...]
    leftovers: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damaged


def check_store(store: Store, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Read every file of a store and compare it with the hash that was taken when it was written.

    Args:
        store: The store.
        progress: Called with identities done and in all.
    """
    right, without, damaged = 0, [], []
    for number, record in enumerate(store.records):
        if progress is not None:
            progress(number, len(store.records))
        folder = store.path / record.folder
        if not folder.is_dir():
            damaged.append(Finding(record.id, record.folder, "is missing"))
            continue
        try:
            store.open(record)
        except StoreError as error:
            damaged.append(Finding(record.id, record.folder, f"has an array that is no good: {error}"))
        if not (folder / HASHES).exists():
            without.append(record.id)
            continue
        count, findings = _by_hash(store, record)
        right += count
        damaged += findings
    if (subject := unfinished_removal(store.path)) is not None:
        damaged.append(Finding(subject, "", "is half removed: run `headfield store remove` again to finish"))
    return Checked(len(store.records), right, tuple(without), tuple(damaged), tuple(_leftovers(store)))


def _by_hash(store: Store, record: Record) -> tuple[int, list[Finding]]:
    folder = store.path / record.folder
    try:
        hashes = json.loads((folder / HASHES).read_text())
        if not isinstance(hashes, dict):
            raise ValueError("no object {...}")
    except ValueError as error:
        return 0, [Finding(record.id, f"{record.folder}/{HASHES}", f"is damaged ({error})")]
    right, findings = 0, []
    for name, expected in hashes.items():
        place = f"{record.folder}/{name}"
        try:
            found = sha256(folder / name)
        except OSError as error:
            findings.append(Finding(record.id, place, f"cannot be read ({error.strerror})"))
            continue
        if found == expected:
            right += 1
        else:
            findings.append(Finding(record.id, place, "was changed since it was written (another SHA-256)"))
    for file in sorted(folder.iterdir()):
        if file.name not in hashes and file.name != HASHES:
            findings.append(Finding(record.id, f"{record.folder}/{file.name}", "was not written by headfield"))
    return right, findings


def _leftovers(store: Store) -> Iterator[str]:
    """Folders with arrays that no index line names."""
    named = {record.folder for record in store.records}
    for file in sorted(store.path.glob("*/*/anchors.npy")):
        folder = file.parent.relative_to(store.path).as_posix()
        if folder not in named:
            yield folder


# ---- who is in it ----------------------------------------------------------------------------------------------------


def balance(records: list[Record]) -> dict[str, dict[str, int]]:
    """Counts by what is known of people: tables of label -> people, by the table's name.

    Tables: ``family``, ``split``, ``hair``, ``beard``, ``age``, ``sex``, ``group``, ``consent``. Those that are known
    of nobody are left out.
    """
    tables = {
        "family": Counter(record.family for record in records),
        "split": Counter(record.split for record in records),
        "hair": Counter(record.hair for record in records),
        "beard": Counter(record.beard for record in records),
        "age": Counter(age_band(record) for record in records),
        "sex": Counter(_word(record, "sex", "gender") for record in records),
        "group": Counter(_word(record, "group") for record in records),
        "consent": Counter(_word(record, "consent") for record in records),
    }
    return {
        name: dict(sorted(counts.items(), key=lambda item: _order(name, item)))
        for name, counts in tables.items()
        if set(counts) != {UNKNOWN}
    }


def age_band(record: Record) -> str:
    """``20-29``, ``70+``, or ``unknown``."""
    try:
        years = float(record.describe.get("age_years", record.describe.get("age", "nan")))
    except (TypeError, ValueError):
        return UNKNOWN
    if math.isnan(years):
        return UNKNOWN
    for low, high in AGE_BANDS:
        if low <= years < high:
            return f"{low}+" if high == AGE_BANDS[-1][1] else f"{low}-{high - 1}"
    return UNKNOWN


def _word(record: Record, *columns: str) -> str:
    for column in columns:
        value = str(record.describe.get(column, "")).strip().casefold()
        if value:
            return {"f": "female", "m": "male", "w": "female"}.get(value, value) if column != "group" else value
    return UNKNOWN


def _order(table: str, item: tuple[str, int]):
    label, count = item
    if label == UNKNOWN:
        return (1, 0.0)
    return (0, float(label.split("-")[0].rstrip("+"))) if table == "age" else (0, -count)
