"""What a case gives: its numbers, its fit, and facts about how the fit went."""

from __future__ import annotations

from dataclasses import dataclass

from headfield.errors import HeadfieldError
from headfield.fit.evidence import refuse_unless_head
from headfield.fit.result import Fit

Values = dict[str, dict[str, float]]
"""Column -> method -> number."""


@dataclass(frozen=True)
class Outcome:
    """What a case gave.

    Attributes:
        values: Column -> method -> number.
        fit: The fit whose head is pictured, None where nothing was fitted.
        facts: More numbers of interest: seconds, whether the fit would have been refused.
    """

    values: Values
    fit: Fit | None
    facts: dict


def fit_facts(found: Fit) -> dict:
    """Seconds by stage, unit, error on the scan, and the refusal that was overruled, if any."""
    facts = {"seconds": dict(found.seconds), "units": found.units, "hair": found.hair, "refused": ""}
    try:
        refuse_unless_head(found.evidence, "scan")
    except HeadfieldError as error:
        facts["refused"] = str(error)
    return facts | {"scan_to_head_mm": found.errors["scan_to_head_mm"]["median"]}
