"""Heads of the released model for the laws of editing."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from headfield.models.head import Head
from headfield.models.release import load
from headfield.types import Codes


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Confined edits with fewer points and one round: the same mechanism in a fifth of the time."""
    from headfield.edit import confine

    monkeypatch.setattr(confine, "Confinement", partial(confine.Confinement, points=800, rounds=1, steps=5))


@pytest.fixture(scope="session")
def model():
    """The released model."""
    return load()


@pytest.fixture(scope="session")
def people(model):
    """Three heads without hair."""
    drawn = model.prior.draw(3, np.random.default_rng(5), 0.8, model.prior.names.index("bald"))
    return [Head(model, Codes(torch.from_numpy(code)[None])) for code in drawn]


@pytest.fixture(scope="session")
def places(model):
    """Points (N, 3) all over the box."""
    low, high = np.asarray(model.box)
    return np.random.default_rng(0).uniform(low, high, (6000, 3)).astype(np.float32)
