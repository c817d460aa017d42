"""Calibration: shares, equal-frequency bins, and an error that is zero for who knows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.families.introspection.self_prediction.calibration import (
    bin_numbers,
    calibration_bins,
    deviation,
    deviation_interval,
    points,
)

KEYS = {"task": "t", "split": "train", "property": "p"}


def counted(rows: list[tuple[str, str | None, int]]) -> pd.DataFrame:
    table = pd.DataFrame([KEYS | {"id": i, "value": value, "count": count} for i, value, count in rows])
    return table.astype({"value": "string"})


def test_shares_are_those_of_the_most_frequent_value() -> None:
    did = counted([("1", "a", 3), ("1", "b", 1), ("1", None, 6), ("2", None, 10)])
    said = counted([("1", "a", 2), ("1", None, 3), ("1", "c", 5), ("2", "a", 10)])
    (row,) = points(did, said).to_dict("records")
    assert (row["id"], row["value"], row["object"], row["hypothetical"]) == ("1", "a", 0.75, 0.2)


def test_a_value_that_is_never_named_has_the_share_zero() -> None:
    (row,) = points(counted([("1", "a", 4)]), counted([("1", "b", 4)])).to_dict("records")
    assert (row["object"], row["hypothetical"]) == (1.0, 0.0)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=80), st.integers(2, 12))
def test_bins_are_ordered_by_share_and_equal_shares_are_together(shares: list[int], bins: int) -> None:
    values = np.array(shares) / 20
    index = bin_numbers(values, bins)
    assert sorted(set(index.tolist())) == list(range(index.max() + 1)) and index.max() < bins
    order = np.argsort(values, kind="stable")
    assert (np.diff(index[order]) >= 0).all()
    assert all(len(set(index[values == value].tolist())) == 1 for value in set(values.tolist()))


def test_a_tie_at_an_edge_goes_up_as_one() -> None:
    assert bin_numbers(np.array([0.0, 1.0, 1.0, 1.0]), 2).tolist() == [0, 1, 1, 1]
    assert bin_numbers(np.array([0.0, 0.0, 0.0, 1.0]), 4).tolist() == [0, 0, 0, 1]


def test_without_ties_bins_are_those_of_pandas() -> None:
    values = np.random.default_rng(0).random(200)
    expected = pd.qcut(values, 10, labels=False)
    assert (bin_numbers(values, 10) == expected).all()


def test_the_error_is_the_papers_mean_over_equal_bins() -> None:
    rng = np.random.default_rng(1)
    hypothetical = rng.random(100)
    actual = np.clip(hypothetical + rng.normal(0, 0.3, 100), 0, 1)
    bins = pd.qcut(hypothetical, 10, labels=False)
    gaps = [abs(actual[bins == k].mean() - hypothetical[bins == k].mean()) for k in range(10)]
    assert deviation(np.stack([actual, hypothetical], 1), 10) == pytest.approx(np.mean(gaps))


def test_who_knows_has_no_error_and_who_is_always_sure_has_the_gap() -> None:
    actual = np.linspace(0.5, 1, 50)
    assert deviation(np.stack([actual, actual], 1), 10) == pytest.approx(0)
    assert deviation(np.stack([actual, np.ones(50)], 1), 10) == pytest.approx(0.25)


def test_the_interval_is_around_the_estimate_and_the_bins_hold_every_row() -> None:
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"id": np.repeat(np.arange(40).astype(str), 2), "object": rng.random(80)})
    rows["hypothetical"] = rng.random(80)
    found = deviation_interval(rows, 5)
    assert found.low < found.high and found.high > found.estimate
    assert calibration_bins(rows, 5)["n"].sum() == 80
