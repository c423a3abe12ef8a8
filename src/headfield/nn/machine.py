"""Let torch use the machine well: exact fast fp32 products, no denormal numbers, memory kept instead of returned.

On CPUs with AVX-512 but without AMX, torch's default fp32 product runs at about half speed; routing it through
oneDNN with the 'bf16' switch doubles it and is still exact fp32 there. On a CPU with AMX the same switch would
really compute in bfloat16, so it is kept only if a self-check passes.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from contextlib import ContextDecorator

import torch


@functools.cache
def use_fast_products() -> bool:
    """Turn the switch on if it is exact on this machine; returns whether it is on. Safe to call often."""
    try:
        switch = torch.backends.mkldnn.matmul
        before = switch.fp32_precision
        switch.fp32_precision = "bf16"
    except (AttributeError, RuntimeError):
        return False
    if max_relative_error() < 2e-6:
        return True
    switch.fp32_precision = before
    return False


def max_relative_error() -> float:
    """Largest error of fp32 products against float64, relative to the largest entry, over typical layer shapes."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for rows, inner, outer in ((512, 200, 200), (64, 96, 96), (256, 45, 64)):
        a = torch.randn(rows, inner, generator=generator)
        b = torch.randn(inner, outer, generator=generator)
        exact = a.double() @ b.double()
        worst = max(worst, float(((a @ b).double() - exact).abs().max() / exact.abs().max()))
    return worst


class denormals_flushed(ContextDecorator):
    """In this block the thread takes numbers below 1e-38 for zero; may be nested. Does nothing where the CPU cannot.

    The slope of a softplus with beta = 100 underflows where a unit is off by more than one, which is most of them, and
    every product with such a number is done in microcode on Intel: the field is two to four times as slow there. What
    is lost is no digit of any result. Only around products of networks: other libraries count on denormals (scipy's
    k-d tree crashes without them). Threads that torch starts within the block keep the setting, and do nothing else.
    """

    def __enter__(self) -> denormals_flushed:
        _flushing.depth = getattr(_flushing, "depth", 0) + 1
        torch.set_flush_denormal(True)
        return self

    def __exit__(self, *error) -> None:
        _flushing.depth -= 1
        if not _flushing.depth:
            torch.set_flush_denormal(False)


_flushing = threading.local()


@functools.cache
def keep_freed_memory() -> bool:
    """Ask glibc not to hand large freed blocks back to the kernel; returns whether it agreed.

    Fields allocate and free the same tens of megabytes for every chunk; fresh pages each time halve the speed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    trim_threshold, mmap_threshold = -1, -3
    return bool(mallopt(trim_threshold, 2**31 - 1)) and bool(mallopt(mmap_threshold, 2**30))


def bound_freed_memory(largest: int = 2**22) -> bool:
    """Let what `keep_freed_memory` keeps hold only blocks below `largest` bytes; returns whether glibc agreed.

    For processes that make one head after another for hours. Until glibc 2.38 an aligned block, which all of torch's
    are, hardly ever fits where one of its size was freed, so that the memory of every head lies beside that of the last
    one: 1.6 GiB for one head grew to 3.1 within five. It costs a fifth of a head's time, and huge pages
    (`huge_pages`) bring most of that back.
    """
    if not keep_freed_memory():
        return False
    return bool(ctypes.CDLL(None).mallopt(-3, largest))


def return_freed_memory() -> bool:
    """Hand what is free back to the kernel now; returns whether anything was. For the pauses between heads.

    What `keep_freed_memory` keeps falls to pieces as heads of different sizes come and go: without this a process
    that makes one head after another grows by hundreds of megabytes with each.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):  # not glibc
        return False
