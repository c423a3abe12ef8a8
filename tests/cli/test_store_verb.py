"""``headfield store`` from the command line."""

from __future__ import annotations

import pytest

from headfield.cli import main
from headfield.io.store import Store


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Stores are named as in the working folder."""
    monkeypatch.chdir(tmp_path)


def test_remove_asks_first(store, capsys):
    assert main(["store", "remove", "anna"]) == 2
    out = capsys.readouterr()
    assert "--yes" in out.err and "toy/anna" in out.out
    assert [record.id for record in Store(store).records] == ["anna", "ben"]


def test_remove_says_what_went(store, capsys):
    assert main(["store", "remove", "anna", "--yes"]) == 0
    out = capsys.readouterr().out
    assert "toy/anna" in out and "index.jsonl" in out and "folder with 9 files deleted" in out
    assert [record.id for record in Store(store).records] == ["ben"]
    assert main(["store", "remove", "bin", "-s", str(store), "--yes"]) == 2
    assert "Did you mean 'ben'" in capsys.readouterr().err


def test_check_and_stats(store, capsys):
    assert main(["store", "check", str(store)]) == 0
    assert "files with the right hash  16" in capsys.readouterr().out
    (store / "toy" / "anna" / "sdf.npy").write_bytes(b"x")
    assert main(["store", "check"]) == 1
    assert "DAMAGED" in (out := capsys.readouterr().out) and "another SHA-256" in out
    assert main(["store", "stats"]) == 0
    assert "30-39" in capsys.readouterr().out
    assert main(["store", "check", "elsewhere"]) == 2
