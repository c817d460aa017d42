"""What a probe must beat: labels, rows and features from which what is asked cannot be read.

A probe that scores well on permuted labels, on another episode's activations or on noise of the same covariance scores
for what it is, not for what the model represents.  Every function is seeded and gives the same output whatever the
kind of group labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from sklearn.dummy import DummyClassifier, DummyRegressor

from workbench.arguments import to_numpy
from workbench.errors import DataError
from workbench.labels import label_array


def majority_probe(classifier: bool) -> Any:
    """scikit-learn's dummy: the most frequent class with the class shares as probabilities, or the mean."""
    return DummyClassifier(strategy="prior") if classifier else DummyRegressor()


def shuffled_labels(y: ArrayLike, groups: ArrayLike, seed: int = 0) -> Shaped[np.ndarray, " rows"]:
    """Labels permuted so that each group keeps the kind of labels it has.

    Labels that vary in a group are permuted within it, so a group's own mix of classes, which anything that identifies
    the group predicts, is not credited to the probe.  Groups with one label throughout swap labels with one another
    (rows of a group stay alike: permuting single rows would make the control easier to beat than it should be).
    A group in which labels hardly vary is hardly changed, which errs on the strict side.

    >>> y, groups = np.array([1, 1, 2, 2, 3, 4]), ["a", "a", "b", "b", "c", "c"]
    >>> shuffled = shuffled_labels(y, groups)
    >>> sorted(shuffled[[0, 2]].tolist()), sorted(shuffled[4:].tolist())
    ([1, 2], [3, 4])
    """
    labels, group_of = _labels_and_codes(y, groups, "groups")
    rng = np.random.default_rng(seed)
    codes = np.unique(labels, return_inverse=True)[1]
    first = np.unique(group_of, return_index=True)[1]  # a row of each group
    varies = np.bincount(group_of, codes != codes[first][group_of]) > 0  # [groups]
    shuffled = labels.copy()
    # Rows in random order, sorted by group: a permutation within groups.
    random_order = rng.permutation(len(labels))
    permuted = random_order[np.argsort(group_of[random_order], kind="stable")]
    in_place = np.argsort(group_of, kind="stable")
    mixed = varies[group_of[in_place]]
    shuffled[in_place[mixed]] = labels[permuted[mixed]]
    constant = np.flatnonzero(~varies)
    given = np.arange(len(first))
    given[constant] = rng.permutation(constant)
    alike = ~varies[group_of]
    shuffled[alike] = labels[first[given[group_of[alike]]]]
    return shuffled


def control_task_labels(types: ArrayLike, y: ArrayLike, seed: int = 0) -> Shaped[np.ndarray, " rows"]:
    """Labels of a control task: each type (a token, a cell, a rendered state) gets one at random, in all its rows.

    Drawn from the labels' own frequencies.  Only memory of the types solves it, so a probe's score minus its score here
    (selectivity) is what it does not owe to memory.  Source: Hewitt and Liang (2019), section 2.

    >>> control_task_labels(["the", "cat", "the"], [0, 1, 0], seed=0).tolist()
    [1, 0, 1]
    """
    labels, type_of = _labels_and_codes(y, types, "types")
    drawn = np.random.default_rng(seed).integers(0, len(labels), size=int(type_of.max()) + 1)
    return labels[drawn][type_of]


def other_rows(groups: ArrayLike, seed: int = 0) -> Int[np.ndarray, " rows"]:
    """A permutation that gives each row a row of another group: ``X[other_rows(groups)]`` is "other grids' maps".

    Every row is used once.  Raises :class:`DataError` when a group holds more than half of the rows: there is then no
    such permutation.

    >>> groups = np.array(["a", "a", "b", "b", "c"])
    >>> bool((groups[other_rows(groups)] != groups).all())
    True
    """
    group_of = _codes(groups, "groups")
    sizes, n_rows = np.bincount(group_of), len(group_of)
    largest = int(sizes.max())
    if 2 * largest > n_rows:
        raise DataError(
            f"one group holds {largest} of {n_rows} rows: they cannot all be paired with other groups' rows"
        )
    rng = np.random.default_rng(seed)
    random_order = rng.permutation(n_rows)
    place = rng.permutation(len(sizes))
    order = random_order[np.argsort(place[group_of[random_order]], kind="stable")]  # a group's rows side by side
    shift = int(rng.integers(largest, n_rows - largest + 1))  # any such shift leaves every group
    partner = np.empty(n_rows, dtype=np.int64)
    partner[order] = np.roll(order, -shift)
    return partner


def random_features(X: ArrayLike, seed: int = 0) -> Float[np.ndarray, "rows features"]:
    """Gaussian rows with the mean and covariance of ``X`` [rows, features]; they know nothing of the row they stand in.

    >>> random_features(np.zeros((3, 2))).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    table = np.asarray(to_numpy(X), dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise DataError(f"X must be [rows, features] with at least one of each, not {list(table.shape)}")
    centred = table - table.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(table))
    noise = np.random.default_rng(seed).standard_normal(table.shape)
    drawn = (noise * np.sqrt(np.clip(values, 0, None))) @ vectors.T + table.mean(0)
    return drawn.astype(np.float32 if np.asarray(to_numpy(X)).dtype.itemsize <= 4 else np.float64)


def _codes(values: ArrayLike, what: str) -> Int[np.ndarray, " rows"]:
    return np.unique(label_array(values, what), return_inverse=True)[1]


def _labels_and_codes(y: ArrayLike, values: ArrayLike, what: str) -> tuple[np.ndarray, Int[np.ndarray, " rows"]]:
    labels, code_of = label_array(y, "y"), _codes(values, what)
    if labels.shape != code_of.shape:
        raise DataError(f"y has shape {list(labels.shape)} and {what} {list(code_of.shape)}: one of each a row")
    return labels, code_of
