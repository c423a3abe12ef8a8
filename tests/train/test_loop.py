"""Training: exact resume, two processes match one, every loss falls on toy heads, refusals that say what to do."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded

import headfield
from headfield import frames
from headfield.errors import ConfigError, WeightsError
from headfield.io.quantise import quantise, quantise_normals
from headfield.io.store import Record, Store
from headfield.io.store_writer import StoreWriter
from headfield.train import checkpoint
from headfield.train.batches import Batches, Drawing
from headfield.train.code_start import starting_codes
from headfield.train.config import TrainConfig
from headfield.train.loop import one_step, run, save
from headfield.train.release import load_run, release_run
from headfield.train.trainer import start
from headfield.types import Codes

POINTS, SAMPLES, ROWS = 512, 256, 3


def toy_head(size: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """An ellipsoid whose chin drops with jawOpen; anchors are the reference's, scaled."""
    radii = np.array([0.3, 0.45, 0.4]) * size
    expressions = np.zeros((ROWS, 52), dtype=np.float32)
    expressions[1:, 24] = (0.5, 1.0)
    columns = {name: [] for name in ("points", "normals", "canonical", "canonical_valid", "samples", "sdf")}
    for row in range(ROWS):
        unit = rng.standard_normal((POINTS, 3))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        neutral = unit * radii
        posed = neutral.copy()
        posed[:, 1] -= 0.05 * expressions[row, 24] * (neutral[:, 1] < 0)
        normals = unit / radii
        samples = rng.uniform(-0.5, 0.5, (SAMPLES, 3))
        level = np.linalg.norm(samples / radii, axis=1)
        sdf = (level - 1) * np.linalg.norm(samples, axis=1) / np.maximum(level, 1e-6)
        columns["points"].append(quantise(posed, frames.BOX))
        columns["normals"].append(quantise_normals(normals / np.linalg.norm(normals, axis=1, keepdims=True)))
        columns["canonical"].append(quantise(neutral, frames.BOX))
        columns["canonical_valid"].append(np.ones(POINTS, dtype=bool))
        columns["samples"].append(quantise(samples, frames.BOX))
        columns["sdf"].append(np.clip(sdf, -0.1, 0.1).astype(np.float16))
    arrays = {name: np.stack(values) for name, values in columns.items()}
    return arrays | {"anchors": frames.reference_anchors() * size, "expressions": expressions}


@pytest.fixture(scope="module")
def toy_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "toy"
    writer = StoreWriter(path, {"toy": 1}, points=POINTS, samples=SAMPLES, families=["toy"])
    rng = np.random.default_rng(seeded(0))
    for index in range(6):
        record = Record(id=f"toy-{index:03d}", family="toy", split="train", expressions=ROWS, folder=f"toy/{index:03d}")
        writer.add(record, toy_head(0.8 + 0.08 * index, rng))
    return path


def config(store, out, **changes) -> TrainConfig:
    base = TrainConfig(
        store=store,
        out=out,
        preset="tiny",
        steps=12,
        heads=4,
        points=64,
        samples=32,
        micro=2,
        warm_up=2,
        expressions_from=0.3,
        decay_from=0.5,
        device="cpu",
        threads=1,
        seed=seeded(0),
    )
    return replace(base, **changes)


def weights_of(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()} | {
        "codes": trainer.codes.detach().clone()
    }


def test_killed_run_resumes_bit_for_bit(toy_store, tmp_path):
    whole = start(config(toy_store, tmp_path / "whole"))
    run(whole)
    first = start(config(toy_store, tmp_path / "parts"))
    first.config.out.mkdir()
    for _ in range(7):  # stops in the middle of the posed phase
        one_step(first)
    save(first)
    one_step(first)  # killed here: this step is lost
    second = start(config(toy_store, tmp_path / "parts"))
    assert second.step == 7
    run(second)
    a, b = weights_of(whole), weights_of(second)
    assert whole.step == second.step == 12
    for name in a:
        assert torch.equal(a[name], b[name]), name
    with pytest.raises(ConfigError, match=r"a run of 12 steps already, more than --steps 5"):
        start(config(toy_store, tmp_path / "parts", steps=5))


def test_losses_fall(toy_store, tmp_path):
    trainer = start(config(toy_store, tmp_path / "fall", steps=150, heads=6, rate=3e-3))
    run(trainer)
    lines = [json.loads(line) for line in (tmp_path / "fall" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["surface"] < 0.5 * lines[0]["surface"]
    assert lines[-1]["normal"] < 0.7 * lines[0]["normal"]
    assert "correspondence" in lines[-1] and "correspondence" not in lines[0]


def test_two_processes_match_one(toy_store, tmp_path):
    one = start(config(toy_store, tmp_path / "one", steps=6))
    run(one)
    script = (
        "import sys, pathlib; sys.path[:0] = [sys.argv[1], str(pathlib.Path(sys.argv[1]).parent)];"
        "from test_loop import config; from headfield.train.loop import run; from headfield.train.trainer import start;"
        "run(start(config(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), steps=6)))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    (tmp_path / "script.py").write_text(script.replace(";", "\n").replace("\n ", "\n"))
    for attempt in ("first", "second"):  # torchrun's rendezvous itself may fail on a loaded machine
        out = tmp_path / attempt
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node=2",
                str(tmp_path / "script.py"),
                os.path.dirname(__file__),
                str(toy_store),
                str(out),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    tensors, meta = checkpoint.read(out / "last.safetensors")
    assert meta["step"] == 6
    for name, value in one.model.state_dict().items():
        assert torch.allclose(value, tensors[f"model/{name}"], atol=2e-4), name
    assert torch.allclose(one.codes, tensors["codes"], atol=2e-4)


def test_mirrored_copies_are_an_involution(toy_store):
    store = Store(toy_store)
    batches = Batches(store, store.records, Drawing(heads=12, points=64, samples=32, mirror=True))
    assert batches.codes == 12
    batch = batches.draw(3, 0.0, 12)[0]
    assert sorted(batch.rows.tolist()) == list(range(12))
    anchors = {int(row): anchor for row, anchor in zip(batch.rows, batch.anchors.numpy())}
    for row in range(6):
        flipped = frames.mirror_points(anchors[row])[frames.MIRROR_PART]
        assert np.allclose(flipped, anchors[row + 6], atol=1e-6)


def test_starting_codes_order_heads_by_shape(toy_store):
    store = Store(toy_store)
    codes = starting_codes([store.open(r) for r in store.records], store.box, 16, mirror=False, seed=0)
    assert codes.shape == (6, 16)
    assert abs(np.corrcoef(codes[:, 0], np.arange(6))[0, 1]) > 0.99  # size is the only thing that varies


def test_refusals(toy_store, tmp_path):
    with pytest.raises(ConfigError, match="small"):
        start(config(toy_store, tmp_path / "x", preset="huge"))
    trainer = start(config(toy_store, tmp_path / "x"))
    trainer.config.out.mkdir()
    save(trainer)
    with pytest.raises(ConfigError, match="other sizes"):
        start(config(toy_store, tmp_path / "x", preset="small"))
    (tmp_path / "x" / "last.safetensors").write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(WeightsError, match="never as pickles"):
        start(config(toy_store, tmp_path / "x"))


def test_a_run_becomes_a_release(toy_store, tmp_path):
    trainer = start(config(toy_store, tmp_path / "run"))
    run(trainer)
    release_run(tmp_path / "run", toy_store, tmp_path / "release")
    model = headfield.load(tmp_path / "release")
    names = {name for name, _ in model.named_parameters()}
    assert not any("codes" in name for name in names)  # the training codes stay behind
    raw, tables, _ = load_run(tmp_path / "run")
    codes = tables["codes"]
    points = torch.rand(1, 60, 3) - 0.5
    mean_head = raw.signed_distance(points, Codes(codes.mean(0, keepdim=True)))
    assert torch.allclose(model.signed_distance(points, model.mean_codes()), mean_head, atol=1e-4)
    expressions = torch.eye(52)[[24, 51]]  # jawOpen was trained, tongueOut never
    rest = model.signed_distance(points, model.mean_codes())
    moved = [model.signed_distance(points, replace(model.mean_codes(), expression=e[None])) for e in expressions]
    assert not torch.equal(moved[0], rest) and torch.allclose(moved[1], rest, atol=1e-7)
    assert json.loads((tmp_path / "release" / "config.json").read_text())["training"]["step"] == 12
    assert model.neck_tilt == 0.5
    header = json.loads((toy_store / "store.json").read_text())
    (tmp_path / "level").mkdir()
    for file in toy_store.iterdir():
        (tmp_path / "level" / file.name).symlink_to(file)
    (tmp_path / "level" / "store.json").unlink()
    (tmp_path / "level" / "store.json").write_text(json.dumps(header | {"settings": {"truth": "v2"}}))
    release_run(tmp_path / "run", tmp_path / "level", tmp_path / "release2")
    assert headfield.load(tmp_path / "release2").neck_tilt == 0.0  # truth v2 is cut level


def test_the_literal_preset_brings_its_own_training(toy_store, tmp_path):
    """Losses as printed and random codes, unless said otherwise; and what the paper prints does learn."""
    trainer = start(config(toy_store, tmp_path / "run", preset="literal-small", heads=6, rate=1e-3, steps=30))
    assert trainer.config.losses == "paper" and trainer.config.code_start == "random" and trainer.weights.literal
    assert 0.05 < float(trainer.codes.norm(dim=1).mean()) < 0.2
    losses = [one_step(trainer)["surface"] for _ in range(30)]
    print("surface", losses[0], losses[-1])
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])
