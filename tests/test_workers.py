"""Worker processes: results with their numbers, errors that stop the rest, and no worker without a parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from headfield.workers import in_workers

PARENT = """
import os, time
from headfield.workers import in_workers

def tell_and_sleep(place):
    with open(place, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    list(in_workers(tell_and_sleep, [("first",), ("second",)], 2))
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(true, what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.1)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_result_comes_with_its_number(workers):
    assert dict(in_workers(pow, [(2, 3), (3, 2), (5, 1)], workers)) == {0: 8, 1: 9, 2: 5}


def test_an_error_of_a_job_is_the_caller_s():
    with pytest.raises(ZeroDivisionError):
        list(in_workers(divmod, [(1, 0), (1, 0), (1, 0)], 1))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc to look processes up in")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    try:
        files = [tmp_path / name for name in ("first", "second")]
        eventually(lambda: all(file.exists() and file.read_text() for file in files), "two workers at work")
        pids = [int(file.read_text()) for file in files]
        assert all(map(alive, pids))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    eventually(lambda: not any(map(alive, pids)), "workers without a parent end")


def test_who_leaves_early_waits_for_what_has_begun_and_drops_the_rest():
    work = in_workers(time.sleep, [(0.0,), *[(1.0,)] * 600], 1)
    next(work)
    work.close()
    assert not multiprocessing.active_children(), "no worker goes on unseen"
