"""Probes of all cells of a map at once, against a scikit-learn logistic regression for each cell.

Synthetic activations of a realistic kind: correlated features with a decaying spectrum, far from the origin, rows of
one episode alike, and 121 cells of four classes (some constant, classes unequal) that are a noisy linear and non-linear
function of what the features encode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from measure import Row, Timed, at_least, compare
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from probes.shared import SharedRidge

__all__ = ["map_cells"]

CELLS, CONSTANT, CLASSES, PER_EPISODE = 121, 12, 4, 20


@dataclass(frozen=True)
class Cells:
    """Activations [rows, d] and cells [rows, cells], to fit on and, of other episodes, to score."""

    X: np.ndarray
    Y: np.ndarray
    groups: np.ndarray
    test_X: np.ndarray
    test_Y: np.ndarray


def map_cells(model_name: str, quick: bool) -> list[Row]:
    """Shared ridge with 13 penalties against one logistic regression a cell."""
    data = _cells(600, 32) if quick else _cells(4800, 256)
    accuracies: dict[str, float] = {}

    def each() -> None:
        accuracies["each"] = _cell_by_cell(data)

    def ridge() -> None:
        accuracies["ridge"] = _accuracy(SharedRidge(), data)

    ridge()  # what is slow only the first time
    (timed,) = compare(each, [ridge], 1 if quick else 3, warm=True)
    shape = f"{CELLS} cells ({CONSTANT} constant) of {CLASSES} classes, {data.X.shape[0]} rows of {data.X.shape[1]}"
    share, other = accuracies["ridge"], accuracies["each"]
    note = f"{shape}; accuracy on other episodes {share:.3f} against {other:.3f}, at most 1.5 points less"
    what = "ridge of all cells of a map for 13 penalties, over scikit-learn's logistic"
    row = at_least(what, Timed(timed.other, timed.ours), 30, note)
    return [replace(row, held=row.held and 100 * (other - share) <= 1.5)]


def _accuracy(probe: SharedRidge, data: Cells) -> float:
    return float(probe.fit(data.X, data.Y, data.groups).score(data.test_X, data.test_Y).mean())


def _cell_by_cell(data: Cells) -> float:
    """The plain loop, which leaves constant cells to a constant."""
    scaler = StandardScaler().fit(data.X)
    X, test_X = scaler.transform(data.X), scaler.transform(data.test_X)
    right = []
    for y, test_y in zip(data.Y.T, data.test_Y.T, strict=True):
        if len(np.unique(y)) == 1:
            right.append((test_y == y[0]).mean())
        else:
            with threadpool_limits(1):  # its best: with two BLAS threads beside torch's a fit takes ten times as long
                right.append(LogisticRegression(max_iter=1000).fit(X, y).score(test_X, test_y))
    return float(np.mean(right))


def _cells(rows: int, d: int) -> Cells:
    rng = np.random.default_rng(0)
    total = rows * 5 // 4
    groups = np.arange(total) // PER_EPISODE
    latent = rng.standard_normal((total, 40)) + rng.standard_normal((groups[-1] + 1, 40))[groups]
    hidden = np.tanh(latent @ rng.standard_normal((40, d)) / 4)
    mixing = rng.standard_normal((d, d)) * np.exp(-np.arange(d) / (d / 5))
    X = hidden @ mixing + 0.3 * rng.standard_normal((total, d)) + 3 * rng.standard_normal(d)
    scores = latent @ rng.standard_normal((40, CELLS * CLASSES)) * 0.3
    scores += np.tanh(latent @ rng.standard_normal((40, 60))) @ rng.standard_normal((60, CELLS * CLASSES)) * 0.2
    scores = scores.reshape(total, CELLS, CLASSES) + np.array([0, 1, -2, -3])
    Y = (scores + rng.gumbel(size=scores.shape)).argmax(-1)
    Y[:, :CONSTANT] = 0
    X = X.astype(np.float32)
    return Cells(X[:rows], Y[:rows], groups[:rows], X[rows:], Y[rows:])
