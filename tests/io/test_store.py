"""The store: round trips, quantisation, atomic writing and resuming."""

from __future__ import annotations

import multiprocessing
import os
import time

import numpy as np
import pytest

from headfield.errors import StoreError
from headfield.frames import BOX, MM_PER_UNIT
from headfield.io import store as store_module
from headfield.io.quantise import dequantise, dequantise_normals, quantise, quantise_normals
from headfield.io.store import Record, Store
from headfield.io.store_writer import StoreWriter, write_identity


def _arrays(rows=2, points=32, samples=16, seed=0):
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((rows, points, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return {
        "anchors": rng.standard_normal((39, 3)).astype(np.float32),
        "expressions": rng.random((rows, 52)).astype(np.float32),
        "points": quantise(rng.uniform(BOX[0], BOX[1], (rows, points, 3)), BOX),
        "normals": quantise_normals(normals),
        "canonical": quantise(rng.uniform(BOX[0], BOX[1], (rows, points, 3)), BOX),
        "canonical_valid": rng.random((rows, points)) < 0.9,
        "samples": quantise(rng.uniform(BOX[0], BOX[1], (rows, samples, 3)), BOX),
        "sdf": rng.uniform(-0.1, 0.1, (rows, samples)).astype(np.float16),
    }


def _record(name="toy-train-00000", rows=2):
    return Record(name, "toy", "train", expressions=rows, describe={"age": 30.0}, folder=f"toy/{name}")


def test_quantisation_error_is_below_two_hundredths_of_a_millimetre():
    points = np.random.default_rng(0).uniform(BOX[0], BOX[1], (5000, 3))
    error = np.linalg.norm(dequantise(quantise(points, BOX), BOX) - points, axis=-1) * MM_PER_UNIT
    assert error.max() < 0.02
    codes = quantise(points, BOX)
    assert np.array_equal(quantise(dequantise(codes, BOX), BOX), codes)


def test_normals_survive_quantisation():
    normals = np.random.default_rng(0).standard_normal((5000, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    back = dequantise_normals(quantise_normals(normals))
    assert np.allclose(np.linalg.norm(back, axis=-1), 1, atol=1e-6)
    assert np.degrees(np.arccos(np.clip((back * normals).sum(-1), -1, 1))).max() < 0.5


@pytest.mark.parametrize("bad", [BOX[1] + 0.01, BOX[0] - 0.01, np.full(3, np.nan)])
def test_points_outside_the_box_are_refused(bad):
    with pytest.raises(StoreError, match="box"):
        quantise(bad[None], BOX)


def test_round_trip(tmp_path):
    writer = StoreWriter(tmp_path / "s", {"seed": 1}, points=32, samples=16, families=["toy"])
    arrays, truth = _arrays(), {"vertices": np.zeros((2, 4, 3), np.float32)}
    writer.add(_record(), arrays, truth)
    store = Store(tmp_path / "s")
    assert np.array_equal(store.box, BOX) and store.settings["settings"] == {"seed": 1}
    assert store.records == [_record()] and store.select("dev") == []
    opened = store.open(store.records[0])
    assert set(opened) == set(arrays)
    for name, array in opened.items():
        assert isinstance(array, np.memmap)
        assert np.array_equal(array, arrays[name])
    assert np.array_equal(store.truth(store.records[0])["vertices"], truth["vertices"])


def test_resume_knows_what_is_there_and_refuses_other_settings(tmp_path):
    StoreWriter(tmp_path, {"seed": 1}, points=32, samples=16).add(_record(), _arrays())
    again = StoreWriter(tmp_path, {"seed": 1}, points=32, samples=16)
    assert "toy-train-00000" in again and "toy-train-00001" not in again
    with pytest.raises(StoreError, match="already"):
        again.finish(_record())
    with pytest.raises(StoreError, match="settings"):
        StoreWriter(tmp_path, {"seed": 2}, points=32, samples=16)


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        StoreWriter(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_cut_index_line_is_forgotten(tmp_path):
    writer = StoreWriter(tmp_path, {}, points=32, samples=16)
    writer.add(_record("toy-train-00000"), _arrays())
    writer.add(_record("toy-train-00001"), _arrays(seed=1))
    raw = (tmp_path / "index.jsonl").read_bytes()
    (tmp_path / "index.jsonl").write_bytes(raw[:-20])
    assert [r.id for r in Store(tmp_path).records] == ["toy-train-00000"]
    again = StoreWriter(tmp_path, {}, points=32, samples=16)
    again.add(_record("toy-train-00001"), _arrays(seed=1))
    assert (tmp_path / "index.jsonl").read_bytes() == raw


def test_a_failed_write_leaves_nothing(tmp_path):
    arrays = _arrays()
    del arrays["sdf"]
    with pytest.raises(StoreError, match="sdf"):
        write_identity(tmp_path, _record(), arrays)
    assert list((tmp_path / "toy").iterdir()) == []


def _slow_writer(path, ready):
    save = store_module.np.save

    def slow_save(file, array, **options):
        save(file, array, **options)
        ready.set()
        time.sleep(30)

    store_module.np.save = slow_save
    write_identity(path, _record(), _arrays())


def test_a_killed_writer_leaves_no_half_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    StoreWriter(tmp_path, {}, points=32, samples=16)
    process = context.Process(target=_slow_writer, args=(tmp_path, ready))
    process.start()
    assert ready.wait(20)
    os.kill(process.pid, 9)
    process.join()
    assert not (tmp_path / "toy" / "toy-train-00000").exists()
    with pytest.raises(StoreError, match="no finished identity"):
        Store(tmp_path)
    StoreWriter(tmp_path, {}, points=32, samples=16).add(_record(), _arrays())
    assert [p.name for p in (tmp_path / "toy").iterdir()] == ["toy-train-00000"]
    assert len(Store(tmp_path).records) == 1


def test_missing_and_damaged_stores_say_so(tmp_path):
    with pytest.raises(StoreError, match="headfield synth"):
        Store(tmp_path)
    StoreWriter(tmp_path / "s", {}, points=32, samples=16).add(_record(), _arrays())
    store = Store(tmp_path / "s")
    (tmp_path / "s" / "toy" / "toy-train-00000" / "sdf.npy").write_bytes(b"")
    with pytest.raises(StoreError, match="sdf.npy"):
        store.open(store.records[0])
    with pytest.raises(StoreError, match="truth"):
        store.truth(store.records[0])
    (tmp_path / "s" / "store.json").write_text('{"version": 99}')
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "s")
