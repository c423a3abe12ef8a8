"""The frozen tests: who is in them, that they are the same whenever made, and the arithmetic of their tables."""

import json
from dataclasses import replace

import numpy as np
import pytest

from headfield.errors import ConfigError
from headfield.evaluate.protocol import Column, Protocol
from headfield.evaluate.protocols import PROTOCOLS, protocol_named
from headfield.evaluate.records import CaseResult
from headfield.evaluate.report import reached, summary_of, table


def result(value=None, error=""):
    values = {} if value is None else {"face": {"ours": value, "mean": 5.0, "pca": 1.0}}
    return CaseResult("ict-00000", values, {}, error)


FACE = Column("face", "face", 1.0)


def test_the_issue_s_rows_are_all_there():
    assert {name for name in PROTOCOLS if not name.startswith("captures-")} == {
        "full-ict", "full-anny", "depth-bald", "depth-mixed", "haired", "posed", "disentangled", "outsiders",
        "placement",
    }  # fmt: skip
    counts = {name: len(protocol.cases("test")) for name, protocol in PROTOCOLS.items()}
    assert counts["full-ict"] == 100 and counts["full-anny"] >= 50 and counts["haired"] >= 50
    assert counts["placement"] == 100 and counts["outsiders"] == 38
    assert len(PROTOCOLS["full-ict"].cases("dev")) == 50


def test_placement_alternates_scans_with_and_without_back_within_each_family():
    protocol = PROTOCOLS["placement"]
    kinds = {}
    for family, index in protocol.cases("test"):
        kinds.setdefault(family, []).append(protocol.scan[index % len(protocol.scan)].variant)
    assert all(k.count("frontal") == k.count("full") == 25 for k in kinds.values())
    assert all(not kind.tells for kind in protocol.scan)


def test_limits_take_families_in_turn():
    assert PROTOCOLS["posed"].cases("dev", 4) == [("ict", 0), ("anny", 0), ("ict", 1), ("anny", 1)]


def test_unknown_names_are_told():
    with pytest.raises(ConfigError, match="full-ict"):
        protocol_named("full")
    with pytest.raises(ConfigError, match="dev"):
        PROTOCOLS["posed"].cases("train")


def test_summary_is_mean_median_and_the_order_statistic():
    values = np.arange(1.0, 11.0)
    got = summary_of([result(v) for v in values], FACE, "ours")
    assert got["n"] == 10 and got["mean"] == 5.5 and got["median"] == 5.5 and got["p90"] == 10.0
    more = summary_of([result(v) for v in values], replace(FACE, at_least=True), "ours")
    assert more["p90"] == 1.0  # nine of ten reach or exceed 1.9: the lower neighbour is the honest one


def test_a_failed_fit_counts_as_infinitely_wrong():
    results = [result(1.0)] * 3 + [result(error="no head")] * 2
    got = summary_of(results, FACE, "ours")
    assert got["n"] == 5 and got["failed"] == 2
    assert got["mean"] == 1.0 and got["median"] == 1.0 and got["p90"] == np.inf
    share = summary_of(results, replace(FACE, share=True, at_least=True), "ours")
    assert share["mean"] == pytest.approx(0.6)  # failures are not right
    small = summary_of(results, replace(FACE, share=True), "ours")
    assert small["mean"] == 1.0 and small["n"] == 3 and small["failed"] == 2  # a failure has no verdict


def test_heads_without_the_region_are_left_out():
    got = summary_of([result(1.0), result(float("nan")), result(3.0)], FACE, "ours")
    assert got["n"] == 2 and got["mean"] == 2.0
    empty = summary_of([result(float("nan"))], FACE, "ours")
    assert empty["n"] == 0 and reached(FACE, empty) is None


def test_goals_are_judged_on_the_right_side():
    assert reached(FACE, {"n": 1, "mean": 1.0}) and not reached(FACE, {"n": 1, "mean": 1.001})
    least = replace(FACE, at_least=True)
    assert reached(least, {"n": 1, "mean": 1.0}) and not reached(least, {"n": 1, "mean": 0.999})
    assert reached(replace(FACE, reach=None), {"n": 1, "mean": 0.0}) is None


def test_table_says_what_is_not_reached_and_what_failed():
    protocol = Protocol("p", "title", (("ict", 2),), (FACE,))
    text = table(protocol, [result(2.0), result(error="x")])
    assert "not reached" in text and "1 failed" in text and "5.000" in text
    assert "NaN" not in text


def test_results_are_plain_json():
    from headfield.evaluate.report import _plain

    text = json.dumps(_plain({"a": [float("inf"), float("nan"), 1.0]}), allow_nan=False)
    assert json.loads(text) == {"a": ["inf", None, 1.0]}
