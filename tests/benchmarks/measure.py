"""Timing two or more ways of doing the same thing side by side, and the row that comes of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Row", "Timed", "at_least", "at_most", "compare", "timed_in_turn"]


@dataclass(frozen=True)
class Row:
    """One line of the table.  ``ratio`` is a share of the other way's time, or how many times faster; ``bar`` says
    which, as ``<= 1.05`` or ``>= 2.5``."""

    name: str
    ratio: float
    bar: str
    held: bool
    note: str


@dataclass(frozen=True)
class Timed:
    """Seconds of each repetition of two ways that were run in turn."""

    ours: list[float]
    other: list[float]

    @property
    def ratio(self) -> float:
        """Median over repetitions of our time by the other's: a pair shares the machine's mood of the moment."""
        return median(a / b for a, b in zip(self.ours, self.other, strict=True))

    def __str__(self) -> str:
        return f"{_seconds(median(self.ours))} against {_seconds(median(self.other))}, {len(self.ours)} repetitions"


def compare(
    ours: Callable[[], object], others: Sequence[Callable[[], object]], repeats: int, warm: bool = False
) -> list[Timed]:
    """Time ``ours`` and each of ``others`` in turn, ``repeats`` times; first once without counting, unless ``warm``."""
    ways = [ours, *others]
    for way in ways if not warm else ():
        way()
    times = timed_in_turn(ways, repeats)
    return [Timed(times[0], other) for other in times[1:]]


def timed_in_turn(ways: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    """Seconds of each way, [way][repetition]."""
    times: list[list[float]] = [[] for _ in ways]
    for repeat in range(repeats):
        order = range(len(ways)) if repeat % 2 == 0 else reversed(range(len(ways)))  # nobody always comes first
        for i in order:
            times[i].append(_time(ways[i]))
    return times


def at_most(name: str, timed: Timed, limit: float, note: str) -> Row:
    """A row whose ratio is our share of the other's time."""
    return Row(name, round(timed.ratio, 3), f"<= {limit:g}", timed.ratio <= limit, f"{note}; {timed}")


def at_least(name: str, timed: Timed, limit: float, note: str) -> Row:
    """A row whose ratio is how many times faster we are."""
    faster = 1 / timed.ratio
    return Row(name, round(faster, 3), f">= {limit:g}", faster >= limit, f"{note}; {timed}")


def _time(way: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
