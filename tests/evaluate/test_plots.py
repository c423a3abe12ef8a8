"""Plots: intervals as scipy finds them, pictures with names and units, the same twice; none without matplotlib."""

import xml.etree.ElementTree as ElementTree
from functools import partial

import numpy as np
import pytest
from scipy.stats import t as student

from headfield.errors import MissingExtra
from headfield.evaluate import plots
from headfield.evaluate.fit_time import CURVE
from headfield.evaluate.papers import AXES, SWEEPS
from headfield.evaluate.plots import mean_interval, plot_comparison, plot_sweep, try_plot
from headfield.evaluate.protocols import protocol_named
from headfield.evaluate.records import CaseResult


def results(protocol, models=("one-model", "another"), heads=6, failed=1):
    """Cases of models with a number in every column, some of which failed; the first has baselines."""
    rng, found = np.random.default_rng(0), {}
    for number, model in enumerate(models):
        own = []
        for case in range(heads):
            base = 1.0 + number + 0.1 * rng.standard_normal()
            more = {} if number else {"mean": 2 * base, "pca": float("nan")}
            values = {column.name: {"ours": base} | more for column in protocol.columns}
            facts = {"steps_mm": [1.0, 1.2, 0.9], CURVE: [[1.0 * base, 2.0], [2.0 * base, 1.0]], "threads": 1}
            own.append(CaseResult(f"ict-{case:05d}", values, facts))
        found[model] = [*own[failed:], *[CaseResult(f"ict-{case:05d}", error="no head") for case in range(failed)]]
    return found


def texts(path) -> str:
    """What an SVG says: matplotlib keeps every text as a comment beside its outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    tree = ElementTree.parse(path, parser)
    return "\n".join(one.text for one in tree.iter() if one.tag is ElementTree.Comment)


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(1).standard_normal(20)
    low, high = student.interval(0.95, 19, values.mean(), values.std(ddof=1) / np.sqrt(20))
    mean, reach = mean_interval(np.append(values, np.nan))
    assert (mean - reach, mean + reach) == pytest.approx((low, high))
    assert mean_interval(np.array([2.0])) == (2.0, 0.0) and np.isnan(mean_interval(np.array([np.nan]))[0])


@pytest.mark.parametrize("name", ["nphm-identity", "fit-time", "interpolation", "swap"])
def test_a_comparison_is_drawn_with_names_and_units(name, tmp_path):
    protocol = protocol_named(name)
    found = results(protocol)
    draw = partial(plot_comparison, protocol, found)
    draw(tmp_path / "plot.svg")
    said = texts(tmp_path / "plot.svg")
    assert {"one-model", "another", "mean head (z = 0)"} <= set(map(str.strip, said.split("\n")))
    assert "PCA, same training heads" not in said  # it has no number
    for column in protocol.columns:
        first = column.title.split()[0]
        assert column.share or first in said
    assert "n = 6" in said
    if name == "fit-time":
        assert "solver, CPU seconds" in said
    draw(tmp_path / "again.svg")
    assert (tmp_path / "plot.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


@pytest.mark.parametrize("name", list(SWEEPS))
def test_a_sweep_is_a_curve_over_its_axis(name, tmp_path):
    tests = [(protocol_named(one), results(protocol_named(one), heads=2, failed=0)) for one in SWEEPS[name]]
    plot_sweep(name, tests, tmp_path / "plot.svg")
    said = texts(tmp_path / "plot.svg")
    assert AXES[name] in said and "one-model" in said and "another" in said
    for protocol, _ in tests:
        assert f"{protocol.level:g}" in said.replace(",", "")


def test_one_head_is_drawn_without_an_interval(tmp_path):
    protocol = protocol_named("nphm-identity")
    plot_comparison(protocol, results(protocol, heads=1, failed=0), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_in_which_nothing_was_fitted_still_has_a_plot(tmp_path):
    protocol = protocol_named("fit-time")
    plot_comparison(protocol, results(protocol, heads=2, failed=2), tmp_path / "plot.svg")
    assert "fit-time" in texts(tmp_path / "plot.svg")


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch, tmp_path):
    def need(module, extra, purpose):
        raise MissingExtra(f"{purpose} needs {module}: pip install 'headfield[{extra}]' (none).")

    monkeypatch.setattr(plots, "need", need)
    protocol = protocol_named("swap")
    told = try_plot(lambda: plot_comparison(protocol, results(protocol), tmp_path / "plot.svg"))
    assert "pip install 'headfield[eval]'" in told and not list(tmp_path.iterdir())
