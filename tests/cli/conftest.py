"""Scans for journeys through the command line, made from the model itself, so that no data are needed."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.cli import main
from headfield.io.store import Record
from headfield.io.store_writer import StoreWriter

MODEL = "imhead-open-small"


@pytest.fixture(scope="session")
def model():
    """The released model: part of the package, so a missing or damaged one is a failure, not a skip."""
    from headfield.models.release import load

    return load(MODEL)


@pytest.fixture(scope="session")
def head(model):
    """Vertices (V, 3), normals and triangles of a head of the model, millimetres, in a random pose."""
    import torch
    from scipy.spatial.transform import Rotation

    from headfield.surface.mesh_head import mesh_of
    from headfield.types import Codes, Similarity

    code = 0.7 * np.random.default_rng(3).standard_normal(model.config.identity)
    codes = Codes(torch.as_tensor(code, dtype=torch.float32)[None])
    mesh = mesh_of(model, codes, 96)
    rotation = Rotation.from_euler("xyz", [100, -35, 60], degrees=True).as_matrix()
    return mesh.transformed(Similarity(rotation, np.array([120.0, -340.0, 80.0]), 250.0))


@pytest.fixture(scope="session")
def save_fit(model, tmp_path_factory):
    """Write a fit of a scan in centimetres, turned by 30 degrees about y, as `headfield fit` would: seed -> path."""
    from scipy.spatial.transform import Rotation

    from headfield.fit.result import Fit
    from headfield.fit.scan_fit import ScanFit
    from headfield.types import Similarity

    placement = Similarity(Rotation.from_euler("y", 30, degrees=True).as_matrix(), np.zeros(3), 1 / 25.0)
    folder = tmp_path_factory.mktemp("fits")

    def save(seed: int, name: str, expression: np.ndarray | None = None, spread: float = 0.5):
        scan = ScanFit("a.ply", placement, "cm", 0.0, np.zeros(52) if expression is None else expression,
                       np.zeros((4, 3)), np.zeros(4), np.ones(4, bool), np.zeros((4, 3)))  # fmt: skip
        identity = spread * np.random.default_rng(seed).standard_normal(model.config.identity)
        fit = Fit(MODEL, identity.astype(np.float32), (scan,), weights=model.fingerprint)
        return fit.save(folder / name)

    return save


@pytest.fixture(scope="session")
def saved(save_fit):
    """A saved fit of the released model."""
    return save_fit(5, "fit.npz")


@pytest.fixture
def headfield(capsys, tmp_path, monkeypatch):
    """Run the command line in an empty folder; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:  # usage errors leave through argument parsing
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def refused(headfield, tmp_path):
    """Run a fit that must be refused: exit 2, one clear message, nothing left behind; returns the message."""

    def run(*words) -> str:
        before = sorted(path for path in tmp_path.rglob("*"))
        status, out, err = headfield("fit", *words, "--out", "out")
        assert status == 2, (status, out, err)
        assert err.startswith("headfield: ") and err.count("\n") == 1 and "Traceback" not in err, err
        assert sorted(path for path in tmp_path.rglob("*")) == before, "something was left behind"
        return err

    return run


@pytest.fixture
def store(tmp_path):
    """A store of two toy people, in ``store`` of the test's folder."""
    writer = StoreWriter(tmp_path / "store", {}, points=16, samples=16)
    for name in ("anna", "ben"):
        arrays = {
            "anchors": np.zeros((39, 3), np.float32),
            "expressions": np.zeros((1, 52), np.float32),
            "points": np.zeros((1, 16, 3), np.uint16),
            "normals": np.zeros((1, 16, 3), np.int8),
            "canonical": np.zeros((1, 16, 3), np.uint16),
            "canonical_valid": np.ones((1, 16), bool),
            "samples": np.zeros((1, 16, 3), np.uint16),
            "sdf": np.zeros((1, 16), np.float16),
        }
        writer.add(Record(name, "toy", "train", describe={"age": "33"}, folder=f"toy/{name}"), arrays)
    return tmp_path / "store"
