"""Two damaged files of each kind, the seeds and the quick bombs: headfield's own errors only (`make fuzz`: 2,000)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "fuzz_run.py"


@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/status").exists(), reason="forks, and reads /proc")
@pytest.mark.parametrize(
    "words",
    [("--files", "110", "--light"), pytest.param(("--files", "200"), marks=pytest.mark.extended)],
    ids=["light", "all bombs"],
)
def test_damaged_files_do_no_harm(tmp_path, words):
    """In a process of its own, which forks for every file: it must have no threads."""
    found = tmp_path / "outcomes.json"
    alone = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, str(RUN), *words, "--seed", "1", "--json", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | alone)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    outcomes = json.loads(found.read_text())
    assert len(outcomes) >= 200 and {"read", "refused"} == {outcome["end"] for outcome in outcomes}
