"""Generators: perfect mazes, exact shares of walls, rooms in which a key is needed or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label

from workbench.errors import SpecError
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.moves import Move

SIZES, SEEDS = st.sampled_from([5, 7, 9, 11, 13, 15]), st.integers(0, 10**6)


def optimal_paths(layout: Layout, state: State) -> list[list[State]]:
    if state.cell == layout.goal:
        return [[state]]
    nexts = [layout.after(state, move) for move in layout.optimal_moves(state)]
    return [[state, *rest] for near in nexts for rest in optimal_paths(layout, near)]


@given(SIZES, SEEDS)
def test_density_one_is_a_perfect_maze(size: int, seed: int) -> None:
    walls, rooms = make_layout(size, 1.0, seed=seed).walls, size // 2
    assert not walls[1::2, 1::2].any() and walls[::2, ::2].all()
    assert label(~walls)[1] == 1  # connected ...
    assert (~walls).sum() - rooms**2 == rooms**2 - 1  # ... by as many passages as a tree has edges: no loops


@given(SIZES, SEEDS)
def test_density_zero_is_open(size: int, seed: int) -> None:
    walls = make_layout(size, 0.0, seed=seed).walls
    assert not walls[1:-1, 1:-1].any() and walls.sum() == 4 * (size - 1)


@given(SIZES, st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), SEEDS)
def test_the_share_of_interior_walls_taken_away_is_exact(size: int, density: float, seed: int) -> None:
    walls, rooms = make_layout(size, density, seed=seed).walls, size // 2
    interior = (size - 2) ** 2 - rooms**2 - (rooms**2 - 1)
    assert walls[1:-1, 1:-1].sum() == interior - round((1 - density) * interior)
    assert walls[[0, -1]].all() and walls[:, [0, -1]].all()


@given(SIZES, st.floats(0, 1), SEEDS)
def test_the_goal_of_a_maze_is_at_least_half_a_size_away(size: int, density: float, seed: int) -> None:
    layout = make_layout(size, density, seed=seed)
    assert layout.distance(layout.initial) >= size // 2 and layout.key is None and layout.door is None


def test_mazes_are_not_all_alike_and_starts_lie_everywhere() -> None:
    layouts = [make_layout(7, 1.0, seed=seed) for seed in range(300)]
    assert len({layout.rows for layout in layouts}) > 100
    assert len({layout.start for layout in layouts}) > 15 and len({layout.goal for layout in layouts}) > 15


@given(st.integers(6, 15), SEEDS)
def test_key_door_needs_its_key(size: int, seed: int) -> None:
    layout = make_layout(size, structure="KeyDoor", seed=seed)
    assert layout.distance(layout.initial) > 0
    row, column = layout.door
    barred = list(layout.rows)
    barred[row] = barred[row][:column] + "#" + barred[row][column + 1 :]
    without_key = Layout(tuple(barred), layout.start, layout.goal)
    assert without_key.distance(without_key.initial) == UNREACHABLE


@given(st.integers(6, 15), SEEDS)
def test_key_no_door_is_the_same_rooms_with_a_useless_key(size: int, seed: int) -> None:
    layout = make_layout(size, structure="KeyNoDoor", seed=seed)
    plain = make_layout(size, structure="KeyDoor", seed=seed)
    assert layout == replace(plain, door=None) and layout.key
    assert layout.distance(layout.initial) == replace(layout, key=None).distance(layout.initial) > 0
    assert np.array_equal(*layout.distances)


@given(st.integers(6, 15), SEEDS)
def test_two_path_key_has_two_optimal_paths_and_the_key_on_exactly_one(size: int, seed: int) -> None:
    layout = make_layout(size, structure="2PathKey", seed=seed)
    paths = optimal_paths(layout, layout.initial)
    assert len(paths) == 2 and {path[0].cell for path in paths} == {layout.start}
    assert sorted(layout.key in [state.cell for state in path] for path in paths) == [False, True]
    assert layout.door is None and len(layout.optimal_moves(layout.initial)) == 2


@given(st.sampled_from(["maze", *GOAL_STRUCTURES]), SEEDS, st.sampled_from([None, True, False]))
def test_the_same_seed_gives_the_same_layout(structure: str, seed: int, held_out: bool | None) -> None:
    first, second = (make_layout(9, 0.0, structure, seed, held_out) for _ in range(2))
    assert first == second
    assert held_out is None or first.held_out is held_out


def test_layouts_of_a_seed_do_not_change_between_versions() -> None:
    """The shipped agent was trained on some of these and is evaluated on others: the generator is part of the data."""
    assert make_layout(7, 0.6, seed=11) == Layout(*MAZE)
    assert make_layout(7, structure="KeyDoor", seed=11) == Layout(*KEY_DOOR)


MAZE = (("#######", "#_____#", "#__####", "#___#_#", "#___#_#", "#_____#", "#######"), (1, 5), (3, 1))
KEY_DOOR = (
    ("#######", "#_____#", "#_____#", "####_##", "#_____#", "#_____#", "#######"),
    (5, 2),
    (1, 1),
    (4, 4),
    (3, 4),
)


@given(st.sampled_from([7, 9]), st.floats(0.2, 1), SEEDS)
def test_no_swap_of_start_and_goal_leads_from_a_trained_maze_to_a_held_out_one(
    size: int, density: float, seed: int
) -> None:
    layout = make_layout(size, density, seed=seed, held_out=False)
    assert not layout.held_out and not Layout(layout.rows, layout.goal, layout.start).held_out
    assert make_layout(size, density, seed=seed, held_out=True).held_out


def test_walks_never_leave_the_grid_or_enter_a_wall() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        layout = make_layout(7, 0.6, seed=seed)
        state = layout.initial
        for move in rng.integers(4, size=50):
            state = layout.after(state, Move(int(move)))
            assert not layout.walls[state.cell]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 6}, "must be odd and at least 5, not 6"),
        ({"size": 3}, "at least 5"),
        ({"size": 7, "density": 1.5}, "density must be a finite number from 0 to 1, not 1.5"),
        ({"size": 7, "density": float("nan")}, "density must be a finite number from 0 to 1, not nan"),
        ({"size": 7, "structure": "KeyDor"}, "unknown goal structure 'KeyDor'; did you mean 'KeyDoor'"),
        ({"size": 5, "structure": "KeyDoor"}, "at least 6, not 5"),
        ({"size": 5, "structure": "2PathKey"}, "at least 6, not 5"),
        ({"size": 7, "seed": -1}, "seed must be an integer of at least 0, not -1"),
    ],
)
def test_unusable_options_are_refused_in_one_line(arguments: dict, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        make_layout(**arguments)
    assert "\n" not in str(caught.value)
