"""Types: pyright over the whole package; a test, and no step of its own before them, so that both workers have work."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_pyright_finds_nothing():
    pyright = shutil.which("pyright", path=Path(sys.executable).parent)
    if pyright is None:
        pytest.skip("no pyright beside this Python: pip install 'headfield[dev]'")
    done = subprocess.run([pyright], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
