"""The report: one file, nothing fetched, names escaped, everybody in it, readable in a real browser."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from headfield.curate.options import QualityLimits
from headfield.curate.outcomes import ScanOutcome, SubjectOutcome, write_outcome
from headfield.curate.quality import NUMBERS
from headfield.curate.report import histogram, write_report
from headfield.curate.subjects import Skipped

EVIL = '<script>alert(1)</script> & "Zoë" O\'Hara'


def person(out, name: str, outcome: str = "done", error: float = 0.2, reason: str = "") -> SubjectOutcome:
    facts = {"error_mm": error, "coverage": 0.9, "notes": []}
    scan = ScanOutcome("a b.ply", "a b", "smile", outcome, "align", reason, facts, {"align": 2.0})
    known = SubjectOutcome(name, outcome, reason, (), (scan,), None, 1, {"parametric": 1.0}, 812.0)
    write_outcome(out, known)
    folder = out / "curation" / name / "a b"
    folder.mkdir()
    Image.fromarray(np.full((8, 8, 3), 120, np.uint8)).save(folder / "align.jpg")
    return known


@pytest.fixture
def page(tmp_path):
    person(tmp_path, "anna")
    person(tmp_path, "bob", error=0.4)
    person(tmp_path, "carl", "rejected", 3.2, "the template is 3.20 mm from the scan (limit 1.50 mm)")
    skipped = [Skipped(EVIL, "is no scan")]
    return write_report(tmp_path, skipped, QualityLimits())


def test_everything_is_in_one_file(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:image/jpeg;base64,)""", text), "something is fetched"
    assert text.count("data:image/jpeg;base64,") == 3
    assert "<script" not in text and "alert(1)" in text, "names are text"
    for words in ("anna", "bob", "carl", "limit 1.50 mm", "is no scan", "0.79 GiB"):
        assert words in text, words
    assert "beyond the limit" in text, "reasons are counted without their numbers"

    class Parser(html.parser.HTMLParser):
        def error(self, message):
            raise AssertionError(message)

    Parser().feed(text)


def test_can_be_made_again_without_the_run(page):
    first = page.read_bytes()
    page.unlink()
    write_report(page.parent)
    assert page.read_bytes() == first
    shutil.rmtree(page.parent / "curation" / "carl")
    write_report(page.parent)
    assert "carl" not in page.read_text(encoding="utf-8"), "who is gone is gone"


def test_histogram_counts_every_value():
    number, rng = NUMBERS["error_mm"], np.random.default_rng(0)
    kept, rejected = rng.gamma(2, 0.2, 300).tolist(), [1.7, 2.5]
    drawn = histogram(number, kept, rejected, 1.5)
    counts = [tuple(map(int, pair)) for pair in re.findall(r": (\d+) kept, (\d+) rejected", drawn)]
    assert sum(k for k, _ in counts) == 300 and sum(r for _, r in counts) == 2
    assert "class=limit" in drawn and "at most 1.50 mm" in drawn
    assert "n = 2" in histogram(number, [0.1, 0.1], [], None), "all alike"


def test_outcome_of_another_version_is_passed_over(tmp_path):
    known = person(tmp_path, "anna")
    file = tmp_path / "curation" / "anna" / "subject.json"
    file.write_text(json.dumps(asdict(known) | {"unknown": 1}))
    assert "0</b><span>people in the store" in write_report(tmp_path, [], QualityLimits()).read_text(encoding="utf-8")


def test_a_browser_shows_it_without_errors(page, browser):
    tab, said, asked = browser.new_page(viewport={"width": 1000, "height": 800}), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    assert tab.locator("article").count() == 3 and tab.locator("svg rect").count() >= 4
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1000, "nothing sticks out"
    # pictures are lazy: ask for them and wait, so that one still on its way is not taken for a broken one
    tab.evaluate("[...document.images].forEach(i => i.loading = 'eager')")
    tab.wait_for_function("[...document.images].every(i => i.complete)")
    broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth)).length"
    assert tab.evaluate(broken) == 0
    tab.close()
    assert not said and [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
