import numpy as np
import pytest

from workbench.errors import DataError
from workbench.families.east.figures.steering import (
    _apart,
    entropy_by_dose,
    layer_dose_heatmap,
    transfer_matrix,
)


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_curve_is_the_tables_entropy_with_unsteered_at_zero(east_tables):
    entropy, valid = traces(entropy_by_dose(east_tables["results"], "buttons"), "EAST")
    assert list(entropy.x) == [-0.1, 0, 0.05, 0.1, 0.2, 0.4]
    assert np.allclose(entropy.y, [0.25 + 0.8 * dose for dose in entropy.x])
    assert list(valid.y) == [0.99] * 5 + [0.6]


def test_curve_leaves_out_vectors_from_the_other_rendering(east_tables):
    results = east_tables["results"].copy()
    other = (results["rendering"] == "buttons") & (results["source"] == "slot_machines")
    results.loc[other, "estimate"] = 99.0
    assert max(traces(entropy_by_dose(results, "buttons"), "EAST")[0].y) < 1


def test_the_axis_is_the_dose_and_the_multiplier_is_said_on_hovering(east_tables, east_chosen):
    figure = entropy_by_dose(east_tables["results"], "buttons", east_chosen["buttons"])
    axis = figure.layout.xaxis3
    assert list(axis.tickvals) == [-0.1, 0, 0.05, 0.1, 0.2, 0.4]
    assert list(axis.ticktext) == ["-0.1", "0", "0.05", "0.1", "0.2", "0.4"]
    assert traces(figure, "EAST")[0].customdata[4][2] == 4 and "multiplier" in traces(figure, "EAST")[0].hovertemplate
    assert {line.x0 for line in figure.layout.shapes if line.x0 == line.x1} == {0.2}


def test_an_entropy_that_is_not_there_is_not_drawn_and_said(east_tables):
    results = east_tables["results"].copy()
    gone = (results["metric"] == "entropy") & (results["method"] == "east") & (results["multiplier"] == 8)
    results.loc[gone, ["estimate", "low", "high"]] = np.nan
    figure = entropy_by_dose(results, "buttons")
    entropy, valid = traces(figure, "EAST")
    assert max(entropy.x) == 0.2 and max(valid.x) == 0.4
    assert "No entropy below half valid" in figure.to_json()


def test_baselines_without_a_dose_have_points_of_their_own(east_tables):
    figure = entropy_by_dose(east_tables["results"], "buttons")
    named = {x for trace in figure.data if trace.mode == "markers" for x in trace.x}
    assert {"unsteered", "temperature 1.5", "top-p 0.9", "asked to explore", "mean difference"} <= named


def test_rendering_without_rows_is_an_error(east_tables):
    with pytest.raises(DataError, match="entropy_by_dose of poker has nothing"):
        entropy_by_dose(east_tables["results"], "poker")


def test_labels_keep_their_distance_and_zero_and_the_ends_stay():
    assert _apart([-8, -1, 0, 0.1, 1, 2, 8], 0.1) == [-8, 0, 2, 8]


def test_heatmap_draws_differences_and_greys_cells_with_few_valid(east_tables, east_chosen):
    figure = layer_dose_heatmap(east_tables["results"], 0.95, east_chosen)
    shown, grey = figure.data[:2]
    assert list(shown.x) == ["-0.1", "0.05", "0.1", "0.2", "0.4"] and list(shown.y) == ["0", "1", "2", "3"]
    assert shown.z[2][3] == pytest.approx(0.16)
    assert np.isnan(shown.z[:, 4]).all() and not np.isnan(shown.z[:, :4]).any()
    assert (grey.z[:, 4] == 1).all() and np.isnan(grey.z[:, :4]).all()


def test_grey_cells_and_noise_do_not_set_the_colour_scale(east_tables):
    results = east_tables["results"]
    assert layer_dose_heatmap(results, 0.95).layout.coloraxis.cmax == pytest.approx(0.16)
    small = results.assign(difference=results["difference"] / 1000)
    assert layer_dose_heatmap(small).layout.coloraxis.cmax == 0.05


def test_nothing_is_greyed_without_a_bar(east_tables):
    assert not np.isnan(layer_dose_heatmap(east_tables["results"]).data[0].z).any()


def test_a_grid_of_raw_multipliers_is_drawn_by_multiplier(east_tables, east_chosen):
    results = east_tables["results"].copy()
    results["dose"] *= 1 + 0.1 * results["layer"].clip(lower=0)  # another dose at every layer
    figure = layer_dose_heatmap(results, 0.95, east_chosen)
    assert list(figure.data[0].x) == ["-2", "1", "2", "4", "8"] and figure.layout.xaxis.title.text == "multiplier"
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].y0) == (2.5, 1.5)


def test_frame_stands_on_the_chosen_cell(east_tables, east_chosen):
    frame = layer_dose_heatmap(east_tables["results"], 0.95, east_chosen).layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (2.5, 3.5, 1.5, 2.5)


def test_transfer_has_the_source_in_rows_and_the_steered_in_columns(east_tables, east_chosen):
    results = east_tables["results"].copy()
    cell = (results["rendering"] == "slot_machines") & (results["source"] == "buttons")
    results.loc[cell, "difference"] = 0.7
    drawn = transfer_matrix(results, east_chosen).data[0]
    assert drawn.z[0][1] == 0.7 and drawn.z[1][0] == pytest.approx(0.16)
    assert "buttons" in drawn.y[0] and "slot machines" in drawn.x[1]
    assert drawn.text[1][0] == "<b>+0.16</b><br>[+0.13, +0.18]<br>dose 0.20"


def test_transfer_that_was_not_run_says_so(east_tables, east_chosen):
    results = east_tables["results"]
    one_way = results[(results["rendering"] == "buttons") | (results["source"] != "buttons")]
    assert transfer_matrix(one_way, east_chosen).data[0].text[0][1] == "not run"


def test_transfer_at_a_dose_that_was_not_run_is_an_error(east_tables):
    wrong = {name: {"layer": 2, "multiplier": 3.0} for name in ("buttons", "slot_machines")}
    with pytest.raises(DataError, match="chosen dose"):
        transfer_matrix(east_tables["results"], wrong)
