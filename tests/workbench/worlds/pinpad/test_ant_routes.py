"""Ways of the ant: shortest by the grid's distances, blind to nothing but the ties, aimed at the next centre."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpecError
from workbench.worlds.pinpad.ant_pinpad import Routes
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.expert import FAR, distances
from workbench.worlds.pinpad.pinpad import draw_layouts

WORLD = AntWorld()
SEEDS = st.integers(0, 10**6)


def drawn(seed: int) -> np.ndarray:
    return draw_layouts(WORLD.rules, 1, torch.Generator().manual_seed(seed))[0].numpy()


@given(SEEDS, SEEDS)
def test_following_the_way_takes_the_shortest_number_of_cells(layout_seed: int, ties: int) -> None:
    layout = drawn(layout_seed)
    routes, cost = Routes(WORLD, layout, ties), distances(WORLD.rules, torch.from_numpy(layout)[None])[0]
    for target in range(4):
        for start in set(range(16)) - set(layout[1:].tolist()):
            cell, moves = start, 0
            while cell != layout[1 + target] and routes.next_cells[target, cell] != cell and moves < 16:
                cell, moves = int(routes.next_cells[target, cell]), moves + 1
            reached = int(cost[target, start]) < FAR
            assert (cell == layout[1 + target]) == reached and (not reached or moves == int(cost[target, start]))


def test_ties_differ_between_seeds_and_not_within_one() -> None:
    layout = np.array([0, 15, 1, 2, 3, 4])
    ways = [Routes(WORLD, layout, seed).next_cells for seed in range(20)]
    assert np.array_equal(Routes(WORLD, layout, 0).next_cells, ways[0])
    assert len({int(way[0, 5]) for way in ways}) == 2  # right or down


@given(SEEDS, st.floats(-3.99, 3.99), st.floats(-3.99, 3.99), st.integers(0, 3))
def test_the_direction_is_a_unit_vector_to_the_next_centre(seed: int, x: float, y: float, target: int) -> None:
    routes, xy = Routes(WORLD, drawn(seed), seed), np.array([x, y])
    cell = WORLD.cell_at(xy)
    assert cell is not None
    way = WORLD.centre(routes.next_cells[target, cell]) - xy
    direction = routes.direction(xy, cell, target)
    if np.hypot(*way) > 1e-3:
        assert np.hypot(*direction) == pytest.approx(1) and direction @ way == pytest.approx(np.hypot(*way))


@given(st.integers(0, 15))
def test_a_cells_centre_lies_in_the_cell(cell: int) -> None:
    assert WORLD.cell_at(WORLD.centre(np.array(cell))) == cell


@pytest.mark.parametrize("wrong", [{"cell": 0.0}, {"cell": float("nan")}, {"frame_skip": 0}])
def test_a_world_without_room_or_time_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="must be positive"):
        AntWorld(**wrong)  # type: ignore[arg-type]
