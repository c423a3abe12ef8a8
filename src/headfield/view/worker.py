"""Threads of the viewer: the newest picture wins, long jobs wait for each other, and no error ends a thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from headfield.errors import present


class Stale(Exception):
    """Raised inside a job whose result nobody waits for any more."""


class Newest:
    """A thread that works on the newest job only: what was queued before is dropped, what runs is told to stop."""

    def __init__(self, failed: Callable[[BaseException], None], name: str) -> None:
        """Start the thread; `failed` is told about errors of jobs, and must not raise."""
        self._failed = failed
        self._wake = threading.Condition()
        self._job: Callable[[Callable[[], None]], None] | None = None
        self._closed, self._running, self._number = False, False, 0
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[Callable[[], None]], None]) -> None:
        """Ask for a job; it is called with a function that raises :class:`Stale` once a newer one is there."""
        with self._wake:
            self._job, self._number = job, self._number + 1
            self._wake.notify_all()

    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        with self._wake:
            return self._job is None and not self._running

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is idle; returns whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: self._job is None and not self._running, seconds)

    def close(self) -> None:
        """Stop after the present chunk of work."""
        with self._wake:
            self._closed, self._job, self._number = True, None, self._number + 1
            self._wake.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._job is not None)
                if self._closed:
                    return
                job, number = present(self._job, "a job"), self._number
                self._job, self._running = None, True

            def stop_if_stale(mine: int = number) -> None:
                if self._number != mine:
                    raise Stale

            try:
                job(stop_if_stale)
            except Stale:
                pass
            except BaseException as error:  # a thread that dies leaves a dead page
                self._failed(error)
            finally:
                with self._wake:
                    self._running = False
                    self._wake.notify_all()


class Tasks:
    """A thread that does one long job after the other: fits, bakes, exports."""

    def __init__(self, failed: Callable[[BaseException], None], name: str) -> None:
        """Start the thread; `failed` as in :class:`Newest`."""
        self._failed = failed
        self._wake = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._closed, self._running = False, False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Add a job to the end."""
        with self._wake:
            self._jobs.append(job)
            self._wake.notify_all()

    def waiting(self) -> int:
        """Jobs that run or wait."""
        with self._wake:
            return len(self._jobs) + self._running

    def close(self) -> None:
        """Drop what waits. A job that runs is asked for nothing: the thread dies with the process."""
        with self._wake:
            self._closed = True
            self._jobs.clear()
            self._wake.notify_all()

    def closed(self) -> bool:
        """Whether :meth:`close` was called; long jobs look at it and give up."""
        return self._closed

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._jobs)
                if self._closed:
                    return
                job, self._running = self._jobs.popleft(), True
            try:
                job()
            except Stale:
                pass
            except BaseException as error:
                self._failed(error)
            finally:
                with self._wake:
                    self._running = False
                    self._wake.notify_all()
