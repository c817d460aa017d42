"""The playground's games, drawer and form, without a page."""

import numpy as np
import pandas as pd
import pytest
import streamlit as st
import torch

from apps.explorer.playground.drawer import keep, probe_files, read_upload, read_vector, save, vector_names
from apps.explorer.playground.inputs import read_chat
from apps.explorer.playground.make_view import make_vector
from steering import Add, SteeringVector
from workbench.errors import ArtifactError, DataError, RunError
from workbench.models import load_model
from workbench.models.tiny import tiny_model
from workbench.runs import list_runs
from workbench.sites import Site
from workbench.views.games import Game
from workbench.worlds import worlds
from workbench.worlds.bandits.agents.rollout import rollout
from workbench.worlds.bandits.arms import GaussianArms
from workbench.worlds.bandits.playground import BanditSettings, play_bandit
from workbench.worlds.grids.agents.play import play_grids
from workbench.worlds.grids.playground import CAP, GridSettings, play_grid

NONE = pd.DataFrame(columns=["experiment", "name", "path"])


@pytest.fixture
def drawer(tmp_path, monkeypatch):
    """A folder of runs, and an empty session."""
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path))
    st.session_state.clear()
    yield tmp_path
    st.session_state.clear()


def push(model, size=2.0, scope="prompt[-1:]+generation"):
    direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
    return [Add(direction / direction.norm() * size, site=2, scope=scope)]


def test_a_game_of_any_world_is_played_and_is_what_its_models_open_with(monkeypatch):
    from apps.explorer.playground import games
    from workbench.training import Recipe
    from workbench.worlds import World

    game = Game(3, lambda: None, None, None, None)
    mine = World("mine", "Mine", recipes=(Recipe("my-model", "", ""),), games={"Mine": lambda: game})
    assert list(games.games()) == ["Bandit", "Grid"] and games.game_of("grid-agent") == "Grid"
    monkeypatch.setattr(games, "worlds", lambda: worlds() | {"mine": mine})
    assert games.games()["Mine"]() is game and games.game_of("my-model") == "Mine"
    assert games.game_of("pinpad-base") is None and games.game_of("another") is None


@pytest.mark.parametrize("steered", [False, True])
def test_bandit_played_in_pieces_is_the_episode_of_rollout(bandit_model, steered):
    settings = BanditSettings(completions=4, seed=3)
    given = push(bandit_model) if steered else []
    steps = play_bandit(bandit_model, settings, given, 2)
    steps = play_bandit(bandit_model, settings, given, 4, steps)
    expected = rollout(
        settings.agent(bandit_model), GaussianArms((95.0, 105.0), 10.0), [3], horizon=4, interventions=given
    )
    assert [step.completion for step in steps] == expected.steps["completion"].tolist()
    assert [step.arm for step in steps] == expected.steps["arm"].tolist()
    np.testing.assert_allclose([step.reward for step in steps], expected.steps["reward"])
    np.testing.assert_allclose([step.entropy for step in steps], expected.steps["entropy"])
    assert [step.prompt for step in steps] == expected.prompts


def test_bandit_can_be_steered_over_its_whole_prompt(bandit_model):
    settings = BanditSettings(completions=2)
    [step] = play_bandit(bandit_model, settings, push(bandit_model, 1.0, "prompt+generation"), 1)
    assert step.prompt


def test_going_back_shows_the_earlier_steps_without_playing(bandit_model):
    settings, asked = BanditSettings(completions=2), []
    steps = play_bandit(bandit_model, settings, [], 2)
    assert play_bandit(bandit_model, settings, [], 1, steps, asked.append) == steps[:1] and not asked


def test_agent_that_says_nothing_readable_ends_its_episode(bandit_model):
    settings, given = BanditSettings(completions=1), push(bandit_model, 1000.0)
    steps = play_bandit(bandit_model, settings, given, 5)
    assert len(steps) == 1 and steps[0].arm is None
    assert play_bandit(bandit_model, settings, given, 5, steps) == steps


@pytest.mark.parametrize("reasoning", [False, True])
def test_grid_played_in_pieces_is_the_episode_of_play_grids(reasoning):
    model = load_model("grid-agent", device="cpu")
    settings = GridSettings(size=5, density=0.4, reasoning=reasoning, seed=1)
    steps = play_grid(model, settings, [], 50, play_grid(model, settings, [], 1))
    expected = play_grids(settings.agent(model), [settings.layout()], rollouts=1, seed=1, cap=CAP)
    assert [step.decision.completion for step in steps] == expected["completion"].tolist()
    assert [step.state.cell for step in steps] == list(zip(expected["row"], expected["column"], strict=True))
    assert [step.decision.move in step.optimal for step in steps] == expected["optimal"].tolist()


def test_vector_of_two_lists_is_their_mean_difference():
    model = tiny_model()
    vector, table, explained = make_vector(model, ("a b", "c"), ("d e f",), 1, "last", "mean_difference", False, "v")
    last = [model.forward([text], [1]).activations[Site(1)][0, -1] for text in ("a b", "c", "d e f")]
    torch.testing.assert_close(vector.vector, (last[0] + last[1]) / 2 - last[2])
    assert vector.fingerprint == model.fingerprint and vector.site == Site(1) and vector.name == "v"
    assert vector.metadata["positive"] == ["a b", "c"] and len(explained) == 2
    assert table["condition"].tolist() == ["positive", "positive", "negative"]


@pytest.mark.parametrize("estimator", ["mean_difference", "pca_difference", "linear_probe"])
def test_pairs_are_taken_line_by_line(estimator):
    model = tiny_model()
    lists = ("a b", "c d", "e f"), ("b a", "d c", "f e")
    paired, _, _ = make_vector(model, *lists, 2, "mean", estimator, True, "v")
    assert paired.norm > 0
    with pytest.raises(DataError, match="cannot be taken line by line"):
        make_vector(model, lists[0], lists[1][:2], 2, "mean", estimator, True, "v")
    with pytest.raises(DataError, match="each list needs"):
        make_vector(model, lists[0], (), 2, "mean", estimator, False, "v")


def test_saved_vector_comes_back_and_a_second_of_its_name_is_refused(drawer):
    model = tiny_model()
    vector = SteeringVector(Site(1), torch.ones(32), model.fingerprint, name="kind")
    keep("kind", vector)
    assert vector_names(NONE, model) == {"kind": None}
    path = save("kind")
    assert path == drawer / "vectors" / "kind.safetensors" and vector_names(NONE, model) == {"kind": path}
    assert torch.equal(read_vector("kind", vector_names(NONE, model), model).vector, vector.vector)
    keep("kind", vector)
    with pytest.raises(ArtifactError, match="saved already"):
        save("kind")
    assert list_runs(drawer).empty  # the folder is not taken for a run


@pytest.mark.parametrize("name", ["../kind", "a/b", "/etc/x", "", ".hidden", "a\\b", "a..b", "x" * 200])
def test_names_that_would_leave_the_folder_are_refused(drawer, name):
    with pytest.raises(RunError, match="cannot be a file name"):
        keep(name, SteeringVector(Site(1), torch.ones(4)))
    st.session_state["_made_vectors"] = {name: SteeringVector(Site(1), torch.ones(4))}
    with pytest.raises(RunError, match="cannot be a file name"):
        save(name)
    assert [path for path in drawer.rglob("*") if path.is_file()] == []


def test_vectors_of_runs_are_listed_and_those_of_other_models_are_not(drawer):
    model, other = tiny_model(), tiny_model(seed=1)
    artifacts = drawer / "east" / "first" / "artifacts"
    artifacts.mkdir(parents=True)
    SteeringVector(Site(1), torch.ones(32), other.fingerprint).save(artifacts / "vector-buttons.safetensors")
    runs = pd.DataFrame([{"experiment": "east", "name": "first", "path": str(artifacts.parent)}])
    names = vector_names(runs, other)
    assert list(names) == ["east/first/buttons"] and vector_names(runs, model) == {}
    assert read_vector("east/first/buttons", names, other).site == Site(1)
    with pytest.raises(ArtifactError, match="belongs to another model"):
        read_vector("east/first/buttons", names, model)


def test_uploaded_vector_is_read_by_its_layout(drawer, tmp_path):
    model = tiny_model()
    SteeringVector(Site(3), torch.ones(32)).save(tmp_path / "v.safetensors")
    [vector] = read_upload("../../v.safetensors", (tmp_path / "v.safetensors").read_bytes(), model)
    assert vector.site == Site(3) and vector.fingerprint == model.fingerprint
    with pytest.raises(ArtifactError, match=r"^evil\.safetensors is not") as error:
        read_upload("evil.safetensors", b"nonsense", model)
    assert "/tmp" not in str(error.value)
    with pytest.raises(ArtifactError, match="is no vector file"):
        read_upload("vector.pkl", b"", model)


def test_broken_vector_is_listed_and_reading_it_says_why(drawer):
    model = tiny_model()
    (drawer / "vectors").mkdir()
    (drawer / "vectors" / "cut.safetensors").write_bytes(b"cut off")
    with pytest.raises(ArtifactError, match="is not a saved steering vector"):
        read_vector("cut", vector_names(NONE, model), model)


def test_probes_are_those_in_their_folder(drawer):
    assert probe_files() == {}
    (drawer / "probes").mkdir()
    (drawer / "probes" / "best.safetensors").write_bytes(b"")
    assert list(probe_files()) == ["best"]


@pytest.mark.parametrize("text", ["", "hello", "robot: hi", "hello\nuser: hi"])
def test_chat_without_a_role_is_refused(text):
    with pytest.raises(DataError, match="a chat begins with"):
        read_chat(text)
