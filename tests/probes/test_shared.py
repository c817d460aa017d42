from __future__ import annotations

import numpy as np
import pytest
import torch

from probes.linear import LogisticProbe, RidgeProbe, RidgeRegressionProbe
from probes.ridge_path import ALPHAS
from probes.shared import SharedLogistic, SharedRidge
from workbench.errors import DataError, SpecError


@pytest.fixture(scope="module")
def cells(make_rows):
    """Six targets of three labels: the fourth lacks one, the fifth is constant, the sixth has a label of its own."""
    data = make_rows(400, d=10, targets=6)
    data.y[:, 3] = data.y[:, 3].clip(max=1)
    data.y[:, 4] = 2
    data.y[:, 5] += 5
    return data


def test_shared_ridge_is_a_ridge_probe_of_each_target(cells):
    shared = SharedRidge().fit(cells.X, cells.y, cells.groups)
    predicted = shared.predict(cells.X)
    for k in (0, 1, 2, 3, 5):
        one = RidgeProbe().fit(cells.X, cells.y[:, k], cells.groups)
        assert shared.alpha_[k] == one.alpha_
        assert (predicted[:, k] == one.predict(cells.X)).all()
        if len(one.coef_) > 1:
            np.testing.assert_allclose(shared.coef_[k][shared.present_[k]], one.coef_, atol=1e-9)
    assert (predicted[:, 4] == 2).all()
    np.testing.assert_array_equal(shared.classes_, [0, 1, 2, 5, 6, 7])


def test_shared_ridge_at_one_penalty_is_the_fit_with_that_penalty(cells):
    shared = SharedRidge().fit(cells.X, cells.y, cells.groups)
    for number in (0, 12):
        one = SharedRidge(alphas=[ALPHAS[number]]).fit(cells.X, cells.y)
        np.testing.assert_allclose(shared.at(number).coef_, one.coef_, atol=1e-9)
        np.testing.assert_allclose(shared.at(number).intercept_, one.intercept_, atol=1e-9)


def test_shared_ridge_regresses_numbers(cells):
    Y = cells.X[:, :2] @ np.array([[1.0, 2.0], [0.5, -1.0]]) + np.random.default_rng(0).standard_normal((400, 2))
    shared = SharedRidge(targets="values").fit(cells.X, Y, cells.groups)
    for k in range(2):
        one = RidgeRegressionProbe().fit(cells.X, Y[:, k], cells.groups)
        np.testing.assert_allclose(shared.predict(cells.X)[:, k], one.predict(cells.X), atol=1e-8)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_shared_logistic_ends_where_scikit_learn_does(cells, C, class_weight):
    shared = SharedLogistic(C=C, class_weight=class_weight, tol=1e-6).fit(cells.X, cells.y)
    found = shared.predict_proba(cells.X)
    scale = cells.X.std(0)
    for k in (0, 1, 2, 3, 5):
        one = LogisticProbe(C=C, class_weight=class_weight, tol=1e-8).fit(cells.X, cells.y[:, k])
        np.testing.assert_allclose(found[:, k, shared.present_[k]], one.predict_proba(cells.X), atol=1e-4)
        if len(one.coef_) > 1:
            np.testing.assert_allclose(
                shared.coef_[k][shared.present_[k]] * scale, one.coef_ * scale, atol=1e-3 * abs(one.coef_ * scale).max()
            )
    assert (found[:, 4, 2] == 1).all()  # the constant target
    assert (found[~np.broadcast_to(shared.present_, found.shape)] == 0).all()


def test_shared_logistic_of_fewer_rows_than_features_is_that_of_scikit_learn(make_rows):
    data = make_rows(60, d=100, targets=3)
    found = SharedLogistic(C=0.1, tol=1e-6).fit(data.X, data.y).predict_proba(data.X)
    for k in range(3):
        one = LogisticProbe(C=0.1, tol=1e-8).fit(data.X, data.y[:, k])
        np.testing.assert_allclose(found[:, k], one.predict_proba(data.X), atol=1e-4)


def test_targets_solved_in_turns_are_those_solved_together(cells, monkeypatch):
    together = SharedLogistic().fit(cells.X, cells.y)
    monkeypatch.setattr("probes.shared._AT_ONCE", 2 * 6 * 400)
    in_turns = SharedLogistic().fit(cells.X, cells.y)
    np.testing.assert_allclose(in_turns.predict_proba(cells.X), together.predict_proba(cells.X), atol=2e-3)


def test_the_scale_of_features_does_not_slow_the_descent(cells):
    X = cells.X * np.geomspace(1e-4, 1e4, 10)
    shared = SharedLogistic().fit(X, cells.y)
    assert shared.n_iter_.max() < 40
    np.testing.assert_allclose(
        shared.predict_proba(X), SharedLogistic().fit(cells.X, cells.y).predict_proba(cells.X), atol=2e-3
    )


def test_labels_may_be_text_and_activations_half_precision(cells):
    Y = np.array(list("abcdefghijk"))[cells.y]
    X = torch.from_numpy(cells.X).to(torch.bfloat16)
    for probe in (SharedRidge(), SharedLogistic()):
        found = probe.fit(X, Y).predict(X)
        plain = type(probe)().fit(X.double(), cells.y).predict(X.double())
        assert (found == np.array(list("abcdefghijk"))[plain]).mean() > 0.99


def test_a_descent_cut_short_says_so(cells):
    with pytest.warns(UserWarning, match="5 targets did not converge in 2 steps"):
        SharedLogistic(max_iter=2).fit(cells.X, cells.y)


@pytest.mark.parametrize("probe", [SharedRidge(), SharedLogistic()])
def test_what_cannot_be_fitted_is_refused_in_one_line(cells, probe):
    with pytest.raises(DataError, match=r"Y \[rows, targets\], not \[400, 10\] and \[400\]"):
        probe.fit(cells.X, cells.y[:, 0])
    X = cells.X.copy()
    X[7, 3] = np.nan
    with pytest.raises(DataError, match="not finite at row 7"):
        probe.fit(X, cells.y)
    Y = cells.y.astype(float)
    Y[9, 1] = np.nan
    with pytest.raises(DataError, match="NaN at row 9"):
        probe.fit(cells.X, Y)
    with pytest.raises(DataError, match=r"\[rows, 10\] as in the fit"):
        probe.fit(cells.X, cells.y).predict(cells.X[:, :4])


def test_options_are_checked(cells):
    with pytest.raises(SpecError, match="C must be positive"):
        SharedLogistic(C=0).fit(cells.X, cells.y)
