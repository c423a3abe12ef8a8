"""Run the tests of numbers in eight settings: 1 and 2 threads, AVX-512 and AVX2, two seeds of the tests' data.

    python tests/settings/settings_run.py                                # all eight
    python tests/settings/settings_run.py --threads 2 --seeds 1 --instructions avx2 -- tests/fit

What follows `--` goes to pytest. Left out are tests that these cannot change: journeys through the browser, types,
damaged files. Printed: a line per setting, then each failure with the settings in which it fails; exit status 1 if
there is any. A test that is red in one setting is wrong, or what it tests is (CONTRIBUTING.md).

This file is also the pytest plugin that leaves those tests out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent

INSTRUCTIONS = {
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "OPENBLAS_CORETYPE": "SkylakeX", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
"""What torch, OpenBLAS and MKL read of the environment."""

NO_NUMBERS = ("fuzz", "web", "test_types.py", "test_docstrings.py", "test_architecture.py")
"""Rooms and files whose tests no setting changes."""


def pytest_collection_modifyitems(config, items) -> None:
    """Leave out what no setting changes."""
    kept, left_out = [], []
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        seen = {"browser", "victim"} & set(getattr(item, "fixturenames", ()))
        (left_out if seen or room in NO_NUMBERS else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@dataclass(frozen=True)
class Setting:
    """How numbers are computed.

    Attributes:
        threads: Of torch and BLAS.
        instructions: ``avx512`` or ``avx2``.
        seed: What shifts the seeds of the tests' data.
    """

    threads: int
    instructions: str
    seed: int

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}, {self.instructions}, seed {self.seed}"

    def environment(self) -> dict[str, str]:
        """What a process of this setting is started with."""
        threads = {f"{name}_NUM_THREADS": str(self.threads) for name in ("OMP", "OPENBLAS", "MKL")}
        seed = {"HEADFIELD_TEST_SEED": str(self.seed), "PYTHONPATH": os.pathsep.join([str(HERE), *_paths()])}
        return os.environ | INSTRUCTIONS[self.instructions] | threads | seed


def _paths() -> list[str]:
    return [path for path in (os.environ.get("PYTHONPATH"),) if path]


def run_tests(setting: Setting, words: list[str]) -> tuple[dict[str, int], list[str], int]:
    """Run the tests in a setting: how many there were of each end, the names of those that failed, the exit status."""
    with tempfile.TemporaryDirectory(prefix="headfield-settings-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-p", "settings_run", "--junitxml", str(report), *words]
        status = subprocess.run(command, env=setting.environment(), cwd=TESTS.parent).returncode
        suites = ElementTree.parse(report).getroot().iter("testsuite") if report.exists() else []
        counts, failed = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0), []
        for suite in suites:
            counts = {name: count + int(suite.get(name, 0)) for name, count in counts.items()}
            failed += [
                f"{case.get('classname')}::{case.get('name')}"
                for case in suite.iter("testcase")
                if case.find("failure") is not None or case.find("error") is not None
            ]
    return counts, failed, status


def main(argv: list[str] | None = None) -> int:
    """Run the settings one after another; 1 if a test failed in any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--instructions", nargs="+", choices=list(INSTRUCTIONS), default=list(INSTRUCTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("words", nargs="*", help="for pytest, after --")
    given = parser.parse_args(argv)
    lines, red = [], {}
    for setting in itertools.starmap(Setting, itertools.product(given.threads, given.instructions, given.seeds)):
        if setting.instructions == "avx512" and not _has_avx512():
            lines.append(f"{setting}: not run, this CPU has no AVX-512")
            continue
        begun = time.monotonic()
        counts, failed, status = run_tests(setting, given.words)
        colour = "green" if status == 0 else "RED"
        passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
        ends = f"{passed} passed, {len(failed)} failed, {counts['skipped']} skipped"
        lines.append(f"{setting}: {colour}, {ends}, {time.monotonic() - begun:.0f} s")
        for name in failed or ([] if status == 0 else [f"pytest ended with status {status}"]):
            red.setdefault(name, []).append(str(setting))
    print("\n".join(["", *lines]))
    for name, where in red.items():
        print(f"{name}: {'; '.join(where)}")
    return int(bool(red))


def _has_avx512() -> bool:
    import torch

    return torch.backends.cpu.get_cpu_capability() == "AVX512"


if __name__ == "__main__":
    sys.exit(main())
