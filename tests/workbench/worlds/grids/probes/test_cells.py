"""Cell classes, grids as arrays, and where a class is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.probes.cells import CELLS, PADDING, cell_class, decode_map, encode_maps, locate
from workbench.worlds.grids.text import GridText

inside = st.sampled_from([cell for cell in CELLS if cell != " "])
grids = st.integers(1, 6).flatmap(lambda n: st.lists(st.text(inside, min_size=n, max_size=n), min_size=n, max_size=n))


@given(st.lists(grids, min_size=1, max_size=4))
def test_a_grid_comes_back_from_its_padded_array(several):
    maps = encode_maps(several, size=6)
    for grid, cells in zip(several, maps, strict=True):
        assert [row[: len(grid)] for row in decode_map(cells)] == grid
        assert (cells[len(grid) :] == PADDING).all() and (cells[:, len(grid) :] == PADDING).all()


def test_a_picture_shown_to_the_agent_is_made_of_these_classes():
    layout = make_layout(9, 0.6, seed=1)
    rows = [line.split()[1:] for line in GridText().picture(layout, layout.initial).splitlines()[1:]]
    (cells,) = encode_maps([rows])
    assert [tuple(where) for where in np.argwhere(cells == cell_class("G"))] == [layout.goal]
    assert [tuple(where) for where in np.argwhere(cells == cell_class("A"))] == [layout.initial.cell]
    np.testing.assert_array_equal(cells == cell_class("#"), [[cell == "#" for cell in row] for row in layout.rows])


@pytest.mark.parametrize(
    ("grid", "size", "says"), [(["##"], None, "square"), (["##", "##"], 1, "at most 1"), (["x"], None, "unknown cell")]
)
def test_grids_that_are_none_are_refused(grid, size, says):
    with pytest.raises(DataError, match=says):
        encode_maps([grid], size)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_locate_is_the_likeliest_cell(seed, size):
    proba = np.random.default_rng(seed).dirichlet(np.ones(len(CELLS)), size=(3, size, size))
    for state, (row, column) in zip(proba, locate(proba, "G"), strict=True):
        assert state[row, column, CELLS.index("G")] == state[..., CELLS.index("G")].max()
