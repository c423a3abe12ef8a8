"""Let torch use the machine well: exact fast fp32 products, no denormal numbers, memory kept instead of returned.

On CPUs with AVX-512 but without AMX, torch's default fp32 product runs at about half speed; routing it through
oneDNN with the 'bf16' switch doubles it and is still exact fp32 there. On a CPU with AMX the same switch would
really compute in bfloat16, so it is kept only if a self-check passes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from contextlib import ContextDecorator
from pathlib import Path
from typing import Any

import torch


@functools.cache
def use_fast_products() -> bool:
    """Turn the switch on if it is exact on this machine; returns whether it is on. Safe to call often."""
    try:
        backend: Any = torch.backends.mkldnn  # not every torch has the switch
        switch = backend.matmul
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
    """In this block torch takes numbers below 1e-38 for zero; may be nested. Does nothing where the CPU cannot.

    The slope of a softplus with beta = 100 underflows where a unit is off by more than one, which is most of them, and
    every product with such a number is done in microcode on Intel: the field is two to four times as slow there. What
    is lost is no digit of any result. Only around products of networks: other libraries count on denormals (scipy's
    k-d tree crashes without them).

    The setting belongs to a thread. The calling one gets its own back after the block. Torch's threads, a pool for
    every thread that calls it, take over the setting of their caller when they are started: so the first block of a
    calling thread starts them anew, and they keep the setting for good, also for torch's work outside of such blocks.
    No other library's threads are among them.
    """

    def __enter__(self) -> denormals_flushed:
        _flushing.depth = getattr(_flushing, "depth", 0) + 1
        if torch.set_flush_denormal(True) and (threads := torch.get_num_threads()) != getattr(_flushing, "pool", 1):
            _start_pool(threads)
            _flushing.pool = threads
        return self

    def __exit__(self, *error) -> None:
        _flushing.depth -= 1
        if not _flushing.depth:
            torch.set_flush_denormal(False)


_flushing = threading.local()
"""Of the calling thread: ``depth`` of its blocks, and of how many threads its ``pool`` was when a block started it."""


def _start_pool(threads: int) -> None:
    """End what this thread has of torch's pool and start it anew, with the caller's settings."""
    openmp = _openmp()
    if openmp is not None:
        openmp.omp_pause_resource_all(1)  # omp_pause_soft; only this thread's pool ends
    torch.zeros(2**16 * threads, device="cpu").add_(1.0)  # enough work for all of them


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP that torch brings and has loaded, which can end a pool; None where it is another one.

    Without it a pool can only be started: it keeps denormals if torch has worked outside of every block before.
    """
    try:
        for path in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            return library if hasattr(library, "omp_pause_resource_all") else None
    except (OSError, AttributeError):  # not loaded, or no such platform
        pass
    return None


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
