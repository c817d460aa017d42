"""Reinforcement of every method on the sparse tasks, and episodes of what was learned to look at.

Half of the episodes shown are the first in the order in which worlds were drawn, so they show what usually happens; the
others were picked because they got farthest, and are marked as picked.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from steering.stateful import Carried
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.frozen import trainable_copy
from workbench.families.internal_rl.control.internal_rl import CodedControl
from workbench.families.internal_rl.control.learners import ActionLearner, CodeLearner, new_policy
from workbench.families.internal_rl.control.reinforce import Reinforcement, Trial, play_trials, reinforce
from workbench.families.internal_rl.discovery import found_by
from workbench.families.internal_rl.expert import task_of
from workbench.families.internal_rl.spec import METHODS
from workbench.seeding import derive_seed
from workbench.worlds.pinpad.expert import distances, solvable
from workbench.worlds.pinpad.pinpad import begin, draw_layouts
from workbench.worlds.pinpad.play import Played, play_pinpad

Learner = CodeLearner | ActionLearner


def step_of(method: str, task: str, seed: int) -> str:
    """The step's name.

    >>> step_of("internal RL", "held-out", 0)
    'rl-internal-rl-held-out-0'
    """
    return f"rl-{method}-{task}-{seed}".lower().replace(" ", "-")


def learner_of(run: InternalRLRun, method: str, task: str, seed: int) -> Learner:
    """The learner of a method, before it learned."""
    goal = task_of(run, task)[0].to(run.base.device)
    condition = METHODS[method]
    if condition is None:
        return ActionLearner(trainable_copy(run.base, f"{run.base.name}-{step_of(method, task, seed)}"), goal)
    found = found_by(run, condition, seed)
    start = run.seed("policy", seed) % 2**63
    policy = None
    if method != "random codes":
        policy = new_policy(found.metacontroller, start, run.spec.policy_width, run.spec.policy_std)
    return CodeLearner(found.model, found.site, found.metacontroller, policy, goal, found.always, run.spec.policy_std)


def reinforcement_rows(run: InternalRLRun, method: str, task: str, seed: int) -> pd.DataFrame:
    """One training and its evaluation: rows ``phase`` (``learning``: one an update; ``final``: one an episode)."""
    spec, step = run.spec, step_of(method, task, seed)
    learner = learner_of(run, method, task, seed)
    settings = Reinforcement(
        # Random codes learn nothing, so that a few batches show their curve.
        updates=max(1, spec.updates // 8) if method == "random codes" else spec.updates,
        batch=spec.rl_batch, epochs=spec.rl_epochs, clip=spec.clip,
        lr=spec.raw_lr if method == "raw actions" else spec.rl_lr,
    )  # fmt: skip
    curve = reinforce(
        learner, settings, run.checkpoints(step), run.seed("reinforcement", seed), run.report(step),
        method=method, task=task,
    )  # fmt: skip
    if learner.module is not None:
        run.save_tensors(step, dict(learner.module.state_dict()))
    trials = play_trials(learner, spec.episodes, _worlds(run, task))
    labels = {"method": method, "task": task, "seed": seed}
    learning = pd.DataFrame([labels | {"phase": "learning"} | row for row in curve])
    return pd.concat([learning, _final(trials).assign(**labels, phase="final")], ignore_index=True)


def _worlds(run: InternalRLRun, task: str) -> int:
    """The seed of the worlds that every method is evaluated in."""
    return run.seed("evaluation", task)


def _final(trials: list[Trial]) -> pd.DataFrame:
    success, progress, made = (
        torch.cat([value(trial).double().cpu() for trial in trials]).numpy()
        for value in (lambda t: t.success, lambda t: t.progress, lambda t: t.mask.sum(1))
    )
    return pd.DataFrame({"episode": range(len(success)), "success": success, "progress": progress, "decisions": made})


def ceiling_rows(run: InternalRLRun) -> pd.DataFrame:
    """The expert in the worlds of the evaluation: it succeeds wherever the task can be done.

    The worlds are drawn as ``reinforce.play_trials`` draws them, before anything else of each batch.
    """
    tables = []
    for task in run.spec.tasks:
        goal, success, batch = task_of(run, task).to(run.base.device), [], 4096
        for number, start in enumerate(range(0, run.spec.episodes, batch)):
            seed = derive_seed(_worlds(run, task), "evaluation", number)
            n = min(batch, run.spec.episodes - start)
            layouts = draw_layouts(run.world, n, torch.Generator(run.base.device).manual_seed(seed))
            success += solvable(run.world, layouts, goal.expand(n, -1), distances(run.world, layouts)).tolist()
        table: dict[str, Any] = {"episode": range(len(success)), "success": [float(s) for s in success]}
        length = float(goal.shape[1])
        table |= {"progress": [length * s for s in success], "decisions": float("nan")}
        tables.append(pd.DataFrame(table).assign(method="expert", task=task, seed=0, phase="final"))
    return pd.concat(tables, ignore_index=True)


_PLAYED = 256  # episodes that those shown are taken from
METHOD = "internal RL"
FIRST, FARTHEST = "first", "farthest"  # how an episode came to be shown


class _Watched(Carried):
    """The control of a learner, with what its switch said and which code was in force at every step."""

    def __init__(self, control: CodedControl, rows: int, steps: int) -> None:
        super().__init__(control, rows)
        shape = control.metacontroller.shape
        device = control.generator.device
        self.gate = torch.zeros(rows, steps, device=device)
        self.codes = torch.zeros(rows, steps, shape.code, device=device)

    def __call__(self, activation: Tensor, where: Any) -> Tensor:
        rows, at = where.rows[:, 0], where.positions[:, 0]
        control: CodedControl = self.controller  # type: ignore[assignment]
        m = control.metacontroller
        seen = m.seen(activation[:, 0])
        beta = m.switch(seen, self.state["history"][rows], self.state["z"][rows])
        self.gate[rows, at] = torch.where(at == 0, torch.ones_like(beta), beta)
        steered = super().__call__(activation, where)
        self.codes[rows, at] = self.state["z"][rows]
        return steered


def shown_rows(run: InternalRLRun) -> pd.DataFrame:
    """Rows ``task, episode, step``: ``agent`` and ``next`` (cells), ``move``, ``target`` (the colour that is next),
    ``subgoal`` (that the target is part of), ``gate, switched, segment``, the code's numbers ``code_0...``; of the
    whole episode ``success``, ``progress`` (colours reached), ``chosen`` (``first`` or ``farthest``) out of ``played``
    episodes, ``sequence`` (the task's colours as text), and the world: ``size, colours, walls`` (cells as text)."""
    return pd.concat([_shown(run, task) for task in run.spec.tasks], ignore_index=True)


def _shown(run: InternalRLRun, task: str) -> pd.DataFrame:
    learner = learner_of(run, METHOD, task, 0)
    assert isinstance(learner, CodeLearner) and learner.policy is not None
    learner.policy.load_state_dict(run.load_tensors(step_of(METHOD, task, 0)))
    generator, world = run.generator("shown", task), run.world
    goal = task_of(run, task)
    state = begin(world, draw_layouts(world, _PLAYED, generator), goal.expand(_PLAYED, -1))
    control = CodedControl(learner.site, learner.metacontroller, learner.policy, generator)
    watched = _Watched(control, _PLAYED, world.horizon)
    with torch.no_grad():
        played = play_pinpad(learner.model, state, generator, [watched])
    steps = [
        _steps(played, watched, i, number).assign(chosen=chosen)
        for number, (i, chosen) in enumerate(_chosen(played.progress, run.spec.shown))
    ]
    sequence = ",".join(map(str, goal[0].tolist()))
    return pd.concat(steps).assign(task=task, played=_PLAYED, sequence=sequence)


def _chosen(progress: Tensor, shown: int) -> list[tuple[int, str]]:
    """Which episodes are shown and why: the first half as they came, then those of the others that got farthest; one of
    each kind at least.

    >>> _chosen(torch.tensor([1, 0, 2, 4]), 3)
    [(0, 'first'), (3, 'farthest'), (2, 'farthest')]
    """
    first = max(1, shown // 2)
    far = torch.argsort(progress[first:], descending=True, stable=True)[: max(1, shown - first)] + first
    return [*((i, FIRST) for i in range(first)), *((int(i), FARTHEST) for i in far)]


def _steps(played: Played, watched: _Watched, i: int, number: int) -> pd.DataFrame:
    episodes, n = played.episodes, int(played.episodes.lengths[i])
    world = episodes.world
    gate = watched.gate[i, :n].cpu()
    switched = gate > 0.5
    objects = episodes.objects[i].tolist()
    table = pd.DataFrame({
        "episode": number, "step": range(n), "agent": episodes.agents[i, :n].tolist(),
        "next": episodes.agents[i, 1 : n + 1].tolist(), "move": episodes.moves[i, :n].tolist(),
        "target": episodes.targets[i, :n].tolist(), "subgoal": (episodes.targets[i, :n] // world.subgoal).tolist(),
        "gate": gate.tolist(), "switched": switched.tolist(), "segment": (switched.cumsum(0) - 1).tolist(),
    })  # fmt: skip
    codes = pd.DataFrame(watched.codes[i, :n].cpu().numpy()).add_prefix("code_")
    return pd.concat([table, codes], axis=1).assign(
        success=bool(episodes.success[i]), progress=int(played.progress[i]), size=world.size,
        colours=",".join(map(str, objects[: world.colours])), walls=",".join(map(str, objects[world.colours :])),
    )  # fmt: skip
