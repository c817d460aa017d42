"""Scores of decoded maps against scikit-learn and against loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from workbench.errors import DataError
from workbench.statistics import cluster_bootstrap
from workbench.worlds.grids.probes.cells import CELLS, PADDING, cell_class
from workbench.worlds.grids.probes.map_scores import map_scores


@pytest.fixture
def decoded():
    """Forty random maps of 5 x 5 with padded borders, probabilities that are right more often than not, groups."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, size=(40, 5, 5))
    true[rng.random(true.shape) < 0.1] = cell_class("K")
    for state in true:
        a, g = rng.choice(16, 2, replace=False)
        state[divmod(a, 4)], state[divmod(g, 4)] = cell_class("A"), cell_class("G")
        state[4], state[:, 4] = PADDING, PADDING
    proba = rng.dirichlet(np.ones(len(CELLS)), size=true.shape) + 0.25 * np.eye(len(CELLS))[true]
    return true, proba / proba.sum(-1, keepdims=True), np.repeat(np.arange(10), 4)


def look_up(table, metric, cell="", padding="with"):
    (row,) = table[(table.metric == metric) & (table.cell_class == cell) & (table.padding == padding)].itertuples()
    return row


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("padding", ["with", "without"])
def test_every_score_is_scikit_learns(decoded, padding):
    true, proba, groups = decoded
    table = map_scores(true, proba, groups)
    counted = np.ones(true.shape, bool) if padding == "with" else true != PADDING
    y, p = true[counted], proba.argmax(-1)[counted]
    assert look_up(table, "accuracy", padding=padding).estimate == pytest.approx(accuracy_score(y, p))
    recall = look_up(table, "balanced_accuracy", padding=padding).estimate
    assert recall == pytest.approx(balanced_accuracy_score(y, p))
    classes = np.unique(y)
    scores = precision_recall_fscore_support(y, p, labels=classes, zero_division=0)
    for metric, values in zip(("precision", "recall", "f1"), scores, strict=False):
        for label, value in zip(classes, values, strict=True):
            assert look_up(table, metric, CELLS[label], padding).estimate == pytest.approx(value)


def test_classes_that_do_not_occur_have_no_rows(decoded):
    table = map_scores(*decoded)
    assert set(table.cell_class) == {"", "_", "#", "A", "G", "K", " "}
    assert " " not in set(table[table.padding == "without"].cell_class)


def test_intervals_are_the_cluster_bootstrap_of_cells(decoded):
    true, proba, groups = decoded
    right = (proba.argmax(-1) == true).reshape(-1).astype(float)
    expected = cluster_bootstrap(right, np.repeat(groups, 25))
    row = look_up(map_scores(true, proba, groups), "accuracy")
    np.testing.assert_allclose([row.low, row.high], [expected.low, expected.high], atol=1e-12)


def test_f1_intervals_are_those_of_resampled_maps(decoded):
    true, proba, groups = decoded
    wall = np.stack([(true == 1).reshape(40, -1), (proba.argmax(-1) == 1).reshape(40, -1)], -1).reshape(40, -1)

    def f1(rows):
        y, p = rows.reshape(-1, 2).T
        return 2 * (y * p).sum() / (y.sum() + p.sum())

    expected = cluster_bootstrap(wall, groups, statistic=f1, resamples=200)
    row = look_up(map_scores(true, proba, groups, resamples=200), "f1", "#")
    np.testing.assert_allclose([row.low, row.high], [expected.low, expected.high], atol=1e-12)


def test_manhattan_error_is_the_distance_to_the_nearest_true_cell(decoded):
    true, proba, groups = decoded
    true = true.copy()
    true[3][true[3] == cell_class("G")] = 0  # a state without a goal is left out
    true[5, 0, 0] = true[5, 3, 3] = cell_class("G")  # of several the nearest counts
    errors = []
    for state, probabilities in zip(true, proba[..., cell_class("G")], strict=True):
        row, column = np.unravel_index(probabilities.argmax(), (5, 5))
        here = np.argwhere(state == cell_class("G"))
        if len(here):
            errors.append(min(abs(r - row) + abs(c - column) for r, c in here))
    assert look_up(map_scores(true, proba, groups), "manhattan", "G").estimate == pytest.approx(np.mean(errors))


def test_perfect_maps_score_one_and_zero_distance(decoded):
    true, _, groups = decoded
    table = map_scores(true, np.eye(len(CELLS))[true], groups).set_index("metric")
    assert (table.drop(index="manhattan").estimate == 1).all()
    assert (table.loc["manhattan"].estimate == 0).all()


def test_shapes_that_do_not_fit_are_refused(decoded):
    true, proba, groups = decoded
    with pytest.raises(DataError, match="proba has shape"):
        map_scores(true, proba[..., :4], groups)
    with pytest.raises(DataError, match="true maps"):
        map_scores(true[0], proba, groups)
    with pytest.raises(DataError, match="one label a row"):
        map_scores(true, proba, groups[:5])
