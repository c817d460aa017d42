"""The Gymnasium grids: conformance, dynamics against MiniGrid's own objects, caps, rewards, seeds, refusals."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from minigrid.core.world_object import Door, Key

import workbench.worlds  # noqa: F401  (registers)
from workbench.errors import DataError, SpecError
from workbench.worlds.grids.grid import MARKS, GridEnv
from workbench.worlds.grids.layouts import Layout
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.oracles import astar
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move

NAMES = {
    "Grid": ("maze", {"size": 9, "density": 0.4}),
    "KeyDoor": ("KeyDoor", {"size": 8}),
    "KeyNoDoor": ("KeyNoDoor", {"size": 7}),
    "2PathKey": ("2PathKey", {"size": 6}),
}
SEEDS = st.integers(0, 10**6)


@pytest.mark.parametrize("name", NAMES)
def test_check_env_passes_without_a_warning(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # the check opens a window
    _, parameters = NAMES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The system font")  # MiniGrid's own
        env = gymnasium.make(f"workbench/{name}-v0", render_mode="rgb_array", **parameters)
        check_env(env.unwrapped)
        env.reset(seed=0)
        env.step(0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 5])
def test_reset_draws_the_layout_of_the_seed(name: str, seed: int) -> None:
    structure, parameters = NAMES[name]
    env = gymnasium.make(f"workbench/{name}-v0", **parameters)
    observation, info = env.reset(seed=seed)
    layout = make_layout(structure=structure, seed=seed, **parameters)
    assert info["layout"] == layout and info["state"] == layout.initial
    assert info["distance"] == layout.distance(layout.initial)
    assert observation in env.observation_space


def test_make_finds_the_environment_by_module_and_name() -> None:
    code = "import gymnasium; gymnasium.make('workbench.worlds:workbench/KeyDoor-v0', size=9)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_minigrid_is_not_loaded_by_what_does_not_need_it() -> None:
    code = (
        "import sys; from workbench.worlds.grids import GridText, astar, make_layout;"
        "layout = make_layout(7, 0.4); astar(layout, layout.initial);"
        "GridText().prompt(layout, layout.initial); sys.exit('minigrid' in sys.modules or 'pygame' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def by_minigrid(env: GridEnv, move: Move) -> tuple[tuple[int, int], bool]:
    """Where MiniGrid's objects let the agent go, and whether it then holds a key."""
    column, row = env.agent_pos[0] + move.delta[1], env.agent_pos[1] + move.delta[0]
    thing, held = env.grid.get(column, row), env.carrying is not None
    if isinstance(thing, Key):
        return (row, column), True
    if isinstance(thing, Door) and held:
        thing = None if thing.is_open else thing
    free = thing is None or thing.can_overlap()
    return ((row, column) if free else env.agent_pos[::-1]), held


@given(st.sampled_from(sorted(NAMES)), SEEDS, SEEDS)
def test_random_walks_follow_the_layout_and_minigrids_objects(name: str, seed: int, walk: int) -> None:
    structure, parameters = NAMES[name]
    env = GridEnv(structure=structure, **parameters)
    observation, info = env.reset(seed=seed)
    state, over = info["state"], False
    for action in np.random.default_rng(walk).integers(4, size=60):
        if over:
            break
        expected = by_minigrid(env, Move(int(action)))
        state = env.layout.after(state, Move(int(action)))
        observation, _, terminated, truncated, info = env.step(action)
        assert info["state"] == state == expected
        assert observation in env.observation_space and observation["has_key"] == state.has_key
        text = GridText().picture(env.layout, state).splitlines()[1:]
        assert [[MARKS[n] for n in row] for row in observation["grid"]] == [line.split()[1:] for line in text]
        assert np.flatnonzero(info["optimal"]).tolist() == list(env.layout.optimal_moves(state))
        over = terminated or truncated


@given(st.sampled_from(sorted(NAMES)), SEEDS)
def test_the_optimal_path_terminates_with_minigrids_reward(name: str, seed: int) -> None:
    structure, parameters = NAMES[name]
    env = GridEnv(structure=structure, **parameters)
    _, info = env.reset(seed=seed)
    moves = astar(info["layout"], info["state"])
    outcomes = [env.step(move)[1:4] for move in moves]
    assert outcomes[:-1] == [(0, False, False)] * (len(moves) - 1)
    cap = math.ceil(1.5 * len(moves))
    assert outcomes[-1] == (pytest.approx(1 - 0.9 * len(moves) / cap), True, False)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


CORNER = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(1, 1), goal=(3, 2))


@pytest.mark.parametrize(("distance", "goal", "cap"), [(3, (3, 2), 5), (2, (1, 3), 3), (4, (3, 3), 6)])
def test_an_episode_is_truncated_at_one_and_a_half_times_the_optimal_length(
    distance: int, goal: tuple[int, int], cap: int
) -> None:
    env = GridEnv(layout=Layout(CORNER.rows, (1, 1), goal))
    assert env.reset()[1]["distance"] == distance
    ends = [env.step(Move.UP)[1:4] for _ in range(cap)]
    assert ends == [(0.0, False, False)] * (cap - 1) + [(0.0, False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_reaching_the_goal_on_the_last_step_terminates_and_does_not_truncate() -> None:
    env = GridEnv(layout=CORNER)
    env.reset()
    for move in (Move.UP, Move.UP, Move.DOWN, Move.DOWN):
        env.step(move)
    assert env.step(Move.RIGHT)[1:4] == (pytest.approx(0.1), True, False)


def test_a_layout_can_be_given_for_one_episode_or_for_all() -> None:
    env = GridEnv(size=5)
    assert env.reset(seed=1, options={"layout": CORNER})[1]["layout"] == CORNER
    assert env.reset(seed=1)[1]["layout"] == make_layout(5, seed=1)
    made = gymnasium.make("workbench/Grid-v0", layout=CORNER)
    assert all(made.reset(seed=seed)[1]["layout"] == CORNER for seed in (0, 1))
    other = Layout(CORNER.rows, (1, 1), (3, 3))
    assert made.reset(options={"layout": other})[1]["layout"] == other


def test_reset_without_a_seed_goes_on_to_another_layout_and_is_reproducible() -> None:
    def layouts() -> list[Layout]:
        env = GridEnv(size=7, density=0.6)
        return [env.reset(seed=seed)[1]["layout"] for seed in (4, None, None)]

    assert layouts() == layouts() and len(set(layouts())) == 3
    assert GridEnv(density=0.6).reset()[1]["layout"] != GridEnv(density=0.6).reset()[1]["layout"]


@pytest.mark.parametrize("side", [True, False])
def test_held_out_layouts_can_be_asked_for(side: bool) -> None:
    env = gymnasium.make("workbench/Grid-v0", density=0.4, held_out=side)
    assert {env.reset(seed=seed)[1]["layout"].held_out for seed in range(20)} == {side}


def test_a_vector_of_grids_steps_like_single_ones_and_says_how_it_resets() -> None:
    vector = gymnasium.make_vec(
        "workbench/KeyDoor-v0", 3, "sync", size=7, vector_kwargs={"autoreset_mode": AutoresetMode.NEXT_STEP}
    )
    assert isinstance(vector.unwrapped, SyncVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    singles = [GridEnv(size=7, structure="KeyDoor") for _ in range(3)]
    observation, infos = vector.reset(seed=10)
    firsts = [env.reset(seed=10 + i) for i, env in enumerate(singles)]
    assert observation["grid"].shape == (3, 7, 7) and infos["optimal"].shape == (3, 4)
    assert np.array_equal(observation["grid"], [first["grid"] for first, _ in firsts])
    rng, over = np.random.default_rng(0), [False] * 3
    for _ in range(40):
        actions = rng.integers(4, size=3)
        observation, reward, terminated, truncated, _ = vector.step(actions)
        for i, env in enumerate(singles):
            single = (env.reset()[0], 0.0, False, False) if over[i] else env.step(actions[i])[:4]
            assert np.array_equal(observation["grid"][i], single[0]["grid"])
            assert (reward[i], terminated[i], truncated[i]) == single[1:]
            over[i] = bool(terminated[i] or truncated[i])


def test_rendering_shows_the_state_and_follows_the_agent() -> None:
    env = gymnasium.make("workbench/KeyDoor-v0", size=7, render_mode="rgb_array", tile_size=8)
    _, info = env.reset(seed=0)
    before = env.render()
    assert before.shape == (56, 56, 3) and before.dtype == np.uint8
    env.step(astar(info["layout"], info["state"])[0])
    assert not np.array_equal(before, env.render())


UNREACHABLE_GOAL = Layout(("#####", "#_#_#", "#_#_#", "#_#_#", "#####"), start=(1, 1), goal=(1, 3))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: GridEnv(size=6), SpecError, "must be odd"),
        (lambda: GridEnv(size=5, structure="KeyDoor"), SpecError, "at least 6"),
        (lambda: GridEnv(structure="Keydoor"), SpecError, "did you mean 'KeyDoor'"),
        (lambda: GridEnv(density=2.0), SpecError, "density must be a finite number from 0 to 1, not 2.0"),
        (lambda: GridEnv(structure="KeyDoor", density=0.4), SpecError, "a KeyDoor grid has no wall density"),
        (lambda: GridEnv(layout=UNREACHABLE_GOAL), DataError, r"no way leads from the start \(1, 1\) to the goal"),
        (lambda: GridEnv().reset(options={"layout": CORNER}), DataError, "size 5 does not fit .* size 7"),
        (lambda: GridEnv().reset(options={"layout": "maze"}), DataError, "must be a Layout, not a str"),
        (lambda: GridEnv().reset(options={"layuot": CORNER}), SpecError, "unknown reset option 'layuot'; did you mean"),
    ],
)
def test_unusable_options_are_refused_in_one_line(call, error: type[Exception], says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("action", [4, -1, 1.0, "UP", None])
def test_a_move_that_does_not_exist_raises_one_clear_line(action: object) -> None:
    env = GridEnv()
    env.reset(seed=0)
    with pytest.raises(DataError, match="does not exist: the moves are 0 LEFT, 1 RIGHT, 2 UP, 3 DOWN"):
        env.step(action)  # type: ignore[arg-type]


def test_a_step_before_the_first_episode_asks_for_a_reset() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        GridEnv().step(0)
