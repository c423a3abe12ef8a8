"""Heads that the model never saw, fitted and kept, so that several benchmarks edit the same ones."""

from __future__ import annotations

import time
from pathlib import Path

from headfield.evaluate.cases import make_case
from headfield.evaluate.protocols import protocol_named
from headfield.fit.result import Fit
from headfield.fit.run import fit

FAMILIES = ("full-anny", "full-ict")
"""Protocols that the heads are taken from in turn: scans of whole bald heads of the *dev* split."""


def held_out(model, name: str, count: int, folder: Path) -> list[Fit]:
    """The first `count` held-out heads, fitted to full scans; fits are kept in `folder` and read from there again.

    Args:
        model: The model.
        name: Its name, which the fits record and their files carry.
        count: How many.
        folder: Where the fits are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fits = []
    for index in range(count):
        protocol, number = protocol_named(FAMILIES[index % 2]), index // 2
        path = folder / f"{Path(name).name}_{protocol.name}_{number:03d}.npz"
        if not path.exists():
            begin = time.perf_counter()
            case = make_case(protocol, "dev", protocol.name.removeprefix("full-"), number)
            found = fit(case.observed.scan, model, expression="neutral", refuse=False)
            found.model_name = name
            found.save(path)
            print(
                f"  fitted {case.name}: {found.errors['scan_to_head_mm']['mean']:.2f} mm from its scan, "
                f"{time.perf_counter() - begin:.0f} s",
                flush=True,
            )
        fits.append(Fit.load(path, model))
    return fits
