"""What a bandit must be as text so that a language agent can play it.

An agent asks its text three things: the conversation that leads to the next choice, how an answer begins and may go
on, and which arm an answer chooses.  :class:`~workbench.worlds.bandits.text.BanditText` writes out every turn; another
text may sum the turns up instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

Messages = list[dict[str, str]]


class Turn(NamedTuple):
    """A choice that was made: what the agent ``said`` up to its action, the ``arm`` (0-based) and what that paid."""

    said: str
    arm: int
    reward: float


class AgentText(Protocol):
    """A way to write a bandit of ``n_arms`` arms over ``horizon`` rounds for a language agent.

    ``thoughts``: whether an answer says something before its action.  All methods are functions of their arguments.
    """

    @property
    def n_arms(self) -> int: ...

    @property
    def horizon(self) -> int: ...

    @property
    def thoughts(self) -> bool: ...

    @property
    def prefill(self) -> str:
        """How an answer begins if nothing else is asked for; put into the agent's mouth."""

    @property
    def lead(self) -> str:
        """What all actions begin with."""

    def endings(self) -> list[str]:
        """How an action goes on behind ``lead`` to each arm; none begins another."""

    def conversation(self, turns: Sequence[Turn], request: str = "") -> Messages:
        """The messages that ask for the choice after ``turns``; ``request`` is a sentence added to what is asked."""

    def feedback(self, arm: int, reward: float) -> str:
        """What the environment says of a choice."""

    def action(self, arm: int) -> str:
        """How an answer says that it chooses ``arm`` (0-based): the lead, the arm's ending and what may close it."""

    def parse(self, said: str) -> int | None:
        """The arm (0-based) that an answer chooses, or None where there is no readable action of an arm that exists."""

    def spoken(self, said: str) -> str:
        """The answer up to the end of its action (all of it where there is none): what follows was not asked for."""

    def thought(self, said: str) -> str:
        """What an answer says before its action; all of it where there is none."""
