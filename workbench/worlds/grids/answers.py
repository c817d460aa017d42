"""The forms in which an agent may answer: JSON with a number, or a letter.

A form says what the moves are called, how an answer is asked for and written, and how it is read out of what a model
said, tolerantly.  The first answer counts, and nothing behind it is part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workbench.worlds.moves import Move

_LINE = r"\A\W{0,4}(left|right|up|down|[lrud])\W{0,4}?(?:\n|\Z)"  # a first line that is the answer alone
_MOVE = re.compile(rf"\bmove\W{{0,4}}?:\W{{0,4}}?\s*(left|right|up|down|[lrud])\b(?!')|{_LINE}", re.I)


@dataclass(frozen=True)
class Found:
    """An answer that was read: its move, and where in the text it begins and ends."""

    move: Move
    begin: int
    end: int


@dataclass(frozen=True)
class Form:
    """``lead``, the name of a move and ``close`` are an answer; ``find`` yields the answers in a text, in order."""

    lead: str
    close: str
    names: tuple[str, ...]
    asks: str  # how an answer looks, in the short wording
    find: Callable[[str], Iterator[Found]]

    def answer(self, move: Move) -> str:
        """The answer of a move.

        >>> FORMS["json"].answer(Move.UP), FORMS["letter"].answer(Move.UP)
        ('{"action": 2}', 'Move: U')
        """
        return f"{self.lead} {self.names[move]}{self.close}"

    def legend(self, between: str, after: str) -> str:
        """The moves by their names.

        >>> FORMS["letter"].legend(" = ", ", ")
        'L = LEFT, R = RIGHT, U = UP, D = DOWN'
        """
        return after.join(f"{name}{between}{move.name}" for name, move in zip(self.names, Move, strict=True))


def _in_json(said: str) -> Iterator[Found]:
    for match in re.finditer(r"\{[^{}]*\}", said):
        move = _move_of(match[0])
        if move is not None:
            yield Found(move, *match.span())


def _move_of(text: str) -> Move | None:
    found = None
    for candidate in (text, text.replace("'", '"')):
        try:
            found = json.loads(candidate).get("action")
            break
        except (ValueError, RecursionError):  # not JSON, or JSON with an endless number or nesting
            continue
    else:
        match = re.fullmatch(r"\{\s*[\"']?action[\"']?\s*:\s*[\"']?(\w+)[\"']?\s*\}", text)
        found = match[1] if match else None
    if isinstance(found, bool) or not isinstance(found, int | str):
        return None
    name = str(found).strip().upper()
    if name in Move.__members__:
        return Move[name]
    return Move(int(name)) if re.fullmatch(r"[0-3]", name) else None


def _as_letter(said: str) -> Iterator[Found]:
    """``Move: L`` anywhere, or a first line that is a letter or a name."""
    for match in _MOVE.finditer(said):
        letter = (match[1] or match[2])[0].upper()
        yield Found(next(move for move in Move if move.name[0] == letter), *match.span())


FORMS: dict[str, Form] = {
    "json": Form('{"action":', "}", ("0", "1", "2", "3"), '{"action": N}', _in_json),
    "letter": Form("Move:", "", ("L", "R", "U", "D"), "Move: X", _as_letter),
}
