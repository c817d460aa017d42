"""The inventory read-out against plain preferences, and the check that says when it cannot measure."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

from steering.conditions import Condition
from steering.readouts import preferences
from workbench.families.personality.instrument import LETTERS, TEXTS, _in_order, _question, looks, read_items
from workbench.families.personality.inventory import Item, read_inventory

ITEMS = read_inventory("short", 2)[:3]


def test_values_are_log_odds_with_the_prior_of_the_same_condition_subtracted(bandit_model):
    conditions = [Condition("unsteered"), Condition("prompt", front="You press Button 1.")]
    rows = read_items(bandit_model, ITEMS, conditions)
    whole = preferences(bandit_model, [_question(bandit_model, item, TEXTS) for item in ITEMS], conditions)
    assert len(rows) == 6 and rows["method"].tolist() == ["unsteered"] * 3 + ["prompt"] * 3
    for number in range(2):
        for place, item in enumerate(ITEMS):
            row = rows[(rows["item"] == place)].iloc[number]
            mean, sides = whole.values[number, place], np.array(item.sides)
            value = logsumexp(mean[sides > 0]) - logsumexp(mean[sides < 0])
            assert row["value"] == pytest.approx(value, abs=1e-4)
            assert row["same"] == (whole.ways[number, place, 0].argmax() == whole.ways[number, place, 1].argmax())


def test_a_reversed_item_counts_the_other_way():
    from workbench.families.personality.instrument import _row

    ways = np.array([[2.0, 0, 0, 0, -2], [1.0, 0, 0, 0, -1]])
    plus, minus = (_row(Item("x", "You y.", key), ways, np.zeros((2, 5))) for key in (1, -1))
    assert plus["value"] == pytest.approx(-minus["value"]) and plus["value"] > 0
    assert plus["level"] == pytest.approx(6 - minus["level"]) and plus["first"] == minus["first"] > plus["second"]


def test_a_letter_of_the_second_order_is_that_of_another_option():
    item = Item("x", "You y.")
    ways = np.arange(10.0).reshape(1, 1, 2, 5)
    assert _in_order(ways, [item], LETTERS)[0, 0].tolist() == [[0, 1, 2, 3, 4], [9, 8, 7, 6, 5]]
    assert _in_order(ways, [item], TEXTS) is ways


def answers(content: float, place: float, n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Answers that follow what an item says by so much, and the place of an option by so much."""
    rng = np.random.default_rng(seed)
    said = content * rng.normal(size=n)
    first, second = said + place + 0.3 * rng.normal(size=n), said - place + 0.3 * rng.normal(size=n)
    return pd.DataFrame({"item": range(n), "first": first, "second": second, "same": (first > 0) == (second > 0)})


def test_answers_by_place_alone_are_not_measurable_and_those_by_content_are():
    assert looks(answers(content=1, place=0), 5)["measurable"]
    assert not looks(answers(content=0, place=3), 5)["measurable"]
    assert not looks(answers(content=0, place=0).assign(second=1.0, same=True), 5)["measurable"]


def test_what_is_the_same_in_both_orders_whatever_is_asked_is_not_measurable():
    """An option that always wins is symmetric, and says nothing of the items."""
    always = answers(content=0, place=0).assign(same=True)
    found = looks(always, 5)
    assert found["symmetry"] == 1 and not found["measurable"]
