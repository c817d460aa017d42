"""Sweeps: many small cells, each a step of a run folder, on any engine.

The cells know nothing of one another, so they are computed in any order and anywhere; what they share lies under one
path that every worker reads.  A killed sweep goes on at the cells that are missing.  A cell that fails leaves a row
with its error, the rest go on, and starting the sweep again tries it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from workbench.errors import RunError
from workbench.progress import progress_bar
from workbench.runs.cells import Cell, Worker, attempt
from workbench.runs.engines import Engine, LocalEngine
from workbench.runs.folder import RunFolder

Log = Callable[[str], None]
_SAY_EVERY_S = 20


def run_cells(
    folder: RunFolder,
    cells: Sequence[Cell],
    worker: Worker,
    context: str | os.PathLike[str] | None = None,
    engine: Engine | None = None,
    *,
    before: Sequence[str] = (),
    progress: bool = False,
    log: Log | None = None,
) -> dict[str, str]:
    """Compute the cells that are not finished yet; return the error of each that failed, by its name.

    ``worker``: a function at the top of a module (see :mod:`workbench.runs.cells`), called with the cell and
    ``context`` (a path; default the run folder).  ``engine``: default :class:`LocalEngine`.  ``before``: other steps of
    the run, whose rows come first.  ``progress`` draws a bar with the time left; without it ``log`` gets a line with
    the same every 20 seconds.  Rows come in the order of ``cells``, whatever order they were finished in.

    >>> import tempfile, pandas as pd
    >>> def worker(cell, context):
    ...     return pd.DataFrame({"square": [cell.values["x"] ** 2]})
    >>> with tempfile.TemporaryDirectory() as root, RunFolder.open(root, "squares", {"xs": [2, 3]}) as folder:
    ...     run_cells(folder, [Cell(f"x={x}", {"x": x}) for x in (2, 3)], worker, engine=LocalEngine(1))
    ...     folder.rows()[["cell", "x", "square", "status"]]
    {}
      cell  x  square status
    0  x=2  2       4     ok
    1  x=3  3       9     ok
    """
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise RunError(f"two cells are called {twice!r}: a cell's name must say all that tells it from the others")
    folder.plan([*before, *names])
    for name in _failed_before(folder, names):
        folder.forget(name)
    left = [cell for cell in cells if not folder.done(cell.name)]
    errors: dict[str, str] = {}
    if not left:
        return errors
    job = partial(attempt, worker, str(Path(context or folder.path).resolve()))
    pace = _Pace(len(cells), len(left), None if progress else log)
    with progress_bar(len(left), progress, "cells") as advance:
        for outcome in (engine or LocalEngine())(job, left):
            folder.write(outcome.name, outcome.frame)
            error = _error(outcome.frame)
            if error is not None:
                errors[outcome.name] = error
                folder.log(f"cell {outcome.name} failed: {outcome.trace.rstrip() or error}")
            advance(1)
            pace.step()
    return errors


def _failed_before(folder: RunFolder, names: Sequence[str]) -> list[str]:
    finished = set(folder.steps())
    return [name for name in names if name in finished and folder.done(name) and _error(folder.read(name)) is not None]


def _error(frame: object) -> str | None:
    """The error of a failed cell's row, None for the rows of a good one."""
    status = getattr(frame, "status", None)
    if status is None or "failed" not in set(status):
        return None
    return str(frame["error"].iloc[0])  # type: ignore[index]


class _Pace:
    """Says now and then how far a sweep is and how long it will take."""

    def __init__(self, total: int, left: int, log: Log | None) -> None:
        self.total, self.left, self.log = total, left, log
        self.began = self.spoke = time.monotonic()
        self.steps = 0

    def step(self) -> None:
        """One more cell is finished."""
        self.steps += 1
        now = time.monotonic()
        if self.log and (now - self.spoke >= _SAY_EVERY_S or self.steps == self.left):
            self.spoke = now
            remaining = (now - self.began) / self.steps * (self.left - self.steps)
            done = self.total - self.left + self.steps
            self.log(f"{done} of {self.total} cells" + (f", about {_span(remaining)} left" if remaining else ""))


def _span(seconds: float) -> str:
    """A time in words.

    >>> _span(42), _span(600), _span(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
