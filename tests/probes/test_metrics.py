"""Scores against scikit-learn, SciPy and plain loops; resamples against workbench.statistics."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from probes.metrics import (
    CLASSIFIER_METRICS,
    RANK_RESAMPLES,
    REGRESSOR_METRICS,
    Predictions,
    calibration_table,
    class_scores,
    resampled,
    score,
)
from workbench.errors import DataError, SpecError
from workbench.statistics import cluster_bootstrap

SEEDS = st.integers(0, 2**31)


def of_classes(seed: int, rows: int = 60, classes: int = 3, folds: int = 1, decimals: int = 1) -> Predictions:
    """Rounded probabilities, so that scores and bins have ties."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(classes), size=rows).round(decimals) + 0.05
    table /= table.sum(1, keepdims=True)
    truth = rng.integers(0, classes, size=rows)
    truth[:classes] = np.arange(classes)
    return Predictions(truth, table.argmax(1), table, rng.integers(0, folds, size=rows))


def of_numbers(seed: int, rows: int = 60, folds: int = 1) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 9, size=rows).astype(float)
    return Predictions(truth, (truth + rng.normal(size=rows) * 3).round(), folds=rng.integers(0, folds, size=rows))


@given(SEEDS, st.sampled_from([2, 3, 5]))
def test_class_scores_equal_scikit_learns(seed, classes):
    said = of_classes(seed, classes=classes)
    y, p = said.truth, said.probabilities
    auroc = sk.roc_auc_score(y, p[:, 1]) if classes == 2 else sk.roc_auc_score(y, p, multi_class="ovr")
    theirs = {
        "accuracy": sk.accuracy_score(y, said.predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(y, said.predicted),
        "auroc": auroc,
        "log_loss": sk.log_loss(y, p, labels=np.arange(classes)),
        "brier": sk.brier_score_loss(y, p, labels=np.arange(classes)),
    }
    assert {name: score(name, said) for name in theirs} == pytest.approx(theirs, abs=1e-12)


@given(SEEDS)
def test_number_scores_equal_scikit_learns_and_scipys(seed):
    said = of_numbers(seed)
    theirs = {
        "r2": sk.r2_score(said.truth, said.predicted),
        "mae": sk.mean_absolute_error(said.truth, said.predicted),
        "spearman": scipy.stats.spearmanr(said.truth, said.predicted).statistic,
    }
    assert {name: score(name, said) for name in theirs} == pytest.approx(theirs, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from([0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]), st.booleans()), min_size=1))
def test_ece_equals_a_loop_with_confidence_one_in_the_last_bin(rows):
    confidence, right = (np.array(values) for values in zip(*rows, strict=True))
    said = Predictions((~right).astype(int), np.zeros(len(rows)), np.stack([confidence, 1 - confidence], axis=1))
    total = 0.0
    for k in range(10):
        inside = [i for i, c in enumerate(confidence) if k / 10 <= c < (k + 1) / 10 or (k == 9 and c == 1.0)]
        if inside:
            gap = np.mean([confidence[i] for i in inside]) - np.mean([right[i] for i in inside])
            total += len(inside) / len(rows) * abs(gap)
    assert score("ece", said) == pytest.approx(total, abs=1e-12)
    table = calibration_table(said)
    assert table["rows"].sum() == len(rows)
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["rows"]
    assert gaps.sum() / len(rows) == pytest.approx(total, abs=1e-12)


def test_certain_and_right_is_perfectly_calibrated_in_the_last_bin():
    said = Predictions([0, 0], [0, 0], [[1.0, 0.0], [1.0, 0.0]])
    assert score("ece", said) == 0
    assert calibration_table(said)["rows"].tolist() == [0] * 9 + [2]


@given(SEEDS)
def test_ranks_are_compared_within_folds_only(seed):
    said, parts = of_classes(seed, classes=2, folds=3), []
    for fold in range(3):
        inside = said.folds == fold
        high, low = (said.probabilities[inside & (said.truth == c), 1] for c in (1, 0))
        parts.append((np.sign(high[:, None] - low) / 2 + 0.5).ravel())
    assert score("auroc", said) == pytest.approx(np.concatenate(parts).mean(), abs=1e-12)
    numbers = of_numbers(seed, folds=3)
    shifted = Predictions(numbers.truth, numbers.predicted + 100 * numbers.folds, folds=numbers.folds)
    assert score("spearman", shifted) == pytest.approx(score("spearman", numbers), abs=1e-12)


def test_the_training_prior_has_no_auroc():
    """Pooled over folds it would be far below one half: the prior is high where the test rows hold few positives."""
    truth, folds = np.array([0, 0, 0, 1, 1, 1, 1, 0]), np.repeat([0, 1], 4)
    prior = np.where(folds == 0, 0.75, 0.25)
    said = Predictions(truth, prior > 0.5, np.stack([1 - prior, prior], axis=1), folds)
    assert score("auroc", said) == 0.5
    assert sk.roc_auc_score(truth, prior) == 0.25


@pytest.mark.parametrize("name", [*CLASSIFIER_METRICS, "brier", "recall@0.05", "recall@0.3", *REGRESSOR_METRICS])
def test_a_resample_scores_as_if_its_rows_were_written_out(name):
    said = of_numbers(3, folds=2) if name in REGRESSOR_METRICS else of_classes(3, rows=80, folds=2)
    clusters = np.random.default_rng(1).integers(0, 12, size=len(said.truth))

    def written_out(rows):
        rows = rows.astype(int)
        table = None if said.probabilities is None else said.probabilities[rows]
        return score(name, Predictions(said.truth[rows], said.predicted[rows], table, said.folds[rows]))

    ours = resampled(name, said, clusters, resamples=200, seed=5)
    theirs = cluster_bootstrap(np.arange(len(said.truth)), clusters, written_out, resamples=200, seed=5)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx([theirs.low, theirs.high], abs=1e-12)
    assert score(name, said) == pytest.approx(theirs.estimate, abs=1e-12)


def test_rank_scores_that_cost_more_use_fewer_resamples_the_first_of_the_same_draws():
    few, many = of_classes(0), of_classes(0, rows=2100)
    assert len(resampled("auroc", few, np.arange(60) // 3, resamples=1000)) == 1000
    assert len(resampled("auroc", many, np.arange(2100), resamples=1000)) == RANK_RESAMPLES
    said, clusters = of_numbers(0), np.arange(60) // 3
    assert len(resampled("mae", said, clusters, resamples=1000)) == 1000
    first, stopped = (resampled("spearman", said, clusters, resamples=n) for n in (RANK_RESAMPLES, 1000))
    np.testing.assert_array_equal(first, stopped)


def test_precision_recall_and_f1_equal_their_formulas():
    said = of_classes(7)
    table = class_scores(said, ["a", "b", "c"]).set_index("class")
    for code, name in enumerate("abc"):
        true, called = said.truth == code, said.predicted == code
        precision, recall = (true & called).sum() / called.sum(), (true & called).sum() / true.sum()
        assert table.loc[name, ["precision", "recall", "support"]].tolist() == [precision, recall, true.sum()]
        assert table.loc[name, "f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_undefined_scores_are_nan_and_a_constant_prediction_ranks_nothing():
    one_class = Predictions([1, 1], [1, 1], [[0.2, 0.8], [0.4, 0.6]])
    assert np.isnan(score("auroc", one_class))
    constant = Predictions([2.0, 2.0], [1.0, 3.0])
    assert np.isnan([score("r2", constant), score("spearman", constant)]).all()
    assert score("spearman", Predictions([1.0, 2.0, 3.0], [0.1, 0.1, 0.1])) == 0


def test_classes_absent_from_the_rows_are_left_out_of_the_means():
    said = Predictions([0, 0, 1], [0, 1, 1], [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.8, 0.0]])
    assert score("balanced_accuracy", said) == 0.75
    assert np.isfinite(score("auroc", said))


def test_mistakes_are_named():
    with pytest.raises(SpecError, match="did you mean 'accuracy'"):
        score("acuracy", of_classes(0))
    with pytest.raises(SpecError, match="predictions are numbers"):
        score("auroc", of_numbers(0))
    with pytest.raises(DataError, match=r"predicted has shape \[1\]"):
        Predictions([1, 0], [1], [[0.5, 0.5]] * 2)
    with pytest.raises(DataError, match="a column a class"):
        Predictions([2, 0], [1, 0], [[0.5, 0.5]] * 2)
    with pytest.raises(DataError, match="one for each"):
        resampled("accuracy", of_classes(0), [1, 2])


def recall_by_hand(scores, positive, fpr):
    """Walk down every threshold; the recall of the lowest that takes few enough negatives for positive."""
    best = 0.0
    for threshold in np.unique(scores):
        taken = scores >= threshold
        if taken[~positive].mean() <= fpr:
            best = max(best, taken[positive].mean())
    return best


@given(SEEDS, st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_recall_at_a_rate_is_that_of_the_lowest_threshold_which_keeps_it(seed, fpr):
    said = of_classes(seed, rows=80, classes=2)
    by_hand = recall_by_hand(said.probabilities[:, 1], said.truth == 1, fpr)
    assert score(f"recall@{fpr}", said) == pytest.approx(by_hand, abs=1e-12)


def test_recall_at_a_rate_has_a_threshold_for_each_fold():
    truth, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    p = np.array([0.1, 0.2, 0.8, 0.9])  # pooled, the positive of fold 0 is below the negative of fold 1
    said = Predictions(truth, p > 0.5, np.stack([1 - p, p], axis=1), folds)
    assert score("recall@0.01", said) == 1.0


@pytest.mark.parametrize("name", ["recall@5", "recall@x", "recall@0"])
def test_a_rate_that_is_no_share_is_refused(name):
    with pytest.raises(SpecError, match=r"such as recall@0\.01"):
        score(name, of_classes(0, classes=2))


def test_a_recall_of_numbers_is_refused():
    with pytest.raises(SpecError, match=r"'recall@0\.05' is of classes, the predictions are numbers"):
        score("recall@0.05", of_numbers(0))
