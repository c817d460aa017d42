"""Grids as text: what a language agent is shown, what it answers, and how the answer is read.

The picture is a whitespace-separated matrix with row and column indices (arXiv 2602.08964): ``#`` wall, ``_`` open,
``G`` goal, ``A`` agent, ``K`` key, ``D`` door.  The agent is shown the grid afresh at every step, without history, and
answers with one move, at once or after a short reasoning: as JSON, or in another form
(:mod:`workbench.worlds.grids.answers`).  The paper's wording is not published; both here are ours: ``short`` is what
the shipped agent was trained on, ``full`` explains the game to a model that has never seen it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import DataError, check_known
from workbench.worlds.grids.answers import FORMS, Form, Found
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Move

WORDINGS = ("short", "full")
_SHORT = "A is you, G the goal, # a wall, K a key, D its door. {moves}."
_FULL = (
    "You are the agent A in this grid. Rows and columns are numbered along its edges; # is a wall, _ is open floor, "
    "G is the goal, K is a key that you pick up by stepping on it, and D is a door that only opens when you hold "
    "the key (no K in a grid with a D means that you hold it). Moving into a wall or a closed door leaves you where "
    "you are. Reach G in as few moves as possible. The moves are {moves}."
)
# answer -> (request for the move alone, request for a reasoning first), in the full wording
_ASKED: dict[str, tuple[str, str]] = {
    "json": (
        'Answer with JSON only, like {"action": 0}.',
        'Think step by step in a sentence or two, then answer with JSON, like {"action": 0}.',
    ),
    "letter": (
        'Answer with your move only, a letter, like "Move: L".',
        'Think step by step in a sentence or two, then answer with your move, a letter, like "Move: L".',
    ),
}


@dataclass(frozen=True)
class GridText:
    """One way to write a grid; ``reasoning`` asks for a short reasoning before the answer.

    ``answer_form``: how the move is answered, ``json`` or ``letter``.

    >>> from workbench.worlds.grids.mazes import make_layout
    >>> layout = make_layout(5, 1.0, seed=2)
    >>> print(GridText().picture(layout, layout.initial))
    + 0 1 2 3 4
    0 # # # # #
    1 # _ A _ #
    2 # # # G #
    3 # _ _ _ #
    4 # # # # #
    >>> GridText().answer(Move.UP), GridText().parse('so I go up. {"action": 2}')
    ('{"action": 2}', <Move.UP: 2>)
    """

    reasoning: bool = False
    wording: str = "short"
    answer_form: str = "json"

    def __post_init__(self) -> None:
        check_known(self.wording, WORDINGS, "wording")
        check_known(self.answer_form, FORMS, "answer")

    @property
    def _form(self) -> Form:
        return FORMS[self.answer_form]

    @property
    def lead(self) -> str:
        """What all answers begin with."""
        return self._form.lead

    @property
    def endings(self) -> list[str]:
        """How an answer goes on behind ``lead`` to each move, as far as it tells them apart."""
        return [self.answer(move).removeprefix(self.lead).removesuffix(self._form.close) for move in Move]

    def picture(self, layout: Layout, state: State) -> str:
        """The grid with its indices.  A key that is held is not shown; a door stays."""
        cells = [list(row) for row in layout.rows]
        key = None if state.has_key else layout.key
        for cell, mark in ((layout.goal, "G"), (key, "K"), (layout.door, "D"), (state.cell, "A")):
            if cell is not None:
                cells[cell[0]][cell[1]] = mark
        lines = [" ".join(["+", *map(str, range(layout.size))])]
        lines += [" ".join([str(r), *row]) for r, row in enumerate(cells)]
        return "\n".join(lines)

    def prompt(self, layout: Layout, state: State) -> str:
        """The whole message: grid, rules, what to answer."""
        form = self._form
        if self.wording == "short":
            rules = _SHORT.format(moves=form.legend(" ", " "))
            asked = f"{'Think, then reply' if self.reasoning else 'Reply'}: {form.asks}"
        else:
            rules, asked = _FULL.format(moves=form.legend(" = ", ", ")), _ASKED[self.answer_form][self.reasoning]
        return f"{self.picture(layout, state)}\n{rules}\n{asked}"

    def answer(self, move: Move) -> str:
        """The answer of a move."""
        return self._form.answer(move)

    def find(self, said: str) -> Found | None:
        """The first readable answer in what was said, or None.

        Of JSON, tolerant of a move's name in place of its number, of single quotes, of quotes around the number, of
        code fences and of other keys beside ``action``; a letter may be the move's name.
        """
        return next(self._form.find(said), None)

    def parse(self, completion: str) -> Move | None:
        """The move of the first readable answer, or None."""
        found = self.find(completion)
        return found.move if found else None

    def spoken(self, said: str) -> str:
        """What was said up to the end of its answer; all of it where there is none.

        >>> GridText().spoken('I go up. {"action": 2} Now the grid is')
        'I go up. {"action": 2}'
        """
        found = self.find(said)
        return said[: found.end] if found else said

    def thought(self, said: str) -> str:
        """What was said before an answer was begun; all of it where none was."""
        found, begun = self.find(said), said.find(self.lead)
        ends = [each for each in (found.begin if found else -1, begun) if each >= 0]
        return said[: min(ends)].rstrip() if ends else said


def wording_for(model: str) -> str:
    """The wording that a model of this name or folder needs: its own for ``grid-agent``, in full for any other.

    >>> wording_for("grid-agent"), wording_for("runs/grid-agent-cpu"), wording_for("smollm2-135m")
    ('short', 'short', 'full')
    """
    return "short" if Path(model).name.startswith("grid-agent") else "full"


def read_grid(text: str) -> tuple[Layout, State]:
    """The layout and state that a picture shows (its start is where the agent is); the inverse of ``picture``.

    A door without a key means that the key is held; the layout then has no key and an open passage at the door, which
    is the same world from there on.  Raises :class:`DataError` for text that holds no grid.

    >>> from workbench.worlds.grids.mazes import make_layout
    >>> layout = make_layout(7, 0.4, seed=1)
    >>> read_grid(GridText().prompt(layout, layout.initial)) == (layout, layout.initial)
    True
    """
    lines = [re.fullmatch(r"\d+((?: [#_AGKD])+)", line.strip()) for line in text.splitlines()]
    cells = [match[1].split() for match in lines if match]
    where = {mark: (r, c) for r, row in enumerate(cells) for c, mark in enumerate(row) if mark in "AGKD"}
    if "A" not in where or "G" not in where:
        raise DataError("there is no grid with an A and a G in this text")
    rows = tuple("".join("#" if mark == "#" else "_" for mark in row) for row in cells)
    door = where.get("D") if "K" in where else None
    layout = Layout(rows, where["A"], where["G"], where.get("K"), door)
    return layout, layout.initial
