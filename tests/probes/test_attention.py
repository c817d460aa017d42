"""The attention-pooling probe: its formula, its padding, and that it finds the position that tells."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from probes.attention import AttentionProbe
from workbench.errors import DataError, SpecError


@pytest.fixture
def marked():
    """Four positions of 12 features, all with a sign in feature 1; the one with a mark in feature 0 has the label's."""
    rng = np.random.default_rng(0)
    x, y, where = rng.normal(size=(800, 4, 12)), rng.integers(0, 2, 800), rng.integers(0, 4, 800)
    rows = np.arange(800)
    x[rows, where, 0] += 6
    x[:, :, 1] += 2.0 * rng.choice([-1, 1], size=(800, 4))
    x[rows, where, 1] = 2.0 * (2 * y - 1) + 0.5 * rng.normal(size=800)
    return x, y, where


@parametrize_with_checks([AttentionProbe()])
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_it_finds_the_position_that_tells(marked):
    x, y, where = marked
    X = x.reshape(800, -1)
    probe = AttentionProbe(n_positions=4, lr=3e-2).fit(X[:600], y[:600])
    assert probe.score(X[600:], y[600:]) > 0.9
    assert (probe.attention(X[600:]).argmax(1) == where[600:]).mean() > 0.9
    last_only = AttentionProbe().fit(x[:600, 3], y[:600])
    assert last_only.score(x[600:, 3], y[600:]) < 0.8


def test_output_is_the_formula_on_the_exported_arrays(marked):
    x, y, _ = marked
    X = x.reshape(800, -1)
    probe = AttentionProbe(n_positions=4, epochs=5).fit(X, y)
    a = probe._arrays()
    z = ((X - a["mean"]) / a["scale"]).reshape(800, 4, 12)
    scores = np.exp(z @ a["network.query"] / np.sqrt(12))
    weights = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(probe.attention(X), weights, atol=1e-5)
    logits = (weights[:, :, None] * z).sum(1) @ a["network.head.weight"].T + a["network.head.bias"]
    np.testing.assert_allclose(probe.decision_function(X), logits[:, 1] - logits[:, 0], atol=1e-4)


def test_all_positions_share_one_scaling(marked):
    probe = AttentionProbe(n_positions=4, epochs=1).fit(marked[0].reshape(800, -1), marked[1])
    mean = probe.mean_.reshape(4, 12)
    np.testing.assert_array_equal(
        mean, np.tile(marked[0].astype(np.float32).astype(float).reshape(-1, 12).mean(0), (4, 1))
    )


def test_padding_gets_no_weight_and_changes_nothing(marked):
    x, y, _ = marked
    probe = AttentionProbe(n_positions=4, epochs=5).fit(x.reshape(800, -1), y)
    short = x.copy()
    short[:, 2:] = 0
    weights = probe.attention(short.reshape(800, -1))
    assert (weights[:, 2:] == 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    moved = short[:, [2, 0, 3, 1]]  # where the padding stands does not matter either
    np.testing.assert_allclose(
        probe.predict_proba(moved.reshape(800, -1)), probe.predict_proba(short.reshape(800, -1)), atol=1e-6
    )


def test_padding_does_not_enter_the_scaling(marked):
    x, y, _ = marked
    padded = np.concatenate([x, np.zeros((800, 2, 12))], axis=1)
    plain = AttentionProbe(n_positions=4, epochs=1).fit(x.reshape(800, -1), y)
    more = AttentionProbe(n_positions=6, epochs=1).fit(padded.reshape(800, -1), y)
    np.testing.assert_allclose(more.mean_[:12], plain.mean_[:12], rtol=1e-9)


def test_arrays_restore_the_fitted_probe_bit_for_bit(marked):
    X = marked[0].reshape(800, -1)
    probe = AttentionProbe(n_positions=4, epochs=3).fit(X, marked[1])
    other = AttentionProbe(**probe.get_params())
    other._load_arrays(probe._arrays())
    np.testing.assert_array_equal(other.predict_proba(X), probe.predict_proba(X))
    np.testing.assert_array_equal(other.attention(X), probe.attention(X))


def test_positions_that_do_not_divide_the_features_are_refused(marked):
    with pytest.raises(DataError, match="n_positions=5"):
        AttentionProbe(n_positions=5).fit(marked[0].reshape(800, -1), marked[1])
    with pytest.raises(SpecError, match="n_positions=0"):
        AttentionProbe(n_positions=0).fit(marked[0].reshape(800, -1), marked[1])
