"""The goal-directedness page of the explorer, driven without a browser."""

import json
import runpy
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
MADE = runpy.run_path(str(ROOT / "tests" / "workbench" / "figures" / "goal_run.py"))
WRITE, EVERYTHING = MADE["write_run"], [*MADE["tables"](), "examples"]
PAGE = "Goal-directedness"


@pytest.fixture
def open_goal(monkeypatch):
    """Run the app's page on a folder of runs, at an address."""

    def run(root, **address):
        monkeypatch.setenv("WORKBENCH_RUNS", str(root))
        app = AppTest.from_file(str(ROOT / "apps" / "explorer" / "main.py"), default_timeout=120)
        for key, value in {"page": PAGE, **address}.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception[0].message
        return app

    return run


@pytest.fixture(scope="module")
def goal_runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("goal")
    WRITE(root)
    return root


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def titles(app):
    return [chart["layout"]["title"]["text"] for chart in charts(app)]


def test_page_shows_orderings_a_figure_a_tab_and_the_viewer(open_goal, goal_runs):
    app = open_goal(goal_runs)
    assert [tab.label for tab in app.tabs] == ["What held", "Behaviour", "Probes", "Grid viewer", "Causal"]
    assert app.dataframe[0].value["held"].tolist() == [True, False]
    drawn = titles(app)
    assert len(drawn) == 4 and "Behaviour by wall density" in drawn[0] and "Cognitive map by layer" in drawn[1]
    assert "Step 1 of 6" in drawn[2] and "Steering" in drawn[3]
    assert '{"action":' in app.code[0].value


def test_every_table_has_its_figures_in_a_tab(open_goal, goal_runs):
    app = open_goal(goal_runs)
    options = [o for key in ("behaviour", "probes", "causal") for o in app.selectbox(key=f"{key}_figure").options]
    assert len(options) == len(set(options)) == 20


def test_chosen_figure_stands_in_the_address_and_comes_back_from_it(open_goal, goal_runs):
    app = open_goal(goal_runs)
    app.selectbox(key="probes_figure").set_value("plan_prefix").run()
    address = dict(app.query_params.items())
    assert address["probes_figure"] == "plan_prefix"
    assert "Forecast of the next moves" in titles(open_goal(goal_runs, **address))[1]


def test_slider_moves_through_the_trajectory_and_a_shorter_one_clamps_it(open_goal, goal_runs):
    app = open_goal(goal_runs, step="3")
    assert "Step 3 of 6" in titles(app)[2]
    app.slider(key="step").set_value(5).run()
    assert "Step 5 of 6" in titles(app)[2] and app.query_params["step"] == "5"
    assert "Step 6 of 6" in titles(open_goal(goal_runs, step="99"))[2]
    assert "Step 1 of 6" in titles(open_goal(goal_runs, step="-4"))[2]


def test_other_trajectory_is_another_grid(open_goal, goal_runs):
    app = open_goal(goal_runs, trajectory="2")
    cells = next(t for t in charts(app)[2]["data"] if t["type"] == "image")
    assert app.selectbox(key="trajectory").value == "2" and len(cells["z"]) == 9


def test_run_without_tables_says_so_in_every_tab(open_goal, tmp_path):
    WRITE(tmp_path, leave_out=EVERYTHING)
    app = open_goal(tmp_path)
    assert len(app.info) == 5 and not app.error


def test_broken_files_are_messages_and_the_other_tabs_stay(open_goal, tmp_path):
    artifacts = WRITE(tmp_path) / "artifacts"
    (artifacts / "orderings.parquet").write_bytes(b"cut off")
    (artifacts / "examples.safetensors").write_bytes(b"cut off")
    app = open_goal(tmp_path)
    said = " ".join(error.value for error in app.error)
    assert len(app.error) == 2 and "orderings.parquet" in said and "examples.safetensors" in said
    assert len(titles(app)) == 3


def test_table_that_lacks_a_column_is_a_message(open_goal, tmp_path):
    import pandas as pd

    path = WRITE(tmp_path) / "artifacts" / "causal.parquet"
    pd.read_parquet(path).drop(columns="multiplier").to_parquet(path)
    app = open_goal(tmp_path)
    assert len(app.error) == 1 and "steering needs the column 'multiplier'" in app.error[0].value


def test_page_without_a_finished_run_shows_the_command_that_makes_one(open_goal, tmp_path):
    (WRITE(tmp_path) / "status.json").unlink()
    app = open_goal(tmp_path)
    assert "No goal-directedness run is finished (1 are not" in app.info[0].value
    assert app.code[0].value == "workbench run goal-directedness --preset smoke"
