"""The viewer of trajectories: what is decoded lies where it belongs, in every frame."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.workbench.families.goal_directedness.figures import goal_run as made
from workbench.errors import DataError
from workbench.families.goal_directedness.figures import grid_maps
from workbench.families.goal_directedness.figures.examples import CELLS, PLAN, grid_examples
from workbench.families.goal_directedness.figures.grid_maps import grid_step, grid_steps
from workbench.worlds.grids.probes.cells import CELLS as PROBE_CELLS
from workbench.worlds.moves import Move

SIZE, OPEN, WALL, AGENT = 7, 0, 1, 2


@pytest.fixture(scope="module")
def example():
    return grid_examples(*made.examples())[0]


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def maps_of(figure):
    """The traces that carry the marks of the maps, in the order of the panels."""
    return [t for t in figure.data if t.type == "scatter" and t.mode == "markers+text"]


def test_classes_and_moves_are_those_of_the_probes_and_environments():
    assert CELLS == PROBE_CELLS
    assert PLAN[:4] == tuple(move.name for move in Move)
    assert tuple(move.delta for move in Move) == grid_maps._DELTAS


def test_padded_maps_are_cut_to_the_layout(example):
    assert example.size == SIZE and example.positions == ["pre", "post"]
    assert all(maps.shape[1:] == (SIZE, SIZE, len(CELLS)) for maps in example.decoded.values())
    assert example.plans["pre"].shape == (len(example.steps), 10, 5)


def test_true_map_shows_walls_agent_and_goal_where_they_are(example):
    marks = maps_of(grid_step(example, 0))[0]
    at = {(y, x): re.sub("<.*?>", "", text) for x, y, text in zip(marks.x, marks.y, marks.text, strict=True)}
    for cell, number in np.ndenumerate(example.true[0]):
        assert at[cell] == CELLS[number].replace("_", "")
    assert at[example.steps[0]["row"], example.steps[0]["column"]] == "A"


def test_a_sure_cell_has_its_class_colour_and_a_doubtful_one_the_mixture(example):
    doubt = np.eye(len(CELLS))[example.true].astype(float)
    doubt[0, 0, 0] = 0
    doubt[0, 0, 0, [OPEN, WALL]] = 0.5
    picture = [t for t in grid_step(replace(example, decoded={"pre": doubt}, plans={}), 0).data if t.type == "image"][1]
    wall = [0x3A] * 3
    assert list(picture.z[0][1]) == wall
    assert list(picture.z[0][0]) == pytest.approx([(0x3A + 0xFF) / 2] * 3, abs=0.6)


def test_hover_lists_the_true_class_and_the_probabilities_from_the_highest(example):
    sure = np.eye(len(CELLS))[example.true].astype(float)
    sure[0, 0, 0] = [0.2, 0.7, 0.1, 0, 0, 0, 0]
    marks = maps_of(grid_step(replace(example, decoded={"pre": sure}), 0))[1]
    assert marks.hovertext[0] == "<b>row 0, column 0: wall</b><br>wall 0.70<br>open 0.20<br>agent 0.10"


def test_wrong_cells_are_framed_and_only_those(example):
    maps = np.eye(len(CELLS))[example.true].astype(float)
    maps[0, 3, 2] = np.eye(len(CELLS))[(example.true[0, 3, 2] + 1) % 2]  # wall for open, or open for wall
    frames = trace(grid_step(replace(example, decoded={"pre": maps}), 0), "wrong cell")
    assert (list(frames.x), list(frames.y)) == ([2], [3])


def test_rings_stand_where_agent_and_goal_are_most_probable(example):
    maps = np.full((len(example.steps), SIZE, SIZE, len(CELLS)), 1 / len(CELLS))
    maps[0, 4, 5, AGENT] = 0.9
    ring = trace(grid_step(replace(example, decoded={"post": maps}), 0), "likeliest agent")
    assert (list(ring.x), list(ring.y)) == ([5], [4])


def test_arrows_point_along_the_move_taken_and_the_optimal_ones(example):
    wrong = 1  # the made trajectory errs at its second step
    here = example.steps[wrong]
    figure = grid_step(example, wrong)
    taken, optimal = trace(figure, "move taken"), trace(figure, "optimal move")
    row, column = Move(here["move"]).delta
    assert (taken.x[0], taken.y[0]) == pytest.approx((here["column"] + 0.62 * column, here["row"] + 0.62 * row))
    assert list(optimal.marker.symbol) == [f"triangle-{Move(m).name.lower()}" for m in here["optimal"]]
    assert "not optimal: " in figure.layout.title.text


def test_a_step_without_a_readable_answer_has_no_arrow_for_the_move(example):
    steps = [{**example.steps[0], "move": None}, *example.steps[1:]]
    figure = grid_step(replace(example, steps=steps), 0)
    assert list(trace(figure, "move taken").x) == [None] and "no readable answer" in figure.layout.title.text


def test_forecast_marks_the_moves_that_came_then_the_end(example):
    came = trace(grid_step(example, 2), "move that came")
    moves = [s["move"] for s in example.steps[2:]]
    assert list(came.y) == (moves + [PLAN.index("ended")] * 10)[:10] and list(came.x) == list(range(1, 11))


def test_every_frame_equals_the_figure_of_its_step(example):
    animation = grid_steps(example)
    assert len(animation.frames) == len(example.steps) == len(animation.layout.sliders[0].steps)
    for k in (0, len(example.steps) - 1):
        still = grid_step(example, k)
        for drawn, moved in zip(still.data, animation.frames[k].data, strict=True):
            placed = drawn.to_plotly_json()
            for axis in ("xaxis", "yaxis"):
                placed.pop(axis, None)
            assert str(placed) == str(moved.to_plotly_json())
        assert animation.frames[k].layout.title.text == still.layout.title.text


def test_an_example_without_decoded_maps_or_plans_shows_the_true_map(example):
    figure = grid_step(replace(example, decoded={}, plans={}), 0)
    assert [note.text for note in figure.layout.annotations] == ["true map"]


def test_steps_are_counted_within_the_trajectory(example):
    with pytest.raises(DataError, match="step 6 is not in this example: its 6 steps count from 0"):
        grid_step(example, 6)


def test_files_that_do_not_fit_each_other_are_one_line(example):
    tensors, described = made.examples()
    with pytest.raises(DataError, match="the tensors lack 'true-0'"):
        grid_examples({}, described)
    with pytest.raises(DataError, match="example 0 lacks a size or steps"):
        grid_examples(tensors, [{"size": 7}])
    with pytest.raises(DataError, match=r"an example of 5 steps needs a true map a step"):
        grid_examples(tensors, [{**described[0], "steps": described[0]["steps"][:5]}])
    with pytest.raises(DataError, match=r"decoded maps 'pre' of an example have shape \(6, 7, 7, 5\)"):
        grid_examples(tensors | {"map_pre-0": tensors["map_pre-0"][..., :5]}, described[:1])
