"""Numbers, texts, paths and lists of any library; what is none of them is one line that names the argument."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import arguments
from workbench.errors import DataError, SpecError, WorkbenchError
from workbench.seeding import derive_seed


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)])
def test_integers_of_any_library_are_integers_and_seed_alike(value):
    assert arguments.integer(value, "n") == 3 and type(arguments.integer(value, "n")) is int
    assert derive_seed(value, "x") == derive_seed(3, "x")


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5), np.array(0.5)])
def test_numbers_of_any_library_are_numbers(value):
    assert arguments.number(value, "share", 0, 1) == 0.5


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, pd.Series])
def test_lists_and_arrays_of_any_library_are_the_same_numbers(kind):
    values = kind([1, 2.5])
    assert arguments.real_array(values, "values").tolist() == [1.0, 2.5]
    assert [float(value) for value in arguments.listed(values, "values")] == [1.0, 2.5]


def test_numbers_that_numpy_holds_as_objects_are_numbers():
    for values in ([Decimal("1.5"), 2], pd.Series([1.5, 2], dtype="Float64")):
        assert arguments.real_array(values, "values").tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: arguments.integer(True, "n"), SpecError, "n must be an integer, not True (bool)"),
        (lambda: arguments.integer(2.5, "n", 1), SpecError, "n must be an integer of at least 1, not 2.5 (float)"),
        (lambda: arguments.number("1", "C"), SpecError, "C must be a finite number, not '1' (str)"),
        (lambda: arguments.number(np.nan, "C", 0), SpecError, "C must be a finite number of at least 0, not nan"),
        (lambda: arguments.number(2, "share", 0, 1), SpecError, "share must be a finite number from 0 to 1, not 2"),
        (lambda: arguments.flag(1, "paired"), SpecError, "paired must be True or False, not 1 (int)"),
        (lambda: arguments.text(b"a", "a name"), DataError, "a name must be a text, not b'a' (bytes)"),
        (lambda: arguments.text("\ud800", "a name"), DataError, "a name must be a text"),
        (lambda: arguments.listed("abc", "layers"), DataError, "layers must be a list, not 'abc' (str)"),
        (lambda: arguments.listed(torch.tensor(1), "layers"), DataError, "layers must be a list, not tensor(1)"),
        (lambda: arguments.real_array(["a"], "x"), DataError, "x must be numbers, not <U1"),
        (lambda: arguments.real_array([1j], "x"), DataError, "x must be numbers, not complex128"),
        (lambda: arguments.real_array([1, None], "x"), DataError, "x must be numbers, not object"),
        (lambda: arguments.real_array([[1], [1, 2]], "x"), DataError, "x cannot be read as an array"),
        (lambda: arguments.mapping([1], "metadata"), DataError, "metadata must be a dict, not [1] (list)"),
        (lambda: arguments.one_of(5, Path, "folder"), DataError, "folder must be a Path, not 5 (int)"),
        (lambda: arguments.a_path("", "root"), DataError, "root must be the name of a file or folder, not ''"),
        (lambda: arguments.a_path("x" * 300), DataError, "a path must be the name of a file or folder"),
        (lambda: arguments.a_path("a\0b"), DataError, "a path must be the name of a file or folder"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_the_argument(call, error, said):
    with pytest.raises(error, match=re.escape(said)) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_a_library_that_refuses_is_quoted_in_one_line_and_our_own_errors_pass():
    with pytest.raises(DataError, match=r"^X: first second$"), arguments.refused("X"):
        raise ValueError("first\n  second")
    with pytest.raises(TypeError, match=r"^X: no$"), arguments.refused("X"):
        raise TypeError("no")
    with pytest.raises(SpecError, match=r"^ours$"), arguments.refused("X"):
        raise SpecError("ours")


def test_an_error_is_one_line_whatever_it_quotes():
    assert str(WorkbenchError("first\nsecond")) == "first second"
    assert len(str(WorkbenchError("x" * 5000))) == 1000
