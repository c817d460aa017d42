"""The Gymnasium bandits, single and vectorised."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench.worlds
from workbench.errors import DataError, SpecError
from workbench.worlds.bandits.arms import GaussianArms, reward_table
from workbench.worlds.bandits.bandit import (
    BernoulliBandit,
    BernoulliBanditVector,
    GaussianBandit,
    GaussianBanditVector,
)


def sampler(rng):
    return 100 + 6 * rng.standard_normal(3)


KINDS = {
    "gaussian": ("workbench/GaussianBandit-v0", {"means": (95, 105)}),
    "three arms": ("workbench/GaussianBandit-v0", {"means": np.array([95.0, 100.0, 105.0]), "horizon": 3}),
    "sampled": ("workbench/GaussianBandit-v0", {"means": sampler, "sigma": 2.0}),
    "bernoulli": ("workbench/BernoulliBandit-v0", {"probabilities": (0.2, 0.8)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_check_env_passes_without_a_warning(kind):
    name, parameters = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(name, **parameters)
        check_env(env.unwrapped)
        env.reset(seed=0)
        env.step(0)


def test_make_finds_the_environment_by_module_and_name():
    code = "import gymnasium; gymnasium.make('workbench.worlds:workbench/GaussianBandit-v0', means=(95, 105))"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_environment_pays_the_reward_table_whatever_was_chosen_before():
    _, table = reward_table(GaussianArms((95, 105)), [7], horizon=50)
    env = gymnasium.make("workbench/GaussianBandit-v0", means=(95, 105))
    for policy_seed in (0, 1):
        arms = np.random.default_rng(policy_seed).integers(0, 2, 50)
        env.reset(seed=7)
        assert [env.step(arm)[1] for arm in arms] == table[0, np.arange(50), arms].tolist()


def test_observation_and_info_say_what_happened():
    env = GaussianBandit(means=(95, 105, 105), horizon=2)
    observation, info = env.reset(seed=3)
    assert observation == {"arm": 3, "reward": 0.0, "step": 0}
    assert info["regret"] == 0.0 and info["best_arm"] == 1 and info["means"].tolist() == [95, 105, 105]
    observation, reward, terminated, truncated, info = env.step(0)
    assert observation == {"arm": 0, "reward": reward, "step": 1}
    assert (terminated, truncated, info["regret"]) == (False, False, 10.0)
    assert env.step(2)[2:4] == (True, False) and env._info(0.0)["best_arm"] == 1


def test_reset_without_a_seed_goes_on_to_another_episode_and_is_reproducible():
    def rewards():
        env = GaussianBandit(horizon=1)
        seen = []
        for seed in (4, None, None):
            env.reset(seed=seed)
            seen.append(env.step(0)[1])
        return seen

    assert rewards() == rewards() and len(set(rewards())) == 3


def test_two_unseeded_environments_differ():
    first, second = GaussianBandit(), GaussianBandit()
    first.reset(), second.reset()
    assert first.episode_seed != second.episode_seed


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    n=st.integers(1, 4),
    horizon=st.integers(1, 5),
    seed=st.one_of(st.integers(0, 2**31), st.just("list")),
    choices=st.lists(st.integers(0, 2**20), min_size=14, max_size=14),
)
def test_vector_environment_equals_single_ones_exactly_through_autoresets(kind, n, horizon, seed, choices):
    name, parameters = KINDS[kind]
    parameters = parameters | {"horizon": horizon}
    seeds = [11 * i for i in range(n)] if seed == "list" else seed
    vector = gymnasium.make_vec(name, num_envs=n, vectorization_mode="vector_entry_point", **parameters)
    single = SyncVectorEnv([lambda: gymnasium.make(name, **parameters)] * n)
    assert vector.observation_space == single.observation_space and vector.action_space == single.action_space
    assert data_equivalence(vector.reset(seed=seeds), single.reset(seed=seeds), exact=True)
    for choice in choices:
        arms = np.random.default_rng(choice).integers(0, vector.single_action_space.n, n)
        mine, theirs = vector.step(arms), single.step(arms)
        assert data_equivalence(mine, theirs, exact=True)
        assert mine[0] in vector.observation_space
    assert data_equivalence(vector.reset(), single.reset(), exact=True)


def test_bandits_of_a_vector_that_are_out_of_step_are_right():
    vector = GaussianBanditVector(3, horizon=4)
    vector.reset(seed=[0, 1, 2])
    vector.step(np.array([0, 1, 0]))
    vector._begin(1, 9)
    vector.step(np.array([0, 1, 1]))
    _, table = reward_table(GaussianArms((95.0, 105.0)), [0, 9, 2], horizon=4)
    assert vector._reward.tolist() == [table[0, 1, 0], table[1, 0, 1], table[2, 1, 1]]


def test_what_a_vector_returned_is_not_changed_by_later_steps():
    vector = BernoulliBanditVector(4, horizon=2)
    returned = list(vector.reset(seed=0))
    for _ in range(4):
        observation, rewards, terminated, _, info = vector.step(np.ones(4, dtype=np.int64))
        returned += [observation, {"rewards": rewards, "terminated": terminated}, info]
    before = [{key: value.copy() for key, value in part.items()} for part in returned]
    vector.reset(seed=1)
    vector.step(np.zeros(4, dtype=np.int64))
    for now, then in zip(returned, before, strict=True):
        assert all(np.array_equal(now[key], then[key]) for key in now)


def test_make_vec_uses_the_vector_environment_and_names_its_autoreset_mode():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vector = gymnasium.make_vec("workbench/BernoulliBandit-v0", num_envs=2, probabilities=(0.1, 0.9))
    assert isinstance(vector.unwrapped, BernoulliBanditVector)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize("arm", [2, -1])
def test_an_arm_that_does_not_exist_raises_one_clear_line(arm):
    env, vector = BernoulliBandit(), BernoulliBanditVector(2)
    env.reset(seed=0), vector.reset(seed=0)
    with pytest.raises(DataError, match=f"arm {arm} does not exist: the bandit has arms 0 to 1"):
        env.step(arm)
    with pytest.raises(DataError, match=f"arm {arm} does not exist"):
        vector.step(np.array([0, arm]))


def test_steps_outside_an_episode_ask_for_a_reset():
    env = GaussianBandit(horizon=1)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        GaussianBanditVector(2).step(np.zeros(2, dtype=int))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: GaussianBandit(horizon=0), SpecError),
        (lambda: BernoulliBandit(probabilities=(0.5, 2)), SpecError),
        (lambda: GaussianBanditVector(0), SpecError),
        (lambda: GaussianBanditVector(2).reset(seed=[1]), DataError),
    ],
)
def test_unusable_options_raise(call, error):
    with pytest.raises(error):
        call()


def test_float_actions_of_a_vector_are_refused():
    vector = GaussianBanditVector(2)
    vector.reset(seed=0)
    with pytest.raises(DataError, match="2 integers"):
        vector.step(np.array([0.0, 1.0]))


def test_importing_again_registers_without_a_warning():
    import importlib

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(workbench.worlds)
