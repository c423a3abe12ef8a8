"""Models side by side: paired differences as scipy finds them, tables that other programs read, resumed, told apart."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from stub_head import PlainHead

from headfield.errors import ConfigError, ScanError, WeightsError
from headfield.evaluate import cases, compare, report
from headfield.evaluate.compare import compare_models, paired
from headfield.evaluate.cost import multiply_adds
from headfield.evaluate.options import Options
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.papers import PAPERS, PRINTED, SWEEPS
from headfield.evaluate.protocols import PROTOCOLS, protocol_named
from headfield.evaluate.records import CaseResult
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead


def test_paired_differences_are_students():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.3, 2.0, 40)
    ours = first + rng.normal(0.05, 0.1, 40)
    ours[7] = np.nan
    gap = paired(ours, first)
    here = np.isfinite(ours)
    test = ttest_rel(ours[here], first[here])
    expected = test.confidence_interval(0.95)
    assert gap.n == 39 and gap.mean == pytest.approx((ours - first)[here].mean())
    assert (gap.low, gap.high) == pytest.approx((expected.low, expected.high))
    assert gap.sure == (test.pvalue < 0.05)
    assert not paired([1.0], [0.5]).sure and paired([np.nan], [1.0]).n == 0
    assert paired(first, first).mean == 0.0


def test_the_papers_tests_are_there_and_no_frozen_one_changed():
    assert not PROTOCOLS.keys() & PAPERS.keys()
    for name in (
        "imhead-identity",
        "imhead-expression",
        "nphm-identity",
        "nphm-single",
        "nphm-expression-23",
        "nphm-anchors",
    ):
        protocol = protocol_named(name)
        assert len(protocol.cases("test")) >= 50 and {"f1", "f1_5", "f5"} <= {c.name for c in protocol.columns}
        printed = {column for one in PRINTED[name] for column in one.values}
        assert printed <= {column.name for column in protocol.columns}
    assert protocol_named("nphm-expression-23").scans == 23
    same = replace(protocol_named("nphm-anchors"), name="nphm-identity", title=protocol_named("nphm-identity").title)
    assert same == protocol_named("nphm-identity")
    levels = [protocol_named(name).scan[0].options.noise_mm for name in SWEEPS["noise"]]
    assert levels == sorted(levels) and {0.0, 0.3, 0.75, 1.5} <= set(levels)
    counts = [protocol_named(name).scan[0].options.points for name in SWEEPS["points"]]
    assert counts[0] == 250 and counts[-1] == 10_000


def test_multiply_adds_are_those_of_the_layers():
    """Of a model whose every part is evaluated, by the sizes of its layers."""
    config = replace(imhead_tiny(), threshold=0.0, sigma=1.0)  # so wide that no weight vanishes
    torch.manual_seed(0)
    model = ImHead(config)
    encoded, hidden = 3 * (1 + 2 * config.part_frequencies) + config.ambient, config.part_hidden
    part = encoded * hidden * 2 + (config.part_layers - 1) * hidden**2 + hidden * config.part_features
    fusion = (3 + config.part_features) * 16 + 16 * 16 + 16
    deformer = 2 * 3 * (1 + 2 * config.deformer_frequencies) * 16 + 16 * 16 + 16 * (3 + config.ambient)
    found, expected = multiply_adds(model), 39 * part + fusion + deformer
    print("multiply-adds", found, "by the layers", expected)
    assert expected <= found < 1.05 * expected  # the blend's distances are products, too
    torch.manual_seed(0)
    assert multiply_adds(ImHead(imhead_tiny())) < 0.5 * found  # where few parts act


class StandIn:
    def save(self, path):
        path.write_bytes(b"fit")


@pytest.fixture
def runs(monkeypatch):
    """Two models; the second is worse by 0.1 on every head, and cannot fit the third of a family."""
    seen = []

    def run_case(protocol, family, index, settings):
        seen.append((settings.model, settings.baselines))
        if index == 2 and settings.model == "b":
            raise ScanError("nothing there")
        worse = 0.1 if settings.model == "b" else 0.0
        values = {c.name: {"ours": 1.0 + index + worse + 1e-4 * index * worse} for c in protocol.columns}
        return Outcome(values, StandIn(), {"fit_seconds": 1.0, "person": {}})

    monkeypatch.setattr(cases, "run_case", run_case)
    monkeypatch.setattr(report, "fingerprint", lambda model: f"weights of {model}")
    monkeypatch.setattr(report, "_sheet", lambda *words: None)
    sizes = {"architecture": "x", "identity": 256, "expression": 52, "parameters": 10, "multiply_adds_a_point": 5}
    monkeypatch.setattr(compare, "_facts", lambda model: {"weights": model, **sizes})
    return seen


def test_models_are_compared_head_by_head_and_resumed(runs, tmp_path):
    told = []
    compare_models("nphm-identity", ["a", "b"], tmp_path, Options(limit=6), lambda *words: told.append(words))
    assert len(runs) == 12 and told[0][:3] == ("a", 1, 6)
    assert {baselines for model, baselines in runs if model == "a"} == {True}  # the baselines are the same for all
    assert {baselines for model, baselines in runs if model == "b"} == {False}
    table = (tmp_path / "comparison.md").read_text()
    print(table)
    assert "**+0.100 (+0.100 to +0.100)**" in table and "(2 failed)" in table and "on other data" in table
    rows = list(csv.DictReader((tmp_path / "comparison.csv").open()))
    face = next(row for row in rows if row["column"] == "face" and row["model"] == "b")
    assert float(face["difference"]) == pytest.approx(0.1, rel=1e-3) and int(face["n"]) == 4
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content["models"]["b"]["identity"] == 256 and len(content["rows"]) == len(rows)
    latex = (tmp_path / "comparison.tex").read_text()
    assert (
        latex.count(r"\\") == 3
        and r"\textbf{" in latex
        and latex.count("&") == 3 * len(PAPERS["nphm-identity"].columns)
    )
    compare_models("nphm-identity", ["a", "b"], tmp_path, Options(limit=6))
    assert len(runs) == 12  # nothing is run twice


PCAS = ["PCA, same training heads", "local PCA, same training heads"]


def test_baselines_of_the_first_model_stand_beside_all():
    protocol = protocol_named("nphm-identity")

    def result(case, ours, **more):
        return CaseResult(f"ict-{case:05d}", {"face": {"ours": ours + 0.1 * case} | more})

    first = [result(case, 1.0, mean=3.0, pca=0.5 + 0.1 * case, local_pca=0.4) for case in range(4)]
    rows = compare.rows_of(protocol, {"a": first, "b": [result(case, 2.0) for case in range(4)]})
    assert [row["model"] for row in rows] == ["a", "b", "mean head (z = 0)", *PCAS]
    assert rows[4]["mean"] == pytest.approx(0.4)
    assert rows[2]["mean"] == 3.0 and rows[3]["difference"] == pytest.approx(-0.5) and rows[3]["sure"]


def test_what_is_refused(runs, tmp_path, monkeypatch):
    for models in (["a"], ["a", "x/a"]):
        with pytest.raises(ConfigError, match="at least two, of different names"):
            compare_models("nphm-identity", models, tmp_path / "out")
    monkeypatch.undo()
    with pytest.raises(WeightsError, match="headfield train --model NAME"):
        compare_models("nphm-identity", ["imhead-open-small", "nowhere-at-all"], tmp_path / "out", Options(limit=1))
    assert not (tmp_path / "out").exists()


def test_the_way_from_head_to_head_of_a_model_in_closed_form_is_even(monkeypatch):
    """Its bumps grow in proportion to the code, so steps are alike and nothing is a detour; a model without parts is
    told so by the tests that edit regions."""
    from headfield.evaluate import drawn

    stub = PlainHead()
    monkeypatch.setattr(drawn, "load", lambda name: stub)
    settings = Options(resolution=48)
    found = drawn.run_drawn(protocol_named("interpolation"), 0, settings)
    values = {name: row["ours"] for name, row in found.values.items()}
    print(values)
    assert 1.0 <= values["longest"] < 1.1 and 0.97 < values["detour"] < 1.15 and values["apart"] > 0.2
    assert found.fit is None
    for name in ("region-sampling", "swap"):
        with pytest.raises(ConfigError, match="local parts; 'stub' has none"):
            drawn.run_drawn(protocol_named(name), 0, settings)
