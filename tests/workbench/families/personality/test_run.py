"""A whole run, small: its tables, report, figure and claims; what a spec refuses."""

import pytest

from workbench.errors import SpecError
from workbench.families import families, figures_of, plan
from workbench.families.personality import PERSONALITY, PRESETS, PersonalitySpec
from workbench.runs import load_run


def test_the_family_is_found():
    assert families()["personality"] is PERSONALITY


def test_a_run_has_every_condition_and_the_vectors_it_used(personality_run):
    record = load_run(personality_run)
    assert record.status.state == "finished"
    matrix = record.load_table("matrix")
    assert set(matrix["method"]) == {"portrait", "vector", "equal", "random"}
    assert set(record.load_tensors("vectors")[0]) == {"extraversion-3", "neuroticism-3"}
    assert set(record.load_table("instruments")["readout"]) == {"texts", "letters"}
    strengths = record.read("strengths-3").set_index(["method", "of", "side"]).sort_index()
    assert (strengths.loc["vector", "kl"] / 0.1).between(0.8, 1.25).all()
    assert len(record.load_table("claims")) > 10


def test_the_report_says_what_is_no_effect(personality_run):
    tables = {table.title: table.frame for table in PERSONALITY.report(load_run(personality_run))}
    assert "not measurable by this instrument" in tables["can it be measured?"]["so"].tolist()
    assert any("(null)" in str(cell) for cell in tables["profile of the unsteered model"]["log-odds"])
    assert "portrait, read by texts" in tables and "damage" in tables


def test_the_figure_has_a_panel_for_each_way_and_read_out(personality_run):
    figure = figures_of(load_run(personality_run))["matrix"]
    assert len(figure.data) == 4


def test_mistakes_of_a_spec_are_said_before_anything_is_loaded(tmp_path):
    smoke = PRESETS["smoke"]
    with pytest.raises(SpecError, match="unknown trait of vectors 'opennes'; did you mean 'openness'"):
        smoke.model_copy(update={"of": ("opennes",)}).check()
    with pytest.raises(SpecError, match="lies before a layer that is steered"):
        smoke.model_copy(update={"read": 1}).check()
    (tmp_path / "own.yaml").write_text("items: {calm: {plus: [Stay calm], minus: [Panic]}}")
    with pytest.raises(SpecError, match="and the inventory has calm"):
        smoke.model_copy(update={"inventory": str(tmp_path / "own.yaml")}).check()


@pytest.mark.parametrize("preset", ["smoke", "laptop", "cpu"])
def test_every_preset_can_be_planned(preset):
    spec = PRESETS[preset].model_copy(update={"model": "bandit-agent"})
    assert isinstance(spec, PersonalitySpec)
    assert len(plan(PERSONALITY, spec)) == 3 + 3 * len(spec.known_layers(spec.layers))
