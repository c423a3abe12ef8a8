"""Laws of editing: exactly local, reversible, idempotent."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headfield.edit.operations import (
    acting,
    edited_parts,
    in_use,
    interpolate,
    refit_warp,
    reset,
    sample_region,
    swap,
    symmetrise,
    transfer_expression,
)
from headfield.edit.regions import parts_of
from headfield.errors import ConfigError
from headfield.frames import MIRROR_PART, N_PAIRS, REGIONS, edit_reach
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.surface.head import Head
from headfield.types import ARKIT, ARKIT_MIRROR, Codes


def _same(a: Head, b: Head) -> bool:
    return a.reflected == b.reflected and all(torch.equal(x, y) for x, y in zip(in_use(a), in_use(b)))


def _weights(head: Head, places, parts, *, of_edited_anchors: bool = False) -> np.ndarray:
    condition = head.model.condition(head.codes)
    anchors = condition.blend_anchors
    if of_edited_anchors:
        anchors = head.model.anchors_of_parts(condition.parts)
    with torch.no_grad():
        return head.model.ensemble.weights(torch.from_numpy(places)[None], anchors).weights[0][:, parts].numpy()


@pytest.mark.parametrize("region", ["nose", "left ear"])
def test_the_field_keeps_its_bits_where_no_edited_part_has_weight(people, places, region):
    head, parts = people[0], parts_of(region)
    edited = sample_region(head, region, sd=1.5, seed=2)
    assert list(edited_parts(edited)) == list(parts)
    free = (_weights(head, places, parts) == 0).all(axis=1)
    before, after = head.signed_distance(places), edited.signed_distance(places)
    assert 0.5 < free.mean() < 0.99
    np.testing.assert_array_equal(before[free], after[free])
    drift = np.random.default_rng(1).normal(0, edit_reach()[list(parts)].min() / 8, (20, len(parts), 3))
    within = (head.anchors()[list(parts)] + drift).reshape(-1, 3).astype(np.float32)
    assert (head.signed_distance(within) != edited.signed_distance(within)).all(), "the edit did nothing"


def test_that_law_fails_for_moved_blend_anchors(people, places):
    """Were the anchors of the blend weights LandmarkNet's of the edited parts, the same places would change."""
    head, parts = people[0], parts_of("nose")
    edited = sample_region(head, "nose", sd=1.5, seed=2)
    condition = head.model.condition(edited.codes)
    broken = replace(condition, blend_anchors=head.model.anchors_of_parts(condition.parts))
    free = (_weights(head, places, parts) == 0).all(axis=1)
    with torch.no_grad():
        query = torch.from_numpy(places)[None]
        moved = head.model.signed_distance(query, broken)[0].numpy()
    assert (moved[free] != head.signed_distance(places)[free]).any()


def test_that_law_fails_for_landmarknets_origins(people, places):
    """Parts given without anchors: LandmarkNet moves the origins of the unedited parts too."""
    head, parts = people[0], parts_of("nose")
    edited = sample_region(head, "nose", sd=1.5, seed=2)
    broken = replace(edited, codes=replace(edited.codes, anchors=None))
    free = (_weights(head, places, parts) == 0).all(axis=1)
    assert (broken.signed_distance(places)[free] != head.signed_distance(places)[free]).any()


def test_an_edited_head_keeps_its_identity_expression_and_warp(people):
    head = people[0].with_expression({"jawOpen": 0.5})
    edited = swap(head, people[1], "mouth")
    assert torch.equal(edited.codes.identity, head.codes.identity)
    assert torch.equal(edited.codes.expression, head.codes.expression)
    query = torch.rand(1, 50, 3) - 0.5
    with torch.no_grad():
        one, other = (head.model.to_canonical(query, x.codes)[0] for x in (head, edited))
    assert torch.equal(one, other)


def test_swap_with_itself_and_strength_zero_are_identities(people):
    head, donor = people[:2]
    assert _same(swap(head, head, ["nose", "eyes"]), head)
    assert swap(head, head, "nose").codes.parts is None, "no edit needs no edited codes"
    assert swap(head, donor, "nose", 0.0) is head
    assert sample_region(head, "nose", strength=0.0) is head
    assert interpolate(head, donor, 0.0, "nose") is head


def test_swap_there_and_back_is_an_involution(people):
    head, donor = people[:2]
    there = swap(head, donor, ["mouth", "jaw"])
    assert not _same(there, head)
    assert _same(swap(there, head, ["jaw", "mouth"]), head)


def test_swaps_of_different_regions_commute(people):
    a, b, c = people
    one = swap(swap(a, b, "nose"), c, "chin")
    assert _same(one, swap(swap(a, c, "chin"), b, "nose"))
    everything = swap(a, b, ["nose"])
    parts = parts_of("nose")
    for now, own, given in zip(in_use(everything), in_use(a), in_use(b)):
        assert torch.equal(now[:, parts], given[:, parts])
        rest = np.setdiff1d(np.arange(39), parts)
        assert torch.equal(now[:, rest], own[:, rest])


def test_strength_is_linear_in_the_codes_and_bounded(people):
    head, donor = people[:2]
    half, double = (swap(head, donor, "nose", s) for s in (0.5, 2.0))
    for own, given, a, b in zip(in_use(head), in_use(donor), in_use(half), in_use(double)):
        parts = parts_of("nose")
        assert torch.allclose(a[:, parts], (own + given)[:, parts] / 2, atol=1e-6)
        assert torch.allclose(b[:, parts], (2 * given - own)[:, parts], atol=1e-5)
    for wrong in (-1.5, 2.5, float("nan")):
        with pytest.raises(ConfigError, match="strength"):
            swap(head, donor, "nose", wrong)
    with pytest.raises(ConfigError, match="sd"):
        sample_region(head, "nose", sd=9.0)


def test_draws_follow_their_seed_and_spread(people):
    head = people[0]
    one, same, other = (sample_region(head, "chin", 1.0, seed) for seed in (1, 1, 2))
    assert _same(one, same) and not _same(one, other)
    mean = sample_region(head, "chin", 0.0, 1)
    assert _same(mean, sample_region(head, "chin", 0.0, 2))


def test_nothing_moves_beyond_the_window_and_all_is_asked_for_in_the_middle(people, places):
    """Bit for bit beyond the reach of the region's anchors, whatever has weight there; the donor's within a third."""
    head, parts = people[0], parts_of("chin")
    reach = edit_reach()[parts]
    edited = sample_region(head, "chin", 1.5, 3)
    bare = replace(edited, codes=replace(edited.codes, around=None))
    anchors = head.anchors()[parts]
    near = np.repeat(anchors, 2000, axis=0) + np.random.default_rng(1).uniform(-0.3, 0.3, (6000, 3))
    near = near.astype(np.float32)
    distance = np.linalg.norm(near[:, None] - anchors, axis=2)
    beyond, middle = (distance > reach).all(axis=1), (distance < 0.3 * reach).any(axis=1)
    own, now, without = (one.signed_distance(near) for one in (head, edited, bare))
    np.testing.assert_array_equal(now[beyond], own[beyond])
    assert (without[beyond] != own[beyond]).mean() > 0.3, "without a window the cell would move"
    np.testing.assert_allclose(now[middle], without[middle], atol=1e-6)
    assert np.abs(now - own)[middle].mean() * 250 > 0.5


def test_a_later_edit_leaves_an_earlier_one_alone(people, places):
    """The window of the nose stays the nose's when the mouth is edited: no bit changes where that has no weight."""
    nose = sample_region(people[0], "nose", 1.5, 2)
    both = swap(nose, people[1], "mouth")
    free = (_weights(nose, places, parts_of("mouth")) == 0).all(axis=1)
    np.testing.assert_array_equal(nose.signed_distance(places)[free], both.signed_distance(places)[free])
    for got, wanted in zip((acting(reset(both, "mouth")), acting(reset(both))), (acting(nose), acting(people[0]))):
        assert torch.equal(got, wanted)
    every = 2**39 - 1
    whole = swap(people[0], people[1], list(REGIONS))
    assert (acting(whole) == every).all()
    np.testing.assert_array_equal(whole.signed_distance(places[:500]), replace(
        whole, codes=replace(whole.codes, around=None)).signed_distance(places[:500]))  # fmt: skip


def test_whole_heads_interpolate_from_one_to_the_other(people, places):
    a, b, c = people
    half = interpolate(a, b, 0.5)
    assert half.codes.parts is None
    assert torch.allclose(half.codes.identity, (a.codes.identity + b.codes.identity) / 2)
    edited = swap(b, c, "nose").with_expression({"jawOpen": 0.4})
    end = interpolate(a, edited, 1.0)
    np.testing.assert_allclose(end.signed_distance(places[:500]), edited.signed_distance(places[:500]), atol=2e-5)
    start = interpolate(a, edited, 0.0)
    np.testing.assert_allclose(start.signed_distance(places[:500]), a.signed_distance(places[:500]), atol=2e-5)


def test_symmetrise_makes_mirrored_parts_and_is_idempotent(people):
    head = people[0]
    once = symmetrise(head)
    codes, origins = in_use(once)
    paired = np.arange(2 * N_PAIRS)
    assert torch.equal(codes[:, paired], codes[:, MIRROR_PART[paired]])
    assert torch.equal(origins, origins[:, MIRROR_PART] * torch.tensor([-1.0, 1.0, 1.0]))
    assert not _same(once, head) and _same(symmetrise(once), once)
    assert symmetrise(head, strength=0.0) is head


def test_that_law_fails_for_a_wrong_pair_order(people, monkeypatch):
    """Were parts paired 0 with 31, 1 with 30 and so on, as some lists of landmarks are, sides would not be alike."""
    wrong = MIRROR_PART.copy()
    wrong[: 2 * N_PAIRS] = np.arange(2 * N_PAIRS)[::-1]
    monkeypatch.setattr("headfield.edit.operations.MIRROR_PART", wrong)
    codes, _ = in_use(symmetrise(people[0]))
    paired = np.arange(2 * N_PAIRS)
    assert not torch.equal(codes[:, paired], codes[:, MIRROR_PART[paired]])


def test_symmetrising_one_side_makes_it_the_image_of_the_other(people):
    head = people[0]
    left, right = parts_of("left eye"), parts_of("right eye")
    done = symmetrise(head, "left eye")
    (codes, origins), (own_codes, own_origins) = in_use(done), in_use(head)
    assert torch.equal(codes[:, left], own_codes[:, right]) and torch.equal(codes[:, right], own_codes[:, right])
    assert torch.equal(origins[:, left], own_origins[:, right] * torch.tensor([-1.0, 1.0, 1.0]))
    assert list(edited_parts(done)) == list(left)


def test_a_symmetric_head_is_nearer_to_its_mirror_image(people, places):
    def uneven(head):
        return np.abs(head.signed_distance(places) - head.mirrored().signed_distance(places)).mean()

    assert uneven(symmetrise(people[0])) < 0.95 * uneven(people[0])  # 0.73


def test_a_mirrored_head_is_edited_on_the_side_that_is_named(people):
    head = people[0].mirrored()
    edited = sample_region(head, "left eye", 1.5, 1)
    places = head.anchors()[parts_of("left eye")].astype(np.float32)
    away = head.anchors()[parts_of("right eye")].astype(np.float32)[1:]  # the inner corners are near to each other
    assert (edited.signed_distance(places) != head.signed_distance(places)).all()
    np.testing.assert_array_equal(edited.signed_distance(away), head.signed_distance(away))
    with pytest.raises(ConfigError, match="mirrored"):
        swap(head, people[1], "nose")


def test_reset_takes_back_what_it_names(people):
    head = people[0]
    edited = swap(swap(head, people[1], "nose"), people[2], "chin")
    assert list(edited_parts(reset(edited, "chin"))) == list(parts_of("nose"))
    assert reset(edited).codes.parts is None and reset(reset(edited, "nose"), "chin").codes.parts is None
    assert reset(head, "nose") is head
    with pytest.raises(ConfigError, match="unknown region"):
        reset(head, "noze")


def test_expressions_move_to_another_head_and_sides_stay_sides(people):
    smiling = people[1].with_expression({"mouthSmileLeft": 0.8})
    done = transfer_expression(people[0], smiling)
    assert torch.equal(done.codes.expression, smiling.codes.expression)
    mirrored = transfer_expression(people[0].mirrored(), smiling)
    assert mirrored.codes.expression[0, ARKIT.index("mouthSmileRight")] == pytest.approx(0.8)
    assert torch.equal(mirrored.codes.expression, smiling.codes.expression[:, torch.as_tensor(ARKIT_MIRROR)])
    assert transfer_expression(done, people[2]).codes.expression is None


def _warped(head: Head) -> np.ndarray:
    """Where points (500, 3) about the face come from under a jaw half open."""
    query = torch.rand(1, 500, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        return head.model.to_canonical(query, head.with_expression({"jawOpen": 0.5}).codes)[0][0].numpy()


def test_a_refitted_warp_is_the_donors_when_everything_is(people, places):
    """With all parts swapped the likeliest identity that has them is the donor's own, so the warp becomes its own."""
    head, donor = people[:2]
    swapped = swap(head, donor, list(REGIONS))
    fitted = refit_warp(swapped)
    own, wanted, got = _warped(swapped), _warped(donor), _warped(fitted)
    np.testing.assert_array_equal(own, _warped(head))
    assert np.abs(got - wanted).max() < 0.05 * np.abs(own - wanted).max()


def test_a_refitted_warp_leaves_the_neutral_head_and_the_source_alone(people, places):
    head, donor = people[:2]
    swapped = swap(head, donor, "mouth")
    fitted = refit_warp(swapped)
    assert _same(fitted, swapped) and not np.array_equal(_warped(fitted), _warped(swapped))
    np.testing.assert_array_equal(fitted.signed_distance(places), swapped.signed_distance(places))
    assert np.abs(_warped(fitted) - _warped(head)).max() * 250 < 20
    assert refit_warp(head) is head and reset(fitted).codes.warp_identity is None
    again = swap(fitted, head, "mouth")
    assert torch.equal(again.codes.warp_identity, fitted.codes.warp_identity), "edits keep what the deformer sees"
    assert refit_warp(again).codes.warp_identity is None
    half = interpolate(head, fitted, 0.5).codes.warp_identity
    assert torch.allclose(half, (head.codes.identity + fitted.codes.warp_identity) / 2)


def test_derivatives_by_the_identity_hold_a_refitted_warp_still(people):
    fitted = refit_warp(swap(people[0], people[1], "mouth")).with_expression({"jawOpen": 0.5})
    model, codes = fitted.model, fitted.codes
    points = torch.from_numpy(fitted.anchors()[parts_of("mouth")].astype(np.float32))
    exact = model.value_and_jacobian(points, codes).identity
    identity = codes.identity.clone().requires_grad_(True)
    value = model.signed_distance(points[None], replace(codes, identity=identity))[0]
    for row, one in zip(exact, value):
        (wanted,) = torch.autograd.grad(one, identity, retain_graph=True)
        assert torch.allclose(row, wanted[0], atol=1e-4 * float(wanted.abs().max()) + 1e-7)


def test_mirrored_heads_that_speak_flame_keep_their_expressions_to_themselves():
    torch.manual_seed(0)
    model = ImHead(replace(imhead_tiny(), expression=13, expression_names="flame")).eval().requires_grad_(False)
    head = Head(model, Codes(torch.zeros(1, 16)))
    strong = head.with_expression(np.full(13, 2.0))
    assert transfer_expression(head, strong).codes.expression.max() == 2.0
    assert interpolate(head, strong, 0.75).codes.expression.max() == 1.5, "FLAME's numbers go beyond 1"
    with pytest.raises(ConfigError, match="mirrored"):
        transfer_expression(head.mirrored(), strong)


def test_heads_of_different_models_are_refused_with_both_names(people):
    torch.manual_seed(0)
    other = ImHead(imhead_tiny()).eval()
    other.name = "toy-heads"
    with pytest.raises(ConfigError, match="imhead-open-small.*toy-heads"):
        swap(people[0], Head(other, Codes(torch.zeros(1, 16))), "nose")
