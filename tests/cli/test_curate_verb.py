"""``headfield curate`` from the outside: refusals that cost no work, and the whole way from a raw scan to training."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.curate.parametric_options import ParametricOptions
from headfield.errors import DataError
from headfield.fit.pictures.landmarks import LandmarkOptions
from headfield.types import ARKIT


@pytest.fixture
def folder(tmp_path):
    """A folder with a text file and a scan of nothing much."""
    place = tmp_path / "raw scans"
    place.mkdir()
    (place / "notes.txt").write_text("hello")
    np.savez(place / "anna.npz", points=np.random.default_rng(0).standard_normal((500, 3)))
    return place


def test_refusals(headfield, folder, tmp_path):
    for words, said in (
        (["nowhere"], "no such folder"),
        ([folder, "--only", "bob"], "no such person; there are anna"),
        ([folder, "--workers", "-1"], "give 0 or more"),
        ([folder, "--csv", "missing.csv"], "missing.csv"),
    ):
        status, _, err = headfield("curate", *words, "--out", "store")
        assert status == 2 and said in err and err.count("\n") == 1, err
        assert not (tmp_path / "store").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    status, _, err = headfield("curate", folder, "--out", "other")
    assert status == 2 and "holds no store.json" in err
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["mine.txt"]


def test_a_scan_without_a_face_is_rejected_with_a_picture(headfield, folder, tmp_path, defaults):
    pytest.importorskip("mediapipe", reason="pip install 'headfield[landmarks]'")
    defaults(LandmarkOptions, directions=4, closer=False)  # where a face is looked for is tested in tests/fit
    status, out, _ = headfield("curate", folder, "--out", "store", "--workers", "0")
    assert status == 1, "nobody was good enough"
    assert "1 rejected" in out and "notes.txt is no scan" in out and "no face found" in out
    assert (tmp_path / "store" / "curation" / "anna" / "anna" / "landmarks.jpg").stat().st_size > 1000
    page = (tmp_path / "store" / "report.html").read_text(encoding="utf-8")
    assert "no face found" in page and "data:image/jpeg" in page and "notes.txt" in page


def test_from_a_raw_scan_to_training(headfield, tmp_path, defaults, light_fits):
    pytest.importorskip("mediapipe", reason="pip install 'headfield[landmarks]'")
    pytest.importorskip("igl", reason="pip install 'headfield[synth]'")
    from headfield.synth.identities import IdentityKey, frozen
    from headfield.synth.person import family, make_person
    from headfield.synth.scanner import HeadTruth, ScanOptions, scan_head

    try:
        head, sheet = family("ict")
    except DataError as error:
        pytest.skip(str(error))
    person = make_person(IdentityKey("ict", "dev", 0, frozen()["seed"]), head, sheet, 0.0)
    rng = np.random.default_rng(5)
    scans = tmp_path / "scans" / "Zoë Müller 2"
    scans.mkdir(parents=True)
    smile = np.zeros(52)
    smile[[ARKIT.index(name) for name in ("mouthSmileLeft", "mouthSmileRight", "jawOpen")]] = 0.8
    for name, weights in (("neutral", None), ("smile", smile)):
        scan, _ = scan_head(HeadTruth.of_person(person, weights), "full", rng, ScanOptions(points=15_000))
        np.savez(scans / f"{name}.npz", points=scan.points, normals=scan.normals)
    defaults(ParametricOptions, points=1500, iterations=16)
    words = ["--resolution", 80, "--points", 2000, "--samples", 600, "--workers", 0]
    status, out, err = headfield("curate", tmp_path / "scans", "--out", "store", *words)
    assert status == 0 and "1 in the store" in out and "2 good" in out, (out, err)
    status, out, _ = headfield("curate", tmp_path / "scans", "--out", "store", *words)
    assert status == 0 and "nothing to do" in out

    from headfield.io.store import Store

    store = Store(tmp_path / "store")
    arrays = store.open(store.records[0])
    assert arrays["expressions"][1, ARKIT.index("jawOpen")] > 0.4
    gap = np.linalg.norm(arrays["anchors"] - person.anchors, axis=1) * 250
    assert np.median(gap) < 4.0, "anchors in millimetres"
    assert arrays["canonical_valid"][1].mean() > 0.8
    status, out, err = headfield("train", "--store", "store", "--out", "run", "--preset", "tiny", "--steps", 2)
    assert status == 0, err
