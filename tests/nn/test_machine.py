"""The settings of the machine: the same numbers with them as without, and off where they would not be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from headfield.nn import machine


@pytest.fixture
def switch():
    """The switch of this torch, put back as it was."""
    found = getattr(torch.backends.mkldnn, "matmul", None)
    if found is None:
        pytest.skip("this torch has no such switch")
    before = found.fp32_precision
    yield found
    found.fp32_precision = before


def _products():
    generator = torch.Generator().manual_seed(5)
    a, b = torch.randn(300, 96, generator=generator), torch.randn(96, 64, generator=generator)
    return a @ b, a.double() @ b.double()


def test_same_numbers_with_the_switch_and_without(switch):
    switch.fp32_precision = "none"
    plain, exact = _products()
    machine.use_fast_products.__wrapped__()  # not the cached answer: decide now
    fast, _ = _products()
    scale = exact.abs().max()
    assert (fast.double() - exact).abs().max() / scale < 2e-6
    assert (fast - plain).abs().max() / scale < 2e-6


def test_switched_back_where_it_would_not_be_exact(switch, monkeypatch):
    before = switch.fp32_precision
    monkeypatch.setattr(machine, "max_relative_error", lambda: 3e-3)  # what bfloat16 would give
    assert machine.use_fast_products.__wrapped__() is False
    assert switch.fp32_precision == before


def test_self_check_sees_bfloat16(monkeypatch):
    assert machine.max_relative_error() < 2e-6
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **options: randn(*size, **options).as_subclass(_Coarse))
    assert machine.max_relative_error() > 1e-4


class _Coarse(torch.Tensor):
    """Products as a CPU with AMX would compute them."""

    def __matmul__(self, other):
        a, b = (t.as_subclass(torch.Tensor) for t in (self, other))
        return a @ b if a.dtype == torch.float64 else (a.bfloat16() @ b.bfloat16()).to(a.dtype)


def test_memory_calls_answer_whatever_the_platform():
    assert machine.keep_freed_memory() in (True, False)
    assert machine.return_freed_memory() in (True, False)


def test_denormals_are_flushed_in_the_block_only_and_no_field_changes():
    from headfield.models.imhead.config import imhead_small
    from headfield.models.imhead.model import ImHead

    tiny = torch.full((4,), 1e-39)
    assert (tiny * 0.5 > 0).all()
    with machine.denormals_flushed():
        if (tiny * 0.5 > 0).any():
            pytest.skip("this CPU cannot flush denormals")
        with machine.denormals_flushed():
            pass
        assert (tiny * 0.5 == 0).all()  # an inner block must not end the outer one
    assert (tiny * 0.5 > 0).all()
    model = ImHead(imhead_small())
    points = torch.rand(1, 2000, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    condition = model.condition(model.mean_codes())
    flushed = model.value_and_gradient(points, condition)
    assert (tiny * 0.5 > 0).all()
    plain = ImHead.trace.__wrapped__(model, points, condition)[:2]
    for ours, exact in zip(flushed, plain):
        assert (ours - exact).abs().max() < 1e-7


_POOL = """
import threading
import numpy, torch
from scipy.spatial import cKDTree
from headfield.nn import machine

torch.set_num_threads(2)  # on a machine with one core, too
tiny = torch.full((1 << 20,), 1e-39)

def kept():
    "Share of denormals that the caller's part and the others' part of a product keep."
    parts = (tiny * 0.5).view(torch.int32).gt(0).view(2, -1).float().mean(1)
    return parts.tolist()

def answer(what, run=lambda: None):
    run()
    print(what, *kept())

if not torch.set_flush_denormal(True) or machine._openmp() is None:
    print("cannot")
    raise SystemExit
torch.set_flush_denormal(False)
answer("before")
def block():
    with machine.denormals_flushed():
        pass
{way}
answer("after")
assert numpy.float32(1e-39) * numpy.float32(0.5) > 0
points = numpy.random.default_rng(0).random((20_000, 3)) * 1e-39
assert (cKDTree(points).query(points, workers=2)[0] == 0).all()
thread = threading.Thread(target=answer, args=("thread", block))
thread.start()
thread.join()
"""

_BY_MODEL = """
from headfield.models.release import load
model = load("imhead-open-small")
model.signed_distance(torch.zeros(1, 1, 3), model.mean_codes())
"""


@pytest.mark.parametrize("way", ["block()", _BY_MODEL], ids=["block", "model"])
def test_the_threads_of_torchs_pool_flush_though_they_ran_before(way):
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OMP_DYNAMIC": "FALSE", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = _POOL.replace("{way}", way)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("cannot"):
        pytest.skip("this CPU cannot flush denormals, or torch's pool is not GNU OpenMP's")
    found = dict((line.split()[0], [float(word) for word in line.split()[1:]]) for line in done.stdout.splitlines())
    if found["before"] != [1, 1]:
        pytest.skip("torch's threads do not keep denormals here in the first place")
    assert found["after"] == [1, 0], "the caller keeps denormals, the other thread of the pool flushes them"
    assert found["thread"] == [1, 0], "the same for the pool of another calling thread"
