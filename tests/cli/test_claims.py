"""Claims within one process, where two locks of one folder exclude each other as those of two processes do."""

from __future__ import annotations

import pytest

from headfield.cli.claims import claimed, sweep
from headfield.cli.output import output_file, output_folder, resumable_folder
from headfield.errors import OutputError

pytest.importorskip("fcntl", reason="no such locks here")


def test_a_place_is_claimed_once_and_is_free_afterwards(tmp_path):
    (tmp_path / "there").mkdir()
    places = {
        "new folder": lambda: output_folder(tmp_path / "new"),
        "folder": lambda: output_folder(tmp_path / "there", force=True),
        "file": lambda: output_file(tmp_path / "head.ply", force=True),
        "resumable": lambda: resumable_folder(tmp_path / "store", began="*"),
    }
    for name, claim in places.items():
        with claim() as first:
            with pytest.raises(OutputError, match="another headfield command"), claim():
                pytest.fail(f"{name} was claimed twice")
            assert first.is_dir() or first.parent.is_dir(), name  # the first is not disturbed
            if name == "file":
                first.write_text("1")
        assert not list(tmp_path.glob(".*")), name
        if name != "new folder":
            with claim() as again:
                again.write_text("2") if name == "file" else (again / "x").write_text("2")
    with resumable_folder(tmp_path / "store", began="*"), pytest.raises(OutputError), claimed(tmp_path / "store"):
        pytest.fail("claimed twice")


def test_several_that_work_together_claim_once(tmp_path):
    with resumable_folder(tmp_path / "run", began="*"), resumable_folder(tmp_path / "run", began="*", alone=False):
        pass


def test_places_with_similar_names_are_different(tmp_path):
    with output_file(tmp_path / "a.ply") as one, output_file(tmp_path / "xa.ply") as two:
        one.write_text("1")
        two.write_text("2")
    assert (tmp_path / "a.ply").read_text() == "1" and (tmp_path / "xa.ply").read_text() == "2"


def test_sweeping_takes_what_was_left_and_nothing_else(tmp_path):
    left = [".head.ply.4242.part", "deep/.x.npy.7.tmp", "deep/.anna.31.old.tmp/sdf.npy", ".out.0123abcd.part/head.ply",
            ".0123abcd.probe"]  # fmt: skip
    kept = ["head.part", ".hidden", ".film.part", ".notes.tmp", "deep/x.4242.tmp", ".out.0123ABCD.part", "4242.tmp"]
    for name in (*left, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        kept
    )
    assert not list(tmp_path.glob(".*.part/*"))
