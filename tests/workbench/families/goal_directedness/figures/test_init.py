"""Figures of a goal-directedness run: they show the tables' numbers, name their axes, and fail one by one."""

import shutil

import pandas as pd
import pytest

from tests.workbench.families.goal_directedness.figures import goal_run as made
from workbench.errors import DataError
from workbench.families import figures_of
from workbench.families.goal_directedness import figures as goal
from workbench.families.goal_directedness.figures.looks import CONTROLS, PLAYERS, POSITIONS
from workbench.families.goal_directedness.figures.probes import over_all
from workbench.runs import load_run

OF_TABLES = {
    "behaviour": {"behaviour_by_density", "behaviour_by_size"},
    "by_distance": {"behaviour_by_distance"},
    "calibration": {"calibration"},
    "transforms": {"transforms"},
    "structures": {"structures"},
    "maps": {"map_layers", "map_controls", "map_heatmap", "map_cells", "map_training"},
    "plans": {"plan_prefix", "plan_controls", "plan_layers"},
    "distance": {"distance_controls", "distance_heatmap"},
    "directions": {"directions"},
    "decoded_actions": {"decoded_actions"},
    "causal": {"causal_steering", "causal_erasure"},
}


@pytest.fixture(scope="module")
def made_run(tmp_path_factory):
    return made.write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def figures(made_run):
    return {name: draw() for name, draw in goal.figures(load_run(made_run)).items()}


@pytest.fixture(scope="module")
def tables():
    return made.tables()


def named(figure, name):
    """The traces of a figure whose legend says ``name``, bands left out."""
    return [trace for trace in figure.data if trace.name == name]


def test_a_whole_run_gives_every_figure_and_its_examples(figures):
    assert set(figures) == set.union(*OF_TABLES.values()) | {"example-1", "example-2"}


def test_every_figure_has_a_title_and_named_axes_or_panels(figures):
    for name, figure in figures.items():
        assert figure.layout.title.text, name
        axes = [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text]
        panels = [note.text for note in figure.layout.annotations if note.text]
        assert len(axes) + len(panels) >= 2, name


def test_every_table_costs_its_own_figures_only(figures, made_run, tmp_path):
    for table, lost in OF_TABLES.items():
        copy = shutil.copytree(made_run, tmp_path / table)
        path = copy / "artifacts" / f"{table}.parquet"
        path.write_bytes(b"cut off")
        left = goal.figures(load_run(copy))
        assert set(figures) - set(left) - {"example-1", "example-2"} == lost


def test_a_missing_column_costs_one_figure_in_a_run_and_is_named_when_it_is_drawn_alone(made_run, tmp_path):
    copy = shutil.copytree(made_run, tmp_path / "run")
    shutil.rmtree(copy / "artifacts")
    (copy / "artifacts").mkdir()
    made.transforms().drop(columns="p").to_parquet(copy / "artifacts" / "transforms.parquet")
    (copy / "checksums.jsonl").unlink()  # as in runs of before
    record = load_run(copy)
    assert figures_of(record) == {}
    with pytest.raises(DataError, match="transforms needs the column 'p'"):
        goal.figures(record)["transforms"]()


def test_drawing_changes_no_table(tables):
    before = {name: table.copy() for name, table in tables.items()}
    goal.behaviour_by(before["behaviour"])
    goal.transforms(before["transforms"])
    goal.map_cells(before["maps"])
    goal.plan_prefix(before["plans"])
    for name, table in tables.items():
        pd.testing.assert_frame_equal(before[name], table)


def test_behaviour_shows_the_tables_estimates_and_intervals(tables):
    figure = goal.behaviour_by(tables["behaviour"], "density")
    table = tables["behaviour"]
    rows = table[(table["player"] == "direct") & (table["metric"] == "success") & (table["size"] == 7)]
    line = named(figure, PLAYERS["direct"].name)[0]
    assert list(line.x) == list(rows["density"]) and list(line.y) == list(rows["estimate"])
    assert line.customdata[:, 0].tolist() == rows["low"].tolist()
    band = figure.data[list(figure.data).index(line) - 1]
    assert list(band.y) == [*rows["high"], *rows["low"][::-1]]


def test_behaviour_by_size_has_a_panel_a_density_and_leaves_out_rows_over_all(tables):
    figure = goal.behaviour_by(tables["behaviour"], "size")
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [f"wall density {d:g}" for d in made.DENSITIES]
    assert set(named(figure, PLAYERS["random"].name)[0].x) == set(made.SIZES)


def test_behaviour_is_drawn_by_density_or_size_only(tables):
    with pytest.raises(DataError, match="not 'densty'; did you mean 'density'"):
        goal.behaviour_by(tables["behaviour"], "densty")


def test_calibration_says_the_error_that_the_behaviour_table_has_over_all(tables):
    names = [trace.name for trace in goal.calibration(tables["calibration"], tables["behaviour"]).data]
    assert "agent, direct: ECE 0.10 [0.07, 0.13]" in names
    assert PLAYERS["direct"].name in [t.name for t in goal.calibration(tables["calibration"]).data]


def test_transforms_write_p_and_r_beside_each_interval(tables):
    figure = goal.transforms(tables["transforms"])
    texts = [text for trace in figure.data if trace.mode == "text" for text in trace.text]
    assert len(texts) == len(tables["transforms"])
    assert texts[0] == "<b>p = .010</b>, r = +0.10" and any(text.startswith("<b>p < .001</b>") for text in texts)
    assert "p = .490, r = +0.08" in texts  # not significant: not bold


def test_a_transform_that_changed_nothing_has_no_test(tables):
    nothing = tables["transforms"].assign(difference=0.0, low=0.0, high=0.0, p=float("nan"), r=float("nan"))
    texts = [text for trace in goal.transforms(nothing).data if trace.mode == "text" for text in trace.text]
    assert set(texts) == {"no difference"}


def test_layer_curves_draw_probes_without_controls(tables):
    figure = goal.layer_curves(over_all(tables["maps"]), ("accuracy",), "maps")
    assert {t.name for t in figure.data if t.name} == {
        f"{probe}, {POSITIONS[p].name}" for probe in ("linear", "MLP") for p in ("pre", "post")
    }


def test_map_figures_need_rows_over_all_cells(tables):
    maps = tables["maps"]
    with pytest.raises(DataError, match="its table is empty"):
        goal.control_curves(over_all(maps[maps["cell"] != ""]), "accuracy", "maps")


def test_every_panel_of_controls_has_the_probe_above_them_as_the_table_says(tables):
    figure = goal.control_curves(over_all(tables["maps"]), "accuracy", "maps")
    assert len(named(figure, CONTROLS["none"].name)) == 4  # probes x positions
    assert len(named(figure, CONTROLS["other grids"].name)) == 4


def test_heatmap_puts_each_layer_and_position_where_it_belongs(tables):
    heat = goal.layer_heatmap(over_all(tables["maps"]), "accuracy", "maps").data[1]  # MLP
    maps = over_all(tables["maps"])
    row = maps[(maps["layer"] == 2) & (maps["probe"] == "mlp") & (maps["position"] == "post")]
    row = row[(row["control"] == "none") & (row["metric"] == "accuracy")]
    assert heat.z[list(heat.y).index("2")][1] == row["estimate"].item()


def test_cell_classes_are_shown_at_the_layer_with_the_best_map(tables):
    bar = goal.map_cells(tables["maps"]).data[0]
    maps = tables["maps"]
    rows = maps[(maps["layer"] == 2) & (maps["probe"] == "linear") & (maps["position"] == "pre")]
    wanted = rows[rows["metric"] == "f1"].set_index("cell")["estimate"]
    assert dict(zip(bar.x, bar.y, strict=True)) == {
        "open _": wanted["_"],
        "wall #": wanted["#"],
        "agent A": wanted["A"],
        "goal G": wanted["G"],
    }


def test_plans_are_drawn_at_the_layer_with_the_best_first_move(tables):
    plans = tables["plans"]
    rows = plans[(plans["layer"] == 2) & (plans["decoder"] == 2) & (plans["position"] == "post")]
    rows = rows[(rows["control"] == "none") & (rows["padding"] == "without")]
    line = named(goal.plan_prefix(plans), "2-layer decoder, after reasoning")[0]
    assert list(line.y) == list(rows["estimate"])


def test_steering_draws_a_panel_a_layer_and_both_directions(tables):
    figure = goal.steering(tables["causal"])
    assert [note.text for note in figure.layout.annotations] == ["layer 1", "layer 2", "layer 3"]
    assert {t.name for t in figure.data if t.name} == {"probe's direction", "random direction"}
    steepest = named(figure, "probe's direction")[2]
    assert dict(zip(steepest.x, steepest.y, strict=True))[4.0] == pytest.approx(0.6)


def test_no_two_looks_of_a_kind_share_colour_and_marker():
    for looks in (PLAYERS, POSITIONS, CONTROLS):
        assert len({(look.colour, look.symbol) for look in looks.values()}) == len(looks)


def test_the_command_line_finds_the_figures_of_an_experiment_whose_name_has_a_dash(made_run, monkeypatch):
    from workbench.console import log, results
    from workbench.families.showing import draw
    from workbench.figures import saving

    drawn = {}
    monkeypatch.setattr(saving, "save_figures", lambda figures, folder, say: drawn.update(figures) or [])
    draw(load_run(made_run), results(), log)
    assert {"calibration", "example-1"} <= set(drawn)
