"""Episodes drawn ahead are those that follow one another by seed, whoever asks, however often, in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from workbench.worlds.pinpad.env import PinpadEnv, PinpadVectorEnv
from workbench.worlds.pinpad.pinpad import Pinpad, begin, draw_layouts
from workbench.worlds.pinpad.seeds import EpisodesAhead, next_seeds, seeded_layouts, seeded_tasks
from workbench.worlds.pinpad.tasks import pretraining_tasks

WORLD = Pinpad(size=4, colours=4, walls=1, horizon=3, subgoal=1)
TASKS = pretraining_tasks(WORLD)


@given(st.lists(st.sets(st.integers(0, 4), min_size=1), max_size=20), st.integers(0, 2**40))
def test_what_is_taken_is_the_chain_of_each_world(asked: list[set[int]], seed: int) -> None:
    last = seed + np.arange(5)
    ahead, given_seeds = EpisodesAhead(WORLD, TASKS, last), last.copy()
    for some in asked:
        rows = np.array(sorted(some, reverse=True))
        last[rows] = next_seeds(last[rows])
        seeds, layouts, tasks = ahead.take(rows)
        assert seeds.tolist() == last[rows].tolist()
        assert torch.equal(layouts, seeded_layouts(WORLD, last[rows]))
        assert torch.equal(tasks, seeded_tasks(TASKS, last[rows]))
    assert given_seeds.tolist() == (seed + np.arange(5)).tolist()  # what came in stays as it was


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_many_restarts_and_resets_between_them_equal_single_environments(mode: AutoresetMode) -> None:
    vector = PinpadVectorEnv(3, WORLD, autoreset_mode=mode)
    single = SyncVectorEnv([lambda: PinpadEnv(WORLD)] * 3, autoreset_mode=mode)
    moves = np.random.default_rng(0)
    for start in (5, None, 8):
        a, b = (env.reset(seed=start) for env in (vector, single))
        assert np.array_equal(a[0], b[0])
        for _ in range(40):  # at most three steps an episode: far more restarts than are ready
            actions = moves.integers(0, 4, 3)
            mine, theirs = vector.step(actions), single.step(actions)
            for ours, other in zip(mine[:4], theirs[:4], strict=True):
                assert np.array_equal(ours, other)
            assert np.array_equal(mine[4]["task"], theirs[4]["task"])


def test_restarting_in_place_equals_beginning_anew() -> None:
    generator = torch.Generator().manual_seed(0)
    layouts, rows = draw_layouts(WORLD, 9, generator), torch.tensor([4, 0, 2])
    state = begin(WORLD, layouts[:6], TASKS[:6])
    for part in (state.progress, state.time):
        part.fill_(2)
    for part in (state.done, state.success):
        part.fill_(True)
    other = state[torch.arange(6)]
    other.put_(rows, begin(WORLD, layouts[6:], TASKS[1:4]))
    state.restart_(rows, layouts[6:], TASKS[1:4])
    for name in ("agent", "colours", "walls", "task", "progress", "time", "done", "success", "contents"):
        assert torch.equal(getattr(state, name), getattr(other, name)), name
    assert state.done.tolist() == [False, True, False, True, False, True]
