"""What an agent said, steered beside unsteered, and its tokens coloured by their projection on the vector."""

import pandas as pd
import pytest
import torch

from steering import SteeringVector
from workbench.errors import ArtifactError, RunError
from workbench.families.east.spec import PRESETS
from workbench.families.east.views import project_episode
from workbench.models.tiny import tiny_model
from workbench.runs import RunFolder, load_run
from workbench.sites import Site
from workbench.views.jobs import Job
from workbench.views.model_cache import LoadedModel, model_cache

pytestmark = pytest.mark.slow

MULTIPLIER, SITE = 3.0, Site(1)
SAID = [" I try one.\nAction: Button 1", " I try two.\nAction: Button 2", " Again.\nAction: Button 2"]


def steps(method):
    """An episode of three steps on (95, 105)."""
    rows = [
        {"episode": 0, "step": t, "arm": int("2" in text), "reward": 100.0, "completion": text, "entropy": 0.5,
         "feedback": f"paid <{t}>", "setting": "(95, 105)", "rendering": "buttons", "method": method}
        for t, text in enumerate(SAID)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def model():
    return roomy(0)


def roomy(seed):
    """A tiny model with room for an episode (its positions are computed, so more of them need no weights)."""
    model = tiny_model(seed=seed)
    model.config.max_position_embeddings = 1024
    return model


@pytest.fixture
def run(tmp_path, model):
    """A finished run of the tiny model with one episode, unsteered and steered, and its vector."""
    spec = PRESETS["smoke"].model_copy(update={"model": "tiny-east", "renderings": ("buttons",)})
    made = {"model": {"name": "tiny-east", "fingerprint": model.fingerprint}}
    with RunFolder.open(tmp_path, "east", spec, "first", made) as folder:
        folder.plan(["behaviour-buttons", "steered-buttons"])
        folder.write("behaviour-buttons", steps("unsteered"))
        folder.write("steered-buttons", pd.concat([steps("east"), steps("shuffled")], ignore_index=True))
        folder.write_json("chosen", {"buttons": {"layer": 1, "multiplier": MULTIPLIER}})
        path = folder.path / "artifacts" / "vector-buttons.safetensors"
        vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
        SteeringVector(SITE, vector, model.fingerprint, model.basis).save(path)
    return load_run(folder.path)


@pytest.fixture
def loaded(model):
    """The model in the app's cache, as the run's own."""
    found = LoadedModel("tiny-east", model)
    model_cache()._models["tiny-east"] = found
    yield found
    model_cache()._models.pop("tiny-east", None)


def projected(loaded, run, methods=("unsteered", "east"), wanted=range(10)):
    both = {method: steps(method) for method in methods}
    return project_episode(loaded, run, "buttons", both, wanted, Job("read", lambda job: None))


def test_projections_are_those_of_a_plain_pass_over_prompt_and_answer(loaded, run, model):
    from workbench.families.east.collect import agent_for
    from workbench.families.east.spec import EastSpec
    from workbench.worlds.bandits.agents.rollout import prompts_of

    prompts = prompts_of(agent_for(model, EastSpec(**run.spec), "buttons"), steps("unsteered"))
    vector = SteeringVector.load(run.path / "artifacts" / "vector-buttons.safetensors").vector
    for number, (prompt, text) in enumerate(zip(prompts, SAID, strict=True)):
        said = model.encode_continuation(text)
        z = model.forward([prompt + said], [SITE]).activations[SITE][0, len(prompt) :]
        found = projected(loaded, run)["unsteered"][number]
        assert torch.allclose(torch.tensor(found.values), z @ (vector / vector.norm()), atol=1e-5)
        assert "".join(found.texts) == text


def test_steering_moves_every_token_by_its_multiple_of_the_vector(loaded, run):
    found = projected(loaded, run)
    norm = SteeringVector.load(run.path / "artifacts" / "vector-buttons.safetensors").norm
    for number in range(len(SAID)):
        change = torch.tensor(found["east"][number].values) - torch.tensor(found["unsteered"][number].values)
        assert torch.allclose(change, torch.full_like(change, MULTIPLIER * norm), atol=1e-4)


def test_only_the_wanted_steps_are_read_but_prompts_hold_all_before(loaded, run):
    assert list(projected(loaded, run, wanted=range(1, 2))["east"]) == [1]
    assert projected(loaded, run, wanted=range(1, 2))["east"][1] == projected(loaded, run)["east"][1]


def test_other_weights_than_the_runs_are_refused(run):
    other = LoadedModel("tiny-east", roomy(5))
    with pytest.raises(ArtifactError, match="made with other weights"):
        projected(other, run)


def test_run_without_its_vector_says_so(loaded, run):
    (run.path / "artifacts" / "vector-buttons.safetensors").unlink()
    with pytest.raises(RunError, match="no vector vector-buttons"):
        projected(loaded, run)


def test_page_shows_both_transcripts_and_colours_on_demand(open_app, run, loaded):
    app = open_app(run.path.parents[1], page="EAST", view="Transcripts")
    assert [sub.value for sub in app.subheader] == ["unsteered", "EAST"]
    plain = [block.proto.body for block in app.get("html")]
    assert sum("I try one." in body for body in plain) == 2 and sum("paid &lt;1&gt;" in body for body in plain) == 2
    app.toggle(key="east-colour").set_value(True).run()
    coloured = [block.proto.body for block in app.get("html")]
    assert not app.error and sum("background-color" in body for body in coloured) == 6
    assert any("mean projection" in caption.value for caption in app.caption)


def test_model_that_is_not_shipped_is_loaded_only_on_demand(open_app, run):
    app = open_app(run.path.parents[1], page="EAST", view="Transcripts", colour="true")
    assert "Load tiny-east" in [button.label for button in app.button] and not app.error
    assert not any("background-color" in block.proto.body for block in app.get("html"))


def test_transcripts_follow_the_chosen_episode_and_method(open_app, tmp_path, write_east_run):
    write_east_run(tmp_path)
    app = open_app(
        tmp_path, page="EAST", view="Transcripts", episode="7", beside="shuffled vector", setting="(100, 100)",
        rendering="slot machines",
    )  # fmt: skip
    assert [sub.value for sub in app.subheader] == ["unsteered", "shuffled vector"]
    assert app.selectbox(key="east-episode").value == "7" and app.selectbox(key="east-setting").value == "(100, 100)"
