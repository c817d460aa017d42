import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.errors import DataError
from workbench.figures.marks import line
from workbench.figures.style import Look, finish, need

WORDS = pd.DataFrame({"word": ["maybe"], "ratio": [1.5]})


def test_missing_column_is_named_with_the_nearest():
    with pytest.raises(DataError, match="my figure needs the column 'ratios'; did you mean 'ratio'"):
        need(WORDS, ["ratios"], "my figure")


def test_empty_table_is_an_error_of_one_line():
    with pytest.raises(DataError, match="its table is empty"):
        need(WORDS[:0], ["ratio"], "my figure")


def test_rows_are_chosen_by_a_value_or_by_several_and_none_is_an_error():
    table = pd.DataFrame({"layer": [0, 1, 2], "control": ["none", "none", "shuffled"]})
    assert need(table, ["layer"], "my figure", control="none", layer=[1, 2])["layer"].tolist() == [1]
    with pytest.raises(DataError, match="my figure has nothing to draw"):
        need(table, ["layer"], "my figure", control="majority")


def test_margin_below_is_kept_for_a_legend_only():
    plain = finish(go.Figure(go.Heatmap(z=[[1]])), "a")
    named = finish(go.Figure(go.Scatter(y=[1], name="b")), "a")
    assert plain.layout.margin.b < named.layout.margin.b


def test_a_name_stands_in_the_legend_once_and_what_is_kept_out_stays_out():
    look = Look("probe", "#000000")
    traces = line([0], [1], look, showlegend=False) + line([0], [1], look) + line([0], [1], look)
    assert [trace.showlegend for trace in finish(go.Figure(traces), "a").data] == [False, True, False]
