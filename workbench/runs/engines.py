"""Where the cells of a sweep are computed: processes of this machine (joblib), a Ray cluster, or Slurm job arrays.

An engine is called with a job (a picklable function of one cell) and the cells, and yields their outcomes as they come,
in any order.  It never raises for a cell: one whose process dies yields a failed row.  Local processes end with the one
that started them, however that ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from workbench.arguments import a_path, integer, mapping
from workbench.errors import SpecError, check_known, extra
from workbench.runs.cells import Cell, Outcome, failed
from workbench.runs.slurm import SlurmEngine

Item = TypeVar("Item")
Result = TypeVar("Result")
Job = Callable[[Cell], Outcome]
_DIED = "the process that computed it died (out of memory?)"
_LOOK_EVERY_S = 0.5


class Engine(Protocol):
    """Yields the outcome of ``job`` for every cell, in any order."""

    def __call__(self, job: Job, cells: Sequence[Cell]) -> Iterator[Outcome]: ...


@dataclass(frozen=True)
class LocalEngine:
    """``jobs`` processes of this machine (default: one for each core this process may use); 1 is this process itself.

    The cores are shared out: a process gets ``cores // jobs`` threads for its linear algebra.
    """

    jobs: int | None = None

    def __call__(self, job: Job, cells: Sequence[Cell]) -> Iterator[Outcome]:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        jobs = min(self.jobs or cores(), len(cells))
        if jobs <= 1:
            yield from map(job, cells)
            return
        left = {cell.name: cell for cell in cells}
        while left:
            try:
                for outcome in in_processes(job, list(left.values()), jobs):
                    del left[outcome.name]
                    yield outcome
            except TerminatedWorkerError:
                # Cells begin in order, so the one that took its process down is among the first that are left: those
                # are tried one by one, and the rest go on together.
                for cell in list(left.values())[: 2 * jobs]:
                    del left[cell.name]
                    yield _alone(job, cell)


def in_processes(work: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """``work`` of each item, in any order, in ``jobs`` processes that share the cores out and end with this one.

    >>> sorted(in_processes(abs, [-2, 1], jobs=1))  # one job is this process itself
    [1, 2]
    """
    from joblib import Parallel, delayed, parallel_config

    start = {"initializer": _end_with, "initargs": (os.getpid(),)}
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=max(1, cores() // jobs), **start):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
        yield from parallel(delayed(work)(item) for item in items)


def _end_with(parent: int) -> None:
    """In a worker: end it soon after the process ``parent`` has ended, by SIGKILL too, in the middle of its work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name="end with the parent", daemon=True).start()


def _alone(job: Job, cell: Cell) -> Outcome:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        return next(in_processes(job, [cell], 2))  # one job would be this process, which must not die with the cell
    except TerminatedWorkerError:
        return failed(cell, _DIED)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class RayEngine:
    """Tasks of a Ray cluster: the one at ``address`` or in RAY_ADDRESS, else one that is started on this machine.

    Every node must see the run folder under the same path.  ``jobs``: cells computed at once (default: what fits).
    """

    jobs: int | None = None
    address: str | None = None

    def __call__(self, job: Job, cells: Sequence[Cell]) -> Iterator[Outcome]:
        ray = extra("ray", "ray")
        if not ray.is_initialized():
            ray.init(address=self.address, include_dashboard=False, log_to_driver=False)
        run = ray.remote(num_cpus=1, max_retries=0)(_call)
        waiting: dict[Any, Cell] = {}
        coming = iter(cells)
        at_once = self.jobs or len(cells)
        while True:
            while len(waiting) < at_once and (cell := next(coming, None)):
                waiting[run.remote(job, cell)] = cell
            if not waiting:
                return
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError:
                yield failed(cell, _DIED)


def _call(job: Job, cell: Cell) -> Outcome:
    return job(cell)


# name -> what it makes of (run folder, jobs, parameters of Slurm); another engine is one line here.
ENGINES: dict[str, Callable[[Path, int | None, Mapping[str, Any]], Engine]] = {
    "local": lambda folder, jobs, parameters: LocalEngine(jobs),
    "ray": lambda folder, jobs, parameters: RayEngine(jobs),
    "slurm": lambda folder, jobs, parameters: SlurmEngine(folder / "jobs", jobs, parameters),
}


def make_engine(
    name: str, folder: str | os.PathLike[str], jobs: int | None = None, parameters: Mapping[str, Any] | None = None
) -> Engine:
    """The engine ``local``, ``ray`` or ``slurm`` for the run in ``folder``.

    ``jobs``: processes, cells at once, or elements of the job array.  ``parameters``: Slurm's (``timeout_min``,
    ``partition``...).  Raises :class:`SpecError` for an unknown name, too few jobs, or parameters without Slurm.

    >>> make_engine("local", "runs/experiment/first", jobs=2)
    LocalEngine(jobs=2)
    """
    check_known(name, ENGINES, "engine")
    jobs = None if jobs is None else integer(jobs, "jobs", least=1)
    parameters = mapping(parameters, "parameters")
    if parameters and name != "slurm":
        raise SpecError(
            f"engine {name!r} takes no parameters of Slurm ({', '.join(map(str, parameters))}): use engine 'slurm'"
        )
    return ENGINES[name](a_path(folder), jobs, parameters)
