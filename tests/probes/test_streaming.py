from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import probes
from probes import make_probe
from probes.fold_moments import FoldMoments
from probes.moments import Moments
from probes.shared import SharedRidge
from probes.streaming import accumulate, captured, fit_stream
from workbench.activations import ActivationSet, ActivationStore, capture
from workbench.errors import DataError, SpecError
from workbench.models.tiny import tiny_model
from workbench.sites import Site

ROOT = Path(probes.__path__[0]).parent
STREAMED = ["ridge", "lda", "mass-mean", "ridge-regression"]
MEMORY = """
import resource, sys
import numpy as np
import torch
from probes import make_probe
from probes.streaming import fit_stream
from workbench.activations import ActivationSet, ActivationStore

rng, mixing = np.random.default_rng(0), np.random.default_rng(1).standard_normal((128, 128)).astype("f")

def shard(i, n=2000):
    X = rng.standard_normal((n, 128)).astype("f") @ mixing
    labels = {"y": (X[:, :3] + 5 * rng.standard_normal((n, 3))).argmax(1), "episode": i * 100 + np.arange(n) // 20}
    return ActivationSet({"1.resid_post": torch.from_numpy(X)}, labels, "episode")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def fit(store):
    for name in sys.argv[3:]:
        fit_stream(make_probe(name), store, "1.resid_post", "y")

with ActivationStore(sys.argv[1]) as store:
    store.append(shard(0))
    fit(store)  # what is allocated once for all
    for i in range(1, int(sys.argv[2])):
        store.append(shard(i))
before = peak()
fit(store)
print(peak() - before, sum(file.stat().st_size for file in store.path.rglob("*.safetensors")))
"""


@pytest.fixture(scope="module")
def stored(make_rows, tmp_path_factory):
    """The same rows in a store of uneven shards, sorted so that the first shard lacks a class."""
    data = make_rows(1000, d=16, text=True)
    order = np.argsort(data.y, kind="stable")
    data.X, data.y, data.groups = data.X[order].astype(np.float32), data.y[order], data.groups[order]
    store = ActivationStore(tmp_path_factory.mktemp("store") / "s")
    with store:
        for rows in np.split(np.arange(1000), [100, 101, 700]):
            labels = {"y": data.y[rows], "number": data.X[rows, 0] * 2, "episode": data.groups[rows]}
            store.append(ActivationSet({Site(1): torch.from_numpy(data.X[rows])}, labels, "episode"))
    return store, data


@pytest.mark.parametrize("name", STREAMED)
def test_streamed_fit_is_the_fit_in_memory(stored, name):
    store, data = stored
    column = "number" if name == "ridge-regression" else "y"
    y = data.X[:, 0] * 2 if name == "ridge-regression" else data.y
    here = make_probe(name).fit(data.X, y, data.groups)
    streamed = fit_stream(make_probe(name), store, 1, column)
    np.testing.assert_allclose(streamed.coef_, here.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(streamed.intercept_, here.intercept_, rtol=1e-7, atol=1e-7)
    assert getattr(streamed, "alpha_", None) == getattr(here, "alpha_", None)
    assert (streamed.predict(data.X) == here.predict(data.X)).all() or name == "ridge-regression"


def test_many_targets_share_one_stream(stored):
    store, data = stored
    Y = np.stack([data.y, data.y == "a"], axis=1)
    moments = accumulate(store, lambda some: np.stack([some.labels.y, (some.labels.y == "a").astype(str)], axis=1))
    streamed = SharedRidge().fit_from_moments(moments[Site(1)])
    here = SharedRidge().fit(data.X, Y.astype(str), data.groups)
    np.testing.assert_allclose(streamed.coef_, here.coef_, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", STREAMED)
def test_fit_fused_with_capture_is_capture_then_fit_and_writes_no_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, rng = tiny_model(), np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), size=n)) for n in rng.integers(1, 12, 90)]
    y = [len(text) / 3 if name == "ridge-regression" else len(text) % 3 for text in texts]
    labels, groups = {"y": y}, np.arange(90) // 3
    monkeypatch.setattr("workbench.activations.store.ActivationStore._write", None)
    blocks = captured(model, texts, [1, 2], [-2, -1], labels=labels, groups=groups, block=20)
    fused = fit_stream(make_probe(name), blocks, 2, "y")
    whole = capture(model, texts, [2], [-2, -1], labels=labels, groups=groups)
    here = make_probe(name).fit(whole.numpy(2), whole.labels["y"], whole.groups)
    # Batches are made up otherwise, so the activations themselves agree up to float32.
    np.testing.assert_allclose(fused.predict_proba(whole.numpy(2)) if name != "ridge-regression" else
                               fused.predict(whole.numpy(2)),
                               here.predict_proba(whole.numpy(2)) if name != "ridge-regression" else
                               here.predict(whole.numpy(2)), atol=1e-5)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_peak_memory_does_not_grow_with_the_rows(tmp_path):
    """The limit is 10 MB, the store has 41: all its rows together would not fit."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "s"), "40", "ridge", "lda", "mass-mean"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    grown, size = map(int, answer.stdout.split())
    assert size > 40e6
    assert grown < 10e6  # measured: 0.3 to 2.4 MB, whether 10 or 41 MB are stored


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


def test_workers_with_their_own_groups_merge_to_the_same_sums(make_rows):
    data = make_rows(400, text=True)
    workers = []
    for rows in (data.y != "a", data.y == "a"):
        workers.append(FoldMoments())
        workers[-1].update(data.X[rows], data.y[rows], data.groups[rows])
    merged, whole = workers[0].merge(workers[1]), FoldMoments()
    before = workers[0].total.xx.clone()
    whole.update(data.X, data.y, data.groups)
    np.testing.assert_allclose(merged.total.xx, whole.total.xx, rtol=1e-9)
    one, two = (make_probe("lda").fit_from_moments(each) for each in (merged, whole))
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-6)
    merged.update(data.X, data.y, data.groups)
    assert torch.equal(workers[0].total.xx, before)


def test_rows_of_a_group_share_a_fold_however_many_groups_there_are():
    moments = FoldMoments(folds=3)
    groups = np.repeat(np.arange(6000), 2)
    first = moments._deal(groups, 12_000)
    assert (first[::2] == first[1::2]).all()
    assert (moments._deal(groups[::-1], 12_000)[::-1] == first).all()
    assert np.bincount(first).min() > 3500
    assert len(moments._dealt) == 4096


def test_what_does_not_fit_a_stream_is_refused_in_one_line(stored):
    store, data = stored
    with pytest.raises(SpecError, match="LogisticProbe cannot be fitted from a stream"):
        fit_stream(make_probe("logistic"), store, 1, "y")
    with pytest.raises(DataError, match="no column 'yy'; did you mean 'y'"):
        fit_stream(make_probe("lda"), store, 1, "yy")
    with pytest.raises(DataError, match="no activations to fit on"):
        fit_stream(make_probe("lda"), [], 1, "y")
    with pytest.raises(SpecError, match="one target of classes"):
        make_probe("lda").fit_from_moments(accumulate(store, "number", targets="values")[Site(1)])
    moments = FoldMoments()
    moments.update(data.X, data.y)
    with pytest.raises(DataError, match="features, those before had 16"):
        moments.update(data.X[:, :4], data.y)
    with pytest.raises(DataError, match="not finite at row 1001"):
        moments.update(np.where(np.arange(1000)[:, None] == 1, np.nan, data.X), data.y)
    with pytest.raises(SpecError, match="writes nothing"):
        next(captured(tiny_model(), ["a"], [1], store="somewhere"))
