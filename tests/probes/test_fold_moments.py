from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.fold_moments import FoldMoments
from probes.moments import Moments
from probes.ridge_path import RidgePath
from workbench.errors import DataError, SpecError


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.floats(-1e4, 1e4), st.integers(0, 1000))
def test_moments_of_parts_are_those_of_the_whole(sizes, offset, seed):
    rng = np.random.default_rng(seed)
    parts = [(rng.standard_normal((n, 3)) + offset, rng.standard_normal((n, 2))) for n in sizes]
    merged = Moments.empty(3, 2)
    for x, y in parts:
        merged = merged.merge(Moments.of(torch.from_numpy(x), torch.from_numpy(y)))
    x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    assert merged.n == len(x)
    if len(x):
        cx, cy = x - x.mean(0), y - y.mean(0)
        np.testing.assert_allclose(merged.mean_x, x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(merged.xx, cx.T @ cx, atol=1e-7)
        np.testing.assert_allclose(merged.xy, cx.T @ cy, atol=1e-7)
        np.testing.assert_allclose(merged.yy, (cy * cy).sum(0), atol=1e-9)


def test_moments_keep_their_precision_far_from_the_origin():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 2)) + 1e6
    moments = Moments.of(torch.from_numpy(X), torch.zeros(5000, 1))
    np.testing.assert_allclose(moments.xx, np.cov(X.T) * 4999, rtol=1e-8, atol=1e-5)


def test_rows_given_in_parts_give_the_probe_of_all_rows(make_rows):
    """The first part lacks a class, which the later ones bring."""
    data = make_rows(1000, d=16, text=True)
    order = np.argsort(data.y, kind="stable")
    parts, whole = FoldMoments(), FoldMoments()
    for rows in np.split(order, [100, 101, 700]):
        parts.update(data.X[rows], data.y[rows], data.groups[rows])
    whole.update(data.X[order], data.y[order], data.groups[order])
    assert parts.labels == whole.labels and (parts.class_counts == whole.class_counts).all()
    ours, expected = RidgePath.of(parts), RidgePath.of(whole)
    assert (ours.best == expected.best).all()
    np.testing.assert_allclose(ours.weights(ours.best)[0], expected.weights(expected.best)[0], rtol=1e-7, atol=1e-9)


def test_rows_of_a_group_share_a_fold_however_many_groups_there_are():
    moments = FoldMoments(folds=3)
    groups = np.repeat(np.arange(6000), 2)
    first = moments._deal(groups, 12_000)
    assert (first[::2] == first[1::2]).all()
    assert (moments._deal(groups[::-1], 12_000)[::-1] == first).all()
    assert np.bincount(first).min() > 3500
    assert len(moments._dealt) == 4096


def test_rows_that_do_not_fit_are_refused_in_one_line(make_rows):
    data, moments = make_rows(1000, d=16), FoldMoments()
    with pytest.raises(SpecError, match="unknown task 'classes'; valid: classification, regression"):
        FoldMoments("classes")
    moments.update(data.X, data.y)
    with pytest.raises(DataError, match="features, those before had 16"):
        moments.update(data.X[:, :4], data.y)
    with pytest.raises(DataError, match="not finite at row 1001"):
        moments.update(np.where(np.arange(1000)[:, None] == 1, np.nan, data.X), data.y)
