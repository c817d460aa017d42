"""Tables of planted rows hold what was planted; ranges and the chosen cell look at items for choosing only."""

import numpy as np
import pytest

from tests.workbench.families.steer.conftest import ITEMS, TEXTS, planted
from workbench.families.steer import SteerSpec
from workbench.families.steer.summary import cells, choose, kl_of, paired, results_table, ship_ranges

SPEC = SteerSpec(model="bandit-agent", max_damage=0.5, max_incoherence=1.0)
EFFECTS = {0.1: 1.0, 0.3: 2.0, 0.6: 5.0, -0.1: -1.0, -0.3: -2.0, -0.6: 0.5}
COSTS = {0.6: 2.0}


def test_a_cell_passes_that_pushes_cheaply_and_stays_readable():
    grid = cells(planted(EFFECTS, COSTS, coherence={-0.3: -3.0}), SPEC).set_index("dose")
    assert grid["passes"].to_dict() == {0.1: True, 0.3: True, 0.6: False, -0.1: True, -0.3: False, -0.6: False}
    assert grid.loc[-0.1, "estimate"] == pytest.approx(1.0, abs=0.1), "signed so that above 0 is as intended"
    assert grid.loc[0.6, "nll"] == pytest.approx(2.0) and grid.loc[-0.3, "coherence"] == pytest.approx(-3.0)


def test_a_ship_range_is_the_doses_in_a_row_that_pass():
    found = ship_ranges(cells(planted(EFFECTS, COSTS), SPEC)).set_index("side")
    assert tuple(found.loc["up", ["low", "high", "doses"]]) == (0.1, 0.3, 2)
    assert tuple(found.loc["down", ["low", "high", "doses"]]) == (-0.1, -0.3, 2)
    gap = {0.1: 1.0, 0.3: 2.0, 0.6: 5.0}
    assert ship_ranges(cells(planted(gap, {0.3: 2.0}), SPEC)).iloc[0]["high"] == 0.1, "a dose beyond a gap is out"


def test_the_chosen_cell_pushes_furthest_of_those_that_pass_and_the_cheapest_where_none_does():
    assert choose(planted(EFFECTS, COSTS), SPEC)[:2] == (2, 0.3)
    assert choose(planted(EFFECTS), SPEC)[:2] == (2, 0.6)
    nothing = choose(planted(EFFECTS, dict.fromkeys(EFFECTS, 3.0) | {0.1: 1.0}), SPEC)
    assert nothing[:2] == (2, 0.1) and not nothing.passes
    assert choose(planted(EFFECTS, COSTS), SPEC).kl == pytest.approx(0.1)


def test_the_choice_looks_at_no_test_item():
    rows = planted(EFFECTS, COSTS)
    changed = rows.copy()
    changed.loc[rows["set"] == "test", "value"] = np.random.default_rng(1).normal(size=(rows["set"] == "test").sum())
    assert choose(changed, SPEC) == choose(rows, SPEC)


def test_results_are_changes_on_test_items_with_intervals_and_the_spread_over_draws():
    rows = planted(EFFECTS, COSTS, random=(-1.0, 0.0, 1.0))
    rows.loc[(rows["set"] == "choose") & (rows["measure"] == "effect"), "value"] = 99.0
    table = results_table(rows).set_index(["method", "side", "dose", "measure"])
    own = table.loc[("vector", "up", 0.3, "effect")]
    assert own["estimate"] == pytest.approx(2.0, abs=0.1) and own["low"] < own["estimate"] < own["high"]
    assert own["high"] - own["low"] < 0.3, "paired: what items differ in does not widen it"
    assert own["items"] == ITEMS["test"] and table.loc[("vector", "up", 0.3, "nll")]["items"] == TEXTS / 2
    drawn = table.xs(("random", "effect"), level=("method", "measure")).iloc[0]
    assert (drawn["draws"], drawn["spread"]) == (3, pytest.approx(1.0, abs=0.1))
    assert (drawn["least"], drawn["most"]) == (pytest.approx(-1, abs=0.1), pytest.approx(1, abs=0.1))
    assert np.isnan(own["spread"]) and own["mass"] == pytest.approx(0.1)


def test_items_that_move_against_the_direction_are_counted():
    rows = planted({0.3: 2.0, -0.3: 2.0})
    own = (rows["method"] == "vector") & (rows["measure"] == "effect") & (rows["item"] < 2) & (rows["dose"] > 0)
    rows.loc[own, "value"] -= 9.0
    table = results_table(rows).set_index(["method", "side", "measure"])
    assert table.loc[("vector", "up", "effect")]["wrong_way"] == 2 / ITEMS["test"]
    assert table.loc[("vector", "down", "effect")]["wrong_way"] == 1.0


def test_a_pair_of_conditions_is_compared_item_by_item():
    rows = planted(EFFECTS, COSTS)
    gap = paired(rows, {"method": "vector", "dose": 0.3}, {"method": "random"}, "effect")
    assert gap.estimate == pytest.approx(2.0, abs=0.1) and gap.high - gap.low < 0.3
    assert kl_of(rows, "prompt", "down") == pytest.approx(0.2)
