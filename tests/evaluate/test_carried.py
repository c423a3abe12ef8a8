"""Carried points: no miss where they are carried truly, the whole way where they are not; a PCA of the very heads."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from stub_head import StubHead

from headfield.errors import ConfigError
from headfield.evaluate import carried
from headfield.evaluate.carried import apart, make_sitting, misses, run_carried
from headfield.evaluate.options import Options
from headfield.evaluate.protocols import protocol_named
from headfield.fit.result import Fit
from headfield.fit.scan_fit import ScanFit
from headfield.parametric.pca import LinearPCA

pytest.importorskip("anny", reason="heads need the extra synth: pip install 'headfield[synth]'")

OPTIONS = Options(split="dev")


@pytest.fixture(scope="module")
def sittings():
    """A person posed and at rest, and another one at rest."""
    protocol = protocol_named("correspondence")
    return [
        make_sitting(protocol, "anny", index, OPTIONS, posed) for index, posed in ((1, True), (1, False), (2, False))
    ]


def test_what_is_carried_truly_has_no_miss_and_what_is_not_the_whole_way(sittings):
    for source, target in (sittings[:2], sittings[1:]):
        seen = np.flatnonzero(source.seen & target.seen)
        which = seen[:: -(-len(seen) // carried.VERTICES)]
        assert misses(source, target, lambda points: target.places(which)).max() < 1e-9  # noqa: B023
        shifted = misses(source, target, lambda points: target.places(which) + [0, 0, 2.0])  # noqa: B023
        assert np.allclose(shifted, 2.0, rtol=0.02)  # scans are in millimetres
        # left where they are in the head's own frame they miss by what the heads differ by
        frames = target.observed.truth.inverse().after(source.observed.truth)
        assert np.allclose(misses(source, target, frames.apply), apart(source, target)[which], rtol=1e-4)


def test_a_mask_leaves_the_rest_out(sittings):
    posed, rest, _ = sittings
    moved = apart(posed, rest) >= carried.MOVED_MM
    frames = rest.observed.truth.inverse().after(posed.observed.truth)
    assert misses(posed, rest, frames.apply, moved).min() >= 0.99 * carried.MOVED_MM
    assert len(misses(posed, rest, frames.apply, np.zeros_like(moved))) == 0
    assert np.isnan(carried.median(np.zeros(0)))


def test_a_pca_of_the_very_heads_carries_them_home(sittings, monkeypatch):
    meshes = [np.asarray(one.solid.vertices, dtype=float) for one in sittings]
    pca = LinearPCA.fit(np.stack([*meshes, np.mean(meshes, axis=0)]), sittings[0].person.head)
    monkeypatch.setattr(carried, "training_pca", lambda *words: pca)
    model = SimpleNamespace(box=np.array([[-0.65, -0.68, -0.95], [0.65, 0.85, 0.5]]))
    ways = carried._by_pca(model, *sittings, OPTIONS)
    found = carried._numbers(*sittings, ways)
    print(found)
    between = np.median(apart(*sittings[1:])[sittings[1].seen & sittings[2].seen])
    assert found["person"] < 0.25 * between and found["moving"] < 0.5 * carried.MOVED_MM


def test_a_case_has_all_numbers_for_every_column(monkeypatch):
    """With fits that are only placed rightly: the stub's head with no code, on which every point stays where it is."""
    model, none = StubHead(), np.zeros(0)
    protocol, true = protocol_named("correspondence"), []
    real = carried.make_sitting

    def make(*words):
        true.append(real(*words))
        return true[-1]

    def fit(scan, *words, **more):
        place = next(one.observed.truth for one in true if one.observed.scan is scan)
        one = ScanFit("a", place, "mm", 0.0, np.zeros(3), np.zeros((0, 3)), none, none, none)
        return Fit("stub", np.zeros(24), (one,), _model=model)

    monkeypatch.setattr(carried, "load", lambda name: model)
    monkeypatch.setattr(carried, "make_sitting", make)
    monkeypatch.setattr(carried, "fit", fit)
    monkeypatch.setattr(carried, "fit_facts", lambda found: {})
    found = run_carried(protocol, "anny", 1, replace(OPTIONS, resolution=48, baselines=False))
    values = {name: row["ours"] for name, row in found.values.items()}
    print(values)
    assert set(values) == {column.name for column in protocol.columns} and all(np.isfinite(list(values.values())))
    assert values["still"] >= carried.MOVED_MM and values["expression"] <= values["expression_p90"]
    assert len(true) == 3 and true[0].pose == "auto" and true[1].pose == true[2].pose == "neutral"


def test_the_next_of_the_last_person_is_the_first():
    protocol = replace(protocol_named("correspondence"), people=(("ict", 3), ("anny", 2)))
    assert [carried._next(protocol, "ict", index, OPTIONS) for index in range(3)] == [1, 2, 0]
    assert [carried._next(protocol, "anny", index, OPTIONS) for index in range(2)] == [1, 0]


def test_a_model_without_a_canonical_space_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(carried, "load", lambda name: SimpleNamespace(name="plain"))
    with pytest.raises(ConfigError, match="canonical space; 'plain' has none"):
        run_carried(protocol_named("correspondence"), "anny", 0, OPTIONS)
