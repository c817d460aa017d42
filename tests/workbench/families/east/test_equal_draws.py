"""Entropies of equally many answers, against taking them out one way after another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from workbench.families.east.equal_draws import comparable, entropy_of
from workbench.statistics import plugin_entropy


@pytest.mark.parametrize("counts", [[3, 3], [4, 1, 2], [7, 0, 1], [5, 0]])
@pytest.mark.parametrize("draws", [1, 2, 3, 4])
def test_it_is_the_mean_over_all_ways_to_take_so_many_answers_out(counts: list[int], draws: int) -> None:
    answers = [arm for arm, count in enumerate(counts) for _ in range(count)]
    taken = [np.bincount(way, minlength=len(counts)) for way in combinations(answers, draws)]
    expected = np.mean([plugin_entropy(c) + ((c > 0).sum() - 1) / (2 * draws) for c in taken])
    assert entropy_of(np.array([counts]), draws)[0] == pytest.approx(expected)


def test_rows_with_fewer_valid_answers_than_are_compared_have_none() -> None:
    rows = pd.DataFrame({"n0": [4, 1, 8], "n1": [4, 0, 0], "valid": [1.0, 0.125, 1.0], "entropy": 9.0})
    assert comparable(rows, 8, exact=False)["entropy"].isna().tolist() == [False, True, False]


def test_few_valid_answers_do_not_look_certain() -> None:
    """The mistake it is there against: of an undecided agent, two answers out of eight that parse have half the
    entropy of eight by the plug-in formula, and any number compared has the same here."""
    rng = np.random.default_rng(0)
    many = rng.multinomial(8, [0.5, 0.5], size=4000)
    few = rng.multinomial(5, [0.5, 0.5], size=4000)
    naive = plugin_entropy(many).mean() - plugin_entropy(few).mean()
    fair = entropy_of(many, 4).mean() - entropy_of(few, 4).mean()
    assert naive > 0.03 and abs(fair) < 0.01


def test_exact_entropies_stay_where_half_of_the_probability_lies_on_the_arms() -> None:
    rows = pd.DataFrame({"n0": [0.5, 0.5], "n1": [0.5, 0.5], "valid": [0.6, 0.4], "entropy": [0.69, 0.69]})
    found = comparable(rows, 10, exact=True)["entropy"].tolist()
    assert found[0] == 0.69 and np.isnan(found[1])
