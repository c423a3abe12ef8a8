"""Seeds of the tests' data: ``make test HEADFIELD_TEST_SEED=1`` draws other data where a law must hold for any."""

from __future__ import annotations

import os

SHIFT = int(os.environ.get("HEADFIELD_TEST_SEED", "0"))


def seeded(seed: int) -> int:
    """The seed itself, or another one when the run asks for other data."""
    return seed + 1000 * SHIFT
