import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.families.east.figures.behaviour import cumulative_arms, entropy_by_step, regret


@pytest.fixture
def two_episodes():
    rows = [("unsteered", e, t, arm) for e, arms in enumerate([[0, 0, 1], [1, 1]]) for t, arm in enumerate(arms)]
    return pd.DataFrame(rows, columns=["method", "episode", "step", "arm"]).assign(setting="(95, 105)")


def test_cumulative_arms_counts_choices_and_breaks_the_line_between_episodes(two_episodes):
    thin, mean = cumulative_arms(two_episodes).data[:2]
    assert list(thin.y) == [1, 2, 2, None, 0, 0, None] and list(thin.x) == [0, 1, 2, None, 0, 1, None]
    assert list(mean.y) == [0.5, 1.0, 2.0]  # the last step is reached by one episode


def test_cumulative_arms_do_not_depend_on_the_order_of_rows(two_episodes):
    a, b = cumulative_arms(two_episodes), cumulative_arms(two_episodes[::-1])
    means = [[list(trace.y) for trace in figure.data if trace.showlegend] for figure in (a, b)]
    assert means[0] == means[1]


def test_cumulative_arms_draw_few_thin_lines_but_the_mean_of_all(two_episodes):
    thin, mean = cumulative_arms(two_episodes, episodes=1).data[:2]
    assert list(thin.y) == [1, 2, 2, None] and mean.y[0] == 0.5


def test_steered_stands_beside_unsteered_on_one_scale(east_units):
    steps = pd.concat([east_units["behaviour-buttons"], east_units["steered-buttons"]])
    figure = cumulative_arms(steps)
    assert figure.layout.yaxis.title.text.startswith("unsteered")
    assert figure.layout.yaxis3.title.text.startswith("EAST") and figure.layout.yaxis.matches == "y3"


def test_settings_stand_in_the_order_of_their_means(east_tables):
    titles = [note.text for note in entropy_by_step(east_tables["entropy_by_step"][::-1]).layout.annotations]
    assert titles == ["mean rewards (95, 105)", "mean rewards (100, 100)"]


def test_cumulative_arms_show_every_possible_count(two_episodes):
    low, high = cumulative_arms(two_episodes).layout.yaxis.range
    assert low < 0 and high > 3


def test_entropy_by_step_draws_the_tables_numbers(east_tables):
    table = east_tables["entropy_by_step"].query("rendering == 'buttons'")
    figure = entropy_by_step(table)
    line = next(trace for trace in figure.data if trace.name == "EAST")
    part = table.query("method == 'east' and setting == '(95, 105)'")
    assert np.array_equal(line.y, part["estimate"]) and figure.layout.yaxis.title.text == "action entropy (nats)"


def test_regret_draws_estimates_with_their_intervals(east_tables):
    table = east_tables["behaviour"].query("measure == 'regret'")
    figure = regret(east_tables["behaviour"])
    marks = next(trace for trace in figure.data if trace.name == "EAST")
    part = table.query("method == 'east' and rendering == 'buttons'")
    assert list(marks.y) == part["estimate"].tolist()
    assert list(marks.y + marks.error_y.array) == part["high"].tolist()
    assert list(marks.y - marks.error_y.arrayminus) == part["low"].tolist()


def test_regret_without_regret_is_an_error(east_tables):
    with pytest.raises(DataError, match="nothing to draw"):
        regret(east_tables["behaviour"].query("measure == 'reward'"))
