"""The internal-RL page of the explorer, driven without a browser."""

import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from tests.workbench.families.internal_rl.figures import internal_rl_run as made

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WRITE, PAGE = made.write_run, "Internal RL"
PICKED = "1 (picked): colours reached: 1"
TABS = ["What held", "Learning", "Discovery", "Beliefs and control", "Episodes"]


@pytest.fixture
def open_page(open_with_examples):
    """The app's page on a folder of runs, at an address."""
    return partial(open_with_examples, page=PAGE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("internal")
    WRITE(root)
    return root


def figure(app):
    return json.loads(app.get("plotly_chart")[0].proto.spec)


def title(app):
    return figure(app)["layout"]["title"]["text"]


def said(elements):
    return " ".join(str(element.value) for element in elements)


def test_page_opens_on_the_claims_and_the_gates_with_the_first_that_failed(open_page, runs):
    app = open_page(runs)
    assert [tab.label for tab in app.tabs] == TABS
    claims, *_, gates = (frame.value for frame in app.dataframe)
    assert gates["passed"].tolist() == ["yes"] * 5 + ["no"] and gates["bar"].iloc[-1] == "at least 0.1"
    assert gates["value"].iloc[0] == "0.015 [0.005, 0.025]"
    assert "the first that failed: discovery, held-out success with composed codes" in said(app.caption)
    assert claims["held"].tolist() == ["yes", "no"] and not app.error


@pytest.mark.parametrize(
    ("view", "names"),
    [
        ("Learning", ["learning_curves", "final_success"]),
        ("Discovery", ["rate_distortion", "switches", "codes"]),
        ("Beliefs and control", ["beliefs", "belief_history", "controllers", "base_model"]),
    ],
)
def test_every_figure_of_a_tab_can_be_shown(open_page, runs, view, names):
    app = open_page(runs, view=view)
    assert len(app.selectbox(key=f"internal-rl-{view}-figure").options) == len(names)
    drawn = set()
    for name in names:
        app.selectbox(key=f"internal-rl-{view}-figure").set_value(name).run()
        assert not app.exception and not app.error
        drawn.add(title(app))
    assert len(drawn) == len(names)


def test_final_numbers_stand_below_the_learning_curves(open_page, runs):
    table = open_page(runs, view="Learning").dataframe[0].value
    own = table.set_index("method").loc["internal RL"]
    assert own["held-out: success"] == "0.300 [0.280, 0.320]" and own["held-out: relative"] == "0.333 [0.313, 0.353]"
    assert own["seeds"] == "3"


def test_player_labels_an_episode_with_how_it_was_chosen_and_the_overall_rate(open_page, runs):
    app = open_page(runs, view="Episodes")
    assert "Move 3 of 3" in title(app)  # the whole way at first
    text = said(app.markdown)
    assert "**Not picked: among the first of 256 played.**" in text
    assert r"Internal RL succeeds in 0.300 \[0.280, 0.320\] of all episodes of the held-out task (3 seeds)" in text
    app.selectbox(key="internal-rl-episode").set_value("1").run()
    assert "**Picked: among those that got farthest of 256 played.**" in said(app.markdown)
    options = app.selectbox(key="internal-rl-episode").options
    assert [option.split(":")[0] for option in options] == ["0 (not picked)", "1 (picked)"]


def test_an_address_leads_to_task_episode_and_move(open_page, runs):
    app = open_page(runs, view="Episodes", task="seen-transitions task", episode=PICKED, step="5")
    assert "Move 5 of 8: new code 1, colour 1 is next" in title(app)
    assert "Seen-transitions task 0-1-0-1-0-1, episode 1" in said(app.markdown)
    app.slider(key="internal-rl-step").set_value(8).run()
    assert "Move 8 of 8" in title(app)
    assert "Move 1 of 8" in title(open_page(runs, view="Episodes", episode=PICKED, step="1"))
    assert "Move 8 of 8" in title(open_page(runs, view="Episodes", episode=PICKED, step="99"))  # there is no such move


def test_episode_can_be_played_in_one_figure(open_page, runs):
    app = open_page(runs, view="Episodes", episode=PICKED, play="true")
    assert len(figure(app)["frames"]) == 8 and not app.get("slider")


def test_run_without_tables_says_so_in_every_tab(open_page, tmp_path):
    WRITE(tmp_path, leave_out=[*made.tables()])
    for view in TABS:
        app = open_page(tmp_path, view=view)
        assert len(app.info) == 1 and not app.error, view


def test_broken_files_are_messages(open_page, tmp_path):
    artifacts = WRITE(tmp_path) / "artifacts"
    for table, view in (("claims", "What held"), ("episodes", "Episodes"), ("final", "Learning")):
        (artifacts / f"{table}.parquet").write_bytes(b"cut off")
        app = open_page(tmp_path, view=view)
        assert len(app.error) == 1 and f"{table}.parquet" in app.error[0].value


def test_a_table_of_an_older_run_that_lacks_a_column_is_a_message(open_page, tmp_path):
    path = WRITE(tmp_path) / "artifacts" / "episodes.parquet"
    pd.read_parquet(path).drop(columns="gate").to_parquet(path)
    (path.parents[1] / "checksums.jsonl").unlink()  # as in runs of before
    app = open_page(tmp_path, view="Episodes")
    assert len(app.error) == 1 and "episodes needs the column 'gate'" in app.error[0].value


def test_page_without_a_finished_run_shows_the_command_that_makes_one(open_page, tmp_path):
    (WRITE(tmp_path) / "status.json").unlink()
    app = open_page(tmp_path)
    assert "No run of internal-rl is finished (1 are not" in said(app.info)
    assert "workbench run internal-rl --preset smoke" in said(app.code)
