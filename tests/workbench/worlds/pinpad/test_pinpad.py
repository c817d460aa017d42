"""The batched pinpad: held against plain Python step by step, and its rules one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import combinations
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import DataError, SpecError
from workbench.worlds.moves import Move
from workbench.worlds.pinpad.pinpad import (
    OBSERVATIONS,
    PINPADS,
    Pinpad,
    PinpadState,
    begin,
    draw_layouts,
    observe,
    step,
)
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks

RIGHT, DOWN = Move.RIGHT, Move.DOWN
# Row by row: the agent at 0, colours 0 to 3 at 1, 15, 2 and 3, a wall at 4 (below the agent).
TINY = Pinpad(size=4, colours=4, walls=1, horizon=6, subgoal=1)
LAYOUT = [0, 1, 15, 2, 3, 4]


def start(task: list[int], world: Pinpad = TINY) -> PinpadState:
    return begin(world, torch.tensor([LAYOUT]), torch.tensor([task]))


def play(world: Pinpad, state: PinpadState, *moves: Move) -> tuple[PinpadState, list[float]]:
    rewards = []
    for move in moves:
        state, reward = step(world, state, torch.full_like(state.agent, move))
        rewards.append(reward.item())
    return state, rewards


@st.composite
def pinpads(draw: Any) -> Pinpad:
    size, subgoal = draw(st.integers(3, 7)), draw(st.integers(1, 2))
    colours = subgoal * draw(st.integers(2 if subgoal == 1 else 1, 4 if size > 3 else 6 // subgoal // 2))
    walls = draw(st.integers(0, size))
    return Pinpad(size=size, colours=colours, walls=walls, horizon=draw(st.integers(1, 30)), subgoal=subgoal)


def random_tasks(n: int, length: int, colours: int, generator: torch.Generator) -> torch.Tensor:
    """Tasks without a colour twice in a row."""
    tasks = torch.randint(colours, (n, length), generator=generator)
    for i in range(1, length):
        tasks[:, i] = torch.where(tasks[:, i] == tasks[:, i - 1], (tasks[:, i] + 1) % colours, tasks[:, i])
    return tasks


def agree(plain: ModuleType, world: Pinpad, n: int, length: int, seed: int, towards: float) -> int:
    """Play ``n`` episodes in both, step by step, the share ``towards`` of moves by the expert; the successes."""
    generator = torch.Generator().manual_seed(seed)
    layouts, tasks = draw_layouts(world, n, generator), random_tasks(n, length, world.colours, generator)
    state = begin(world, layouts, tasks)
    games = [
        plain.PlainPinpad(world.size, world.colours, world.horizon, layout, task)
        for layout, task in zip(layouts.tolist(), tasks.tolist(), strict=True)
    ]
    objects = torch.cat([state.colours, state.walls], 1)
    for _ in range(world.horizon + 1):
        moves = torch.randint(4, (n,), generator=generator)
        for i in (torch.rand(n, generator=generator) < towards).nonzero()[:, 0].tolist():
            if not games[i].terminated and (best := games[i].best_moves(games[i].target())):
                moves[i] = best[0]
        for form in OBSERVATIONS:
            found = observe(replace(world, observation=form), state.agent, objects)
            assert found.tolist() == [game.observe(form) for game in games]
        state, reward = step(world, state, moves)
        assert reward.tolist() == [
            0.0 if game.terminated or game.truncated else game.move(move)
            for game, move in zip(games, moves.tolist(), strict=True)
        ]
        for name, values in {
            "agent": [game.agent[0] * world.size + game.agent[1] for game in games],
            "progress": [game.progress for game in games],
            "time": [game.time for game in games],
            "done": [game.terminated or game.truncated for game in games],
            "success": [game.success for game in games],
            "target": [game.target() for game in games],
        }.items():
            assert getattr(state, name).tolist() == values, name
    assert state.done.all()
    return int(state.success.sum())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pinpads(), st.integers(1, 4), st.integers(0, 10**6), st.sampled_from([0.0, 0.8]))
def test_batched_and_plain_worlds_agree_on_every_step(
    plain: ModuleType, world: Pinpad, length: int, seed: int, towards: float
) -> None:
    if world.colours == 1:
        length = 1
    agree(plain, world, 8, length, seed, towards)


@pytest.mark.parametrize("towards", [0.0, 0.95])
def test_batched_and_plain_worlds_agree_on_thousands_of_the_papers_episodes(plain: ModuleType, towards: float) -> None:
    n = 2000 if towards == 0 else 150
    successes = agree(plain, replace(PINPADS["paper"], horizon=60 if towards else 20), n, 3, 5, towards)
    assert towards == 0 or successes > n // 3  # the comparison saw tasks completed


def test_moves_go_where_their_names_say() -> None:
    world = Pinpad(size=3, colours=2, walls=0, subgoal=1)
    layouts = torch.tensor([[4, 0, 8]]).repeat(4, 1)
    state, _ = step(world, begin(world, layouts, torch.tensor([[0, 1]]).repeat(4, 1)), torch.arange(4))
    assert dict(zip([move.name for move in Move], state.agent.tolist(), strict=True)) == {
        "LEFT": 3, "RIGHT": 5, "UP": 1, "DOWN": 7,
    }  # fmt: skip


def test_a_bump_into_wall_or_border_takes_time_and_nothing_else() -> None:
    state, rewards = play(TINY, start([0, 2]), DOWN, Move.LEFT, Move.UP)
    assert (state.agent.item(), state.time.item(), state.done.item(), rewards) == (0, 3, False, [0, 0, 0])


def test_the_right_colour_makes_progress_and_the_last_one_pays() -> None:
    state, rewards = play(TINY, start([0, 2, 3]), RIGHT, RIGHT)
    assert (state.progress.item(), state.target.item(), rewards) == (2, 3, [0, 0])
    state, rewards = play(TINY, state, RIGHT)
    assert rewards == [1] and state.done.item() and state.success.item() and state.target.item() == 3


def test_another_colour_ends_the_episode_without_reward() -> None:
    state, rewards = play(TINY, start([2, 0]), RIGHT)
    assert state.done.item() and not state.success.item() and rewards == [0] and state.progress.item() == 0


def test_a_bump_on_a_colour_does_not_enter_it_again() -> None:
    state, _ = play(TINY, start([0, 2, 0]), RIGHT, Move.UP, Move.UP)
    assert state.agent.item() == 1 and not state.done.item() and state.progress.item() == 1


def test_an_episode_ends_at_the_horizon_and_success_there_counts() -> None:
    state, _ = play(TINY, start([0, 2]), *[Move.LEFT] * 5)
    assert not state.done.item()
    state, rewards = play(TINY, state, Move.LEFT)
    assert state.done.item() and not state.success.item() and rewards == [0]
    short = replace(TINY, horizon=2)
    state, rewards = play(short, start([0, 2], short), RIGHT, RIGHT)
    assert state.success.item() and rewards == [0, 1]


def test_worlds_that_are_done_stay_as_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    world = PINPADS["paper"]
    state = begin(world, draw_layouts(world, 500, generator), held_out_task(world).expand(500, -1))
    for _ in range(30):
        before = state
        state, reward = step(world, state, torch.randint(4, (500,), generator=generator))
        frozen = before.done.nonzero()[:, 0]
        assert not reward[frozen].any()
        for field in fields(PinpadState):
            assert torch.equal(getattr(state, field.name)[frozen], getattr(before, field.name)[frozen]), field.name
    assert before.done.sum() > 400


def test_step_leaves_the_state_it_was_given() -> None:
    state = start([0, 2])
    kept = {field.name: getattr(state, field.name).clone() for field in fields(PinpadState)}
    play(TINY, state, RIGHT)
    assert all(torch.equal(getattr(state, name), value) for name, value in kept.items())


def test_where_put_and_rows_choose_whole_worlds() -> None:
    world, generator = PINPADS["small"], torch.Generator().manual_seed(1)
    a, b = (
        begin(world, draw_layouts(world, 4, generator), pretraining_tasks(world)[torch.tensor([i, 3, 4, 5])])
        for i in (0, 9)
    )
    a, _ = step(world, a, torch.tensor([0, 1, 2, 3]))
    mixed = a.where(torch.tensor([True, False, True, False]), b)
    every = torch.arange(4)
    placed, cut = a[every], a[1:3]
    placed.put_(torch.tensor([3, 1]), b[torch.tensor([3, 1])])
    for field in fields(PinpadState):
        expected = torch.stack([getattr(each, field.name)[i] for i, each in enumerate([a, b, a, b])])
        assert torch.equal(getattr(mixed, field.name), expected)
        assert torch.equal(getattr(placed, field.name), expected)
        assert torch.equal(getattr(cut, field.name), getattr(a, field.name)[1:3])


def test_a_state_owns_its_tensors() -> None:
    """So that ``put_`` changes neither what the state was begun from nor two of its parts at once."""
    world, generator = PINPADS["small"], torch.Generator().manual_seed(1)
    layouts, task = draw_layouts(world, 4, generator), held_out_task(world)
    kept = layouts.clone(), task.clone()
    state, other = (begin(world, layouts, task.expand(4, -1)) for _ in range(2))
    other, _ = step(world, other, torch.tensor([0, 1, 2, 3]))
    state.put_(torch.tensor([0, 1]), other[torch.tensor([2, 3])])
    assert state.time.tolist() == [1, 1, 0, 0] and not state.progress.any()
    assert torch.equal(layouts, kept[0]) and torch.equal(task, kept[1])


def test_the_papers_observation_has_a_channel_a_thing(plain: ModuleType) -> None:
    world = PINPADS["paper"]
    generator = torch.Generator().manual_seed(2)
    layouts = draw_layouts(world, 50, generator)
    fields_ = observe(world, layouts[:, 0], layouts[:, 1:])
    hot = torch.nn.functional.one_hot(fields_, 49).flatten(1).float()
    assert hot.shape == (50, 637)
    for layout, row in zip(layouts.tolist(), hot, strict=True):
        assert torch.equal(row, torch.from_numpy(plain.PlainPinpad(7, 8, 100, layout, [0]).channels()))


@pytest.mark.parametrize("form", OBSERVATIONS)
@pytest.mark.parametrize("name", PINPADS)
def test_observations_fill_their_fields_and_no_more(name: str, form: str) -> None:
    world = replace(PINPADS[name], observation=form)
    layouts = draw_layouts(world, 4000, torch.Generator().manual_seed(3))
    seen = observe(world, layouts[:, 0], layouts[:, 1:])
    assert seen.shape == (4000, len(world.field_sizes))
    assert seen.amin(0).tolist() == [0] * len(world.field_sizes)
    assert seen.amax(0).tolist() == [size - 1 for size in world.field_sizes]


def test_observe_takes_any_number_of_leading_dimensions() -> None:
    world = PINPADS["small"]
    layouts = draw_layouts(world, 12, torch.Generator().manual_seed(4))
    flat = observe(world, layouts[:, 0], layouts[:, 1:])
    folded = observe(world, layouts[:, 0].view(3, 4), layouts[:, 1:].view(3, 4, -1))
    assert torch.equal(folded.flatten(0, 1), flat)


@settings(max_examples=15)
@given(st.integers(4, 9), st.integers(1, 3), st.integers(0, 10**6))
def test_layouts_do_not_overlap_and_keep_their_distance(size: int, distance: int, seed: int) -> None:
    world = Pinpad(size=size, colours=2, walls=2, distance=distance, subgoal=1)
    for layout in draw_layouts(world, 20, torch.Generator().manual_seed(seed)).tolist():
        assert len(set(layout)) == 5 and min(layout) >= 0 and max(layout) < size**2
        for a, b in combinations([divmod(cell, size) for cell in layout[:3]], 2):
            assert abs(a[0] - b[0]) + abs(a[1] - b[1]) >= distance


def test_layouts_are_uniform_over_those_allowed() -> None:
    from scipy.stats import chisquare

    world = Pinpad(size=3, colours=1, walls=1, distance=2, subgoal=1)
    allowed = {
        (a, c, w)
        for a in range(9) for c in range(9) for w in range(9)
        if len({a, c, w}) == 3 and abs(a // 3 - c // 3) + abs(a % 3 - c % 3) >= 2
    }  # fmt: skip
    drawn = draw_layouts(world, 10_000, torch.Generator().manual_seed(6)).tolist()
    counts = dict.fromkeys(allowed, 0)
    for layout in drawn:
        counts[tuple(layout)] += 1
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_the_same_seed_draws_the_same_layouts() -> None:
    first, second = (draw_layouts(PINPADS["small"], 30, torch.Generator().manual_seed(8)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Pinpad(observation="one-hot"), SpecError, "did you mean 'onehot'"),
        (lambda: Pinpad(size=0), SpecError, "size must be an integer of at least 1, not 0"),
        (lambda: Pinpad(walls=-1), SpecError, "walls must be an integer of at least 0, not -1"),
        (lambda: Pinpad(horizon=0), SpecError, "horizon must be an integer of at least 1, not 0"),
        (lambda: Pinpad(colours=7), SpecError, "7 colours are not a whole number of subgoals of 2"),
        (lambda: Pinpad(size=3), SpecError, "do not fit into size 3"),
        (
            lambda: draw_layouts(Pinpad(size=3, colours=2, walls=0, distance=4), 2, torch.Generator()),
            SpecError,
            "no room for an agent and 2 colours 4 moves apart in size 3: lower distance",
        ),
        (lambda: start([0, 4]), DataError, "colours 0 to 3, found 0 to 4"),
        (lambda: start([0, 0]), DataError, "twice in a row"),
        (lambda: start([]), DataError, "give .worlds, length."),
        (lambda: begin(TINY, torch.tensor([LAYOUT]), torch.tensor([0, 1])), DataError, "give .worlds, length."),
    ],
)
def test_unusable_input_is_refused_in_one_line(call: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_plays_as_the_cpu_does() -> None:
    world, generator = PINPADS["paper"], torch.Generator().manual_seed(9)
    layouts = draw_layouts(world, 256, generator)
    here = begin(world, layouts, held_out_task(world).expand(256, -1))
    there = begin(world, layouts.cuda(), held_out_task(world).expand(256, -1))
    for _ in range(20):
        moves = torch.randint(4, (256,), generator=generator)
        (here, a), (there, b) = step(world, here, moves), step(world, there, moves.cuda())
        assert torch.equal(a, b.cpu())
        for field in fields(PinpadState):
            assert torch.equal(getattr(here, field.name), getattr(there, field.name).cpu())
    drawn = draw_layouts(world, 64, torch.Generator("cuda").manual_seed(0))
    assert drawn.is_cuda and all(len(set(row)) == 13 for row in drawn.tolist())
