"""Saved heads: what was written is read, undone and done again."""

import copy
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from headfield.edit.operations import in_use
from headfield.edit.operations import swap as swap_regions
from headfield.edit.record import SavedHead, is_saved_head
from headfield.errors import ConfigError, ScanError, WeightsError
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.models.release import V1
from headfield.surface.head import Head
from headfield.types import Codes, Similarity

PLACEMENT = Similarity(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([0.1, -0.2, 0.3]), 1 / 260.0)


@pytest.fixture
def saved(people):
    return SavedHead(people[0], "imhead-open-small", PLACEMENT, "mm", name="a.npz")


@pytest.fixture
def edited(saved, people):
    donor = SavedHead(people[1], "imhead-open-small", name="b.npz")
    result = saved.apply({"do": "swap", "donor": donor, "regions": ["nose"], "strength": 0.8})
    result = result.apply({"do": "sample_region", "regions": ["chin"], "sd": 1.5, "seed": 3})
    return result.apply({"do": "symmetrise"})


def _same(a: SavedHead, b: SavedHead) -> bool:
    codes = all(torch.equal(x, y) for x, y in zip(in_use(a.head), in_use(b.head)))
    return codes and torch.equal(a.head.codes.identity, b.head.codes.identity)


def test_save_load_undo_replay(edited, saved, tmp_path):
    path = edited.save(tmp_path / "head")
    assert path.name == "head.npz" and is_saved_head(path)
    back = SavedHead.load(path)
    assert _same(back, edited) and _same(back.replay(), edited)
    assert [one["do"] for one in back.history] == ["swap", "sample_region", "symmetrise"]
    assert back.history[0]["donor"]["name"] == "b.npz"
    assert back.units == "mm" and np.allclose(back.placement.matrix(), PLACEMENT.matrix())
    assert _same(back.undo(3), saved) and back.undo(3).head.codes.parts is None
    one = back.undo(2)
    assert len(one.history) == 1 and not _same(one, saved) and not _same(one, back)
    assert _same(one.apply(back.history[1]).apply(back.history[2]), back)
    assert _same(SavedHead.load(back.undo().save(tmp_path / "u.npz")), edited.undo())
    with pytest.raises(ConfigError, match="nothing to undo.*3"):
        back.undo(4)


def test_a_donor_that_was_edited_and_had_an_expression_is_kept(saved, people, tmp_path):
    donor = SavedHead(people[1].with_expression({"jawOpen": 0.5}), "imhead-open-small")
    donor = donor.apply({"do": "sample_region", "regions": "mouth", "seed": 1})
    done = saved.apply({"do": "swap", "donor": donor, "regions": "mouth"})
    done = done.apply({"do": "refit_warp"}).apply({"do": "transfer_expression", "donor": donor})
    warp = SavedHead.load(done.save(tmp_path / "head.npz")).head.codes.warp_identity
    assert torch.equal(warp, done.head.codes.warp_identity) and warp.shape == (1, 256)
    assert done.undo(2).head.codes.warp_identity is None
    back = SavedHead.load(done.save(tmp_path / "head.npz")).replay()
    assert torch.equal(back.head.codes.warp_identity, done.head.codes.warp_identity)
    assert _same(back, done) and torch.equal(back.head.codes.expression, donor.head.codes.expression)


def test_meshes_come_out_in_the_users_frame(edited):
    model_frame = edited.head.mesh(32)
    mesh = edited.mesh(32)
    np.testing.assert_allclose(PLACEMENT.apply(mesh.vertices), model_frame.vertices, atol=1e-6)
    assert np.ptp(mesh.vertices, axis=0).max() > 200 and edited.mm_per_unit == pytest.approx(260)
    unplaced = SavedHead(edited.head, "imhead-open-small").mesh(32)
    np.testing.assert_allclose(unplaced.vertices, model_frame.vertices * 0.25, atol=1e-6)


def _rewritten(path, out, **changes):
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"])) | changes.pop("header", {})
    arrays |= changes | {"header": np.array(json.dumps(header))}
    np.savez(out, **{key: value for key, value in arrays.items() if value is not None})
    return out


def test_files_that_are_no_heads_are_refused(edited, tmp_path):
    path = edited.save(tmp_path / "head.npz")
    cases = {
        "newer headfield.*version 99": _rewritten(path, tmp_path / "newer.npz", header={"version": 99}),
        "sizes.*7.*256": _rewritten(path, tmp_path / "sizes.npz", head_identity=np.zeros(7)),
        "finite": _rewritten(path, tmp_path / "nan.npz", head_identity=np.full(256, np.nan)),
        "head_identity|identity": _rewritten(path, tmp_path / "less.npz", head_identity=None),
        "unknown operation": _rewritten(path, tmp_path / "op.npz", header={"history": [{"do": "melt"}]}),
        "damaged": tmp_path / "cut.npz",
        "no NPZ": tmp_path / "text.npz",
        "no such file": tmp_path / "none.npz",
        "other things": tmp_path / "other.npz",
    }
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:2000])
    (tmp_path / "text.npz").write_text("a head")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for message, file in cases.items():
        with pytest.raises(ScanError, match=message) as caught:
            SavedHead.load(file)
        assert file.name in str(caught.value)


def test_a_pickle_inside_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(Trap(), dtype=object), identity=np.zeros(256))
    (tmp_path / "trap.npz").write_bytes(buffer.getvalue())
    with pytest.raises(ScanError):
        SavedHead.load(tmp_path / "trap.npz")
    assert not is_saved_head(tmp_path / "trap.npz") and not (tmp_path / "sprung").exists()


def test_wrong_operations_are_explained(saved):
    torch.manual_seed(0)
    toy = SavedHead(Head(ImHead(imhead_tiny()).eval(), Codes(torch.zeros(1, 16))), "toy", name="toy.npz")
    with pytest.raises(ConfigError, match="imhead-open-small.*'toy'"):
        saved.apply({"do": "swap", "donor": toy, "regions": "nose"})
    for wrong in ({"do": "melt"}, {}, {"do": "swap", "regions": "nose"}, {"do": "reset", "colour": 1}):
        with pytest.raises(ConfigError, match="operation"):
            saved.apply(wrong)


def test_heads_of_sample_are_read_by_number(people, tmp_path):
    identity = np.concatenate([head.codes.identity.numpy() for head in people])
    path = tmp_path / "codes.npz"
    weights = json.dumps(people[0].model.fingerprint.to_dict())
    np.savez(path, identity=identity, expression=np.zeros(52), model=np.array("imhead-open-small"), weights=weights)
    assert torch.equal(SavedHead.load(f"{path}#2").head.codes.identity, people[1].codes.identity)
    for number in ("", "#0", "#4", "#x"):
        with pytest.raises(ScanError, match="3 heads"):
            SavedHead.load(f"{path}{number}")


# ---- weights ---------------------------------------------------------------------------------------------------------


def _other(model, tensor: str):
    """A copy of a model with one of its tensors changed."""
    other = copy.deepcopy(model)
    other.state_dict()[tensor].add_(0.01)
    return other


@pytest.fixture(scope="module")
def other_heads(model):
    """Weights of the same name that make other heads."""
    return _other(model, "decompose.weight")


@pytest.fixture(scope="module")
def moving_differently(model):
    """Weights of the same name with another deformer."""
    return _other(model, "deformer.gate.weight")


def _drawn(people, path, model):
    """As `headfield sample` writes it."""
    facts = {"model": "imhead-open-small", "weights": json.dumps(model.fingerprint.to_dict())}
    np.savez(path, identity=people[0].codes.identity.numpy(), expression=np.full(52, 0.1), **facts)
    return path


def test_heads_of_other_weights_are_refused_with_what_to_do(edited, people, model, other_heads, tmp_path):
    for path in (edited.save(tmp_path / "head.npz"), _drawn(people, tmp_path / "codes.npz", model)):
        with pytest.raises(WeightsError) as caught:
            SavedHead.load(path, other_heads)
        message = str(caught.value)
        assert message.startswith(f"{path}: ") and "--model FOLDER" in message and "headfield fit" not in message
        assert model.fingerprint.identity in message and other_heads.fingerprint.identity in message


def test_a_head_without_a_fingerprint_is_of_the_first_weights(edited, tmp_path, model):
    path = edited.save(tmp_path / "old.npz")
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    assert header.pop("weights") == model.fingerprint.to_dict() != V1.to_dict()
    np.savez(path, **arrays | {"header": np.array(json.dumps(header))})
    with pytest.raises(WeightsError, match=f"{V1.identity} in the file.*--model FOLDER .v1: .* at commit"):
        SavedHead.load(path)


def test_an_expression_of_other_weights_is_told_once(edited, people, model, moving_differently, tmp_path):
    neutral = SavedHead.load(edited.save(tmp_path / "neutral.npz"), moving_differently)
    assert neutral.notes == () and _same(neutral, edited)
    smiling = edited.apply({"do": "transfer_expression", "donor": replace(edited, head=people[1].with_expression(
        {"mouthSmileLeft": 0.5}))})  # fmt: skip
    for path in (smiling.save(tmp_path / "smiling.npz"), _drawn(people, tmp_path / "codes.npz", model)):
        opened = SavedHead.load(path, moving_differently)
        (note,) = opened.notes
        assert path.name in note and model.fingerprint.expression in note
        assert opened.apply({"do": "reset"}).notes == opened.notes
        # saved again it is a head of the weights under which it was looked at
        assert SavedHead.load(opened.save(tmp_path / "again.npz"), moving_differently).notes == ()
        assert SavedHead.load(path).notes == ()


def test_heads_are_mixed_by_their_weights_not_by_their_names(saved, people, other_heads, moving_differently):
    def donor(model, name):
        return SavedHead(Head(model, people[1].codes), name, name="b.npz")

    swap = {"do": "swap", "regions": ["nose"]}
    wanted = saved.apply(swap | {"donor": donor(saved.head.model, saved.model_name)})
    assert _same(saved.apply(swap | {"donor": donor(moving_differently, "a copy")}), wanted)
    with pytest.raises(ConfigError, match="heads of different models cannot be mixed: a.npz .*b.npz"):
        saved.apply(swap | {"donor": donor(other_heads, saved.model_name)})
    assert torch.equal(swap_regions(saved.head, Head(moving_differently, people[1].codes), "nose").codes.parts,
                       wanted.head.codes.parts)  # fmt: skip
    with pytest.raises(ConfigError, match=other_heads.fingerprint.identity):
        swap_regions(saved.head, Head(other_heads, people[1].codes), "nose")
