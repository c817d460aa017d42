"""Panels stand where their titles say, and axes are named once."""

from workbench.figures.marks import line
from workbench.figures.panels import grid, name_axis, panels, whole_axis
from workbench.figures.style import Look


def height(at):
    return line([0], [at], Look(str(at), "#000000"))


def test_panels_fill_rows_and_name_the_lowest_axis_of_each_column():
    figure = panels({k: f"panel {k}" for k in range(3)}, height, 2, "layer", "score")
    assert [(t.xaxis, t.yaxis, t.y[0]) for t in figure.data] == [("x", "y", 0), ("x2", "y2", 1), ("x3", "y3", 2)]
    assert [note.text for note in figure.layout.annotations] == ["panel 0", "panel 1", "panel 2"]
    named = [axis.title.text for axis in (figure.layout.xaxis, figure.layout.xaxis2, figure.layout.xaxis3)]
    assert named == [None, "layer", "layer"]
    assert figure.layout.yaxis3.title.text == "score"
    assert figure.layout.yaxis.matches == figure.layout.yaxis2.matches == "y3"


def test_panels_that_share_nothing_have_scales_of_their_own():
    figure = panels({0: "a", 1: "b"}, height, shared=False)
    assert figure.layout.yaxis2.matches is None


def test_a_grid_names_rows_beside_and_columns_above():
    figure = grid({1: "one", 2: "two"}, {10: "ten", 20: "twenty"}, lambda row, column: height(row * column), "step")
    assert [trace.y[0] for trace in figure.data] == [10, 20, 20, 40]
    assert [figure.layout[axis].title.text for axis in ("yaxis", "yaxis3", "xaxis3", "xaxis4")] == [
        "one", "two", "step", "step",
    ]  # fmt: skip
    assert [note.text for note in figure.layout.annotations] == ["ten", "twenty"]


def test_names_run_down_and_layers_are_thinned():
    figure = name_axis(panels({0: ""}, height), ["a", "b"])
    assert figure.layout.yaxis.range == (1.6, -0.6) and list(figure.layout.yaxis.ticktext) == ["a", "b"]
    assert name_axis(figure, ["a", "b"], "x").layout.xaxis.range == (-0.6, 1.6)
    assert list(whole_axis(figure, [3.0, *range(12)], 6).layout.xaxis.tickvals) == [0, 2, 4, 6, 8, 10]
