"""Grid players with known behaviour, and A*: baselines, and a second opinion on the distances of a layout.

A policy gives the probability of each of the four moves in a state, in the order of :class:`Move`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import numpy as np

from workbench.errors import DataError
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.moves import Move

Policy = Callable[[Layout, State], np.ndarray]
"""(layout, state) -> P(move) [4]."""


def random_policy(layout: Layout, state: State) -> np.ndarray:
    """Every move alike, those into a wall included."""
    return np.full(len(Move), 1 / len(Move))


def optimal_policy(layout: Layout, state: State) -> np.ndarray:
    """Uniform over the optimal moves: pi* of arXiv 2602.08964.

    Raises :class:`DataError` where none is optimal: at the goal, and where no way leads to it.

    >>> layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 1), goal=(3, 3))
    >>> optimal_policy(layout, layout.initial).tolist()
    [0.0, 0.5, 0.0, 0.5]
    """
    moves = layout.optimal_moves(state)
    if not moves:
        raise _no_move(layout, state)
    return np.isin(np.arange(len(Move)), moves) / len(moves)


def astar_policy(layout: Layout, state: State) -> np.ndarray:
    """All on the first move of :func:`astar`: the optimal player that always chooses the same path.

    Raises :class:`DataError` at the goal, and where no way leads to it.
    """
    moves = astar(layout, state)
    if not moves:
        raise _no_move(layout, state)
    return np.eye(len(Move))[moves[0]]


def astar(layout: Layout, state: State) -> list[Move]:
    """A shortest sequence of moves from ``state`` to the goal, by A* over (cell, has key); empty at the goal.

    The heuristic is the Manhattan distance to the goal: it never overestimates and falls by at most 1 a move, so the
    first way found is a shortest one.  Raises :class:`DataError` when no way leads to the goal.

    >>> layout = Layout(("#####", "#___#", "###_#", "#___#", "#####"), start=(1, 1), goal=(3, 1))
    >>> [move.name for move in astar(layout, layout.initial)]
    ['RIGHT', 'RIGHT', 'DOWN', 'DOWN', 'LEFT', 'LEFT']
    """
    order = count()  # among equals the state found last goes first, which keeps the search narrow in open grids
    heap = [(_manhattan(layout, state), 0, state)]
    came: dict[State, tuple[State, Move] | None] = {state: None}
    steps = {state: 0}
    while heap:
        estimate, _, here = heapq.heappop(heap)
        if here.cell == layout.goal:
            return _way_to(here, came)
        if estimate > steps[here] + _manhattan(layout, here):  # a shorter way here was found since
            continue
        for move in Move:
            near = layout.after(here, move)
            if near not in steps or steps[here] + 1 < steps[near]:
                steps[near], came[near] = steps[here] + 1, (here, move)
                heapq.heappush(heap, (steps[near] + _manhattan(layout, near), -next(order), near))
    raise DataError(f"no way leads from {state.cell} to the goal at {layout.goal}")


def _manhattan(layout: Layout, state: State) -> int:
    return abs(state.cell[0] - layout.goal[0]) + abs(state.cell[1] - layout.goal[1])


def _way_to(state: State, came: dict[State, tuple[State, Move] | None]) -> list[Move]:
    moves = []
    while (step := came[state]) is not None:
        state, move = step
        moves.append(move)
    return moves[::-1]


def _no_move(layout: Layout, state: State) -> DataError:
    why = "it is the goal" if state.cell == layout.goal else "no way leads to the goal from it"
    return DataError(f"no move is optimal at {state.cell}: {why}")


# Name -> policy; a new one is a function above and a line here.
POLICIES: dict[str, Policy] = {"random": random_policy, "optimal": optimal_policy, "astar": astar_policy}
