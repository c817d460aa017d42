"""Scores from anywhere: how many positives are found at a few false positives, with intervals."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from probes import auroc_of, recall_at
from probes.metrics import Predictions, resampled, score
from workbench.errors import DataError, SpecError


def scores(n=400, gap=2.0, seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.5
    return rng.normal(size=n) + gap * positive, positive


def test_both_are_the_metrics_of_the_same_names_with_their_intervals():
    found, positive = scores()
    clusters = np.arange(400) // 4
    p = (found - found.min()) / np.ptp(found)
    said = Predictions(positive, p > 0.5, np.stack([1 - p, p], axis=1))
    for interval, name in ((recall_at(p, positive, 0.05, clusters), "recall@0.05"),
                           (auroc_of(p, positive, clusters), "auroc")):  # fmt: skip
        drawn = resampled(name, said, clusters)
        assert interval.estimate == pytest.approx(score(name, said), abs=1e-12)
        assert [interval.low, interval.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-12)
    assert auroc_of(found, positive).estimate == pytest.approx(roc_auc_score(positive, found))


def test_recall_of_a_known_gap_is_the_normal_tail():
    """Negatives N(0, 1), positives N(2, 1): at 5% false positives the threshold is 1.645, the recall .639."""
    found, positive = scores(40_000)
    assert recall_at(found, positive, 0.05, resamples=20).estimate == pytest.approx(0.639, abs=0.015)


def test_noise_finds_about_as_many_positives_as_it_takes_negatives():
    found, positive = scores(20_000, gap=0)
    assert recall_at(found, positive, 0.05, resamples=20).estimate == pytest.approx(0.05, abs=0.01)


def test_few_negatives_allow_none_to_be_taken_for_positive():
    assert recall_at([1, 2, 3, 2.5, 4, 5], [0, 0, 0, 1, 1, 1], 0.01, resamples=20).estimate == pytest.approx(2 / 3)


def test_what_cannot_be_judged_is_said_in_one_line():
    with pytest.raises(DataError, match="all rows are of one kind"):
        recall_at([1.0, 2.0], [True, True])
    with pytest.raises(SpecError, match="between 0 and 1"):
        recall_at([1.0, 2.0], [True, False], fpr=5)
    with pytest.raises(DataError, match="finite"):
        auroc_of([1.0, np.nan], [True, False])
