"""The expert's episodes that a run trains on and measures with, and how a model plays."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.families.internal_rl.context import InternalRLRun
from workbench.models.sequence_model import SequenceModel
from workbench.worlds.pinpad.expert import Episodes, distances, expert_episodes, solvable
from workbench.worlds.pinpad.pinpad import Pinpad, begin, draw_layouts
from workbench.worlds.pinpad.play import Steering, play_pinpad
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks, seen_task

TASKS = ("one subgoal", "pretraining", "held-out", "seen transitions")
_AT_ONCE = 4096  # worlds played side by side
_POOL = 8  # batches drawn at once and sorted by length, so that little of a batch is padding
_LEFT = 4  # steps that are left of an episode at the least


def expert_batches(run: InternalRLRun, name: str, seed: int) -> Callable[[int], Episodes]:
    """``batch_of(step)`` on the pretraining tasks: it depends on seeds, ``name`` and the step only.

    The spec's share of the episodes begin in their midst: what is told of a colour is then not tied to its place in the
    sequence.
    """
    pool: dict[int, list[Episodes]] = {}
    tasks, size = pretraining_tasks(run.world), run.spec.batch

    def batch_of(step: int) -> Episodes:
        number, at = divmod(step, _POOL)
        if number not in pool:
            generator = run.generator(name, seed, "episodes", number)
            drawn = expert_episodes(run.world, tasks, _POOL * size, generator)
            parts = drawn.lengths.argsort(stable=True).view(_POOL, -1)
            order = torch.randperm(_POOL, generator=generator, device=parts.device).tolist()
            pool.clear()
            pool[number] = [_begun_midway(drawn[parts[i]], run.spec.begun_midway, generator) for i in order]
        return pool[number][at]

    return batch_of


def _begun_midway(episodes: Episodes, share: float, generator: torch.Generator) -> Episodes:
    """Let a share of the episodes begin at a step of their own, :data:`_LEFT` steps before their end at the latest."""
    if not share:
        return episodes
    chance, along = torch.rand(2, len(episodes), generator=generator, device=episodes.lengths.device)
    steps = (along * (episodes.lengths - _LEFT).clamp(min=0)).long() * (chance < share)
    return episodes.begun_at(steps)


def measured_episodes(run: InternalRLRun, name: str, n: int | None = None) -> Episodes:
    """Episodes of the expert on the pretraining tasks to measure on: the same for every step that asks for ``name``."""
    return expert_episodes(run.world, pretraining_tasks(run.world), n or run.spec.episodes, run.generator(name))


def subgoals_of(episodes: Episodes) -> Int[Tensor, "batch time"]:
    """The subgoal in force before each move."""
    return episodes.targets // episodes.world.subgoal


def changes_of(episodes: Episodes) -> Bool[Tensor, "batch time"]:
    """True at the first step of each new subgoal (not at the episode's first step)."""
    subgoals = subgoals_of(episodes)
    changes = torch.zeros_like(episodes.mask)
    changes[:, 1:] = subgoals[:, 1:] != subgoals[:, :-1]
    return changes & episodes.mask


def task_of(run: InternalRLRun, task: str) -> Int[Tensor, "tasks length"]:
    """The tasks [tasks, colours] of one of :data:`TASKS`."""
    world = run.world
    if task == "one subgoal":
        return torch.arange(world.colours).view(world.subgoals, world.subgoal)
    if task == "pretraining":
        return pretraining_tasks(world)
    return (held_out_task(world) if task == "held-out" else seen_task(world, run.spec.seen_length))[None]


def play_task(
    model: SequenceModel,
    tasks: Int[Tensor, "tasks length"],
    n: int,
    generator: torch.Generator,
    steering: Steering = (),
) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Play ``n`` worlds: (succeeded, could have succeeded).

    Worlds are drawn as they come, also those in which the task has no way: their share is what the expert's ceiling
    lacks.  Tasks are drawn uniformly.  ``steering``: see :func:`workbench.worlds.pinpad.play.play_pinpad`.
    """
    world, device = Pinpad.of(model.world), generator.device
    success, possible = [], []
    for start in range(0, n, _AT_ONCE):
        some = min(_AT_ONCE, n - start)
        layouts = draw_layouts(world, some, generator)
        chosen = tasks.to(device)[torch.randint(len(tasks), (some,), generator=generator, device=device)]
        possible.append(solvable(world, layouts, chosen, distances(world, layouts)))
        played = play_pinpad(model, begin(world, layouts, chosen), generator, steering)
        success.append(played.episodes.success)
    return torch.cat(success), torch.cat(possible)
