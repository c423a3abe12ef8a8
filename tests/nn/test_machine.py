"""The settings of the machine: the same numbers with them as without, and off where they would not be."""

from __future__ import annotations

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


def test_denormals_are_flushed_here_and_in_new_threads_and_no_field_changes():
    from concurrent.futures import ThreadPoolExecutor

    from headfield.models.config import imhead_small
    from headfield.models.imhead import ImHead

    tiny = torch.full((4,), 1e-39)
    torch.set_flush_denormal(False)
    assert (tiny * 0.5 > 0).all()  # the test sees denormals
    model = ImHead(imhead_small())
    if not machine.flush_denormals():
        pytest.skip("this CPU cannot flush denormals")
    assert (tiny * 0.5 == 0).all()
    with ThreadPoolExecutor(1) as pool:
        assert (pool.submit(lambda: tiny * 0.5).result() == 0).all()
    points = torch.rand(1, 2000, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    condition = model.condition(model.mean_codes())
    flushed = model.value_and_gradient(points, condition)
    torch.set_flush_denormal(False)
    plain = model.value_and_gradient(points, condition)
    machine.flush_denormals()
    for ours, exact in zip(flushed, plain):
        assert (ours - exact).abs().max() < 1e-7
