"""A folder of unrelated scans: a fit each, in folders of their own, and one table; run again it goes on."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

from headfield.cli.output import output_folder, resumable_folder
from headfield.cli.report import table, working
from headfield.cli.scans import scans_in
from headfield.errors import ConfigError, HeadfieldError, OutputError, present

SUMMARY = "summary.csv"
"""Table of a batch; its presence marks a folder that a batch may continue."""

_COLUMNS = ("scan", "status", "units", "median_mm", "p90_mm", "inliers", "seconds", "message")


def fit_batch(command, folder: Path, fit_into: Callable) -> int:
    """Fit every scan of a folder on its own; scans that are done are skipped, failures are told and do not stop it.

    Args:
        command: The verb's options, see :class:`headfield.cli.fit.FitCommand`.
        folder: Of scans.
        fit_into: Fits scans of one person and writes the files: (command, paths, folder, say, model) -> Fit.
    Returns:
        The exit status: 1 when a scan failed.
    Raises:
        ConfigError: An option is not for folders.
        OutputError: The output folder is no batch.
        ScanError: There are no scans.
    """
    from headfield.models.release import load
    from headfield.nn.machine import return_freed_memory

    paths = scans_in(folder, command.intrinsics)
    for option, given in (("--landmarks", command.landmarks), ("--crop", command.crop)):
        if given is not None:
            raise ConfigError(f"{option} is for one scan, not for a folder.")
    if command.neutral_scan:
        raise ConfigError("--neutral-scan is for several scans of one person; a folder's scans have nothing in common.")
    occupied = command.out.is_dir() and any(command.out.iterdir())
    if occupied and not command.force and not (command.out / SUMMARY).exists():
        raise OutputError(
            f"{command.out}: exists already and is no batch of fits. Pass --force to write into it, or choose "
            "another --out."
        )
    names = batch_names(paths)
    model = load(command.model)
    rows = {path: _done(command.out / names[path]) if not command.force else None for path in paths}
    with resumable_folder(command.out, began="*/fit.json"), working("") as say:
        for number, path in enumerate(paths, start=1):
            _write_summary(command.out, paths, rows)
            if rows[path] is not None:
                continue
            begin = time.perf_counter()
            try:
                with output_folder(command.out / names[path], force=command.force) as place:
                    fit = fit_into(
                        command, [path], place, lambda text, n=number: say(f"{n}/{len(paths)} {text}"), model
                    )
                rows[path] = {"status": "done", **_facts(fit.to_dict())}
            except HeadfieldError as error:
                rows[path] = {"status": "failed", "message": str(error), "seconds": time.perf_counter() - begin}
            return_freed_memory()
    _write_summary(command.out, paths, rows)
    shown = ("scan", "status", "units", "median_mm", "p90_mm", "inliers", "seconds")
    told = {path: present(row, "a scan's row") for path, row in rows.items()}
    table(list(shown), [[_text(path.name if c == "scan" else told[path].get(c, "")) for c in shown] for path in paths])
    failed = [path for path in paths if told[path]["status"] == "failed"]
    for path in failed:
        print(f"{path.name}: {told[path]['message']}")
    print(f"{len(paths) - len(failed)} of {len(paths)} fitted; {command.out / SUMMARY}")
    return 1 if failed else 0


def batch_names(paths: list[Path]) -> dict[Path, str]:
    """A folder name for each scan: its stem, with the suffix where two stems are the same."""
    stems = [path.stem for path in paths]
    return {p: p.stem if stems.count(p.stem) == 1 else f"{p.stem}_{p.suffix[1:]}" for p in paths}


def _done(place: Path) -> dict | None:
    try:
        return {"status": "done", **_facts(json.loads((place / "fit.json").read_text(encoding="utf-8")))}
    except (OSError, ValueError, KeyError):
        return None


def _facts(content: dict) -> dict:
    scan = content["scans"][0]
    scan = scan if "errors" in scan else content  # by a headfield that told them of the first scan only
    distance = scan["errors"]["scan_to_head_mm"]
    return {
        "units": scan["units"],
        "median_mm": distance["median"],
        "p90_mm": distance["p90"],
        "inliers": scan["errors"]["inliers"],
        "seconds": content["seconds"]["total"],
    }


def _text(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _write_summary(out: Path, paths: list[Path], rows: dict) -> None:
    from headfield.io.mesh import write_bytes

    buffer = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for path in paths:
        told = {name: _text(value) for name, value in (rows[path] or {}).items()}
        writer.writerow({"scan": path.name, "status": "waiting"} | told)
    write_bytes(out / SUMMARY, buffer.getvalue().encode())
