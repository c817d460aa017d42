"""Reinforcement of every method on the sparse tasks, and episodes of what was learned."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.frozen import trainable_copy
from workbench.families.internal_rl.control.learners import ActionLearner, CodeLearner, new_policy
from workbench.families.internal_rl.control.reinforce import Reinforcement, Trial, play_trials, reinforce
from workbench.families.internal_rl.discovery import found_by
from workbench.families.internal_rl.expert import task_of
from workbench.families.internal_rl.spec import METHODS
from workbench.seeding import derive_seed
from workbench.worlds.pinpad.expert import distances, solvable
from workbench.worlds.pinpad.pinpad import draw_layouts

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
