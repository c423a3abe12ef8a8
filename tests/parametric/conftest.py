"""The two families, loaded once; skipped with a reason where their data are not at hand."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from headfield.errors import DataError
from headfield.synth.person import family as family_of

_LOADED: dict = {}


def family_or_skip(name: str):
    """The family, or a skip that says what is missing."""
    if name not in _LOADED:
        if name == "anny" and importlib.util.find_spec("anny") is None:
            _LOADED[name] = "anny is not installed (pip install 'headfield[synth]')"
        else:
            try:
                _LOADED[name] = family_of(name)[0]
            except DataError as error:
                _LOADED[name] = str(error)
    if isinstance(_LOADED[name], str):
        pytest.skip(_LOADED[name])
    return _LOADED[name]


@pytest.fixture(scope="session")
def load_or_skip():
    """`family_or_skip`, for fixtures of wider scope."""
    return family_or_skip


@pytest.fixture
def ict():
    """ICT-FaceKit."""
    return family_or_skip("ict")


@pytest.fixture
def anny():
    """anny."""
    return family_or_skip("anny")


@pytest.fixture(params=["ict", "anny"])
def family(request):
    """Each family in turn."""
    return family_or_skip(request.param)


@pytest.fixture
def identities(family):
    """A dozen random identities of the family."""
    rng = np.random.default_rng(11)
    return [family.draw_identity(rng) for _ in range(12)]
