"""Pictures show what is there: walls, goal, key, door, an agent without a direction, and the way it went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minigrid.core.grid import Grid
from minigrid.core.world_object import Door, Goal, Wall
from minigrid.core.world_object import Key as MiniGridKey
from PIL import Image

from workbench.errors import DataError, RunError, SpecError
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.pictures import picture, save_animation, trajectory_picture
from workbench.worlds.moves import Cell, Move

T = 32
ROOMS = Layout(
    ("#######", "#__#__#", "#__#__#", "#_____#", "#__#__#", "#__#__#", "#######"),
    start=(1, 1), goal=(5, 5), key=(4, 1), door=(3, 3),
)  # fmt: skip
RED, GREEN, YELLOW, GREY = (255, 0, 0), (0, 255, 0), (255, 255, 0), (100, 100, 100)


def tile(image: np.ndarray, cell: Cell) -> np.ndarray:
    return image[cell[0] * T : cell[0] * T + T, cell[1] * T : cell[1] * T + T]


def holds(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((image == colour).all(axis=-1).any())


def walk(layout: Layout, moves: str) -> list[State]:
    states = [layout.initial]
    for letter in moves:
        states.append(layout.after(states[-1], next(move for move in Move if move.name[0] == letter)))
    return states


@given(st.integers(0, 10**6))
def test_every_cell_without_the_agent_is_minigrids_tile(seed: int) -> None:
    layout = make_layout(7, structure="KeyDoor", seed=seed)
    image = picture(layout, layout.initial)
    assert image.shape == (7 * T, 7 * T, 3) and image.dtype == np.uint8
    for cell in np.ndindex(7, 7):
        thing = Wall() if layout.walls[cell] else None
        thing = {
            layout.goal: Goal(),
            layout.key: MiniGridKey("yellow"),
            layout.door: Door("yellow", is_locked=True),
        }.get(cell, thing)
        if cell != layout.start:
            assert np.array_equal(tile(image, cell), Grid.render_tile(thing, tile_size=T).astype(np.uint8))


def test_the_agent_is_a_disc_that_points_nowhere() -> None:
    inside = tile(picture(ROOMS, ROOMS.initial), ROOMS.start)[2:-2, 2:-2]  # without the lines between cells
    assert holds(inside, RED) and tuple(inside[14, 14]) == RED
    for turn in range(1, 4):
        assert np.array_equal(inside, np.rot90(inside, turn))


def test_what_the_agent_stands_on_is_seen_around_it() -> None:
    at_goal = tile(picture(ROOMS, State(ROOMS.goal)), ROOMS.goal)
    assert holds(at_goal, RED) and holds(at_goal, GREEN)
    in_door = tile(picture(ROOMS, State(ROOMS.door, True)), ROOMS.door)
    assert holds(in_door, RED) and holds(in_door[:, -6:], YELLOW)


def test_a_held_key_moves_from_its_cell_to_the_agent_and_opens_the_door() -> None:
    before, after = picture(ROOMS, ROOMS.initial), picture(ROOMS, State(ROOMS.start, True))
    assert holds(tile(before, ROOMS.key), YELLOW) and not holds(tile(after, ROOMS.key), YELLOW)
    assert holds(tile(after, ROOMS.start), YELLOW) and not holds(tile(before, ROOMS.start), YELLOW)
    opened = Grid.render_tile(Door("yellow", is_open=True), tile_size=T)
    assert np.array_equal(tile(after, ROOMS.door), opened.astype(np.uint8))


def test_pictures_of_one_state_after_another_do_not_mix() -> None:
    """MiniGrid keeps tiles; an agent on the goal must not be shown where one stands on the floor."""
    states = [State(ROOMS.goal), ROOMS.initial, State(ROOMS.goal, True), State(ROOMS.start, True)]
    first = [picture(ROOMS, state) for state in states]
    again = [picture(ROOMS, state) for state in reversed(states)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(tile(first[0], ROOMS.goal), tile(first[1], ROOMS.start))


def test_the_way_marks_the_cells_it_passed_and_no_others() -> None:
    states = walk(ROOMS, "DDDURRRRDD")
    image, bare = trajectory_picture(ROOMS, states), trajectory_picture(ROOMS, states[:1])
    passed = {state.cell for state in states}
    for cell in np.ndindex(7, 7):
        changed = not np.array_equal(tile(image, cell), tile(bare, cell))
        assert changed == (cell in passed), cell
    assert image.shape == (7 * T, 7 * T, 3) and image.dtype == np.uint8


def test_start_goal_key_and_agent_stay_visible_under_the_way() -> None:
    states = walk(ROOMS, "DDDURRRRRDD")
    assert states[-1] == State(ROOMS.goal, True)
    image = trajectory_picture(ROOMS, states)
    assert holds(tile(image, ROOMS.start), RED)  # the ring
    assert holds(tile(image, ROOMS.goal), GREEN) and holds(tile(image, ROOMS.goal), RED)
    assert holds(tile(image, ROOMS.key), YELLOW) and holds(tile(image, ROOMS.door), YELLOW)
    centre = tile(image, ROOMS.start)[T // 2, T // 2]
    assert tuple(centre) != RED  # a ring, not the agent


def test_a_way_and_its_reverse_are_told_apart_by_side_and_colour() -> None:
    there = [State((1, 1)), State((2, 1)), State((3, 1))]
    down, up = (tile(trajectory_picture(ROOMS, states), (2, 1)).astype(int) for states in (there, there[::-1]))
    line_down, line_up = (np.argwhere(image[..., 2] > 200)[:, 1].mean() for image in (down, up))
    assert line_down < T / 2 < line_up  # keeps to its right: left of the middle on the way down
    both = tile(trajectory_picture(ROOMS, there + there[-2::-1]), (2, 1))
    columns = np.unique(np.argwhere(both[..., 2] > 200)[:, 1])
    assert columns.min() < T / 2 < columns.max()
    image = trajectory_picture(ROOMS, walk(ROOMS, "DDRDD")).astype(int)
    early, late = tile(image, (2, 1)), tile(image, (4, 2))
    assert early[..., 0].max() > late[..., 0].max()  # from violet to cyan


@pytest.mark.parametrize("moves", ["DDR", "RDL"])
def test_a_turning_way_is_drawn_along_the_axes(moves: str) -> None:
    """To the left and to the right the lines of two steps meet in the corner, with no slant between."""
    states = walk(ROOMS, moves)
    cell = states[-2].cell
    line = tile(trajectory_picture(ROOMS, states), cell)[..., 2] > 240
    after_corner = line[:, T // 2 :] if moves[-1] == "R" else line[:, : T // 4]
    assert after_corner.any() and (after_corner == after_corner[:, :1]).all()


def test_bumps_leave_no_mark() -> None:
    assert np.array_equal(
        trajectory_picture(ROOMS, walk(ROOMS, "LUDDLR")), trajectory_picture(ROOMS, walk(ROOMS, "DDR"))
    )


def test_an_animation_shows_every_state_for_its_time(tmp_path: Path) -> None:
    states = walk(ROOMS, "DDDU")
    save_animation(tmp_path / "episode.gif", ROOMS, states, seconds=0.2)
    with Image.open(tmp_path / "episode.gif") as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0
        times = []
        for i, state in enumerate(states):
            gif.seek(i)
            times.append(gif.info["duration"])
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - picture(ROOMS, state)).mean() < 2  # a palette of 256 colours
    assert times == [200] * 4 + [1200]
    assert [file.name for file in tmp_path.iterdir()] == ["episode.gif"]


def test_an_animation_that_cannot_be_written_raises_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        save_animation(tmp_path / "missing" / "episode.gif", ROOMS, [ROOMS.initial])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: picture(ROOMS, State((0, 0))), DataError, r"the state at \(0, 0\) is in a wall"),
        (lambda: picture(ROOMS, State((9, 1))), DataError, "outside of the 7-sized grid"),
        (lambda: picture(ROOMS, ROOMS.initial, tile_size=0), SpecError, "tile_size 0 is too small"),
        (lambda: trajectory_picture(ROOMS, []), DataError, "at least one state"),
        (lambda: save_animation("x.gif", ROOMS, []), DataError, "at least one state"),
        (lambda: trajectory_picture(ROOMS, [ROOMS.initial, State((1, 3))]), DataError, "in a wall"),
    ],
)
def test_unusable_input_is_refused_in_one_line(call, error: type[Exception], says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=says):
        call()
