"""Bandits as summary statistics: each step is one prompt that says how often each arm was chosen and what it paid.

What a policy needs of a history is in the prompt, so no conversation is carried along ("When Greedy Wins", arXiv
2509.24923).  The answer is a thought, then the action.  The thought's first words say how it goes on, and an agent that
was taught several ways chooses by them: ``samples`` (one number an arm, drawn from what is believed of it, as Thompson
sampling does), ``upper bounds`` (average + bonus = bound, as UCB does), or ``none``, the action at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.arguments import integer, listed, number
from workbench.errors import DataError, SpecError, check_known
from workbench.worlds.bandits.conversation import Messages, Turn
from workbench.worlds.bandits.text import RENDERINGS

LABELS: dict[str, tuple[str, ...]] = {
    "letters": ("A", "B", "C", "D", "E"),
    "late_letters": ("P", "Q", "R", "S", "T"),
    "colours": ("red", "blue", "green", "yellow", "purple"),
}
THOUGHTS = ("samples", "upper bounds", "none")
PAYS = ("points", "all or nothing")
_PAYS = {
    "points": "Each {verb} pays points between 0 and 100, around an average of its own for each {one}.",
    "all or nothing": "Each {verb} pays 100 points or nothing, with a chance of its own for each {one}.",
}
_INSTRUCTIONS = (
    "There are {n} {plural}: {names}. {pays} You see the average so far, and in brackets how often you chose it. Earn "
    "as many points as you can in {horizon} rounds. Answer with a thought and an action.",
    "You choose one of the {plural} {names} in each of {horizon} rounds. {pays} Shown are the average points so far "
    "and the number of choices in brackets. Collect as much as possible. Give a thought, then an action.",
    "A game of {horizon} rounds with {n} {plural}, called {names}. {pays} Before each round you read what each paid on "
    "average (in brackets: how many times). Reach the highest sum. Think, then act.",
)
TRAINED_WORDINGS: tuple[int, ...] = (0, 1)
HELD_OUT_WORDINGS: tuple[int, ...] = (2,)


@dataclass(frozen=True)
class SummaryText:
    """A bandit of the arms ``labels`` over ``horizon`` rounds, told by averages and counts.

    ``pays``: ``points``, or ``all or nothing`` for arms that pay the ends of ``shown`` only.  ``shown``: the rewards
    that are written 0 and 100 (as they are for averages: rounded, and none below or above).  ``thinks``: how a thought
    goes (:data:`THOUGHTS`).

    >>> text = SummaryText(("A", "B", "C"))
    >>> text.state(counts=[4, 3, 0], sums=[444, 294, 0])
    'Round 8 of 50: A 61 (4), B 48 (3), C new.'
    >>> text.prefill, text.parse("Thought: samples: A 66, B 71, C 52.\\nAction: B"), text.parse("Action: F")
    ('Thought: samples:', 1, None)
    """

    labels: tuple[str, ...] = LABELS["letters"][:2]
    rendering: str = "buttons"
    wording: int = 0
    horizon: int = 50
    pays: str = "points"
    shown: tuple[float, float] = (50.0, 150.0)
    thinks: str = "samples"

    def __post_init__(self) -> None:
        check_known(self.rendering, RENDERINGS, "rendering")
        check_known(self.pays, PAYS, "pays")
        check_known(self.thinks, THOUGHTS, "thinks")
        integer(self.horizon, "horizon", 1)
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2 or not all(map(str.isalpha, self.labels)):
            raise SpecError(f"labels {self.labels} must be at least two different words")
        if not 0 <= integer(self.wording, "wording") < len(_INSTRUCTIONS):
            raise SpecError(f"wording {self.wording} does not exist: choose 0 to {len(_INSTRUCTIONS) - 1}")
        low, high = (number(end, "an end of shown") for end in self.shown)
        if not low < high:
            raise SpecError(f"shown {self.shown} must be a lower and a higher reward")

    @property
    def n_arms(self) -> int:
        """K."""
        return len(self.labels)

    @property
    def thoughts(self) -> bool:
        """Whether an answer says something before its action."""
        return self.thinks != "none"

    @property
    def prefill(self) -> str:
        """How every answer begins."""
        return f"Thought: {self.thinks}:" if self.thoughts else self.lead

    @property
    def lead(self) -> str:
        """What all actions begin with."""
        return "Action:"

    def endings(self) -> list[str]:
        """How an action goes on behind the lead to each arm."""
        return [f" {label}" for label in self.labels]

    def instructions(self) -> str:
        """What stands before the state, the same in every round."""
        noun, plural, verb, _ = RENDERINGS[self.rendering]
        names = f"{', '.join(self.labels[:-1])} and {self.labels[-1]}"
        pays = _PAYS[self.pays].format(verb=verb, one=noun.lower())
        form = _INSTRUCTIONS[self.wording]
        return form.format(n=self.n_arms, plural=plural, names=names, pays=pays, horizon=self.horizon)

    def points(self, reward: float | np.ndarray) -> np.ndarray:
        """Rewards (or averages) as they are written: whole numbers from 0 to 100."""
        low, high = self.shown
        return np.clip(np.round((np.asarray(reward, dtype=float) - low) / (high - low) * 100), 0, 100).astype(int)

    def averages(self, counts: Sequence[float] | np.ndarray, sums: Sequence[float] | np.ndarray) -> list[int | None]:
        """What is written of each arm: its average, None for one that was never chosen."""
        counts, sums = np.asarray(listed(counts, "counts")), np.asarray(listed(sums, "sums"))
        if len(counts) != self.n_arms or len(sums) != self.n_arms:
            raise DataError(f"{len(counts)} counts and {len(sums)} sums for {self.n_arms} arms")
        return [int(self.points(total / n)) if n else None for n, total in zip(counts, sums, strict=True)]

    def state(self, counts: Sequence[float] | np.ndarray, sums: Sequence[float] | np.ndarray) -> str:
        """The line of a round: ``counts`` of choices so far and ``sums`` of rewards, one an arm."""
        arms = [
            f"{label} new" if average is None else f"{label} {average} ({int(n)})"
            for label, average, n in zip(self.labels, self.averages(counts, sums), counts, strict=True)
        ]
        return f"Round {int(np.sum(counts)) + 1} of {self.horizon}: {', '.join(arms)}."

    def conversation(self, turns: Sequence[Turn], request: str = "") -> Messages:
        """The prompt of the round behind ``turns``, one message; ``request``: a sentence added to the instructions."""
        counts, sums = np.zeros((2, self.n_arms))
        for turn in turns:
            counts[turn.arm] += 1
            sums[turn.arm] += turn.reward
        return self.messages(counts, sums, request)

    def messages(
        self, counts: Sequence[float] | np.ndarray, sums: Sequence[float] | np.ndarray, request: str = ""
    ) -> Messages:
        """The prompt of a round as a chat, from its counts and sums."""
        told = f"{self.instructions()} {request}".rstrip()
        return [{"role": "user", "content": f"{told}\n{self.state(counts, sums)}"}]

    def feedback(self, arm: int, reward: float) -> str:
        """What a choice paid, in points; it is not shown, the next round's averages hold it."""
        return f"{self.labels[arm]} paid {self.points(reward)} points."

    def action(self, arm: int) -> str:
        """The line by which ``arm`` (0-based) is chosen."""
        return self.lead + self.endings()[integer(arm, "arm")]

    def parse(self, said: str) -> int | None:
        """The chosen arm (0-based), or None when the first ``Action:`` names no arm that exists."""
        found = self._first(said)
        names = [label.lower() for label in self.labels]
        return names.index(found[1].lower()) if found and found[1].lower() in names else None

    def spoken(self, said: str) -> str:
        """The answer up to the end of its first action."""
        found = self._first(said)
        return said[: found.end()] if found else said

    def thought(self, said: str) -> str:
        """What an answer says before its action; all of it where there is none."""
        found = self._first(said)
        return (said[: found.start()] if found else said).rstrip()

    def _first(self, said: str) -> re.Match[str] | None:
        return re.search(r"action:\s*(\w+)", said, re.I)
