"""The tasks of the pinpad: the paper's sixteen, what is held out, and how they are weighted."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad
from workbench.worlds.pinpad.tasks import (
    held_out_task,
    pretraining_tasks,
    seen_task,
    subgoal_sequences,
    task_weights,
)

# Written by hand from the paper's rule: A=0-1, B=2-3, C=4-5, D=6-7; A is followed by C, D; B by D, A; C by A, B; D by
# B, C.
SIXTEEN = [
    "ACA",
    "ACB",
    "ADB",
    "ADC",
    "BDB",
    "BDC",
    "BAC",
    "BAD",
    "CAC",
    "CAD",
    "CBD",
    "CBA",
    "DBD",
    "DBA",
    "DCA",
    "DCB",
]
COLOURS = {"A": [0, 1], "B": [2, 3], "C": [4, 5], "D": [6, 7]}
WORLDS = [Pinpad(), PINPADS["small"], Pinpad(colours=6, subgoal=1), Pinpad(colours=10, subgoal=2, walls=0)]


def transitions(world: Pinpad, task: list[int]) -> set[tuple[int, int]]:
    """Pairs of subgoals that follow each other."""
    goals = [colour // world.subgoal for colour in task[:: world.subgoal]]
    return set(pairwise(goals))


def test_the_sixteen_pretraining_tasks_are_the_papers() -> None:
    by_hand = [[colour for letter in task for colour in COLOURS[letter]] for task in SIXTEEN]
    assert len(by_hand) == 16 and sorted(pretraining_tasks(Pinpad()).tolist()) == sorted(by_hand)


def test_the_small_worlds_tasks_are_the_same_sixteen_in_single_colours() -> None:
    by_hand = [["ABCD".index(letter) for letter in task] for task in SIXTEEN]
    assert sorted(pretraining_tasks(PINPADS["small"]).tolist()) == sorted(by_hand)


@pytest.mark.parametrize("world", WORLDS)
def test_no_held_out_transition_occurs_in_pretraining(world: Pinpad) -> None:
    seen = set().union(*(transitions(world, task) for task in pretraining_tasks(world).tolist()))
    held_out = transitions(world, held_out_task(world).tolist())
    assert held_out and not seen & held_out
    n = world.subgoals
    assert seen == {(a, b) for a in range(n) for b in range(n) if (b - a) % n not in (0, 1)}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("length", [3, 6, 12])
def test_a_seen_task_has_seen_transitions_only(world: Pinpad, length: int) -> None:
    seen = set().union(*(transitions(world, task) for task in pretraining_tasks(world).tolist()))
    task = seen_task(world, length).tolist()
    assert len(task) == length * world.subgoal and transitions(world, task) <= seen


@pytest.mark.parametrize("subgoals", [1, 2])
def test_too_few_subgoals_make_no_task(subgoals: int) -> None:
    assert subgoal_sequences(subgoals) == []


def test_weights_are_uniform_at_zero_and_fall_with_the_score() -> None:
    world = PINPADS["small"]
    assert torch.allclose(task_weights(world, 0.0), torch.full((16,), 1 / 16, dtype=torch.float64))
    weights = dict(zip(map(tuple, pretraining_tasks(world).tolist()), task_weights(world, 2.0).tolist(), strict=True))
    assert sum(weights.values()) == pytest.approx(1)
    # Scores by hand: 0-2-0 is 0, 0-3-1 has one transition by 3 (1), 3-2-1 starts at 3 and has two (5).
    assert weights[0, 3, 1] / weights[0, 2, 0] == pytest.approx(torch.tensor(-2.0).exp().item())
    assert weights[3, 2, 1] / weights[0, 2, 0] == pytest.approx(torch.tensor(-10.0).exp().item())
