"""Shared heads for the fit room's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from headfield.types import Similarity

sys.path.insert(0, str(Path(__file__).parent))

from stub_head import StubHead


@pytest.fixture(scope="session")
def stub() -> StubHead:
    """A head model in closed form, see stub_head.py."""
    return StubHead()


def random_similarity(rng: np.random.Generator, scale: float) -> Similarity:
    """A random rotation and shift with this scale."""
    matrix = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    matrix *= np.sign(np.linalg.det(matrix))
    return Similarity(matrix, rng.normal(size=3) * 2 * scale, scale)


@pytest.fixture(scope="session")
def similarity():
    """The maker of random similarities."""
    return random_similarity
