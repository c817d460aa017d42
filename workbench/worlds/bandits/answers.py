"""The forms in which an agent may answer: a line ``Action: ...``, the same with letters for the arms, or JSON.

Letters suit chat models: numbers they go on counting ("Button 3" of two).  A form says how an action is written and how
it is read out of what a model said, tolerantly: case, articles and quotes do not matter.  The first action counts, and
nothing behind it is part of the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_uppercase

from workbench.errors import SpecError

_REACT = " Answer each round with a line that starts with Thought: and "


@dataclass(frozen=True)
class Form:
    """``lead``, an arm's name and ``close`` are an action.

    ``opens`` and behind it ``named`` (regular expressions; the group is the name) find one.  ``only`` and ``thinking``
    ask for an answer without and with a thought; in all of them {noun} stands for the arms' noun, {example} for an
    action and {names} for all names.  ``letters``: arms are called A, B, ...  ``bare``: the name alone is an answer.
    """

    lead: str
    close: str
    opens: str
    named: str
    only: str
    thinking: str
    letters: bool = False
    bare: bool = False

    def name(self, arm: int) -> str:
        """What the arm (0-based) is called.

        >>> FORMS["action"].name(1), FORMS["letter"].name(1)
        ('2', 'B')
        """
        return ascii_uppercase[arm] if self.letters else str(arm + 1)

    def begins(self, noun: str) -> str:
        """What all actions begin with."""
        return self.lead.replace("{noun}", noun)

    def endings(self, n_arms: int) -> list[str]:
        """How an action goes on to each arm; none begins another, so arms of two digits make all end in ``close``.

        >>> FORMS["action"].endings(2), FORMS["action"].endings(10)[0]
        ([' 1', ' 2'], ' 1.')
        """
        close = "" if self.letters or n_arms < 10 else self.close
        return [f" {self.name(arm)}{close}" for arm in range(n_arms)]

    def action(self, arm: int, noun: str) -> str:
        """The action that chooses ``arm``.

        >>> FORMS["json"].action(1, "Button")
        '{"action": 2}'
        """
        return f"{self.begins(noun)} {self.name(arm)}{self.close}"

    def request(self, thoughts: bool, noun: str, n_arms: int) -> str:
        """The sentence that says how to answer."""
        if self.letters and n_arms > len(ascii_uppercase):
            raise SpecError(f"{n_arms} arms have no letters: take at most {len(ascii_uppercase)}, or answer='action'")
        names = [self.name(arm) for arm in range(n_arms)]
        listed = " or ".join([", ".join(names[:-1]), names[-1]] if n_arms > 1 else names)
        asked = self.thinking if thoughts else self.only
        return asked.replace("{example}", self.action(0, noun)).replace("{names}", listed)

    def thought(self, said: str) -> str:
        """What is said before the first action; all of it where there is none.

        >>> FORMS["action"].thought("Perhaps not.\\nAction: I choose Button 1.")
        'Perhaps not.'
        """
        begun = re.search(self.opens, said, re.I)
        return said[: begun.start()].rstrip() if begun else said

    def find(self, said: str, thoughts: bool, noun: str, n_arms: int) -> tuple[int, int] | None:
        """The arm that the first action in ``said`` chooses, and where it ends; None where it is none that exists."""
        begun = re.search(self.opens, said, re.I)
        if not begun and (thoughts or not self.bare):
            return None
        found = re.compile(self.named.replace("{noun}", noun)).match(said, begun.end() if begun else 0)
        if not found:
            return None
        arm = ascii_uppercase.index(found[1]) if self.letters else int(found[1]) - 1
        return (arm, found.end()) if 0 <= arm < n_arms else None


FORMS: dict[str, Form] = {
    "action": Form(
        "Action: I choose {noun}", ".",
        r"action:", r"(?i:\s*(?:i choose\s+)?(?:the\s+)?(?:slot\s+)?{noun}\s*(\d+)\b\.?)",
        " Answer each round with the action only, like {example}",
        _REACT + "a line that starts with Action: like {example}",
    ),
    "letter": Form(
        "Action: I choose {noun}", ".",
        r"(?:action|answer):",
        r"\s*(?i:(?:i choose\s+)?(?:the\s+)?(?:slot\s+)?(?:{noun}\s+)?)\(?([A-Z])\b(?!'|\s+[a-z])\)?\.?",
        " Answer each round with the action only, like {example} Choose {names}.",
        _REACT + "a line that starts with Action: like {example} Choose {names}.",
        letters=True, bare=True,
    ),
    "json": Form(
        '{"action":', "}",
        r"\{\s*[\"']action[\"']\s*:", r"(?i:\s*[\"']?\s*(?:slot\s+)?(?:{noun}\s*)?(\d+)\s*[\"']?\s*\})",
        " Answer each round with JSON only, like {example}.",
        _REACT + "JSON, like {example}.",
    ),
}  # fmt: skip
