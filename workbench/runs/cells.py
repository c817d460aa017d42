"""``Cell``: one small piece of a sweep, and trying it so that its failure is a row and not the end of the rest.

A worker is a function at the top of a module, ``worker(cell, context) -> DataFrame``: it is called in another process,
perhaps on another machine, with the cell and the path of what all cells share (captured activations, say), and returns
the rows of the cell.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.errors import DataError
from workbench.runs.status import error_line
from workbench.tables import frame_bytes

if TYPE_CHECKING:
    import pandas as pd

_OWN = ("cell", "status", "error")


class Cell(NamedTuple):
    """A cell: the name of its step in the run folder, and the inert (JSON-able) values that say what it computes."""

    name: str
    values: Mapping[str, Any]


class Outcome(NamedTuple):
    """The rows of a cell that was tried; ``trace`` is the traceback of one that failed, ``saved`` the artifacts (file
    names) that it wrote."""

    name: str
    frame: pd.DataFrame
    trace: str = ""
    saved: tuple[str, ...] = ()


Worker = Callable[[Cell, Path], "pd.DataFrame"]


def attempt(worker: Worker, context: str, cell: Cell) -> Outcome:
    """Call the worker and put before its rows what the cell is; whatever it raises becomes a failed row.

    The rows have the columns ``cell``, one for each of the cell's values (a list or dict as JSON text), those of the
    worker, ``status`` ("ok" or "failed") and ``error`` (one line).

    >>> import pandas as pd
    >>> def worker(cell, context):
    ...     return pd.DataFrame({"score": [1 / cell.values["x"]]})
    >>> attempt(worker, ".", Cell("x=2", {"x": 2})).frame.to_dict("records")
    [{'cell': 'x=2', 'x': 2, 'score': 0.5, 'status': 'ok', 'error': None}]
    >>> attempt(worker, ".", Cell("x=0", {"x": 0})).frame.to_dict("records")
    [{'cell': 'x=0', 'x': 0, 'status': 'failed', 'error': 'ZeroDivisionError: division by zero'}]
    """
    try:
        frame = _described(cell, worker(cell, Path(context)))
        frame_bytes(frame, f"cell {cell.name!r}")  # what cannot be stored is the cell's failure, not the sweep's
    except Exception as error:
        return failed(cell, error_line(error), traceback.format_exc())
    return Outcome(cell.name, frame)


def failed(cell: Cell, line: str, trace: str = "") -> Outcome:
    """The outcome of a cell that failed: one row with the error."""
    import pandas as pd

    row = {"cell": cell.name, **_plain(cell.values), "status": "failed", "error": line}
    return Outcome(cell.name, pd.DataFrame([row]), trace)


def _described(cell: Cell, frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    for name in (*_OWN, *cell.values):
        if name in frame:
            raise DataError(f"the worker's table has a column {name!r}, which the sweep writes itself: rename it")
    head = pd.DataFrame({"cell": cell.name} | _plain(cell.values), index=frame.index)
    error = pd.Series([None] * len(frame), index=frame.index, dtype=object, name="error")
    return pd.concat([head, frame.assign(status="ok"), error], axis=1)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value) if isinstance(value, Mapping | list | tuple) else value
        for name, value in values.items()
    }
