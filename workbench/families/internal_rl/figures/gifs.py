"""Animations of the episodes that an internal-RL run kept, as GIF files beside its figures.

A GIF is looked at away from the run, so each of its pictures carries how the episode came to be shown and how often the
method succeeds overall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from workbench.errors import WorkbenchError
from workbench.families.context import Log
from workbench.families.internal_rl.figures import PinpadEpisode, picked, shown_episodes
from workbench.figures.record import Record
from workbench.worlds.pinpad.pictures import pinpad_trajectory_picture
from workbench.worlds.trails import write_gif

_TILE, _NARROWEST, _LINE, _SIZE = 44, 380, 17, 12  # pixels: a cell, a board, a line of text, its letters
_INK = (34, 34, 34)
_SECONDS = 0.3


def save_episode_gifs(record: Record, folder: Path, log: Log) -> list[Path]:
    """Write ``<name>.gif`` for one episode of each task and each way of choosing; return the files.

    A run without episodes gives none.  What cannot be drawn or written is left out and logged in one line.
    """
    written: list[Path] = []
    try:
        episodes, rates = shown_episodes(record)
        for name, episode in picked(episodes).items():
            write_gif(folder / f"{name}.gif", _frames(episode, rates.get(episode.task, "")), _SECONDS)
            written.append(folder / f"{name}.gif")
    except (WorkbenchError, OSError) as error:
        log(f"no animation of an episode beyond {len(written)}: {error}")
    return written


def _frames(episode: PinpadEpisode, rate: str) -> list[UInt8[np.ndarray, "height width 3"]]:
    """The way so far after each move, over its caption."""
    from workbench.worlds.pinpad.pinpad import Pinpad

    world = Pinpad(size=episode.size, colours=len(episode.colours), walls=len(episode.walls), subgoal=1)
    tile = max(_TILE, _NARROWEST // episode.size)
    objects, agents, segments = [*episode.colours, *episode.walls], episode.agents.tolist(), episode.segment.tolist()
    steps = range(len(agents))
    boards = [
        pinpad_trajectory_picture(world, objects, agents[: step + 1], segments[:step], tile_size=tile)
        for step in steps
    ]  # fmt: skip
    captions = _captions([_lines(episode, step, rate) for step in steps], boards[0].shape[1])
    return [np.concatenate(each) for each in zip(boards, captions, strict=True)]


def _lines(episode: PinpadEpisode, step: int, rate: str) -> list[str]:
    task = "-".join(map(str, episode.sequence)) or episode.task
    now = "start"
    if step:
        now = f"move {step} of {len(episode)}: code {episode.segment[step - 1]}, gate {episode.gate[step - 1]:.2f}"
    return [f"{task}; {now}", episode.ending, episode.how_chosen, *([rate] if rate else [])]


def _captions(texts: Sequence[Sequence[str]], width: int) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Each picture's lines, broken where they are too long, on white; all as high as the highest."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_SIZE)

    def fits(text: str) -> bool:
        return font.getlength(text) < width - 12

    broken = [[row for line in lines for row in _broken(line, fits)] for lines in texts]
    height, found = _LINE * max(map(len, broken)) + 10, []
    for rows in broken:
        image = Image.new("RGB", (width, height), (255, 255, 255))
        draw = ImageDraw.Draw(image)
        for i, row in enumerate(rows):
            draw.text((6, 5 + i * _LINE), row, _INK, font)
        found.append(np.asarray(image))
    return found


def _broken(line: str, fits: Callable[[str], bool]) -> list[str]:
    """The line as rows that fit, broken between words.

    >>> _broken("one two three", lambda text: len(text) < 9)
    ['one two', 'three']
    """
    rows = [""]
    for word in line.split():
        longer = f"{rows[-1]} {word}".strip()
        if fits(longer) or not rows[-1]:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows
