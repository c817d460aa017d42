"""Labels of rows: whatever they come as, one array of numbers, truth values or text, and none of them missing."""

from __future__ import annotations

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


def labelled_rows(labels: pd.DataFrame, target: str) -> tuple[Int[np.ndarray, " kept"], Shaped[np.ndarray, " kept"]]:
    """Numbers of the rows whose label ``target`` is there, and those labels; a warning says how many are left out.

    >>> import pandas as pd
    >>> labelled_rows(pd.DataFrame({"odd": [True, False]}), "odd")
    (array([0, 1]), array([ True, False]))
    """
    if not isinstance(target, str | int) or target not in labels:
        raise DataError(f"labels have no column {target!r}{did_you_mean(target, map(str, labels))}")
    column = labels[target]
    rows = np.flatnonzero(column.notna())
    if not len(rows):
        raise DataError(f"no row has a label {target!r}: there is nothing to learn from")
    if len(rows) < len(column):
        left_out = f"{len(column) - len(rows)} of {len(column)} rows have no label {target!r} and are left out"
        warn(left_out)
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
