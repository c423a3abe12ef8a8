"""Help is complete, quick and never imports the heavy rooms; options mirror what they stand for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "trimesh", "scipy", "skimage", "matplotlib", "igl", "anny", "huggingface_hub")
VERBS = (
    "fit", "landmarks", "wrap", "sample", "animate", "export", "synth", "curate", "train", "evaluate", "store",
    "doctor",
)  # fmt: skip


def _run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_imports_nothing_heavy(words):
    code = f"""
import sys
from headfield.cli import main
try:
    main({words!r})
except SystemExit as stop:
    assert stop.code == 0, stop.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    done = _run(code)
    assert done.returncode == 0, done.stderr
    assert "usage: headfield" in done.stdout
    if words == ["--help"]:
        assert all(f"• {verb}" in done.stdout for verb in VERBS)


def test_import_headfield_is_light():
    done = _run(
        "import time; t = time.perf_counter(); import headfield; took = time.perf_counter() - t\n"
        f"import sys; print([n for n in {HEAVY!r} if n in sys.modules]); assert took < 0.3, took"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_wrong_words_are_explained():
    done = _run("from headfield.cli import main; main(['fit', 'a.ply', '--unit', 'mm'])")
    assert done.returncode == 2 and "--units" in done.stderr and "Traceback" not in done.stderr
