"""Pictures of pinpads show what is there: every colour and wall, the agent, the way and its pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.errors import DataError, RunError, SpecError
from workbench.worlds.pinpad.expert import expert_episodes
from workbench.worlds.pinpad.pictures import (
    SEGMENT_HUES,
    TILE_HUES,
    pinpad_picture,
    pinpad_trajectory_picture,
    save_pinpad_animation,
)
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks

T = 40
PAPER = Pinpad()
OBJECTS = [8, 10, 12, 22, 24, 26, 36, 38, 40, 44, 46, 48]  # no two beside each other in a row
WAY = [0, 1, 2, 3, 4, 11, 18, 19]


def tile(image: np.ndarray, cell: int, size: int = 7) -> np.ndarray:
    row, column = divmod(cell, size)
    return image[row * T : (row + 1) * T, column * T : (column + 1) * T]


def near(image: np.ndarray, hue: tuple[int, int, int]) -> int:
    """Pixels of a hue (borders are mixed by the shrinking)."""
    return int((np.abs(image.astype(int) - hue).max(-1) < 12).sum())


def test_every_colour_fills_its_tile_and_no_two_look_alike() -> None:
    image = pinpad_picture(PAPER, OBJECTS, 0, tile_size=T)
    assert image.shape == (7 * T, 7 * T, 3) and image.dtype == np.uint8
    for colour, hue in enumerate(TILE_HUES):
        assert near(tile(image, OBJECTS[colour]), hue) > 0.7 * T * T
    hues = np.array(TILE_HUES)
    apart = np.abs(hues[:, None] - hues[None]).sum(-1) + 1000 * np.eye(8)
    assert apart.min() > 60
    for wall in OBJECTS[8:]:
        assert tile(image, wall).mean() < 90
    empty = set(range(49)) - set(OBJECTS) - {0}
    assert all(tile(image, cell).mean() > 235 for cell in empty)


@pytest.mark.parametrize("cell", [0, 8, 48 - 1])
def test_the_agent_is_seen_wherever_it_stands(cell: int) -> None:
    image, other = (pinpad_picture(PAPER, OBJECTS, agent, tile_size=T) for agent in (cell, 3))
    assert near(tile(image, cell)[T // 4 : -T // 4, T // 4 : -T // 4], (20, 20, 20)) > 60
    changed = {c for c in range(49) if not np.array_equal(tile(image, c), tile(other, c))}
    assert changed == {cell, 3}


def test_the_target_alone_is_framed() -> None:
    bare, framed = (pinpad_picture(PAPER, OBJECTS, 0, target, T) for target in (None, 5))
    changed = {c for c in range(49) if not np.array_equal(tile(bare, c), tile(framed, c))}
    assert changed == {OBJECTS[5]} and tuple(tile(framed, OBJECTS[5])[T // 2, 1]) == (20, 20, 20)


def test_colours_with_the_same_hue_are_told_apart_by_their_numbers() -> None:
    world = Pinpad(size=5, colours=10, walls=0, subgoal=1)
    image = pinpad_picture(world, list(range(10)), 24, tile_size=T)
    first, ninth = tile(image, 1, 5), tile(image, 9, 5)
    assert near(first, TILE_HUES[1]) > 800 and near(ninth, TILE_HUES[1]) > 800
    assert not np.array_equal(first[2:-2, 2:-2], ninth[2:-2, 2:-2])


def test_the_way_marks_the_cells_it_passed_and_no_others() -> None:
    image, bare = (pinpad_trajectory_picture(PAPER, OBJECTS, way, None, T) for way in (WAY, WAY[:1]))
    changed = {c for c in range(49) if not np.array_equal(tile(image, c), tile(bare, c))}
    assert changed == set(WAY)
    assert near(tile(image, WAY[-1]), (20, 20, 20)) > 60  # the agent at the end


def test_steps_take_the_hue_of_their_segment_and_a_dot_marks_the_change() -> None:
    segments = [0, 0, 0, 1, 1, 1, 9]  # 9 has the hue of 1
    image = pinpad_trajectory_picture(PAPER, OBJECTS, WAY, segments, T)
    red, blue = SEGMENT_HUES[:2]
    assert near(tile(image, 1), red) > 60 and not near(tile(image, 1), blue)
    assert near(tile(image, 11), blue) > 60 and not near(tile(image, 11), red)
    assert near(tile(image, 3), red) > 20 and near(tile(image, 3), blue) > 80  # half a step of each, and the dot
    dots = [near(tile(image, cell)[16:24, 16:24], blue) for cell in (3, 18)]
    assert min(dots) > 25


def test_segments_are_any_sequence_of_integers() -> None:
    pictures = [
        pinpad_trajectory_picture(PAPER, OBJECTS, WAY, kind([0, 0, 1, 1, 2, 2, 2]), T)
        for kind in (list, np.array, torch.tensor)
    ]
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("name", PINPADS)
def test_the_experts_episodes_can_be_drawn_as_they_are_recorded(name: str) -> None:
    world = PINPADS[name]
    played = expert_episodes(world, pretraining_tasks(world), 3, torch.Generator().manual_seed(0))
    for i, length in enumerate(played.lengths.tolist()):
        way, targets = played.agents[i, : length + 1], played.targets[i, :length]
        image = pinpad_trajectory_picture(world, played.objects[i], way, targets, 16)
        assert image.shape == (world.size * 16, world.size * 16, 3)


def test_an_animation_shows_every_move_for_its_time(tmp_path: Path) -> None:
    segments = [0, 0, 0, 1, 1, 1, 2]
    save_pinpad_animation(tmp_path / "episode.gif", PAPER, OBJECTS, WAY, segments, 24, seconds=0.1)
    with Image.open(tmp_path / "episode.gif") as gif:
        assert gif.n_frames == len(WAY) and gif.info["loop"] == 0
        times = []
        for i in range(len(WAY)):
            gif.seek(i)
            times.append(gif.info["duration"])
            shown = np.asarray(gif.convert("RGB")).astype(int)
            expected = pinpad_trajectory_picture(PAPER, OBJECTS, WAY[: i + 1], segments[:i], 24)
            assert np.abs(shown - expected).mean() < 3  # a palette of 256 colours
    assert times == [100] * (len(WAY) - 1) + [1100]
    with pytest.raises(RunError, match="cannot write"):
        save_pinpad_animation(tmp_path / "missing" / "episode.gif", PAPER, OBJECTS, WAY[:2])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: pinpad_picture(PAPER, OBJECTS, 49), DataError, "cell 49 is outside of a pinpad of size 7: 0 to 48"),
        (lambda: pinpad_picture(PAPER, OBJECTS[:5], 0), DataError, "5 objects for 8 colours and 4 walls"),
        (lambda: pinpad_picture(PAPER, OBJECTS, 0, target=8), DataError, "colour 8 does not exist"),
        (lambda: pinpad_picture(PAPER, OBJECTS, 0, tile_size=0), SpecError, "tile_size 0 is too small"),
        (lambda: pinpad_trajectory_picture(PAPER, OBJECTS, []), DataError, "at least one cell"),
        (lambda: pinpad_trajectory_picture(PAPER, OBJECTS, [6, 7]), DataError, "jumps from cell 6 to cell 7"),
        (lambda: pinpad_trajectory_picture(PAPER, OBJECTS, WAY, [0]), DataError, "1 segments for 7 moves"),
        (lambda: save_pinpad_animation("x.gif", PAPER, OBJECTS, []), DataError, "at least one cell"),
    ],
)
def test_unusable_input_is_refused_in_one_line(call: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
