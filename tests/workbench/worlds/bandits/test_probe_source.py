"""The source of a bandit agent's decisions: which prompts are rows, what is read of them, and their labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.activations import capture
from workbench.errors import SpecError
from workbench.families.east.collect import agent_for, play_settings
from workbench.families.east.spec import EastSpec
from workbench.models import load_model
from workbench.models.untrained import untrained
from workbench.sites import Site
from workbench.worlds.bandits.agents.rollout import prompts_of
from workbench.worlds.bandits.probe_source import BANDIT_STEPS

OPTIONS = {
    "kind": "bandit-steps", "settings": [[100, 100], [95, 105]], "episodes": 2, "horizon": 5, "completions": 3,
}  # fmt: skip
SITE = Site(2)


@pytest.fixture(scope="module")
def model():
    return load_model("bandit-agent", device="cpu")


@pytest.fixture(scope="module")
def read(model):
    def go(reader=model):
        return BANDIT_STEPS.capture(
            OPTIONS, model=model, reader=reader, sites=[SITE], positions={"last": "last"}, device=None, progress=False
        )["last"]

    return go


@pytest.fixture(scope="module")
def played(model):
    """Steps and prompts of the same episodes, played by the functions of EAST."""
    spec = EastSpec(
        settings=((100, 100), (95, 105)), episodes=2, horizon=5, behaviour_completions=3, max_new_tokens=32,
        renderings=("buttons",),
    )  # fmt: skip
    steps = play_settings(model, spec, "buttons", {"none": None}).sort_values(["episode", "step"], ignore_index=True)
    return steps, prompts_of(agent_for(model, spec, "buttons"), steps)


def test_rows_are_the_last_prompt_tokens_of_distinct_prompts(model, read, played):
    steps, prompts = played
    found = read()
    new = [prompts.index(prompt) == i for i, prompt in enumerate(prompts)]
    direct = capture(model, [p for p, n in zip(prompts, new, strict=True) if n], [SITE])[SITE]
    torch.testing.assert_close(found[SITE], direct, atol=1e-4, rtol=1e-4)
    assert (found.labels["step"] == 0).sum() == 1, "all episodes open with the same prompt"
    np.testing.assert_array_equal(found.groups, steps["episode"][new])
    np.testing.assert_array_equal(found.labels["entropy"], steps["entropy"][new])


def test_best_arm_is_missing_where_the_arms_are_equally_good(read):
    labels = read().labels
    assert labels.loc[labels["setting"] == "(100, 100)", "best_arm"].isna().all()
    assert (labels.loc[labels["setting"] == "(95, 105)", "best_arm"] == 1).all()


def test_an_untrained_reader_reads_the_same_prompts(model, read):
    own, other = read(), read(untrained(model, 0))
    assert other.labels.equals(own.labels) and (other.groups == own.groups).all()
    assert not torch.allclose(other[SITE], own[SITE])


@pytest.mark.parametrize(
    ("options", "positions", "said"),
    [
        ({"episode": 3}, {"last": "last"}, "source bandit-steps has no field 'episode'; did you mean 'episodes'"),
        ({"completions": 1}, {"last": "last"}, "source bandit-steps: completions: .*greater than or equal to 2"),
        ({"rendering": "button"}, {"last": "last"}, "did you mean 'buttons'"),
        ({}, {"mean": "mean"}, "position 'mean': bandit-steps reads the last prompt token only"),
    ],
)
def test_mistakes_are_named_before_anything_is_played(options, positions, said):
    with pytest.raises(SpecError, match=said):
        BANDIT_STEPS.check(OPTIONS | options, positions)
