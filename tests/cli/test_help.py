"""Help is complete and imports neither heavy rooms nor other verbs; what words mean does not depend on the imports."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

import pytest

from headfield.cli import verbs

HEAVY = ("torch", "trimesh", "scipy", "skimage", "matplotlib", "igl", "anny", "huggingface_hub", "PIL", "rich")


def _run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in verbs.VERBS)])
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
others = [name for name in {list(verbs.VERBS)!r} if f"headfield.cli.{{name}}" in sys.modules and name not in {words!r}]
assert not others, others
assert "numpy" not in sys.modules or {words!r} != ["--help"]
"""
    done = _run(code)
    assert done.returncode == 0, done.stderr
    assert "usage: headfield" in done.stdout
    if words == ["--help"]:
        assert all(f"• {verb}" in done.stdout for verb in verbs.VERBS)


def test_import_headfield_is_light():
    modules = (*HEAVY, "numpy", "tyro")
    done = _run(f"import headfield, sys; print([name for name in {modules!r} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_wrong_words_are_explained():
    done = _run("from headfield.cli import main; main(['fit', 'a.ply', '--unit', 'mm'])")
    assert done.returncode == 2 and "--units" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], [], ["fti"], ["--nonsense"], ["fit", "--unit", "mm"], ["fit", "a.ply", "--resolution", "many"],
        ["fit", "--shapes", "52"], ["store", "--help"], ["store", "remove", "--wrong"], ["-x", "fit"],
        *([verb, "--help"] for verb in verbs.VERBS),
    ],
)  # fmt: skip
def test_one_verbs_parser_says_what_the_parser_of_all_says(words, capsys):
    """Help, status and usage messages, among them options of other verbs that may have been meant."""
    told = []
    for parsed in (verbs.command_of, lambda words: verbs._parsed(words, set(verbs.VERBS))):
        with pytest.raises(SystemExit) as stop:
            parsed(words)
        told.append((stop.value.code, *capsys.readouterr()))
    assert told[0] == told[1] and "headfield" in told[0][1] + told[0][2]


def test_a_mistaken_option_is_found_at_the_verb_that_has_it(capsys):
    with pytest.raises(SystemExit):
        verbs.command_of(["fit", "--symmetrise", "nose"])
    assert "headfield edit --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["fit", "a.ply", "b.ply", "-o", "x", "--up", "y"], ["store", "check", "a"], ["view"], ["doctor", "a.ply"]],
)
def test_one_verbs_parser_reads_what_the_parser_of_all_reads(words):
    read = verbs.command_of(words)
    assert read == verbs._parsed(words, set(verbs.VERBS))
    assert type(read) is verbs._command(words[0])


def test_what_a_verb_says_of_itself_is_read_as_it_stands(monkeypatch):
    for verb in verbs.VERBS:
        assert verbs._stand_in(verb).__doc__ == inspect.getdoc(verbs._command(verb))
        assert not dataclasses.fields(verbs._stand_in(verb))
    monkeypatch.setattr(verbs, "_source", lambda module: None)  # as where only compiled modules are installed
    assert all(verbs._stand_in(verb) is verbs._command(verb) for verb in verbs.VERBS)
