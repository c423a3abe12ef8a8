"""Let torch use the machine well: exact fast fp32 products, no denormal numbers, memory kept instead of returned.

On CPUs with AVX-512 but without AMX, torch's default fp32 product runs at about half speed; routing it through
oneDNN with the 'bf16' switch doubles it and is still exact fp32 there. On a CPU with AMX the same switch would
really compute in bfloat16, so it is kept only if a self-check passes.
"""

from __future__ import annotations

import ctypes
import functools

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


def flush_denormals() -> bool:
    """Let this thread, and the threads that it starts from now on, take numbers below 1e-38 for zero; whether it can.

    The slope of a softplus with beta = 100 underflows where a unit is off by more than one, which is most of them, and
    every product with such a number is done in microcode on Intel: the field is three to four times as slow there.
    What is lost is no digit of any result. Safe to call often (0.1 microseconds).
    """
    return torch.set_flush_denormal(True)


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


def return_freed_memory() -> bool:
    """Hand what is free back to the kernel now; returns whether anything was. For the pauses between heads.

    What `keep_freed_memory` keeps falls to pieces as heads of different sizes come and go: without this a process
    that makes one head after another grows by hundreds of megabytes with each.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):  # not glibc
        return False
