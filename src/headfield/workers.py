"""A pool of worker processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Result = TypeVar("Result")


def in_workers(work: Callable[..., Result], jobs: Sequence[tuple], workers: int) -> Iterator[tuple[int, Result]]:
    """Do jobs in worker processes; when one raises, those that have not begun are dropped.

    Args:
        work: A function of a module, called with each job's arguments.
        jobs: Arguments.
        workers: Processes; 0 = in this process, in order.
    Yields:
        Number of the job and its result, as they finish.
    """
    if workers <= 0 or len(jobs) <= 1:
        for number, job in enumerate(jobs):
            yield number, work(*job)
        return
    # spawn: a fork would copy the parent's threads (torch, rich) in the middle of whatever they do
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        futures = {pool.submit(work, *job): number for number, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin() -> None:
    """What a worker does first."""
    one_thread()
    threading.Thread(target=_end_with_parent, name="headfield-parent", daemon=True).start()


def _end_with_parent() -> None:
    """Nobody waits for what a worker does once its parent was killed, and nobody else would end it."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Each worker is one thread, or two workers on two cores fight for them."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
