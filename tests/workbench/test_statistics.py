"""Intervals and entropies against SciPy, against their formulas, and in simulation."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench import statistics
from workbench.errors import DataError, SpecError
from workbench.statistics import (
    Interval,
    cluster_bootstrap,
    cluster_bootstrap_difference,
    corrected_entropy,
    plugin_entropy,
    wilson,
)

COUNTS = arrays.arrays(
    np.int64,
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6),
    elements=st.integers(0, 10**6),
).filter(lambda counts: (counts.sum(-1) > 0).all())


def clustered(rng: np.random.Generator, n_clusters: int = 20, size: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Values whose clusters differ much more than the rows within one; true mean 0."""
    centres = rng.normal(size=(n_clusters, 1))
    values = centres + 0.3 * rng.normal(size=(n_clusters, size))
    return values.ravel(), np.repeat(np.arange(n_clusters), size)


def general_mean(x):
    return np.mean(x)


def test_clusters_of_one_row_agree_with_scipy_percentile_bootstrap():
    values = np.random.default_rng(1).exponential(size=80)
    ours = cluster_bootstrap(values, np.arange(80), resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.estimate == values.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_median_of_clusters_of_one_row_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=60)
    ours = cluster_bootstrap(values, np.arange(60), np.median, resamples=4000)
    theirs = scipy.stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=4000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_vectorised_mean_equals_the_general_path():
    rng = np.random.default_rng(4)
    clusters = rng.integers(0, 12, size=200)
    values = rng.normal(size=200)
    fast, general = (cluster_bootstrap(values, clusters, s, resamples=300) for s in (np.mean, general_mean))
    assert (fast.low, fast.high) == pytest.approx((general.low, general.high), abs=1e-12)


def test_drawing_in_blocks_still_draws_n_resamples(monkeypatch):
    drawn = []
    monkeypatch.setattr(statistics, "_BLOCK", 40)
    cluster_bootstrap(np.arange(12.0), np.arange(12), lambda x: drawn.append(len(x)) or 0.0, resamples=50)
    assert drawn == [12] * 51  # 50 resamples and the estimate


def test_interval_covers_the_truth_where_a_row_bootstrap_does_not():
    rng, covered, naive = np.random.default_rng(5), 0, 0
    for trial in range(150):
        values, clusters = clustered(rng)
        by_cluster = cluster_bootstrap(values, clusters, resamples=400, seed=trial)
        by_row = cluster_bootstrap(values, np.arange(len(values)), resamples=400, seed=trial)
        covered += by_cluster.low <= 0 <= by_cluster.high
        naive += by_row.low <= 0 <= by_row.high
    assert 0.86 <= covered / 150 <= 0.99
    assert naive / 150 < 0.6


def test_wider_confidence_gives_a_wider_interval_and_the_seed_fixes_it():
    values, clusters = clustered(np.random.default_rng(6))
    wide, narrow = (cluster_bootstrap(values, clusters, confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert cluster_bootstrap(values, clusters, seed=3) == cluster_bootstrap(values, clusters, seed=3)
    assert cluster_bootstrap(values, clusters, seed=3) != cluster_bootstrap(values, clusters, seed=4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_order_of_rows_and_kind_of_labels_do_not_matter(seed, n_clusters):
    rng = np.random.default_rng(seed)
    clusters, values = rng.integers(0, n_clusters, size=30), rng.normal(size=30)
    order = rng.permutation(30)
    first = cluster_bootstrap(values, clusters, resamples=50)
    second = cluster_bootstrap(values[order], [f"episode {c}" for c in clusters[order]], resamples=50)
    assert (first.low, first.high) == pytest.approx((second.low, second.high), nan_ok=True)


def test_one_cluster_has_an_estimate_but_no_bounds():
    interval = cluster_bootstrap([1.0, 2.0], ["only", "only"])
    assert interval.estimate == 1.5
    assert np.isnan([interval.low, interval.high]).all()
    difference = cluster_bootstrap_difference([1.0, 2.0], [1.0, 4.0], [0, 0], [0, 1], paired=False)
    assert difference.estimate == -1.0
    assert np.isnan(difference.low)


def test_statistic_may_use_several_columns():
    rng = np.random.default_rng(7)
    x = rng.normal(size=300)
    table = np.stack([x, 2 * x + rng.normal(size=300)], axis=1)
    slope = cluster_bootstrap(table, np.arange(300) // 5, lambda t: np.polyfit(t[:, 0], t[:, 1], 1)[0], resamples=200)
    assert slope.low < 2 < slope.high
    assert slope.high - slope.low < 0.5


def test_pairing_removes_what_the_clusters_share():
    values, clusters = clustered(np.random.default_rng(8))
    shifted = values + 0.1
    paired = cluster_bootstrap_difference(shifted, values, clusters, clusters)
    unpaired = cluster_bootstrap_difference(shifted, values, clusters, clusters, paired=False)
    assert (paired.low, paired.estimate, paired.high) == pytest.approx((0.1, 0.1, 0.1))
    assert unpaired.high - unpaired.low > 0.5


def test_unpaired_difference_agrees_with_scipy():
    rng = np.random.default_rng(9)
    a, b = rng.normal(1, 1, size=50), rng.normal(0, 2, size=70)
    ours = cluster_bootstrap_difference(a, b, np.arange(50), np.arange(70), resamples=20_000, paired=False)
    theirs = scipy.stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_paired_difference_handles_clusters_of_different_sizes():
    a, b = [1.0, 1.0, 5.0], [0.0, 4.0, 4.0]
    interval = cluster_bootstrap_difference(a, b, ["x", "x", "y"], ["x", "y", "y"])
    assert interval.estimate == pytest.approx(7 / 3 - 8 / 3)
    assert interval.low <= interval.estimate <= interval.high


@pytest.mark.parametrize(
    ("values", "clusters", "said"),
    [
        ([], [], "empty"),
        ([1.0, float("nan")], [0, 1], "not finite at row 1"),
        ([1.0, float("inf")], [0, 1], "not finite at row 1"),
        ([1.0, 2.0], [0], "2 rows but its clusters have shape"),
        ([1.0, 2.0], [0.0, float("nan")], "row 1 is missing"),
        ([1.0, 2.0], np.array([0, "a"], dtype=object), "numbers and text are mixed"),
    ],
)
def test_unusable_rows_are_refused_and_named(values, clusters, said):
    with pytest.raises(DataError, match=said):
        cluster_bootstrap(values, clusters)


def test_unusable_options_are_refused():
    with pytest.raises(SpecError, match="resamples must be an integer of at least 1, not 0"):
        cluster_bootstrap([1.0], [0], resamples=0)
    with pytest.raises(SpecError, match="confidence must be a finite number from 0 to 1, not 95"):
        wilson(1, 2, confidence=95)
    with pytest.raises(DataError, match="'b' is on one side only"):
        cluster_bootstrap_difference([1.0, 2.0], [1.0], ["a", "b"], ["a"])


@given(st.integers(1, 2000), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_equals_scipy(trials, data, confidence):
    successes = data.draw(st.integers(0, trials))
    ours = wilson(successes, trials, confidence)
    theirs = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5), (float("nan"), 5), (1, float("nan"))])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises((DataError, SpecError), match="wilson"):
        wilson(successes, trials)


@given(COUNTS)
def test_plugin_entropy_equals_scipy(counts):
    assert plugin_entropy(counts) == pytest.approx(scipy.stats.entropy(counts, axis=-1), abs=1e-12)


@given(COUNTS)
def test_entropies_lie_within_zero_and_ln_k(counts):
    top = np.log(counts.shape[-1])
    plain, corrected = plugin_entropy(counts), corrected_entropy(counts)
    assert np.all((plain >= 0) & (plain <= corrected) & (corrected <= top))
    assert plain.shape == counts.shape[:-1]


@given(COUNTS, st.randoms(use_true_random=False), st.integers(1, 1000))
def test_entropy_ignores_the_order_of_categories_and_the_scale_of_counts(counts, random, factor):
    order = random.sample(range(counts.shape[-1]), counts.shape[-1])
    assert plugin_entropy(counts[..., order]) == pytest.approx(plugin_entropy(counts), abs=1e-12)
    assert plugin_entropy(counts * factor) == pytest.approx(plugin_entropy(counts), abs=1e-12)
    assert corrected_entropy(counts[..., order]) == pytest.approx(corrected_entropy(counts), abs=1e-12)


@given(COUNTS)
def test_corrected_entropy_is_millers_formula_up_to_its_bounds(counts):
    seen, total = (counts > 0).sum(-1), counts.sum(-1)
    formula = scipy.stats.entropy(counts, axis=-1) + (seen - 1) / (2 * total)
    assert corrected_entropy(counts) == pytest.approx(np.minimum(formula, np.log(counts.shape[-1])), abs=1e-12)


@given(st.integers(2, 8), st.integers(1, 50))
def test_entropy_is_zero_for_one_category_and_ln_k_for_equal_ones(k, count):
    assert plugin_entropy(count * np.eye(k)[0]) == 0
    assert corrected_entropy(count * np.eye(k)[0]) == 0
    assert plugin_entropy(np.full(k, count)) == pytest.approx(np.log(k))


def test_correction_removes_most_of_the_bias_of_small_samples():
    p = np.array([0.6, 0.25, 0.1, 0.05])
    counts = np.random.default_rng(10).multinomial(40, p, size=4000)
    truth = scipy.stats.entropy(p)
    plain, corrected = plugin_entropy(counts).mean() - truth, corrected_entropy(counts).mean() - truth
    assert plain < -0.02
    assert abs(corrected) < abs(plain) / 3


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([], "one number a category"),
        (3.0, "one number a category"),
        ([0, 0], "not all zero"),
        ([[1, 0], [0, 0]], r"at row \[1\]"),
        ([[1.0, float("nan")]], r"at row \[0\]"),
        ([-1, 2], "not negative"),
    ],
)
def test_counts_without_an_entropy_are_refused_and_named(counts, said):
    for entropy in (plugin_entropy, corrected_entropy):
        with pytest.raises(DataError, match=said):
            entropy(counts)


def test_probabilities_have_a_plugin_entropy_but_no_correction():
    assert plugin_entropy([0.5, 0.5]) == pytest.approx(np.log(2))
    with pytest.raises(DataError, match="whole counts"):
        corrected_entropy([0.5, 0.5])


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3))
def test_interval_prints_on_one_short_line(estimate, half):
    assume(np.isfinite(estimate))
    text = str(Interval(estimate, estimate - half, estimate + half))
    assert "[" in text
    assert len(text) < 45
