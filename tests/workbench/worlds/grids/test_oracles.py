"""A* agrees with the distances of thousands of layouts; policies are the distributions they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.worlds.grids import oracles as grid_oracles
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.grids.oracles import POLICIES, astar, astar_policy, optimal_policy, random_policy
from workbench.worlds.moves import Move

BARRED = Layout(("#####", "#_#_#", "#_#_#", "#_#_#", "#####"), start=(1, 1), goal=(1, 3))


def scattered(seed: int) -> Layout:
    """Walls, key and door anywhere: goals that cannot be reached, doors that bar nothing, keys behind their doors."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(5, 10))
    walls = np.ones((size, size), dtype=bool)
    walls[1:-1, 1:-1] = rng.random((size - 2, size - 2)) < 0.35
    walls[1, 1:-1] = False
    walls[2, 1] = False
    cells = [tuple(map(int, cell)) for cell in rng.permutation(np.argwhere(~walls))]
    rows = tuple("".join("#" if wall else "_" for wall in row) for row in walls)
    return Layout(rows, *cells[:3], door=cells[3] if rng.random() < 0.7 else None)


def assert_astar_is_shortest(layout: Layout, state: State) -> None:
    distance = layout.distance(state)
    if distance == UNREACHABLE:
        with pytest.raises(DataError, match="no way leads from"):
            astar(layout, state)
        return
    moves = astar(layout, state)
    assert len(moves) == distance
    for move in moves:
        state = layout.after(state, move)
    assert state.cell == layout.goal


@pytest.mark.parametrize("density", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_astar_is_as_short_as_the_distances_say_in_mazes(density: float) -> None:
    for seed in range(150):
        layout = make_layout(5 + 2 * (seed % 4), density, seed=seed)
        assert_astar_is_shortest(layout, layout.initial)


@pytest.mark.parametrize("structure", sorted(GOAL_STRUCTURES))
def test_astar_is_as_short_as_the_distances_say_with_keys_and_doors(structure: str) -> None:
    for seed in range(150):
        layout = make_layout(6 + seed % 5, structure=structure, seed=seed)
        assert_astar_is_shortest(layout, layout.initial)
        assert_astar_is_shortest(layout, State(layout.start, has_key=True))


def test_astar_is_as_short_as_the_distances_say_on_any_grid_and_finds_where_no_way_leads() -> None:
    layouts = [scattered(seed) for seed in range(1500)]
    lost = [layout.distance(layout.initial) == UNREACHABLE for layout in layouts]
    assert 0.05 < np.mean(lost) < 0.9  # both kinds are there
    for layout in layouts:
        assert_astar_is_shortest(layout, layout.initial)


def test_astar_looks_at_fewer_states_than_a_search_without_its_heuristic(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[State] = []
    after = Layout.after
    monkeypatch.setattr(Layout, "after", lambda self, state, move: seen.append(state) or after(self, state, move))
    layout = Layout(("#" * 15, *["#" + "_" * 13 + "#"] * 13, "#" * 15), start=(7, 7), goal=(13, 13))
    assert len(astar(layout, layout.initial)) == 12
    with_heuristic = len(set(seen))
    seen.clear()
    monkeypatch.setattr(grid_oracles, "_manhattan", lambda layout, state: 0)
    assert len(astar(layout, layout.initial)) == 12
    assert with_heuristic < len(set(seen)) / 5


def test_astar_at_the_goal_is_empty() -> None:
    assert astar(BARRED, State(BARRED.goal)) == []


@given(st.integers(0, 10**6), st.sampled_from(sorted(POLICIES)))
def test_policies_are_distributions_over_the_four_moves(seed: int, name: str) -> None:
    layout = make_layout(7, 0.4, seed=seed)
    chances = POLICIES[name](layout, layout.initial)
    assert chances.shape == (4,) and chances.dtype == np.float64
    assert chances.sum() == pytest.approx(1) and (chances >= 0).all()


@given(st.integers(0, 10**6))
def test_the_optimal_policy_is_uniform_on_the_optimal_moves_and_astar_one_of_them(seed: int) -> None:
    layout = make_layout(9, structure="KeyNoDoor", seed=seed)
    moves = layout.optimal_moves(layout.initial)
    expected = [1 / len(moves) if move in moves else 0 for move in Move]
    assert optimal_policy(layout, layout.initial).tolist() == expected
    assert Move(int(astar_policy(layout, layout.initial).argmax())) in moves
    assert astar_policy(layout, layout.initial).max() == 1


def test_the_random_policy_is_even() -> None:
    assert random_policy(BARRED, BARRED.initial).tolist() == [0.25] * 4


@pytest.mark.parametrize("policy", [optimal_policy, astar_policy])
def test_where_no_move_is_optimal_one_line_says_why(policy: grid_oracles.Policy) -> None:
    with pytest.raises(DataError, match=r"no move is optimal at \(1, 3\): it is the goal"):
        policy(BARRED, State(BARRED.goal))
    with pytest.raises(DataError, match="no way leads"):
        policy(BARRED, BARRED.initial)


@pytest.mark.parametrize("name", ["optimal", "astar"])
def test_the_optimal_players_reach_the_goal_in_the_fewest_steps(name: str) -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        layout = make_layout(9, structure="KeyDoor", seed=seed)
        state, steps = layout.initial, 0
        while state.cell != layout.goal:
            state = layout.after(state, Move(int(rng.choice(4, p=POLICIES[name](layout, state)))))
            steps += 1
        assert steps == layout.distance(layout.initial)
