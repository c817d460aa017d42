"""The base model: trained or loaded, measured beside the exact Bayes filter, and shown to fail the held-out task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from workbench.errors import ModelError
from workbench.families.internal_rl.expert import measured_episodes, play_task, task_of
from workbench.families.internal_rl.job import Job, base_folder
from workbench.families.internal_rl.rows import mean_by_episode, row, share_of
from workbench.models.sequence_model import SequenceModel
from workbench.worlds.pinpad.beliefs import bayes_filter
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.tasks import pretraining_tasks
from workbench.worlds.pinpad.training import base as pinpad_base

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["base_unit", "move_nll"]

_AT_ONCE = 512


def base_unit(job: Job) -> pd.DataFrame:
    """Rows ``model, measure``: NLL beside the Bayes filter's, and success without any control."""
    import pandas as pd

    spec = job.spec
    if spec.base == "train":
        pinpad_base.train(job.path / "base", spec.recipe, spec.seed, spec.device, report=job.report("base"))
    _check(job)
    episodes, name = measured_episodes(job, "base"), _name(job)
    nll = move_nll(job.model, episodes)
    bayes = bayes_filter(episodes, pretraining_tasks(job.world)).nll
    mask = episodes.mask
    rows = [
        row("nll", mean_by_episode(nll, mask), model=name),
        row("bayes_nll", mean_by_episode(bayes, mask), model=name),
        row("gap", mean_by_episode(nll - bayes, mask), model=name),
    ]
    for task, n in (("pretraining", spec.episodes), ("held-out", spec.held_out_episodes)):
        success, possible = play_task(job.model, task_of(job, task), n, job.generator("uncontrolled", task))
        label = task.replace("-", "_")
        rows += [row(f"uncontrolled_{label}", share_of(success), model=name)]
        rows += [row(f"solvable_{label}", share_of(possible), model=name)]
    return pd.DataFrame(rows)


def _name(job: Job) -> str:
    return "trained in the run" if job.spec.base == "train" else job.spec.base


def _check(job: Job) -> None:
    """Raises :class:`ModelError` for a base that is not of this kind of world."""
    where = base_folder(job.spec, job.path)
    if not isinstance(job.model, SequenceModel) or job.model.config.observation != "fields":
        raise ModelError(
            f"{where} is no base model of the gridworld pinpad: train one with workbench train pinpad-base"
        )


def move_nll(model: SequenceModel, episodes: Episodes) -> torch.Tensor:
    """Nats on each of the expert's moves, [batch, time]; meaningless past an episode's end."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(episodes), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            logits = model.backend.forward(episodes.observations[some, :-1])
            assert logits is not None
            parts.append(cross_entropy(logits.float().transpose(1, 2), episodes.moves[some], reduction="none"))
    return torch.cat(parts)
