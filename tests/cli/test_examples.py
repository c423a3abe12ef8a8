"""Every example runs: the first as a user would run it, the others in this process and with coarser meshes."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from headfield.surface import bake
from headfield.surface.head import Head

FIRST, *OTHERS = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))


def test_the_first_example_as_a_process(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FIRST)], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "unit mm" in done.stdout and (tmp_path / "out" / "examples" / "head.ply").exists()


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_example(path, light_fits, tmp_path, monkeypatch):
    mesh, baking = Head.mesh, bake.bake
    monkeypatch.setattr(Head, "mesh", lambda head, resolution=64: mesh(head, min(resolution, 64)))
    monkeypatch.setattr(
        bake, "bake", lambda model, codes, vertices, resolution: baking(model, codes, 600, resolution=64)
    )
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", [FIRST, *OTHERS], ids=lambda path: path.stem)
def test_examples_are_short_and_say_what_they_do(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith('"""') and len(lines) < 80
