"""Actions on decoded maps: a perfect decoder changes nothing, and recovery is counted as by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.families.goal_directedness.decoded import decoded_layouts, score_decoded
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.probes.cognitive_map import CELLS, encode_maps
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move

ROOM = Layout(("#####", "#___#", "#___#", "#___#", "#####"), start=(1, 1), goal=(3, 3))


def certain(layouts: list[Layout], size: int) -> np.ndarray:
    """Probabilities of a decoder that sees everything."""
    pictures = [GridText().picture(layout, layout.initial) for layout in layouts]
    grids = [[line.split()[1:] for line in picture.splitlines()[1:]] for picture in pictures]
    return np.eye(len(CELLS))[encode_maps(grids, size)]


@given(st.lists(st.tuples(st.sampled_from([5, 7]), st.integers(0, 99)), min_size=1, max_size=5))
def test_a_perfect_map_is_the_layout_itself(drawn: list[tuple[int, int]]) -> None:
    layouts = [make_layout(size, 0.6, seed=seed) for size, seed in drawn]
    assert decoded_layouts(certain(layouts, 9), [layout.size for layout in layouts]) == layouts


def test_a_perfect_map_scores_what_the_true_grid_scores() -> None:
    rng, rows, layouts = np.random.default_rng(0), [], []
    for k in range(40):
        layout = make_layout(7, 0.6, seed=k)
        move = Move(int(rng.integers(4)))
        rows.append((7, int(move), move in layout.optimal_moves(layout.initial), k // 4))
        layouts.append(layout)
    steps = pd.DataFrame(rows, columns=["size", "move", "optimal", "group"])
    table = pd.DataFrame(score_decoded(steps, {"decoded": certain(layouts, 7)})).set_index(["map", "metric"])
    true, decoded = table.loc[("true", "accuracy")], table.loc[("decoded", "accuracy")]
    assert true["estimate"] == decoded["estimate"] == steps["optimal"].mean() and true["low"] == decoded["low"]
    assert table.loc[("decoded", "recovery"), "estimate"] == 0 and table.loc[("decoded", "solvable"), "estimate"] == 1


def test_recovery_is_the_share_of_wrong_moves_that_are_right_on_the_decoded_map() -> None:
    goals = [(3, 3), (1, 3), (3, 1), (3, 3)]  # of the decoded maps; the true goal is at (3, 3), the agent at (1, 1)
    decoded = certain([Layout(ROOM.rows, ROOM.start, goal) for goal in goals], 5)
    moves = [Move.DOWN, Move.LEFT, Move.UP, Move.LEFT]
    steps = pd.DataFrame({"size": 5, "move": moves, "optimal": [True, False, False, False], "group": [0, 1, 2, 3]})
    decoded[1, 1, 1], decoded[1, 1, 2] = decoded[1, 1, 2].copy(), decoded[1, 1, 1].copy()  # sees the agent at (1, 2)
    decoded[1, 1, 3], decoded[1, 1, 1] = decoded[1, 1, 1].copy(), decoded[1, 1, 3].copy()  # and the goal at (1, 1)
    table = pd.DataFrame(score_decoded(steps, {"decoded": decoded, "other grids": decoded[[1, 0, 3, 2]]}))
    found = table.set_index(["map", "metric"])["estimate"]
    # Right on the decoded map: DOWN of the first, LEFT of the second; of three wrong moves one is recovered.
    assert found["decoded", "accuracy"] == 0.5 and found["decoded", "recovery"] == pytest.approx(1 / 3)
    assert (
        found["decoded less other grids", "accuracy"] == found["decoded", "accuracy"] - found["other grids", "accuracy"]
    )
    assert found["true", "accuracy"] == 0.25 and table["n"].tolist().count(3) == 3


def test_walls_decoded_around_the_agent_leave_no_move_that_is_right() -> None:
    proba = certain([ROOM], 5)
    proba[0, 1, 2] = proba[0, 2, 1] = np.eye(len(CELLS))[CELLS.index("#")]
    steps = pd.DataFrame({"size": [5] * 4, "move": range(4), "optimal": [False, True, False, True], "group": range(4)})
    table = pd.DataFrame(score_decoded(steps, {"decoded": np.repeat(proba, 4, axis=0)}))
    found = table.set_index(["map", "metric"])["estimate"]
    assert found["decoded", "solvable"] == found["decoded", "accuracy"] == found["decoded", "recovery"] == 0


def test_agent_and_goal_decoded_in_one_cell_are_no_layout() -> None:
    proba = np.full((1, 5, 5, len(CELLS)), 1 / len(CELLS))
    assert decoded_layouts(proba, [5]) == [None]


def test_the_border_is_wall_whatever_was_decoded_there() -> None:
    proba = certain([ROOM], 5)
    proba[0, 0, :] = np.eye(len(CELLS))[CELLS.index("G")]  # surer of a goal outside than of the one inside
    proba[0, 3, 3] *= 0.9
    (found,) = decoded_layouts(proba, [5])
    assert found == ROOM and State(ROOM.start) == found.initial
