"""A mesh from memory is the mesh of a fresh extraction, whatever was edited in between."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stub_head import PlainHead

from headfield import frames
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.surface.mesh_head import mesh_of
from headfield.surface.regrid import Remembered, parts_at, remesh

NOSE = frames.anchor_indices(frames.REGIONS["nose"])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    model = ImHead(imhead_tiny()).eval().requires_grad_(False)
    with torch.no_grad():  # a geometric start is blind to the features, and a new deformer almost still
        model.fusion.first[:, :, 3:] = 0.1 * torch.randn_like(model.fusion.first[:, :, 3:])
        model.deformer.mlp.last.mul_(10)
    return model


def edited(model, codes, parts, seed, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    whole = model.part_codes(codes.identity) if codes.parts is None else codes.parts.clone()
    whole[:, parts] += size * torch.randn(whole[:, parts].shape, generator=generator)
    around = torch.zeros(1, 39, dtype=torch.int64) if codes.around is None else codes.around.clone()
    around[:, parts] = sum(1 << int(part) for part in parts)
    anchors = model.anchors(codes) if codes.anchors is None else codes.anchors
    return replace(codes, parts=whole, anchors=anchors, around=around)


def assert_same(mesh, fresh):
    assert np.array_equal(mesh.triangles, fresh.triangles)
    assert np.abs(mesh.vertices - fresh.vertices).max() < 2e-6
    assert np.abs(mesh.normals - fresh.normals).max() < 2e-4


@pytest.mark.parametrize("posed", (False, True))
def test_edits_one_after_the_other_equal_fresh_extractions(model, posed):
    codes = model.mean_codes()
    if posed:
        expression = torch.zeros(1, 52)
        expression[0, 24] = 0.7
        codes = replace(codes, expression=expression)
    memory = Remembered()
    assert_same(remesh(model, codes, 72, memory), mesh_of(model, codes, 72))
    everything = memory.evaluated
    nose = edited(model, codes, NOSE, 1)
    both = edited(model, nose, [20, 21], 2)
    shifted = replace(both, anchors=both.anchors + 0.02 * (torch.arange(39) == 38)[None, :, None])
    borderless = replace(nose, around=None)
    for step in (nose, both, shifted, nose, borderless, codes):
        fresh = mesh_of(model, step, 72)
        assert_same(remesh(model, step, 72, memory), fresh)
        assert 0 < memory.evaluated < everything / 2
        assert memory.asked > memory.evaluated
    moved = np.abs(mesh_of(model, nose, 72).vertices[:50] - mesh_of(model, codes, 72).vertices[:50]).max()
    assert moved < 1e-6 or len(fresh.vertices) > 50  # the back of the head comes first and stays


def test_nothing_is_asked_twice(model):
    memory, codes = Remembered(), model.mean_codes()
    remesh(model, codes, 64, memory)
    remesh(model, codes, 64, memory)
    assert memory.evaluated == 0


def test_a_head_without_parts_is_meshed_again_from_memory():
    plain, memory = PlainHead(), Remembered()
    codes = plain.mean_codes()
    first = remesh(plain, codes, 48, memory)
    assert_same(remesh(plain, codes, 48, memory), first)
    assert memory.evaluated == 0


def test_another_identity_or_resolution_starts_afresh(model):
    memory, codes = Remembered(), model.mean_codes()
    remesh(model, codes, 64, memory)
    other = replace(codes, identity=codes.identity + 0.3)
    assert_same(remesh(model, other, 64, memory), mesh_of(model, other, 64))
    assert_same(remesh(model, other, 72, memory), mesh_of(model, other, 72))


def test_an_interrupted_mesh_leaves_a_memory_that_still_tells_the_truth(model):
    codes, memory, left = model.mean_codes(), Remembered(), [0]
    remesh(model, codes, 72, memory)

    def stop_soon():
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    first, second = edited(model, codes, NOSE, 1), edited(model, codes, [37], 5)
    for chunks in (0, 1, 2, 3):
        left[0] = chunks
        try:
            remesh(model, first, 72, memory, interrupt=stop_soon)
        except KeyboardInterrupt:
            pass
        assert_same(remesh(model, second, 72, memory), mesh_of(model, second, 72))


def test_the_field_is_the_same_bit_for_bit_where_no_changed_part_matters(model):
    codes = model.mean_codes()
    nose = edited(model, codes, NOSE, 1)
    points = np.random.default_rng(0).uniform(*model.box, (4000, 3)).astype(np.float32)
    bits = parts_at(model, model.condition(codes), points)
    away = (bits & sum(1 << int(part) for part in NOSE)) == 0
    assert 0.5 < away.mean() < 1
    query = torch.from_numpy(points)[None]
    before, after = model.signed_distance(query, codes)[0], model.signed_distance(query, nose)[0]
    assert torch.equal(before[away], after[away]) and not torch.equal(before[~away], after[~away])
