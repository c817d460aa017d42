"""Units side by side: each wave of units that wait for nothing unfinished is computed by several processes.

A unit computes the same rows in whichever process it runs: it gets the spec and the run folder only, and one thread.
This process alone writes rows; a unit's training leaves its checkpoints in the run folder, so a killed run goes on in
the midst of its units.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from workbench.errors import RunError
from workbench.families.internal_rl.job import Job
from workbench.families.internal_rl.spec import InternalRLSpec
from workbench.families.units import Say, Unit
from workbench.runs import RunFolder
from workbench.runs.cells import Cell, Outcome
from workbench.runs.engines import LocalEngine

__all__ = ["Waiting", "run_waves", "waves_of"]


@dataclass(frozen=True)
class Waiting(Unit[Job]):
    """A unit that begins when the units ``after`` are finished."""

    after: tuple[str, ...] = ()


def waves_of(units: Sequence[Waiting]) -> list[list[Waiting]]:
    """The units in waves; within a wave their order stays.  A name in ``after`` that is no unit is not waited for.

    >>> a, b, c = (Waiting(n, "", 0, lambda job: None, after) for n, after in (("a", ()), ("b", ("a",)), ("c", ())))
    >>> [[unit.name for unit in wave] for wave in waves_of([a, b, c])]
    [['a', 'c'], ['b']]
    """
    known = {unit.name: unit for unit in units}

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in known[name].after if other in known), default=-1)

    deepest = max((depth(unit.name) for unit in units), default=-1)
    return [[unit for unit in units if depth(unit.name) == d] for d in range(deepest + 1)]


def run_waves(folder: RunFolder, units: Sequence[Waiting], spec: InternalRLSpec, say: Say | None = None) -> None:
    """Do the units that ``folder`` has not yet and write their rows; ``say`` gets a line when a unit is finished.

    An error of a unit is raised when the units beside it have been given up; what they had reached stays.
    """
    left = set(folder.plan([unit.name for unit in units]))
    number = len(units) - len(left)
    for wave in waves_of(units):
        todo = [unit for unit in wave if unit.name in left]
        for unit in todo:
            folder.log(f"begin {unit.name}")
        work = partial(_work, spec.model_dump_json(), str(folder.path), os.getpid())
        cells = [Cell(unit.name, {}) for unit in todo]
        what = {unit.name: unit.what for unit in todo}
        for outcome in LocalEngine(spec.jobs)(work, cells):
            _check(outcome, folder)
            folder.write(outcome.name, outcome.frame)
            number += 1
            if say:
                say(f"[{number}/{len(units)}] {what[outcome.name]}")


def _check(outcome: Outcome, folder: RunFolder) -> None:
    """Raises :class:`RunError` for a unit whose process died."""
    if "error" in outcome.frame and outcome.frame.get("status", [""])[0] == "failed":
        raise RunError(f"unit {outcome.name}: {outcome.frame['error'][0]}")


@cache
def _end_with(owner: int) -> None:
    """End this process when the one that owns the run folder is gone (killed, say): the run that is resumed then writes
    the same checkpoints."""
    if os.getpid() == owner:
        return

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(spec_json: str, path: str, owner: int, cell: Cell) -> Outcome:
    """A unit in its process, on one thread, so that rows do not depend on how many share the machine."""
    import torch
    from threadpoolctl import threadpool_limits

    from workbench.families.internal_rl.units import work_of

    _end_with(owner)
    spec, threads = InternalRLSpec.model_validate_json(spec_json), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return Outcome(cell.name, work_of(spec, cell.name)(Job(spec, Path(path))))
    finally:
        torch.set_num_threads(threads)
