"""Behaviour measures on episodes made by hand, and their bounds on any episode."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import DataError, SpecError
from workbench.statistics import cluster_bootstrap
from workbench.worlds.bandits import GaussianBandit, play
from workbench.worlds.bandits.agents.behaviour import (
    MEASURES,
    _greedy,
    by_step,
    commitment_time,
    greedy_rate,
    mean_entropy,
    minimum_arm_fraction,
    regret,
    suffix_failure,
    summarise,
    total_regret,
    total_reward,
)
from workbench.worlds.episode_table import order_episodes


def episode(arms, rewards=None, means=(95.0, 105.0), number=0, **columns):
    steps = np.arange(len(arms))
    rewards = [means[a] for a in arms] if rewards is None else rewards
    table = pd.DataFrame({"episode": number, "step": steps, "arm": arms, "reward": np.asarray(rewards, dtype=float)})
    return table.assign(**{f"mean{k}": mean for k, mean in enumerate(means)}, **columns)


@st.composite
def tables(draw):
    """Up to four episodes of different lengths, rows shuffled, one to three arms used of three."""
    pieces = []
    for number in range(draw(st.integers(1, 4))):
        arms = draw(st.lists(st.integers(0, 2), min_size=1, max_size=12))
        rewards = draw(st.lists(st.integers(-3, 3), min_size=len(arms), max_size=len(arms)))
        means = draw(st.tuples(*[st.integers(0, 3).map(float)] * 3))
        pieces.append(episode(arms, rewards, means, number, entropy=draw(st.floats(0, np.log(3)))))
    table = pd.concat(pieces, ignore_index=True)
    return table.sample(frac=1, random_state=draw(st.integers(0, 99)))


def test_regret_and_reward_of_a_hand_made_episode():
    table = episode([0, 1, 1, 0], rewards=[90, 100, 110, 101])
    assert total_regret(table).tolist() == [20] and total_reward(table).tolist() == [401]
    with_column = table.drop(columns=["mean0", "mean1"]).assign(regret=[10.0, 0.0, 0.0, 10.0])
    assert total_regret(with_column).tolist() == [20]


def test_greedy_rate_uses_the_rewards_before_each_choice_and_only_tried_arms():
    # t=1: only arm 0 is known, so arm 1 is not greedy; t=2: 90 < 100, arm 0 is not; t=3: averages 95 < 100, arm 1 is;
    # t=4: arm 1 fell to (100 + 80) / 2 = 90 < 95, so arm 0 is.
    table = episode([0, 1, 0, 1, 0], rewards=[90, 100, 100, 80, 50])
    greedy = _greedy(order_episodes(table, ()))
    assert greedy.tolist()[1:] == [0, 0, 1, 1] and np.isnan(greedy[0])
    assert greedy_rate(table).tolist() == [0.5]


def test_any_arm_of_a_tie_is_greedy():
    # The average of three times 0.1 is 0.10000000000000002 in floating point.
    table = episode([0, 0, 0, 1, 1, 0], rewards=[0.1, 0.1, 0.1, 0.1, 0.1, 0])
    assert _greedy(order_episodes(table, ())).tolist()[4:] == [1, 1]


def test_greedy_oracle_has_a_greedy_rate_of_all_but_the_trials():
    table = play("greedy", GaussianBandit(), range(10))
    assert np.allclose(greedy_rate(table), 48 / 49)


def test_suffix_failure_looks_from_the_given_step_on():
    table = episode([1, 0, 0, 1, 0, 0])
    outcomes = [suffix_failure(table, after=t).iloc[0] for t in range(6)]
    assert outcomes == [0, 0, 0, 0, 1, 1]
    assert suffix_failure(table).tolist() == [0.0]  # half of six steps: from t = 3
    assert np.isnan(suffix_failure(table, after=6).iloc[0])


def test_suffix_failure_knows_the_best_arm_from_means_regret_or_best_arm():
    means = episode([1, 0, 0, 0])
    bare = means.drop(columns=["mean0", "mean1"])
    for table in (means, bare.assign(best_arm=1), bare.assign(regret=[0.0, 10.0, 10.0, 10.0])):
        assert suffix_failure(table).tolist() == [1.0] and suffix_failure(table, after=0).tolist() == [0.0]


def test_with_equal_means_no_suffix_fails_and_nothing_is_regretted():
    table = episode([1, 1, 1, 1], means=(100.0, 100.0), best_arm=0)
    assert suffix_failure(table).tolist() == [0.0] and total_regret(table).tolist() == [0.0]


def test_minimum_arm_fraction_of_hand_made_episodes():
    assert minimum_arm_fraction(episode([0, 1, 0, 1])).tolist() == [1.0]
    assert minimum_arm_fraction(episode([0, 0, 0, 1])).tolist() == [0.5]
    assert minimum_arm_fraction(episode([0, 0, 0, 1], means=(1.0, 2.0, 3.0))).tolist() == [0.0]
    assert minimum_arm_fraction(episode([1, 1])).tolist() == [0.0]


def test_minimum_arm_fraction_counts_the_arms_of_each_episode():
    mixed = pd.concat([episode([0, 1], number=1), episode([0, 1, 2], means=(1.0, 2.0, 3.0), number=0)])
    assert minimum_arm_fraction(mixed).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("arms", "time"), [([1, 1, 1], 0), ([0, 1, 1], 1), ([0, 1, 0], 2), ([0, 1, 0, 0, 1, 1], 4), ([1], 0)]
)
def test_commitment_time_is_the_first_step_without_a_later_switch(arms, time):
    assert commitment_time(episode(arms)).tolist() == [time]


@settings(max_examples=25, deadline=None)
@given(tables())
def test_measures_are_within_their_bounds(table):
    length = table.groupby("episode").size()
    assert (total_regret(table) >= 0).all()
    assert ((commitment_time(table) >= 0) & (commitment_time(table) <= length - 1)).all()
    assert minimum_arm_fraction(table).between(0, 1).all()
    assert greedy_rate(table)[length > 1].between(0, 1).all() and greedy_rate(table)[length == 1].isna().all()
    assert suffix_failure(table).isin([0, 1]).all()
    assert mean_entropy(table).between(0, np.log(3) + 1e-12).all()
    assert np.allclose(regret(table).groupby(table["episode"]).sum(), total_regret(table))


@settings(max_examples=15, deadline=None)
@given(tables(), st.integers(0, 99))
def test_the_order_of_rows_and_their_index_do_not_matter(table, seed):
    shuffled = table.sample(frac=1, random_state=seed).set_axis([7] * len(table))
    for name, measure in MEASURES.items():
        pd.testing.assert_series_equal(measure(table, ()), measure(shuffled, ()), obj=name)
    left, right = (_greedy(order_episodes(each, ())) for each in (table, shuffled))
    assert np.array_equal(left, right, equal_nan=True)


@settings(max_examples=12, deadline=None)
@given(tables())
def test_an_episode_is_measured_alike_alone_and_in_company(table):
    for name, measure in MEASURES.items():
        together = measure(table, ())
        for number, alone in table.groupby("episode"):
            assert np.array_equal(measure(alone, ()).to_numpy(), [together[number]], equal_nan=True), name


def test_no_input_is_changed():
    table = episode([0, 1, 1], entropy=0.5)
    before = table.copy(deep=True)
    summarise(table)
    regret(table)
    pd.testing.assert_frame_equal(table, before)


def test_summarise_gives_the_mean_and_interval_of_each_group():
    tables = [play(name, GaussianBandit(), range(40)).assign(oracle=name) for name in ("random", "thompson")]
    summary = summarise(pd.concat(tables), by=["oracle"])
    assert list(summary.columns) == ["oracle", "measure", "estimate", "low", "high", "episodes"]
    assert len(summary) == 2 * len(MEASURES) and (summary.episodes == 40).all()
    assert (summary.low <= summary.estimate).all() and (summary.estimate <= summary.high).all()
    chosen = summary.set_index(["oracle", "measure"])
    values = total_regret(tables[1])
    expected = cluster_bootstrap(values.to_numpy(), values.index.to_numpy())
    assert tuple(chosen.loc[("thompson", "regret"), ["estimate", "low", "high"]]) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )
    assert chosen.loc[("thompson", "regret"), "high"] < chosen.loc[("random", "regret"), "low"]


def test_summarise_resamples_whole_clusters():
    # Two settings played on the same seeds: resampling seeds must widen the interval when their outcomes agree.
    pieces = [episode([i % 2], number=i + 100 * s, seed=i, setting=s) for i in range(40) for s in range(2)]
    table = pd.concat(pieces)
    wide = summarise(table, measures=["regret"], cluster="seed").iloc[0]
    narrow = summarise(table, measures=["regret"]).iloc[0]
    assert wide.estimate == narrow.estimate and wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


def test_summarise_leaves_out_what_the_columns_do_not_allow():
    bare = episode([0, 1, 1]).drop(columns=["mean0", "mean1"])
    assert summarise(bare).measure.tolist() == ["reward", "greedy_rate", "commitment_time"]
    with pytest.raises(DataError, match="regret"):
        summarise(bare, measures=["regret"])


def test_episodes_without_a_value_are_counted_out():
    table = pd.concat([episode([0], number=0), episode([0, 0, 1], number=1), episode([1, 0], number=2)])
    row = summarise(table, measures=["greedy_rate"]).iloc[0]
    assert (row.estimate, row.episodes) == (0.25, 2)
    lonely = summarise(episode([0]), measures=["greedy_rate"]).iloc[0]
    assert np.isnan(lonely.estimate) and lonely.episodes == 0


def test_by_step_averages_the_episodes_that_reach_a_step():
    table = pd.concat(
        [
            episode([0, 1, 1], number=0, entropy=[0.6, 0.4, 0.2]),
            episode([0, 1], number=1, entropy=[0.4, 0.2]),
            episode([0, 1], number=2, entropy=[0.2, np.nan]),
        ]
    )
    curve = by_step(table, "entropy")
    assert curve.step.tolist() == [0, 1, 2] and curve.episodes.tolist() == [3, 2, 1]
    assert curve.estimate.to_numpy() == pytest.approx([0.4, 0.3, 0.2])
    assert by_step(table.assign(regret=[10.0, 0, 0, 10, 0, 10, 0]), "regret").estimate.tolist() == [10.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: total_regret(t.drop(columns="step")), "needs the column 'step'"),
        (lambda t: total_regret(pd.concat([t, t])), "episode 0 has step 0 twice"),
        (lambda t: total_regret(t.iloc[:0]), "empty"),
        (lambda t: greedy_rate(t.assign(arm=[0.0, np.nan, 1.0])), "arm at row 1"),
        (lambda t: greedy_rate(t.assign(arm=[0, 1, -1])), "arm at row 2"),
        (lambda t: total_reward(t.assign(reward=[1.0, np.nan, 1.0])), "reward at row 1"),
        (lambda t: total_regret(t.assign(arm=[0, 1, 2])), "arm 2 was chosen but has no mean"),
        (lambda t: minimum_arm_fraction(t, arms=1), "more arms than 1"),
        (lambda t: minimum_arm_fraction(t.drop(columns=["mean0", "mean1"])), "number of arms is unknown"),
        (lambda t: mean_entropy(t), "needs the column 'entropy'"),
        (lambda t: by_step(t, "entropy"), "needs the column 'entropy'"),
        (lambda t: summarise(t, cluster="step"), "changes within an episode"),
        (lambda t: summarise(t, measures=["regrets"]), "did you mean 'regret'"),
        (lambda t: summarise(t, by="episode"), "give a list of columns"),
        (lambda t: suffix_failure(t, after=-1), "negative"),
    ],
)
def test_unusable_tables_raise_one_clear_line(call, message):
    with pytest.raises((DataError, SpecError), match=message) as caught:
        call(episode([0, 1, 1]))
    assert "\n" not in str(caught.value)
