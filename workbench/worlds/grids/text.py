"""Grids as text: what a language agent is shown, what it answers, and how the answer is read.

The picture is a whitespace-separated matrix with row and column indices (arXiv 2602.08964): ``#`` wall, ``_`` open,
``G`` goal, ``A`` agent, ``K`` key, ``D`` door.  The agent is shown the grid afresh at every step, without history, and
answers JSON with one action, at once or after a short reasoning.  The paper's wording is not published; both here are
ours: ``short`` is what the shipped agent was trained on, ``full`` explains the game to a model that has never seen it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workbench.errors import DataError, check_known
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Move

_LEGEND = "A is you, G the goal, # a wall, K a key, D its door. 0 LEFT 1 RIGHT 2 UP 3 DOWN."
_FULL = (
    "You are the agent A in this grid. Rows and columns are numbered along its edges; # is a wall, _ is open floor, "
    "G is the goal, K is a key that you pick up by stepping on it, and D is a door that only opens when you hold "
    "the key (no K in a grid with a D means that you hold it). Moving into a wall or a closed door leaves you where "
    "you are. Reach G in as few moves as possible. The moves are 0 = LEFT, 1 = RIGHT, 2 = UP, 3 = DOWN."
)
# wording -> (rules, request for the action alone, request for a reasoning first)
WORDINGS: dict[str, tuple[str, str, str]] = {
    "short": (_LEGEND, 'Reply: {"action": N}', 'Think, then reply: {"action": N}'),
    "full": (
        _FULL,
        'Answer with JSON only, like {"action": 0}.',
        'Think step by step in a sentence or two, then answer with JSON, like {"action": 0}.',
    ),
}
ANSWER = '{"action":'


@dataclass(frozen=True)
class GridText:
    """One way to write a grid; ``reasoning`` asks for a short reasoning before the answer.

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

    def __post_init__(self) -> None:
        check_known(self.wording, WORDINGS, "wording")

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
        rules, act, think = WORDINGS[self.wording]
        return f"{self.picture(layout, state)}\n{rules}\n{think if self.reasoning else act}"

    def answer(self, move: Move) -> str:
        """The JSON of a move."""
        return f"{ANSWER} {int(move)}}}"

    def parse(self, completion: str) -> Move | None:
        """The move of the last readable JSON answer in ``completion``, or None.

        Tolerant of a move's name in place of its number, of single quotes, of quotes around the number, of code
        fences and of other keys beside ``action``.
        """
        for text in reversed(re.findall(r"\{[^{}]*\}", completion)):
            move = _move_of(text)
            if move is not None:
                return move
        return None


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
