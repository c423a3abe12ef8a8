"""Families with files and joints of their own in the pipeline: FLAME and GNM by small files of their keys."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("igl", reason="the sheet needs the extra synth: pip install 'headfield[synth]'")
sys.path += [str(Path(__file__).parents[1] / "parametric"), str(Path(__file__).parent)]

from toy_stages import STAGES, write_scan
from toy_template import gnm_arrays, toy_template, write_flame, write_landmarks

from headfield.curate.finishing import register_scan
from headfield.curate.fitting import corner_weights, fit_template
from headfield.curate.gather import gather
from headfield.curate.nicp import register
from headfield.curate.options import CurateOptions
from headfield.curate.pipeline import curate
from headfield.curate.records import Made
from headfield.errors import ConfigError
from headfield.fit.placement import Placement
from headfield.io.store import Store
from headfield.parametric.normalise import normalising_similarity
from headfield.surface.nearest import Target, sample_surface
from headfield.synth.person import family
from headfield.types import ARKIT, Mesh, Scan


@pytest.fixture(scope="module", params=["flame", "gnm"])
def options(request, tmp_path_factory):
    """Options of a family with its file."""
    folder, toy = tmp_path_factory.mktemp("family"), toy_template()
    if request.param == "flame":
        file = write_flame(folder / "flame2023.pkl", toy)
    else:
        file = folder / "gnm_head.npz"
        np.savez(file, **gnm_arrays(toy))
        write_landmarks(folder / "gnm_head_sparse_68.txt", toy)
    return CurateOptions(family=request.param, family_file=file)


@pytest.fixture(scope="module")
def scanned(options):
    """A scan in millimetres of a head with an expression, its placement, its landmarks and its true vertices."""
    head, _ = family(options.family, options.family_file)
    rng = np.random.default_rng(1)
    identity = 0.5 * head.draw_identity(rng)
    raw = head.raw_vertices(identity, 0.5 * rng.standard_normal(head.n_expression))
    places = sample_surface(Mesh(raw, head.triangles), 8000, rng, ~head.interior & ~head.cap)
    scan = Scan(1000 * places.points, places.normals, name="one", units="mm")
    frame = normalising_similarity(head.anchors(head.raw_vertices(identity)))
    placement = Placement(replace(frame, scale=frame.scale / 1000), "mm", 0.0, 0.0)
    marks = {"points": 1000 * head.landmarks68(raw), "confidence": np.ones(68), "residual": np.array(0.0)}
    return scan, placement, marks, 1000 * raw


def test_the_family_is_fitted_and_registered(options, scanned):
    scan, placement, marks, truth = scanned
    head, _ = family(options.family, options.family_file)
    made = fit_template([scan], [None], [marks], [placement], options)
    arrays = made.arrays
    assert "expressions" not in arrays  # they are not ARKit's
    assert made.facts["fit_mm"][0] < 0.5
    similarity = placement.similarity
    posed = Mesh(arrays["posed"][0], arrays["triangles"])
    outer = np.unique(head.triangles[~head.interior & ~head.cap])
    off = Target(posed).closest(similarity.apply(truth)[outer])[0] * 250
    assert np.median(off) < 0.5
    completed = Mesh(similarity.apply(truth), head.triangles)
    facts = register_scan(scan, marks, arrays, 0, "mm", completed, None, options).facts
    assert facts["error_mm"] < 0.2 and facts["inverted"] == 0


def test_landmarks_of_several_corners_are_those_of_the_head(options):
    head, _ = family(options.family, options.family_file)
    vertices = head.raw_vertices(head.mean_identity())
    corners, weights = corner_weights(head.landmark_rows)
    found = np.einsum("lk,lkc->lc", weights, vertices[corners])
    np.testing.assert_allclose(found, head.landmarks68(vertices), atol=1e-12)


def test_landmarks_by_corners_and_by_triangle_are_one():
    toy = toy_template()
    mesh = Mesh(4 * toy.vertices, toy.skin)
    rng = np.random.default_rng(0)
    triangle, weights = rng.choice(len(toy.skin), 12, replace=False), rng.dirichlet(np.ones(3), 12)
    wanted = np.einsum("lk,lkc->lc", weights, mesh.vertices[mesh.triangles[triangle]]) + [0, 0, 0.02]
    target = Mesh(mesh.vertices * [1.02, 1.0, 1.03], mesh.triangles)
    one = register(mesh, target, landmarks=((triangle, weights), wanted))
    other = register(mesh, target, landmarks=((mesh.triangles[triangle], weights), wanted))
    np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-9)
    np.testing.assert_allclose(one.landmark_error, other.landmark_error, atol=1e-6)


def test_expressions_of_the_model_stand_in(tmp_path):
    """A family without ARKit channels: the store takes the weights that the implicit model's fit found."""
    weights = np.zeros((2, len(ARKIT)))
    weights[1, ARKIT.index("jawOpen")] = 0.7

    def parametric(*given) -> Made:
        made = STAGES.parametric(*given)
        return Made({key: value for key, value in made.arrays.items() if key != "expressions"}, made.facts)

    work = replace(STAGES, parametric=parametric, model=lambda *given: Made({"expressions": weights}, {"hair": "bald"}))
    for name, jaw in (("neutral", 0.0), ("open", 0.7)):
        write_scan(tmp_path / "scans" / "ann" / f"{name}.npz", 1.0, jaw)
    options = CurateOptions(model=str(tmp_path / "log"), points=200, samples=96)
    curate(gather(tmp_path / "scans").subjects, tmp_path / "store", options, work=work)
    store = Store(tmp_path / "store")
    np.testing.assert_allclose(store.open(store.select()[0])["expressions"], weights, atol=1e-6)


def test_a_family_whose_file_is_missing_is_refused_at_once(tmp_path):
    write_scan(tmp_path / "scans" / "ann" / "neutral.npz")
    subjects = gather(tmp_path / "scans").subjects
    with pytest.raises(ConfigError, match="--family-file"):
        curate(subjects, tmp_path / "store", CurateOptions(family="flame"))
    with pytest.raises(ConfigError, match="does not exist"):
        curate(subjects, tmp_path / "store", CurateOptions(family="gnm", family_file=tmp_path / "none.npz"))
    assert not (tmp_path / "store").exists()
