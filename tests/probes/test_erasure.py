from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes import make_probe
from probes.erasure import Erasure, leace
from workbench.errors import ArtifactError, DataError
from workbench.sites import Site

LINEAR = ["logistic", "ridge", "mass-mean", "lda"]


def one_hot(y):
    return (y[:, None] == np.unique(y)).astype(float)


def formula(X, Z):
    """I - W^+ P W of the LEACE paper (theorem 4.3), in float64."""
    X, Z = X - X.mean(0), Z - Z.mean(0)
    values, vectors = np.linalg.eigh(X.T @ X / (len(X) - 1))
    kept = values > 1e-10 * values.max()
    values, vectors = values[kept], vectors[:, kept]
    W, W_inverse = (vectors * values**-0.5) @ vectors.T, (vectors * values**0.5) @ vectors.T
    crossed = W @ X.T @ Z
    return np.eye(X.shape[1]) - W_inverse @ crossed @ np.linalg.pinv(crossed, rcond=1e-8) @ W


@pytest.mark.parametrize("rows", [600, 30])  # also fewer rows than features
@pytest.mark.parametrize("classes", [2, 4])
def test_the_map_is_the_formula_of_the_paper(make_rows, classes, rows):
    data = make_rows(rows, d=40, classes=classes)
    eraser = leace(data.X, data.y)
    matrix = formula(data.X, one_hot(data.y))
    np.testing.assert_allclose(eraser.matrix, matrix, atol=1e-6)
    np.testing.assert_allclose(eraser.bias, data.X.mean(0) - matrix @ data.X.mean(0), atol=1e-5)
    assert eraser.rank == classes - 1
    found = eraser(torch.from_numpy(data.X))
    np.testing.assert_allclose(found, data.X @ eraser.matrix.numpy().T + eraser.bias.numpy(), atol=1e-8)


@given(seed=st.integers(0, 1000), classes=st.integers(2, 5), shrinkage=st.booleans())
def test_all_classes_have_the_same_mean_afterwards(make_rows, seed, classes, shrinkage):
    data = make_rows(300, d=8, classes=classes, seed=seed)
    erased = leace(data.X, data.y, shrinkage=shrinkage)(torch.from_numpy(data.X).float()).numpy()
    for k in np.unique(data.y):
        np.testing.assert_allclose(erased[data.y == k].mean(0), erased.mean(0), atol=1e-4)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("classes", [2, 3])
def test_no_linear_probe_beats_chance_on_other_episodes(make_rows, name, classes):
    data = make_rows(2000, classes=classes)
    train = data.groups < 50
    eraser = leace(data.X[train], data.y[train])
    erased = eraser(torch.from_numpy(data.X)).numpy()
    share = np.bincount(data.y[~train]).max() / (~train).sum()
    before = make_probe(name).fit(data.X[train], data.y[train], data.groups[train])
    after = make_probe(name).fit(erased[train], data.y[train], data.groups[train])
    assert before.score(data.X[~train], data.y[~train]) > share + 0.1
    assert after.score(erased[~train], data.y[~train]) < share + 0.03


def test_no_other_map_that_erases_moves_the_activations_less(make_rows):
    data = make_rows(d=6, classes=2)
    X = data.X - data.X.mean(0)
    gap = X[data.y == 1].mean(0) - X[data.y == 0].mean(0)
    moved = np.square(X - X @ leace(data.X, data.y).matrix.numpy().T).sum()
    rng = np.random.default_rng(0)
    for _ in range(200):  # any right with right'gap = 1 gives an erasing map x - gap right'x
        right = rng.standard_normal(6)
        right += (1 - right @ gap) / (gap @ gap) * gap
        assert np.square(np.outer(X @ right, gap)).sum() > moved
    orthogonal = gap / (gap @ gap)
    assert np.square(np.outer(X @ orthogonal, gap)).sum() > 1.01 * moved


def test_numbers_can_be_erased_in_any_unit(make_rows):
    data = make_rows()
    y = data.X[:, 0] + 0.5 * np.random.default_rng(0).standard_normal(600)
    for unit in (1.0, 1e-9):
        erased = leace(data.X, y * unit, task="regression")(torch.from_numpy(data.X)).numpy()
        assert abs(np.corrcoef(erased.T, y)[-1, :-1]).max() < 1e-6


def test_half_precision_comes_back_as_half_precision(make_rows):
    data = make_rows()
    eraser = leace(data.X, data.y)
    x = torch.from_numpy(data.X)
    for dtype in (torch.bfloat16, torch.float32):
        found = eraser(x.to(dtype).view(30, 20, -1))
        assert found.dtype == dtype and found.shape == (30, 20, 12)
    torch.testing.assert_close(found.view(600, -1), eraser(x).float(), rtol=1e-4, atol=1e-3)


def test_an_eraser_is_saved_with_where_it_belongs(make_rows, tmp_path):
    data = make_rows()
    eraser = leace(data.X, data.y, site=Site(2), fingerprint="model-a")
    eraser.save(tmp_path / "e.safetensors")
    loaded = Erasure.load(tmp_path / "e.safetensors", SimpleNamespace(fingerprint="model-a", basis="raw"))
    assert (loaded.site, loaded.fingerprint) == (Site(2), "model-a")
    assert torch.equal(loaded.matrix, eraser.matrix) and torch.equal(loaded.bias, eraser.bias)
    with pytest.raises(ArtifactError, match="another model"):
        Erasure.load(tmp_path / "e.safetensors", SimpleNamespace(fingerprint="model-b", basis="raw"))


@pytest.mark.parametrize("y", [["a"] * 4, [[0, 0], [1, 0], [0, 0], [1, 0]]], ids=["one target", "one of two targets"])
def test_labels_of_one_class_are_refused_in_one_line(y):
    with pytest.raises(DataError, match=r"^y is the same in every row: there is nothing to erase$"):
        leace(np.eye(4), np.full(4, 0.1), "regression")
    with pytest.raises(DataError, match=r"^y holds one class only[^\n]*nothing to erase$"):
        leace(torch.randn(4, 3), y)


def test_mistakes_are_one_line(make_rows, tmp_path):
    data = make_rows()
    with pytest.raises(DataError, match="width 12, not 5"):
        leace(data.X, data.y)(torch.ones(2, 5))
    with pytest.raises(DataError, match="two rows"):
        leace(data.X[:1], data.y[:1])
    (tmp_path / "e").write_bytes(b"no")
    with pytest.raises(ArtifactError, match="not a saved erasure"):
        Erasure.load(tmp_path / "e")
