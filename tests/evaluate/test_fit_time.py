"""Times of fits: ratios as scipy finds them, times at equal error, and curves that belong to their fits."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import ttest_rel
from stub_head import StubHead

from headfield.evaluate import cases, compare, fit_time, report
from headfield.evaluate.compare import compare_models
from headfield.evaluate.fit_time import CURVE, equal_error, ratio, reached_at, run_timed, start_of
from headfield.evaluate.options import Options
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.protocols import protocol_named
from headfield.evaluate.records import CaseResult
from headfield.types import Similarity


def test_ratios_are_students_of_the_logarithms():
    rng = np.random.default_rng(0)
    first = rng.uniform(1, 5, 30)
    ours = first * np.exp(rng.normal(0.7, 0.2, 30))
    ours[3] = np.nan
    here, found = np.isfinite(ours), ratio(ours, first)
    expected = ttest_rel(np.log(ours[here]), np.log(first[here])).confidence_interval(0.95)
    assert found["n"] == 29 and found["low"] < found["ratio"] < found["high"]
    assert (found["low"], found["high"]) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    back = ratio(first, ours)
    assert back["ratio"] == pytest.approx(1 / found["ratio"]) and back["low"] == pytest.approx(1 / found["high"])
    assert ratio([2.0], [1.0]) == {"n": 1, "ratio": pytest.approx(2.0), "low": 0.0, "high": np.inf}
    assert np.isnan(ratio([np.nan], [1.0])["ratio"])


def _case(number: int, *curve) -> CaseResult:
    return CaseResult(f"ict-{number:05d}", facts={CURVE: [list(row) for row in curve], "threads": 1})


def test_equal_error_is_when_each_is_as_good_as_the_other_ends():
    quick = [_case(0, (1, 2.0), (2, 0.5), (3, 0.4)), _case(1, (1, 1.0), (2, 0.3), (3, 0.2)), _case(2, (1, 1.0))]
    slow = [_case(0, (10, 1.0), (20, 0.5)), _case(1, (10, 0.25), (20, 0.1)), CaseResult("ict-00002", error="no head")]
    assert reached_at(quick[0].facts[CURVE], 0.5) == 2 and np.isnan(reached_at(quick[0].facts[CURVE], 0.1))
    assert equal_error(quick, slow) == {"heads": 2, "reached": 1, "seconds": 2.0}
    never = equal_error(slow, quick)
    assert never["reached"] == 1 and never["seconds"] == 20  # 0.5 never becomes 0.4, and 0.1 is below 0.2


def test_everyone_starts_as_far_off():
    truth = Similarity(np.eye(3), np.array([1.0, 2, 3]), 0.004)
    one, again = (start_of(truth, np.random.default_rng([3, 11])) for _ in range(2))
    change = one.after(truth.inverse())
    assert np.degrees(Rotation.from_matrix(change.rotation).magnitude()) == pytest.approx(3)
    assert change.scale == pytest.approx(1.03) and np.array_equal(one.translation, again.translation)
    assert not np.allclose(one.translation, start_of(truth, np.random.default_rng([4, 11])).translation)


def test_a_curve_ends_at_the_fit_that_is_reported(monkeypatch):
    pytest.importorskip("anny", reason="heads need the extra synth: pip install 'headfield[synth]'")
    model, steps = StubHead(), (2, 4)
    monkeypatch.setattr(fit_time, "STEPS", steps)
    monkeypatch.setattr(fit_time, "load", lambda name: model)
    found = run_timed(protocol_named("fit-time-neutral"), "anny", 0, Options(model="a stub", resolution=48))
    values, curve = {name: row["ours"] for name, row in found.values.items()}, found.facts[CURVE]
    print(values, curve)
    assert len(curve) == len(steps) and curve[-1] == (values["solve"], values["error"])
    assert values["total"] == pytest.approx(values["solve"] + values["mesh"]) and values["mesh"] > 0
    assert all(seconds > 0 and error > 0 for seconds, error in curve) and found.facts["threads"] >= 1


def test_a_comparison_tells_ratios_and_equal_error(monkeypatch, tmp_path):
    def run_case(protocol, family, index, settings):
        times = 3.0 if settings.model == "b" else 1.0
        curve = [(times * k, 1.0 / k + 0.1 * index) for k in (1, 2, 3)]
        values = {c.name: {"ours": times * (1 + 0.01 * index)} for c in protocol.columns}
        return Outcome(values, None, {"fit_seconds": times, CURVE: curve, "threads": 2, "person": {}})

    monkeypatch.setattr(cases, "run_case", run_case)
    monkeypatch.setattr(report, "fingerprint", lambda model: f"weights of {model}")
    sizes = {"architecture": "x", "identity": 256, "expression": 52, "parameters": 10, "multiply_adds_a_point": 5}
    monkeypatch.setattr(compare, "_facts", lambda model: {"weights": model, **sizes})
    compare_models("fit-time", ["a", "b"], tmp_path, Options(limit=4))
    text = (tmp_path / "comparison.md").read_text()
    print(text)
    assert "b: CPU seconds, solve | 3.00 x those of a (3.00 to 3.00, n = 4)" in text and "Threads: 2." in text
    assert "a: as good as b ends | after 3.00 s of CPU (median), 4 of 4 heads get there" in text
    assert "on other data" in text and "138.000" in text
    times = json.loads((tmp_path / "comparison.json").read_text())["times"]
    assert next(row for row in times if row.get("column") == "total")["ratio"] == pytest.approx(3)
