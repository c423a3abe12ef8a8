"""Frozen streams: who is in which split."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.errors import ConfigError
from headfield.synth.identities import IdentityKey, frozen, identity_keys


def test_ict_identities_are_the_published_streams(ict):
    for split, stream in (("train", 0), ("dev", 1), ("test", 2)):
        for index in (0, 7):
            expected = np.random.default_rng([5, stream, index]).standard_normal(100).clip(-3, 3)
            assert np.array_equal(IdentityKey("ict", split, index, 5).draw(ict), expected)


def test_no_identity_is_in_two_splits():
    streams = [stream for family in frozen()["streams"].values() for stream in family.values()]
    assert len(set(streams)) == len(streams)
    keys = identity_keys("mix", "all", 50)
    assert len({key.id for key in keys}) == 50
    draws = {key.id: key.rng().standard_normal(4).tobytes() for key in keys}
    assert len(set(draws.values())) == 50


def test_counts_and_order():
    keys = identity_keys("mix", "all", 50)
    counts = {split: sum(key.split == split for key in keys) for split in ("train", "dev", "test")}
    assert counts == {"train": 40, "dev": 5, "test": 5}
    train = [key.id for key in keys if key.split == "train"]
    assert train[:4] == ["ict-train-00000", "anny-train-00000", "ict-train-00001", "anny-train-00001"]
    # more identities later: the first stay who they are
    assert set(train) <= {key.id for key in identity_keys("mix", "train", 100)}


def test_purposes_do_not_share_randomness():
    key = IdentityKey("ict", "train", 0, 1)
    drawn = {key.rng(purpose).random() for purpose in (None, "hair", "expressions", "samples", "scan")}
    assert len(drawn) == 5


@pytest.mark.parametrize("bad", [("flame", "train", 3), ("ict", "exam", 3), ("ict", "train", 0), ("mix", "all", 2)])
def test_nonsense_is_refused(bad):
    with pytest.raises(ConfigError):
        identity_keys(*bad)


def test_an_unknown_stream_is_refused():
    with pytest.raises(ConfigError, match="stream"):
        IdentityKey("flame", "train", 0, 1).rng()
