"""Heads for the synth tests: a toy without data, and ICT where the data folder is."""

from __future__ import annotations

import os
import sys
from functools import cache
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
    from headfield.synth.person import family

    return family("ict")[0]


@pytest.fixture(scope="session", params=["ict", "anny"])
def by_both_truths(request):
    """From a seed to the same bald person of a family by the first truth and by the second."""
    if request.param == "ict":
        request.getfixturevalue("ict")
    else:
        pytest.importorskip("anny", reason="anny's heads need the extra synth")
    from headfield.synth.identities import IdentityKey
    from headfield.synth.person import family, make_person

    head, sheet = family(request.param)
    make = cache(lambda seed: [make_person(IdentityKey(request.param, "train", seed, 0), head, sheet, 0.0, truth)
                               for truth in ("v1", "v2")])  # fmt: skip
    return make
