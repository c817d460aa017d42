"""Planning and running any family: steps one after the other, or side by side in processes; finished ones never again.

A step computes the same rows in whichever process it runs: it gets the spec and the run folder, and one thread.  The
process that opened the run folder alone writes rows, so a killed run goes on to the same tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.families.claims import TABLE, judge
from workbench.families.clock import Clock
from workbench.families.context import Context, Last, Log
from workbench.families.family import Family, Step
from workbench.families.sizing import settled
from workbench.families.specs import ModelSpec, Spec
from workbench.families.timing import drawn_tokens

if TYPE_CHECKING:
    from pydantic import BaseModel

    from workbench.models.hooked_model import HookedModel
    from workbench.runs import RunFolder
    from workbench.runs.cells import Cell, Outcome


def plan(family: Family, spec: BaseModel) -> list[Step]:
    """The steps of a run, in order; raises for a spec that cannot be run."""
    if isinstance(spec, Spec):
        spec.check()
    family.check(spec, None)
    return list(family.steps(spec))


def run(
    family: Family,
    spec: BaseModel,
    root: str | os.PathLike[str] = "runs",
    name: str | None = None,
    progress: bool = False,
    log: Log | None = None,
    last: Last | None = None,
) -> Path:
    """Run a family, or go on with a run that was stopped.

    Args:
        family: from :func:`workbench.families.get_family`.
        spec: a preset of the family, or values of one's own.
        root: folder of runs; this one lies in ``root/<family>/<name>``.
        name: of the run folder; default a hash of the spec, so the same spec resumes.
        progress: draw progress bars.
        log: gets a line a step.
        last: called with the run when all its results are there, and before it is said to be finished: so that one
            that is killed while it draws its figures is not.

    Returns:
        The run folder.  Its artifacts hold the tables, ``claims`` among them.

    Raises:
        WorkbenchError: a spec, model or folder that cannot be used, in one line.
    """
    from workbench.provenance import provenance
    from workbench.runs import RunFolder, load_run

    if family.run is not None:
        return family.run(spec, root, name, progress=progress, log=log, last=last)
    steps = plan(family, spec)
    model: HookedModel | None = None
    if isinstance(spec, ModelSpec) and spec.minutes:
        spec, name, model = settled(family, spec, root, name, log)
        steps = plan(family, spec)
    if model is None and isinstance(spec, Spec):
        model = spec.load()
    family.check(spec, model)
    with RunFolder.open(root, family.name, spec, name, provenance(model, getattr(spec, "seed", None))) as folder:
        context = family.context(spec, folder, model, progress)
        run_steps(family, steps, context, log)
        family.finish(context)
        if claims := family.claims():
            folder.save_table(TABLE, judge(claims, context))
        if last:
            last(load_run(folder.path))
    return folder.path


def run_steps(family: Family, steps: Iterable[Step], context: Context[Any], log: Log | None = None) -> None:
    """Do the steps that the run folder has not yet, and write their rows."""
    folder, all_steps = context.folder, list(steps)
    waves = waves_of(all_steps) if family.processes else [[step] for step in all_steps]
    names = [step.name for step in all_steps]
    left = set(folder.plan(names))
    clock = Clock(all_steps, drawn_tokens(context.spec))
    for wave in waves:
        out = [step.name for step in wave if step.name in left and step.when and not step.when(context)]
        if out:
            names = [name for name in names if name not in out]
            left = set(folder.plan(names))
        todo = [step for step in wave if step.name in left]
        for step in todo:
            folder.log(f"begin {step.name}")
        if family.processes:
            for step in _side_by_side(family, todo, context):
                left.remove(step.name)
                clock.end(step.name)
                _say(step, names, clock.text(left), log)
        else:
            for step in todo:
                _say(step, names, clock.text(left), log)
                folder.write(step.name, step.work(context))
                left.remove(step.name)
                clock.end(step.name)


def _say(step: Step, names: Sequence[str], time: str, log: Log | None) -> None:
    """Which step of how many it is, how long the run has been and will be going."""
    if log:
        log(f"[{names.index(step.name) + 1}/{len(names)}] {step.what} ({time})")


def waves_of(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in waves, each waiting for earlier ones only; a name in ``after`` that is no step is not waited for.

    >>> a, b, c = (Step(n, "", lambda context: None, after=after) for n, after in (("a", ()), ("b", ("a",)), ("c", ())))
    >>> [[step.name for step in wave] for wave in waves_of([a, b, c])]
    [['a', 'c'], ['b']]
    """
    known = {step.name: step for step in steps}

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in known[name].after if other in known), default=-1)

    deepest = max((depth(step.name) for step in steps), default=-1)
    return [[step for step in steps if depth(step.name) == d] for d in range(deepest + 1)]


def _side_by_side(family: Family, steps: Sequence[Step], context: Context[Any]) -> Iterator[Step]:
    """Compute steps in processes, and yield each when its rows are written; an error of one is raised when those beside
    it have been given up."""
    from workbench.runs.cells import Cell
    from workbench.runs.engines import LocalEngine

    folder: RunFolder = context.folder
    work = partial(_work, family.name, context.spec.model_dump_json(), str(folder.path))
    by_name = {step.name: step for step in steps}
    for outcome in LocalEngine(context.spec.jobs)(work, [Cell(name, {}) for name in by_name]):
        frame = outcome.frame
        if "error" in frame and list(frame.get("status", ()))[:1] == ["failed"]:  # its process died
            raise RunError(f"step {outcome.name}: {frame['error'].iloc[0]}")
        folder.write(outcome.name, frame, outcome.saved)
        yield by_name[outcome.name]


def _work(family: str, spec_json: str, path: str, cell: Cell) -> Outcome:
    """A step in its process, on one thread, so that rows do not depend on how many share the machine."""
    import torch
    from threadpoolctl import threadpool_limits

    from workbench.families import get_family
    from workbench.runs import load_run
    from workbench.runs.cells import Outcome

    found, threads = get_family(family), torch.get_num_threads()
    spec = found.spec.model_validate_json(spec_json)
    step = next(step for step in found.steps(spec) if step.name == cell.name)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            context = found.context(spec, load_run(path))
            return Outcome(cell.name, step.work(context), saved=tuple(context.saved))
    finally:
        torch.set_num_threads(threads)
