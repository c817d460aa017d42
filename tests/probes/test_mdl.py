"""Online code lengths against sums that can be written down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge

from probes.mdl import FRACTIONS, _block_ends, online_code
from workbench.errors import DataError, SpecError

MIX = 1e-6


class Counting(ClassifierMixin, BaseEstimator):
    """Laplace's rule: (count + 1) / (rows + classes), whatever the features; remembers the rows of each fit."""

    fits: list = []  # noqa: RUF012

    def fit(self, X, y):
        Counting.fits.append(np.sort(X[:, 0]))
        self.classes_, counts = np.unique(y, return_counts=True)
        self.p_ = (counts + 1) / (len(y) + len(counts))
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[self.p_.argmax()])

    def predict_proba(self, X):
        return np.tile(self.p_, (len(X), 1))


class Sure(ClassifierMixin, BaseEstimator):
    """Gives the class in feature 0 a fixed probability and the rest evenly to the others."""

    def __init__(self, p=0.9):
        self.p = p

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[X[:, 0].astype(int)]

    def predict_proba(self, X):
        k = len(self.classes_)
        table = np.full((len(X), k), (1 - self.p) / (k - 1))
        table[np.arange(len(X)), X[:, 0].astype(int)] = self.p
        return table


def test_a_code_of_known_probability_has_the_length_of_its_formula():
    y = np.tile([0, 1, 2, 3], 250)
    code = online_code(Sure(0.9), y[:, None].astype(float), y, np.arange(1000), shuffles=0, first_groups=1)
    first = int(code.blocks["end"][0])
    expected = first * 2 + (1000 - first) * -np.log2((1 - MIX) * 0.9 + MIX / 4)
    line = code.table.iloc[0]
    assert line["codelength"] == pytest.approx(expected, rel=1e-12)
    assert line["uniform"] == 2000
    assert line["compression"] == pytest.approx(2000 / expected, rel=1e-12)
    assert code.blocks["bits"].sum() == pytest.approx(expected, rel=1e-12)


def test_code_of_class_counts_equals_a_loop_over_the_blocks():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 6)
    y, X = np.where(rng.random(600) < 0.2, "no", "yes"), np.arange(600.0)[:, None]
    Counting.fits.clear()
    code = online_code(Counting(), X, y, groups, shuffles=0)
    ends = code.blocks["end"].tolist()
    assert [len(rows) for rows in Counting.fits] == ends[:-1]
    bits, sent = float(ends[0]), Counting.fits
    coded = [*sent[1:], X[:, 0]]
    for before, upto in zip(sent, coded, strict=True):
        block = np.setdiff1d(upto, before).astype(int)
        known = y[before.astype(int)]
        for label in y[block]:
            p = ((known == label).sum() + 1) / (len(known) + 2)
            bits -= np.log2((1 - MIX) * p + MIX / 2)
    assert code.codelength().estimate == pytest.approx(bits, rel=1e-12)
    assert code.codelength().low < bits < code.codelength().high


def test_a_label_held_impossible_costs_a_finite_number_of_bits():
    y = np.tile([0, 1], 100)
    code = online_code(Sure(1.0), 1.0 - y[:, None], y, np.arange(200), shuffles=0)
    first = code.blocks["end"][0]
    assert code.codelength().estimate == pytest.approx(first + (200 - first) * -np.log2(MIX / 2))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2)), min_size=3, max_size=60), st.integers(1, 3))
def test_blocks_end_with_groups_rise_and_start_with_every_class(sizes_and_labels, first_groups):
    sizes, labels = np.array(sizes_and_labels).T
    groups, y = np.repeat(np.arange(len(sizes)), sizes), np.repeat(labels, sizes)
    try:
        ends = _block_ends(y, groups, FRACTIONS, first_groups)
    except DataError as error:
        assert "first block takes all" in str(error)
        return
    assert ends[-1] == len(y)
    assert (np.diff(ends) > 0).all()
    assert all(end == len(y) or groups[end] != groups[end - 1] for end in ends)
    assert set(y[: ends[0]]) == set(y)
    assert len(set(groups[: ends[0]])) >= first_groups


def test_blocks_are_the_papers_where_groups_are_single_rows():
    y = np.tile([0, 1], 5000)
    ends = _block_ends(y, np.arange(10_000), FRACTIONS, 1)
    assert ends == [10, 20, 40, 80, 160, 320, 625, 1250, 2500, 5000, 10_000]


def test_no_fit_sees_a_group_of_the_block_it_codes():
    X, y, groups = np.arange(300.0)[:, None], np.tile([0, 1], 150), np.repeat(np.arange(50), 6)
    Counting.fits.clear()
    online_code(Counting(), X, y, groups, shuffles=0)
    for rows in Counting.fits:
        inside = set(groups[rows.astype(int)])
        assert len(rows) == 6 * len(inside)  # whole groups


def test_easy_labels_are_shorter_than_hard_ones_and_those_than_shuffled_ones():
    rng = np.random.default_rng(1)
    groups, y = np.arange(1200) // 4, rng.integers(0, 2, size=1200)
    easy, hard = (rng.normal(size=(1200, 6)) + gap * y[:, None] for gap in (2.0, 0.4))
    codes = [online_code(LogisticRegression(), X, y, groups) for X in (easy, hard)]
    lengths = [code.codelength() for code in codes] + [codes[1].codelength("shuffled")]
    assert lengths[0].high < lengths[1].low < lengths[1].high < lengths[2].low
    assert lengths[2].estimate > 0.97 * 1200
    assert codes[1].table["compression"].iloc[1] < 1.03


def test_same_seed_same_code_and_another_order_by_another_seed():
    rng = np.random.default_rng(2)
    X, y, groups = rng.normal(size=(200, 3)), rng.integers(0, 2, size=200), np.arange(200) // 5
    codes = [online_code(LogisticRegression(), X, y, groups, seed=seed).table for seed in (1, 1, 2)]
    assert codes[0].equals(codes[1])
    assert codes[0]["codelength"][0] != codes[2]["codelength"][0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"probe": Ridge()}, SpecError, "Ridge is a regressor"),
        ({"y": np.zeros(40)}, DataError, "one class only"),
        ({"groups": np.zeros(40)}, DataError, "first block takes all 40 rows"),
        ({"groups": np.zeros(3)}, DataError, "groups has 3 rows"),
        ({"X": np.full((40, 2), np.nan)}, DataError, "not finite at row 0"),
        ({"fractions": (0.5, 0.1, 1.0)}, SpecError, "must rise"),
        ({"fractions": (0.5,)}, SpecError, "exactly 1"),
        ({"first_groups": 0}, SpecError, "1 or more"),
    ],
)
def test_unusable_input_is_refused_in_one_line(changes, error, message):
    arguments = {
        "probe": LogisticRegression(),
        "X": np.arange(80.0).reshape(40, 2),
        "y": np.arange(40) % 2,
        "groups": np.arange(40) // 2,
    } | changes
    with pytest.raises(error, match=message) as caught:
        online_code(**arguments)
    assert "\n" not in str(caught.value)


def test_a_control_that_was_not_coded_is_named():
    y = np.tile([0, 1], 50)
    code = online_code(Sure(), y[:, None] * 1.0, y, np.arange(100), shuffles=0)
    with pytest.raises(SpecError, match="no control 'shuffled'; valid: none"):
        code.codelength("shuffled")
