"""The page Sweeps: a form that writes a spec, and runs that are watched, cancelled and opened."""

import sys
import time

import pandas as pd
import pytest
import yaml

from workbench.families import get_family
from workbench.families.probe_sweep.views.form import _LABELS, TEMPLATES, to_yaml
from workbench.runs import RunFolder
from workbench.views import processes

pytestmark = pytest.mark.slow

WORK = """
import signal, sys, time, pandas as pd
from workbench.runs import RunFolder
signal.signal(signal.SIGINT, signal.default_int_handler)
with RunFolder.open(sys.argv[1], "sweep", {"models": ["tiny"]}, sys.argv[2], {}) as run:
    run.plan(["one", "two"])
    run.write("one", pd.DataFrame({"x": [1]}))
    print("one of two", flush=True)
    time.sleep(60)
"""
ROW = {
    "cell": "c", "model": "tiny", "layer": 0, "component": "resid_post", "position": "last", "target": "colour",
    "task": "classification", "probe": "logistic", "params": "{}", "seed": 0, "control": "none", "metric": "accuracy",
    "estimate": 0.9, "low": 0.8, "high": 1.0, "difference": 0.0, "difference_low": 0.0, "difference_high": 0.0,
    "label": "", "status": "ok", "error": None,
}  # fmt: skip


@pytest.fixture
def stand_in(monkeypatch):
    """In place of the command: a process that finishes one of two units and waits."""
    monkeypatch.setattr(
        processes, "_command",
        lambda words: [sys.executable, "-c", WORK, words[words.index("--runs") + 1], words[words.index("--name") + 1]],
    )  # fmt: skip


def shown_yaml(app):
    return yaml.safe_load(next(code.value for code in app.code if code.language == "yaml"))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_is_a_spec_that_the_command_takes(name):
    from workbench.families.probe_sweep import SweepSpec, make_plan

    spec = SweepSpec.model_validate(yaml.safe_load(to_yaml(TEMPLATES[name])))
    assert make_plan(spec, ".").cells


def test_labels_of_the_form_are_known():
    from workbench.families.probe_sweep.sources import find_source

    for kind, labels in _LABELS.items():
        source = {"source": {"kind": kind}, "positions": {"last": "last"}}
        positions = {"pre": "pre"} if kind == "grid-states" else source["positions"]
        known = find_source(kind).check({}, positions)
        assert set(labels) <= set(known), kind


def test_form_writes_the_spec_and_the_command_that_does_the_same(open_app, tmp_path):
    app = open_app(tmp_path, page="Sweeps")
    assert shown_yaml(app)["targets"] == ["entropy", "best_arm"]
    app.multiselect(key="sweeps-targets0").set_value(["regret"])
    app.text_input(key="sweeps-sites").set_value("1, all.mlp_out")
    app.slider(key="sweeps-seeds").set_value(2)
    app.text_input(key="sweeps-name").set_value("mine")
    app.run()
    spec = shown_yaml(app)
    assert spec["targets"] == ["regret"] and spec["sites"] == [1, "all.mlp_out"] and spec["seeds"] == [0, 1]
    assert app.code[-1].value == f"workbench sweep mine.yaml --runs {tmp_path} --name mine"
    again = open_app(tmp_path, page="Sweeps", targets0="regret", sites="1, all.mlp_out", seeds="2", name="mine")
    assert shown_yaml(again) == spec


def test_form_offers_the_families_with_their_presets(open_app, tmp_path):
    app = open_app(tmp_path, page="Sweeps", what="east", preset="demo")
    assert shown_yaml(app) == get_family("east").presets["demo"].model_dump(mode="json")
    assert app.code[-1].value.startswith("workbench run east --spec east-")


def test_yaml_can_be_edited_and_is_what_starts(open_app, tmp_path, stand_in):
    app = open_app(tmp_path, page="Sweeps", name="edited")
    app.toggle(key="_edit").set_value(True).run()
    app.text_area[0].set_value("models: [other]\n").run()
    next(button for button in app.button if button.label == "Start").click().run()
    [one] = processes.started(tmp_path)
    assert (tmp_path / "sweeps" / "edited.yaml").read_text() == "models: [other]\n"
    one.cancel()
    wait_for(lambda: not one.alive)


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "<img src=x>", "x" * 200, "taken"])
def test_form_says_that_a_name_is_none_or_is_taken_and_starts_nothing(open_app, tmp_path, name):
    (tmp_path / "sweep" / "taken").mkdir(parents=True)
    app = open_app(tmp_path, page="Sweeps", name=name)
    [said] = app.error
    assert "another name" in said.value or "cannot be a file name" in said.value
    next(button for button in app.button if button.label == "Start").click().run()
    assert len(app.error) == 1 and not (tmp_path / "sweeps").exists()


def test_run_is_started_watched_cancelled_and_its_results_opened(open_app, tmp_path, stand_in):
    app = open_app(tmp_path, page="Sweeps", name="first")
    next(button for button in app.button if button.label == "Start").click().run()
    assert app.query_params["sweeps-view"] == "Watch"
    [one] = processes.started(tmp_path)
    wait_for(lambda: one.said() == "one of two")
    app.run()
    assert "**sweep/first**: running" in texts(app.markdown) and "one of two" in texts(app.code)
    app.turn_to("Runs")  # it goes on meanwhile
    app.turn_to("Sweeps")
    assert one.alive and app.query_params["sweeps-view"] == "Watch"
    app.button(key="cancel-first").click().run()
    wait_for(lambda: not one.alive)
    app.run()
    assert "**sweep/first**: interrupted" in texts(app.markdown)
    app.button(key="open-first").click().run()
    assert app.query_params["sweeps-view"] == "Results" and app.selectbox(key="sweeps-run").value == "sweep/first"
    assert not app.exception and not app.error


def test_results_show_figure_and_scores_of_a_sweep(open_app, tmp_path):
    rows = [ROW | {"layer": layer, "control": control, "cell": f"{layer}"} for layer in (0, 1)
            for control in ("none", "majority")]  # fmt: skip
    with RunFolder.open(tmp_path, "sweep", {"models": ["tiny"]}, "done", {}) as run:
        run.plan(["all"])
        run.write("all", pd.DataFrame(rows))
    app = open_app(tmp_path, page="Sweeps", view="Results")
    assert len(app.get("plotly_chart")) == 1 and app.selectbox(key="sweeps-metric").options == ["accuracy"]
    assert len(app.dataframe[0].value) == 4 and not app.error


def test_pages_without_anything_say_how_to_begin(open_app, tmp_path):
    assert "Nothing was started" in texts(open_app(tmp_path, page="Sweeps", view="Watch").info)
    app = open_app(tmp_path, page="Sweeps", view="Results")
    assert "no probe sweep yet" in texts(app.info) and "workbench sweep" in app.code[-1].value
