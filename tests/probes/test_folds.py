"""Folds: whole groups, balanced, stratified, and no rendered state on two sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from probes.folds import duplicate_groups, group_folds, group_holdout
from workbench.errors import DataError, SpecError


@given(st.lists(st.integers(0, 30), min_size=8, max_size=80), st.integers(2, 6), st.integers(0, 5))
def test_folds_never_split_a_group_and_none_is_empty(groups, folds, seed):
    if len(set(groups)) < folds:
        with pytest.raises(DataError, match=f"{folds} folds of {len(set(groups))} groups"):
            group_folds(groups, folds, seed)
        return
    fold_of = group_folds(groups, folds, seed)
    assert set(fold_of) == set(range(folds))
    for group in set(groups):
        assert len(set(fold_of[np.array(groups) == group])) == 1


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=8, max_size=80), st.integers(2, 4))
def test_every_training_side_has_every_class_or_it_is_said_which_is_missing(rows, folds):
    groups, y = np.array(rows).T
    try:
        fold_of = group_folds(groups, folds, 0, y)
    except DataError as error:
        assert "groups" in str(error) or "one class" in str(error)
        return
    for fold in range(folds):
        assert set(y[fold_of != fold]) == set(y)


def test_a_class_of_a_single_group_is_named():
    with pytest.raises(DataError, match=r"class 'rare' of y occurs in 1 of 4 groups"):
        group_folds([0, 0, 1, 1, 2, 2, 3, 3], 2, 0, ["a", "rare", "a", "b", "a", "b", "a", "b"])


def test_folds_are_stratified_about_as_well_as_scikit_learns():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 120, size=3000)
    y = (rng.random(120)[groups] * 3).astype(int)  # constant in each group, so stratifying is up to the groups
    ours = group_folds(groups, 5, 0, y)
    theirs = np.empty_like(ours)
    for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(y, y, groups)):
        theirs[test] = fold

    def spread(fold_of):
        shares = [np.bincount(y[fold_of == fold], minlength=3) / np.bincount(y) for fold in range(5)]
        return np.std(shares, axis=0).max()

    assert spread(ours) < max(0.02, 1.5 * spread(theirs))
    chance = np.random.default_rng(1).integers(0, 5, 120)[groups]
    assert spread(ours) < 0.3 * spread(chance)


def test_seed_fixes_the_folds_and_another_seed_changes_them():
    groups = np.repeat(np.arange(20), np.arange(5, 25))  # all sizes differ
    assert (group_folds(groups, 4, 1) == group_folds(groups, 4, 1)).all()
    assert (group_folds(groups, 4, 1) != group_folds(groups, 4, 2)).any()


@given(st.lists(st.integers(0, 20), min_size=4, max_size=60), st.floats(0.05, 0.95))
def test_holdout_moves_whole_groups_and_leaves_both_sides_filled(groups, share):
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="at least 2"):
            group_holdout(groups, share)
        return
    held_out = group_holdout(groups, share)
    assert held_out.any()
    assert not held_out.all()
    assert not set(np.array(groups)[held_out]) & set(np.array(groups)[~held_out])


def test_holdout_keeps_its_share_of_every_class():
    rng = np.random.default_rng(2)
    groups, y = np.repeat(np.arange(200), 10), rng.integers(0, 4, size=2000)
    held_out = group_holdout(groups, 0.2, 0, y)
    shares = np.bincount(y[held_out]) / np.bincount(y)
    assert np.abs(shares - 0.2).max() < 0.03


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40))
def test_merged_groups_are_the_components_a_search_finds(rows):
    keys, groups = zip(*rows, strict=True)
    merged = duplicate_groups(keys, groups)
    reached = {group: {group} for group in groups}
    for _ in rows:  # transitive closure by brute force
        for key, group in rows:
            for other_key, other in rows:
                if key == other_key:
                    union = reached[group] | reached[other]
                    for member in union:
                        reached[member] = union
    for i in range(len(rows)):
        for j in range(len(rows)):
            assert (merged[i] == merged[j]) == (groups[j] in reached[groups[i]])
    assert set(merged) == set(range(merged.max() + 1))


def test_a_rendered_state_is_never_in_two_folds():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), 8)
    keys = [f"state {k}" for k in rng.integers(0, 5000, size=480)]
    fold_of = group_folds(duplicate_groups(keys, groups), 5, 0)
    folds_of_key = {}
    for key, fold in zip(keys, fold_of, strict=True):
        folds_of_key.setdefault(key, set()).add(fold)
    assert len(set(keys)) < 480  # some states do repeat
    assert all(len(folds) == 1 for folds in folds_of_key.values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: group_folds([], 2, 0), "at least one row"),
        (lambda: group_folds([0, 1], 1, 0), "2 or more"),
        (lambda: group_folds([0, 1], 2, 0, [1, 1]), "one class only"),
        (lambda: group_folds([0, 1], 2, 0, [1]), "one of each a row"),
        (lambda: group_folds([0.0, np.nan], 2, 0), "row 1 is missing"),
        (lambda: group_holdout([0, 1], 1.5), "from 0 to 1, not 1.5"),
        (lambda: duplicate_groups(["s"], [0, 1]), "one of each a row"),
    ],
)
def test_unusable_input_is_refused_in_one_line(call, message):
    with pytest.raises((DataError, SpecError), match=message) as error:
        call()
    assert "\n" not in str(error.value)
