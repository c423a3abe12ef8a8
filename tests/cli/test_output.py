"""Output places: checked before the work, whole or absent afterwards."""

from __future__ import annotations

import os

import pytest

from headfield.cli.output import output_file, output_folder, resumable_folder
from headfield.errors import OutputError


def _tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_new_folder_appears_whole(tmp_path):
    out = tmp_path / "a" / "b"
    with output_folder(out) as temporary:
        (temporary / "head.ply").write_text("head")
        assert not out.exists() and temporary.parent == out.parent
    assert _tree(tmp_path) == ["a", "a/b", "a/b/head.ply"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing_not_even_new_parents(tmp_path, stop):
    with pytest.raises(stop), output_folder(tmp_path / "a" / "b") as temporary:
        (temporary / "half").write_text("x")
        raise stop
    assert _tree(tmp_path) == []


def test_existing_folder_needs_force_and_keeps_other_files(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with output_folder(out) as temporary:  # empty: free to use
        (temporary / "head.ply").write_text("first")
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="--force"), output_folder(out):
        pytest.fail("must be refused before the work")
    with output_folder(out, force=True) as temporary:
        (temporary / "head.ply").write_text("second")
        (temporary / "deep").mkdir()
        (temporary / "deep" / "file").write_text("x")
    assert (out / "head.ply").read_text() == "second" and (out / "mine.txt").read_text() == "mine"
    assert _tree(tmp_path) == ["out", "out/deep", "out/deep/file", "out/head.ply", "out/mine.txt"]


def test_failure_under_force_keeps_the_old_files(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "head.ply").write_text("old")
    with pytest.raises(ValueError), output_folder(tmp_path / "out", force=True) as temporary:
        (temporary / "head.ply").write_text("half")
        raise ValueError
    assert _tree(tmp_path) == ["out", "out/head.ply"] and (tmp_path / "out/head.ply").read_text() == "old"


def test_unwritable_places_are_refused_first(tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "/proc/headfield/out"):
        for manager in (output_folder, output_file):
            if manager is output_file and str(out).endswith("file"):
                continue
            with pytest.raises(OutputError), manager(type(tmp_path)(out)):
                pytest.fail("must be refused before the work")
        with pytest.raises(OutputError), resumable_folder(type(tmp_path)(out), began="*"):
            pytest.fail("must be refused before the work")
    assert _tree(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_parent(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"), output_folder(tmp_path / "locked" / "out"):
        pytest.fail("must be refused before the work")


def test_file(tmp_path):
    path = tmp_path / "new" / "head.obj"
    with output_file(path) as temporary:
        assert temporary.suffix == ".obj"
        temporary.write_text("1")
    with pytest.raises(OutputError, match="--force"), output_file(path):
        pytest.fail("must be refused before the work")
    with pytest.raises(ValueError), output_file(path, force=True) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert path.read_text() == "1"
    with output_file(path, force=True) as temporary:
        temporary.write_text("2")
    assert path.read_text() == "2" and _tree(tmp_path) == ["new", "new/head.obj"]
    with pytest.raises(OutputError, match="a folder"), output_file(tmp_path):
        pytest.fail("must be refused before the work")


@pytest.mark.parametrize(("piece", "left"), [("index.jsonl", ["new", "new/store", "new/store/index.jsonl"]), ("x", [])])
def test_resumable_folder_keeps_work_and_drops_what_holds_none(tmp_path, piece, left):
    with pytest.raises(KeyboardInterrupt), resumable_folder(tmp_path / "new" / "store", began="*.jsonl") as out:
        (out / piece).touch()
        raise KeyboardInterrupt
    assert _tree(tmp_path) == left
