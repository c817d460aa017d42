"""What the environments of the pinpad are asked for, checked; and what they give back of a step.

Everything that a user may get wrong about an environment raises here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from workbench.arguments import as_array, one_of, shown
from workbench.errors import DataError, SpecError, check_known, did_you_mean
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad, PinpadState, begin, observe
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks

_TASKS = ("pretraining", "held-out")


def read_world(world: Pinpad | str, rules: dict[str, Any]) -> Pinpad:
    if isinstance(world, str):
        check_known(world, PINPADS, "pinpad")
        world = PINPADS[world]
    known = [field.name for field in fields(Pinpad)]
    for name in rules:
        if name not in known:
            raise SpecError(f"unknown option {name!r} of a pinpad{did_you_mean(name, known)}")
    return replace(one_of(world, Pinpad, "world"), **rules)


def read_tasks(world: Pinpad, task: str | Sequence[int]) -> Tensor:
    """The tasks to draw from, [tasks, length]."""
    if isinstance(task, str):
        if task not in _TASKS:
            raise SpecError(f"unknown task {task!r}{did_you_mean(task, _TASKS)}, or a sequence of colours")
        tasks = held_out_task(world)[None] if task == "held-out" else pretraining_tasks(world)
        if not tasks.numel():
            raise SpecError(f"pinpad: {world.subgoals} subgoals make no pretraining task: give at least 3")
    else:
        tasks = integers(task, "task")[None]
    begin(
        world, torch.zeros(len(tasks), 1 + world.colours + world.walls, dtype=torch.long), tasks
    )  # says what is wrong
    return tasks


def integers(values: Any, name: str) -> Tensor:
    found = as_array(values, f"pinpad: {name}")
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(f"pinpad: {name} must be a sequence of integers, not {shown(values)}")
    return torch.from_numpy(found.astype(np.int64))


def read_layout(world: Pinpad, cells: Any) -> Tensor:
    """A layout given by the user, [1, objects]."""
    layout = integers(cells, "layout")
    if len(layout) != 1 + world.colours + world.walls:
        raise DataError(
            f"pinpad: a layout has {1 + world.colours + world.walls} cells (agent, {world.colours} colours, "
            f"{world.walls} walls), not {len(layout)}"
        )
    if layout.min() < 0 or layout.max() >= world.cells or len(layout.unique()) < len(layout):
        raise DataError(
            f"pinpad: the cells of a layout must differ and lie in 0 to {world.cells - 1}: {layout.tolist()}"
        )
    return layout[None]


def observation_space(world: Pinpad, one_hot: bool) -> spaces.Space[Any]:
    if one_hot:
        return spaces.Box(0.0, 1.0, shape=(sum(world.field_sizes),), dtype=np.float32)
    return spaces.MultiDiscrete(list(world.field_sizes))


def array_of(world: Pinpad, state: PinpadState, one_hot: bool) -> np.ndarray:
    if world.observation == "onehot":  # what observe gives, in one copy instead of two
        found = torch.cat([state.agent[:, None], state.colours, state.walls], 1)
    else:
        found = observe(world, state.agent, state.objects)  # [batch fields]
    if one_hot:
        starts = np.cumsum([0, *world.field_sizes])
        hot = torch.zeros(len(found), int(starts[-1]), device=found.device)
        found = hot.scatter_(1, found + torch.from_numpy(starts[:-1]).to(found.device), 1.0)
    return found.cpu().numpy()


def ends(before: PinpadState, after: PinpadState, wrong: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the worlds that were going terminated and which were truncated by the step, [batch] each.  ``wrong``:
    which entered a colour that was not next."""
    ended = after.done & ~before.done
    terminated = ended & (after.success | wrong)
    return terminated, ended ^ terminated
