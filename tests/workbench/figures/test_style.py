import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.errors import DataError
from workbench.figures.style import band, finish, need

WORDS = pd.DataFrame({"word": ["maybe"], "ratio": [1.5]})


def test_band_goes_up_along_high_and_back_along_low():
    area = band([0, 1], [1.0, 2.0], [3.0, 4.0], "#000000")
    assert list(area.x) == [0, 1, 1, 0] and list(area.y) == [3.0, 4.0, 2.0, 1.0]


def test_missing_column_is_named_with_the_nearest():
    with pytest.raises(DataError, match="my figure needs the column 'ratios'; did you mean 'ratio'"):
        need(WORDS, ["ratios"], "my figure")


def test_empty_table_is_an_error_of_one_line():
    with pytest.raises(DataError, match="its table is empty"):
        need(WORDS[:0], ["ratio"], "my figure")


def test_margin_below_is_kept_for_a_legend_only():
    plain = finish(go.Figure(go.Heatmap(z=[[1]])), "a")
    named = finish(go.Figure(go.Scatter(y=[1], name="b")), "a")
    assert plain.layout.margin.b < named.layout.margin.b
