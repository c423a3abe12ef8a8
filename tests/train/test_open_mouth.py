"""A canonical mouth that is open: where skin is on the open face, and NPHM trained on it, on heads with two lips."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded
from test_loop import POINTS, SAMPLES, config, toy_head, toy_store  # noqa: F401  (toy_store is a fixture)

from headfield import frames
from headfield.errors import StoreError
from headfield.io.quantise import quantise
from headfield.io.store import Record, Store
from headfield.io.store_writer import StoreWriter
from headfield.models import release
from headfield.models.nphm.config import PRESETS, nphm_tiny, with_open_mouth
from headfield.models.nphm.open_mouth import OpenNphm
from headfield.train.batches import Batches, Drawing
from headfield.train.loop import run
from headfield.train.opening import Opening
from headfield.train.release import release_run
from headfield.train.trainer import start
from headfield.types import ARKIT, Codes

DROP = 0.05
OPEN = np.array([float(name == "jawOpen") for name in ARKIT])
JAW = ARKIT.index("jawOpen")


def cells(neutral: np.ndarray) -> np.ndarray:
    """A triangle of each place: square columns, of which none lies on both lips."""
    column = np.floor((neutral[..., [0, 2]] + 1.0) / 0.02).astype(int)
    return (column[..., 0] * 200 + column[..., 1]) * 2 + (neutral[..., 1] < 0)


def lipped_head(size: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The toy of the loop's tests, whose lower half drops with jawOpen: two lips that touch at rest. The mouth is open
    in row 1 and half open in row 2."""
    arrays = toy_head(size, rng)
    places, weights = [], (0.0, 1.0, 0.5)
    for row, weight in enumerate(weights):
        unit = rng.standard_normal((POINTS, 3))
        neutral = unit / np.linalg.norm(unit, axis=1, keepdims=True) * np.array([0.3, 0.45, 0.4]) * size
        posed = neutral - np.outer(DROP * weight * (neutral[:, 1] < 0), [0.0, 1.0, 0.0])
        arrays["points"][row], arrays["canonical"][row] = quantise(posed, frames.BOX), quantise(neutral, frames.BOX)
        arrays["expressions"][row] = weight * OPEN
        places.append(neutral)
    shape = (len(weights), SAMPLES)
    material = {
        "triangle": cells(np.stack(places)).astype(np.int32),
        "weights": np.zeros((len(weights), POINTS, 2), np.uint16),
        "lift": np.zeros((len(weights), POINTS), np.float16),
        "samples_canonical": np.zeros((*shape, 3), np.uint16),
        "samples_valid": np.zeros(shape, bool),
        "anchors65": np.zeros((65, 3), np.float32),
    }
    return arrays | material


@pytest.fixture(scope="module")
def lipped_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "lipped"
    writer = StoreWriter(path, {"toy": 1}, points=POINTS, samples=SAMPLES, families=["toy"], material=True)
    rng = np.random.default_rng(seeded(0))
    for index in range(6):
        record = Record(id=f"lips-{index:03d}", family="toy", split="train", expressions=3, folder=f"toy/{index:03d}")
        writer.add(record, lipped_head(0.8 + 0.08 * index, rng))
    return path


def test_skin_is_found_on_the_open_face_and_never_on_the_other_lip():
    rng = np.random.default_rng(seeded(1))

    def lips(count):  # two lips in a plane, which meet at y = 0 and open by turning about an axis behind them
        rest = np.stack([rng.uniform(-0.1, 0.1, count), rng.uniform(-0.05, 0.05, count), 0.2 + 0 * np.arange(count)], 1)
        angle = 0.3 * (rest[:, 1] < 0)
        turned = np.stack([rest[:, 0], rest[:, 1] * np.cos(angle) - rest[:, 2] * np.sin(angle),
                           rest[:, 1] * np.sin(angle) + rest[:, 2] * np.cos(angle)], 1)  # fmt: skip
        return rest, turned, cells(rest)

    box = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])
    rest, opened, triangle = lips(6000)
    arrays = {
        "expressions": np.stack([0 * OPEN, OPEN]),
        "canonical_valid": np.ones((2, 6000), bool),
        "canonical": np.stack([quantise(rest, box)] * 2),
        "points": np.stack([quantise(opened, box)] * 2),
        "triangle": np.stack([triangle] * 2),
    }
    head = Opening(arrays, box, OPEN, "lips")
    rest, truth, triangle = lips(3000)
    found, sure = head.places(rest, triangle)
    error = 250 * np.linalg.norm(found - truth, axis=1)
    print(f"sure of {sure.mean():.1%}, miss {error[sure].mean():.3f} mm, at most {error[sure].max():.3f} mm")
    assert sure.mean() > 0.8 and error[sure].max() < 2.0  # the other lip is 15 mm away
    without, sure_without = head.places(rest, np.full(3000, 10**6))  # triangles that row 1 has no point of
    far = np.abs(rest[:, 1]) > 0.02
    assert sure_without[far].mean() > 0.9 and not sure_without[np.abs(rest[:, 1]) < 5e-4].any()
    assert (250 * np.linalg.norm(without - truth, axis=1))[sure_without].max() < 2.0


def test_batches_hold_the_open_face_as_the_canonical_one(lipped_store):
    store = Store(lipped_store)
    batches = Batches(
        store, store.select(), Drawing(heads=6, points=64, samples=32, mirror=True, warp_points=256), canonical=OPEN
    )
    reference, seen = frames.reference_anchors(), set()
    for step in range(12):
        for batch in batches.draw(step, 0.5, 6):
            sizes = 0.8 + 0.08 * (batch.rows.numpy() % 6)[:, None, None]
            drop = DROP * (sizes * reference < 0)[..., 1:2] * [0.0, 1.0, 0.0]
            off = np.abs(batch.anchors.numpy() - sizes * reference + drop)
            assert off[:, np.abs(reference[:, 1]) > 0.02].max() < 3e-3  # an ear lies between the lips of the toy
            if batch.expression is None:  # the surface itself is the open one
                away = np.linalg.norm(batch.surface.numpy() / (sizes * [0.3, 0.45, 0.4]), axis=2) - 1
                assert (np.abs(away[batch.surface[..., 1] > 0.01]) < 1e-3).all() and away.max() > 0.05
                continue
            weight = batch.expression[:, JAW].numpy()
            assert not (weight == 1.0).any()
            seen |= set(weight.tolist())
            valid = batch.neutral_valid.numpy()
            lower = valid & (batch.neutral[..., 1].numpy() < -DROP / 2)
            moved = (batch.posed - batch.neutral).numpy()
            wanted = np.where(lower, DROP * (1.0 - weight)[:, None], 0.0)
            np.testing.assert_allclose(moved[valid][:, 1], wanted[valid], atol=2e-3)
            assert valid.mean() > 0.9
    assert seen == {0.0, 0.5}


def test_a_store_without_an_open_row_is_refused(toy_store, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(PRESETS, "tiny", lambda: with_open_mouth(nphm_tiny()))
    with pytest.raises(StoreError, match="toy-000: .* row 1 with jawOpen at 1 .* synth --truth v2"):
        start(config(toy_store, tmp_path / "run", model="nphm"))


def test_a_field_of_open_mouths_closes_them(lipped_store, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", lambda: with_open_mouth(replace(nphm_tiny(), part_hidden=24)))
    trainer = start(config(lipped_store, tmp_path / "run", model="nphm", steps=120, heads=6, rate=3e-3))
    run(trainer)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    moved = [line["moving"] for line in lines if "moving" in line]
    print("surface", lines[0]["surface"], lines[-1]["surface"], "moving", moved[0], moved[-1])
    assert lines[-1]["surface"] < 0.5 * lines[0]["surface"] and moved[-1] < 0.7 * moved[0]
    released = release_run(tmp_path / "run", lipped_store, tmp_path / "released")
    model = release.load(tmp_path / "released")
    assert isinstance(model, OpenNphm) and model.fingerprint == released.fingerprint
    codes, chin = model.mean_codes(), torch.tensor([[[0.0, -0.4, 0.1]]])
    opened = Codes(codes.identity, torch.as_tensor(OPEN).float()[None])
    drop = (model.from_canonical(chin, opened) - chin)[0, 0]
    print("from the head at rest to the open mouth the chin drops by", drop.numpy())
    assert -1.6 * DROP < float(drop[1]) < -0.4 * DROP
    assert torch.equal(model.from_canonical(chin, codes), chin)
