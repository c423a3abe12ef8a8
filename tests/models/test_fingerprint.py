"""Fingerprints: the same for the same weights, another for any other, and two that tell what a change matters to."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

import headfield
from headfield.models import release
from headfield.models.fingerprint import digest
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.types import Codes


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return ImHead(imhead_tiny()).eval().requires_grad_(False)


def changed(model: ImHead, name: str, column: int) -> ImHead:
    """A copy with one number of one tensor changed by its last bit."""
    other = copy.deepcopy(model)
    values = other.state_dict()[name]
    one = values.reshape(-1, values.shape[-1])[0]
    one[column] = torch.nextafter(one[column], torch.tensor(torch.inf))
    return other


def test_the_digest_is_the_same_on_every_machine():
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([0.1, -0.0])}
    assert digest(tensors, "settings") == "6cb8731b216e"
    assert digest(dict(reversed(tensors.items())), "settings") == "6cb8731b216e"
    turned = {**tensors, "b": tensors["b"].T.contiguous().T}  # other strides, the same numbers
    assert digest(turned, "settings") == "6cb8731b216e"
    others = [
        {**tensors, "b": tensors["b"].reshape(3, 2)},
        {"c": tensors["b"], "a": tensors["a"]},
        {**tensors, "a": torch.tensor([0.1, 0.0])},
    ]
    found = [digest(one, "settings") for one in others] + [digest(tensors, "setting")]
    assert len({*found, "6cb8731b216e"}) == 5


def test_same_weights_same_fingerprint(tiny, tmp_path):
    assert copy.deepcopy(tiny).fingerprint == tiny.fingerprint
    for half in (False, True):
        release.write(tmp_path / f"first-{half}", tiny, "card", half=half)
        first = headfield.load(tmp_path / f"first-{half}")
        release.write(tmp_path / f"second-{half}", first, "another card", {"more": 1}, half=half)
        assert headfield.load(tmp_path / f"second-{half}").fingerprint == first.fingerprint
        assert (first.fingerprint == tiny.fingerprint) == (not half)


def test_any_tensor_changes_one_of_the_two_and_the_deformer_only_that_of_expressions(tiny):
    ambient = tiny.config.ambient
    assert ambient == 2
    for name, tensor in tiny.state_dict().items():
        for column in range(-min(tensor.shape[-1], ambient + 1), 0):
            after = changed(tiny, name, column).fingerprint
            of_expressions = name.startswith("deformer.") or (
                name in ("ensemble.mlp.first", "ensemble.mlp.skip") and column >= -ambient
            )
            assert (after.identity == tiny.fingerprint.identity) == of_expressions, (name, column)
            assert (after.expression == tiny.fingerprint.expression) != of_expressions, (name, column)


def test_what_matters_only_with_an_expression_leaves_heads_at_rest_alone(tiny):
    """The split itself, on the field: other numbers in all of the second part, and no bit of a neutral head moves."""
    other = copy.deepcopy(tiny)
    at_rest, expressive = other.weights_by_use()
    for tensor in expressive.values():
        tensor.add_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    points = torch.rand(1, 300, 3, generator=torch.Generator().manual_seed(2)) - 0.5
    neutral, smiling = Codes(torch.ones(1, 16)), Codes(torch.ones(1, 16), torch.full((1, 52), 0.4))
    assert torch.equal(other.signed_distance(points, neutral), tiny.signed_distance(points, neutral))
    assert not torch.equal(other.signed_distance(points, smiling), tiny.signed_distance(points, smiling))
    assert other.fingerprint.identity == tiny.fingerprint.identity
    assert other.fingerprint.expression != tiny.fingerprint.expression
    count = sum(tensor.numel() for part in (at_rest, expressive) for tensor in part.values())
    assert count == sum(tensor.numel() for tensor in tiny.state_dict().values()), "every number is in one of the two"


def test_settings_that_are_no_tensors_count(tiny):
    for change, same in (({"sigma": 0.11}, "expression"), ({"kernel": "laplace"}, "expression")):
        other = ImHead(dataclasses.replace(tiny.config, **change)).eval()
        other.load_state_dict(tiny.state_dict())
        other.requires_grad_(False)
        assert other.fingerprint != tiny.fingerprint
        assert getattr(other.fingerprint, same) == getattr(tiny.fingerprint, same)


def test_a_change_in_place_is_noticed_and_prior_box_and_name_are_none(tiny):
    model = copy.deepcopy(tiny)
    before = model.fingerprint
    model.name, model.box, model.prior = "another", np.ones((2, 3)), None
    assert model.fingerprint == before
    with torch.no_grad():
        model.decompose.bias[0] += 1
    assert model.fingerprint.identity != before.identity


def test_older_weights_are_found_by_their_fingerprint():
    """What is packaged now makes other heads than the first weights, and files of those say where they can be had."""
    here = headfield.load().fingerprint.identity
    assert here not in release.WHERE and {release.V1.identity, release.V2_TRIAL} <= set(release.WHERE)
