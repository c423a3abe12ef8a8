"""What tests of several rooms share: a real browser for the pages, and one baked head for what is made of it."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --use-gl=swiftshader --enable-unsafe-swiftshader --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


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
def bald():
    """The released model and the codes of its mean bald head: ``model`` and ``codes``."""
    from headfield.models.release import load
    from headfield.types import Codes

    model = load("imhead-open-small")
    mean = model.prior.means[list(model.prior.names).index("bald")]
    return SimpleNamespace(model=model, codes=Codes(mean[None].clone()))


@pytest.fixture(scope="session")
def baked(bald):
    """That head with its 52 shapes at about 2,500 vertices."""
    pytest.importorskip("igl", reason="decimation needs the extra export: pip install 'headfield[export]'")
    from headfield.surface.bake import bake

    return bake(bald.model, bald.codes, 2500, resolution=112)


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
