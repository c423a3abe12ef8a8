"""Files of a run: who may read a checkpoint, and what a log tells after a run was killed."""

import json
import os

import torch

from headfield.train.checkpoint import forget_after, read, save


def test_a_checkpoint_is_as_readable_as_any_new_file(tmp_path):
    save(tmp_path / "last.safetensors", {"a": torch.ones(2)}, {"step": 3})
    (tmp_path / "plain").touch()
    assert (tmp_path / "last.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert read(tmp_path / "last.safetensors")[1] == {"step": 3}


def test_a_log_forgets_what_came_after_the_checkpoint(tmp_path):
    log = tmp_path / "metrics.jsonl"
    forget_after(log, 5)
    assert not log.exists()
    lines = [json.dumps({"step": step, "loss": 0.1}) + "\n" for step in (0, 3, 5, 6, 20)]
    log.write_text("".join(lines) + '{"step": 21, "lo')  # a kill may come in the middle of a line
    forget_after(log, 5)
    assert log.read_text() == "".join(lines[:3])
    before = os.stat(log).st_mtime_ns
    forget_after(log, 5)
    assert os.stat(log).st_mtime_ns == before and list(tmp_path.iterdir()) == [log]
