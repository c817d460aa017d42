"""Values of every kind, sensible as an argument of something or of nothing: what ``test_any_arguments`` hands in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from steering import Add, SteeringVector
from workbench.models import Scope
from workbench.sites import Site

Make = Callable[[], Any]


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    return deep


class _Odd:
    """An object of no use that says so at length."""

    def __repr__(self) -> str:
        return "<odd\nobject>"


# Made anew for each call, since a generator is used up.
ANYTHING: dict[str, Make] = {
    "None": lambda: None, "True": lambda: True, "False": lambda: False, "0": lambda: 0, "1": lambda: 1,
    "-1": lambda: -1,
    "2": lambda: 2, "10**30": lambda: 10**30, "-2**63": lambda: -(2**63), "0.5": lambda: 0.5, "-2.5": lambda: -2.5,
    "nan": lambda: float("nan"), "inf": lambda: float("inf"), "1e300": lambda: 1e300, "1e-40": lambda: 1e-40,
    "1j": lambda: 1j,
    "''": lambda: "", "'a b'": lambda: "a b", "'1'": lambda: "1", "'1.resid_post'": lambda: "1.resid_post",
    "newline": lambda: "a\nb",
    "nul": lambda: "a\0b", "long": lambda: "x" * 5000, "surrogate": lambda: "\ud800", "b'ab'": lambda: b"ab",
    "bytearray": lambda: bytearray(b"ab"),
    "[]": lambda: [], "[[]]": lambda: [[]], "[None]": lambda: [None], "[1]": lambda: [1], "[1.5]": lambda: [1.5],
    "['a']": lambda: ["a"],
    "['a', 1]": lambda: ["a", 1], "[nan]": lambda: [float("nan")], "[[1, 2], [3]]": lambda: [[1, 2], [3]],
    "[True]": lambda: [True], "deep": _deep,
    "[b'a']": lambda: [b"a"], "[{}]": lambda: [{}], "[odd]": lambda: [_Odd()], "[10**30]": lambda: [10**30],
    "(1, 2)": lambda: (1, 2), "()": lambda: (),
    "{}": lambda: {}, "{'a': 1}": lambda: {"a": 1}, "{1: [2]}": lambda: {1: [2]}, "{1, 2}": lambda: {1, 2},
    "range": lambda: range(3),
    "generator": lambda: (i for i in range(3)), "np.int64": lambda: np.int64(3),
    "np.float32": lambda: np.float32(0.5),
    "np.nan": lambda: np.float64("nan"), "np.bool": lambda: np.bool_(True), "np 0-d": lambda: np.array(1),
    "np ints": lambda: np.array([1, 2]),
    "np table": lambda: np.array([[1.0, 2.0], [3.0, 4.0]]), "np empty": lambda: np.array([]),
    "np text": lambda: np.array(["a", "b"]),
    "np None": lambda: np.array([None, 1]), "np complex": lambda: np.array([1j, 2.0]), "np 3-d": lambda: np.zeros((2,
    2, 2)),
    "np time": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"), "np structured": lambda: np.zeros(2,
    dtype=[("a", int)]),
    "torch 0-d": lambda: torch.tensor(1), "torch ints": lambda: torch.tensor([1, 2]),
    "torch table": lambda: torch.ones(2, 3),
    "torch nan": lambda: torch.tensor([float("nan"), 1.0]), "torch complex": lambda: torch.tensor([1j, 2.0]),
    "torch bool": lambda: torch.tensor([True]),
    "torch empty": lambda: torch.empty(0), "torch half": lambda: torch.ones(32, dtype=torch.bfloat16),
    "torch meta": lambda: torch.ones(32, device="meta"),
    "torch grad": lambda: torch.ones(32, requires_grad=True), "torch sparse": lambda: torch.eye(3).to_sparse(),
    "series": lambda: pd.Series([1, 2], [7, 3]),
    "series text": lambda: pd.Series(["a", "b"]), "series NA": lambda: pd.Series([1, pd.NA]),
    "series category": lambda: pd.Series(["a", "b"], dtype="category"),
    "frame": lambda: pd.DataFrame({"a": [1, 2]}), "frame twice": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "index": lambda: pd.Index([1, 2]), "NA": lambda: pd.NA, "time": lambda: pd.Timestamp("2020-01-01"),
    "odd": _Odd, "int": lambda: int, "len": lambda: len, "error": lambda: ValueError("x"), "path": lambda: Path("x"),
    "site": lambda: Site(1),
    "scope": Scope, "slice": lambda: slice(0, 1), "ellipsis": lambda: ..., "Decimal": lambda: Decimal("1.5"),
    "Fraction": lambda: Fraction(1, 2),
    "vector": lambda: SteeringVector(1, torch.ones(32)), "add": lambda: Add(torch.ones(32), site=1),
    "module": lambda: np, "dtype": lambda: torch.float32,
}  # fmt: skip
