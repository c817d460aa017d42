"""The iso-difficulty transforms are exact, invertible, and leave the difficulty as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.grids.transforms import TRANSFORMS, Transform
from workbench.worlds.moves import Move

SEEDS = st.integers(0, 10**6)
MAZES = st.builds(make_layout, st.sampled_from([5, 7, 9, 11]), st.floats(0, 1), seed=SEEDS)
KEYED = st.builds(make_layout, st.integers(6, 10), structure=st.sampled_from(sorted(GOAL_STRUCTURES)), seed=SEEDS)
SYMMETRIES = st.sampled_from([TRANSFORMS[name] for name in ("reflect", "rotate", "transpose")])
# What each does to an array indexed [row, column], said by NumPy.
NUMPY = {"reflect": np.fliplr, "rotate": np.rot90, "transpose": np.transpose}


def states_of(layout: Layout) -> list[State]:
    return [State(cell, has_key) for cell in layout.open_cells() for has_key in (False, True)]


def some_optimal_path(layout: Layout, rng: np.random.Generator) -> list[Move]:
    state, moves = layout.initial, []
    while state.cell != layout.goal:
        moves.append(Move(int(rng.choice(layout.optimal_moves(state)))))
        state = layout.after(state, moves[-1])
    return moves


def n_optimal_paths(layout: Layout) -> int:
    ways = {layout.initial: 1}
    for _ in range(layout.distance(layout.initial)):
        following: dict[State, int] = {}
        for state, n in ways.items():
            for move in layout.optimal_moves(state):
                near = layout.after(state, move)
                following[near] = following.get(near, 0) + n
        ways = following
    return sum(ways.values())


def test_there_are_the_four_of_the_paper() -> None:
    assert list(TRANSFORMS) == ["reflect", "rotate", "transpose", "swap"]
    assert all(transform.name == name for name, transform in TRANSFORMS.items())


@given(st.one_of(MAZES, KEYED), SYMMETRIES)
def test_symmetries_are_those_of_numpy(layout: Layout, transform: Transform) -> None:
    turned, image = NUMPY[transform.name], transform.apply(layout)
    assert np.array_equal(image.walls, turned(layout.walls))
    for before, after in zip(
        (layout.start, layout.goal, layout.key, layout.door),
        (image.start, image.goal, image.key, image.door),
        strict=True,
    ):
        spot = np.zeros_like(layout.walls)
        if before is not None:
            spot[before] = True
        assert (after is None and before is None) or [after] == [tuple(cell) for cell in np.argwhere(turned(spot))]


@given(st.one_of(MAZES, KEYED), SYMMETRIES)
def test_distances_and_optimal_moves_are_mapped_onto_each_other(layout: Layout, transform: Transform) -> None:
    image = transform.apply(layout)
    assert np.array_equal(image.distances, [NUMPY[transform.name](each) for each in layout.distances])
    for state in states_of(layout):
        theirs = image.optimal_moves(transform.state(state, layout.size))
        assert set(theirs) == {transform.move(move) for move in layout.optimal_moves(state)}


@given(st.one_of(MAZES, KEYED), SYMMETRIES)
def test_moving_then_mapping_is_mapping_then_moving(layout: Layout, transform: Transform) -> None:
    image, size = transform.apply(layout), layout.size
    for state in states_of(layout):
        for move in Move:
            after = image.after(transform.state(state, size), transform.move(move))
            assert after == transform.state(layout.after(state, move), size)


@given(MAZES)
def test_swap_keeps_the_distance_and_the_number_of_optimal_paths(layout: Layout) -> None:
    image = TRANSFORMS["swap"].apply(layout)
    assert (image.rows, image.start, image.goal) == (layout.rows, layout.goal, layout.start)
    assert image.distance(image.initial) == layout.distance(layout.initial)
    assert n_optimal_paths(image) == n_optimal_paths(layout)


@given(MAZES)
def test_swap_turns_the_optimal_moves_on_the_way_around(layout: Layout) -> None:
    """A step s -> s' lies on an optimal path exactly if the opposite step s' -> s does in the image."""
    swap = TRANSFORMS["swap"]
    image = swap.apply(layout)
    there, back = layout.distances[0], image.distances[0]
    way = [cell for cell in layout.open_cells() if there[cell] != UNREACHABLE]
    way = [cell for cell in way if there[cell] + back[cell] == there[layout.start]]
    steps = {(cell, move) for cell in way for move in layout.optimal_moves(State(cell))}
    theirs = {(cell, move) for cell in way for move in image.optimal_moves(State(cell))}
    assert {(move.of(cell), swap.move(move)) for cell, move in steps} == theirs


def assert_path_is_optimal(layout: Layout, moves: list[Move]) -> None:
    state = layout.initial
    for move in moves:
        assert move in layout.optimal_moves(state)
        state = layout.after(state, move)
    assert state.cell == layout.goal


@given(st.one_of(MAZES, KEYED), SYMMETRIES, SEEDS)
def test_optimal_paths_are_mapped_to_optimal_paths(layout: Layout, transform: Transform, seed: int) -> None:
    moves = some_optimal_path(layout, np.random.default_rng(seed))
    assert_path_is_optimal(transform.apply(layout), transform.path(moves))
    assert transform.inverse.path(transform.path(moves)) == moves


@given(st.builds(make_layout, st.sampled_from([7, 9, 11]), st.floats(0.4, 1), seed=SEEDS), SEEDS)
def test_swap_maps_optimal_paths_to_optimal_paths_walked_backward(layout: Layout, seed: int) -> None:
    swap, moves = TRANSFORMS["swap"], some_optimal_path(layout, np.random.default_rng(seed))
    assert_path_is_optimal(swap.apply(layout), swap.path(moves))
    assert swap.path(swap.path(moves)) == moves


@given(st.one_of(MAZES, KEYED), st.sampled_from(sorted(TRANSFORMS)))
def test_a_transform_and_its_inverse_are_the_identity(layout: Layout, name: str) -> None:
    transform, size = TRANSFORMS[name], layout.size
    inverse = transform.inverse
    assert inverse.inverse == transform and (inverse is transform) == (name != "rotate")
    for first, second in ((transform, inverse), (inverse, transform)):
        if not (name == "swap" and layout.key):
            assert second.apply(first.apply(layout)) == layout
        assert all(second.cell(first.cell(cell, size), size) == cell for cell in np.ndindex(size, size))
        assert all(second.move(first.move(move)) is move for move in Move)
        assert all(second.state(first.state(state, size), size) == state for state in states_of(layout))


@given(st.one_of(MAZES, KEYED), SYMMETRIES)
def test_size_walls_and_the_held_out_side_are_kept(layout: Layout, transform: Transform) -> None:
    image = transform.apply(layout)
    assert (image.size, image.walls.sum(), image.held_out) == (layout.size, layout.walls.sum(), layout.held_out)


@given(MAZES, st.sampled_from(sorted(TRANSFORMS)))
def test_the_density_of_interior_walls_is_kept(layout: Layout, name: str) -> None:
    image = TRANSFORMS[name].apply(layout)
    assert image.walls[1:-1, 1:-1].mean() == layout.walls[1:-1, 1:-1].mean()
    assert not (layout.walls[1::2, 1::2].any() or image.walls[1::2, 1::2].any())  # rooms stay rooms


def test_reflect_maps_columns_to_their_mirror_column() -> None:
    reflect = TRANSFORMS["reflect"]
    assert [reflect.cell((2, x), 7) for x in range(7)] == [(2, 7 - 1 - x) for x in range(7)]
    assert [reflect.move(move) for move in Move] == [Move.RIGHT, Move.LEFT, Move.UP, Move.DOWN]


def test_four_rotations_are_the_identity() -> None:
    layout = image = make_layout(9, structure="KeyDoor", seed=0)
    for turn in range(4):
        image = TRANSFORMS["rotate"].apply(image)
        assert (image == layout) == (turn == 3)


@pytest.mark.parametrize("structure", sorted(GOAL_STRUCTURES))
def test_swap_refuses_keys_and_doors_in_one_line(structure: str) -> None:
    with pytest.raises(DataError, match="swap takes layouts without a key or door") as caught:
        TRANSFORMS["swap"].apply(make_layout(7, structure=structure, seed=0))
    assert "\n" not in str(caught.value)
