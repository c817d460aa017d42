"""The pinpad as Gymnasium environments: clean, reproducible, and the same alone and in a vector."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench.worlds  # noqa: F401  (registers)
from workbench.errors import DataError, SpecError
from workbench.worlds.moves import Move
from workbench.worlds.pinpad.env import PinpadEnv, PinpadVectorEnv
from workbench.worlds.pinpad.pinpad import OBSERVATIONS, PINPADS, Pinpad
from workbench.worlds.pinpad.seeds import next_seeds, seeded_layouts, seeded_tasks
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks

TINY = {"size": 4, "colours": 4, "walls": 1, "horizon": 6, "subgoal": 1}
LAYOUT = [0, 1, 15, 2, 3, 4]  # the agent, colours 0 to 3, a wall below the agent


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("world", PINPADS)
def test_check_env_passes_without_a_warning(world: str, observation: str, one_hot: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("workbench/Pinpad-v0", world=world, observation=observation, one_hot=one_hot)
        check_env(env.unwrapped)


def test_check_env_passes_with_pictures() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("workbench/Pinpad-v0", render_mode="rgb_array").unwrapped)


def test_make_finds_the_environment_by_module_and_name_and_only_then_torch_is_loaded() -> None:
    code = """
import sys, gymnasium, workbench.worlds
assert "torch" not in sys.modules
gymnasium.make("workbench.worlds:workbench/Pinpad-v0", world="small").reset(seed=1)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_an_episode_says_what_happened() -> None:
    env = PinpadEnv(**TINY, task=(0, 2))
    _, info = env.reset(options={"layout": LAYOUT})
    assert info["task"].tolist() == [0, 2]
    assert (info["target"], info["progress"], info["success"]) == (0, 0, False)
    observation, reward, terminated, truncated, info = env.step(Move.RIGHT)
    assert observation.tolist() == [1, *LAYOUT[1:]] and (reward, terminated, truncated) == (0.0, False, False)
    assert (info["target"], info["progress"], info["success"]) == (2, 1, False)
    _, reward, terminated, truncated, info = env.step(Move.RIGHT)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["target"], info["progress"], info["success"]) == (2, 2, True)


def test_a_wrong_colour_terminates_and_the_horizon_truncates() -> None:
    env = PinpadEnv(**TINY, task=(2, 0))
    env.reset(options={"layout": LAYOUT})
    assert env.step(Move.RIGHT)[1:4] == (0.0, True, False)
    env.reset(options={"layout": LAYOUT})
    assert [env.step(Move.LEFT)[2:4] for _ in range(6)] == [(False, False)] * 5 + [(False, True)]


@pytest.mark.parametrize(("task", "reward"), [((2, 0), 0.0), ((0, 2), 0.0)])
def test_a_wrong_colour_at_the_horizon_terminates_and_a_right_one_that_is_not_the_last_truncates(
    task: tuple[int, int], reward: float
) -> None:
    env = PinpadEnv(**(TINY | {"horizon": 1}), task=task)
    env.reset(options={"layout": LAYOUT})
    wrong = task[0] != 0
    assert env.step(Move.RIGHT)[1:4] == (reward, wrong, not wrong)


def test_one_hot_observations_are_the_papers_637_numbers(plain: ModuleType) -> None:
    env = PinpadEnv(one_hot=True)
    assert env.observation_space.shape == (637,)
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        layout = seeded_layouts(env.world, np.array([seed]))[0].tolist()
        assert observation.tolist() == plain.PlainPinpad(7, 8, 100, layout, info["task"]).channels().tolist()


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_episodes_of_the_environment_are_those_of_the_plain_pinpad(plain: ModuleType, observation: str) -> None:
    env = PinpadEnv("small", observation=observation)
    draw, steps = np.random.default_rng(0), 0
    for seed in range(25):
        seen, info = env.reset(seed=seed)
        layout = seeded_layouts(env.world, np.array([seed]))[0].tolist()
        game = plain.PlainPinpad(9, 4, 64, layout, info["task"].tolist())
        assert seen.tolist() == game.observe(observation)
        over = False
        while not over:
            best = game.best_moves(game.target())
            move = int(best[0] if best and draw.random() < 0.7 else draw.integers(4))
            seen, reward, terminated, truncated, info = env.step(move)
            assert reward == game.move(move) and (terminated, truncated) == (game.terminated, game.truncated)
            assert seen.tolist() == game.observe(observation)
            assert (info["target"], info["progress"], info["success"]) == (game.target(), game.progress, game.success)
            over, steps = terminated or truncated, steps + 1
    assert steps > 300


def test_tasks_are_pretrainings_the_held_out_one_or_a_given_one() -> None:
    env = PinpadEnv()
    seen = {tuple(env.reset(seed=seed)[1]["task"].tolist()) for seed in range(200)}
    assert seen == {tuple(task) for task in pretraining_tasks(Pinpad()).tolist()}
    assert PinpadEnv(task="held-out").reset(seed=0)[1]["task"].tolist() == held_out_task(Pinpad()).tolist()
    given_one = PinpadEnv(task=[0, 1, 5])
    assert given_one.reset(seed=0)[1]["task"].tolist() == [0, 1, 5]
    assert given_one.reset(options={"task": [7, 0]})[1]["task"].tolist() == [7, 0]


def test_reset_without_a_seed_goes_on_to_another_episode_and_is_reproducible() -> None:
    def play() -> list[list[int]]:
        env = PinpadEnv("small")
        return [env.reset(seed=seed)[0].tolist() for seed in (4, None, None)]

    first = play()
    assert first == play() and len({tuple(each) for each in first}) == 3
    assert not np.array_equal(PinpadEnv("small").reset()[0], PinpadEnv("small").reset()[0])


def test_seeded_layouts_and_tasks_do_not_depend_on_company() -> None:
    for world in PINPADS.values():
        seeds = np.arange(300) * 7919
        whole, tasks = seeded_layouts(world, seeds), seeded_tasks(pretraining_tasks(world), seeds)
        for i in range(0, 300, 37):
            alone = seeds[i : i + 1]
            assert torch.equal(whole[i], seeded_layouts(world, alone)[0])
            assert torch.equal(tasks[i], seeded_tasks(pretraining_tasks(world), alone)[0])
            assert next_seeds(seeds)[i] == next_seeds(alone)[0]


def test_seeded_layouts_and_tasks_are_uniform() -> None:
    from scipy.stats import chisquare

    world = Pinpad(size=3, colours=1, walls=1, distance=2, subgoal=1)
    layouts = seeded_layouts(world, np.arange(12_000)).tolist()
    counts: dict[tuple[int, ...], int] = {}
    for layout in layouts:
        assert len(set(layout)) == 3
        counts[tuple(layout)] = counts.get(tuple(layout), 0) + 1
    # 9 * 8 ordered pairs less the 24 of neighbours, and 7 cells for the wall
    assert len(counts) == (72 - 24) * 7 and chisquare(list(counts.values())).pvalue > 0.001
    tasks = pretraining_tasks(PINPADS["small"])
    drawn = seeded_tasks(tasks, np.arange(8000))
    assert chisquare((drawn[:, None] == tasks).all(2).sum(0).tolist()).pvalue > 0.001


def test_episodes_of_the_first_seeds_and_of_those_that_follow_differ() -> None:
    world, seeds = Pinpad(), np.arange(500)
    layouts = torch.cat([seeded_layouts(world, seeds), seeded_layouts(world, next_seeds(seeds))])
    assert len(layouts.unique(dim=0)) == 1000


@settings(max_examples=15)
@given(
    world=st.sampled_from([TINY, {"world": "paper"}, {"world": "small", "horizon": 3}]),
    one_hot=st.booleans(),
    task=st.sampled_from(["pretraining", "held-out"]),
    mode=st.sampled_from(list(AutoresetMode)),
    n=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_a_vector_equals_single_environments_exactly_in_every_autoreset_mode(
    world: dict[str, Any], one_hot: bool, task: str, mode: AutoresetMode, n: int, seed: int
) -> None:
    options = {**world, "one_hot": one_hot, "task": task}
    vector = gymnasium.make_vec("workbench/Pinpad-v0", num_envs=n, autoreset_mode=mode, **options)
    single = SyncVectorEnv([lambda: PinpadEnv(**options)] * n, autoreset_mode=mode)
    assert isinstance(vector.unwrapped, PinpadVectorEnv) and vector.metadata["autoreset_mode"] is mode
    assert vector.observation_space == single.observation_space and vector.action_space == single.action_space
    assert data_equivalence(vector.reset(seed=seed), single.reset(seed=seed), exact=True)
    moves = np.random.default_rng(seed)
    for _ in range(15):
        actions = moves.integers(0, 4, n)
        mine, theirs = vector.step(actions), single.step(actions)
        finals = [each[4].pop("final_obs", None) for each in (mine, theirs)]  # arrays of arrays and None
        assert data_equivalence(mine, theirs, exact=True)
        assert (finals[0] is None) == (finals[1] is None)
        for a, b in zip(*finals, strict=True) if finals[0] is not None else ():
            assert (a is None) == (b is None) and (a is None or data_equivalence(a, b, exact=True))
        assert mine[0] in vector.observation_space
        if mode is AutoresetMode.DISABLED and (ended := mine[2] | mine[3]).any():
            fresh = [env.reset(options={"reset_mask": ended}) for env in (vector, single)]
            assert data_equivalence(*fresh, exact=True)
    assert data_equivalence(vector.reset(), single.reset(), exact=True)


def test_seeds_of_a_vector_may_be_a_list() -> None:
    envs = PinpadVectorEnv(3, "small")
    observation, _ = envs.reset(seed=[5, 900, 5])
    alone = [PinpadEnv("small").reset(seed=seed)[0] for seed in (5, 900, 5)]
    assert np.array_equal(observation, np.stack(alone))


def test_what_a_vector_returned_is_not_changed_by_later_steps() -> None:
    envs = PinpadVectorEnv(8, **TINY)
    returned = [*envs.reset(seed=0)]
    for _ in range(8):
        returned += envs.step(np.ones(8, dtype=np.int64))
    arrays = [a for part in returned for a in (part.values() if isinstance(part, dict) else [part])]
    before = [array.copy() for array in arrays]
    envs.reset(seed=1)
    envs.step(np.zeros(8, dtype=np.int64))
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_many_worlds_play_on_through_their_resets() -> None:
    envs, moves, ends, wins = PinpadVectorEnv(512, size=5, colours=4, walls=1, subgoal=1, horizon=40), 0, 0, 0
    envs.reset(seed=0)
    rng, over = np.random.default_rng(1), np.zeros(512, dtype=bool)
    for _ in range(60):
        _, rewards, terminated, truncated, info = envs.step(rng.integers(0, 4, 512))
        assert (
            not (terminated & truncated).any()
            and not (rewards[over]).any()
            and not (terminated | truncated)[over].any()
        )
        assert np.array_equal(rewards == 1, info["success"] & terminated)
        over = terminated | truncated
        moves, ends, wins = moves + 512, ends + int(over.sum()), wins + int(rewards.sum())
    assert ends > 1000 and wins > 0


@pytest.mark.parametrize("move", [4, -1])
def test_a_move_that_does_not_exist_raises_one_clear_line(move: int) -> None:
    env, envs = PinpadEnv(), PinpadVectorEnv(2)
    env.reset(seed=0), envs.reset(seed=0)
    with pytest.raises(DataError, match=f"move {move} does not exist: the moves are 0 LEFT, 1 RIGHT, 2 UP, 3 DOWN"):
        env.step(move)
    with pytest.raises(DataError, match=f"move {move} does not exist"):
        envs.step(np.array([0, move]))


def test_steps_outside_an_episode_ask_for_a_reset() -> None:
    env, envs = PinpadEnv(**TINY, task=(2, 0)), PinpadVectorEnv(2)
    for call in (lambda: env.step(0), lambda: envs.step(np.zeros(2, dtype=int))):
        with pytest.raises(gymnasium.error.ResetNeeded):
            call()
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True, False])})
    env.reset(options={"layout": LAYOUT})
    env.step(Move.RIGHT)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(Move.RIGHT)
    envs = PinpadVectorEnv(2, horizon=1, autoreset_mode="Disabled")
    envs.reset(seed=0)
    envs.step(np.zeros(2, dtype=int))
    with pytest.raises(gymnasium.error.ResetNeeded, match="the episode of world 0 is over: call reset"):
        envs.step(np.zeros(2, dtype=int))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: PinpadEnv("papr"), SpecError, "unknown pinpad 'papr'; did you mean 'paper'"),
        (lambda: PinpadEnv(colors=4), SpecError, "unknown option 'colors' of a pinpad; did you mean 'colours'"),
        (lambda: PinpadEnv(task="heldout"), SpecError, "did you mean 'held-out'"),
        (lambda: PinpadEnv(task=(0, 8)), DataError, "colours 0 to 7, found 0 to 8"),
        (lambda: PinpadEnv(task=(0, 0)), DataError, "twice in a row"),
        (lambda: PinpadEnv(task=()), DataError, "task"),
        (lambda: PinpadEnv(task=(0.5, 1)), DataError, "task must be a sequence of integers"),
        (lambda: PinpadEnv(colours=2), SpecError, "1 subgoals make no pretraining task"),
        (lambda: PinpadEnv(render_mode="human"), SpecError, "unknown render_mode 'human'"),
        (lambda: PinpadEnv().reset(options={"layuot": LAYOUT}), SpecError, "did you mean 'layout'"),
        (lambda: PinpadEnv(**TINY).reset(options={"layout": LAYOUT[:4]}), DataError, "has 6 cells .*, not 4"),
        (
            lambda: PinpadEnv(**TINY).reset(options={"layout": [0, *LAYOUT[:5]]}),
            DataError,
            "must differ and lie in 0 to 15",
        ),
        (lambda: PinpadEnv(**TINY).reset(options={"layout": [16, *LAYOUT[1:]]}), DataError, "lie in 0 to 15"),
        (lambda: PinpadVectorEnv(0), SpecError, "num_envs 0 is too few"),
        (lambda: PinpadVectorEnv(2, autoreset_mode="NEXT"), SpecError, "unknown autoreset_mode 'NEXT'"),
        (lambda: PinpadVectorEnv(2).reset(seed=[1]), DataError, "1 seeds for 2 environments"),
        (lambda: PinpadVectorEnv(2).reset(seed=[1, -2]), DataError, "seed -2 is negative"),
        (lambda: PinpadVectorEnv(2).reset(options={"reset_mask": np.zeros(2)}), DataError, "give 2 booleans"),
        (lambda: PinpadVectorEnv(2).reset(options={"layout": LAYOUT}), SpecError, "unknown reset option 'layout'"),
    ],
)
def test_unusable_input_is_refused_in_one_line(call: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_float_actions_of_a_vector_are_refused() -> None:
    envs = PinpadVectorEnv(2)
    envs.reset(seed=0)
    with pytest.raises(DataError, match="2 integers"):
        envs.step(np.array([0.0, 1.0]))


def test_a_rendered_state_is_a_picture_of_it() -> None:
    from workbench.worlds.pinpad.pictures import pinpad_picture

    env = PinpadEnv(**TINY, task=(0, 2), render_mode="rgb_array", tile_size=16)
    assert env.render() is None
    env.reset(options={"layout": LAYOUT})
    assert np.array_equal(env.render(), pinpad_picture(env.world, LAYOUT[1:], 0, target=0, tile_size=16))
    env.step(Move.RIGHT), env.step(Move.RIGHT)
    assert np.array_equal(env.render(), pinpad_picture(env.world, LAYOUT[1:], 2, tile_size=16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_vector_on_a_gpu_equals_one_on_the_cpu() -> None:
    here, there = PinpadVectorEnv(64, "small"), PinpadVectorEnv(64, "small", device="cuda")
    assert data_equivalence(here.reset(seed=0), there.reset(seed=0), exact=True)
    for step in range(40):
        actions = np.random.default_rng(step).integers(0, 4, 64)
        assert data_equivalence(here.step(actions), there.step(actions), exact=True)
