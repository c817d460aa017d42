"""Evaluation: chance is chance, skill is skill, and nothing is tested on what it was fitted on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from probes.controls import other_rows
from probes.evaluation import evaluate
from probes.folds import group_folds
from probes.metrics import CLASSIFIER_METRICS, REGRESSOR_METRICS
from workbench.activations import ActivationSet, ActivationStore
from workbench.errors import ArtifactError, DataError, SpecError

LDA = LinearDiscriminantAnalysis()
COLUMNS = ["control", "metric", "estimate", "low", "high", "difference", "difference_low", "difference_high"]


def noise(seed: int, n_groups: int = 40, size: int = 10, features: int = 5, classes: int = 2):
    """Features that know nothing of the labels."""
    rng = np.random.default_rng(seed)
    rows = n_groups * size
    return rng.normal(size=(rows, features)), rng.integers(0, classes, size=rows), np.repeat(np.arange(n_groups), size)


def signal(seed: int = 0, n_groups: int = 40, size: int = 10, classes: int = 3, gap: float = 1.0):
    X, y, groups = noise(seed, n_groups, size, classes=classes)
    X[:, :classes] += gap * (y[:, None] == np.arange(classes))
    return X, y, groups


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers, in the class, which rows (feature 0) and groups each fit saw and which rows it was asked about."""

    seen: list = []  # noqa: RUF012
    asked: list = []  # noqa: RUF012

    def fit(self, X, y, groups=None):
        self.classes_ = np.unique(y)
        Recorder.seen.append((set(X[:, 0]), None if groups is None else set(groups)))
        return self

    def predict(self, X):
        Recorder.asked.append(set(X[:, 0]))
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_shuffled_labels_and_pure_noise_score_at_chance():
    probe, shuffled, majority, covered = [], [], [], 0
    for seed in range(20):
        X, y, groups = noise(seed)
        result = evaluate(LDA, X, y, groups, seed=seed, metrics=["accuracy", "auroc"], resamples=400, shuffles=1)
        accuracy = result.interval("accuracy")
        covered += accuracy.low <= 0.5 <= accuracy.high
        probe.append(accuracy.estimate)
        shuffled.append(result.interval("accuracy", "shuffled").estimate)
        majority.append(result.interval("auroc", "majority").estimate)
    for values in (probe, shuffled):
        standard_error = np.std(values) / np.sqrt(20)
        assert abs(np.mean(values) - 0.5) < max(3.5 * standard_error, 0.005)
    assert covered >= 16
    assert majority == [0.5] * 20


def test_a_perfect_probe_is_perfect_and_its_control_is_at_chance():
    rng = np.random.default_rng(1)
    y, groups = rng.integers(0, 2, size=400), np.arange(400) // 10
    X = np.column_stack([y * 20.0 - 10, rng.normal(size=400)])
    result = evaluate(LogisticRegression(), X, y, groups)
    for metric in ("accuracy", "balanced_accuracy", "auroc"):
        interval = result.interval(metric)
        assert (interval.estimate, interval.low, interval.high) == (1, 1, 1)
    assert result.interval("accuracy", "shuffled").estimate == pytest.approx(0.5, abs=0.08)
    assert result.interval("accuracy", "shuffled", difference=True).low > 0.4
    assert result.per_class[["precision", "recall", "f1"]].to_numpy().tolist() == [[1, 1, 1]] * 2


def test_no_fit_sees_a_group_it_is_asked_about_and_groups_reach_fit():
    X, y, groups = noise(2, n_groups=12)
    X[:, 0] = groups
    Recorder.seen.clear(), Recorder.asked.clear()
    evaluate(Recorder(), X, y, groups, folds=4, controls=["shuffled"], shuffles=2)
    assert len(Recorder.seen) == len(Recorder.asked) == 4 * 3
    for (trained, given), asked in zip(Recorder.seen, Recorder.asked, strict=True):
        assert given == trained
        assert not trained & asked
        assert trained | asked == set(range(12))


def test_predictions_are_those_of_scikit_learns_cross_validation():
    X, y, groups = signal()
    names = np.array(["left", "right", "up"])[y]
    fold_of = group_folds(groups, 5, 3, names)
    result = evaluate(LogisticRegression(), X, names, groups, folds=5, seed=3, controls=[])
    theirs = cross_val_predict(LogisticRegression(), X, names, cv=PredefinedSplit(fold_of), method="predict_proba")
    table = result.predictions
    assert list(table.columns) == ["row", "fold", "y", "predicted", "confidence", "p_left", "p_right", "p_up"]
    np.testing.assert_array_equal(table["fold"], fold_of)
    np.testing.assert_array_equal(table["y"], names)
    np.testing.assert_allclose(table[["p_left", "p_right", "p_up"]], theirs)
    np.testing.assert_allclose(table["confidence"], theirs.max(1))
    assert result.interval("accuracy").estimate == accuracy_score(names, table["predicted"])
    assert result.interval("log_loss").estimate == pytest.approx(log_loss(names, theirs))
    assert result.calibration["rows"].sum() == len(y)
    assert result.per_class["support"].tolist() == np.bincount(y).tolist()


def test_table_has_a_row_for_every_control_and_metric():
    X, y, groups = signal()
    result = evaluate(LDA, X, y, groups, control_features={"untrained": np.random.default_rng(0).normal(size=X.shape)})
    assert list(result.table.columns) == COLUMNS
    pairs = list(zip(result.table["control"], result.table["metric"], strict=True))
    assert pairs == [(c, m) for c in ("none", "majority", "shuffled", "untrained") for m in CLASSIFIER_METRICS]
    own = result.table[result.table["control"] == "none"]
    assert own[["difference", "difference_low", "difference_high"]].isna().all(axis=None)
    assert own[["estimate", "low", "high"]].notna().all(axis=None)
    others = result.table[result.table["control"] != "none"]
    assert others.notna().all(axis=None)
    bounded = (others["difference_low"] <= others["difference"]) & (others["difference"] <= others["difference_high"])
    assert bounded[others["metric"] != "ece"].all()  # the bootstrap of an absolute value is biased upward


def test_difference_is_paired_so_a_probe_does_not_differ_from_itself():
    X, y, groups = signal()
    result = evaluate(LDA, X, y, groups, controls=[], control_features={"itself": X})
    for metric in CLASSIFIER_METRICS:
        difference = result.interval(metric, "itself", difference=True)
        assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)


def test_intervals_are_wider_by_group_than_by_row_when_a_groups_rows_are_copies():
    rng = np.random.default_rng(5)
    y, groups = rng.integers(0, 2, size=40).repeat(16), np.arange(40).repeat(16)
    X = (rng.normal(size=(40, 3)) + rng.integers(0, 2, size=(40, 1))).repeat(16, axis=0)
    settings = {"metrics": ["accuracy", "log_loss", "auroc"], "controls": []}
    by_group = evaluate(LDA, X, y, groups, **settings)
    by_row = evaluate(LDA, X, y, groups, clusters=np.arange(640), **settings)
    for metric in settings["metrics"]:
        wide, narrow = by_group.interval(metric), by_row.interval(metric)
        assert wide.estimate == narrow.estimate
        assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(4, rel=0.25)  # sqrt(16)


def test_holdout_tests_one_share_of_the_groups():
    X, y, groups = signal()
    result = evaluate(LDA, X, y, groups, folds=None, holdout=0.2, controls=["majority"])
    rows = result.predictions["row"].to_numpy()
    assert len(rows) == 80
    assert len(set(groups[rows])) == 8
    fitted = LinearDiscriminantAnalysis().fit(np.delete(X, rows, axis=0), np.delete(y, rows))
    np.testing.assert_allclose(result.predictions[["p_0", "p_1", "p_2"]], fitted.predict_proba(X[rows]))


def test_folds_may_be_given_but_not_split_a_group():
    X, y, groups = signal()
    fold_of = groups % 4
    result = evaluate(LDA, X, y, groups, folds=fold_of, controls=[])
    np.testing.assert_array_equal(result.predictions["fold"], fold_of)
    with pytest.raises(DataError, match="folds split group 0"):
        evaluate(LDA, X, y, groups, folds=np.arange(len(y)) % 4, controls=[])
    with pytest.raises(DataError, match="class 2 occurs in fold 0 only"):
        evaluate(LDA, X, np.where(fold_of == 0, y, y % 2), groups, folds=fold_of, controls=[])
    with pytest.raises(DataError, match="one fold only"):
        evaluate(LDA, X, y, groups, folds=np.zeros(len(y)), controls=[])


def test_regression_beats_the_mean_and_shuffled_targets():
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(300, 4)), np.arange(300) // 6
    y = X @ [1.0, -2.0, 0.5, 0.0] + 0.3 * rng.normal(size=300)
    result = evaluate(Ridge(), X, y, groups)
    assert list(dict.fromkeys(result.table["metric"])) == list(REGRESSOR_METRICS)
    assert result.interval("r2").low > 0.9
    assert result.interval("r2", "majority").estimate == pytest.approx(0, abs=0.03)
    assert result.interval("spearman", "majority").estimate == 0
    assert result.interval("r2", "shuffled").estimate < 0.02
    assert result.interval("mae", "majority", difference=True).high < 0
    assert list(result.predictions.columns) == ["row", "fold", "y", "predicted"]
    assert len(result.per_class) == 0


def test_other_groups_rows_and_random_features_carry_no_skill():
    X, y, groups = signal(gap=4.0)
    result = evaluate(
        LDA, X, y, groups, controls=["random_features"], control_features={"other grids": X[other_rows(groups)]}
    )
    assert result.interval("accuracy").low > 0.9
    for control in ("random_features", "other grids"):
        assert result.interval("accuracy", control).estimate == pytest.approx(1 / 3, abs=0.09)


def test_a_probe_that_memorises_types_has_no_selectivity():
    """Features name the type; labels are a function of the type: the control task is as easy as the task."""
    rng = np.random.default_rng(0)
    types, groups = rng.integers(0, 8, size=600), np.arange(600) // 10
    X, y = np.eye(8)[types], types % 2
    result = evaluate(LogisticRegression(C=100), X, y, groups, controls=[], types=types, metrics=["accuracy"])
    assert result.interval("accuracy").estimate == 1
    assert abs(result.interval("accuracy", "control_task", difference=True).estimate) < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_what_arrays_give(dtype):
    X, y, groups = signal()
    X = X.astype(np.float32)
    ours = evaluate(LDA, torch.from_numpy(X).to(dtype), torch.from_numpy(y), groups, controls=[])
    theirs = evaluate(LDA, X.astype(str(dtype).split(".")[1]), y, groups, controls=[])
    # Two libraries solve the same least squares: their sums over rows may differ by
    # rows x precision x condition number.
    tolerance = len(X) * np.linalg.cond(X) * torch.finfo(dtype).eps
    np.testing.assert_allclose(ours.predictions["confidence"], theirs.predictions["confidence"], rtol=tolerance)


def test_same_seed_same_table_and_the_probe_given_stays_unfitted():
    X, y, groups = signal()
    probe = LinearDiscriminantAnalysis()
    first, second = (evaluate(probe, X, y, groups, seed=4, resamples=100) for _ in range(2))
    assert first.table.equals(second.table)
    assert not hasattr(probe, "coef_")


def test_one_cluster_has_estimates_but_no_bounds():
    X, y, groups = signal()
    result = evaluate(LDA, X, y, groups, clusters=np.zeros(len(y)), metrics=["accuracy"])
    assert result.table["estimate"].notna().all()
    assert result.table[["low", "high", "difference_low", "difference_high"]].isna().all(axis=None)


def broken(**changes):
    X, y, groups = signal()
    arguments = {"probe": LDA, "X": X, "y": y, "groups": groups} | changes
    return lambda: evaluate(**arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (broken(X=np.empty((0, 3))), DataError, "at least one of each"),
        (broken(X=signal()[0][:-1]), DataError, "X has 399 rows and y has 400"),
        (broken(X=np.where(np.arange(400)[:, None] == 7, np.nan, signal()[0])), DataError, "not finite at row 7"),
        (broken(X=torch.full((400, 2), float("inf"))), DataError, "not finite at row 0"),
        (broken(groups=np.arange(399)), DataError, "groups has 399 rows"),
        (broken(groups=np.arange(400) % 3), DataError, "5 folds of 3 groups"),
        (broken(y=np.zeros(400, dtype=int)), DataError, "one class only"),
        (broken(y=np.where(np.arange(400) < 5, 9, signal()[1])), DataError, "class 9 of y occurs in 1 of 40 groups"),
        (broken(clusters=[0]), DataError, "clusters has 1 rows"),
        (broken(control_features={"untrained": np.zeros((3, 2))}), DataError, r"control_features\['untrained'\] has 3"),
        (broken(control_features={"none": signal()[0]}), SpecError, "may not be named 'none'"),
        (broken(controls=["shufled"]), SpecError, "did you mean 'shuffled'"),
        (broken(controls="majority"), DataError, "controls must be a list, not 'majority'"),
        (broken(controls=["control_task"]), SpecError, "needs types="),
        (broken(metrics=["f2"]), SpecError, "unknown metric 'f2'"),
        (broken(shuffles=0), SpecError, "shuffles of control .* must be an integer of at least 1"),
        (broken(probe=RidgeClassifier()), SpecError, "RidgeClassifier has no predict_proba"),
        (
            broken(probe=Ridge(), metrics=["accuracy"]),
            SpecError,
            "'accuracy' is of classes, the predictions are numbers",
        ),
        (broken(metrics=["r2"]), SpecError, "'r2' is of numbers, the predictions are classes: use accuracy"),
        (broken(metrics="accuracy"), DataError, "metrics must be a list, not 'accuracy'"),
        (broken(resamples=0), SpecError, "resamples must be an integer of at least 1, not 0"),
        (broken(resamples=1.5), SpecError, "resamples must be an integer of at least 1, not 1.5"),
        (broken(X=signal()[0].astype(str)), DataError, "X must be numbers, not <U"),
        (broken(X=signal()[0].astype(object)), DataError, "X must be numbers, not object"),
        (broken(X=["a text"] * 400), DataError, r"\[rows, features\]"),
        (broken(y=["a", 1] * 200), DataError, "y: numbers and text are mixed"),
        (broken(y=["a", None] * 200), DataError, "y: row 1 is missing"),
        (broken(y=["a", np.nan] * 200), DataError, "y: row 1 is missing"),
        (broken(y=np.arange(400) / 2), DataError, "y holds 0.5, no class, and Linear"),
        (broken(y=signal()[1][:, None]), DataError, r"y: give one label a row, \[rows\] .* not \[400, 1\]"),
        (broken(y=np.zeros(400), folds=signal()[2] % 4), DataError, "one class only"),
        (broken(probe=Ridge(), y=["a", "b"] * 200), DataError, "a regressor needs numbers"),
        (broken(groups=None), SpecError, "evaluate takes X, y and groups"),
        (broken(groups=["a", np.nan] * 200), DataError, "groups: row 1 is missing"),
        (broken(probe="logistic"), SpecError, "'logistic' is no estimator"),
        (broken(probe=LinearDiscriminantAnalysis), SpecError, "is no estimator"),
        (broken(probe=object()), SpecError, "neither a scikit-learn classifier nor a regressor"),
    ],
)
def test_unusable_input_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_line_that_is_not_in_the_table_is_named():
    X, y, groups = signal()
    result = evaluate(LDA, X, y, groups, controls=[], resamples=50)
    with pytest.raises(SpecError, match="did you mean 'auroc'"):
        result.interval("auroq")
    with pytest.raises(SpecError, match="no control 'majority'"):
        result.interval("auroc", "majority")


# ---- activation sets


@pytest.fixture
def read():
    """A set at two sites; the label ``side`` is missing in every seventh row, ``episode`` holds the groups."""
    X, y, groups = signal(classes=2)
    side = pd.Series(np.array(["left", "right"])[y], dtype=object)
    side[::7] = None
    labels = {"side": side, "number": X[:, 0], "episode": groups, "token": y % 3}
    x = torch.from_numpy(X).float()
    return ActivationSet({"1.resid_post": x, "2.resid_post": x * 0}, labels, "episode", "model-a")


def test_a_set_gives_what_its_labelled_rows_give(read, tmp_path):
    kept = np.flatnonzero(np.arange(400) % 7)
    X, y, groups = read.numpy(1)[kept], read.labels["side"][kept], read.groups[kept]
    untrained = np.random.default_rng(0).normal(size=(400, 5))
    settings = {"shuffles": 1, "resamples": 50}
    expected = evaluate(LDA, X, y, groups, types=y, control_features={"untrained": untrained[kept]}, **settings)
    read.save(tmp_path / "s")
    for source in (read, ActivationStore(tmp_path / "s")):
        with pytest.warns(UserWarning, match="58 of 400 rows have no label 'side'"):
            ours = evaluate(
                LDA, source, site=1, target="side", types="side", control_features={"untrained": untrained}, **settings
            )
        pd.testing.assert_frame_equal(ours.table, expected.table)
        np.testing.assert_array_equal(ours.predictions["row"], kept)


def test_controls_clusters_and_folds_of_a_set_are_those_of_its_rows(read):
    twin = ActivationSet({"1.resid_post": read["1.resid_post"] * 2}, read.labels, "episode")
    kept = np.flatnonzero(np.arange(400) % 7)
    X, y, groups = read.numpy(1)[kept], read.labels["side"][kept], read.groups[kept]
    folds, settings = read.groups % 4, {"controls": (), "resamples": 50, "metrics": ["accuracy"]}
    features = {"twin": 2 * X}
    clusters = read.labels["token"][kept]
    expected = evaluate(LDA, X, y, groups, folds=folds[kept], clusters=clusters, control_features=features, **settings)
    with pytest.warns(UserWarning, match="no label"):
        ours = evaluate(
            LDA, read, site=1, target="side", folds=folds, clusters="token", control_features={"twin": twin}, **settings
        )
    pd.testing.assert_frame_equal(ours.table, expected.table)


def test_a_set_that_is_not_said_how_to_read_is_refused_in_one_line(read):
    other = ActivationSet({"1.resid_post": read["1.resid_post"]}, read.labels.assign(number=0.0), "episode")
    for changes, message in (
        ({"target": "number"}, "site= is needed: one of blocks.1.hook_resid_post, blocks.2"),
        ({"site": 1}, "target= is needed: one of the labels side, number, episode, token"),
        ({"site": 1, "target": "sid"}, "no column 'sid'; did you mean 'side'"),
        ({"site": 1, "target": "number", "groups": "episode"}, "give site= and target= alone"),
        ({"site": 1, "target": "number", "clusters": "episod"}, "no column 'episod'; did you mean 'episode'"),
        ({"site": 1, "target": "number", "clusters": [1, 2]}, r"shape \[2\] for 400 rows"),
        ({"site": 1, "target": "number", "control_features": {"other": other}}, "other labels 'number'"),
    ):
        with pytest.raises((DataError, SpecError), match=message) as caught:
            evaluate(Ridge(), read, **changes)
        assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match="X, y and groups, or an activation set"):
        evaluate(LDA, read.numpy(1), site=1, target="side")


# ---- labels and features as they come


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(["b", "a"] * 200, index=np.arange(400)[::-1]),
        pd.Series(["b", "a"] * 200, dtype="category"),
        pd.Series([1, 0] * 200, dtype="Int64"),
        [1.0, 0.0] * 200,
        [True, False] * 200,
        np.array(["b", "a"] * 200, dtype=object),
        torch.tensor([1, 0] * 200),
    ],
)
def test_labels_of_any_kind_are_the_same_labels(y):
    X, _, groups = noise(0)
    settings = {"controls": (), "resamples": 20}
    plain = evaluate(LDA, X, np.array([1, 0] * 200), groups, **settings)
    pd.testing.assert_frame_equal(evaluate(LDA, X, y, pd.Series(groups), **settings).table, plain.table)


def test_features_may_be_half_precision_or_need_gradients():
    X, y, groups = signal()
    half = torch.from_numpy(X).to(torch.bfloat16)
    plain = evaluate(LDA, half.float().numpy(), y, groups, controls=(), resamples=20)
    for features in (half, half.float().requires_grad_()):
        found = evaluate(LDA, features, y, groups, controls=(), resamples=20)
        pd.testing.assert_frame_equal(found.table, plain.table)


def test_a_probe_tested_on_other_rows_is_fitted_to_all_of_its_own_and_to_none_of_them():
    X, y, groups = signal(1, n_groups=20)
    far, far_y, far_groups = signal(2, n_groups=10)
    result = evaluate(LDA, X, y, groups, test=(far, far_y, far_groups), resamples=200)
    assert len(result.predictions) == len(far)
    assert result.interval("accuracy").estimate == accuracy_score(far_y, LDA.fit(X, y).predict(far))
    Recorder.seen, Recorder.asked = [], []
    evaluate(Recorder(), X, y, groups, test=(far, far_y, far_groups), controls=(), resamples=20)
    assert Recorder.asked == [set(far[:, 0])] and Recorder.seen[0][0] == set(X[:, 0])
    assert not Recorder.seen[0][1] & set(range(20, 30))


def test_what_does_not_carry_over_scores_at_chance_and_so_does_the_shuffled_control():
    X, y, groups = signal(1, classes=2)
    far, far_y, far_groups = noise(3)
    result = evaluate(LDA, X, y, groups, test=(far, far_y, far_groups), metrics=["auroc"], resamples=400)
    carried = result.interval("auroc")
    assert carried.low < 0.5 < carried.high
    assert abs(result.interval("auroc", "shuffled").estimate - 0.5) < 0.1
    assert evaluate(LDA, X, y, groups, metrics=["auroc"], resamples=50).interval("auroc").estimate > 0.7


def test_sets_are_tested_on_sets_at_the_same_site():
    X, y, groups = signal(1, n_groups=10, classes=2)
    one, other = (ActivationSet({"1.resid_post": X[k::2]}, {"y": y[k::2]}, groups[k::2]) for k in (0, 1))
    result = evaluate(LDA, one, target="y", test=other, metrics=["accuracy"], resamples=20)
    assert result.interval("accuracy").estimate == LDA.fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    ours, theirs = replace(one, fingerprint="a"), replace(other, fingerprint="b")
    with pytest.raises(ArtifactError, match="the set of test= belongs to another model"):
        evaluate(LDA, ours, target="y", test=theirs)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (np.zeros((4, 5)), r"\(X, y, groups\)"),
        ((np.zeros((4, 2)), [0, 1, 0, 1], range(4)), r"rows of \[5\] and X of test of \[2\]"),
        ((np.zeros((4, 5)), [0, 1, 0, 7], range(4)), "class 7 of test is not in y"),
    ],
)
def test_rows_that_cannot_be_tested_on_are_refused(test, said):
    with pytest.raises(DataError, match=said):
        evaluate(LDA, *signal(1, n_groups=10), test=test)
