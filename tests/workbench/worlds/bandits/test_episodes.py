"""Episodes of the oracles."""

from __future__ import annotations

import time

import gymnasium
import numpy as np
import pytest

from workbench.errors import DataError, SpecError
from workbench.worlds.bandits import BernoulliBandit, GaussianBandit, make_oracle, play
from workbench.worlds.bandits.oracles import ORACLES, Greedy


def bandit_for(name, arms):
    means = np.linspace(0.3, 0.7, arms)
    return BernoulliBandit(means) if name.startswith("bernoulli") else GaussianBandit(100 + 10 * means)


@pytest.mark.parametrize("arms", [2, 3])
@pytest.mark.parametrize("name", ORACLES)
def test_an_episode_depends_on_its_seed_alone(name, arms):
    together = play(name, bandit_for(name, arms), seeds=range(20), horizon=12)
    alone = play(name, bandit_for(name, arms), seeds=[13], horizon=12)
    assert (
        together[together.seed == 13]
        .drop(columns="episode")
        .reset_index(drop=True)
        .equals(alone.drop(columns="episode"))
    )


@pytest.mark.parametrize("name", ["thompson", "epsilon_greedy"])
def test_play_pays_what_the_environment_pays(name):
    env = gymnasium.make("workbench/GaussianBandit-v0", means=lambda rng: 100 + 6 * rng.standard_normal(3))
    for _, episode in play(name, env, seeds=[3, 4]).groupby("episode"):
        env.reset(seed=int(episode.seed.iloc[0]))
        for row in episode.itertuples():
            _, reward, _, _, info = env.step(row.arm)
            assert (row.reward, row.regret, row.best_arm) == (reward, info["regret"], info["best_arm"])
            assert (row.mean0, row.mean1, row.mean2) == tuple(info["means"])


def test_entropy_is_that_of_the_exact_distribution_of_the_history_so_far():
    table = play("thompson", GaussianBandit(), seeds=[0, 1])
    first = table[table.episode == 0]
    counts, sums = np.zeros((1, 2)), np.zeros((1, 2))
    for row in first.itertuples():
        p = make_oracle("thompson").probabilities(counts, sums, row.step)[0]
        assert row.entropy == pytest.approx(-(p[p > 0] * np.log(p[p > 0])).sum(), abs=1e-12)
        counts[0, row.arm] += 1
        sums[0, row.arm] += row.reward


def test_policies_on_the_same_seeds_face_the_same_rewards():
    tables = [play(name, GaussianBandit(), seeds=range(30)) for name in ("random", "thompson")]
    both = tables[0].merge(tables[1], on=["seed", "step", "arm"])
    assert len(both) > 100 and (both.reward_x == both.reward_y).all()


def test_episodes_of_several_environments_are_numbered_on():
    settings = [GaussianBandit(means=m, horizon=4) for m in ((95, 105), (100, 100), (90, 95, 100))]
    table = play(Greedy(), settings, seeds=[8, 9])
    assert table.episode.unique().tolist() == list(range(6)) and table.seed.unique().tolist() == [8, 9]
    assert table.mean2.notna().sum() == 8


def test_oracles_rank_as_they_should_on_the_papers_bandit():
    regret = {
        name: play(name, GaussianBandit(means=(95, 105)), range(1000)).regret.sum() / 1000
        for name in ("random", "greedy", "epsilon_greedy", "ucb", "thompson")
    }
    assert regret["random"] == pytest.approx(250, abs=5)  # half of 50 steps, 10 each
    assert max(regret["ucb"], regret["thompson"]) < min(regret["greedy"], regret["epsilon_greedy"])
    assert regret["greedy"] < regret["random"] / 2


def test_thousands_of_episodes_a_second():
    start = time.perf_counter()
    play("thompson", GaussianBandit(), seeds=range(4000))
    assert time.perf_counter() - start < 2


def test_what_cannot_be_played_raises_one_clear_line():
    with pytest.raises(DataError, match="at least one environment and one seed"):
        play("random", GaussianBandit(), seeds=[])
    with pytest.raises(DataError, match="CartPoleEnv is not a bandit"):
        play("random", gymnasium.make("CartPole-v1"), seeds=[0])
    with pytest.raises(SpecError, match="horizon must be an integer of at least 1, not 0"):
        play("random", GaussianBandit(), seeds=[0], horizon=0)
    with pytest.raises(SpecError, match="did you mean 'random'"):
        play("randon", GaussianBandit(), seeds=[0])
