"""Other weights than those that made a head, through the command line: refused, told, or given with --model."""

import json

import numpy as np
import pytest

from headfield.models.release import PACKAGED, load, write
from headfield.types import ARKIT

MODEL = "imhead-open-small"
QUICK = ("--resolution", 24)


@pytest.fixture
def weights_here(tmp_path):
    """Put other weights of the released name where they are found first: a tensor is changed by 0.01."""

    def put(tensor: str):
        import copy

        other = copy.deepcopy(load(PACKAGED / MODEL))
        other.state_dict()[tensor].add_(0.01)
        write(tmp_path / MODEL, other, "Other weights.")
        return load(tmp_path / MODEL)

    return put


def _smiling(save_fit, name: str):
    weights = np.zeros(52)
    weights[ARKIT.index("mouthSmileLeft")] = 0.6
    return save_fit(4, name, weights)


def test_weights_that_make_other_heads(headfield, save_fit, weights_here, tmp_path):
    fit, packaged = save_fit(5, "of-v1.npz"), PACKAGED / MODEL
    status, _, err = headfield("edit", fit, "--symmetrise", "eyes", "-o", "head.npz")
    assert status == 0, err
    assert headfield("sample", "-n", 1, "--out", "drawn", *QUICK)[0] == 0
    before = {path.name for path in tmp_path.iterdir()} | {MODEL}
    other = weights_here("decompose.weight")
    made = load(packaged).fingerprint.identity

    heads = {fit: f"headfield fit {fit} --out NEW", "head.npz": "no points", "drawn/codes.npz": "no points"}
    for head, advice in heads.items():
        for words in (
            ("export", head, "-o", "h.ply", *QUICK),
            ("export", head, "-o", "h.html"),
            ("edit", head, "--reset", "-o", "h.npz"),
            ("animate", head, "--preset", "smile", "-o", "h.glb"),
        ):
            status, out, err = headfield(*words)
            assert status == 2 and err.count("\n") == 1 and "Traceback" not in err, (words, out, err)
            assert f"{head}: made with other weights than those of {MODEL}" in err and advice in err, err
            assert made in err and other.fingerprint.identity in err
    assert {path.name for path in tmp_path.iterdir()} == before
    status, text, err = headfield("doctor", fit)  # which looks at its points all the same
    assert status == 0 and made in text.replace("\n", " ") and "ScanFit(" in text, err

    status, _, err = headfield("export", "head.npz", "-o", "h.ply", "--model", packaged, *QUICK)
    assert status == 0, err
    status, _, err = headfield("edit", fit, "--reset", "-o", "h.npz", "--model", packaged)
    assert status == 0, err
    with np.load("h.npz") as file:
        assert json.loads(str(file["header"]))["model"] == str(packaged)  # and is found again without --model


def test_a_deformer_of_other_weights(headfield, save_fit, weights_here, tmp_path):
    smiling, neutral = _smiling(save_fit, "smiling.npz"), save_fit(5, "neutral.npz")
    weights_here("deformer.gate.weight")
    told = "its expression is of other weights"

    def text_of(*words) -> str:
        status, out, err = headfield(*words, "--force") if words[0] != "doctor" else headfield(*words)
        assert status == 0, err
        return " ".join(out.split())

    for head, noted in ((smiling, True), (neutral, False)):
        assert (told in text_of("doctor", head)) == noted
        assert (told in text_of("export", head, "-o", "h.ply", *QUICK)) == noted
        assert (told in text_of("edit", head, "--reset", "-o", "h.npz")) == noted
        assert told not in text_of("export", head, "-o", "h.ply", "--neutral", *QUICK)
    assert told in text_of("edit", neutral, "--expression-of", smiling, "-o", "h.npz")


def test_a_fit_is_fitted_again_alone_and_without_hints(headfield, saved, tmp_path):
    before = sorted(tmp_path.iterdir())
    for words, message in {
        (saved, saved): "give it alone",
        (saved.parent, saved): "give it alone",
        (saved, "--up", "y"): "--up is about a scan's file",
        (saved, "--crop", "0 0 0 1 1 1"): "--crop is about a scan's file",
        (saved, "--neutral-scan", "b.ply"): "is no scan that was given: 1 a.ply",
    }.items():
        status, _, err = headfield("fit", *words, "--out", "out")
        assert status == 2 and message in err and err.count("\n") == 1, (words, err)
    assert sorted(tmp_path.iterdir()) == before
