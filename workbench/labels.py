"""Labels of rows: whatever they come as, one array of numbers, truth values or text, and none of them missing."""

from __future__ import annotations

import reprlib
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arguments import as_array, to_numpy
from workbench.errors import DataError, did_you_mean, warn

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Int, Shaped


def label_array(values: Any, what: str) -> Shaped[np.ndarray, " rows"]:
    """One label a row as an array of numbers, truth values or text, from a list, a column of a table or a tensor.

    Raises :class:`DataError`, which begins with ``what``, unless they are [rows] with at least one row, all there (no
    None, NaN or infinity) and all of one kind.

    >>> label_array(["left", "right"], "y")
    array(['left', 'right'], dtype='<U5')
    >>> label_array(["left", None], "y")
    Traceback (most recent call last):
    workbench.errors.DataError: y: row 1 is missing, drop such rows first
    """
    given = to_numpy(values)
    try:
        array = as_array(given, what)
    except DataError:  # lists of unequal lengths
        array = np.empty((0, 0))
    if array.ndim != 1 or not array.size:
        raise DataError(f"{what}: give one label a row, [rows] with at least one row, not {list(array.shape)}")
    if array.dtype.kind == "O" or (array.dtype.kind in "US" and not isinstance(given, np.ndarray)):
        array = _of_one_kind(np.asarray(given, dtype=object), what)  # ["a", nan] is ['a', 'nan'] to NumPy
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.isfinite(array).argmin())
        state = "missing" if np.isnan(array[row]) else "not finite"
        raise DataError(f"{what}: row {row} is {state}, drop such rows first")
    return array


SINK = "attention_sink"  # whether a row was read at one


def used_rows(labels: pd.DataFrame, target: str) -> np.ndarray:
    """Which rows [rows] have the label ``target`` and were not read at an attention sink.

    >>> import pandas as pd
    >>> used_rows(pd.DataFrame({"side": ["a", None, "b"], "attention_sink": [True, False, False]}), "side").tolist()
    [False, False, True]
    """
    if not isinstance(target, str | int) or target not in labels:
        raise DataError(f"labels have no column {reprlib.repr(target)}{did_you_mean(target, map(str, labels))}")
    return (labels[target].notna() & ~_at_sinks(labels)).to_numpy(dtype=bool)


def _at_sinks(labels: pd.DataFrame) -> pd.Series[bool]:
    import pandas as pd

    return labels[SINK].astype(bool) if SINK in labels else pd.Series(False, index=labels.index)


def labelled_rows(labels: pd.DataFrame, target: str) -> tuple[Int[np.ndarray, " kept"], Shaped[np.ndarray, " kept"]]:
    """Numbers of the :func:`used_rows`, and their labels; a warning says how many are left out.

    >>> import pandas as pd
    >>> labelled_rows(pd.DataFrame({"odd": [True, False]}), "odd")
    (array([0, 1]), array([ True, False]))
    """
    rows, column = np.flatnonzero(used_rows(labels, target)), labels[target]
    sinks = int(_at_sinks(labels).sum())
    if not len(rows):
        besides = f" beside the {sinks} at attention sinks" if sinks else ""
        raise DataError(f"no row has a label {target!r}{besides}: there is nothing to learn from")
    if sinks:
        warn(f"{sinks} of {len(column)} rows were read at attention sinks and are left out")
    if missing := len(column) - len(rows) - sinks:
        warn(f"{missing} of {len(column)} rows have no label {target!r} and are left out")
    return rows, label_array(column.iloc[rows].infer_objects(), f"label {target!r}")


def _of_one_kind(objects: np.ndarray, what: str) -> np.ndarray:
    """Objects as text or numbers where they are that; other kinds, such as tuples, as they are."""
    import pandas as pd

    if (missing := pd.isna(objects)).any():
        raise DataError(f"{what}: row {int(missing.argmax())} is missing, drop such rows first")
    kinds = {_kind(each) for each in objects}
    if len(kinds) > 1:
        raise DataError(f"{what}: {' and '.join(sorted(kinds))} are mixed, use all numbers or all text")
    return np.asarray(objects.tolist()) if kinds <= {"text", "numbers"} else objects


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    return "numbers" if isinstance(label, Number | np.bool_) else type(label).__name__
