"""Heads of the released model for the laws of editing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headfield.models.release import load
from headfield.surface.head import Head
from headfield.types import Codes


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
