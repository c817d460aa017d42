"""The pinpad's expert: distances against breadth-first search, shortest paths, uniform ties, solvable worlds."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from workbench.errors import SpecError
from workbench.worlds.pinpad.expert import (
    FAR,
    Episodes,
    distances,
    expert_episodes,
    expert_probabilities,
    solvable,
)
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad, begin, draw_layouts, observe, step
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks, task_weights

PAPER, SMALL = PINPADS["paper"], PINPADS["small"]


@st.composite
def worlds(draw: Any) -> tuple[Pinpad, torch.Tensor]:
    size, colours = draw(st.integers(3, 7)), draw(st.integers(2, 4))
    walls = draw(st.integers(0, size * (size - 2)))
    world = Pinpad(size=size, colours=colours, walls=min(walls, size**2 - 1 - colours), subgoal=1)
    return world, draw_layouts(world, 6, torch.Generator().manual_seed(draw(st.integers(0, 10**6))))


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    return expert_episodes(PAPER, pretraining_tasks(PAPER), 400, torch.Generator().manual_seed(0))


@settings(max_examples=30)
@given(worlds())
def test_distances_are_those_of_networkx(given_world: tuple[Pinpad, torch.Tensor]) -> None:
    world, layouts = given_world
    costs = distances(world, layouts)
    for layout, cost in zip(layouts.tolist(), costs.tolist(), strict=True):
        for colour in range(world.colours):
            goal = layout[1 + colour]
            graph = nx.grid_2d_graph(world.size, world.size)
            graph.remove_nodes_from(divmod(cell, world.size) for cell in layout[1:] if cell != goal)
            ways = nx.single_source_shortest_path_length(graph, divmod(goal, world.size))
            expected = [ways.get(divmod(cell, world.size), FAR) for cell in range(world.cells)]
            assert cost[colour] == expected


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds())
def test_the_expert_spreads_evenly_over_the_best_moves(
    plain: ModuleType, given_world: tuple[Pinpad, torch.Tensor]
) -> None:
    """From every cell that an agent can be on, colours included, to every colour."""
    world, layouts = given_world
    costs = distances(world, layouts)
    cells = torch.arange(world.cells).expand(len(layouts), -1)
    for colour in range(world.colours):
        found = expert_probabilities(world, costs, cells, torch.full_like(cells, colour))
        for layout, rows in zip(layouts.tolist(), found, strict=True):
            game = plain.PlainPinpad(world.size, world.colours, 9, layout, [0])
            for cell in set(range(world.cells)) - set(layout[1 + world.colours :]):
                best = game.best_moves(colour, divmod(cell, world.size))
                assert rows[cell].tolist() == pytest.approx([(m in best) / max(1, len(best)) for m in range(4)])


def test_solvable_is_what_breadth_first_search_says(plain: ModuleType) -> None:
    generator = torch.Generator().manual_seed(1)
    world = Pinpad(horizon=33, walls=8)
    layouts = draw_layouts(world, 400, generator)
    tasks = pretraining_tasks(world)[torch.randint(16, (400,), generator=generator)]
    needed = [
        plain.PlainPinpad(7, 8, 33, layout, task).steps_needed()
        for layout, task in zip(layouts.tolist(), tasks.tolist(), strict=True)
    ]
    expected = [steps is not None and steps <= 33 for steps in needed]
    assert solvable(world, layouts, tasks, distances(world, layouts)).tolist() == expected
    assert None in needed and any(steps is not None and steps > 33 for steps in needed)  # both reasons occur


@pytest.mark.parametrize(("name", "share", "steps"), [("pretraining", 0.86, 31.5), ("held-out", 0.807, 63.0)])
def test_the_papers_worlds_are_as_solvable_and_as_long_as_its_rules_say(name: str, share: float, steps: float) -> None:
    """The reference is the project's enumeration of the rules; three standard errors of a share are about 0.02."""
    n, generator = 3000, torch.Generator().manual_seed(2)
    tasks = pretraining_tasks(PAPER) if name == "pretraining" else held_out_task(PAPER)[None]
    layouts, picked = draw_layouts(PAPER, n, generator), tasks[torch.randint(len(tasks), (n,), generator=generator)]
    good = solvable(PAPER, layouts, picked, distances(PAPER, layouts))
    assert good.float().mean().item() == pytest.approx(share, abs=0.02)
    played = expert_episodes(PAPER, tasks, 1000, generator)
    assert played.lengths.float().mean().item() == pytest.approx(steps, rel=0.03)
    assert played.success.all()


def test_the_experts_episodes_are_shortest(plain: ModuleType, episodes: Episodes) -> None:
    layouts = torch.cat([episodes.agents[:, :1], episodes.objects], 1).tolist()
    needed = [
        plain.PlainPinpad(7, 8, 100, layout, task).steps_needed()
        for layout, task in zip(layouts, episodes.tasks.tolist(), strict=True)
    ]
    assert episodes.lengths.tolist() == needed and episodes.success.all()


def test_a_recorded_episode_can_be_played_again(episodes: Episodes) -> None:
    layouts = torch.cat([episodes.agents[:, :1], episodes.objects], 1)
    state = begin(PAPER, layouts, episodes.tasks)
    for t in range(episodes.moves.shape[1]):
        going = episodes.mask[:, t]
        assert torch.equal(going, ~state.done)
        assert torch.equal(state.target[going], episodes.targets[going, t])
        assert torch.equal(state.agent[going], episodes.agents[going, t])
        seen = observe(PAPER, state.agent, episodes.objects)
        assert torch.equal(seen[going], episodes.observations[going, t])
        state, _ = step(PAPER, state, episodes.moves[:, t])
    assert state.success.all() and torch.equal(state.time, episodes.lengths)


def test_ties_are_drawn_uniformly() -> None:
    """From every state with two, three or four best moves, over 30,000 moves."""
    played = expert_episodes(SMALL, pretraining_tasks(SMALL), 2000, torch.Generator().manual_seed(3))
    layouts = torch.cat([played.agents[:, :1], played.objects], 1)
    time = played.moves.shape[1]
    chances = expert_probabilities(SMALL, distances(SMALL, layouts), played.agents[:, :time], played.targets)
    chances, moves = chances[played.mask], played.moves[played.mask]
    assert (chances.gather(1, moves[:, None]) > 0).all()
    for best in (chances > 0).unique(dim=0):
        if best.sum() < 2:
            continue
        at = ((chances > 0) == best).all(1)
        if at.sum() > 200:
            counts = torch.bincount(moves[at], minlength=4)[best]
            assert chisquare(counts.tolist()).pvalue > 1e-3, best.tolist()


def test_tasks_are_drawn_with_their_weights() -> None:
    weights, tasks = task_weights(SMALL, 0.5), pretraining_tasks(SMALL)
    played = expert_episodes(SMALL, tasks, 3000, torch.Generator().manual_seed(4), weights)
    counts = (played.tasks[:, None] == tasks).all(2).sum(0)
    assert chisquare(counts.tolist(), (weights * 3000).tolist()).pvalue > 1e-3


def test_rows_of_episodes_are_cut_to_the_longest(episodes: Episodes) -> None:
    some = episodes[torch.tensor([3, 1, 4])]
    time = int(some.lengths.max())
    assert len(some) == 3 and some.moves.shape == (3, time) and some.agents.shape == (3, time + 1)
    assert torch.equal(some.moves[some.mask], episodes.moves[[3, 1, 4], :time][some.mask])


def test_the_same_seed_plays_the_same_episodes() -> None:
    first, second = (
        expert_episodes(SMALL, pretraining_tasks(SMALL), 50, torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(first.moves, second.moves) and torch.equal(first.objects, second.objects)


def test_worlds_without_a_way_end_in_one_clear_line_and_not_in_an_endless_loop() -> None:
    world = Pinpad(size=3, colours=2, walls=0, horizon=1, subgoal=1)
    with pytest.raises(SpecError, match="hardly any world lets the tasks be done"):
        expert_episodes(world, torch.tensor([[0, 1, 0]]), 1, torch.Generator().manual_seed(0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_expert_plays_on_a_gpu() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    played = expert_episodes(PAPER, pretraining_tasks(PAPER), 200, generator)
    assert played.moves.is_cuda and played.success.all()
    layouts = torch.cat([played.agents[:, :1], played.objects], 1)
    assert torch.equal(distances(PAPER, layouts).cpu(), distances(PAPER, layouts.cpu()))


def test_episodes_begun_midway_go_on_as_the_whole_ones_did(episodes: Episodes) -> None:
    steps = (episodes.lengths // 2).clamp(max=9)
    later = episodes.begun_at(steps)
    assert torch.equal(later.lengths, episodes.lengths - steps)
    for row in (0, 1, 2, 57):
        k, n = int(steps[row]), int(episodes.lengths[row])
        assert torch.equal(later.agents[row, : n - k + 1], episodes.agents[row, k : n + 1])
        assert torch.equal(later.moves[row, : n - k], episodes.moves[row, k:n])
        assert torch.equal(later.targets[row, : n - k], episodes.targets[row, k:n])
    assert torch.equal(later.observations[:, 0], observe(PAPER, later.agents[:, 0], episodes.objects))
