"""The training store: one folder of memory-mapped arrays per identity and one index line per finished folder.

Layout (version 1)::

    store.json              {"version": 1, "box": [[3], [3]], "expression": "arkit52", "families": [...],
                             "points": P, "samples": S, "settings": {...}}
    index.jsonl             one Record per finished identity
    <folder>/anchors.npy    (39, 3) f4   neutral skin anchors
             expressions.npy (M, 52) f4  ARKit weights; row 0 is zero (neutral)
             points.npy     (M, P, 3) u2 surface points, quantised over the box, in random order in every row
             normals.npy    (M, P, 3) i1 outward unit normals times 127
             canonical.npy  (M, P, 3) u2 the same material points on the neutral head
             canonical_valid.npy (M, P) bool, False where the point is hidden on the neutral head
             samples.npy    (M, S, 3) u2 points off the surface, in random order in every row
             sdf.npy        (M, S) f2    their signed distance, model units, negative inside, clipped to +-0.1
             truth.npz      (dev and test) full-precision vertices and triangles for evaluation
             hashes.json    {"file name": "its SHA-256"}; folders of headfield 0.1 have none

Where ``store.json`` has ``"material": true`` a folder holds these too::

    <folder>/anchors65.npy  (65, 3) f4   neutral places by frames.ANCHOR65_NAMES
             triangle.npy   (M, P) i4    the skin's triangle of each surface point; -1 - the hair's triangle on hair
             weights.npy    (M, P, 2) u2 its first two barycentric weights, times 65535
             lift.npy       (M, P) f2    how far it lies outside the triangle, model units: under a rounded join
             samples_canonical.npy (M, S, 3) u2 where the samples near the surface are on the neutral head
             samples_valid.npy (M, S) bool, which samples have such a place

All positions are in the model frame. A folder is written under a temporary name and renamed, and its index line
is appended last: what the index names is complete, and everything else may be deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from headfield.errors import StoreError
from headfield.frames import ANCHOR65_NAMES, BOX, N_ANCHORS
from headfield.io.arrays import save_npz
from headfield.types import ARKIT

VERSION = 1
HASHES = "hashes.json"
"""List of the hashes of an identity's files, in its folder."""


@dataclass(frozen=True)
class Record:
    """One finished identity: one line of ``index.jsonl``.

    Attributes:
        id: Unique name such as ``ict-train-00012``.
        family: Parametric family (``ict``, ``anny``).
        split: ``train``, ``dev`` or ``test``; splits are by identity.
        hair: Hair class, ``bald`` for none.
        beard: ``none``, ``moustache`` or ``full``.
        log_size: Natural log of the head's size relative to the reference adult (0 = 1 unit is 250 mm).
        expressions: Number of rows M; row 0 is neutral.
        describe: What the family says of the person (age, gender, ...), may be empty.
        folder: Place of the arrays, relative to the store.
        taken_back: Of whole faces of truth v2: by which factor the channels were multiplied that made lips or lids pass
            through each other, for all rows but the first two; 1 where nothing was. None, and not stored, where no
            expression was tested.
    """

    id: str
    family: str
    split: str
    hair: str = "bald"
    beard: str = "none"
    log_size: float = 0.0
    expressions: int = 1
    describe: dict = field(default_factory=dict)
    folder: str = ""
    taken_back: list[float] | None = None

    def line(self) -> str:
        """The record's line of the index."""
        known = {name: value for name, value in asdict(self).items() if name != "taken_back" or value is not None}
        return json.dumps(known, sort_keys=True) + "\n"


def array_layout(
    rows: int, points: int, samples: int, material: bool = False
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every array of an identity with this many rows."""
    layout = {
        "anchors": ((N_ANCHORS, 3), "<f4"),
        "expressions": ((rows, len(ARKIT)), "<f4"),
        "points": ((rows, points, 3), "<u2"),
        "normals": ((rows, points, 3), "|i1"),
        "canonical": ((rows, points, 3), "<u2"),
        "canonical_valid": ((rows, points), "|b1"),
        "samples": ((rows, samples, 3), "<u2"),
        "sdf": ((rows, samples), "<f2"),
    }
    if not material:
        return layout
    return layout | {
        "anchors65": ((len(ANCHOR65_NAMES), 3), "<f4"),
        "triangle": ((rows, points), "<i4"),
        "weights": ((rows, points, 2), "<u2"),
        "lift": ((rows, points), "<f2"),
        "samples_canonical": ((rows, samples, 3), "<u2"),
        "samples_valid": ((rows, samples), "|b1"),
    }


def write_identity(
    store: Path, record: Record, arrays: dict[str, np.ndarray], truth: dict[str, np.ndarray] | None = None
) -> None:
    """Write one identity's folder atomically (any process may do this; the index line comes later).

    Raises:
        StoreError: An array is missing or has a wrong shape.
    """
    sizes = arrays["points"].shape[1], arrays["samples"].shape[1]
    layout = array_layout(record.expressions, *sizes, material="triangle" in arrays)
    target = Path(store) / record.folder
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for name, (shape, dtype) in layout.items():
            if name not in arrays or arrays[name].shape != shape:
                seen = arrays[name].shape if name in arrays else "nothing"
                raise StoreError(f"{record.id}: array {name!r} should have shape {shape}, got {seen}.")
            np.save(temporary / f"{name}.npy", arrays[name].astype(dtype, copy=False), allow_pickle=False)
        if truth is not None:
            save_npz(temporary / "truth.npz", truth, compressed=True)
        hashes = {file.name: sha256(file) for file in sorted(temporary.iterdir())}
        (temporary / HASHES).write_text(json.dumps(hashes, indent=1))
        aside = target.with_name(f".{target.name}.{os.getpid()}.old.tmp")
        if target.exists():  # made anew, or left by a killed writer: moved away in one step, deleted afterwards
            os.replace(target, aside)
        os.replace(temporary, target)
        shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class StoreWriter:
    """Writes a store, resuming one that exists with the same settings.

    One writer at a time owns ``index.jsonl``; worker processes may call :func:`write_identity` and leave only
    :meth:`finish` to it.

    Args:
        path: The store's folder, created if need be.
        settings: What made the data, JSON-able; a resumed store must have the same.
        box: (2, 3) model box.
        points, samples: P and S, surface points and off-surface samples per row.
        families: Names of the families inside.
        material: Whether identities come with material coordinates and 65 anchors.
    Raises:
        StoreError: The folder holds a store of other settings, or something else.
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict,
        *,
        box: np.ndarray = BOX,
        points: int = 12288,
        samples: int = 3072,
        families: list[str] | tuple[str, ...] = (),
        material: bool = False,
    ):
        self.path = Path(path)
        self.box = np.asarray(box, dtype=float)
        header = {
            "version": VERSION,
            "box": self.box.tolist(),
            "expression": "arkit52",
            "families": list(families),
            "points": points,
            "samples": samples,
            "settings": settings,
        }
        if material:  # stores without keep the header that they always had
            header["material"] = True
        header = json.loads(json.dumps(header))
        if (self.path / "store.json").exists():
            found = _read_header(self.path)
            changed = sorted(key for key in header | found if found.get(key) != header.get(key))
            if changed:
                raise StoreError(
                    f"{self.path} holds a store made with other settings ({', '.join(changed)} differ). "
                    "Use the same options to resume it, or another folder."
                )
        else:
            if self.path.exists() and any(self.path.iterdir()):
                raise StoreError(f"{self.path} is not empty and holds no store.json: give an empty or new folder.")
            self.path.mkdir(parents=True, exist_ok=True)
            _write_text(self.path / "store.json", json.dumps(header, indent=1))
        self.header = header
        records, complete_bytes = _read_index(self.path)
        if (self.path / "index.jsonl").exists():
            with open(self.path / "index.jsonl", "r+b") as index:
                index.truncate(complete_bytes)  # a line that was cut off by a kill
        self.finished: dict[str, Record] = {record.id: record for record in records}
        for leftover in [*self.path.glob("*/.*.tmp"), *self.path.glob(".*.tmp")]:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)

    def __contains__(self, identity_id: str) -> bool:
        return identity_id in self.finished

    def finish(self, record: Record) -> None:
        """Append the index line of an identity whose folder is complete.

        Raises:
            StoreError: The identity is in the index already.
        """
        if record.id in self.finished:
            raise StoreError(f"{record.id} is in the index of {self.path} already.")
        with open(self.path / "index.jsonl", "ab") as index:
            index.write(record.line().encode())
            index.flush()
            os.fsync(index.fileno())
        self.finished[record.id] = record

    def forget(self, identity_id: str) -> None:
        """Take an identity's line out of the index, if it has one; its folder is the caller's."""
        if self.finished.pop(identity_id, None) is not None:
            self._rewrite()

    def sort(self) -> None:
        """Put the index lines in the order of their ids, whatever order the workers finished in."""
        if list(self.finished) != sorted(self.finished):
            self.finished = dict(sorted(self.finished.items()))
            self._rewrite()

    def _rewrite(self) -> None:
        lines = [record.line() for record in self.finished.values()]
        _write_text(self.path / "index.jsonl", "".join(lines))

    def add(self, record: Record, arrays: dict[str, np.ndarray], truth: dict[str, np.ndarray] | None = None) -> None:
        """Write an identity and its index line.

        Raises:
            StoreError: The identity is in the index already, or an array is missing or has a wrong shape.
        """
        write_identity(self.path, record, arrays, truth)
        self.finish(record)


class Store:
    """A store, read-only.

    Args:
        path: The folder.
        empty: Open a store that holds nobody too.
    Attributes:
        path: The folder.
        settings: The whole of ``store.json``.
        box: (2, 3) model box.
        points, samples: P and S per row.
        material: Whether identities have material coordinates and 65 anchors.
        records: Finished identities, ordered by id whatever order the workers finished in.
    Raises:
        StoreError: No store here, one of another version, or an empty one.
    """

    def __init__(self, path: str | Path, *, empty: bool = False):
        self.path = Path(path)
        self.settings = _read_header(self.path)
        self.box = np.array(self.settings["box"], dtype=float)
        self.points, self.samples = int(self.settings["points"]), int(self.settings["samples"])
        self.material = bool(self.settings.get("material", False))
        self.records: list[Record] = sorted(_read_index(self.path)[0], key=lambda record: record.id)
        if not self.records and not empty:
            raise StoreError(f"{self.path} holds no finished identity yet: run `headfield synth` to its end.")

    def select(self, split: str | None = None, family: str | None = None) -> list[Record]:
        """The records of a split and family (None = any)."""
        return [r for r in self.records if split in (None, r.split) and family in (None, r.family)]

    def open(self, record: Record) -> dict[str, np.memmap]:
        """Memory-mapped arrays of an identity by name (see the module head).

        Raises:
            StoreError: An array is missing or damaged.
        """
        arrays = {}
        for name, (shape, dtype) in array_layout(record.expressions, self.points, self.samples, self.material).items():
            file = self.path / record.folder / f"{name}.npy"
            try:
                array = np.load(file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise StoreError(f"{file} cannot be read ({error}): make the store anew.") from error
            if array.shape != shape or array.dtype != np.dtype(dtype):
                raise StoreError(f"{file} is {array.dtype} {array.shape}, expected {dtype} {shape}.")
            arrays[name] = array
        return arrays

    def truth(self, record: Record) -> dict[str, np.ndarray]:
        """The evaluation truth of a dev or test identity.

        Raises:
            StoreError: This identity has none (train identities keep none).
        """
        file = self.path / record.folder / "truth.npz"
        if not file.exists():
            raise StoreError(f"{record.id} keeps no truth mesh; only dev and test identities do.")
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _read_header(path: Path) -> dict:
    file = path / "store.json"
    if not file.exists():
        raise StoreError(f"{path} holds no store.json: make a store with `headfield synth --out {path}`.")
    try:
        header = json.loads(file.read_text())
    except ValueError as error:
        raise StoreError(f"{file} is not JSON ({error}).") from error
    if header.get("version") != VERSION:
        raise StoreError(f"{file} has version {header.get('version')!r}; this headfield reads version {VERSION}.")
    return header


def _read_index(path: Path) -> tuple[list[Record], int]:
    """Records of the complete lines and the number of bytes that those take."""
    file = path / "index.jsonl"
    if not file.exists():
        return [], 0
    raw = file.read_bytes()
    complete = raw.rfind(b"\n") + 1
    try:
        return [Record(**json.loads(line)) for line in raw[:complete].splitlines()], complete
    except (ValueError, TypeError) as error:
        raise StoreError(f"{file} has a damaged line ({error}): delete it and run the command again.") from error


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
