"""Fits and the weights that made them: kept in files, refused or told when others open them, and fitted again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from stub_head import StubHead, surface_of

import headfield
from headfield.errors import ConfigError, WeightsError
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.fit.scan_fit import ScanFit
from headfield.models import DEFAULT
from headfield.models.fingerprint import Fingerprint
from headfield.models.release import V1
from headfield.types import Codes, Scan, Similarity

MADE = Fingerprint("a" * 12, "b" * 12)
MOVES_DIFFERENTLY, OTHER_HEADS = replace(MADE, expression="c" * 12), Fingerprint("d" * 12, "b" * 12)


def _saved(folder, expression, model_name="stub"):
    """A fit's file without having fitted."""
    scan = ScanFit("a.ply", Similarity(), "mm", 0.0, expression, np.zeros((4, 3)), np.zeros(4), np.ones(4, bool),
                   np.zeros((4, 3)))  # fmt: skip
    return Fit(model_name, np.zeros(24), (scan,), weights=MADE).save(folder / "fit.npz")


def _without_fingerprint(path):
    """The file as it was written before there were fingerprints, and before scans were said to be neutral."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    del header["weights"]
    for scan in header["scans"]:
        del scan["said_neutral"]
    np.savez(path, **arrays | {"header": np.array(json.dumps(header))})
    return path


def test_weights_are_kept_in_the_file(tmp_path):
    path = _saved(tmp_path, np.zeros(3))
    found = Fit.load(path)
    assert found.weights == MADE and Fit.load(found.save(tmp_path / "again.npz")).weights == MADE
    assert found.to_dict()["weights"] == {"identity": "a" * 12, "expression": "b" * 12}
    assert Fit.load(path, StubHead(fingerprint=MADE)).weights_notes == ()


def test_old_files_are_of_the_first_weights_if_they_name_them(tmp_path):
    path = _without_fingerprint(_saved(tmp_path, np.ones(3), model_name=DEFAULT))
    assert Fit.load(path).weights == V1 and Fit.load(path, StubHead(fingerprint=V1)).weights_notes == ()
    with pytest.raises(WeightsError, match=f"{V1.identity} in the file.*v1: src/headfield/models/weights/.* at commit"):
        Fit.load(path, StubHead(fingerprint=OTHER_HEADS))
    path = _without_fingerprint(_saved(tmp_path, np.ones(3)))
    opened = Fit.load(path, StubHead(fingerprint=OTHER_HEADS))  # of a model of one's own: nobody knows
    assert opened.weights is opened.to_dict()["weights"] is None and opened.weights_notes == ()


def test_other_weights_are_refused_with_what_to_do(tmp_path):
    path = _saved(tmp_path, np.zeros(3))
    with pytest.raises(WeightsError) as caught:
        Fit.load(path, StubHead(fingerprint=OTHER_HEADS))
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "a" * 12 in message and "d" * 12 in message
    assert f"headfield fit {path} --model stub --out NEW" in message and "--model FOLDER" in message


def test_an_expression_of_other_weights_is_told_and_a_neutral_head_is_silent(tmp_path):
    model = StubHead(fingerprint=MOVES_DIFFERENTLY)
    path = _saved(tmp_path, np.array([0.0, 0.5, 0.0]))
    (note,) = Fit.load(path, model).weights_notes
    assert path.name in note and str(path.parent) not in note and "bit for bit" in note
    assert "b" * 12 in note and "c" * 12 in note
    assert Fit.load(_saved(tmp_path, np.zeros(3)), model).weights_notes == ()


@pytest.fixture(scope="module")
def two_scans(stub, similarity, tmp_path_factory):
    """A saved fit to two scans of one person, of which the second, without a telling name, was said to be neutral."""
    identity = torch.from_numpy(0.8 * np.random.default_rng(1).standard_normal((1, stub.config.identity))).float()
    scans = []
    for seed, weights in enumerate(([0.7, 0.0, 0.0], [0.0, 0.0, 0.0])):
        points, _ = surface_of(stub, Codes(identity, torch.tensor([weights])), 5000, seed)
        scale = (250.0, 25.0)[seed]
        colours = np.full((len(points), 4), 40 + seed, np.uint8)
        placed = similarity(np.random.default_rng(seed), scale).apply(points)
        scans.append(Scan(placed, colours=colours, name=f"scan{seed}.ply"))
    first = fit(scans, stub, neutral=(1,))
    return first, first.save(tmp_path_factory.mktemp("old") / "fit.npz")


def test_a_fit_is_fitted_again_to_its_own_points(two_scans, stub, monkeypatch):
    first, path = two_scans
    other = StubHead(fingerprint=OTHER_HEADS)
    monkeypatch.setattr("headfield.fit.run.place_head", None)  # nothing is searched for again
    again = headfield.fit(path, other)
    assert again.weights == OTHER_HEADS and first.weights == stub.fingerprint
    for before, after in zip(first.scans, again.scans, strict=True):
        assert (after.name, after.units, after.said_neutral) == (before.name, before.units, before.said_neutral)
        assert after.eyes == before.eyes and np.array_equal(after.colours, before.colours)
        moved = after.placement.after(before.placement.inverse()).matrix()
        assert np.allclose(moved, np.eye(4), atol=0.02)
        assert np.allclose(after.expression, before.expression, atol=0.1)
    assert np.abs(again.identity - first.identity).max() < 0.1
    assert set(again.evidence) == set(first.evidence) and set(first.notes) <= set(again.notes)
    assert any(f"points that {path} holds" in note for note in again.notes)


def test_an_old_fit_had_its_neutral_scans_by_name(tmp_path):
    first = Fit.load(_saved(tmp_path, np.zeros(3)))
    a, neutral = (replace(first.scans[0], name=name) for name in ("a.ply", "a_neutral.ply"))
    for scans, said in (((a, neutral), [False, True]), ((neutral,), [False])):
        path = _without_fingerprint(Fit("stub", first.identity, scans).save(tmp_path / "old.npz"))
        assert [scan.said_neutral for scan in Fit.load(path).scans] == said


def test_hints_about_a_file_are_refused_beside_a_fit(two_scans, stub):
    _, path = two_scans
    hints = {"up": "y", "units": "mm", "landmarks": "marks.json", "crop": (0, 0, 0, 1, 1, 1)}
    for name, value in hints.items():
        with pytest.raises(ConfigError, match=f"--{name} is about a scan's file, and this is a saved fit"):
            fit(path, stub, **{name: value})
