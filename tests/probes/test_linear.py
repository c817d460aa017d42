from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from probes import make_probe
from probes.linear import LDAProbe, LogisticProbe, MassMeanProbe, RidgeProbe, RidgeRegressionProbe
from workbench.errors import DataError, SpecError

CLASSIFIERS = ["logistic", "ridge", "mass-mean", "lda"]


def one_hot(y):
    return (y[:, None] == np.unique(y)).astype(float)


@pytest.mark.parametrize("rows", [600, 40])  # more rows than features, and fewer
@pytest.mark.parametrize("alpha", [0.5, 300.0])
def test_ridge_is_that_of_scikit_learn_on_standardised_features(make_rows, rows, alpha):
    data = make_rows(rows, d=60)
    scaler = StandardScaler().fit(data.X)
    oracle = Ridge(alpha=alpha, solver="svd").fit(scaler.transform(data.X), one_hot(data.y))
    probe = RidgeProbe(alphas=[alpha]).fit(data.X, data.y)
    np.testing.assert_allclose(probe.coef_ * scaler.scale_, oracle.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(probe.decision_function(data.X), oracle.predict(scaler.transform(data.X)), atol=1e-8)


@pytest.mark.parametrize("rows", [600, 40])
def test_held_out_error_is_that_of_an_explicit_loop_over_the_folds(make_rows, rows):
    from probes.ridge_path import RidgePath

    data, alphas, folds = make_rows(rows, d=60), [0.1, 10.0, 1000.0], 2
    scaler = StandardScaler().fit(data.X)
    X, Y, fold = scaler.transform(data.X), one_hot(data.y), data.groups % folds
    errors = np.zeros(3)
    for f in range(folds):
        for i, alpha in enumerate(alphas):
            fitted = Ridge(alpha=alpha, solver="svd").fit(X[fold != f], Y[fold != f])
            errors[i] += ((fitted.predict(X[fold == f]) - Y[fold == f]) ** 2).sum() / rows
    path = RidgePath.of_rows(torch.from_numpy(data.X), data.y, data.groups, "classification", alphas, folds)
    np.testing.assert_allclose(path.error[:, 0], errors, rtol=1e-4)
    assert RidgeProbe(alphas, folds).fit(data.X, data.y, data.groups).alpha_ == alphas[errors.argmin()]


def test_penalty_is_chosen_on_held_out_groups_not_rows():
    rng = np.random.default_rng(0)
    groups = np.arange(400) // 10
    y = rng.integers(0, 2, 40)[groups]  # only the episode's own fingerprint tells the class
    X = rng.standard_normal((40, 30))[groups] + 0.1 * rng.standard_normal((400, 30))
    by_group, by_row = RidgeProbe().fit(X, y, groups), RidgeProbe().fit(X, y)
    assert by_row.alpha_ < 10
    assert by_group.alpha_ > 300


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_lda_is_that_of_scikit_learn_on_standardised_features(make_rows, shrinkage):
    data = make_rows()
    X = StandardScaler().fit_transform(data.X)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(X, data.y)
    probe = LDAProbe(shrinkage).fit(data.X, data.y)
    np.testing.assert_allclose(probe.predict_proba(data.X), oracle.predict_proba(X), atol=1e-7)


def test_oas_shrinkage_is_that_of_scikit_learn(make_rows):
    from sklearn.covariance import oas

    from probes.discriminant import shrunk
    from probes.moments import Moments

    data = make_rows(60, d=20)
    Y = one_hot(data.y)
    within = data.X - Y @ np.linalg.lstsq(Y, data.X, rcond=None)[0]
    found = shrunk(Moments.of(torch.from_numpy(data.X), torch.from_numpy(Y)), "oas")
    np.testing.assert_allclose(found, oas(within, assume_centered=True)[0], rtol=1e-8)


def test_mass_mean_is_the_difference_of_means_in_raw_units(make_rows):
    data = make_rows(classes=2)
    means = [data.X[data.y == k].mean(0) for k in (0, 1)]
    probe = MassMeanProbe().fit(data.X, data.y)
    np.testing.assert_allclose(probe.coef_[0], means[1] - means[0], rtol=1e-9)
    assert probe.decision_function([np.mean(means, axis=0)]) == pytest.approx(0, abs=1e-8)
    centred = np.concatenate([data.X[data.y == k] - means[k] for k in (0, 1)])
    white = MassMeanProbe(whiten=True).fit(data.X, data.y)
    np.testing.assert_allclose(white.coef_[0], np.linalg.solve(centred.T @ centred / 600, probe.coef_[0]), rtol=1e-6)


def test_mass_mean_of_several_classes_is_the_nearest_mean(make_rows):
    data = make_rows(classes=4)
    means = np.stack([data.X[data.y == k].mean(0) for k in range(4)])
    nearest = ((data.X[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (MassMeanProbe().fit(data.X, data.y).predict(data.X) == nearest).all()


def test_whitened_mass_mean_gives_the_posterior_of_gaussian_classes():
    rng = np.random.default_rng(0)
    factor, y = rng.standard_normal((6, 6)), np.arange(40_000) % 2
    shift = rng.standard_normal(6)
    X = rng.standard_normal((40_000, 6)) @ factor.T + y[:, None] * shift
    logit = (X - shift / 2) @ np.linalg.solve(factor @ factor.T, shift)
    found = MassMeanProbe(whiten=True).fit(X, y).predict_proba(X)[:, 1]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logit)), atol=0.06)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_is_that_of_scikit_learn_on_standardised_features(make_rows, classes):
    data = make_rows(classes=classes)
    scaler = StandardScaler().fit(data.X)
    oracle = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(data.X), data.y)
    probe = LogisticProbe(C=0.1).fit(data.X, data.y)
    np.testing.assert_allclose(probe.coef_ * scaler.scale_, oracle.coef_, rtol=1e-10)
    np.testing.assert_allclose(probe.predict_proba(data.X), oracle.predict_proba(scaler.transform(data.X)), atol=1e-9)


def test_ridge_regression_recovers_a_plane_and_picks_little_penalty():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5)) * [1, 10, 100, 0.1, 1] + 50
    weights = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    probe = RidgeRegressionProbe().fit(X, X @ weights + 7)
    assert probe.alpha_ == pytest.approx(0.1)
    np.testing.assert_allclose(probe.predict(X), X @ weights + 7, atol=0.2)
    np.testing.assert_allclose(probe.direction_, weights / np.linalg.norm(weights), atol=1e-2)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 4])
def test_exported_weights_reproduce_decisions_in_raw_space(make_rows, name, classes):
    data = make_rows(classes=classes, text=True)
    probe = make_probe(name).fit(data.X, data.y, data.groups)
    assert probe.coef_.shape == (1 if classes == 2 else classes, 12)
    by_hand = data.X @ probe.coef_.T + probe.intercept_
    np.testing.assert_allclose(probe.decision_function(data.X).reshape(by_hand.shape), by_hand, atol=1e-9)
    chosen = (by_hand[:, 0] > 0).astype(int) if classes == 2 else by_hand.argmax(1)
    assert (probe.predict(data.X) == probe.classes_[chosen]).all()
    proba = probe.predict_proba(data.X)
    assert (proba.argmax(1) == chosen).all()
    np.testing.assert_allclose(proba.sum(1), 1)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_direction_points_to_the_second_class_with_length_one(make_rows, name):
    data = make_rows(classes=2)
    direction = make_probe(name).fit(data.X, data.y, data.groups).direction_
    assert direction.shape == (12,) and np.linalg.norm(direction) == pytest.approx(1)
    projected = data.X @ direction
    assert projected[data.y == 1].mean() > projected[data.y == 0].mean()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_directions_of_several_classes_are_unit_rows_that_raise_their_class(make_rows, name):
    data = make_rows()
    probe = make_probe(name).fit(data.X, data.y, data.groups)
    np.testing.assert_allclose(np.linalg.norm(probe.direction_, axis=1), 1)
    mean = data.X.mean(0)
    before = probe.predict_proba([mean])[0]
    for k, direction in enumerate(probe.direction_):
        assert probe.predict_proba([mean + 0.1 * direction])[0, k] > before[k]


@pytest.mark.parametrize("name", ["ridge", "logistic", "lda"])
@given(shift=st.floats(-1e3, 1e3), stretch=st.floats(1e-3, 1e3))
def test_predictions_do_not_depend_on_the_units_of_a_feature(make_rows, name, shift, stretch):
    data = make_rows(200, d=5)
    moved = data.X.copy()
    moved[:, 2] = moved[:, 2] * stretch + shift
    one = make_probe(name).fit(data.X, data.y).predict_proba(data.X)
    two = make_probe(name).fit(moved, data.y).predict_proba(moved)
    np.testing.assert_allclose(one, two, atol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_tensors_of_any_precision_are_read(make_rows, name, dtype):
    data = make_rows()
    X = torch.from_numpy(data.X).to(dtype)
    plain = X.double().numpy()
    found = make_probe(name).fit(X, torch.from_numpy(data.y)).predict(X)
    assert (found == make_probe(name).fit(plain, data.y).predict(plain)).mean() > 0.99


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_shuffled_labels_are_read_at_chance_on_other_episodes(make_rows, name):
    data = make_rows(2000, classes=2)
    y = np.random.default_rng(1).permutation(data.y)
    train = data.groups < 50
    probe = make_probe(name).fit(data.X[train], y[train], data.groups[train])
    assert abs(probe.score(data.X[~train], y[~train]) - 0.5) < 0.06
    true = make_probe(name).fit(data.X[train], data.y[train], data.groups[train])
    assert true.score(data.X[~train], data.y[~train]) > 0.7


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_probabilities_beat_the_class_shares(make_rows, name):
    data = make_rows(2000)
    train = data.groups < 50
    probe = make_probe(name).fit(data.X[train], data.y[train], data.groups[train])
    shares = np.bincount(data.y[train]) / train.sum()
    test = data.y[~train]
    found = log_loss(test, probe.predict_proba(data.X[~train]))
    assert found < 0.9 * log_loss(test, np.tile(shares, (len(test), 1)))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_features_that_never_vary_get_no_weight(make_rows, name):
    data = make_rows()
    X = np.hstack([data.X, np.full((600, 1), 1 / 3)])
    probe = make_probe(name).fit(X, data.y)
    np.testing.assert_allclose(probe.coef_[:, -1], 0, atol=1e-12)
    assert np.isfinite(probe.coef_).all()


def test_what_cannot_be_fitted_is_refused_in_one_line(make_rows):
    data = make_rows()
    with pytest.raises(DataError, match="one class: all rows are 1"):
        LDAProbe().fit(data.X, np.ones(600, dtype=int))
    with pytest.raises(SpecError, match="at least 2 groups"):
        RidgeProbe().fit(data.X, data.y, np.zeros(600))
    with pytest.raises(SpecError, match=r"shrinkage.* must be a finite number from 0 to 1, not 2"):
        LDAProbe(shrinkage=2).fit(data.X, data.y)
    with pytest.raises(SpecError, match="penalties >= 0"):
        RidgeProbe(alphas=[-1.0]).fit(data.X, data.y)
    with pytest.raises(DataError, match="600 values, one a row"):
        RidgeProbe().fit(data.X, data.y, data.groups[:10])
