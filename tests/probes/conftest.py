"""Labelled rows as activations have them: correlated features, far from the origin, rows of an episode alike."""

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def make_rows():
    """Rows of 20 an episode whose class is partly linear in the features; ``targets`` > 1 gives y [rows, targets]."""

    def make(n=600, d=12, classes=3, targets=1, seed=0, text=False):
        rng = np.random.default_rng(seed)
        groups = np.arange(n) // 20
        latent = rng.standard_normal((n, 5)) + rng.standard_normal((groups[-1] + 1, 5))[groups]
        mixing = rng.standard_normal((5, d)) * np.geomspace(5, 0.2, d)
        X = latent @ mixing + 0.3 * rng.standard_normal((n, d)) + 20 * rng.standard_normal(d)
        scores = (latent @ rng.standard_normal((5, targets * classes))).reshape(n, targets, classes)
        Y = (scores + rng.gumbel(size=scores.shape)).argmax(-1)
        y = Y[:, 0] if targets == 1 else Y
        return SimpleNamespace(X=X, y=np.array(list("abcdef"))[y] if text else y, groups=groups)

    return make
