"""Goal structures: what counts as going for the key, with players that do and do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.worlds.grids.agents.goals import GOAL_METRICS, goal_structures, key_distances
from workbench.worlds.grids.agents.play import play_grids
from workbench.worlds.grids.layouts import UNREACHABLE, Layout
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.grids.oracles import optimal_policy
from workbench.worlds.moves import Move

EACH = 12


@pytest.fixture(scope="module")
def layouts() -> list[Layout]:
    return [make_layout(7, structure=name, seed=k) for name in GOAL_STRUCTURES for k in range(EACH)]


@pytest.fixture(scope="module")
def structures() -> list[str]:
    return [name for name in GOAL_STRUCTURES for _ in range(EACH)]


def keen(layout: Layout, state) -> np.ndarray:
    """Goes for the key first, then for the goal."""
    if state.has_key:
        return optimal_policy(layout, state)
    far = key_distances(layout)
    moves = [m for m in Move if UNREACHABLE != far[layout.after(state, m).cell] < far[state.cell]]
    return np.isin(range(4), moves) / len(moves)


def averse(layout: Layout, state) -> np.ndarray:
    """The optimal policy that keeps off the key where it can."""
    moves = [m for m in layout.optimal_moves(state) if layout.after(state, m).cell != layout.key]
    far = key_distances(layout)
    away = [m for m in moves if far[layout.after(state, m).cell] > far[state.cell]]
    moves = away or moves or list(layout.optimal_moves(state))
    return np.isin(range(4), moves) / len(moves)


def measured(policy, layouts, structures, cap=4.0) -> pd.Series:
    steps = play_grids(policy, layouts, rollouts=1, cap=cap)
    return goal_structures(steps, layouts, structures).set_index(["structure", "metric"])["estimate"]


def test_the_optimal_player_needs_the_key_only_for_the_door(layouts, structures) -> None:
    found = measured(optimal_policy, layouts, structures)
    assert (found.xs("success", level="metric") == 1).all() and (found.xs("accuracy", level="metric") == 1).all()
    assert found["KeyDoor", "key_pickup"] == 1 and found["KeyNoDoor", "key_pickup"] < 0.5
    assert 0.1 < found["2PathKey", "key_path"] < 0.9
    assert found["2PathKey", "key_path"] == found["2PathKey", "key_pickup"]
    assert "toward_key" not in found.index.get_level_values("metric")  # no move was not optimal


def test_a_player_drawn_to_the_key_is_seen(layouts, structures) -> None:
    found = measured(keen, layouts, structures, cap=8)
    assert (found.xs("key_pickup", level="metric") == 1).all() and found["2PathKey", "key_path"] == 1
    assert found["KeyNoDoor", "toward_key"] == 1 and found["KeyNoDoor", "success"] == 1
    assert found["KeyNoDoor", "accuracy"] < 1 and found["KeyDoor", "accuracy"] == 1


def test_a_player_that_avoids_the_key_is_seen(layouts, structures) -> None:
    found = measured(averse, layouts, structures)
    assert found["2PathKey", "key_path"] == 0 and found["2PathKey", "key_pickup"] == 0
    assert found["2PathKey", "success_without_key"] == 1
    assert ("2PathKey", "success_with_key") not in found.index


def test_success_splits_by_the_key() -> None:
    """One trajectory takes the key and is late, one goes straight to the goal."""
    layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 2), goal=(3, 2), key=(1, 3))
    rows = []
    # 4 moves are optimal either way round; the first bumps, takes the key, comes back; the second goes left and down.
    for rollout, moves in enumerate([[2, 1, 0, 1, 0, 1, 0], [0, 3, 3, 1]]):
        state = layout.initial
        for step, move in enumerate(moves):
            rows.append({"layout": 0, "rollout": rollout, "step": step, "row": state.cell[0], "column": state.cell[1],
                         "has_key": state.has_key, "distance": layout.distance(state), "move": move,
                         "optimal": move in layout.optimal_moves(state), "valid": True})  # fmt: skip
            state = layout.after(state, Move(move))
    table = goal_structures(pd.DataFrame(rows), [layout], ["2PathKey"]).set_index("metric")
    assert table["estimate"]["success_with_key"] == 0 and table["estimate"]["success_without_key"] == 1
    assert table["estimate"]["success"] == table["estimate"]["key_pickup"] == table["estimate"]["key_path"] == 0.5
    assert table["n"]["success_with_key"] == 1 and table["n"]["success"] == 2


def test_moves_toward_the_key_are_counted_while_it_lies_there() -> None:
    """Open room, goal left, key right: of three wrong moves before the key one leads nearer to it; one after it."""
    layout = Layout(("#####", "#___#", "#___#", "#___#", "#####"), start=(2, 2), goal=(2, 1), key=(1, 3))
    moves, rows, state = [2, 3, 1, 3, 2, 2, 1], [], layout.initial
    for step, move in enumerate(moves):
        rows.append({"layout": 0, "rollout": 0, "step": step, "row": state.cell[0], "column": state.cell[1],
                     "has_key": state.has_key, "distance": layout.distance(state), "move": move,
                     "optimal": move in layout.optimal_moves(state), "valid": True})  # fmt: skip
        state = layout.after(state, Move(move))
    # UP nearer; DOWN away; RIGHT nearer; DOWN away; UP nearer; UP nearer (takes it); RIGHT, a bump, with the key.
    wrong = [not row["optimal"] and not row["has_key"] for row in rows]
    nearer = [True, False, True, False, True, True, False]
    row = goal_structures(pd.DataFrame(rows), [layout], ["KeyNoDoor"]).set_index("metric").loc["toward_key"]
    assert row["n"] == sum(wrong) and row["estimate"] == pytest.approx(
        sum(a and b for a, b in zip(wrong, nearer, strict=True)) / sum(wrong)
    )
    assert rows[-1]["has_key"] and 0 < row["estimate"] < 1


def test_structures_may_be_a_column_of_the_steps(layouts, structures) -> None:
    steps = play_grids(keen, layouts, rollouts=1).assign(player="keen")
    column = steps.assign(structure=[structures[i] for i in steps["layout"]])
    pd.testing.assert_frame_equal(goal_structures(column, layouts), goal_structures(steps, layouts, structures))
    assert set(goal_structures(column, layouts)["metric"]) <= set(GOAL_METRICS)


def test_mistakes_are_named(layouts) -> None:
    steps = play_grids(optimal_policy, layouts, rollouts=1)
    with pytest.raises(DataError, match="name the structure of each"):
        goal_structures(steps, layouts, ["KeyDoor"])
    with pytest.raises(DataError, match="'structure'"):
        goal_structures(steps, layouts)
    with pytest.raises(DataError, match="no key"):
        key_distances(make_layout(7, 0.0))
