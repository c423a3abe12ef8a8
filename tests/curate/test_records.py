"""Records of stages: taken when they fit, made again when they do not, never naming another run's files."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from headfield.curate.records import Made, RejectedError, key_of, read_record, recorded
from headfield.errors import MissingExtra


def test_the_same_key_takes_what_is_there(tmp_path):
    done = []

    def work() -> Made:
        done.append(1)
        return Made({"a": np.arange(3)}, {"b": np.float64(1.5).item(), "t": ["x"]})

    first = recorded(tmp_path / "s", "align", "k1", work)
    again = recorded(tmp_path / "s", "align", "k1", work)
    assert len(done) == 1 and first.fresh and not again.fresh
    assert again.facts == first.facts and again.seconds == first.seconds and (again.arrays()["a"] == [0, 1, 2]).all()
    recorded(tmp_path / "s", "align", "k2", work)
    recorded(tmp_path / "s", "align", "k2", work, force=True)
    assert len(done) == 3


def test_a_rejection_is_kept_and_files_of_before_are_gone(tmp_path):
    recorded(tmp_path, "align", "k1", lambda: Made({"a": np.zeros(3)}, picture=np.zeros((9, 9, 3), np.uint8)))

    def refuse():
        raise RejectedError("no face")

    record = recorded(tmp_path, "align", "k2", refuse)
    assert record.outcome == "rejected" and record.reason == "no face" and record.arrays() == {}
    assert not (tmp_path / "align.jpg").exists()
    assert read_record(tmp_path, "align").outcome == "rejected"


def test_a_kill_between_files_and_record_leaves_no_record_of_other_files(tmp_path, monkeypatch):
    recorded(tmp_path, "align", "k1", lambda: Made({"a": np.zeros(3)}))

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    import headfield.curate.records as records

    with monkeypatch.context() as now:
        now.setattr(records.json, "dumps", kill)
        with pytest.raises(Killed):
            recorded(tmp_path, "align", "k2", lambda: Made({"a": np.ones(3)}))
    assert read_record(tmp_path, "align") is None
    back = recorded(tmp_path, "align", "k1", lambda: Made({"a": np.full(3, 7.0)}))
    assert back.fresh and (back.arrays()["a"] == 7).all(), "not the arrays that the killed run left"


def test_what_would_stop_every_scan_stops_the_run(tmp_path):
    def missing():
        raise MissingExtra("needs mediapipe")

    with pytest.raises(MissingExtra):
        recorded(tmp_path, "landmarks", "k", missing)
    assert read_record(tmp_path, "landmarks") is None


def test_keys_tell_apart_what_differs():
    different = [("a", 1, "x"), ("a", 2, "x"), ("b", 1, "x"), ("a", 1, "y"), ("a", 1, "x", None)]
    keys = {key_of(*parts) for parts in different}
    assert len(keys) == 5 and key_of("a", 1, {"p": 1, "q": 2}) == key_of("a", 1, {"q": 2, "p": 1})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there a process inherits its parent's peak")
def test_a_worker_is_not_charged_with_the_memory_of_its_parent():
    child = "from headfield.curate.records import _peak_mb; print(_peak_mb())"
    parent = f"""
import numpy, subprocess, sys
held = numpy.ones(60_000_000)
{child}
subprocess.run([sys.executable, "-c", {child!r}], check=True)
"""
    done = subprocess.run([sys.executable, "-uc", parent], capture_output=True, text=True, check=True)
    of_parent, of_child = map(float, done.stdout.split())
    assert of_parent > 450 and 10 < of_child < of_parent - 300
