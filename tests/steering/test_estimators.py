from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steering import (
    ESTIMATORS,
    entropy_weighted,
    get_estimator,
    linear_probe_direction,
    mean_difference,
    pca_difference,
)
from workbench.errors import DataError, SpecError

CONTRAST = [mean_difference, pca_difference, linear_probe_direction]


@st.composite
def episodes(draw):
    """Activations [rows, d] (float64), entropies and run ids of a few runs of different lengths."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    d = draw(st.integers(1, 6))
    torch.manual_seed(draw(st.integers(0, 2**32)))  # global, so that what a test draws besides repeats too
    rows = sum(lengths)
    z = torch.randn(rows, d, dtype=torch.float64) * draw(st.sampled_from([1e-2, 1.0, 50.0]))
    h = torch.rand(rows, dtype=torch.float64) * math.log(2)
    h = h * (torch.rand(rows) > draw(st.sampled_from([0.0, 0.5])))  # some steps are certain
    assume(h.sum() > 0)
    return z, h, torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))


def paper_formula(z, h, runs):
    """u = (1/Z) sum_k sum_t h_kt (z_kt - mean_t' z_kt'), written as the loops of the paper."""
    u, total = torch.zeros(z.shape[1], dtype=torch.float64), 0.0
    for k in sorted(set(runs.tolist())):
        steps = [i for i in range(len(z)) if runs[i] == k]
        mean = sum(z[i] for i in steps) / len(steps)
        for i in steps:
            u += h[i] * (z[i] - mean)
            total += float(h[i])
    return u / total


def close(a, b, scale=1.0):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10 * scale)


@settings(max_examples=60, deadline=None)
@given(episodes())
def test_entropy_weighted_is_the_papers_formula(episode):
    z, h, runs = episode
    close(entropy_weighted(z, h, runs), paper_formula(z, h, runs), float(z.abs().max()))


@settings(max_examples=60, deadline=None)
@given(episodes())
def test_entropy_weighted_is_the_pooled_within_run_covariance(episode):
    z, h, runs = episode
    covariance = torch.zeros(z.shape[1], dtype=torch.float64)  # pooled: sum over runs of n_k cov_k, over N
    for k in runs.unique():
        rows = runs == k
        both = np.cov(np.c_[h[rows].numpy(), z[rows].numpy()].T, bias=True) if rows.sum() > 1 else np.zeros((99, 99))
        covariance += rows.sum() * torch.from_numpy(np.atleast_2d(both)[0, 1 : 1 + z.shape[1]])
    n, total = len(z), h.sum()
    close(entropy_weighted(z, h, runs), (n / total) * (covariance / n), float(z.abs().max()))


@settings(max_examples=60, deadline=None)
@given(episodes(), st.floats(-1e3, 1e3))
def test_adding_a_different_constant_vector_to_each_run_changes_nothing(episode, size):
    z, h, runs = episode
    shift = size * torch.randn(int(runs.max()) + 1, z.shape[1], dtype=torch.float64)
    close(entropy_weighted(z + shift[runs], h, runs), entropy_weighted(z, h, runs), abs(size) + float(z.abs().max()))
    if runs.max() > 0 and abs(size) > 1:  # and the centring is what does it
        other = entropy_weighted(z + shift[runs], h, runs, centre=False)
        assert not torch.allclose(other, entropy_weighted(z, h, runs, centre=False))


@settings(max_examples=60, deadline=None)
@given(episodes(), st.floats(0.01, 0.69), st.integers(1, 9))
def test_a_run_of_constant_entropy_adds_nothing_to_the_numerator(episode, constant, length):
    z, h, runs = episode
    extra = 100 * torch.randn(length, z.shape[1], dtype=torch.float64)
    more = entropy_weighted(
        torch.cat([z, extra]),
        torch.cat([h, torch.full((length,), constant, dtype=torch.float64)]),
        torch.cat([runs, torch.full((length,), 99)]),
    )
    numerator = entropy_weighted(z, h, runs) * h.sum()
    close(more * (h.sum() + constant * length), numerator, float(z.abs().max()))


@settings(max_examples=40, deadline=None)
@given(episodes(), st.sampled_from([2.0, 10.0]), st.booleans(), st.booleans())
def test_base_of_the_logarithm_cancels(episode, base, centre, weight):
    z, h, runs = episode
    assume(weight or h.min() < h.max())
    nats = entropy_weighted(z, h, runs, centre=centre, weight=weight)
    close(entropy_weighted(z, h / math.log(base), runs, centre=centre, weight=weight), nats, float(z.abs().max()))


@settings(max_examples=40, deadline=None)
@given(episodes(), st.randoms(use_true_random=False))
def test_order_of_the_rows_is_irrelevant(episode, random):
    z, h, runs = episode
    order = torch.tensor(random.sample(range(len(z)), len(z)))
    close(entropy_weighted(z[order], h[order], runs[order]), entropy_weighted(z, h, runs), float(z.abs().max()))


def test_runs_of_constant_entropy_alone_give_exactly_zero():
    z, runs = torch.randn(40, 5), torch.arange(4).repeat_interleave(10)
    h = torch.tensor([0.1, 0.3, 0.7, 0.2], dtype=torch.float64)[runs]  # ten times 0.1 is not 1: the mean is rounded
    assert torch.equal(entropy_weighted(z, h, runs), torch.zeros(5))


def test_no_entropy_at_all_is_a_clear_error():
    with pytest.raises(DataError, match="Z = 0"):
        entropy_weighted(torch.ones(4, 2), torch.zeros(4), [0, 0, 1, 1])


def test_uncentred_is_the_entropy_weighted_mean():
    z, h = torch.randn(30, 4).double(), torch.rand(30).double()
    close(entropy_weighted(z, h, [0] * 30, centre=False), (h[:, None] * z).sum(0) / h.sum())


def test_unweighted_is_the_mean_of_the_high_entropy_rows_less_their_run_means():
    z, runs = torch.randn(30, 4).double(), torch.arange(3).repeat_interleave(10)
    h = torch.rand(30).double()
    high = h > h.mean()
    centred = torch.cat([z[runs == k] - z[runs == k].mean(0) for k in range(3)])
    close(entropy_weighted(z, h, runs, weight=False), centred[high].mean(0))
    close(entropy_weighted(z, h, runs, centre=False, weight=False), z[high].mean(0))
    with pytest.raises(DataError, match="same in every row"):
        entropy_weighted(z, torch.full((30,), 0.3), runs, weight=False)


def test_ids_may_be_strings_arrays_or_lists():
    z, h = torch.randn(4, 3), [0.1, 0.5, 0.2, 0.4]
    expected = entropy_weighted(z, h, [0, 0, 1, 1])
    for runs in (["a", "a", "b", "b"], np.array([7, 7, -1, -1]), torch.tensor([5, 5, 2, 2])):
        torch.testing.assert_close(entropy_weighted(z, np.array(h), runs), expected)


def test_sums_are_float64_and_the_result_float32():
    z = torch.full((20_000, 2), 1000.0)
    z[:, 1] += torch.linspace(-1e-2, 1e-2, 20_000)
    h = torch.linspace(0.1, 0.6, 20_000)
    u = entropy_weighted(z, h, [0] * 20_000)
    assert u.dtype == torch.float32
    assert abs(u[0]) < 1e-10  # a float32 sum is off by 1e-5 and more
    exact = (h.double() - h.double().mean()) @ (z[:, 1].double()) / h.double().sum()
    assert u[1].item() == pytest.approx(exact.item(), rel=1e-5)
    assert entropy_weighted(z.bfloat16(), h, [0] * 20_000).dtype == torch.float32


@pytest.mark.parametrize(
    ("h", "runs", "message"),
    [
        ([0.1, 0.2], [0, 0, 0], "entropy must be 3"),
        ([0.1, -0.2, 0.3], [0, 0, 0], "entropy must be 3"),
        ([0.1, float("nan"), 0.3], [0, 0, 0], "entropy must be 3"),
        ([0.1, 0.2, 0.3], [0, 0], "there are 3 rows"),
    ],
)
def test_wrong_entropies_or_runs_raise(h, runs, message):
    with pytest.raises(DataError, match=message):
        entropy_weighted(torch.ones(3, 2), h, runs)


def test_the_row_that_is_not_finite_is_named():
    z = torch.ones(5, 2)
    z[3, 1] = float("inf")
    for estimate in (lambda: entropy_weighted(z, [0.1] * 5, [0] * 5), lambda: mean_difference(z, [1, 0, 1, 0, 1])):
        with pytest.raises(DataError, match="row 3"):
            estimate()


def test_mean_difference_is_the_difference_of_the_means():
    z, positive = torch.randn(20, 3).double(), torch.arange(20) % 3 == 0
    close(mean_difference(z, positive), z[positive].mean(0) - z[~positive].mean(0))


def test_mean_difference_in_groups_ignores_what_is_constant_in_a_group():
    z, positive = torch.randn(30, 3).double(), [True, False, True] * 10
    groups = torch.arange(30) // 6
    shifted = z + 100 * torch.randn(5, 3).double()[groups]
    close(mean_difference(shifted, positive, groups), mean_difference(z, positive, groups), 1e3)
    by_hand = torch.stack([mean_difference(z[groups == g], positive[:6]) for g in range(5)]).mean(0)
    close(mean_difference(z, positive, groups), by_hand)


def test_groups_without_both_classes_are_left_out():
    z = torch.tensor([[1.0], [0.0], [50.0]])
    assert mean_difference(z, [True, False, True], groups=["a", "a", "b"]).item() == 1
    with pytest.raises(DataError, match="no group has both"):
        mean_difference(z, [True, False, True], groups=["a", "b", "c"])
    for estimate in CONTRAST:
        with pytest.raises(DataError, match="both positive and negative"):
            estimate(z, [True, True, True])


@pytest.mark.parametrize("grouped", [False, True])
def test_pca_difference_is_the_first_right_singular_vector(grouped):
    z = torch.randn(40, 6).double() + torch.tensor([3.0, 0, 0, 0, 0, 0]).double() * (torch.arange(40) % 2)[:, None]
    positive, pairs = (torch.arange(40) % 2).bool(), torch.arange(40) // 2
    spread = z[1::2] - z[0::2] if grouped else z - (z[0::2].mean(0) + z[1::2].mean(0)) / 2
    first = torch.linalg.svd(spread, full_matrices=False)[2][0]
    u = pca_difference(z, positive, pairs if grouped else None)
    assert abs(float(u @ first)) == pytest.approx(1, abs=1e-9)
    assert u[0] > 0
    assert u.norm().item() == pytest.approx(1)


@pytest.mark.parametrize("estimate", CONTRAST)
@pytest.mark.parametrize("sign", [1, -1])
def test_positives_project_high_and_the_planted_direction_is_found(estimate, sign):
    generator = torch.Generator().manual_seed(0)
    planted = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    positive = torch.arange(400) % 2 == 0
    z = torch.randn(400, 16, generator=generator) * 0.5 + 4 * sign * positive[:, None] * planted + 10
    u = estimate(z, positive)
    assert u.dtype == torch.float32
    assert float(torch.cosine_similarity(u, sign * planted, dim=0)) > 0.9
    assert (z @ u)[positive].mean() > (z @ u)[~positive].mean()


def test_linear_probe_undoes_the_standardisation():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    z = torch.randn(200, 3).double() * torch.tensor([1.0, 100.0, 0.01]) + 5
    positive = (z[:, 0] + torch.randn(200) > 5).numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(z.numpy(), positive)
    logit = torch.from_numpy(probe.decision_function(z.numpy()))
    ours = z @ linear_probe_direction(z, positive)
    close(ours - ours.mean(), logit - logit.mean(), 1e3)


def test_linear_probe_in_groups_ignores_what_is_constant_in_a_group():
    z, positive, groups = torch.randn(60, 4).double(), [True, False] * 30, torch.arange(60) // 10
    shifted = z + 100 * torch.randn(6, 4).double()[groups]
    torch.testing.assert_close(
        linear_probe_direction(shifted, positive, groups), linear_probe_direction(z, positive, groups)
    )


def test_estimators_leave_their_input_as_it_was():
    z, positive = torch.randn(20, 3), [True, False] * 10
    before = z.clone()
    for estimate in CONTRAST:
        estimate(z, positive, [0, 0, 1, 1] * 5)
    entropy_weighted(z, [0.1, 0.2] * 10, [0] * 20)
    assert torch.equal(z, before)


def test_registry_names_the_nearest_estimator():
    assert all(get_estimator(name) is function for name, function in ESTIMATORS.items())
    with pytest.raises(SpecError, match="did you mean 'entropy_weighted'"):
        get_estimator("entropy_weigthed")
