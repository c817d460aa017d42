"""Rollouts: episodes in a batch are the episodes alone, and steering lives for one decision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from steering import Add
from workbench.errors import DataError
from workbench.worlds.bandits import GaussianArms, GaussianBandit
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import prompts_of, rollout
from workbench.worlds.bandits.text import BanditText

ARMS = GaussianArms((95, 105))


@pytest.fixture(scope="module")
def player(bandit_model) -> LanguageAgent:
    return LanguageAgent(bandit_model, BanditText(), completions=5)


@pytest.fixture(scope="module")
def played(player: LanguageAgent):
    return rollout(player, ARMS, range(4), horizon=5)


def test_a_batch_of_episodes_equals_them_one_by_one(player: LanguageAgent, played) -> None:
    for seed in range(4):
        alone = rollout(player, ARMS, [seed], horizon=5).steps.assign(episode=seed)
        batch = played.steps[played.steps["episode"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, batch)


def test_episodes_do_not_depend_on_how_many_run_in_parallel(player: LanguageAgent, played) -> None:
    pd.testing.assert_frame_equal(rollout(player, ARMS, range(4), horizon=5, parallel=3).steps, played.steps)


def test_the_cache_changes_nothing(player: LanguageAgent, played) -> None:
    """Every decision equals one made from its prompt alone, without a cache."""
    from workbench.seeding import derive_seed

    rows = played.steps
    seeds = [derive_seed(seed, "step", step) for seed, step in zip(rows["seed"], rows["step"], strict=True)]
    fresh = player.decide(played.prompts, seeds)
    assert [d.arm for d in fresh] == rows["arm"].tolist()
    assert [d.texts[d.chosen] for d in fresh] == rows["completion"].tolist()


def test_rewards_are_those_of_the_environment(played) -> None:
    for episode, part in played.steps.groupby("episode"):
        env = GaussianBandit((95, 105))
        env.reset(seed=int(episode))
        for arm, reward in zip(part["arm"], part["reward"], strict=True):
            assert env.step(arm)[1] == reward


def test_prompts_can_be_written_again_from_the_table(player: LanguageAgent, played) -> None:
    assert prompts_of(player, played.steps) == played.prompts


def test_earlier_turns_are_encoded_unsteered(player: LanguageAgent) -> None:
    """Steering the first step only (the rest at dose 0) gives the same later decisions as replaying its history."""
    model = player.model
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0)) * 5
    add = Add(vector, 1.0, site=2)
    cache = model.prompt_cache()
    first = player.decide([player.prompt()], [3], [add], cache)[0]
    prompt = player.prompt([player.turn(first.texts[first.chosen or 0], 0, 100.0)])
    kept, fresh = player.decide([prompt], [4], (), cache)[0], player.decide([prompt], [4])[0]
    assert kept.texts == fresh.texts


def test_steering_with_dose_zero_leaves_the_table_as_it_was(player: LanguageAgent, played) -> None:
    add = Add(torch.ones(player.model.d_model), 0.0, site=3)
    again = rollout(player, ARMS, range(4), horizon=5, interventions=[add])
    pd.testing.assert_frame_equal(again.steps, played.steps)


def test_interventions_given_as_a_function_are_asked_for_each_group(player: LanguageAgent) -> None:
    asked: list[list[int]] = []

    def interventions(episodes):
        asked.append(list(episodes))
        return []

    rollout(player, ARMS, range(5), horizon=1, interventions=interventions, parallel=2)
    assert asked == [[0, 1], [2, 3], [4]]


def test_an_episode_ends_where_nothing_can_be_parsed_and_others_go_on(player: LanguageAgent) -> None:
    add = Add(torch.randn(4, player.model.d_model, generator=torch.Generator().manual_seed(1)),
              torch.tensor([0.0, 500.0, 0.0, 500.0]), site=1)  # fmt: skip
    table = rollout(replace(player, completions=2, retries=0), ARMS, range(4), horizon=3, interventions=[add])
    lengths = table.steps.groupby("episode").size().reindex(range(4), fill_value=0)
    assert lengths[0] == lengths[2] == 3 and (lengths[[1, 3]] < 3).all()
    assert set(table.failures["episode"]) == {1, 3}


def test_no_seeds_or_the_wrong_number_of_arms_is_one_clear_error(player: LanguageAgent) -> None:
    with pytest.raises(DataError, match="seed"):
        rollout(player, ARMS, [])
    with pytest.raises(DataError, match="3 arms"):
        rollout(player, GaussianArms((1, 2, 3)), [0])


def test_the_shipped_agent_parses_calms_down_and_beats_random_clearly(player: LanguageAgent) -> None:
    """A floor far below what the model card measures: this guards the model file, it does not measure it."""
    arms = [GaussianArms(means) for means in ((95, 105), (105, 95)) for _ in range(8)]
    agent = replace(player, completions=3)
    steps = rollout(agent, arms, [*range(8)] * 2, horizon=20).steps
    early, late = (steps[mask]["entropy"].mean() for mask in (steps["step"] < 3, steps["step"] >= 15))
    assert late < 0.7 * early
    assert steps["regret"].mean() < 0.7 * 5  # random: 5 a step
    assert steps["valid"].mean() >= 0.98
    assert np.isfinite(steps["entropy_corrected"]).all()


def test_episodes_on_their_own_bandits_equal_episodes_on_each_bandit(player: LanguageAgent) -> None:
    several = [GaussianArms((95, 105)), GaussianArms((105, 95))]
    together = rollout(player, several, [5, 6], horizon=4).steps
    for episode, (arms, seed) in enumerate(zip(several, (5, 6), strict=True)):
        alone = rollout(player, arms, [seed], horizon=4).steps.assign(episode=episode)
        pd.testing.assert_frame_equal(alone, together[together["episode"] == episode].reset_index(drop=True))


def test_a_bandit_too_few_is_one_clear_error(player: LanguageAgent) -> None:
    with pytest.raises(DataError, match="1 bandits for 2 seeds"):
        rollout(player, [ARMS], [0, 1])


def test_exact_episodes_of_three_arms_have_the_mass_outside_beside_it(bandit_model) -> None:
    agent = LanguageAgent(bandit_model, BanditText(n_arms=3, thoughts=False), exact=True)
    steps = rollout(agent, GaussianArms((95, 100, 105)), [0, 1], horizon=3).steps
    assert np.allclose(steps["valid"] + steps["outside_mass"], 1)
    assert np.allclose(steps[["n0", "n1", "n2"]].sum(axis=1), 1) and set(steps["arm"]) <= {0, 1, 2}


def test_sampled_episodes_have_no_mass_outside(played) -> None:
    assert played.steps["outside_mass"].isna().all()
