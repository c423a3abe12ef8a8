"""What tests of several rooms share: a real browser for the pages, and one baked head for what is made of it."""

from __future__ import annotations

import fcntl
import importlib.util
import inspect
import json
import os
import pickle
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LONGEST = (
    "cli/test_curate_verb.py", "test_types.py", "cli/test_processes.py", "cli/test_journeys.py",
    "view/test_viewer_browser.py", "fuzz/test_fuzz.py", "cli/test_examples.py", "cli/test_bad_input.py",
    "fit/test_fit_reading.py", "curate/test_complete.py", "curate/test_parametric_fit.py", "fit/test_empty_space.py",
    "surface/test_bake.py",
)  # fmt: skip
"""Files that take the most time: they begin first, for one that begins last is waited for by an idle worker."""

FLAGS = (
    "--no-sandbox --disable-gpu --use-gl=swiftshader --enable-unsafe-swiftshader --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


def pytest_collection_modifyitems(items):
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session", autouse=True)
def _threads():
    """As many threads as the run was told to take: `make test THREADS=2`."""
    if count := os.environ.get("OMP_NUM_THREADS"):
        import torch

        torch.set_num_threads(int(count))


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window; tests that ask for it are skipped where there is none."""
    if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no chromium on PATH, or no playwright: apt-get install chromium; pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def victim(browser):
    """A browser for which every name under .example is this machine, as DNS rebinding makes it.

    It is one without Chromium's own guard of local addresses, which other browsers lack.
    """
    rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
    unguarded = "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"
    victim = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, rules, unguarded])
    yield victim
    victim.close()


@pytest.fixture(scope="session")
def blender(tmp_path_factory):
    """What a script says that runs in Blender without a window: it gets paths, and writes JSON to the last of them."""
    program = shutil.which("blender")
    if program is None:
        pytest.skip("no blender on PATH")

    def run(script: Path, *inputs: Path):
        facts = tmp_path_factory.mktemp("blender") / "facts.json"
        command = [program, "--python-use-system-env", "-b", "-noaudio", "--factory-startup", "-P", script, "--"]
        # Debian's Blender runs on the system's Python, which may have no numpy of its own
        numpy = importlib.util.find_spec("numpy")
        environment = {**os.environ, "PYTHONPATH": str(Path(numpy.origin).parents[1])}
        command = [str(word) for word in (*command, *inputs, facts)]
        done = subprocess.run(command, capture_output=True, timeout=240, text=True, env=environment)
        if "umpy" in done.stdout + done.stderr and not facts.exists():
            pytest.skip("Blender's Python finds no numpy that fits it: apt-get install python3-numpy")
        assert facts.exists(), done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(facts.read_text())

    return run


@pytest.fixture(scope="session")
def khronos(tmp_path_factory):
    """What Khronos' validator, installed by npm, reports of the bytes of a GLB."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node or npm on PATH")
    folder = tmp_path_factory.mktemp("validator")
    for file in ("package.json", "package-lock.json", "validate_gltf.mjs"):
        shutil.copy(Path(__file__).parent / "web" / file, folder)
    try:
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, timeout=90)
    except subprocess.TimeoutExpired:
        pytest.skip("npm gives no answer")
    if done.returncode:
        pytest.skip(f"npm cannot install gltf-validator here: {done.stderr.decode()[-200:]}")

    def report(glb: bytes) -> dict:
        (folder / "head.glb").write_bytes(glb)
        command = ["node", "validate_gltf.mjs", "head.glb"]
        return json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120).stdout)

    return report


@pytest.fixture(scope="session")
def bald():
    """The released model and the codes of its mean bald head: ``model`` and ``codes``."""
    from headfield.models.release import load
    from headfield.types import Codes

    model = load("imhead-open-small")
    mean = model.prior.means[list(model.prior.names).index("bald")]
    return SimpleNamespace(model=model, codes=Codes(mean[None].clone()))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """What takes long to make, made by the first worker that asks: ``made_once(name, make)``; the others read it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def made(name: str, make):
        path = folder / f"{name}.pickle"
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                path.write_bytes(pickle.dumps(make()))
        return pickle.loads(path.read_bytes())

    return made


@pytest.fixture(scope="session")
def baked(bald, made_once):
    """That head with its 52 shapes at about 2,500 vertices."""
    pytest.importorskip("igl", reason="decimation needs the extra export: pip install 'headfield[export]'")
    from headfield.surface.bake import bake

    return made_once("baked", lambda: bake(bald.model, bald.codes, 2500, resolution=112))


@pytest.fixture
def defaults(monkeypatch):
    """Other default values of a dataclass of options, for one test: ``defaults(FitOptions, points=800)``."""

    def change(options: type, **values) -> None:
        known = {
            name: parameter.default
            for name, parameter in inspect.signature(options).parameters.items()
            if parameter.default is not parameter.empty
        }
        assert set(values) <= set(known)
        monkeypatch.setattr(options.__init__, "__defaults__", tuple((known | values).values()))

    return change


@pytest.fixture
def light_fits(defaults, monkeypatch):
    """Fits look at few points in few steps, and previews are small: how good they are is tested in their own rooms."""
    from headfield.cli.preview import fit_preview
    from headfield.fit import choose
    from headfield.fit.options import FitOptions
    from headfield.fit.problem import SolverOptions

    defaults(FitOptions, points=800, candidates=3)
    defaults(SolverOptions, iterations=9, early_points=300, early_iterations=4, proposals=1)
    monkeypatch.setattr(choose, "_STEPS", 4)
    monkeypatch.setitem(fit_preview.__kwdefaults__, "size", 100)


@pytest.fixture(scope="session")
def fit_json():
    """Keys of fit.json: ``documented`` are those in the tables of docs/fit_file.md, ``keys(content)`` those of one."""
    page = (Path(__file__).parent.parent / "docs" / "fit_file.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\S+)` \|", page, flags=re.MULTILINE))

    def keys(content, path: str = "") -> set[str]:
        if isinstance(content, dict):
            return {key for name, value in content.items() for key in keys(value, f"{path}.{name}".lstrip("."))}
        if isinstance(content, list) and content and isinstance(content[0], dict):
            return {key for item in content for key in keys(item, f"{path}[]")}
        return {path}

    return SimpleNamespace(documented=documented, keys=keys)
