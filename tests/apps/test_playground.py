"""The playground, driven without a browser: every view, games, sliders, errors, two sessions beside each other."""

import json
from pathlib import Path

import pytest
import torch

from steering import SteeringVector
from workbench.models.tiny import tiny_model_with_sinks
from workbench.sites import Site

pytestmark = pytest.mark.slow

MAIN = Path(__file__).parents[2] / "apps" / "explorer" / "main.py"


@pytest.fixture
def open_page(monkeypatch, tmp_path, open_app):
    """Open the page at an address (``view="..."`` is ``?playground-view=...``); it waits until all work is done."""
    import workbench.views.jobs as jobs

    monkeypatch.setattr(jobs, "PATIENCE", 100)

    def run(**address):
        return open_app(tmp_path, page="Playground", **address)

    return run


@pytest.fixture
def vector(tmp_path, bandit_model):
    """A saved vector that makes the model speak differently."""
    direction = torch.randn(bandit_model.d_model, generator=torch.Generator().manual_seed(0))
    made = SteeringVector(Site(2), direction / direction.norm(), bandit_model.fingerprint, name="push")
    (tmp_path / "vectors").mkdir()
    made.save(tmp_path / "vectors" / "push.safetensors")
    return {"vectors": "push", "dose-push": "0.9"}


def said(app):
    """The coloured completions, in the order shown."""
    return [element.proto.body for element in app.get("html") if "<style>" not in element.proto.body]


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def headings(app):
    return [heading.value for heading in app.subheader]


def errors(app):
    return [error.value for error in app.error]


def test_first_visit_plays_the_bandit_and_needs_no_run(open_page):
    app = open_page()
    assert app.selectbox(key="playground-model").value == "bandit-agent" and not errors(app)
    assert headings(app) == ["unsteered", "unsteered"] and "Action:" in app.code[0].value
    assert "<span" in said(app)[0] and len(charts(app)) == 2


@pytest.mark.parametrize("view", ["Logit lens", "Attention", "Components"])
def test_view_shows_a_chart_of_the_last_step(open_page, view):
    app = open_page(view=view)
    assert not errors(app) and len(charts(app)) == 1
    assert app.get("segmented_control") or app.get("button_group")


def test_slider_changes_what_is_said_and_zero_is_the_unsteered_model(open_page, vector):
    app = open_page(input="Text", tokens="12", **vector)
    assert headings(app) == ["unsteered", "steered"] and len(said(app)) == 2
    before = said(app)[1]
    app.slider(key="playground-dose-push").set_value(-1.0).run()
    assert not app.exception and said(app)[1] != before
    app.slider(key="playground-dose-push").set_value(0.0).run()
    assert headings(app) == ["unsteered"]


def test_sliders_count_in_raw_multipliers_on_request(open_page, vector):
    app = open_page(input="Text", tokens="12", vectors="push", **{"unit": "multiplier", "multiplier-push": "8.0"})
    assert not errors(app) and said(app)[0] != said(app)[1]
    assert app.slider(key="playground-multiplier-push").max == 10.0
    [push] = [element for element in app.slider if "push" in element.label and "Layer" not in element.label]
    assert (push.label, push.value) == ("Multiplier of push", 8.0)


def test_layer_and_tokens_of_a_vector_can_be_chosen(open_page, vector):
    first = open_page(input="Text", tokens="8", **vector)
    deeper = open_page(input="Text", tokens="8", **vector, **{"layer-push": "5", "scope-push": "new tokens"})
    assert (
        deeper.slider(key="playground-layer-push").value == 5 and first.slider(key="playground-layer-push").value == 2
    )
    assert deeper.selectbox(key="playground-scope-push").value == "generation"
    assert said(first)[0] != said(deeper)[0] or said(first)[1] != said(deeper)[1]


def test_two_sessions_do_not_mix_their_interventions(open_page, vector):
    plain = open_page(input="Text", tokens="8", seed="3")
    alone = said(plain)[0]
    steered = open_page(input="Text", tokens="8", seed="3", **vector)
    assert len(said(steered)) == 2
    plain.run()
    again = open_page(input="Text", tokens="8", seed="3")
    assert said(plain)[0] == said(again)[0] == alone


def test_scores_of_a_vector_and_of_a_probe(open_page, vector, tmp_path, bandit_model):
    from probes import make_probe
    from probes.saving import save_probe

    app = open_page(view="Scores", scorer="push", **vector)
    assert not errors(app) and len(charts(app)) == 1 and "layer 2" in " ".join(c.value for c in app.caption)
    rows = torch.randn(20, bandit_model.d_model, generator=torch.Generator().manual_seed(1))
    probe = make_probe("mass-mean").fit(rows.numpy(), ["no", "yes"] * 10)
    (tmp_path / "probes").mkdir()
    path = tmp_path / "probes" / "best.safetensors"
    save_probe(probe, path, site=3, basis="raw", fingerprint=bandit_model.fingerprint)
    save_probe(probe, path.with_stem("foreign"), site=3, basis="raw", fingerprint="other")
    app = open_page(view="Scores", scorer="probe: best")
    assert not errors(app) and "layer 3" in " ".join(c.value for c in app.caption)
    assert "belongs to another model" in errors(open_page(view="Scores", scorer="probe: foreign"))[0]


def test_grid_is_played_step_by_step(open_page):
    app = open_page(model="grid-agent", steps="2", size="5")
    captions = [caption.value for caption in app.caption if "steps," in caption.value]
    assert captions and captions[0].startswith(("1 steps", "2 steps"))
    app.button[1].click().run()
    assert not app.exception and not errors(app)


def test_next_step_plays_one_more(open_page):
    app = open_page(completions="2")
    next(button for button in app.button if button.label == "Next step").click().run()
    assert app.number_input(key="playground-steps").value == 2 and app.dataframe[0].value["step"].tolist() == [2, 1]
    next(button for button in app.button if button.label == "Start again").click().run()
    assert app.dataframe[0].value["step"].tolist() == [1]


def test_link_to_a_step_shows_the_same_as_playing_there(open_page):
    app = open_page(completions="2")
    app.number_input(key="playground-episode").set_value(5).run()
    next(button for button in app.button if button.label == "Next step").click().run()
    link = open_page(completions="2", episode="5", steps="2")
    assert link.dataframe[0].value.equals(app.dataframe[0].value) and said(link) == said(app)


def test_vector_is_made_chosen_and_saved(open_page, tmp_path):
    app = open_page(view="Make a vector", input="Text", tokens="4")
    next(button for button in app.button if button.label == "Make the vector").click().run()
    assert not app.exception and "my-vector: length" in app.success[0].value
    assert app.multiselect(key="playground-vectors").options == ["my-vector"]
    app.multiselect(key="playground-vectors").set_value(["my-vector"]).run()
    assert app.slider(key="playground-layer-my-vector").value == 3
    next(button for button in app.button if button.label == "Save my-vector").click().run()
    assert (tmp_path / "vectors" / "my-vector.safetensors").is_file()
    assert app.multiselect(key="playground-vectors").value == ["my-vector"]


def test_name_that_leaves_the_folder_is_one_message(open_page, tmp_path):
    app = open_page(view="Make a vector", **{"make-name": "../out", "input": "Text", "tokens": "2"})
    next(button for button in app.button if button.label == "Make the vector").click().run()
    assert len(errors(app)) == 1 and "cannot be a file name" in errors(app)[0]
    assert not (tmp_path.parent / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"input": "Text", "text": " "}, ""),
        ({"input": "Chat", "chat": "hello"}, "a chat begins with"),
        ({"input": "Text", "text": "a " * 9000}, "exceed"),
    ],
)
def test_bad_input_is_one_line_and_the_page_stays(open_page, address, message):
    app = open_page(**address)
    assert app.selectbox(key="playground-model").value == "bandit-agent"
    assert all("\n" not in error for error in errors(app)) and message in " ".join(errors(app))


def test_address_that_names_what_is_not_there_falls_back(open_page):
    app = open_page(view="No such view", model="../../etc", vectors="../../secret", **{"attention-layer": "99"})
    assert (
        app.selectbox(key="playground-model").value == "bandit-agent"
        and app.multiselect(key="playground-vectors").value == []
    )


def test_link_to_a_hub_model_loads_nothing_by_itself(open_page):
    app = open_page(model="folder or hub id", source="someone/some-model")
    assert [button.label for button in app.button if button.label.startswith("Load")] == ["Load someone/some-model"]
    next(button for button in app.button if button.label.startswith("Load")).click().run()
    assert "cannot load 'someone/some-model'" in errors(app)[0] and not app.exception


def test_models_that_read_no_text_are_not_offered_and_loading_one_is_a_message(open_page):
    from workbench.models import shipped_models

    silent = [str(folder) for folder in shipped_models().values() if not (folder / "tokenizer.json").exists()]
    app = open_page()
    assert "bandit-agent" in app.selectbox(key="playground-model").options
    assert not {Path(folder).name for folder in silent} & set(app.selectbox(key="playground-model").options)
    for folder in silent:
        app = open_page(model="folder or hub id", source=folder)
        next(button for button in app.button if button.label.startswith("Load")).click().run()
        assert "reads observations, not text" in errors(app)[0] and not app.exception


def test_folder_is_loaded_and_unloaded(open_page, tmp_path):
    from workbench.models.tiny import tiny_model

    model = tiny_model()
    folder = str(tmp_path / "own")
    model.backend.hf_model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    app = open_page(model="folder or hub id", source=folder, input="Text", text="a b c", tokens="3")
    next(button for button in app.button if button.label.startswith("Load")).click().run()
    assert not errors(app) and "4 layers, width 32" in app.caption[0].value
    next(button for button in app.button if button.label == "Unload").click().run()
    assert "not loaded any more" in app.info[0].value
    next(button for button in app.button if button.label == "Load it again").click().run()
    assert not app.exception and "4 layers, width 32" in app.caption[0].value


def test_page_is_as_it_was_after_a_visit_to_another(open_page):
    app = open_page(input="Text", tokens="3", text="Two buttons.")
    app.turn_to("Runs")
    app.query_params.clear()  # as the browser does
    app.turn_to("Playground")
    assert (
        app.slider(key="playground-tokens").value == 3 and app.text_area(key="playground-text").value == "Two buttons."
    )
    assert not errors(app) and not app.exception and len(said(app)) == 1


@pytest.fixture
def page_with_sinks(open_page, tmp_path):
    """Opens a view of a prompt to a model that makes attention sinks of its BOS and of every z."""
    model = tiny_model_with_sinks()
    for part in (model.backend.hf_model, model.tokenizer):
        part.save_pretrained(tmp_path / "sunk")
    direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
    (tmp_path / "vectors").mkdir()
    SteeringVector(Site(2), direction, model.fingerprint).save(tmp_path / "vectors" / "push.safetensors")

    def run(view):
        source = str(tmp_path / "sunk")
        app = open_page(view=view, model="folder or hub id", source=source, input="Text", text="a b z c", tokens="0")
        next(button for button in app.button if button.label.startswith("Load")).click().run()
        assert not errors(app) and not app.exception
        return app

    return run


def test_components_leave_out_sinks_until_they_are_asked_for(page_with_sinks):
    app = page_with_sinks("Components")
    assert any("2 of 5 tokens that are attention sinks" in caption.value for caption in app.caption)
    app.toggle(key="playground-keep-sinks").set_value(True).run()
    assert not app.exception and not any("attention sinks" in caption.value for caption in app.caption)


def test_scores_are_scaled_by_the_tokens_that_are_no_sinks_and_mark_those(page_with_sinks):
    app = page_with_sinks("Scores")
    assert said(app)[-1].count("outline") == 2
    assert any("2 of 5 tokens that are attention sinks" in caption.value for caption in app.caption)
    shapes = charts(app)[0]["layout"]["shapes"]
    assert [shape["x0"] for shape in shapes if shape["line"].get("dash") == "dot"] == [0, 3]


def test_the_lens_marks_sinks(page_with_sinks):
    app = page_with_sinks("Logit lens")
    assert any("attention sinks: their colours are cut off" in caption.value for caption in app.caption)
    assert [tick.endswith("\u25c6") for tick in charts(app)[0]["layout"]["xaxis"]["ticktext"]] == [1, 0, 0, 1, 0]
