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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from headfield.errors import StoreError
from headfield.frames import ANCHOR65_NAMES, N_ANCHORS
from headfield.io import guard
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


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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
        self.settings = read_header(self.path)
        self.box = np.array(self.settings["box"], dtype=float)
        self.points, self.samples = int(self.settings["points"]), int(self.settings["samples"])
        self.material = bool(self.settings.get("material", False))
        self.records: list[Record] = sorted(read_index(self.path)[0], key=lambda record: record.id)
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


def read_header(path: Path) -> dict:
    """The ``store.json`` of a store.

    Raises:
        StoreError: There is none, or one of another version.
    """
    file = path / "store.json"
    if not file.exists():
        raise StoreError(f"{path} holds no store.json: make a store with `headfield synth --out {path}`.")
    try:
        header = json.loads(file.read_text())
    except ValueError as error:
        raise StoreError(f"{file} is not JSON ({error}).") from error
    if header.get("version") != VERSION:
        found = guard.quoted(header.get("version"))
        raise StoreError(f"{file} has version {found}; this headfield reads version {VERSION}.")
    return header


def read_index(path: Path) -> tuple[list[Record], int]:
    """The index of a store: records of the complete lines, and the number of bytes that those take.

    Raises:
        StoreError: A complete line is damaged.
    """
    file = path / "index.jsonl"
    if not file.exists():
        return [], 0
    raw = file.read_bytes()
    complete = raw.rfind(b"\n") + 1
    try:
        return [Record(**json.loads(line)) for line in raw[:complete].splitlines()], complete
    except (ValueError, TypeError) as error:
        raise StoreError(f"{file} has a damaged line ({error}): delete it and run the command again.") from error
