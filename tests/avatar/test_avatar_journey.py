"""The way of a user: film a subject, train an avatar, stop and go on, render it along another take, measure, export."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from PIL import Image

from headfield.cli import main
from headfield.errors import DataError
from headfield.parametric import ict
from headfield.parametric.ict_files import find_source


def test_film_train_render_measure_export(tmp_path, capsys, monkeypatch):
    pytest.importorskip("igl", reason="signed distances need the extra synth")
    try:
        find_source()
    except DataError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(ict, "load_ict", functools.cache(ict.load_ict))  # every command would read it anew
    film, run, out = tmp_path / "film", tmp_path / "run", tmp_path / "out"
    assert main(["avatar", "film", "-o", str(film), "--size", "24", "--train", "3", "--dev", "0", "--test", "2"]) == 0
    assert "mm mean" in capsys.readouterr().out
    assert main(["avatar", "train", str(film), "-o", str(run)]) == 2
    assert "Give one of its folders test, train" in capsys.readouterr().err and not run.exists()
    words = ["avatar", "train", str(film / "train"), "-o", str(run), "--preset", "tiny", "--pretrain-steps", "30"]
    words += ["--rays", "64", "--frames", "2", "--warm-up", "1", "--threads", "1"]
    assert main([*words, "--steps", "2"]) == 0
    assert main([*words, "--steps", "3"]) == 0
    assert "3 of 3 (from 2)" in capsys.readouterr().out
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 3] and "surface_mm" in lines[0]
    assert len(list((run / "previews").glob("*.png"))) == 2
    words = ["avatar", "render", str(run), "--track", str(film / "test"), "-o", str(out), "--size", "32"]
    assert main([*words, "--frames", "2"]) == 0
    image = np.asarray(Image.open(out / "image" / "2.png"))
    assert image.shape == (32, 32, 3) and (image < 250).any() and not (out / "image" / "1.png").exists()
    assert "rays served: start" in capsys.readouterr().out
    assert main([*words, "--frames", "7", "--force"]) == 2
    assert "frames 1 to 2" in capsys.readouterr().err
    measured = tmp_path / "measured"
    assert main(["avatar", "evaluate", str(run), str(film / "test"), "-o", str(measured)]) == 0
    assert "| skin | template | 2 |" in capsys.readouterr().out and (measured / "pictures.png").exists()
    assert len(json.loads((measured / "results.json").read_text())["avatar"]) == 2
    assert main(["avatar", "export", str(run), "-o", str(tmp_path / "avatar.glb"), "--resolution", "32"]) == 0
    assert "root, neck, jaw" in capsys.readouterr().out and (tmp_path / "avatar.glb").read_bytes()[:4] == b"glTF"
