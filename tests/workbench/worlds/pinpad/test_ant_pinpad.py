"""The ant pinpad: conformance, its task logic against the grid's, endings, seeds, what is observed, refusals."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import DataError, MissingExtraError, SpecError
from workbench.worlds.moves import Move
from workbench.worlds.pinpad.ant_pinpad import AntPinpad
from workbench.worlds.pinpad.ant_world import AntWorld, symlog
from workbench.worlds.pinpad.expert import distances, solvable
from workbench.worlds.pinpad.pinpad import Pinpad, begin, step

LAYOUT = [0, 2, 7, 13, 15, 5]  # the agent, colours 0 to 3, the wall
SEEDS = st.integers(0, 10**6)
needs_extra = pytest.mark.skipif(
    not (find_spec("mujoco") and find_spec("imageio")), reason="the extra mujoco is not installed"
)


@pytest.fixture(scope="module")
def ant() -> AntPinpad:
    return AntPinpad()


def put(env: AntPinpad, xy: Any = None, height: float | None = None) -> dict[str, Any]:
    """Move the ant somewhere and let the rules look at it: a step in which no time passes."""
    qpos = env.body.data.qpos.copy()
    if xy is not None:
        qpos[:2] = xy
    qpos[2] = 0.55 if height is None else height
    env.body.set_state(qpos, np.zeros(14))
    env.body.do_simulation = lambda *_: None
    try:
        return env.step(np.zeros(8))[4]
    finally:
        del env.body.do_simulation


@needs_extra
def test_check_env_passes_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("workbench.worlds:workbench/AntPinpad-v0").unwrapped)


@needs_extra
def test_ants_in_a_vector_walk_as_each_alone() -> None:
    ants = gymnasium.make_vec("workbench.worlds:workbench/AntPinpad-v0", num_envs=3)
    alone = [AntPinpad() for _ in range(3)]
    together, _ = ants.reset(seed=11)
    singly = [env.reset(seed=11 + number)[0] for number, env in enumerate(alone)]
    over, ended = [False] * 3, set()
    for t in range(150):
        assert np.array_equal(together, np.stack(singly))
        torques = np.random.default_rng(t).uniform(-1, 1, (3, 8)).astype(np.float32)
        together, _, _, _, info = ants.step(torques)
        for number, env in enumerate(alone):
            found = env.reset() if over[number] else env.step(torques[number])
            singly[number], told = found[0], found[-1]
            over[number] = bool(told["ended"])
            assert info["cell"][number] == told["cell"] and info["ended"][number] == told["ended"]
            ended.add(told["ended"])
    assert len(ended) > 1


def test_mujoco_is_loaded_by_making_an_ant_and_not_before() -> None:
    code = "import sys; import workbench.worlds.pinpad.ant_pinpad; sys.exit('mujoco' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_mujoco_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.worlds.pinpad.ant_pinpad.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"activation-workbench\[mujoco\]"):
        AntPinpad()


@needs_extra
def test_the_same_seed_and_torques_give_the_same_episode_bit_for_bit(ant: AntPinpad) -> None:
    other = AntPinpad()
    other.reset(seed=3)  # another history
    first, second = ant.reset(seed=7), other.reset(seed=7)
    assert np.array_equal(first[0], second[0]) and first[1] == second[1]
    for number in range(40):
        torques = np.random.default_rng(number).uniform(-1, 1, 8)
        a, b = ant.step(torques), other.step(torques)
        assert np.array_equal(a[0], b[0]) and a[1:] == b[1:]
        if a[4]["ended"]:
            break
    assert np.array_equal(ant.reset()[0], other.reset()[0]), "and so does the episode that follows"


@needs_extra
def test_other_seeds_give_other_worlds_tasks_and_starts(ant: AntPinpad) -> None:
    worlds, tasks, starts = set(), set(), set()
    for seed in range(40):
        ant.reset(seed=seed)
        worlds.add(tuple(ant.layout))
        tasks.add(ant.task)
        starts.add(tuple(ant.xy))
    assert len(worlds) > 35 and len(tasks) > 10 and len(starts) == 40


@needs_extra
@given(SEEDS)
@settings(max_examples=15)
def test_the_ant_starts_upright_within_its_cell(ant: AntPinpad, seed: int) -> None:
    ant.reset(seed=seed)
    qpos = ant.body.data.qpos
    assert np.abs(ant.xy - ant.world.centre(ant.layout[0])).max() <= 0.8
    assert qpos[4] == qpos[5] == 0 and abs(qpos[2] - 0.75) <= 0.1 and np.abs(qpos[7:]).max() <= 0.1
    assert ant.cell == ant.layout[0] and ant.world.cell_at(ant.xy) == ant.cell


@needs_extra
@given(SEEDS)
@settings(max_examples=25)
def test_walks_from_cell_to_cell_follow_the_rules_of_the_grid(ant: AntPinpad, seed: int) -> None:
    rules = ant.world.rules
    rng = np.random.default_rng(seed)
    ant.reset(seed=seed)
    grid = begin(rules, torch.from_numpy(ant.layout)[None], torch.tensor([ant.task]))
    for _ in range(30):
        move = int(rng.integers(4))
        grid, reward = step(rules, grid, torch.tensor([move]))
        row, column = divmod(ant.last_cell, rules.size)
        row, column = Move(move).of((row, column))
        inside = 0 <= row < rules.size and 0 <= column < rules.size
        to = row * rules.size + column
        if not inside or to in ant.layout[5:].tolist():
            continue  # the grid's agent stays where it is; the ant's episode would end
        info = put(ant, ant.world.centre(np.array(to)))
        assert info["cell"] == grid.agent.item() and info["progress"] == grid.progress.item()
        assert info["success"] == grid.success.item() == bool(reward)
        assert (info["ended"] in ("success", "wrong colour")) == grid.done.item()
        if info["ended"]:
            return
        assert info["target"] == grid.target.item()


@needs_extra
@pytest.mark.parametrize(
    ("xy", "height", "ended"),
    [
        ((-1.0, 1.0), None, "wall"),  # cell 5
        ((-4.2, 3.0), None, "wall"),  # west of the arena
        ((-3.0, 4.1), None, "wall"),
        (None, 1.3, "fell"),
        (None, 0.1, "fell"),
        ((1.0, 3.0), None, ""),  # colour 0, which is next
        ((-3.0, 1.0), None, ""),
    ],
)
def test_episodes_end_in_walls_outside_and_on_falling(ant: AntPinpad, xy: Any, height: Any, ended: str) -> None:
    ant.reset(seed=0, options={"layout": LAYOUT, "task": (0, 1, 2)})
    info = put(ant, xy, height)
    assert info["ended"] == ended
    if ended:
        with pytest.raises(gymnasium.error.ResetNeeded):
            ant.step(np.zeros(8))


@needs_extra
def test_the_whole_task_pays_one_and_terminates(ant: AntPinpad) -> None:
    ant.reset(seed=0, options={"layout": LAYOUT, "task": "held_out"})
    assert ant.task == (0, 1, 2, 3)
    rewards = []
    for cell in (2, 7, 11, 13, 15):  # 11 is plain; leaving a colour and standing on it pay nothing
        ant.body.set_state(np.array([*ant.world.centre(np.array(cell)), 0.55, 1, *[0] * 11], float), np.zeros(14))
        _, reward, terminated, truncated, info = ant.step(np.zeros(8))
        rewards.append(reward)
    assert rewards == [0, 0, 0, 0, 1] and terminated and not truncated and info["ended"] == "success"


def glide(env: AntPinpad, metres: float) -> str:
    """Slide the ant along the way that its expert is told, to the end of the episode, and say how that was."""
    while not env.ended:
        put(env, env.xy + metres * env.direction)
    return env.ended


@needs_extra
@pytest.mark.parametrize("task", ["pretraining", "held_out"])
def test_following_the_way_completes_every_task_that_can_be_done(task: str) -> None:
    env = AntPinpad(task=task, solvable=True)
    ended = []
    for seed in range(25):
        env.reset(seed=seed)
        ended.append(glide(env, 0.1))  # 2 m/s
    assert set(ended) == {"success"}


@needs_extra
def test_coming_back_to_a_colour_that_is_done_is_a_wrong_colour(ant: AntPinpad) -> None:
    ant.reset(seed=0, options={"layout": LAYOUT, "task": (0, 1, 2)})
    assert [put(ant, ant.world.centre(np.array(cell)))["ended"] for cell in (2, 3, 2)] == ["", "", "wrong colour"]


@needs_extra
def test_the_horizon_truncates() -> None:
    env = AntPinpad(AntWorld(Pinpad(size=4, colours=4, walls=1, horizon=3, subgoal=1)))
    env.reset(seed=1)
    steps = [env.step(np.zeros(8)) for _ in range(3)]
    assert [(s[2], s[3], s[4]["ended"]) for s in steps] == [(False, False, "")] * 2 + [(False, True, "time")]


@needs_extra
def test_what_is_observed_is_where_the_documentation_says(ant: AntPinpad) -> None:
    seen, _ = ant.reset(seed=0, options={"layout": LAYOUT})
    data, xy = ant.body.data, ant.xy
    np.testing.assert_allclose(seen[:27], symlog(np.concatenate([data.qpos[2:], data.qvel])), rtol=1e-6)
    np.testing.assert_allclose(seen[27:29], xy / 4, rtol=1e-6)
    centres = np.array([[1, 3], [3, 1], [-1, -3], [3, -3], [-1, 1]])  # of cells 2, 7, 13, 15 and 5
    np.testing.assert_allclose(seen[29:39].reshape(5, 2), (centres - xy) / 4, rtol=1e-5)
    np.testing.assert_allclose(seen[39:], xy - [-3, 3], rtol=1e-5, atol=1e-6)  # cells are 2 m: half a cell is 1 m
    assert seen.dtype == np.float32


@needs_extra
def test_the_task_is_not_observed(ant: AntPinpad) -> None:
    a, b = (ant.reset(seed=4, options={"layout": LAYOUT, "task": task})[0] for task in ((0, 2, 1), (3, 1, 0)))
    assert np.array_equal(a, b)


@needs_extra
def test_solvable_draws_only_worlds_in_which_the_task_can_be_done() -> None:
    env, rules = AntPinpad(solvable=True), AntWorld().rules
    free = AntPinpad()
    found = []
    for seed in range(30):
        for each in (env, free):
            each.reset(seed=seed)
            layout = torch.from_numpy(each.layout)[None]
            found.append(bool(solvable(rules, layout, torch.tensor([each.task]), distances(rules, layout))))
    assert all(found[::2]) and not all(found[1::2])


@needs_extra
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layot": LAYOUT}, "did you mean 'layout'"),
        ({"layout": LAYOUT[:-1]}, "6 different cells"),
        ({"layout": [*LAYOUT[:-1], 16]}, "6 different cells"),
        ({"layout": [*LAYOUT[:-1], 0]}, "6 different cells"),
        ({"task": "held-out"}, "did you mean 'held_out'"),
        ({"task": (0, 4)}, "colours 0 to 3"),
        ({"task": (1, 1)}, "twice in a row"),
    ],
)
def test_what_does_not_fit_is_refused(ant: AntPinpad, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        ant.reset(seed=0, options=options)


@needs_extra
@pytest.mark.parametrize("torques", [np.zeros(7), np.full(8, np.nan)])
def test_torques_that_are_none_are_refused(ant: AntPinpad, torques: np.ndarray) -> None:
    ant.reset(seed=0)
    with pytest.raises(DataError, match="8 finite torques"):
        ant.step(torques)
