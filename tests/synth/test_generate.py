"""The generator: same seed same bytes, resuming, what the store holds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headfield.errors import ConfigError, StoreError
from headfield.io.store import Store
from headfield.synth import generate as room
from headfield.synth.config import SynthConfig
from headfield.synth.generate import generate, require_room
from headfield.synth.identities import frozen
from headfield.synth.person import box
from headfield.synth.sheet import make_sheet

SMALL = {"family": "ict", "expressions": 2, "hair": 0.0, "points": 256, "samples": 128}


@pytest.fixture()
def toy_family(toy, monkeypatch):
    monkeypatch.setattr(room, "family", lambda name: (toy, make_sheet(toy)))


def test_store_holds_what_was_asked_for(toy_family, tmp_path):
    seen = []
    generate(SynthConfig(identities=2, split="dev", **SMALL), tmp_path / "s", lambda *news: seen.append(news))
    store = Store(tmp_path / "s")
    assert [record.id for record in store.records] == ["ict-dev-00000", "ict-dev-00001"]
    assert seen == [(1, 2, "ict-dev-00000"), (2, 2, "ict-dev-00001")]
    assert np.array_equal(store.box, box())
    arrays = store.open(store.records[0])
    assert arrays["points"].shape == (3, 256, 3) and arrays["sdf"].shape == (3, 128)
    assert (arrays["expressions"][0] == 0).all() and (arrays["expressions"][1:] > 0).any(1).all()
    assert np.array_equal(arrays["canonical"][0], arrays["points"][0])
    truth = store.truth(store.records[0])
    assert truth["vertices"].shape[0] == 3 and truth["seen"].all()
    assert truth["face"].any() and len(truth["hair_triangles"]) == 0


def test_same_seed_same_bytes_whatever_the_order(toy_family, tmp_path):
    generate(SynthConfig(identities=3, **SMALL), tmp_path / "a", False)
    generate(SynthConfig(identities=1, **SMALL), tmp_path / "b", False)
    generate(SynthConfig(identities=3, **SMALL), tmp_path / "b", False)
    for file in sorted((tmp_path / "a").rglob("*.npy")):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
    generate(SynthConfig(identities=1, seed=9, **SMALL), tmp_path / "c", False)
    points = [np.load(tmp_path / name / "ict" / "ict-train-00000" / "points.npy") for name in "ac"]
    assert not np.array_equal(*points)


def test_resuming_does_nothing_twice(toy_family, tmp_path, monkeypatch):
    made = []
    write = room.write_person
    monkeypatch.setattr(room, "write_person", lambda out, key, *rest: made.append(key.id) or write(out, key, *rest))
    with monkeypatch.context() as patch:
        finish = room.StoreWriter.finish

        def killed_after_two(self, record):
            finish(self, record)
            if len(self.finished) == 2:
                raise KeyboardInterrupt

        patch.setattr(room.StoreWriter, "finish", killed_after_two)
        with pytest.raises(KeyboardInterrupt):
            generate(SynthConfig(identities=4, **SMALL), tmp_path / "s", False)
    generate(SynthConfig(identities=4, **SMALL), tmp_path / "s", False)
    generate(SynthConfig(identities=4, **SMALL), tmp_path / "s", False)
    assert made == [f"ict-train-{index:05d}" for index in range(4)]
    assert len((tmp_path / "s" / "index.jsonl").read_text().splitlines()) == 4


def test_another_population_is_refused(toy_family, tmp_path):
    generate(SynthConfig(identities=1, **SMALL), tmp_path / "s", False)
    with pytest.raises(StoreError, match="settings"):
        generate(SynthConfig(identities=1, **{**SMALL, "seed": 3}), tmp_path / "s", False)


@pytest.mark.parametrize("bad", [{"points": 0}, {"expressions": -1}, {"hair": 1.5}, {"identities": 0}])
def test_nonsense_is_refused(tmp_path, bad):
    with pytest.raises(ConfigError):
        generate(SynthConfig(**{**SMALL, **bad}), tmp_path / "s", False)
    assert not (tmp_path / "s").exists()


def test_a_head_too_close_to_the_box_is_refused():
    corners = box() + np.array([[0.07], [-0.07]])
    require_room(corners, box(), "fine")
    with pytest.raises(StoreError, match="15 mm"):
        require_room(corners + [0.02, 0, 0], box(), "close")


def test_frozen_settings_are_json_and_complete():
    settings = json.loads(json.dumps(frozen()))
    assert settings["streams"]["ict"] == {"train": 0, "dev": 1, "test": 2}
    assert abs(sum(settings["hair"]["classes"].values()) - 1) < 1e-9
    assert abs(sum(settings["expressions"]["kinds"].values()) - 1) < 1e-9


def test_worker_processes_make_the_same_store(ict, tmp_path):
    config = {**SMALL, "identities": 2, "expressions": 1, "hair": 1.0}
    generate(SynthConfig(**config), tmp_path / "one", False)
    generate(SynthConfig(workers=2, **config), tmp_path / "two", False)
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    assert one.records == two.records and any(r.hair != "bald" or r.beard != "none" for r in one.records)
    for record in one.records:
        for name, array in one.open(record).items():
            assert np.array_equal(array, two.open(record)[name]), name
