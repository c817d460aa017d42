"""Effects and claims on planted rows: held where they were made so, and not held where they were not."""

from types import SimpleNamespace

import pytest

from tests.workbench.families.personality.conftest import planted
from workbench.families.claims import judge
from workbench.families.personality.claims import claims
from workbench.families.personality.summary import damages, effects, instruments, matrix, profile


def run_of(rows):
    tables = {"instruments": instruments(rows, 5)}
    folder = SimpleNamespace(load_table=tables.__getitem__)
    gather = lambda kind: rows if kind == "vector" else rows.iloc[:0]  # noqa: E731
    return SimpleNamespace(gather=gather, folder=folder, spec=SimpleNamespace(readout="texts"))


def held(rows):
    table = judge(claims(), run_of(rows))
    return table.groupby("claim")["held"].all().to_dict(), table


def test_a_vector_that_moves_its_own_trait_most_holds_what_is_claimed():
    found, _ = held(planted(own=1.0, others=0.2, random=0.1, portrait=0.5))
    assert all(found.values())


@pytest.mark.parametrize(
    ("effect", "claim"),
    [
        ({"own": -0.1, "others": 0.0, "random": 0.1}, "a vector moves its own trait"),
        ({"own": 0.3, "others": -0.5, "random": 0.1}, "and its own further than the others"),
        ({"own": 0.3, "others": 0.0, "random": 0.6}, "further than every random direction of equal damage"),
        ({"own": 0.3, "others": 0.0, "random": 0.1, "portrait": 0.9}, "further than the portrait at equal damage"),
    ],
)
def test_a_claim_does_not_hold_where_the_rows_were_made_so(effect, claim):
    found, table = held(planted(**effect))
    assert not found[claim] and not table.loc[table["claim"] == claim, "held"].any()


def test_own_less_others_has_bounds_with_few_items_a_trait():
    _, table = held(planted(own=1.0, others=0.2, random=0.1))
    assert table.loc[table["claim"] == "and its own further than the others", ["low", "high"]].notna().all(axis=None)


def test_an_effect_leaves_out_what_both_ways_do():
    found = effects(planted(own=1.0, others=0.25, random=0.0))
    means = found[found["method"] == "vector"].groupby(["of", "trait"])["effect"].mean()
    assert means["open", "open"] == pytest.approx(1.0, abs=0.03)
    assert means["open", "kind"] == pytest.approx(0.25, abs=0.03)


def test_the_matrix_has_an_interval_a_cell_and_the_ends_of_the_random_ones():
    table = matrix(effects(planted(own=1.0, others=0.0, random=0.2)))
    own = table.query("readout == 'texts' and method == 'vector' and of == 'kind' and trait == 'kind'").iloc[0]
    assert own["estimate"] == pytest.approx(1.0, abs=0.03) and own["low"] < own["estimate"] < own["high"]
    assert own["draws"] == 1
    drawn = table.query("readout == 'texts' and method == 'random' and trait == 'kind'").iloc[0]
    assert drawn["draws"] == 4 and drawn["least"] < -0.1 and drawn["most"] > 0.1


def test_profile_and_damage_are_of_their_rows():
    rows = planted(own=1.0, others=0.0, random=0.0)
    assert set(profile(rows)["trait"]) == {"open", "kind"}
    assert set(damages(rows)["measure"]) == {"kl", "nll"}
