"""Cells as a Slurm job array, through submitit.

The cells are cut into as many runs of neighbours as there are array elements.  An element writes the rows of each cell
to ``jobs/results`` as soon as it has them; this process, the only one that writes to the run folder proper, moves them
there.  So what a job has finished is kept whether or not somebody was watching, and starting the sweep again collects
it, waits for jobs that still run, and submits only what is left.

submitit hands functions and arguments to its jobs as pickles in ``jobs/``, the user's own folder; results come back as
Parquet, and nothing here unpickles a file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, SpecError, did_you_mean, extra
from workbench.files import make_folder, read_object, write_bytes, write_json
from workbench.runs.cells import Cell, Outcome, failed
from workbench.tables import frame_bytes, read_frames

if TYPE_CHECKING:
    import pandas as pd

_JOBS, _POLL_S = 16, 0.5
_DEFAULTS = {"timeout_min": 60, "cpus_per_task": 1, "name": "workbench-sweep"}
_SUBMITTED = "submitted.json"


@dataclass(frozen=True)
class SlurmEngine:
    """Job arrays of ``jobs`` elements (default 16) from ``folder``, which every node must see under the same path.

    ``parameters``: submitit's (``timeout_min``, ``mem_gb``, ``cpus_per_task``...) and Slurm's own (``partition``,
    ``account``, ``qos``...).  ``cluster="local"`` runs the same jobs as processes of this machine, to try them out.
    """

    folder: Path
    jobs: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"

    def __call__(self, job: Callable[[Cell], Outcome], cells: Sequence[Cell]) -> Iterator[Outcome]:
        left = {cell.name: cell for cell in cells}
        results = self.folder.resolve() / "results"
        make_folder(results)
        for outcome in _collect(results, left):
            if not outcome.trace:  # a failure of an earlier session is tried again
                del left[outcome.name]
                yield outcome
        executor = self._executor()
        running = self._still_running(executor, left)
        held = {name for names in running.values() for name in names}
        chunks = _chunks([cell for cell in left.values() if cell.name not in held], self.jobs or _JOBS)
        if chunks:
            submitted = executor.map_array(partial(_compute, job, str(results)), chunks)
            running |= {one: [cell.name for cell in chunk] for one, chunk in zip(submitted, chunks, strict=True)}
        record = {one.job_id: [name for name in names if name in left] for one, names in running.items()}
        write_json(self.folder / _SUBMITTED, record)
        yield from _watch(results, running, left)

    def _executor(self) -> Any:
        try:
            executor = extra("submitit", "slurm").AutoExecutor(self.folder.resolve(), cluster=self.cluster)
        except RuntimeError as error:
            raise RunError("there is no Slurm here (srun is not on the PATH): use --engine local") from error
        executor.update_parameters(**_submitit_names(_DEFAULTS | dict(self.parameters)))
        return executor

    def _still_running(self, executor: Any, left: Mapping[str, Cell]) -> dict[Any, list[str]]:
        """Jobs of an earlier session that Slurm has not ended, with their cells."""
        path = self.folder / _SUBMITTED
        if self.cluster != "slurm" or not path.exists():
            return {}
        record = read_object(path)
        if not all(isinstance(names, list) for names in record.values()):
            raise RunError(f"{path} is not a record of submitted jobs: remove it when none of them runs")
        jobs = {executor.job_class(executor.folder, number): names for number, names in record.items()}
        return {job: [n for n in names if n in left] for job, names in jobs.items() if not job.done(force_check=True)}


def _watch(results: Path, running: dict[Any, list[str]], left: dict[str, Cell]) -> Iterator[Outcome]:
    """Outcomes until every cell has one: from its file, or because its job ended without writing it."""
    while left:
        ended = [job for job in running if job.done()]  # asked first: what a job wrote before its end is then there
        for outcome in _collect(results, left):
            del left[outcome.name]
            yield outcome
        for job in ended:
            for name in running.pop(job):
                if name in left:
                    line = f"job {job.job_id} ended ({job.state.lower()}) without its rows; see {job.paths.stderr}"
                    yield failed(left.pop(name), line)
        if left:
            time.sleep(_POLL_S)


def _collect(results: Path, left: Mapping[str, Cell]) -> Iterator[Outcome]:
    """The cells of ``left`` whose rows have come; a file goes when its rows were taken (or nobody waits for them)."""
    for path in sorted(results.glob("*.parquet")):
        if path.stem in left and (frame := _rows(path)) is not None:
            bad = "failed" in set(frame["status"]) if "status" in frame else False
            yield Outcome(path.stem, frame, f"see {results.parent}/*.err" if bad else "")
        path.unlink(missing_ok=True)


def _rows(path: Path) -> pd.DataFrame | None:
    """The rows in a file; None for one that is damaged, whose cell is then computed again."""
    try:
        return read_frames([path])
    except RunError:
        return None


def _compute(job: Callable[[Cell], Outcome], results: str, cells: Sequence[Cell]) -> None:
    """What an element of the array does."""
    for cell in cells:
        outcome = job(cell)
        if outcome.trace:
            sys.stderr.write(f"cell {cell.name} failed\n{outcome.trace}\n")
        write_bytes(Path(results, f"{cell.name}.parquet"), frame_bytes(outcome.frame, f"cell {cell.name!r}"))


def _chunks(cells: Sequence[Cell], most: int) -> list[list[Cell]]:
    """``cells`` in at most ``most`` runs of neighbours, as even as can be (neighbours share activations)."""
    count = min(most, len(cells))
    cuts = [len(cells) * i // count for i in range(count + 1)] if count else [0]
    return [list(cells[start:stop]) for start, stop in pairwise(cuts)]


def _submitit_names(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as submitit's AutoExecutor wants them: Slurm's own begin with ``slurm_`` there."""
    from submitit import AutoExecutor, SlurmExecutor

    shared, own = AutoExecutor._typed_parameters(), SlurmExecutor._valid_parameters()
    found = {}
    for name, value in parameters.items():
        bare = name.removeprefix("slurm_")
        if bare not in shared and bare not in own:
            raise SpecError(f"Slurm has no parameter {name!r}{did_you_mean(bare, [*shared, *own])}")
        if bare in shared and not isinstance(value, (int, float) if shared[bare] is float else shared[bare]):
            raise SpecError(f"Slurm's {name} is {value!r}: it must be {shared[bare].__name__}")
        found[bare if bare in shared else f"slurm_{bare}"] = value
    return found
