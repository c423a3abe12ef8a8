"""Heads for the synth tests: a toy without data, and ICT where the data folder is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def toy():
    from toy_head import ToyHead

    return ToyHead()


@pytest.fixture(scope="session")
def ict():
    if not os.environ.get("HEADFIELD_DATA"):
        pytest.skip("HEADFIELD_DATA is not set: ICT-FaceKit's data are needed")
    from headfield.parametric import load_family

    return load_family("ict")
