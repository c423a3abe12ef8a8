"""Time two ways: wall clock, which is what a user waits for, and CPU seconds, which busy neighbours disturb less."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Taken:
    """Seconds: `wall`, and `cpu` of this process over all its threads."""

    wall: float
    cpu: float

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.wall + other.wall, self.cpu + other.cpu)

    def __mul__(self, factor: float) -> Taken:
        return Taken(self.wall * factor, self.cpu * factor)

    def __str__(self) -> str:
        return f"{self.wall:,.2f} s wall, {self.cpu:,.2f} s CPU"

    def over(self, other: Taken) -> str:
        """How many times the other's time this is."""
        return f"{self.wall / other.wall:,.1f} x wall, {self.cpu / other.cpu:,.1f} x CPU"


ZERO = Taken(0.0, 0.0)


def timed(call: Callable[[], object]) -> Taken:
    """Time one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def best(taken: list[Taken]) -> Taken:
    """The least of each of several runs of the same."""
    return Taken(min(t.wall for t in taken), min(t.cpu for t in taken))
