"""anny in numpy equals the library; phenotypes mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.parametric.anny_files import read_anny
from headfield.parametric.anny_phenotypes import PHENOTYPES, age_in_years, age_of_years, phenotype_weights
from headfield.parametric.normalise import log_size, normalising_similarity


def test_vertices_equal_the_library(anny):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("anny", reason="anny is not installed")
    model = library.Anny(
        rig="makehuman", topology="anny-quads", phenotypes="all", local_changes="all", facial_actions="all"
    )
    data = read_anny()
    lookup = {int(b): i for i, b in enumerate(model.base_mesh_vertex_indices)}
    rows = np.array([lookup[int(b)] for b in data.base_index])
    rng = np.random.default_rng(2)
    for _ in range(3):
        identity = anny.draw_identity(rng)
        phenotype = anny.phenotype(identity)
        sliders = dict(zip(anny.slider_names, identity[len(PHENOTYPES) :].tolist()))
        with torch.no_grad():
            rest = model(phenotype_kwargs=phenotype, local_changes_kwargs=sliders, facial_actions={"jawOpen": 0.7})[
                "rest_vertices"
            ][0].numpy()[rows]
        expected = np.stack([rest[:, 0], rest[:, 2], -rest[:, 1]], 1)
        ours = anny.source_vertices(identity) + 0.7 * data.actions[24]
        assert np.abs(ours - expected).max() < 2e-5  # metres


def test_weights_are_a_partition_for_each_age():
    mask = np.zeros((5, 26))
    mask[np.arange(5), 5 + np.arange(5)] = 1.0  # one shape per age
    for age in np.linspace(-1 / 3, 1, 13):
        weights = phenotype_weights({"age": age}, mask)
        assert abs(weights.sum() - 1) < 1e-12 and (weights > 0).sum() <= 2


def test_age_in_years_round_trip():
    for years in (0.5, 7.0, 18.0, 40.0, 85.0):
        assert abs(age_in_years(age_of_years(years)) - years) < 1e-9


def test_children_have_smaller_heads_and_say_so(anny):
    sizes = {}
    for years in (7.0, 30.0):
        identity = anny.mean_identity()
        identity[PHENOTYPES.index("age")] = age_of_years(years)
        sizes[years] = log_size(normalising_similarity(anny.anchors(anny.raw_vertices(identity))))
        assert anny.describe(identity)["age"] == ("child" if years < 13 else "adult")
    assert sizes[7.0] < sizes[30.0] - 0.05


def test_draws_cover_people_and_stay_bounded(anny):
    rng = np.random.default_rng(0)
    draws = np.array([anny.draw_identity(rng) for _ in range(300)])
    facts = [anny.describe(draw) for draw in draws]
    for key, values in (
        ("age", {"child", "adult", "old"}),
        ("gender", {"male", "female"}),
        ("group", {"african", "asian", "caucasian", "mixed"}),
    ):
        assert values <= {fact[key] for fact in facts}
    assert min(fact["age_years"] for fact in facts) >= 6.0
    sliders = draws[:, len(PHENOTYPES) :]
    assert np.abs(sliders).max() <= 0.56


def test_sides_are_nearly_alike(anny):
    rng = np.random.default_rng(1)
    sliders = np.array([anny.draw_identity(rng) for _ in range(200)])[:, len(PHENOTYPES) :]
    names = anny.slider_names
    for left, name in enumerate(names):
        if name.startswith("l-"):
            right = names.index("r-" + name[2:])
            assert np.corrcoef(sliders[:, left], sliders[:, right])[0, 1] > 0.9
            assert np.abs(sliders[:, left] - sliders[:, right]).max() > 0


def test_draws_are_reproducible(anny):
    first = anny.draw_identity(np.random.default_rng([1, 2]))
    assert (first == anny.draw_identity(np.random.default_rng([1, 2]))).all()
