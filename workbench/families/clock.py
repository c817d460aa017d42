"""The clock of a run: how long it has been going, and about how long the steps that are left will take.

A step is judged by finished ones of its kind (what stands before the first dash of its name), in proportion to the
tokens that they say they take; one of a new kind by the tokens of all.  What neither tells is not counted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from workbench.families.family import Step
from workbench.families.timing import clock_text

_READ = 0.2  # a token that is read takes about this share of one that is drawn


class Clock:
    """Made when the steps of a run begin.  ``length``: tokens of a completion at most.

    >>> clock = Clock([Step("play-1", "", print, 10), Step("play-2", "", print, 20)], now=iter([0, 5, 5]).__next__)
    >>> clock.end("play-1")
    >>> clock.text(["play-2"])
    '0:05 gone, about 0:10 left'
    """

    def __init__(self, steps: Sequence[Step], length: int = 1, now: Callable[[], float] = time.monotonic) -> None:
        self._cost = {step.name: step.completions * length + _READ * step.tokens for step in steps}
        self._now = now
        self._begin = self._last = now()
        self._took: dict[str, float] = {}

    def end(self, step: str) -> None:
        """A step is finished: it took the time since the one before it was."""
        now = self._now()
        self._took[step], self._last = now - self._last, now

    def text(self, left: Iterable[str]) -> str:
        """``1:20 gone, about 3:40 left``; without the second half while nothing tells."""
        gone, rest = f"{clock_text(self._now() - self._begin)} gone", self._left(left)
        return gone if rest is None else f"{gone}, about {clock_text(rest)} left"

    def _left(self, steps: Iterable[str]) -> float | None:
        kinds: dict[str, list[str]] = defaultdict(list)
        for name in self._took:
            kinds[_kind(name)].append(name)
        guesses = [self._guess(name, kinds.get(_kind(name), [])) for name in steps]
        known = [guess for guess in guesses if guess is not None]
        return sum(known) if known else None

    def _guess(self, step: str, alike: Sequence[str]) -> float | None:
        cost = self._cost[step]
        like = alike or [name for name in self._took if cost and self._cost[name]]
        if not like:
            return None
        took, costs = sum(self._took[name] for name in like), sum(self._cost[name] for name in like)
        return took * cost / costs if costs else took / len(like)


def _kind(step: str) -> str:
    return step.partition("-")[0]
