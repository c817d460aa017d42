"""Tables of planted rows hold what was planted, with the pairing that makes noise between prompts irrelevant."""

import numpy as np
import pytest

from tests.workbench.families.steer.conftest import PROMPTS, TEXTS, planted
from workbench.families.steer.summary import choose, paired, results_table

EFFECTS = {("vector", 0.3, 0): 2.0, ("vector", 0.6, 0): 5.0, ("vector", -0.3, 0): -2.0}
EFFECTS |= {("random", 0.3, draw): change for draw, change in enumerate((-1.0, 0.0, 1.0))}
DAMAGE = {("vector", 0.3): 0.1, ("vector", 0.6): 2.0, ("vector", -0.3): 0.1, ("random", 0.3): 0.4}


def test_the_dose_that_costs_too_much_is_not_chosen():
    assert choose(planted(EFFECTS, DAMAGE), max_damage=0.5) == (2, 0.3)
    assert choose(planted(EFFECTS, DAMAGE), max_damage=3.0) == (2, 0.6)
    assert choose(planted(EFFECTS, DAMAGE), max_damage=0.01) == (2, 0.3), "the cheapest"


def test_the_choice_looks_at_no_test_prompt():
    rows = planted(EFFECTS, DAMAGE)
    rows.loc[rows["set"] == "test", "value"] = np.random.default_rng(1).normal(size=(rows["set"] == "test").sum())
    assert choose(rows, max_damage=0.5) == choose(planted(EFFECTS, DAMAGE), max_damage=0.5)


def test_results_are_changes_from_the_same_texts_with_intervals_and_the_spread_over_draws():
    table = results_table(planted(EFFECTS, DAMAGE)).set_index(["method", "dose", "measure"])
    own = table.loc[("vector", 0.3, "effect")]
    assert own["estimate"] == pytest.approx(2.0, abs=0.1) and own["low"] < own["estimate"] < own["high"]
    assert own["high"] - own["low"] < 0.3, "paired: what prompts differ in does not widen it"
    assert own["texts"] == PROMPTS and table.loc[("vector", 0.3, "damage")]["texts"] == TEXTS
    assert table.loc[("vector", 0.6, "damage")]["estimate"] == pytest.approx(2.0, abs=0.1)
    drawn = table.loc[("random", 0.3, "effect")]
    assert (drawn["draws"], drawn["spread"]) == (3, pytest.approx(1.0, abs=0.1))
    assert (drawn["least"], drawn["most"]) == (pytest.approx(-1, abs=0.1), pytest.approx(1, abs=0.1))
    assert np.isnan(own["spread"])


def test_a_pair_of_conditions_is_compared_text_by_text():
    rows = planted(EFFECTS, DAMAGE)
    gap = paired(rows, {"method": "vector", "dose": 0.3}, {"method": "random", "dose": 0.3}, "effect")
    assert gap.estimate == pytest.approx(2.0, abs=0.1) and gap.high - gap.low < 0.3
