"""Paired comparisons of transforms, against scipy and the formula of the effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon

from workbench.errors import DataError
from workbench.worlds.grids.agents.play import episodes_of, play_grids
from workbench.worlds.grids.agents.transforms import compare_transforms, signed_rank
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.oracles import optimal_policy, random_policy
from workbench.worlds.grids.transforms import TRANSFORMS


@given(st.lists(st.integers(-6, 6), max_size=9))  # scipy permutes the signs where ranks are tied, up to 13 of them
@example(list(range(-20, 40)))
def test_the_test_is_scipys_and_the_effect_is_the_formula(values: list[int]) -> None:
    differences = np.array(values) / 10
    kept = differences[differences != 0]
    found = signed_rank(differences)
    assert found.n == len(kept)
    if not len(kept):
        assert np.isnan([found.w, found.p, found.r]).all()
        return
    expected = wilcoxon(kept)
    ranks = rankdata(np.abs(kept).round(9))
    smaller = min(ranks[kept > 0].sum(), ranks[kept < 0].sum())
    assert (found.w, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert found.r == pytest.approx(1 - smaller / ranks.sum() * 2)


def test_the_effect_of_an_example_by_hand() -> None:
    """Ranks of |1, -2, 3, 4| are 1 to 4; the negative one has 2: r = 1 - 2 * 2 / 10."""
    found = signed_rank([1, -2, 3, 4, 0, 0])
    assert (found.w, found.n) == (2, 4) and found.r == pytest.approx(0.6)
    assert signed_rank([1, 2, 3]).r == 1


@pytest.fixture(scope="module")
def played():
    layouts = [make_layout(7, 0.6, seed=seed) for seed in range(30)]
    images = {name: [transform.apply(layout) for layout in layouts] for name, transform in TRANSFORMS.items()}

    def episodes(policy, grids):
        return episodes_of(play_grids(policy, grids, rollouts=3), grids)

    return {
        name: (episodes(policy, layouts), {key: episodes(policy, grids) for key, grids in images.items()})
        for name, policy in (("optimal", optimal_policy), ("random", random_policy))
    }


def test_the_optimal_player_sees_no_difference(played) -> None:
    table = compare_transforms(*played["optimal"])
    assert len(table) == 4 * 3 and set(table["transform"]) == set(TRANSFORMS)
    assert (table[["difference", "low", "high", "differing"]] == 0).all().all() and table["p"].isna().all()


def test_the_random_player_shows_no_effect_and_an_injected_one_is_found(played) -> None:
    original, images = played["random"]
    fair = compare_transforms(original, images)
    assert (fair["p"].dropna() > 0.001).all()  # seeded: nothing is there to be found
    worse = {name: table.assign(accuracy=table["accuracy"] * 0.4) for name, table in images.items()}
    spoilt = compare_transforms(original, worse, metrics=["accuracy"])
    assert (spoilt["difference"] < 0).all() and (spoilt["p"] < 0.01).all() and (spoilt["high"] < 0).all()


def test_pairs_are_means_over_the_rollouts_of_a_layout(played) -> None:
    original, images = played["random"]
    before = original.groupby("layout")["accuracy"].mean()
    after = images["swap"].groupby("layout")["accuracy"].mean()
    row = compare_transforms(original, {"swap": images["swap"]}, ["accuracy"]).iloc[0]
    assert row["difference"] == pytest.approx((after - before).mean()) and row["n"] == 30
    assert row["p"] == pytest.approx(wilcoxon((after - before)[(after - before).abs() > 1e-12]).pvalue)


def test_players_are_compared_apart(played) -> None:
    base = pd.concat([tables[0].assign(player=name) for name, tables in played.items()])
    image = pd.concat([tables[1]["rotate"].assign(player=name) for name, tables in played.items()])
    both = compare_transforms(base, {"rotate": image})
    alone = compare_transforms(played["random"][0], {"rotate": played["random"][1]["rotate"]})
    pd.testing.assert_frame_equal(
        both[both["player"] == "random"].drop(columns="player").reset_index(drop=True), alone.drop(columns="player")
    )


def test_unpaired_layouts_are_refused(played) -> None:
    original, images = played["random"]
    with pytest.raises(DataError, match="'swap'"):
        compare_transforms(original, {"swap": images["swap"][images["swap"]["layout"] > 0]})
    with pytest.raises(DataError, match="finite"):
        signed_rank([1.0, np.nan])
