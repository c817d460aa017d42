"""The order of an internal-RL run.  Each step is a unit of the run folder: finished units are never done again."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.families.internal_rl.gates import gates
from workbench.families.internal_rl.job import check_tensorboard
from workbench.families.internal_rl.orderings import orderings
from workbench.families.internal_rl.processes import Waiting, run_waves
from workbench.families.internal_rl.spec import InternalRLSpec
from workbench.families.internal_rl.summary import save_tables, summary
from workbench.families.internal_rl.units import units_of
from workbench.families.units import Say
from workbench.provenance import provenance
from workbench.runs import RunFolder

__all__ = ["plan", "run"]


def plan(spec: InternalRLSpec) -> list[tuple[str, str, int]]:
    """Units in order: (name, what it does, episodes it plays at most)."""
    return [(unit.name, unit.what, unit.completions) for unit in units_of(spec)]


def run(
    spec: InternalRLSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) an internal-RL run in ``root``; return its folder.

    Tables end up in the folder's artifacts (``base``, ``beliefs``, ``controllers``, ``discovery``, ``rate_distortion``,
    ``curves``, ``final``, ``gates``, ``orderings``, ``episodes``).  ``say`` gets one line a unit and the gates that
    failed; how far a unit is stands in ``progress/`` of the run folder.
    """
    check_tensorboard(spec)
    units = list(units_of(spec))  # a layer that does not exist is refused before a folder is made
    with RunFolder.open(root, "internal-rl", spec, name, provenance(seeds=[spec.seed])) as folder:
        if spec.stop_at_gate:
            units = _before_reinforcement(units, folder, spec, say)
        run_waves(folder, units, spec, say)
        save_tables(folder)
        folder.save_table("gates", gates(folder))
        folder.save_table("orderings", orderings(folder))
        folder.write_json("summary", summary(folder))
        for line in folder.read_json("summary")["failed_gates"] if say else ():
            say(f"gate failed: {line}")  # type: ignore[misc]
    return folder.path


def _before_reinforcement(
    units: list[Waiting], folder: RunFolder, spec: InternalRLSpec, say: Say | None
) -> list[Waiting]:
    """Do the stages that are judged by gates; all units when every gate is passed, else none that reinforces."""
    first = [unit for unit in units if not unit.name.startswith(("rl-", "shown", "ceiling"))]
    run_waves(folder, first, spec, say)
    found = gates(folder)
    return units if bool(found["passed"].all()) else first
