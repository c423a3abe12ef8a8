"""Who will be in a store that is still being made, so that training can begin with those who are there already."""

from __future__ import annotations

import json
import os
from pathlib import Path

from headfield.errors import StoreError

PLAN = "plan.json"
"""``{"identities": {id: split}}``: everybody who was ever asked for, finished or not."""


def planned(store: str | Path) -> dict[str, str]:
    """Split of every identity that the store will hold, in the order of their ids; empty where nothing was planned.

    Raises:
        StoreError: The plan is damaged.
    """
    file = Path(store) / PLAN
    if not file.exists():
        return {}
    try:
        identities = json.loads(file.read_text())["identities"]
        return dict(sorted(identities.items()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{file} is damaged ({error}): delete it and run `headfield synth` with the same options again."
        ) from error


def add_to_plan(store: str | Path, identities: dict[str, str]) -> None:
    """Say that these identities (id: split) are to come, beside those that were planned before."""
    known = planned(store)
    if identities.items() <= known.items():
        return
    file = Path(store) / PLAN
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"identities": dict(sorted((known | identities).items()))}, indent=0))
    os.replace(temporary, file)
