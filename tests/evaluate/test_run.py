"""Running protocols: resumed where it stopped, failures kept and told, folders not mixed. The fits are stand-ins."""

import json

import pytest

from headfield.errors import ConfigError, ScanError, WeightsError
from headfield.evaluate import cases, report
from headfield.evaluate.options import SMALL, Options, small_budget
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.run import evaluate


class StandIn:
    def save(self, path):
        path.write_bytes(b"fit")


@pytest.fixture
def runs(monkeypatch):
    """Cases that were run; the third of a family cannot be fitted."""
    seen = []

    def run_case(protocol, family, index, settings):
        seen.append((family, index))
        if index == 2:
            raise ScanError("nothing there")
        values = {c.name: {"ours": 1.0 + index, "mean": 3.0, "pca": 2.0} for c in protocol.columns}
        return Outcome(values, StandIn(), {"fit_seconds": 1.0, "person": {"age": "old"}})

    monkeypatch.setattr(cases, "run_case", run_case)
    monkeypatch.setattr(report, "fingerprint", lambda model: f"weights of {model}")
    monkeypatch.setattr(report, "_sheet", lambda *words: None)
    return seen


def test_resumes_and_reports(runs, tmp_path):
    evaluate("posed", tmp_path / "out", Options(limit=2))
    assert runs == [("ict", 0), ("anny", 0)]
    results = evaluate("posed", tmp_path / "out", Options(limit=6))
    assert runs[2:] == [("ict", 1), ("anny", 1), ("ict", 2), ("anny", 2)]
    assert [r.error for r in results] == ["", "", "", "", "nothing there", "nothing there"]
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["failed"] == ["ict-00002", "anny-00002"] and content["cases"] == 6 and content["of"] == 90
    assert content["columns"]["face"]["ours"] | {"n": 6} == {
        "n": 6, "mean": 1.5, "median": 2.0, "p90": "inf", "failed": 2,
    }  # fmt: skip
    assert content["by_family"]["anny"]["face"]["n"] == 3 and content["by_group"]["age"]["old"]["n"] == 4
    assert "(2 failed)" in (tmp_path / "out" / "table.md").read_text()


def test_a_folder_belongs_to_one_run(runs, tmp_path):
    evaluate("posed", tmp_path, Options(limit=1))
    for other in (Options(model="another"), Options(split="test"), Options(resolution=64)):
        with pytest.raises(ConfigError, match="other settings"):
            evaluate("posed", tmp_path, other)
    with pytest.raises(ConfigError, match="protocol"):
        evaluate("full-ict", tmp_path, Options(limit=1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="not empty"):
        evaluate("posed", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"


def test_missing_weights_stop_the_run_before_anything_is_written(tmp_path):
    with pytest.raises(WeightsError):
        evaluate("posed", tmp_path / "out", Options(model="nowhere-at-all"))
    assert not (tmp_path / "out").exists()


def test_what_every_case_needs_stops_the_run(monkeypatch, runs, tmp_path):
    def broken(*words):
        raise WeightsError("gone")

    monkeypatch.setattr(cases, "run_case", broken)
    with pytest.raises(WeightsError):
        evaluate("posed", tmp_path / "out", Options(limit=1))
    assert not list((tmp_path / "out" / "cases").iterdir())


def test_a_small_budget_leaves_what_was_chosen():
    default, chosen = Options(), Options(limit=2, resolution=128, truth="v2", pca_heads=5)
    small = small_budget(default)
    assert {name: getattr(small, name) for name in SMALL} == SMALL
    assert all(getattr(small, name) < getattr(default, name) for name in ("resolution", "samples"))
    kept = small_budget(chosen)
    assert (kept.limit, kept.resolution, kept.pca_heads, kept.truth) == (2, 128, 5, "v2") and kept.samples < 50_000


def test_the_command_takes_the_budget(runs, tmp_path):
    from headfield.cli.evaluate import EvaluateCommand

    out = tmp_path / "out"
    EvaluateCommand("posed", out, budget="small").run()
    held = json.loads((out / "settings.json").read_text())
    assert len(runs) == SMALL["limit"] and held["resolution"] == SMALL["resolution"]
    assert not EvaluateCommand("posed", out, budget="small", options=Options(limit=4)).run()
    assert len(runs) == SMALL["limit"]  # continued: nothing is run twice
    with pytest.raises(ConfigError, match="other settings"):
        EvaluateCommand("posed", out).run()
