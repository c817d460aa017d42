from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.errors import DataError
from workbench.labels import label_array, labelled_rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "bb"], np.array(["a", "bb"])),
        ((1, 2), np.array([1, 2])),
        ([1, 2.5], np.array([1, 2.5])),
        ([True, False], np.array([True, False])),
        (pd.Series(["a", "b"], dtype="string"), np.array(["a", "b"])),
        (pd.Series([2, 1], dtype="Int64"), np.array([2, 1])),
        (pd.Categorical(["a", "b"]), np.array(["a", "b"])),
        (np.array([True, False], dtype=object), np.array([True, False])),
        (torch.tensor([3, 4]), np.array([3, 4])),
    ],
)
def test_labels_of_one_kind_become_a_plain_array(values, expected):
    found = label_array(values, "y")
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", np.nan], "y: row 1 is missing"),
        ([0.5, None], "y: row 1 is missing"),
        (pd.Series([1, None], dtype="Int64"), "y: row 1 is missing"),
        ([0.5, float("nan")], "y: row 1 is missing"),
        ([float("inf"), 1.0], "y: row 0 is not finite"),
        (["a", 1], "y: numbers and text are mixed"),
        ([[1], [2, 3]], "y: give one label a row"),
        ([[1], [2]], r"not \[2, 1\]"),
        ([], "at least one row"),
        ("left", r"not \[\]"),
    ],
)
def test_labels_that_are_none_or_not_of_one_kind_are_refused_in_one_line(values, message):
    with pytest.raises(DataError, match=message) as caught:
        label_array(values, "y")
    assert "\n" not in str(caught.value)


def test_rows_without_the_label_are_left_out_and_said():
    table = pd.DataFrame({"side": ["left", None, "right"], "won": [True, None, False], "never": [None] * 3})
    with pytest.warns(UserWarning, match="1 of 3 rows have no label 'side' and are left out"):
        rows, y = labelled_rows(table, "side")
    assert rows.tolist() == [0, 2] and y.tolist() == ["left", "right"]
    with pytest.warns(UserWarning):
        assert labelled_rows(table, "won")[1].dtype == bool
    with pytest.raises(DataError, match="no row has a label 'never'"):
        labelled_rows(table, "never")
    with pytest.raises(DataError, match="no column 'sides'; did you mean 'side'"):
        labelled_rows(table, "sides")
