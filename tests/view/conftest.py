"""The released model."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def model():
    """The released model."""
    from headfield.models.release import load

    return load()
