"""How many completions and tokens the steps of a run take, about: what ``--dry-run`` counts and ``minutes`` cuts."""

from __future__ import annotations

from typing import TypedDict

from workbench.families.goal_directedness.spec import GoalSpec

ANSWERS = 32  # tokens of the four answers together


class Work(TypedDict):
    """The sizes of a step."""

    completions: int
    tokens: int


def moves_of(size: int) -> int:
    """Moves of an episode, about."""
    return round(1.2 * size)


def prompt_tokens(size: int) -> int:
    """Of the message about a grid, about: its cells and spaces, and the rules."""
    return 2 * (size + 1) ** 2 + 150


def work_of(spec: GoalSpec, mode: str, size: int, layouts: int, rollouts: int) -> Work:
    """What playing that many episodes takes.  An exact agent is asked once for each place."""
    decisions, inside = layouts * rollouts * moves_of(size), (size - 2) ** 2
    if mode == "direct" and spec.exact:
        places = layouts * min(rollouts * moves_of(size), inside)
        return {"completions": 0, "tokens": places * (prompt_tokens(size) + ANSWERS)}
    answers = ANSWERS if mode == "reasoning" and spec.forced else 0
    return {"completions": decisions, "tokens": decisions * (prompt_tokens(size) + answers)}
