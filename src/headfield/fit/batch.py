"""A folder of unrelated scans: one fit each, resumable, one summary table."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headfield.errors import HeadfieldError
from headfield.fit.options import FitOptions
from headfield.fit.result import Fit
from headfield.fit.run import fit

COLUMNS = (
    "scan",
    "status",
    "units",
    "size_relative_to_adult",
    "mean_mm",
    "median_mm",
    "p90_mm",
    "inliers",
    "hair_class",
    "seconds",
    "message",
)
"""Columns of ``summary.csv``."""


@dataclass(frozen=True)
class Row:
    """One line of the summary.

    Attributes:
        scan: File name.
        status: ``fitted``, ``refused`` (a HeadfieldError) or ``done before``.
        facts: Values of COLUMNS.
    """

    scan: str
    status: str
    facts: dict[str, object]


def fit_folder(
    scans: Sequence[Path],
    out: Path,
    model="imhead-open-small",
    options: FitOptions | None = None,
    *,
    write: Callable[[Fit, Path], None] | None = None,
    read: Callable[[Path], object] | None = None,
    progress: Callable[[int, int, Row], None] | None = None,
    force: bool = False,
) -> list[Row]:
    """Fit every scan into ``out/<stem>/`` and write ``out/summary.csv`` after each.

    A scan whose folder holds fit.json is done and is skipped, so a stopped batch goes on where it stopped; a scan that
    is refused leaves no folder, only its line in the table, and the batch goes on.

    Args:
        scans: Files, in the order to fit.
        out: Output folder; made if missing.
        model: Name, folder or model; loaded once.
        options: Fit options of every scan.
        write: Writes what else belongs into a scan's folder (meshes, preview), called before the folder appears.
        read: Turns a path into what `fit` takes; default the path itself.
        progress: Called after every scan with its number, the count and its row.
        force: Fit again what is done.
    Returns:
        One row per scan.
    """
    if isinstance(model, (str, Path)):
        from headfield.models.release import load

        name, model = str(model), load(model)
    else:
        name = str(getattr(model, "name", "model"))
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    taken: set[str] = set()
    for number, path in enumerate(scans, 1):
        stem = path.stem if path.stem not in taken else path.name
        taken.add(stem)
        folder = out / stem
        if (folder / "fit.json").is_file() and not force:
            row = _row(path.name, "done before", json.loads((folder / "fit.json").read_text()))
        else:
            try:
                result = fit(read(path) if read else path, model, options)
                result.model_name = name
                _write_folder(result, folder, write)
                row = _row(path.name, "fitted", result.to_dict())
            except HeadfieldError as error:
                facts = dict.fromkeys(COLUMNS, "") | {"scan": path.name, "status": "refused", "message": str(error)}
                row = Row(path.name, "refused", facts)
        rows.append(row)
        _write_summary(out / "summary.csv", rows)
        if progress is not None:
            progress(number, len(scans), row)
    return rows


def _row(scan: str, status: str, content: dict) -> Row:
    errors = content["errors"]["scan_to_head_mm"]
    size = content.get("size_relative_to_adult")
    facts = {
        "scan": scan,
        "status": status,
        "units": content["units"],
        "size_relative_to_adult": "" if size is None else round(size, 3),
        "mean_mm": round(errors["mean"], 3),
        "median_mm": round(errors["median"], 3),
        "p90_mm": round(errors["p90"], 3),
        "inliers": round(content["errors"]["inliers"], 3),
        "hair_class": content.get("hair_class", ""),
        "seconds": round(content["seconds"].get("total", 0.0), 2),
        "message": " ".join(content.get("notes", [])),
    }
    return Row(scan, status, facts)


def _write_folder(result: Fit, folder: Path, write: Callable[[Fit, Path], None] | None) -> None:
    """Everything into a temporary folder beside, then one rename."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    _remove(temporary)
    temporary.mkdir(parents=True)
    try:
        result.save(temporary / "fit.npz")
        if write is not None:
            write(result, temporary)
        (temporary / "fit.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n")
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            os.replace(folder, old)
            os.replace(temporary, folder)
            _remove(old)
        else:
            os.replace(temporary, folder)
    except BaseException:
        _remove(temporary)
        raise


def _remove(folder: Path) -> None:
    import shutil

    if folder.exists():
        shutil.rmtree(folder)


def _write_summary(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    for row in rows:
        table.writerow(row.facts)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    temporary.write_text(text.getvalue())
    os.replace(temporary, path)
