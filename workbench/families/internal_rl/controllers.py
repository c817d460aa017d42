"""Supervised low-rank controllers at every site: where in the frozen model a controller can take over."""

from __future__ import annotations

import pandas as pd

from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.supervised_control import fit_supervised, oracle_control, random_controllers
from workbench.families.internal_rl.expert import TASKS, expert_batches, play_task, task_of
from workbench.families.internal_rl.intervals import row, share_of
from workbench.sites import Site
from workbench.training.loop import Schedule


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
