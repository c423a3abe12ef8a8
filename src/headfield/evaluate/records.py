"""The files of a run: each case's numbers under a name of its own, so that a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headfield.evaluate.protocol import Column


@dataclass(frozen=True)
class CaseResult:
    """A case that is done.

    Attributes:
        name: Such as ``ict-00003``.
        values: Column -> method -> number; empty when it failed.
        facts: Seconds, unit, whether the fit would have been refused.
        error: Why it failed, empty when it did not.
    """

    name: str
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    error: str = ""


def case_name(case: tuple[str, int]) -> str:
    """File name of a case."""
    return f"{case[0]}-{case[1]:05d}"


def case_path(out: Path, case: tuple[str, int]) -> Path:
    """Where a case's numbers are; its fit lies beside them with the suffix .npz."""
    return out / "cases" / f"{case_name(case)}.json"


def write_json(path: Path, content: dict) -> None:
    """Write a file whole or not at all."""
    from headfield.io.mesh import write_bytes

    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def read_case(path: Path) -> CaseResult | None:
    """A case that is done; None when it is not."""
    if not path.exists():
        return None
    return CaseResult(**json.loads(path.read_text()))


def values_of(results: Sequence[CaseResult], column: Column, method: str = "ours") -> np.ndarray:
    """A column's numbers (n,), NaN for a head without one."""
    found = [result.values.get(column.name, {}).get(method, np.nan) for result in results]
    return np.array([np.nan if value is None else value for value in found], dtype=float)
