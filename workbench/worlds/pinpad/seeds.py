"""Episodes of the pinpad that are named by a seed: a world starts the same alone and among thousands.

Each row draws from its own counter-based stream (:func:`workbench.seeding.uniforms`), so neither the number of rows nor
what the others need changes what it gets.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from workbench.seeding import uniforms
from workbench.worlds.pinpad.pinpad import Pinpad, _apart, _no_room

_TASK, _NEXT, _LAYOUT = 0, 1, 2  # places in the stream of an episode
_DRAWS = 2_000
_AHEAD = 4  # episodes that are ready for each world


def next_seeds(seeds: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
    """The seeds of the episodes that follow those of ``seeds``.

    >>> next_seeds(np.array([3, 5])).tolist()[1] == next_seeds(np.array([5])).tolist()[0]
    True
    """
    return (uniforms(seeds, _NEXT) * 2.0**53).astype(np.int64)


def seeded_tasks(tasks: Int[Tensor, "tasks length"], seeds: Int64[np.ndarray, " rows"]) -> Int[Tensor, "rows length"]:
    """One of ``tasks`` for each seed, uniformly."""
    return tasks[torch.from_numpy(_which(tasks, seeds)).to(tasks.device)]


def _which(tasks: Int[Tensor, "tasks length"], seeds: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
    return (uniforms(seeds, _TASK) * len(tasks)).astype(np.int64)


def seeded_layouts(world: Pinpad, seeds: Int64[np.ndarray, " rows"]) -> Int[Tensor, "rows objects"]:
    """Cells of the agent, the colours and the walls for each seed, distributed as
    :func:`workbench.worlds.pinpad.pinpad.draw_layouts` draws them.

    Raises :class:`SpecError` where ``world.distance`` leaves no room.

    >>> from workbench.worlds.pinpad.pinpad import Pinpad
    >>> world = Pinpad(size=5, colours=2, walls=1)
    >>> bool((seeded_layouts(world, np.array([1, 2]))[1:] == seeded_layouts(world, np.array([2]))).all())
    True
    """
    seeds = np.asarray(seeds)
    layouts = np.empty((len(seeds), 1 + world.colours + world.walls), dtype=np.int64)
    left = np.arange(len(seeds))
    for draw in range(_DRAWS):
        drawn = _shuffled(world.cells, layouts.shape[1], seeds[left], draw)
        good = _apart(world, torch.from_numpy(drawn)).numpy()
        layouts[left[good]] = drawn[good]
        left = left[~good]
        if not len(left):
            return torch.from_numpy(layouts)
    raise _no_room(world)


class EpisodesAhead:
    """The next episodes of many worlds, drawn before they are asked for: a thousand at once take less time than a
    thousand times one.

    ``last`` [worlds]: the seed of the episode that each world is in; :meth:`take` goes on from there, as
    :func:`next_seeds` does.

    >>> from workbench.worlds.pinpad.pinpad import Pinpad
    >>> world, tasks = Pinpad(size=5, colours=2, walls=1), torch.tensor([[0, 1], [1, 0]])
    >>> seeds, layouts, chosen = EpisodesAhead(world, tasks, np.array([7, 3])).take(np.array([1]))
    >>> bool((seeds == next_seeds(np.array([3]))).all() and (layouts == seeded_layouts(world, seeds)).all())
    True
    """

    def __init__(self, world: Pinpad, tasks: Int[Tensor, "tasks length"], last: Int64[np.ndarray, " worlds"]) -> None:
        self.world, self.tasks, self._last = world, tasks, last.copy()
        n, objects = len(last), 1 + world.colours + world.walls
        self._ready, self._next = np.zeros((2, n), dtype=np.int64)  # how many are ready, and the place of the first
        self._seeds = np.zeros(n * _AHEAD, dtype=np.int64)
        self._layouts = np.zeros((n * _AHEAD, objects), dtype=np.int16)
        self._chosen = np.zeros(n * _AHEAD, dtype=np.int64)  # which of the tasks

    def take(
        self, rows: Int64[np.ndarray, " rows"]
    ) -> tuple[Int64[np.ndarray, " rows"], Int[Tensor, "rows objects"], Int[Tensor, "rows length"]]:
        """Seeds, layouts and tasks of the next episode of some worlds, none of them twice."""
        if not self._ready[rows].all():
            self._draw()
        first = self._next[rows]
        at = rows * _AHEAD + first
        self._next[rows] = (first + 1) % _AHEAD
        self._ready[rows] -= 1
        layouts = torch.from_numpy(self._layouts[at].astype(np.int64))
        return self._seeds[at], layouts, self.tasks[torch.from_numpy(self._chosen[at]).to(self.tasks.device)]

    def _draw(self) -> None:
        """Make all of them ready, in one draw."""
        places = []
        for i in range(_AHEAD):
            rows = np.flatnonzero(self._ready < _AHEAD - i)
            at = rows * _AHEAD + (self._next[rows] + self._ready[rows] + i) % _AHEAD
            self._last[rows] = self._seeds[at] = next_seeds(self._last[rows])
            places.append(at)
        self._ready[:] = _AHEAD
        new = np.concatenate(places)
        self._layouts[new] = seeded_layouts(self.world, self._seeds[new]).numpy()
        self._chosen[new] = _which(self.tasks, self._seeds[new])


def _shuffled(cells: int, n: int, seeds: np.ndarray, draw: int) -> np.ndarray:
    """The first ``n`` places of a shuffle of all cells (Fisher and Yates), [rows, n]."""
    streams = (uniforms(seeds, _LAYOUT) * 2.0**53).astype(np.int64)
    columns = np.arange(n)[:, None]
    chances = uniforms(streams + columns, draw)  # [n rows]
    starts = np.arange(len(seeds)) * cells
    places = (chances * (cells - columns)).astype(np.int64) + columns + starts
    deck = np.tile(np.arange(cells), len(seeds))
    for i, place in enumerate(places):
        top = starts + i
        deck[place], deck[top] = deck[top], deck[place]
    return deck.reshape(-1, cells)[:, :n]
