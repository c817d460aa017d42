"""Claims on planted rows: held where the rows were made so, and not held where they were not."""

from types import SimpleNamespace

from tests.workbench.families.steer.conftest import planted
from workbench.families.claims import judge
from workbench.families.steer.claims import claims
from workbench.families.steer.summary import results_table

FAR, NEAR = (-0.4, 0.1, 0.4), (-4.0, 0.0, 4.0)


def verdicts(vector, random=FAR, **planting):
    """``held`` by claim and side, for a vector of that effect and random directions of those."""
    rows = planted({0.3: vector, -0.3: -vector}, random=random, **planting)
    folder = SimpleNamespace(load_table=lambda name: results_table(rows))
    run = SimpleNamespace(folder=folder, gather=lambda kind: rows if kind == "grid" else rows.iloc[:0])
    table = judge(claims(), run)
    return {(claim, on): held for claim, on, held in table[["claim", "on", "held"]].itertuples(index=False)}


def test_a_strong_vector_holds_them_all():
    found = verdicts(3.0)
    assert len(found) == 12 and all(found.values())


def test_a_vector_that_does_nothing_holds_none():
    assert not any(verdicts(0.0, panel=0.5).values())


def test_one_random_direction_that_goes_further_is_enough_to_refuse():
    found = verdicts(3.0, NEAR)
    assert found["the vector pushes both ways", "added"]
    assert not found["further than every random direction of equal damage", "added"]
    assert not found["further than every random direction of equal damage", "subtracted"]


def test_a_vector_that_points_the_other_way_holds_only_that_it_moves_its_own_concept():
    found = verdicts(-3.0)
    assert {claim for (claim, _), held in found.items() if held} == {"what it moves most of all is its own concept"}


def test_below_random_directions_without_a_push_of_its_own_is_not_further():
    found = verdicts(0.0, random=(1.0, 1.1, 1.2))
    assert not found["further than every random direction of equal damage", "subtracted"]


def test_a_sentence_that_does_more_at_the_same_damage_is_said():
    found = verdicts(3.0, prompt=5.0)
    assert not found["further than a sentence in front, at its damage", "added"]


def test_a_vector_that_moves_another_concept_more_is_said():
    found = verdicts(0.3, random=(-0.2, 0.0, 0.2), panel=5.0)
    assert not found["what it moves most of all is its own concept", "added"]
