"""The source of a grid agent's states: what is read where, what the labels say, and what never lies on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.activations import capture
from workbench.errors import SpecError
from workbench.models import load_model
from workbench.models.untrained import untrained
from workbench.sites import Site
from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.grids.agents.probed_states import play_states
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.maze_sets import MazeSpec, probe_layouts
from workbench.worlds.grids.probe_source import GRID_STATES
from workbench.worlds.grids.probes.map_target import read_maps
from workbench.worlds.grids.text import GridText

OPTIONS = {"kind": "grid-states", "sizes": [7], "densities": [0.4], "layouts": 5}
POSITIONS = {"pre": "pre", "post": "post"}
SITE = Site(1)


def read(model, reader=None, positions=POSITIONS, **changes):
    return GRID_STATES.capture(
        OPTIONS | changes, model=model, reader=reader or model, sites=[SITE], positions=positions, device=None,
        progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return load_model("grid-agent", device="cpu")


@pytest.fixture(scope="module")
def found(model):
    return read(model)


@pytest.fixture(scope="module")
def steps(model):
    return play_states(model, _spec())


def _spec():
    return MazeSpec(sizes=(7,), densities=(0.4,), probe_layouts=5, max_new_tokens=48)


def prompts(model, steps, reasoning=True):
    agent = GridAgent(model, GridText(reasoning=reasoning))
    layouts = probe_layouts(_spec()).layouts
    return [agent.prompt(layouts[r.layout], State((r.row, r.column))) for r in steps.itertuples()]


def test_pre_and_post_are_the_last_tokens_of_prompt_and_reasoning(model, found, steps):
    before = prompts(model, steps)
    after = [[*prompt, *map(int, said)] for prompt, said in zip(before, steps["reasoning"], strict=True)]
    for name, texts in (("pre", before), ("post", after)):
        direct = capture(model, texts, [SITE], [-3, -2, -1])[SITE].reshape(len(texts), -1)
        torch.testing.assert_close(found[name][SITE], direct, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found["pre"][SITE], found["post"][SITE])


def test_maps_show_the_agent_and_the_goal_where_the_labels_say(found):
    labels = found["pre"].labels
    maps = read_maps(labels["map"].tolist())
    rows = np.arange(len(labels))
    assert (maps[rows, labels["agent_row"], labels["agent_column"]] == 2).all()
    assert (maps[rows, labels["goal_row"], labels["goal_column"]] == 3).all()
    assert (maps[rows, labels["agent_row"] - 1, labels["agent_column"]] == 1).tolist() == (
        labels["wall_up"] == 1
    ).tolist()
    right = labels["goal_right"]
    assert right.isna().tolist() == (labels["goal_column"] == labels["agent_column"]).tolist()
    assert (right.dropna() == 1).tolist() == (labels["goal_column"] > labels["agent_column"])[right.notna()].tolist()


def test_plans_begin_with_the_move_and_go_on_with_the_next_steps_plan(found):
    labels = found["pre"].labels
    assert (labels["plan"].str[0] == labels["move"].str[0]).all()
    for _, episode in labels.groupby(["layout", "rollout"]):
        assert episode["plan"].iloc[0] == "".join(episode["move"].str[0])
        assert episode["plan"].str[1:].iloc[:-1].tolist() == episode["plan"].iloc[1:].tolist()


def test_equal_states_are_of_one_group_and_so_are_the_states_of_a_layout(model):
    found = read(model, positions={"pre": "pre"}, densities=[0.0], layouts=8, rollouts=2, reasoning=False)["pre"]
    for column in ("map", "layout"):
        groups = found.labels.assign(group=found.groups).groupby(column)["group"].nunique()
        assert groups.max() == 1, column
    assert len(set(found.groups.tolist())) <= found.labels["layout"].nunique()
    assert found.labels["map"].duplicated().any()


def test_an_untrained_reader_reads_the_same_rows_without_playing_again(model, monkeypatch):
    asked = {"positions": {"decision": "decision"}, "reasoning": False, "seed": 5}
    own = read(model, **asked)["decision"]
    module = "workbench.worlds.grids.probe_source"
    monkeypatch.setattr(f"{module}.play_grids", lambda *_, **__: pytest.fail("played twice"))
    other = read(model, untrained(model, 0), **asked)["decision"]
    assert other.labels.equals(own.labels) and (other.groups == own.groups).all()
    assert other.fingerprint != own.fingerprint
    assert not torch.allclose(other[SITE], own[SITE])


def test_an_agent_that_answers_at_once_is_read_at_the_token_before_the_move(model):
    options = {"reasoning": False, "tokens": 2}
    found = read(model, positions={"decision": "decision", "pre": "pre"}, **options)
    labels = found["decision"].labels
    places = labels.assign(row=labels["agent_row"], column=labels["agent_column"])
    texts = prompts(model, places, reasoning=False)
    answer = model.encode_continuation('{"action": 0')[:-1]
    direct = capture(model, [[*text, *answer] for text in texts], [SITE])[SITE]
    torch.testing.assert_close(found["decision"][SITE], direct, atol=1e-4, rtol=1e-4)
    assert found["pre"][SITE].shape[1] == 2 * model.d_model


def test_positions_of_some_sizes_hold_their_grids_only(model):
    positions = {"all": "pre", "small": {"tokens": "pre", "sizes": 7}, "large": {"tokens": "pre", "sizes": [9]}}
    found = read(model, positions=positions, sizes=[7, 9], densities=[1.0], reasoning=False)
    assert found["small"].labels["size"].unique().tolist() == [7]
    assert found["large"].labels["size"].unique().tolist() == [9]
    assert len(found["small"]) + len(found["large"]) == len(found["all"])
    large = found["all"].select(found["all"].labels["size"] == 9)
    assert torch.equal(found["large"][SITE], large[SITE])


@pytest.mark.parametrize(
    ("options", "positions", "said"),
    [
        ({"size": [7]}, POSITIONS, "source grid-states has no field 'size'; did you mean 'sizes'"),
        ({"sizes": [8]}, POSITIONS, "source grid-states: sizes: .*size 8"),
        ({"layouts": 1}, POSITIONS, "source grid-states: layouts: .*greater than or equal to"),
        ({"reasoning": "no"}, POSITIONS, "reasoning is 'no'; write true or false"),
        ({}, {"p": "pst"}, "position 'p': unknown tokens 'pst'; did you mean 'post'"),
        ({}, {"p": {"token": "pre"}}, "position 'p' has no field 'token'; did you mean 'tokens'"),
        ({}, {"p": {"tokens": "pre", "sizes": 9}}, "no grids of size 9 are played"),
        ({}, {"p": "decision"}, r"reasoning: false\); read post"),
        ({"reasoning": False}, {"p": "post"}, "read decision"),
    ],
)
def test_mistakes_are_named_before_anything_is_played(options, positions, said):
    with pytest.raises(SpecError, match=said):
        GRID_STATES.check(OPTIONS | options, positions)
