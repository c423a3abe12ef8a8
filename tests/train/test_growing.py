"""Training on a store that is still being made, and runs that begin where another one ended."""

from __future__ import annotations

import shutil

import pytest
import torch
from test_loop import config, toy_store, weights_of  # noqa: F401  (toy_store is a fixture)

from headfield.errors import ConfigError, StoreError
from headfield.io.store_plan import PLAN, add_to_plan, planned
from headfield.train import checkpoint
from headfield.train.loop import run
from headfield.train.recipes import imhead
from headfield.train.trainer import CHECKPOINT, start


@pytest.fixture(scope="module")
def whole(toy_store, tmp_path_factory):  # noqa: F811
    """The checkpoint of a complete run."""
    folder = tmp_path_factory.mktemp("whole")
    run(start(config(toy_store, folder / "run")))
    return folder / "run" / CHECKPOINT


@pytest.fixture
def half(toy_store, tmp_path):  # noqa: F811
    """A store of which four of six identities are finished, and all are planned."""
    path = tmp_path / "half"
    shutil.copytree(toy_store, path)
    lines = (path / "index.jsonl").read_text().splitlines(keepends=True)
    (path / "index.jsonl").write_text("".join(lines[:4]))
    add_to_plan(path, {f"toy-{index:03d}": "train" for index in range(6)})
    return path, "".join(lines)


def rows_drawn(batches):
    return {int(row) for step in range(40) for batch in batches.draw(step, 0.5, 4) for row in batch.rows}


def test_a_run_begins_with_who_is_there_and_takes_in_who_comes(half, whole, tmp_path):
    path, complete = half
    trainer = start(config(path, tmp_path / "run", start=whole))
    assert len(trainer.codes) == 12 and trainer.batches.missing == 2
    there = {row + side for row in range(4) for side in (0, 6)}
    assert rows_drawn(trainer.batches) == there
    assert torch.equal(trainer.codes, checkpoint.read(whole)[0]["codes"])
    trainer.batches.grow()
    assert rows_drawn(trainer.batches) == there
    (path / "index.jsonl").write_text(complete)
    trainer.batches.grow()
    assert trainer.batches.missing == 0 and rows_drawn(trainer.batches) == set(range(12))
    run(trainer)
    assert checkpoint.read(tmp_path / "run" / CHECKPOINT)[1]["identities"] == [f"toy-{index:03d}" for index in range(6)]


def test_a_grown_store_draws_what_a_complete_one_draws(half, toy_store, whole, tmp_path):  # noqa: F811
    path, complete = half
    grown = start(config(path, tmp_path / "a", start=whole))
    (path / "index.jsonl").write_text(complete)
    grown.batches.grow()
    other = start(config(toy_store, tmp_path / "b", start=whole))
    for first, second in zip(grown.batches.draw(3, 0.5, 4), other.batches.draw(3, 0.5, 4)):
        assert torch.equal(first.rows, second.rows) and torch.equal(first.surface, second.surface)


def test_all_weights_move_from_where_the_other_run_ended(toy_store, whole, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", start=whole))
    tensors, _ = checkpoint.read(whole)
    for name, value in weights_of(trainer).items():
        assert torch.equal(value, tensors["codes" if name == "codes" else f"model/{name}"]), name
    assert 0.0 < imhead.watch(trainer.model, trainer.codes.detach())["landmark_units"] <= 1.0
    run(trainer)
    after = weights_of(trainer)
    moved = [name for name in after if name != "codes" and not torch.equal(after[name], tensors[f"model/{name}"])]
    assert {name.split(".")[0] for name in moved} >= {"ensemble", "deformer", "decompose", "fusion"}


def test_strangers_start_at_who_is_most_like_them(toy_store, whole, tmp_path):  # noqa: F811
    """Of a checkpoint that lacks one identity, that one starts at a code of another, its mirror image too."""
    tensors, meta = checkpoint.read(whole)
    kept = [row for row in range(12) if row % 6 != 2]
    file = tmp_path / "five.safetensors"
    names = [name for row, name in enumerate(meta["identities"]) if row != 2]
    checkpoint.save(file, tensors | {"codes": tensors["codes"][kept]}, meta | {"identities": names})
    codes = start(config(toy_store, tmp_path / "run", start=file)).codes.detach()
    for row in (2, 8):
        assert any(torch.equal(codes[row], tensors["codes"][other]) for other in kept)
    assert torch.equal(codes[kept], tensors["codes"][kept])


def test_refusals(half, toy_store, tmp_path):  # noqa: F811
    path, _ = half
    with pytest.raises(ConfigError, match="4 of 6 training identities"):
        start(config(path, tmp_path / "run"))
    (path / PLAN).write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        planned(path)
    assert planned(toy_store) == {}
