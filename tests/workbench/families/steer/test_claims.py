"""Claims on planted rows: held where the rows were made so, and not held where they were not."""

from types import SimpleNamespace

from tests.workbench.families.steer.conftest import planted
from workbench.families.claims import judge
from workbench.families.steer.claims import claims
from workbench.families.steer.summary import choose, results_table

FAR, NEAR = (-0.4, 0.1, 0.4), (-4.0, 0.0, 4.0)


def verdicts(vector, random, cost=0.1):
    """``held`` by claim and side, for a vector of that effect and random directions of those."""
    effects = {("vector", 0.3, 0): vector, ("vector", -0.3, 0): -vector}
    for name in ("random", "shuffled"):
        effects |= {(name, 0.3, draw): change for draw, change in enumerate(random)}
    damage = {("vector", 0.3): cost, ("vector", -0.3): cost, ("random", 0.3): 0.4, ("shuffled", 0.3): 0.4}
    rows = planted(effects, damage)
    folder = SimpleNamespace(
        read_json=lambda name: dict(zip(("layer", "dose"), choose(rows, 9.0), strict=True)),
        load_table=lambda name: results_table(rows),
    )
    run = SimpleNamespace(folder=folder, gather=lambda kind: rows if kind == "grid" else rows.iloc[:0])
    table = judge(claims(), run)
    return {(claim, on): held for claim, on, held in table[["claim", "on", "held"]].itertuples(index=False)}


def test_a_strong_cheap_vector_holds_them_all():
    found = verdicts(3.0, FAR)
    assert len(found) == 10 and all(found.values())


def test_a_vector_that_does_nothing_holds_none_but_the_damage():
    found = verdicts(0.0, FAR)
    assert {claim for (claim, _), held in found.items() if held} == {
        "for less damage than random directions of its length"
    }


def test_one_random_direction_that_goes_further_is_enough_to_refuse():
    found = verdicts(3.0, NEAR)
    assert found["the vector pushes both ways", "added"]
    assert not found["further than every random direction of its length", "added"]
    assert not found["further than every random direction of its length", "subtracted"]


def test_a_vector_that_points_the_other_way_is_not_held_to_push():
    assert not any(held for (claim, _), held in verdicts(-3.0, FAR).items() if "damage" not in claim)


def test_a_vector_that_costs_more_than_random_is_said():
    found = verdicts(3.0, FAR, cost=1.0)
    assert not found["for less damage than random directions of its length", "added"]
