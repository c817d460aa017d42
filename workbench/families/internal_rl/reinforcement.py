"""Reinforcement of every method on the sparse tasks, and episodes of what was learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from workbench.families.internal_rl.control.code_learner import CodeLearner, new_policy
from workbench.families.internal_rl.control.raw_actions import ActionLearner, trainable_copy
from workbench.families.internal_rl.control.reinforce import Reinforcement, Trial, play_trials, reinforce
from workbench.families.internal_rl.discovery import found_by
from workbench.families.internal_rl.expert import task_of
from workbench.families.internal_rl.job import Job
from workbench.families.internal_rl.spec import METHODS
from workbench.seeding import derive_seed
from workbench.worlds.pinpad.expert import distances, solvable
from workbench.worlds.pinpad.pinpad import draw_layouts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ceiling_unit", "learner_of", "reinforcement_unit", "unit_of"]

Learner = CodeLearner | ActionLearner


def unit_of(method: str, task: str, seed: int) -> str:
    """The unit's name.

    >>> unit_of("internal RL", "held-out", 0)
    'rl-internal-rl-held-out-0'
    """
    return f"rl-{method}-{task}-{seed}".lower().replace(" ", "-")


def learner_of(job: Job, method: str, task: str, seed: int) -> Learner:
    """The learner of a method, before it learned."""
    goal = task_of(job, task)[0].to(job.model.device)
    condition = METHODS[method]
    if condition is None:
        return ActionLearner(trainable_copy(job.model, f"{job.model.name}-{unit_of(method, task, seed)}"), goal)
    found = found_by(job, condition, seed)
    start = job.seed("policy", seed) % 2**63
    policy = None
    if method != "random codes":
        policy = new_policy(found.metacontroller, start, job.spec.policy_width, job.spec.policy_std)
    return CodeLearner(found.model, found.site, found.metacontroller, policy, goal, found.always, job.spec.policy_std)


def reinforcement_unit(method: str, task: str, seed: int) -> Callable[[Job], pd.DataFrame]:
    """One training and its evaluation: rows ``phase`` (``learning``: one an update; ``final``: one an episode)."""

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        spec, unit = job.spec, unit_of(method, task, seed)
        learner = learner_of(job, method, task, seed)
        settings = Reinforcement(
            updates=_updates(job, method), batch=spec.rl_batch, epochs=spec.rl_epochs, clip=spec.clip,
            lr=spec.raw_lr if method == "raw actions" else spec.rl_lr,
        )  # fmt: skip
        curve = reinforce(
            learner, settings, job.checkpoints(unit), job.seed("reinforcement", seed), job.report(unit),
            method=method, task=task,
        )  # fmt: skip
        _keep(job, unit, learner)
        trials = play_trials(learner, spec.episodes, _worlds(job, task))
        labels = {"method": method, "task": task, "seed": seed}
        learning = pd.DataFrame([labels | {"phase": "learning"} | row for row in curve])
        return pd.concat([learning, _final(trials).assign(**labels, phase="final")], ignore_index=True)

    return work


def _updates(job: Job, method: str) -> int:
    """Random codes learn nothing, so that a few batches show their curve."""
    return max(1, job.spec.updates // 8) if method == "random codes" else job.spec.updates


def _worlds(job: Job, task: str) -> int:
    """The seed of the worlds that every method is evaluated in."""
    return job.seed("evaluation", task)


def _final(trials: list[Trial]) -> pd.DataFrame:
    import pandas as pd

    success, progress, made = (
        torch.cat([value(trial).double().cpu() for trial in trials]).numpy()
        for value in (lambda t: t.success, lambda t: t.progress, lambda t: t.mask.sum(1))
    )
    return pd.DataFrame({"episode": range(len(success)), "success": success, "progress": progress, "decisions": made})


def _keep(job: Job, unit: str, learner: Learner) -> None:
    """What was learned, as an artifact (nothing for random codes)."""
    if learner.module is not None:
        job.save_tensors(unit, dict(learner.module.state_dict()))


def ceiling_unit(job: Job) -> pd.DataFrame:
    """The expert in the worlds of the evaluation: it succeeds wherever the task can be done.

    The worlds are drawn as ``reinforce.play_trials`` draws them, before anything else of each batch.
    """
    import pandas as pd

    tables = []
    for task in job.spec.tasks:
        goal, success, batch = task_of(job, task).to(job.model.device), [], 4096
        for number, start in enumerate(range(0, job.spec.episodes, batch)):
            seed = derive_seed(_worlds(job, task), "evaluation", number)
            n = min(batch, job.spec.episodes - start)
            layouts = draw_layouts(job.world, n, torch.Generator(job.model.device).manual_seed(seed))
            success += solvable(job.world, layouts, goal.expand(n, -1), distances(job.world, layouts)).tolist()
        table: dict[str, Any] = {"episode": range(len(success)), "success": [float(s) for s in success]}
        length = float(goal.shape[1])
        table |= {"progress": [length * s for s in success], "decisions": float("nan")}
        tables.append(pd.DataFrame(table).assign(method="expert", task=task, seed=0, phase="final"))
    return pd.concat(tables, ignore_index=True)
