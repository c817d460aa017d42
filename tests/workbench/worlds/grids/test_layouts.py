"""Layouts: what moves do, how far the goal is (against networkx), which layouts are held out, what is refused."""

from __future__ import annotations

from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.moves import Move

ROWS = ("#####", "#___#", "#_#_#", "#___#", "#####")
SEEDS = st.integers(0, 10**6)
MAZES = st.builds(make_layout, st.sampled_from([5, 7, 9, 11]), st.floats(0, 1), seed=SEEDS)
KEYED = st.builds(make_layout, st.integers(6, 11), structure=st.sampled_from(sorted(GOAL_STRUCTURES)), seed=SEEDS)


@st.composite
def scattered(draw: st.DrawFn) -> Layout:
    """Walls anywhere, a key and perhaps a door anywhere: goals that cannot be reached, doors that bar nothing."""
    size = draw(st.integers(5, 8))
    rng = np.random.default_rng(draw(SEEDS))
    walls = np.ones((size, size), dtype=bool)
    walls[1:-1, 1:-1] = rng.random((size - 2, size - 2)) < draw(st.floats(0, 0.5))
    cells = [tuple(map(int, cell)) for cell in rng.permutation(np.argwhere(~walls))]
    if len(cells) < 4:
        walls[1, 1:-1] = walls[2, 1:-1] = False
        cells = [tuple(map(int, cell)) for cell in rng.permutation(np.argwhere(~walls))]
    start, goal, key, door = cells[:4]
    rows = tuple("".join("#" if wall else "_" for wall in row) for row in walls)
    return Layout(rows, start, goal, key, door if draw(st.booleans()) else None)


def states_of(layout: Layout) -> list[State]:
    """Every state that can be: nobody stands on the key without it, or in the door without the key."""
    free = [State(cell, False) for cell in layout.open_cells() if cell not in (layout.key, layout.door)]
    return free + ([State(cell, True) for cell in layout.open_cells()] if layout.key else [])


@given(st.one_of(MAZES, KEYED, scattered()))
def test_distances_are_those_of_networkx_on_the_graph_of_states(layout: Layout) -> None:
    states = states_of(layout)
    graph = networkx.DiGraph((layout.after(state, move), state) for state in states for move in Move)  # backward
    goals = {state for state in states if state.cell == layout.goal}
    found = networkx.multi_source_dijkstra_path_length(graph, goals, weight=None)
    assert [layout.distance(state) for state in states] == [found.get(state, UNREACHABLE) for state in states]


@given(st.one_of(MAZES, KEYED, scattered()))
def test_optimal_moves_are_those_one_step_nearer_and_there_is_one_wherever_a_way_leads(layout: Layout) -> None:
    for state in states_of(layout):
        here, moves = layout.distance(state), layout.optimal_moves(state)
        assert bool(moves) == (here > 0)
        assert all(layout.distance(layout.after(state, move)) == here - 1 for move in moves)
        others = set(Move) - set(moves)
        assert here <= 0 or all(layout.distance(layout.after(state, move)) in (-1, here, here + 1) for move in others)


def test_walls_and_closed_doors_stop_the_agent_and_the_key_opens_the_door() -> None:
    layout = Layout(("#####", "#___#", "###_#", "#___#", "#####"), start=(1, 1), goal=(3, 1), key=(1, 2), door=(2, 3))
    assert layout.after(layout.initial, Move.UP) == layout.initial
    assert layout.after(State((1, 3)), Move.DOWN) == State((1, 3))
    assert layout.after(layout.initial, Move.RIGHT) == State((1, 2), has_key=True)
    assert layout.after(State((1, 3), True), Move.DOWN) == State((2, 3), True)
    assert layout.distance(layout.initial) == 6 and layout.distance(State((1, 3))) == 6


def test_a_door_that_cannot_be_opened_leaves_the_goal_unreachable() -> None:
    rows = ("#####", "#_#_#", "#_#_#", "#___#", "#####")
    layout = Layout(rows, start=(1, 1), goal=(1, 3), key=(2, 3), door=(3, 2))
    assert layout.distance(layout.initial) == UNREACHABLE and layout.optimal_moves(layout.initial) == ()


@given(st.one_of(MAZES, KEYED))
def test_held_out_is_the_same_for_all_turns_and_reflections_and_for_any_start(layout: Layout) -> None:
    def image(turn: int, flip: bool) -> Layout:
        def moved(array: np.ndarray) -> np.ndarray:
            return np.rot90(array.T if flip else array, turn)

        def cell(where: tuple[int, int] | None) -> tuple[int, int] | None:
            if where is None:
                return None
            spot = np.zeros((layout.size, layout.size), dtype=bool)
            spot[where] = True
            return tuple(map(int, np.argwhere(moved(spot))[0]))

        rows = tuple("".join(row) for row in moved(np.array([list(row) for row in layout.rows])))
        return Layout(rows, *map(cell, (layout.start, layout.goal, layout.key, layout.door)))

    images = [image(turn, flip) for turn in range(4) for flip in (False, True)]
    assert {each.held_out for each in images} == {layout.held_out}
    others = set(layout.open_cells()) - {layout.goal, layout.key, layout.door}
    assert {replace(layout, start=cell).held_out for cell in others} == {layout.held_out}


def test_about_a_fifth_of_layouts_is_held_out() -> None:
    held_out = [make_layout(size, 0.4, seed=seed).held_out for size in (7, 9) for seed in range(400)]
    assert 0.16 < np.mean(held_out) < 0.24
    held_out = [make_layout(9, structure="KeyDoor", seed=seed).held_out for seed in range(400)]
    assert 0.14 < np.mean(held_out) < 0.26


def test_layouts_are_hashable_and_equal_by_what_they_hold() -> None:
    layout = Layout(ROWS, (1, 1), (3, 3))
    assert layout.distances.any()  # what is cached must not count
    assert layout == Layout(ROWS, (1, 1), (3, 3)) and len({layout, Layout(ROWS, (1, 1), (3, 3))}) == 1
    assert layout != Layout(ROWS, (1, 1), (3, 2))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"start": (2, 2)}, r"the start at \(2, 2\) is in a wall"),
        ({"goal": (5, 1)}, r"the goal at \(5, 1\) is in a wall or outside of the 5-sized grid"),
        ({"key": (-1, 1)}, "the key at"),
        ({"goal": (1, 1)}, "two things share a cell"),
        ({"door": (3, 2)}, "a door needs a key"),
        ({"rows": ROWS[:4]}, "square"),
        ({"rows": ()}, "square"),
        ({"rows": ("#####", "#__G#", *ROWS[2:])}, "only # .* and _"),
        ({"rows": ("#_###", *ROWS[1:])}, "border must be wall"),
        ({"rows": (*ROWS[:3], "____#", ROWS[4])}, "border must be wall"),
    ],
)
def test_layouts_that_cannot_be_are_refused_in_one_line(arguments: dict, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        Layout(**{"rows": ROWS, "start": (1, 1), "goal": (3, 3), **arguments})
    assert "\n" not in str(caught.value)
