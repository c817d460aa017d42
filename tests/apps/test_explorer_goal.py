"""The goal-directedness page of the explorer, driven without a browser."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workbench.families.goal_directedness.figures import goal_run as made
from workbench.families.goal_directedness.report import readings
from workbench.figures.record import Tables
from workbench.runs import load_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WRITE, EVERYTHING = made.write_run, [*made.tables(), "examples"]
PAGE = "Goal-directedness"
VIEWS = ("What held", "Behaviour", "Probes", "Grid viewer", "Causal")


@pytest.fixture
def open_goal(open_app):
    """The app's page on a folder of runs, at an address."""
    return lambda root, **address: open_app(root, **{"page": PAGE, **address})


@pytest.fixture(scope="module")
def goal_runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("goal")
    WRITE(root)
    return root


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def titles(app):
    return [chart["layout"]["title"]["text"] for chart in charts(app)]


def test_page_opens_with_what_held_and_draws_nothing_else(open_goal, goal_runs):
    app = open_goal(goal_runs)
    assert [tab.label for tab in app.tabs] == list(VIEWS)
    assert app.dataframe[0].value["held"].tolist() == ["yes", "no"] and not charts(app)


def test_every_table_has_its_figures_in_a_tab(open_goal, goal_runs):
    names = []
    for view, key, title in (
        ("Behaviour", "Behaviour", "Behaviour by wall density"), ("Probes", "Probes", "Cognitive map by layer"),
        ("Causal", "Causal", "Steering"),
    ):  # fmt: skip
        app = open_goal(goal_runs, view=view)
        names += app.selectbox(key=f"goal-directedness-{key}-figure").options
        assert len(charts(app)) == 1 and title in titles(app)[0]
    assert len(names) == len(set(names)) == 20
    assert {"map heatmap", "distance heatmap", "map layers"} <= set(names)


def test_figure_that_the_address_names_is_drawn(open_goal, goal_runs):
    assert (
        "Forecast of the next moves"
        in titles(open_goal(goal_runs, view="Probes", **{"Probes-figure": "plan prefix"}))[0]
    )


def test_viewer_shows_maps_forecast_and_what_the_agent_wrote(open_goal, goal_runs):
    app = open_goal(goal_runs, view="Grid viewer")
    shown = charts(app)[0]
    above = [note["text"] for note in shown["layout"]["annotations"]]
    assert {"true map", "decoded before the reasoning", "decoded after the reasoning"} <= set(above)
    names = {trace.get("name") for trace in shown["data"]}
    assert {"optimal move", "move taken", "likeliest goal", "move that came"} <= names
    assert "Step 1 of 6" in titles(app)[0] and '{"action":' in app.code[0].value


def test_slider_moves_through_the_trajectory_and_a_shorter_one_clamps_it(open_goal, goal_runs):
    app = open_goal(goal_runs, view="Grid viewer", step="3")
    assert "Step 3 of 6" in titles(app)[0]
    app.slider(key="goal-directedness-step").set_value(5).run()
    assert "Step 5 of 6" in titles(app)[0]
    assert "Step 4 of 6" in titles(open_goal(goal_runs, view="Grid viewer", step="4"))[0]
    assert "Step 1 of 6" in titles(open_goal(goal_runs, view="Grid viewer", step="99"))[0]  # there is no such step


def test_other_trajectory_is_another_grid(open_goal, goal_runs):
    app = open_goal(goal_runs, view="Grid viewer", trajectory="2: 9 x 9 grid, 6 steps")
    cells = next(t for t in charts(app)[0]["data"] if t["type"] == "image")
    assert app.selectbox(key="goal-directedness-trajectory").value == "2" and len(cells["z"]) == 9


def test_before_and_after_are_the_tables_numbers_side_by_side(open_goal, goal_runs):
    run = load_run(goal_runs / PAGE.lower() / "first")
    table = readings(Tables(run), int(run.load_table("maps")["layer"].iloc[0]))
    maps = run.load_table("maps")
    maps = maps[(maps["metric"] == "accuracy") & (maps["cell"] == "") & (maps["train"] == "all")]
    maps = maps[(maps["layer"] == maps["layer"].iloc[0]) & (maps["probe"] == "mlp") & (maps["control"] == "none")]
    [row] = table[(table["reading"] == "map accuracy, MLP") & (table["control"] == "")].to_dict("records")
    for position, title in (("pre", "before the reasoning"), ("post", "after the reasoning")):
        [one] = maps[maps["position"] == position].to_dict("records")
        assert row[title] == f"{one['estimate']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"


def test_run_without_tables_says_so_in_every_tab(open_goal, tmp_path):
    WRITE(tmp_path, leave_out=EVERYTHING)
    for view in VIEWS:
        app = open_goal(tmp_path, view=view)
        assert len(app.info) == 1 and not app.error


@pytest.mark.parametrize(("view", "file"), [("What held", "claims.parquet"), ("Grid viewer", "examples.safetensors")])
def test_broken_file_is_a_message(open_goal, tmp_path, view, file):
    (WRITE(tmp_path) / "artifacts" / file).write_bytes(b"cut off")
    [error] = open_goal(tmp_path, view=view).error
    assert file in error.value


def test_table_that_lacks_a_column_is_a_message(open_goal, tmp_path):
    import pandas as pd

    path = WRITE(tmp_path) / "artifacts" / "causal.parquet"
    pd.read_parquet(path).drop(columns="multiplier").to_parquet(path)
    (path.parents[1] / "checksums.jsonl").unlink()  # as in runs of before
    [error] = open_goal(tmp_path, view="Causal").error
    assert "steering needs the column 'multiplier'" in error.value


def test_page_without_a_finished_run_shows_the_command_that_makes_one(open_goal, tmp_path):
    (WRITE(tmp_path) / "status.json").unlink()
    app = open_goal(tmp_path)
    assert "No run of goal-directedness is finished (1 are not" in app.info[0].value
    assert app.code[0].value == "workbench run goal-directedness --preset smoke"


def test_grid_viewer_does_not_load_torch(goal_runs):
    code = (
        "import sys; from workbench.runs import load_run;"
        "from workbench.families.goal_directedness.figures import examples_of, grid_step;"
        "grid_step(examples_of(load_run(sys.argv[1]))[0]); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(goal_runs / PAGE.lower() / "first")]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "False"
