"""Held-out states: whole groups, every size, and partners that are truly others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.families.goal_directedness.holdout import held_out_states, other_layouts


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two sizes, each of 8 to 12 groups of 3 to 9 rows."""
    sizes, groups = [], []
    for size in (7, 9):
        for rows in draw(st.lists(st.integers(3, 9), min_size=8, max_size=12)):
            sizes += [size] * rows
            groups += [groups[-1] + 1 if groups else 0] * rows
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(sizes))
    return np.array(sizes)[order], np.array(groups)[order]


@given(grouped(), st.integers(0, 9))
def test_groups_are_held_out_whole_and_of_every_size(rows: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    sizes, groups = rows
    held = held_out_states(sizes, groups, 0.4, seed)
    assert not set(groups[held]) & set(groups[~held])
    for size in (7, 9):
        for side in (held, ~held):
            assert len(np.unique(groups[side & (sizes == size)])) >= 2
    assert np.array_equal(held, held_out_states(sizes, groups, 0.4, seed))


def test_every_density_is_held_out_in_its_share() -> None:
    groups = np.repeat(np.arange(60), 5)
    densities = np.repeat(np.tile([0.0, 0.4, 1.0], 20), 5)
    held = held_out_states(np.full(300, 7), groups, 0.2, 0, densities)
    assert [held[densities == density].mean() for density in (0.0, 0.4, 1.0)] == pytest.approx([0.2] * 3)


@given(grouped(), st.integers(0, 9))
def test_partners_are_of_the_same_size_and_another_group(rows: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    sizes, groups = rows
    partner = other_layouts(sizes, groups, seed)
    assert (groups[partner] != groups).all() and (sizes[partner] == sizes).all()


@pytest.mark.parametrize("groups", [[0] * 8, [0, 0, 1, 1, 2, 2, 2, 2]])
def test_a_size_with_too_few_groups_is_one_clear_error(groups: list[int]) -> None:
    with pytest.raises(DataError, match=r"size 7: 8 states of \d groups of layouts .* raise probe_layouts"):
        held_out_states(np.full(8, 7), np.array(groups), 0.2, seed=0)


def test_a_size_of_one_group_has_no_other_layout() -> None:
    with pytest.raises(DataError, match="size 9: all states are of one group"):
        other_layouts(np.array([7, 7, 9, 9]), np.array([0, 1, 2, 2]), seed=0)
