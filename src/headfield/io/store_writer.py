"""Writing a store: identities by any process, the index by one; see :mod:`headfield.io.store` for what lies where."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from headfield.errors import StoreError
from headfield.frames import BOX
from headfield.io.arrays import save_npz
from headfield.io.store import HASHES, VERSION, Record, array_layout, read_header, read_index, sha256


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
            found = read_header(self.path)
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
        records, complete_bytes = read_index(self.path)
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


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
