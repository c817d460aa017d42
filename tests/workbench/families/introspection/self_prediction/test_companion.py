"""The probe: whole items are held out, its controls are at chance, and it reads what is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.families.introspection.self_prediction import companion
from workbench.families.introspection.self_prediction.companion import chosen_layer, fold_predictions


def rows_of(values: np.ndarray, per_item: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"id": (np.arange(len(values)) // per_item).astype(str), "value": values})


def right(x: np.ndarray, rows: pd.DataFrame, **options: bool) -> float:
    return float((fold_predictions("ridge", x, rows, 5, 0, **options) == rows["value"]).mean())


def test_a_value_that_lies_in_a_direction_is_read_and_shuffled_labels_are_not() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice(["a", "b", "c"], 150)
    x = rng.normal(size=(150, 8)) + 3 * np.array([[v == "a", v == "b"] + [0] * 6 for v in values])
    rows = rows_of(values)
    assert right(x, rows) > 0.9
    assert right(x, rows, shuffle=True) < 0.55


class Nearest:
    """A probe that knows every row it has seen by heart."""

    def fit(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Nearest:
        self.x, self.y = x, y
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.y[((x[:, None] - self.x[None]) ** 2).sum(-1).argmin(1)]


def test_rows_of_one_item_are_never_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """They carry the same activation and value, so a probe that has seen one would know the others."""
    monkeypatch.setattr(companion, "make_probe", lambda _name: Nearest())
    rng = np.random.default_rng(1)
    x, values = np.repeat(rng.normal(size=(40, 6)), 5, axis=0), np.repeat(rng.choice(["a", "b"], 40), 5)
    assert right(x, rows_of(values, per_item=5)) < 0.75
    assert right(x, rows_of(values)) == 1.0  # as items of their own they are known


def test_a_value_seen_once_counts_as_wrong_and_one_class_is_named() -> None:
    x = np.random.default_rng(2).normal(size=(12, 3))
    said = fold_predictions("ridge", x, rows_of(np.array(["a"] * 11 + ["rare"])), 4, 0)
    assert said[-1] == "a" and set(said[:-1]) <= {"a", "rare"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_items_are_no_error(count: int) -> None:
    said = fold_predictions("ridge", np.eye(count), rows_of(np.array(list("abc")[:count])), 5, 0)
    assert len(said) == count and (said[0] == "") == (count == 1)


def test_the_layer_is_chosen_on_training_rows_alone() -> None:
    class Folder:
        def read(self, unit: str) -> pd.DataFrame:
            good_in_test = unit == "probe-1"
            rows = [("train", "a", "b" if good_in_test else "a"), ("test", "a", "a" if good_in_test else "b")]
            return pd.DataFrame(rows, columns=["role", "truth", "said"])

    assert chosen_layer(Folder(), (0, 1)) == 0
    assert chosen_layer(Folder(), (2, 3)) == 2
