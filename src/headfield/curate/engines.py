"""Where the work is done: processes of this machine, or a Ray cluster. Both take the same jobs to the same results.

A job is repeatable: it finds what an earlier attempt finished. A worker that dies (killed, out of memory) costs only
the step it was at; its job begins again in a new worker, and is given up when that one dies of it as well.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

from headfield.errors import ConfigError, need, present
from headfield.workers import one_thread

WORKER_BYTES = 3 * 2**30
"""Memory that a worker may take."""

ATTEMPTS = 2
"""A job whose worker died this often is given up."""


@dataclass(frozen=True)
class WorkerDied:
    """In place of a result: every worker that tried the job died of it."""

    reason: str


def run_local(work: Callable[..., Any], jobs: Sequence[tuple], workers: int) -> Iterator[tuple[int, Any]]:
    """Do jobs in worker processes of this machine.

    Every worker is a pool of its own, so that the death of one disturbs no other and it is known whose job it was.

    Args:
        work: A function of a module, called with each job's arguments.
        jobs: Arguments.
        workers: Processes; 0 = in this process, in order.
    Yields:
        Number of the job and its result, or `WorkerDied`, as they finish. The first error that a job raises is raised
        here, after all workers have been stopped.
    """
    if workers <= 0:
        for number, job in enumerate(jobs):
            yield number, work(*job)
        return
    waiting = deque((number, 1) for number in range(len(jobs)))
    slots = [_Slot() for _ in range(min(workers, len(jobs)))]
    busy: dict[Future, tuple[_Slot, int, int]] = {}
    try:
        while waiting or busy:
            for slot in slots:
                if waiting and slot.free:
                    number, attempt = waiting.popleft()
                    busy[slot.submit(work, jobs[number])] = (slot, number, attempt)
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                slot, number, attempt = busy.pop(future)
                slot.free = True
                try:
                    yield number, future.result()
                except BrokenProcessPool:
                    slot.renew()
                    if attempt < ATTEMPTS:
                        waiting.appendleft((number, attempt + 1))
                    else:
                        yield (
                            number,
                            WorkerDied(f"the worker died {ATTEMPTS} times: killed from outside, or out of memory"),
                        )
    finally:
        for slot in slots:
            slot.stop()


def run_ray(work: Callable[..., Any], jobs: Sequence[tuple], workers: int) -> Iterator[tuple[int, Any]]:
    """Do jobs on a Ray cluster, one core each: the one of the environment (RAY_ADDRESS), else one started here.

    Scans and store must be at the same paths on every node, as on a shared disk.

    Args:
        work, jobs: As in `run_local`.
        workers: Jobs under way at once at most; 0 = one per core of the cluster, as far as its memory goes.
    Yields:
        As `run_local`.
    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: No cluster answers.
    """
    ray = need("ray", "cluster", "The engine ray")
    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="error")
        except ConnectionError as error:
            raise ConfigError(
                f"no Ray cluster answers at RAY_ADDRESS={os.environ.get('RAY_ADDRESS', '')} ({error}). Start it, or "
                "unset RAY_ADDRESS to start one here."
            ) from error
    have = ray.cluster_resources()
    fitting = int(have.get("memory", float("inf")) // WORKER_BYTES) if "memory" in have else int(have.get("CPU", 1))
    limit = workers or max(1, min(int(have.get("CPU", 1)), fitting))
    # Ray starts a worker that died again: the number of attempts is the same as here
    remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_in_ray)
    waiting, busy = deque(range(len(jobs))), {}
    try:
        while waiting or busy:
            while waiting and len(busy) < limit:
                number = waiting.popleft()
                busy[remote.remote(work, jobs[number])] = number
            for done in ray.wait(list(busy), num_returns=1)[0]:
                number = busy.pop(done)
                try:
                    yield number, ray.get(done)
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    yield number, WorkerDied(f"the worker died {ATTEMPTS} times: {error}")
                except ray.exceptions.RayTaskError as error:
                    raise (error.cause if isinstance(error.cause, Exception) else error) from error
                except ray.exceptions.RayError as error:  # a node is gone
                    yield number, WorkerDied(f"its node was lost: {type(error).__name__}: {error}")
    finally:
        for reference in busy:
            ray.cancel(reference, force=True)


class _Slot:
    """One worker process."""

    def __init__(self) -> None:
        self.free = True
        self._pool: ProcessPoolExecutor | None = None
        self._process: BaseProcess | None = None

    def submit(self, work: Callable, job: tuple) -> Future:
        """Begin a job."""
        if self._pool is None:
            import multiprocessing

            # spawn: a fork would copy the parent's threads (torch, rich) in the middle of whatever they do
            before = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin_worker)
            begun = self._pool.submit(work, *job)
            # known at once, also while it still imports what it needs, so that it can be stopped then
            self._process = next(iter(set(multiprocessing.active_children()) - before), None)
        else:
            begun = self._pool.submit(work, *job)
        self.free = False
        return begun

    def renew(self) -> None:
        """Forget a worker that died."""
        present(self._pool, "a worker").shutdown(wait=False)
        self._pool = None

    def stop(self) -> None:
        """End the worker, at once if it is at work: what it has finished is kept, and nothing is half-written."""
        if self._pool is None:
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        if not self.free and self._process is not None:
            self._process.terminate()
            self._process.join(5)
            if self._process.is_alive():  # the exception was swallowed by whatever was going on, or it hangs at its end
                self._process.kill()


def _begin_worker() -> None:
    _settle()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _leave(number, frame) -> None:
    raise SystemExit(1)  # unwinds, so that temporary files go


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers."""
    import multiprocessing

    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _in_ray(work: Callable, job: tuple):
    _settle()
    return work(*job)


def _settle() -> None:
    """One thread, and memory that does not grow from head to head."""
    one_thread()
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for huge pages, read when it first allocates
    from headfield.nn.machine import bound_freed_memory

    bound_freed_memory()
