"""The explorer, driven without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

MAIN = Path(__file__).parents[2] / "apps" / "explorer" / "main.py"


@pytest.fixture
def open_app(monkeypatch):
    """Run the app on a folder of runs, at an address."""

    def run(root, **address):
        monkeypatch.setenv("WORKBENCH_RUNS", str(root))
        app = AppTest.from_file(str(MAIN), default_timeout=60)
        for key, value in address.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception[0].message
        return app

    return run


@pytest.fixture(scope="session")
def one_run(tmp_path_factory, write_east_run):
    """A folder with one finished run."""
    root = tmp_path_factory.mktemp("one")
    write_east_run(root)
    return root


@pytest.fixture
def broken_beside(tmp_path, write_east_run):
    """A folder with a finished run and one whose spec is cut off."""
    write_east_run(tmp_path, "whole")
    (write_east_run(tmp_path, "cut") / "spec.json").write_text('{"model": ')
    return tmp_path


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.mark.parametrize("page", ["Runs", "EAST"])
@pytest.mark.parametrize("folder", ["empty", "not-there"])
def test_a_folder_without_runs_shows_the_command_that_makes_one(open_app, tmp_path, page, folder):
    (tmp_path / "empty").mkdir()
    app = open_app(tmp_path / folder, page=page)
    assert "workbench run east --preset smoke" in app.code[0].value
    assert str(tmp_path / folder) in app.info[0].value


def test_runs_page_lists_the_run_with_spec_tables_and_downloads(open_app, one_run):
    app = open_app(one_run)
    assert app.dataframe[0].value[["experiment", "name", "status"]].values.tolist() == [["east", "first", "finished"]]
    assert "east/first: finished, 10 of 10 units" in app.subheader[0].value
    assert '"model": "tiny"' in app.json[0].value.replace('":"', '": "')
    assert "table results" in app.selectbox(key="table").options
    assert "artifacts/chosen.json" in app.selectbox(key="file").options
    assert [button.label for button in app.get("download_button")] == ["Download as CSV", "Download"]


def test_what_is_chosen_stands_in_the_address_and_comes_back_from_it(open_app, one_run):
    app = open_app(one_run)
    app.selectbox(key="table").set_value("rows of vectors-buttons").run()
    address = dict(app.query_params.items())
    assert address["table"] == "rows of vectors-buttons" and address["page"] == "Runs"
    again = open_app(one_run, **address)
    assert again.selectbox(key="table").value == "rows of vectors-buttons"
    assert "half_cosine" in again.dataframe[1].value.columns


def test_an_address_that_names_what_is_not_there_falls_back(open_app, one_run):
    app = open_app(one_run, page="No such page", run="../../etc", table="zzz")
    assert app.selectbox(key="run").value == "east/first" and app.radio(key="page").value == "Runs"


def test_broken_run_is_listed_as_broken_and_said_in_one_message(open_app, broken_beside):
    app = open_app(broken_beside, run="east/cut")
    states = app.dataframe[0].value.set_index("name")["status"]
    assert states["cut"] == "broken" and states["whole"] == "finished"
    assert "spec.json cannot be read" in app.error[0].value and len(app.error) == 1
    app.selectbox(key="run").set_value("east/whole").run()
    assert not app.error and not app.exception


def test_status_filter_hides_the_other_runs(open_app, broken_beside):
    app = open_app(broken_beside, status="broken")
    assert app.dataframe[0].value["name"].tolist() == ["cut"]
    assert app.selectbox(key="run").options == ["east/cut"]


def test_broken_table_is_a_message(open_app, tmp_path, write_east_run):
    (write_east_run(tmp_path) / "artifacts" / "orderings.parquet").write_bytes(b"cut off")
    for page in ("Runs", "EAST"):
        app = open_app(tmp_path, page=page, table="table orderings")
        assert "orderings.parquet" in texts(app.error)


def test_east_page_shows_orderings_figures_and_both_transcripts(open_app, one_run):
    app = open_app(one_run, page="EAST")
    assert app.dataframe[0].value["held"].tolist() == ["yes", "no"] * 2
    assert "entropy_by_multiplier-buttons" in {option for option in _values(app.selectbox(key="figure"))}
    assert [sub.value for sub in app.subheader] == ["unsteered", "EAST"]
    assert "Button 2 is better." in app.code[0].value and "Perhaps the other one." in app.code[1].value
    assert "layer 2, multiplier 4" in texts(app.caption)


def test_every_figure_of_the_east_page_can_be_shown(open_app, one_run):
    app = open_app(one_run, page="EAST")
    for name in ("cumulative_arms-slot_machines", "regret", "vector_norms"):
        app.selectbox(key="figure").set_value(name).run()
        assert not app.exception and app.query_params["figure"] == name


def test_transcripts_follow_the_chosen_episode_and_method(open_app, one_run):
    app = open_app(
        one_run, page="EAST", episode="7", beside="shuffled", setting="(100, 100)", rendering="slot_machines"
    )
    assert [sub.value for sub in app.subheader] == ["unsteered", "shuffled vector"]
    assert app.selectbox(key="episode").value == "7" and app.selectbox(key="setting").value == "(100, 100)"


def test_east_page_without_a_finished_run_says_so(open_app, tmp_path, write_east_run):
    (write_east_run(tmp_path) / "status.json").unlink()
    app = open_app(tmp_path, page="EAST")
    assert "No EAST run is finished (1 are not" in app.info[0].value


def _values(box):
    """What a selectbox's options stand for: the shown text with its marks put back."""
    return [option.replace(": ", "-").replace(" ", "_") for option in box.options]
