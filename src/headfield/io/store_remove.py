"""Every trace of a person leaves a store, and is named: what people who were scanned may ask for at any time.

A removal is written down before it begins and crossed out when it is over. One that is interrupted goes on with the
next: each step can be repeated, and the index forgets the person first, so nothing half-removed is ever trained on.
"""

from __future__ import annotations

import difflib
import html
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headfield.errors import OutputError, StoreError
from headfield.io.mesh import write_bytes
from headfield.io.store import Store

JOURNAL = ".removal.json"
"""Names the person who is being removed while that lasts."""

WORK = "curation"
"""Folder of a store with one folder per person that was curated into it."""

LINES = (".jsonl", ".log", ".txt", ".csv", ".tsv", ".md", ".yaml", ".yml")
"""Text of which single lines can go."""

PAGES = (".html", ".htm", ".xml", ".svg", ".pdf")
"""Reports, which are made anew rather than mended."""

_NAMES = ("id", "subject", "name", "identity", "record", "person")
"""Keys of a JSON object that say whom it is about."""


class UnknownPerson(StoreError):
    """A store knows nobody of a name."""


@dataclass(frozen=True)
class Trace:
    """Something that told of a person.

    Attributes:
        path: Relative to the store.
        what: What it was and what became of it.
        bytes: How much of it was deleted.
    """

    path: str
    what: str
    bytes: int


def unfinished_removal(path: Path) -> str | None:
    """The person of a removal that was interrupted, or None."""
    try:
        return str(json.loads((Path(path) / JOURNAL).read_text(encoding="utf-8"))["subject"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known_people(path: str | Path) -> list[str]:
    """Everyone of whom a store holds anything: its index, and the people whose curation began or was rejected.

    Raises:
        StoreError: There is no store here, or its index is damaged.
    """
    path = Path(path)
    people = {record.id for record in Store(path, empty=True).records}
    if (path / WORK).is_dir():
        people |= {entry.name for entry in (path / WORK).iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    return sorted(people)


def checked_person(path: str | Path, subject: str) -> None:
    """Refuse a person of whom the store knows nothing, with the nearest names.

    Raises:
        UnknownPerson: The person is unknown.
        StoreError: As :func:`known_people`.
    """
    people = known_people(path)
    if subject in people or subject == unfinished_removal(Path(path)):
        return
    folded = {name.casefold(): name for name in people}
    near = difflib.get_close_matches(subject.casefold(), folded, n=3, cutoff=0.5)
    meant = f"Did you mean {', '.join(repr(folded[name]) for name in near)}?"
    told = meant if near else f"It holds {len(people):,} people."
    raise UnknownPerson(f"{path} knows nobody named {subject!r}. {told}")


def traces_of(path: str | Path, subject: str) -> list[Trace]:
    """What :func:`remove_person` would delete; nothing is changed."""
    return _sweep(Path(path), subject, delete=False)


def remove_person(path: str | Path, subject: str) -> list[Trace]:
    """Delete every trace of a person; a removal that was interrupted before is finished first.

    Folders go whole: the person's arrays, and the records, pictures and cached stages of their curation. From files
    that tell of others too only the person's lines and entries go; a report page that shows them is deleted, since
    curation writes it anew. Scans outside of the store are not touched.

    Args:
        path: The store.
        subject: The person's id.
    Returns:
        What was deleted.
    Raises:
        StoreError: There is no store here, or it knows nobody of that name.
        OutputError: Something could not be deleted; run it again when the cause is gone.
    """
    path = Path(path)
    if unfinished_removal(path) != subject:
        finish_removal(path)
    checked_person(path, subject)
    write_bytes(path / JOURNAL, json.dumps({"subject": subject}).encode())
    try:
        found = _sweep(path, subject, delete=True)
        left = _sweep(path, subject, delete=False)
    except OSError as error:
        raise OutputError(
            f"{error.filename}: could not be deleted ({error.strerror}); run the removal again."
        ) from error
    if left:
        raise OutputError(f"{path / left[0].path}: still tells of {subject!r}; run the removal again.")
    (path / JOURNAL).unlink()
    return found


def finish_removal(path: str | Path) -> None:
    """Finish a removal that was interrupted, if there is one.

    Raises:
        OutputError: As :func:`remove_person`.
    """
    before = unfinished_removal(Path(path))
    if before is not None:
        remove_person(path, before)


def _sweep(path: Path, subject: str, *, delete: bool) -> list[Trace]:
    """Find the traces of a person in the order in which they go."""
    others = [name for name in known_people(path) if name != subject]
    found = list(_index_lines(path, subject, delete))
    for folder in _folders(path, subject, set(others)):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        files = sum(file.is_file() for file in folder.rglob("*"))
        found.append(Trace(folder.relative_to(path).as_posix(), f"folder with {files} files deleted", size))
        if delete:
            # renamed first: nobody ever finds it half empty under its own name
            folder = folder.resolve()
            gone = folder.with_name(f".{uuid.uuid4().hex[:12]}.gone")
            os.replace(folder, gone)
            shutil.rmtree(gone)
    for leftover in _leftovers(path):
        files = leftover.rglob("*") if leftover.is_dir() else [leftover]
        size = sum(file.stat().st_size for file in files if file.is_file())
        found.append(Trace(leftover.relative_to(path).as_posix(), "left by an interrupted write, deleted", size))
        if delete:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for file in _files(path, set(others) | {subject}):
        trace = _of_file(path, file, subject, others, delete)
        if trace is not None:
            found.append(trace)
    if delete:
        for leftover in path.glob("**/.*.gone"):  # of a removal that was interrupted while it deleted
            shutil.rmtree(leftover)
    return found


def _index_lines(path: Path, subject: str, delete: bool) -> Iterator[Trace]:
    index = path / "index.jsonl"
    if not index.exists():
        return
    lines = index.read_bytes().splitlines(keepends=True)
    # a line that was cut off names nobody for sure; the writer would drop it, too
    keep = [line for line in lines if line.endswith(b"\n") and not _names_subject(line, subject)]
    if len(keep) < len(lines):
        yield Trace("index.jsonl", "index line deleted", sum(map(len, lines)) - sum(map(len, keep)))
        if delete:
            write_bytes(index, b"".join(keep))


def _names_subject(line: bytes, subject: str) -> bool:
    try:
        return json.loads(line).get("id") == subject
    except (ValueError, AttributeError):
        return False


def _folders(path: Path, subject: str, others: set[str]) -> list[Path]:
    """Folders named as the person, outside of other people's."""
    found, queue, seen = [], [path], set()
    while queue:
        folder = queue.pop()
        for entry in sorted(folder.iterdir()):
            if not entry.is_dir() or entry.resolve() in seen:  # links are followed: arrays may lie on another disk
                continue
            seen.add(entry.resolve())
            # the store's own folders (families, curation) may be called as a person is
            if entry.name == subject and folder != path:
                found.append(entry)
            elif entry.name not in others or folder == path:
                queue.append(entry)
    return found


def _leftovers(path: Path) -> list[Path]:
    """What writers that were killed left behind under hidden names; it may be anybody's."""
    found = []
    for folder, folders, files in os.walk(path, followlinks=True):
        left = [name for name in (*folders, *files) if name.startswith(".") and name.endswith((".tmp", ".part"))]
        folders[:] = [name for name in folders if name not in left]
        found += [Path(folder) / name for name in left]
    return sorted(found)


def _files(path: Path, people: set[str], top: bool = True) -> Iterator[Path]:
    """Files that are nobody's own."""
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            if entry.name not in people or top:
                yield from _files(entry, people, top=False)
        elif entry.is_file() and not (top and entry.name in (JOURNAL, "index.jsonl", "store.json")):
            yield entry


def _of_file(path: Path, file: Path, subject: str, others: list[str], delete: bool) -> Trace | None:
    """Delete what a file tells of a person."""
    relative = file.relative_to(path).as_posix()
    if _owner(file.name, [subject, *others]) == subject:
        size = file.stat().st_size
        if delete:
            file.unlink()
        return Trace(relative, "file deleted", size)
    suffix = file.suffix.lower()
    if suffix not in (*LINES, *PAGES, ".json"):
        return None
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    told = _mention(subject, others)
    if not told(text):
        return None
    if suffix in PAGES:
        if delete:
            file.unlink()
        return Trace(relative, "report that showed the person deleted; curation writes it anew", _length(text))
    if suffix == ".json":
        return _of_json(file, relative, text, subject, told, delete)
    lines = text.splitlines(keepends=True)
    keep = [line for line in lines if not told(line)]
    left = "".join(keep)
    if delete:
        write_bytes(file, left.encode(errors="surrogateescape"))
    count = len(lines) - len(keep)
    return Trace(relative, f"{count} line{'s' * (count != 1)} deleted", _length(text) - _length(left))


def _of_json(file: Path, relative: str, text: str, subject: str, told, delete: bool) -> Trace | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    left, count = _without(content, subject, told)
    if not count:
        return None
    if left is None:
        if delete:
            file.unlink()
        return Trace(relative, "file about the person deleted", _length(text))
    out = json.dumps(left, indent=1, ensure_ascii=False)
    if delete:
        write_bytes(file, out.encode(errors="surrogateescape"))
    return Trace(relative, f"{count} entr{'y' if count == 1 else 'ies'} deleted", max(0, _length(text) - _length(out)))


def _without(content, subject: str, told: Callable[[str], bool]):
    """JSON content without what is about a person (None: all of it is), and how many entries went."""
    if isinstance(content, dict):
        if any(content.get(key) == subject for key in _NAMES):
            return None, 1
        kept, gone = {}, 0
        for key, value in content.items():
            if key == subject:
                gone += 1
                continue
            left, count = _without(value, subject, told)
            gone += count
            if not (left is None and count):
                kept[key] = left
        return kept, gone
    if isinstance(content, list):
        kept, gone = [], 0
        for value in content:
            left, count = _without(value, subject, told)
            gone += count
            if not (left is None and count):
                kept.append(left)
        return kept, gone
    return (None, 1) if content == subject or (isinstance(content, str) and told(content)) else (content, 0)


def _mention(subject: str, others: list[str]) -> Callable[[str], bool]:
    """Whether a text names the person: where the id is no part of a longer word, nor of another person's id."""

    def forms(name: str) -> set[str]:
        # JSON may write letters beyond ASCII as \\u escapes, and pages write & and quotes as entities
        return {name, json.dumps(name)[1:-1], html.escape(name, quote=True)}

    longer = sorted({form for name in others if subject in name for form in forms(name)}, key=len, reverse=True)
    mask = re.compile("|".join(rf"(?<![\w-]){re.escape(form)}(?![\w-])" for form in longer)) if longer else None
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(form)}(?![\w-])" for form in forms(subject)))
    return lambda text: pattern.search(mask.sub("\0", text) if mask else text) is not None


def _owner(name: str, people: list[str]) -> str | None:
    """Whose file this is by its name: ``ID.jpg``, ``ID-neutral.jpg``, ``ID_2.json``; the longest id counts."""
    fits = [one for one in people if name == one or name.startswith(tuple(one + mark for mark in "._- "))]
    return max(fits, key=len, default=None)


def _length(text: str) -> int:
    """Bytes of a text in a file."""
    return len(text.encode(errors="surrogateescape"))
