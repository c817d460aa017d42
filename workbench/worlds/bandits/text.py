"""Bandits as text: what a language agent is told, what it answers, and how the answer is read.

Two renderings (buttons, as in EAST's prompt 1; slot machines, as in its prompt 2) times several wordings.  The paper
leaves the exact wording unstated, so these are ours.  Wordings in :data:`HELD_OUT_WORDINGS` are never trained on.
One turn is ``Thought: ...`` and ``Action: I choose Button 1.``, answered by the environment with the numeric reward.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.arguments import integer
from workbench.errors import SpecError, check_known

# rendering -> (noun, plural, verb, gerund)
RENDERINGS: dict[str, tuple[str, str, str, str]] = {
    "buttons": ("Button", "buttons", "press", "pressing"),
    "slot_machines": ("Machine", "slot machines", "pull", "pulling"),
}

_INSTRUCTIONS = (
    "There are {n} {plural}. Each {verb} pays a random number of points, and the {plural} differ in what they pay on "
    "average. Evaluate all of them and maximise your total points over {horizon} rounds.",
    "You are in front of {n} {plural} for {horizon} rounds. Every {verb} gives points with some noise. Find out which "
    "of the {plural} gives the most on average and collect as many points as you can.",
    "Your task is to earn points by {gerund} one of {n} {plural} in each of {horizon} rounds. The average payment of "
    "each is fixed but unknown to you, and single payments are noisy.",
    "A game of {horizon} rounds: choose one of {n} {plural}, see what it pays, and choose again. Payments vary around "
    "a fixed mean. Try to reach the highest sum of points.",
    "You have {horizon} rounds and {n} {plural}. One of them may be better than the others, but payments are random. "
    "Compare them and make your total reward as large as possible.",
    "Imagine a room with {n} {plural}. In {horizon} turns, each time you {verb} one, it hands out an uncertain amount. "
    "Explore them all, then get the largest overall sum.",
)
_FEEDBACK = (
    "{noun} {arm} paid {reward} points.",
    "You chose {noun} {arm} and got {reward} points.",
    "{noun} {arm} gave {reward}.",
    "Result of {noun} {arm}: {reward} points.",
    "Reward: {reward} points from {noun} {arm}.",
    "The payment of {noun} {arm} was {reward} points.",
)
_REACT = (
    " Answer each round with a line that starts with Thought: and a line that starts with Action: like Action: I choose"
    " {noun} 1."
)
_ACTION_ONLY = " Answer each round with the action only, like Action: I choose {noun} 1."

TRAINED_WORDINGS: tuple[int, ...] = (0, 1, 2, 3)
HELD_OUT_WORDINGS: tuple[int, ...] = (4, 5)


@dataclass(frozen=True)
class BanditText:
    """One way to write a bandit of ``n_arms`` arms over ``horizon`` rounds.

    ``thoughts=False`` asks for the action line only (the exact mode scores its continuations).

    >>> text = BanditText("slot_machines")
    >>> text.action(0), text.feedback(1, 97.4)
    ('Action: I choose Machine 1.', 'Machine 2 paid 97 points.')
    >>> text.parse("Thought: the second looks better.\\nAction: I choose Machine 2.")
    1
    >>> text.parse("Action: I choose Machine 3.") is None
    True
    """

    rendering: str = "buttons"
    wording: int = 0
    n_arms: int = 2
    horizon: int = 50
    thoughts: bool = True

    def __post_init__(self) -> None:
        check_known(self.rendering, RENDERINGS, "rendering")
        for name, least in (("n_arms", 1), ("horizon", 1)):
            integer(getattr(self, name), name, least)
        if not 0 <= integer(self.wording, "wording") < len(_INSTRUCTIONS):
            raise SpecError(f"wording {self.wording} does not exist: choose 0 to {len(_INSTRUCTIONS) - 1}")

    @property
    def noun(self) -> str:
        """``Button`` or ``Machine``."""
        return RENDERINGS[self.rendering][0]

    def instructions(self) -> str:
        """The first message."""
        noun, plural, verb, gerund = RENDERINGS[self.rendering]
        form = _INSTRUCTIONS[self.wording] + (_REACT if self.thoughts else _ACTION_ONLY)
        return form.format(noun=noun, plural=plural, verb=verb, gerund=gerund, n=self.n_arms, horizon=self.horizon)

    def action(self, arm: int) -> str:
        """The line by which an agent chooses ``arm`` (0-based; written 1-based)."""
        return f"Action: I choose {self.noun} {integer(arm, 'arm') + 1}."

    def feedback(self, arm: int, reward: float) -> str:
        """What the environment answers; the reward is rounded to an integer and never below zero."""
        return _FEEDBACK[self.wording].format(noun=self.noun, arm=arm + 1, reward=max(0, round(reward)))

    def parse(self, completion: str) -> int | None:
        """The chosen arm (0-based), or None when there is no readable action of an arm that exists.

        Tolerant of case, of a missing ``I choose`` and of ``slot machine`` for ``machine``; the first ``Action:``
        counts.
        """
        found = re.search(rf"action:\s*(?:i choose\s+)?(?:the\s+)?(?:slot\s+)?{self.noun}\s*(\d+)\b", completion, re.I)
        first = re.search(r"action:", completion, re.I)
        if not found or not first or found.start() != first.start():
            return None
        arm = int(found[1]) - 1
        return arm if 0 <= arm < self.n_arms else None
