"""Supervised low-rank controllers at every site: where in the frozen model a controller can take over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.families.internal_rl.control.supervised_control import fit_supervised, oracle_control, random_controllers
from workbench.families.internal_rl.expert import TASKS, expert_batches, play_task, task_of
from workbench.families.internal_rl.job import Job
from workbench.families.internal_rl.rows import row, share_of
from workbench.sites import Site
from workbench.training.loop import Schedule

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["controllers_unit", "sites_of"]


def sites_of(layers: int) -> list[Site]:
    """The embedding (what enters the first block) and the output of every block.

    >>> [str(site) for site in sites_of(1)]
    ['blocks.0.hook_resid_pre', 'blocks.0.hook_resid_post']
    """
    return [Site(0, "resid_pre"), *(Site(layer) for layer in range(layers))]


def controllers_unit(depth: int) -> Callable[[Job], pd.DataFrame]:
    """Controllers at one site (``depth`` 0 is the embedding): rows ``site, layer, control, task, measure``.

    ``control`` is ``supervised``, ``random`` (matrices of the same rank and norm) or ``none``; success is raw, beside
    it ``solvable``, the share of these worlds in which the task can be done.
    """

    def work(job: Job) -> pd.DataFrame:
        import pandas as pd

        spec, unit = job.spec, f"controllers-{depth}"
        site = sites_of(job.model.n_layers)[depth]
        schedule = Schedule(spec.controller_tokens, spec.controller_lr, spec.weight_decay, betas=(0.9, 0.999))
        bank = fit_supervised(
            job.model, site, expert_batches(job, "controllers", 0), schedule, job.checkpoints(unit), spec.rank,
            job.seed(unit), job.report(unit),
        )  # fmt: skip
        tensors = {"up": bank.up.detach(), "down": bank.down.detach()}
        random = random_controllers(bank, job.seed(unit, "random"))
        rows = []
        for control, controllers in (("supervised", bank), ("random", random), ("none", None)):
            steering = oracle_control(job.model, site, controllers) if controllers is not None else ()
            for task in TASKS:
                generator = job.generator("controlled", task)  # the same worlds for every site and control
                success, possible = play_task(job.model, task_of(job, task), spec.episodes, generator, steering)
                labels = {"site": str(site), "layer": depth, "control": control, "task": task}
                rows += [row("success", share_of(success), **labels), row("solvable", share_of(possible), **labels)]
                tensors[f"{control}.{task}"] = success
        job.save_tensors(unit, tensors, {"site": str(site)})
        return pd.DataFrame(rows)

    return work
