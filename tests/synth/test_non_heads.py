"""Things that are no head: made the same every time, and never believed."""

import numpy as np
import pytest

from headfield.errors import ConfigError, NotAHeadError
from headfield.fit.evidence import refuse_unless_head
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.surface.head import Head
from headfield.synth.non_heads import KINDS, PARTS, non_head, part_of_head


@pytest.fixture(scope="module")
def model():
    return load("imhead-open-small")


@pytest.fixture(scope="module")
def whole(model):
    """A bare head and its anchors."""
    head = Head(model, model.mean_codes(model.prior.names.index("bald")))
    return head.mesh(96), head.anchors()


def test_there_are_thirty_kinds_and_each_says_how_it_is_made():
    assert len(KINDS) >= 30
    assert all(make.__doc__ and make.__doc__.strip().endswith(".") for make in KINDS.values())
    with pytest.raises(ConfigError, match="unknown kind"):
        non_head("head")


@pytest.mark.parametrize("kind", ["hand", "text", "noise", "gear"])
def test_the_same_seed_makes_the_same_thing_and_another_another(kind):
    first, again, other = non_head(kind, 3, 2000), non_head(kind, 3, 2000), non_head(kind, 4, 2000)
    assert (first.points == again.points).all()
    assert first.points.shape != other.points.shape or not np.allclose(first.points, other.points)
    assert first.units is None and np.isfinite(first.points).all()


@pytest.mark.parametrize("kind", ["cat", "mannequin"])
def test_things_are_refused_or_poor(model, kind):
    try:
        assert fit(non_head(kind, 1, 6000), model, expression="neutral", candidates=2).verdict.level == "poor"
    except NotAHeadError as error:
        assert "not a head" in str(error)


def test_a_faceless_head_is_refused_because_of_its_face(model, whole):
    with pytest.raises(NotAHeadError, match="no face"):
        fit(part_of_head(*whole, "faceless", points=6000), model, expression="neutral", candidates=2)


def test_the_back_of_a_head_says_that_no_face_is_seen(model, whole):
    scan = part_of_head(*whole, "back of a head", points=6000)
    result = fit(scan, model, expression="neutral", candidates=2, refuse=False)
    with pytest.raises(NotAHeadError, match="no face is seen"):
        refuse_unless_head(result.evidence, scan.name)
    assert result.verdict.level == "poor"
    assert any(reason.startswith("no face is seen") for reason in result.verdict.reasons)


def test_parts_of_a_head_are_parts(whole):
    mesh, anchors = whole
    for kind in PARTS:
        points = part_of_head(mesh, anchors, kind, points=3000).points
        assert 200 < len(points) <= 3000
