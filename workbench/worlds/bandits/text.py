"""Bandits as text: what a language agent is told, what it answers, and how the answer is read.

Two renderings (buttons, as in EAST's prompt 1; slot machines, as in its prompt 2) times several wordings.  The paper
leaves the exact wording unstated, so these are ours.  Wordings in :data:`HELD_OUT_WORDINGS` are never trained on.
One turn is ``Thought: ...`` and an action, ``Action: I choose Button 1.`` unless another form of answer is asked for;
the environment answers with the numeric reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.arguments import integer
from workbench.errors import SpecError, check_known
from workbench.worlds.bandits.answers import FORMS, Form
from workbench.worlds.bandits.conversation import Messages, Turn

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
TRAINED_WORDINGS: tuple[int, ...] = (0, 1, 2, 3)
HELD_OUT_WORDINGS: tuple[int, ...] = (4, 5)


@dataclass(frozen=True)
class BanditText:
    """One way to write a bandit of ``n_arms`` arms over ``horizon`` rounds, every turn in full.

    ``answer`` is the form of the action (:data:`~workbench.worlds.bandits.answers.FORMS`: ``action``, ``letter``,
    ``json``); ``thoughts=False`` asks for it alone.

    >>> text = BanditText("slot_machines")
    >>> text.action(0), text.feedback(1, 97.4)
    ('Action: I choose Machine 1.', 'Machine 2 paid 97 points.')
    >>> text.parse("Thought: the second looks better.\\nAction: I choose Machine 2.")
    1
    >>> text.parse("Action: I choose Machine 3.") is None
    True
    >>> BanditText(answer="letter", thoughts=False).parse("B")
    1
    """

    rendering: str = "buttons"
    wording: int = 0
    n_arms: int = 2
    horizon: int = 50
    thoughts: bool = True
    answer: str = "action"

    def __post_init__(self) -> None:
        check_known(self.rendering, RENDERINGS, "rendering")
        check_known(self.answer, FORMS, "answer")
        for name, least in (("n_arms", 1), ("horizon", 1)):
            integer(getattr(self, name), name, least)
        if not 0 <= integer(self.wording, "wording") < len(_INSTRUCTIONS):
            raise SpecError(f"wording {self.wording} does not exist: choose 0 to {len(_INSTRUCTIONS) - 1}")

    @property
    def noun(self) -> str:
        """``Button`` or ``Machine``."""
        return RENDERINGS[self.rendering][0]

    @property
    def _form(self) -> Form:
        return FORMS[self.answer]

    @property
    def prefill(self) -> str:
        """``Thought:``, or what all actions begin with where there is no thought."""
        return "Thought:" if self.thoughts else self.lead

    @property
    def lead(self) -> str:
        """What all actions begin with."""
        return self._form.begins(self.noun)

    def endings(self) -> list[str]:
        """How an action goes on behind ``lead`` to each arm, as far as it tells them apart."""
        return self._form.endings(self.n_arms)

    def instructions(self) -> str:
        """The first message."""
        noun, plural, verb, gerund = RENDERINGS[self.rendering]
        told = _INSTRUCTIONS[self.wording].format(
            noun=noun, plural=plural, verb=verb, gerund=gerund, n=self.n_arms, horizon=self.horizon
        )
        return told + self._form.request(self.thoughts, noun, self.n_arms)

    def conversation(self, turns: Sequence[Turn] = (), request: str = "") -> Messages:
        """The instructions (and ``request``), then an answer and the environment's feedback for each turn."""
        messages = [{"role": "user", "content": f"{self.instructions()} {request}".rstrip()}]
        for turn in turns:
            messages.append({"role": "assistant", "content": turn.said})
            messages.append({"role": "user", "content": self.feedback(turn.arm, turn.reward)})
        return messages

    def action(self, arm: int) -> str:
        """The action by which an agent chooses ``arm`` (0-based; written 1-based, or as a letter)."""
        return self._form.action(integer(arm, "arm"), self.noun)

    def feedback(self, arm: int, reward: float) -> str:
        """What the environment answers; the reward is rounded to an integer and never below zero."""
        told = _FEEDBACK[self.wording]
        return told.format(noun=self.noun, arm=self._form.name(arm), reward=max(0, round(reward)))

    def parse(self, said: str) -> int | None:
        """The chosen arm (0-based), or None when there is no readable action of an arm that exists.

        The first action counts; see :mod:`workbench.worlds.bandits.answers` for what is tolerated.
        """
        found = self._find(said)
        return found[0] if found else None

    def spoken(self, said: str) -> str:
        """What was said up to the end of its action; all of it where there is none.

        >>> BanditText().spoken("Thought: so.\\nAction: I choose Button 1. Button 1 paid 140 points.")
        'Thought: so.\\nAction: I choose Button 1.'
        """
        found = self._find(said)
        return said[: found[1]] if found else said

    def thought(self, said: str) -> str:
        """What was said before the action; all of it where there is none."""
        return self._form.thought(said)

    def _find(self, said: str) -> tuple[int, int] | None:
        return self._form.find(said, self.thoughts, self.noun, self.n_arms)
