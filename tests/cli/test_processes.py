"""Signals, pipes, kills and two commands at once, with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headfield.io.store import Store
from headfield.models.release import PACKAGED

HEADFIELD = [sys.executable, "-m", "headfield.cli"]
SCAN = Path(__file__).parents[2] / "examples" / "data" / "scan.ply"
EXPORT = ("--resolution", "512")


def _begin(*words, cwd: Path, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [*HEADFIELD, *map(str, words)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # runners that work side by side ignore Ctrl-C, and what they start would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), start_new_session=True, **options,
    )  # fmt: skip


def _run(*words, cwd: Path, **options) -> tuple[int, str, str]:
    process = _begin(*words, cwd=cwd, **options)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def _until(true, process: subprocess.Popen, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def _end(process: subprocess.Popen) -> None:
    """Kill a command and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate(timeout=600)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def fit_at_work(tmp_path):
    """A fit that is filling its temporary folder, and that folder."""
    shutil.copy(SCAN, tmp_path / "scan.ply")
    process = _begin("fit", "scan.ply", "--out", "out", *EXPORT, cwd=tmp_path)
    _until(lambda: list(tmp_path.glob(".out.*.part")), process)
    yield process, next(tmp_path.glob(".out.*.part"))
    _end(process)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(fit_at_work, tmp_path, number, status):
    process, _ = fit_at_work
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert process.returncode == status and err == "headfield: stopped; nothing half-written was left behind.\n"
    assert _names(tmp_path) == ["scan.ply"]


@pytest.mark.parametrize("words", [("--help",), ("fit", "--help")])
def test_a_closed_pipe_is_silent(words, tmp_path):
    """As ``headfield ... | head -1``, with a reader that is gone before the first line at the latest."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen([*HEADFIELD, *words], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    _, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    line = f"set -o pipefail; {sys.executable} -m headfield.cli {' '.join(words)} | head -1"
    shell = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert shell.returncode == 0 and shell.stderr == "" and shell.stdout.count("\n") == 1


def test_a_second_command_is_told_and_a_killed_one_is_tidied_up_after(fit_at_work, tmp_path):
    """The last run also has no reader any more, as ``headfield fit ... 2>&1 | head -1``, and is done all the same."""
    process, part = fit_at_work
    status, _, err = _run("sample", "-n", 1, "--out", "out", "--resolution", 24, cwd=tmp_path)
    assert status == 2 and "another headfield command is at work there" in err and err.count("\n") == 1
    assert part.is_dir() and process.poll() is None  # the first one is not disturbed
    _end(process)
    (tmp_path / ".other.0123abcd.part").mkdir()  # of another place: not this command's business
    assert _names(tmp_path) == sorted([part.name, ".other.0123abcd.part", "scan.ply"])
    read, write = os.pipe()
    os.close(read)
    words = [*HEADFIELD, "fit", "scan.ply", "--out", "out", "--resolution", "64", "--expression", "neutral"]
    last = subprocess.Popen(words, cwd=tmp_path, stdout=write, stderr=write)
    os.close(write)
    assert last.wait(timeout=600) == 0 and (tmp_path / "out" / "fit.npz").exists()
    assert _names(tmp_path) == [".other.0123abcd.part", "out", "scan.ply"]


# ---- stores ----------------------------------------------------------------------------------------------------------


def test_removing_somebody_unknown_is_an_error_unless_asked_for(store, tmp_path):
    status, _, err = _run("store", "remove", "bem", "--yes", cwd=tmp_path)
    assert status == 2 and "Did you mean 'ben'" in err
    status, out, err = _run("store", "remove", "bem", "--yes", "--if-present", cwd=tmp_path)
    assert status == 0 and err == "" and "Did you mean 'ben'" in out and "Nothing had to be removed" in out
    assert [record.id for record in Store(store).records] == ["anna", "ben"]
    assert _run("store", "remove", "ben", "--yes", "--if-present", cwd=tmp_path)[0] == 0
    assert [record.id for record in Store(store).records] == ["anna"]
    assert _run("store", "remove", "ben", "-s", "nowhere", "--yes", "--if-present", cwd=tmp_path)[0] == 2


@pytest.mark.parametrize("again", [("anna",), ("nobody", "--if-present")])
def test_an_interrupted_removal_is_finished(store, tmp_path, again):
    die = (
        "import os, shutil, sys; from headfield.cli import main; shutil.rmtree = lambda *_, **__: os._exit(137); "
        "sys.exit(main(['store', 'remove', 'anna', '--yes']))"
    )
    assert subprocess.run([sys.executable, "-c", die], cwd=tmp_path).returncode == 137
    assert (store / ".removal.json").exists() and list(store.glob("**/.*.gone"))
    status, _, err = _run("store", "remove", *again, "--yes", cwd=tmp_path)
    assert status == 0, err
    assert not (store / ".removal.json").exists() and not list(store.glob("**/.*.gone"))
    assert [record.id for record in Store(store).records] == ["ben"] and not (store / "toy" / "anna").exists()


def _refused_beside(first: subprocess.Popen, out: Path, words: tuple, cwd: Path) -> None:
    """Another command on the same folder is refused while the first one works, which goes on."""
    before = {path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")}
    status, _, err = _run(*words, cwd=cwd)
    assert status == 2 and "another headfield command is at work there" in err and str(out.name) in err, err
    assert first.poll() is None, first.communicate()
    assert before <= set(out.rglob("*"))


def _kill_and_leave(first: subprocess.Popen, out: Path) -> list[Path]:
    """Kill a command, and lay down what it would have left in the middle of a write."""
    _end(first)
    left = [out / ".model.safetensors.4242.part", out / "deep" / ".x.npz.4242.tmp", out / ".person.0123abcd.part"]
    (out / "deep").mkdir(exist_ok=True)
    for path in left[:2]:
        path.write_bytes(b"half")
    left[2].mkdir()
    (left[2] / "half").write_bytes(b"half")
    return left


def test_two_synths(tmp_path):
    words = ("synth", "--family", "anny", "--expressions", 1, "--hair", 0, "--points", 600, "--samples", 200,
             "--workers", 0, "--out", "store")  # fmt: skip
    first, out = _begin(*words, "--identities", 50, cwd=tmp_path), tmp_path / "store"
    try:
        _until(lambda: (out / "store.json").exists(), first)
        _refused_beside(first, out, words, tmp_path)
        status, _, err = _run("store", "remove", "anna", "-s", "store", "--yes", cwd=tmp_path)
        assert status == 2, err
    finally:
        _end(first)


def test_two_trainings_and_what_a_killed_one_leaves(tmp_path):
    synth = ("synth", "--family", "anny", "--identities", 2, "--expressions", 1, "--hair", 0, "--workers", 0)
    status, _, err = _run(*synth, "--points", 600, "--samples", 200, "--out", "store", cwd=tmp_path)
    if status != 0 and "HEADFIELD_DATA" not in os.environ:
        pytest.skip(err)
    assert status == 0, err
    words = ("train", "--store", "store", "--out", "run", "--preset", "tiny", "--heads", 2, "--points", 64,
             "--samples", 32, "--steps")  # fmt: skip
    first, out = _begin(*words, 100000, cwd=tmp_path), tmp_path / "run"
    try:
        _until(lambda: (out / "metrics.jsonl").exists(), first)
        _refused_beside(first, out, (*words, 3), tmp_path)
        left = _kill_and_leave(first, out)
    finally:
        _end(first)
    process = _begin(*words, 100000, cwd=tmp_path)  # nothing was saved yet, so this begins anew
    try:
        _until(lambda: not any(path.exists() for path in left), process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=600)
        assert process.returncode == 143
    finally:
        _end(process)


def test_two_curations(tmp_path):
    (tmp_path / "scans").mkdir()
    shutil.copy(SCAN, tmp_path / "scans" / "anna.ply")
    words = ("curate", "scans", "--out", "store", "--workers", 0)
    first, out = _begin(*words, cwd=tmp_path), tmp_path / "store"
    try:
        _until(lambda: (out / "curation").exists(), first)
        _refused_beside(first, out, words, tmp_path)
        left = _kill_and_leave(first, out)
    finally:
        _end(first)
    process = _begin(*words, cwd=tmp_path)
    try:
        _until(lambda: not any(path.exists() for path in left), process)
    finally:
        _end(process)


# ---- the hub ---------------------------------------------------------------------------------------------------------


def test_a_model_of_the_hub_is_remembered_by_its_commit(tmp_path):
    """A cache as the hub's client keeps it; the repository's newest commit then holds no weights any more."""
    cache = tmp_path / "hub" / "models--someone--heads"
    old, new = "a" * 40, "b" * 40
    shutil.copytree(PACKAGED / "imhead-open-small", cache / "snapshots" / old)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(old)
    env = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    sample = ("sample", "-n", 1, "--resolution", 24, "--model")
    status, _, err = _run(*sample, "someone/heads", "--out", "drawn", cwd=tmp_path, env=env)
    assert status == 0, err
    assert str(np.load(tmp_path / "drawn" / "codes.npz")["model"]) == f"someone/heads@{old}"
    (cache / "snapshots" / new).mkdir()
    (cache / "refs" / "main").write_text(new)
    status, _, err = _run("export", "drawn/codes.npz", "-o", "h.ply", "--resolution", 24, cwd=tmp_path, env=env)
    assert status == 0, err
