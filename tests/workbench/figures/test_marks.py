"""Marks draw the estimates and bounds of their rows, whatever their order, and leave out what is not there."""

import numpy as np
import pandas as pd

from workbench.figures.marks import band, bars, cell_lines, curve, each, heat, points
from workbench.figures.style import Look

LOOK = Look("probe", "#000000", "dash", "square")
ROWS = pd.DataFrame({
    "layer": [2, 0, 1], "kind": ["b", "a", "c"], "estimate": [0.5, 0.3, np.nan], "low": [0.4, np.nan, np.nan],
    "high": [0.7, np.nan, np.nan], "gain": [0.1, 0.2, 0.3], "gain_low": [0.0, 0.1, 0.2], "gain_high": [0.3, 0.4, 0.5],
})  # fmt: skip


def test_band_goes_up_along_high_and_back_along_low():
    (area,) = band([0, 1], [1.0, 2.0], [3.0, 4.0], "#000000")
    assert list(area.x) == [0, 1, 1, 0] and list(area.y) == [3.0, 4.0, 2.0, 1.0]


def test_a_curve_is_sorted_leaves_out_missing_estimates_and_shades_known_bounds_only():
    area, line = curve(ROWS, "layer", LOOK)
    assert list(line.x) == [0, 2] and list(line.y) == [0.3, 0.5] and list(area.x) == [2, 2]
    assert (line.name, line.line.dash, line.marker.symbol) == ("probe", "dash", "square")
    assert curve(ROWS, "layer", LOOK, shade=False)[0].mode == "lines+markers"
    assert curve(ROWS[:0], "layer", LOOK) == []


def test_another_quantity_has_its_own_bounds():
    area, line = curve(ROWS, "layer", LOOK, of="gain")
    assert list(line.y) == [0.2, 0.3, 0.1] and list(area.y)[:3] == [0.4, 0.5, 0.3]


def test_bars_and_points_reach_from_low_to_high():
    (bar,) = bars(ROWS[:1], ["two"], LOOK)
    (upright,), (lying,) = points(ROWS, LOOK, x=[0, 1, 2], of="gain"), points(ROWS[:1], LOOK, y=[4])
    for mark, error in ((bar, bar.error_y), (lying, lying.error_x)):
        assert np.allclose([error.array[0], error.arrayminus[0]], [0.2, 0.1]), mark.type
    assert list(upright.y) == [0.1, 0.2, 0.3] and list(lying.x) == [0.5] and list(lying.y) == [4]


def test_each_value_is_drawn_in_the_order_of_the_looks_and_unknown_ones_last():
    looks = {"a": Look("first", "#111111"), "b": Look("second", "#222222")}
    drawn = each(ROWS, "kind", looks, lambda rows, look: [(look.name, *rows["layer"])])
    assert drawn == [("first", 0), ("second", 2), ("c", 1)]


def test_cells_stand_under_their_column_and_beside_their_row():
    (cells,) = heat(pd.DataFrame([[1, 2]], [7], ["x", "y"]), [["1", "2"]], "%{z}")
    assert list(cells.x) == ["x", "y"] and list(cells.y) == ["7"] and cells.z.tolist() == [[1, 2]]


def test_lines_of_a_board_stand_between_its_cells():
    (lines,) = cell_lines(2, "#000000")
    assert list(lines.x) == [0.5, 0.5, None, -0.5, 1.5, None] and list(lines.y) == [-0.5, 1.5, None, 0.5, 0.5, None]
