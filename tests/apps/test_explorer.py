"""The explorer's frame, and its pages Runs and EAST, driven without a browser."""

import io
import zipfile

import pandas as pd
import pytest

from apps.explorer import main

pytestmark = pytest.mark.slow


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


def options(box):
    """What a selectbox's options stand for: the shown text with its marks put back."""
    return [option.replace(": ", "-").replace(" ", "_") for option in box.options]


@pytest.mark.parametrize("page", ["Runs", "EAST"])
@pytest.mark.parametrize("folder", ["empty", "not-there"])
def test_a_folder_without_runs_shows_the_command_that_makes_one(open_app, tmp_path, page, folder):
    (tmp_path / "empty").mkdir()
    app = open_app(tmp_path / folder, page=page)
    assert "workbench run east --preset smoke" in app.code[0].value
    assert str(tmp_path / folder) in app.info[0].value


@pytest.mark.parametrize("error", [ZeroDivisionError("first\nsecond"), KeyError("x")])
def test_unexpected_error_of_a_page_is_one_line_and_the_other_pages_go_on(open_app, one_run, monkeypatch, error):
    def broken(*given):
        raise error

    monkeypatch.setattr("workbench.families.page._finished_run", broken)
    app = open_app(one_run, whole=False, page="EAST")
    [said] = app.error
    assert f"This page could not be drawn ({type(error).__name__}: " in said.value and "\n" not in said.value
    assert "Traceback" in app.code[0].value and "Details" in app.expander[0].label
    app.turn_to("Runs")
    assert not app.error and not app.exception and app.header[0].value == "Runs"


def test_every_page_is_in_the_menu(open_app, one_run):
    app = open_app(one_run)
    assert [info["page_name"] for info in app._registered_pages.values()] == list(main.pages())
    assert {"Runs", "EAST", "Goal-directedness", "Playground", "Sweeps"} <= set(main.pages())


def test_runs_page_lists_the_run_with_what_tells_it_from_others(open_app, tmp_path, write_east_run):
    write_east_run(tmp_path, "first")
    app = open_app(tmp_path)
    [row] = app.dataframe[0].value.to_dict("records")
    assert (row["family"], row["name"], row["status"], row["model"]) == ("east", "first", "finished", "tiny")
    assert row["steps"] == "10 of 10" and row["duration"].endswith(" s") and "min_valid 0.95" in row["spec"]
    assert "east/first: finished, 10 of 10 steps" in app.subheader[0].value
    assert '"model": "tiny"' in app.json[0].value.replace('":"', '": "')


def test_spec_begins_with_the_fields_in_which_runs_of_a_family_differ(open_app, tmp_path, write_east_run):
    from workbench.runs import RunFolder

    for seed in (0, 1):
        with RunFolder.open(tmp_path, "east", {"model": "tiny", "seed": seed}, f"s{seed}", {}) as run:
            run.plan([])
    shown = open_app(tmp_path).dataframe[0].value.set_index("name")["spec"]
    assert shown["s1"] == 'seed 1, model "tiny"'


def test_tables_are_shown_and_downloaded_whole(open_app, one_run):
    app = open_app(one_run, view="Tables", table="table words")
    assert "table results" in app.selectbox(key="runs-table").options
    shown = app.dataframe[1].value
    assert len(shown) == 8 and {"word", "ratio"} <= set(shown.columns)
    labels = [button.label for button in app.get("download_button")]
    assert labels == ["Download the run (zip)", "Download as CSV", "as Parquet"]


def test_zip_of_a_run_holds_its_files(one_run):
    from apps.explorer.runs_page import _zipped
    from workbench.runs import load_run

    names = zipfile.ZipFile(io.BytesIO(_zipped(load_run(one_run / "east" / "first")))).namelist()
    assert {"east/first/spec.json", "east/first/artifacts/results.parquet"} <= set(names)


def test_parquet_of_a_table_is_the_table(one_run):
    from workbench.runs import load_run
    from workbench.views.run_tables import _parquet

    table = load_run(one_run / "east" / "first").load_table("results")
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(_parquet(table))), table)


def test_figures_and_files_of_a_run_can_be_had(open_app, one_run):
    app = open_app(one_run, view="Figures", figure="regret")
    assert len(app.get("plotly_chart")) == 1 and "Download as HTML" in [b.label for b in app.get("download_button")]
    app = open_app(one_run, view="Vectors and files")
    assert any(option.startswith("artifacts/chosen.json (") for option in app.selectbox(key="runs-file").options)


def test_what_the_address_names_is_shown_and_stays_in_it(open_app, one_run):
    app = open_app(one_run, view="Tables", table="rows of vectors-buttons")
    assert app.selectbox(key="runs-table").value == "rows of vectors-buttons"
    assert "half_cosine" in app.dataframe[1].value.columns
    assert app.query_params == {"runs-view": "Tables", "runs-table": "rows of vectors-buttons"}


@pytest.mark.parametrize("page", ["Runs", "EAST"])
def test_address_of_a_run_that_is_gone_says_so_and_shows_another(open_app, one_run, page):
    app = open_app(one_run, page=page, run="east/gone", view="zzz")
    assert app.selectbox(key=f"{page.lower()}-run").value == "east/first" and not app.error
    asked = {"Run": "east/gone", "View": "zzz"}
    said = [f"{what}: the address asks for {gone}, which is not there." for what, gone in asked.items()]
    assert [each.value for each in app.warning] == said


def test_address_with_words_that_no_page_knows_says_so(open_app, one_run):
    app = open_app(one_run)
    app.query_params.update({"page": "Nowhere", "run": "east/gone"})
    [said] = app.run().warning
    assert said.value == "The address asks for page=Nowhere, run=east/gone, which is not there."
    assert app.header[0].value == "Runs" and not app.exception


def test_broken_run_is_listed_as_broken_and_said_in_one_message(open_app, broken_beside):
    app = open_app(broken_beside, run="east/cut")
    table = app.dataframe[0].value.set_index("name")
    assert table["status"]["cut"] == "broken" and table["status"]["whole"] == "finished"
    assert "spec.json" in table["error"]["cut"] and table["error"]["whole"] == ""
    assert "spec.json cannot be read" in app.error[0].value and len(app.error) == 1
    app.selectbox(key="runs-run").set_value("east/whole").run()
    assert not app.error and not app.exception


def test_status_filter_and_text_hide_the_other_runs(open_app, broken_beside):
    app = open_app(broken_beside, status="broken")
    assert app.dataframe[0].value["name"].tolist() == ["cut"]
    assert app.selectbox(key="runs-run").options == ["east/cut"]
    assert open_app(broken_beside, find="MIN_VALID").dataframe[0].value["name"].tolist() == ["whole"]
    nothing = open_app(broken_beside, find="no such thing")
    assert "clear a filter" in texts(nothing.info) and not nothing.error


def test_broken_table_is_a_message(open_app, tmp_path, write_east_run):
    (write_east_run(tmp_path) / "artifacts" / "orderings.parquet").write_bytes(b"cut off")
    for address in ({"page": "Runs", "view": "Tables", "table": "table orderings"}, {"page": "EAST"}):
        assert "orderings.parquet" in texts(open_app(tmp_path, **address).error)


def test_two_runs_are_compared_field_by_field(open_app, tmp_path, write_east_run):
    from workbench.runs import RunFolder

    write_east_run(tmp_path, "first")
    with RunFolder.open(tmp_path, "east", {"model": "tiny", "min_valid": 0.95, "seed": 3}, "other", {}) as run:
        run.plan([])
    app = open_app(tmp_path, show="Compare two", a="east/first", b="east/other")
    fields = app.dataframe[1].value.set_index("field")
    assert fields.loc["seed", ["A", "B"]].tolist() == ["0", "3"] and "model" not in fields.index
    app.toggle(key="runs-equal").set_value(True).run()
    assert "model" in app.dataframe[1].value["field"].tolist()


def test_two_runs_show_one_table_and_one_figure_side_by_side(open_app, tmp_path, write_east_run):
    for name in ("first", "second"):
        write_east_run(tmp_path, name)
    app = open_app(tmp_path, show="Compare two", compare="Tables of both", tables="table words")
    assert len(app.dataframe) == 3 and app.dataframe[1].value.equals(app.dataframe[2].value)
    app = open_app(tmp_path, show="Compare two", compare="Figures of both", figures="regret")
    assert len(app.get("plotly_chart")) == 2


def test_one_run_has_nothing_to_be_compared_with(open_app, one_run):
    assert "takes two runs" in texts(open_app(one_run, show="Compare two").info)


def test_east_page_shows_claims_and_what_was_chosen(open_app, one_run):
    app = open_app(one_run, page="EAST")
    assert app.dataframe[0].value["held"].tolist() == ["yes", "no"] * 2
    assert "chosen layer 2, dose 0.20" in texts(app.markdown)
    assert [tab.label for tab in app.tabs] == ["What held", "Figures", "Words", "Transcripts"]


def test_every_figure_of_the_east_page_can_be_shown(open_app, one_run):
    app = open_app(one_run, page="EAST", view="Figures")
    assert {"entropy_by_dose-buttons", "layer_dose"} <= set(options(app.selectbox(key="east-Figures-figure")))
    for name in ("cumulative_arms-slot_machines", "regret", "vector_norms", "layer_dose"):
        app.selectbox(key="east-Figures-figure").set_value(name).run()
        assert not app.exception and len(app.get("plotly_chart")) == 1


def test_words_come_as_figure_and_as_the_whole_table(open_app, one_run):
    app = open_app(one_run, page="EAST", view="Words")
    assert len(app.get("plotly_chart")) == 1
    assert app.dataframe[0].value["word"].tolist() == ["rare", "perhaps", "unsure", "clearly"]


def test_east_page_without_a_finished_run_says_so(open_app, tmp_path, write_east_run):
    (write_east_run(tmp_path) / "status.json").unlink()
    app = open_app(tmp_path, page="EAST")
    assert "No run of east is finished (1 are not" in app.info[0].value


def test_app_is_served_to_this_machine_only_with_options_that_streamlit_has():
    from streamlit import config

    from apps.explorer.server import options

    given = options(8501)
    assert given["server.address"] == "127.0.0.1" and given["runner.postScriptGC"] is False
    assert set(given) <= set(config._config_options_template)


def test_foreign_error_is_shown_as_text(open_app, tmp_path, write_east_run):
    import json

    file = write_east_run(tmp_path) / "status.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"error": "![x](http://a.b/c.png)"}))
    assert r"\!\[x\](http\:" in texts(open_app(tmp_path).error)


def test_link_that_leads_out_of_a_run_is_left_out(open_app, tmp_path, write_east_run):
    (tmp_path / "secret.json").write_text("{}")
    (write_east_run(tmp_path) / "artifacts" / "linked.json").symlink_to(tmp_path / "secret.json")
    files = open_app(tmp_path, view="Vectors and files").selectbox(key="runs-file").options
    assert files and not [name for name in files if "linked" in name]
