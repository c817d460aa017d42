from __future__ import annotations

import numpy as np
import pytest
import torch

from probes.linear import RidgeProbe, RidgeRegressionProbe
from probes.shared import SharedRidge
from workbench.errors import DataError


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


def test_shared_ridge_regresses_numbers(cells):
    Y = cells.X[:, :2] @ np.array([[1.0, 2.0], [0.5, -1.0]]) + np.random.default_rng(0).standard_normal((400, 2))
    shared = SharedRidge(task="regression").fit(cells.X, Y, cells.groups)
    for k in range(2):
        one = RidgeRegressionProbe().fit(cells.X, Y[:, k], cells.groups)
        np.testing.assert_allclose(shared.predict(cells.X)[:, k], one.predict(cells.X), atol=1e-8)


def test_labels_may_be_text_and_activations_half_precision(cells):
    Y = np.array(list("abcdefghijk"))[cells.y]
    X = torch.from_numpy(cells.X).to(torch.bfloat16)
    found = SharedRidge().fit(X, Y).predict(X)
    plain = SharedRidge().fit(X.double(), cells.y).predict(X.double())
    assert (found == np.array(list("abcdefghijk"))[plain]).mean() > 0.99


def test_what_cannot_be_fitted_is_refused_in_one_line(cells):
    probe = SharedRidge()
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
