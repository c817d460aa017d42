"""The base model: trained or loaded, measured beside the exact Bayes filter, and shown to fail the held-out task;
and supervised low-rank controllers at every site: where in the frozen model a controller can take over."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from workbench.errors import ModelError
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.supervised_control import fit_supervised, oracle_control, random_controllers
from workbench.families.internal_rl.expert import TASKS, expert_batches, measured_episodes, play_task, task_of
from workbench.families.internal_rl.intervals import mean_by_episode, row, share_of
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site
from workbench.training.loop import Schedule
from workbench.worlds.pinpad.beliefs import bayes_filter
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.tasks import pretraining_tasks
from workbench.worlds.pinpad.training import base as pinpad_base

_AT_ONCE = 512


def base_rows(run: InternalRLRun) -> pd.DataFrame:
    """Rows ``model, measure``: NLL beside the Bayes filter's, and success without any control."""
    spec = run.spec
    if spec.base == "train":
        pinpad_base.train(Path(run.base_folder), spec.recipe, spec.seed, spec.device, report=run.report("base"))
    _check(run)
    episodes, name = measured_episodes(run, "base"), "trained in the run" if spec.base == "train" else spec.base
    nll = move_nll(run.base, episodes)
    bayes = bayes_filter(episodes, pretraining_tasks(run.world)).nll
    mask = episodes.mask
    rows = [
        row("nll", mean_by_episode(nll, mask), model=name),
        row("bayes_nll", mean_by_episode(bayes, mask), model=name),
        row("gap", mean_by_episode(nll - bayes, mask), model=name),
    ]
    for task, n in (("pretraining", spec.episodes), ("held-out", spec.held_out_episodes)):
        success, possible = play_task(run.base, task_of(run, task), n, run.generator("uncontrolled", task))
        label = task.replace("-", "_")
        rows += [row(f"uncontrolled_{label}", share_of(success), model=name)]
        rows += [row(f"solvable_{label}", share_of(possible), model=name)]
    return pd.DataFrame(rows)


def _check(run: InternalRLRun) -> None:
    """Raises :class:`ModelError` for a base that is not of this kind of world."""
    if not isinstance(run.base, SequenceModel) or run.base.config.observation != "fields":
        raise ModelError(
            f"{run.base_folder} is no base model of the gridworld pinpad: train one with workbench train pinpad-base"
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


def sites_of(layers: int) -> list[Site]:
    """The embedding (what enters the first block) and the output of every block.

    >>> [str(site) for site in sites_of(1)]
    ['blocks.0.hook_resid_pre', 'blocks.0.hook_resid_post']
    """
    return [Site(0, "resid_pre"), *(Site(layer) for layer in range(layers))]


def controller_rows(run: InternalRLRun, depth: int) -> pd.DataFrame:
    """Controllers at one site (``depth`` 0 is the embedding): rows ``site, layer, control, task, measure``.

    ``control`` is ``supervised``, ``random`` (matrices of the same rank and norm) or ``none``; success is raw, beside
    it ``solvable``, the share of these worlds in which the task can be done.
    """
    spec, step = run.spec, f"controllers-{depth}"
    site = sites_of(run.base.n_layers)[depth]
    schedule = Schedule(spec.controller_tokens, spec.controller_lr, spec.weight_decay, betas=(0.9, 0.999))
    bank = fit_supervised(
        run.base, site, expert_batches(run, "controllers", 0), schedule, run.checkpoints(step), spec.rank,
        run.seed(step), run.report(step),
    )  # fmt: skip
    tensors = {"up": bank.up.detach(), "down": bank.down.detach()}
    random = random_controllers(bank, run.seed(step, "random"))
    rows = []
    for control, controllers in (("supervised", bank), ("random", random), ("none", None)):
        steering = oracle_control(run.base, site, controllers) if controllers is not None else ()
        for task in TASKS:
            generator = run.generator("controlled", task)  # the same worlds for every site and control
            success, possible = play_task(run.base, task_of(run, task), spec.episodes, generator, steering)
            labels = {"site": str(site), "layer": depth, "control": control, "task": task}
            rows += [row("success", share_of(success), **labels), row("solvable", share_of(possible), **labels)]
            tensors[f"{control}.{task}"] = success
    run.save_tensors(step, tensors, {"site": str(site)})
    return pd.DataFrame(rows)
