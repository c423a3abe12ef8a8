"""One baked head for all tests of what baking gives and of the files that are made of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def bald():
    """The released model and the codes of its mean bald head: ``model`` and ``codes``."""
    from headfield.models.release import load
    from headfield.types import Codes

    model = load("imhead-open-small")
    mean = model.prior.means[list(model.prior.names).index("bald")]
    return SimpleNamespace(model=model, codes=Codes(mean[None].clone()))


@pytest.fixture(scope="session")
def baked(bald):
    """That head with its 52 shapes at about 2,500 vertices."""
    pytest.importorskip("igl", reason="decimation needs the extra export: pip install 'headfield[export]'")
    from headfield.surface.bake import bake

    return bake(bald.model, bald.codes, 2500, resolution=112)
